//! The totals of all shops in one partition, with the instant that they are of.

use super::shop_totals::ShopTotals;
use super::window_ends::WindowEnds;
use crate::domain::customer::facts::{AddedOrder, CustomerTotals};
use crate::domain::segments::names::Segment;
use crate::domain::signals::signal::State;
use crate::domain::values::ids::{CustomerSlot, ShopIndex};
use crate::domain::values::window::TotalsByWindow;

/// The sums over all customers, kept up to date by differences.
pub(in crate::domain) struct PartitionTotals {
    shops: Vec<ShopTotals>,
    /// Customers by emitted segment, in the order of [`Segment::ALL`].
    segments: [u64; Segment::ALL.len()],
    pub(in crate::domain) window_ends: WindowEnds,
}

impl PartitionTotals {
    pub fn new(shops: usize, window_ends: WindowEnds) -> Self {
        Self { shops: vec![ShopTotals::default(); shops], segments: Default::default(), window_ends }
    }

    pub fn shop(&self, shop: ShopIndex) -> &ShopTotals {
        &self.shops[usize::from(shop.0)]
    }

    /// Customers of a segment.
    pub fn customers_in(&self, segment: Segment) -> u64 {
        self.segments[segment as usize]
    }

    /// The emitted segment of a customer was `before` and is `after` from now on.
    pub fn recount_segment(&mut self, before: Option<Segment>, after: Option<Segment>) {
        if before != after {
            before.into_iter().for_each(|segment| self.segments[segment as usize] -= 1);
            after.into_iter().for_each(|segment| self.segments[segment as usize] += 1);
        }
    }

    /// Whether no customer counts.
    pub fn is_empty(&self) -> bool {
        self.shops.iter().all(|shop| shop.total() == 0)
    }

    /// A customer counted as `before` says and counts as `after` says from now on; none for one who does not count. `before` must be
    /// of [`WindowEnds::at_of`], `after` of [`WindowEnds::at`].
    pub fn recount(
        &mut self,
        customer: CustomerSlot,
        shop: ShopIndex,
        before: Option<(State, &TotalsByWindow)>,
        after: Option<(State, &CustomerTotals)>,
    ) {
        let totals = &mut self.shops[usize::from(shop.0)];
        match (before, after) {
            (None, None) => {}
            (None, Some((state, after))) => totals.add(state, &after.by_window),
            (Some((state, before)), None) => totals.remove(state, before),
            (Some((state_before, before)), Some((state, after))) => {
                totals.change_state(state_before, state);
                totals.change_windows(before, &after.by_window);
            }
        }
        self.window_ends.schedule(customer, after.and_then(|(_, after)| after.next_end()));
    }

    /// The same for a customer of whom only the state changed and one order was added.
    pub fn recount_added(
        &mut self,
        customer: CustomerSlot,
        shop: ShopIndex,
        (state_before, state): (State, State),
        added: &AddedOrder,
        after: &CustomerTotals,
    ) {
        let totals = &mut self.shops[usize::from(shop.0)];
        totals.change_state(state_before, state);
        totals.add_order(added, &after.by_window);
        self.window_ends.schedule(customer, after.next_end());
    }
}
