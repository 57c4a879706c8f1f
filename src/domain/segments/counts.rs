//! How many customers each segment has.

use super::cuts::{CutPoints, RfmValues, Scores};
use super::names::{Segment, ValueMatrix};
use crate::domain::values::money::ShopAmount;

/// Customers with a kept order by segment. Those of stores with other cut points may be added up.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SegmentCounts {
    /// In the order of [`Segment::ALL`].
    pub segments: [u64; Segment::ALL.len()],
    /// In the order of [`ValueMatrix::ALL`].
    pub matrix: [u64; ValueMatrix::ALL.len()],
    /// By R and F, the lowest first.
    pub cells: [[Cell; 5]; 5],
    /// By R, F and M, the lowest first.
    pub scores: [[u64; 5]; 3],
}

/// The customers with one R and one F.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cell {
    pub customers: u64,
    /// Net value of their kept orders.
    pub net: ShopAmount,
}

impl SegmentCounts {
    /// Counts a customer.
    pub fn add(&mut self, values: &RfmValues, cuts: &CutPoints) {
        let Scores { r, f, m } = cuts.scores(values);
        self.segments[Segment::of(r, f) as usize] += 1;
        if let Some(place) = cuts.matrix(values) {
            self.matrix[place as usize] += 1;
        }
        for (counts, score) in self.scores.iter_mut().zip([Some(r), Some(f), m]) {
            if let Some(score) = score {
                counts[usize::from(score) - 1] += 1;
            }
        }
        let cell = &mut self.cells[usize::from(r) - 1][usize::from(f) - 1];
        cell.customers += 1;
        cell.net += values.kept_net;
    }

    /// Adds other customers.
    pub fn merge(&mut self, other: &Self) {
        let add = |mine: &mut [u64], theirs: &[u64]| {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        };
        add(&mut self.segments, &other.segments);
        add(&mut self.matrix, &other.matrix);
        self.scores.iter_mut().zip(&other.scores).for_each(|(mine, theirs)| add(mine, theirs));
        for (mine, theirs) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            mine.customers += theirs.customers;
            mine.net += theirs.net;
        }
    }
}
