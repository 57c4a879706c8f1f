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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::segments::cuts::MoneyCuts;
    use crate::domain::values::time::Span;

    const CUTS: CutPoints = CutPoints {
        r: [14, 32, 71, 179],
        f: [1, 2, 3, 5],
        money: Some(MoneyCuts { m: [100, 200, 300, 400], f_median: 2, value_median: 150 }),
    };

    fn values(days: i64, kept: u32, net: i64) -> RfmValues {
        RfmValues { silence: Span::days(days), kept, kept_net: ShopAmount(net) }
    }

    #[test]
    fn a_customer_counts_once_in_each_table() {
        let mut counts = SegmentCounts::default();
        let (best, worst) = (values(1, 6, 6_000), values(200, 1, 50));
        [best, best, worst].iter().for_each(|values| counts.add(values, &CUTS));
        assert_eq!(counts.segments[Segment::of(5, 5) as usize], 2);
        assert_eq!(counts.segments[Segment::of(1, 1) as usize], 1);
        assert_eq!(counts.segments.iter().sum::<u64>(), 3);
        assert_eq!(counts.scores, [[1, 0, 0, 0, 2]; 3]);
        assert_eq!(counts.cells[4][4], Cell { customers: 2, net: ShopAmount(12_000) });
        assert_eq!(counts.cells[0][0], Cell { customers: 1, net: ShopAmount(50) });
        let place = |values: &RfmValues| CUTS.matrix(values).expect("cut points of money") as usize;
        assert_eq!((counts.matrix[place(&best)], counts.matrix[place(&worst)]), (2, 1));
    }

    #[test]
    fn counts_of_two_groups_add_up_to_those_of_all() {
        let customers: Vec<RfmValues> =
            (0..60).map(|index| values(index * 5, 1 + index as u32 % 7, 20 * index)).collect();
        let of = |customers: &[RfmValues]| {
            let mut counts = SegmentCounts::default();
            customers.iter().for_each(|values| counts.add(values, &CUTS));
            counts
        };
        let mut merged = of(&customers[..25]);
        merged.merge(&of(&customers[25..]));
        assert_eq!(merged, of(&customers));
    }
}
