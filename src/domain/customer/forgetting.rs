//! What an erasure in history takes from a customer: records of all times may still come, so it cannot simply take everything.

use super::Customer;
use super::ledger::Ledger;
use crate::domain::values::ids::OrderHash;
use crate::domain::values::time::Time;

impl Customer {
    /// Whether nothing is remembered.
    pub fn is_unknown(&self) -> bool {
        let Ledger { orders, returns, cancellations } = &self.ledger;
        self.summary.is_empty() && orders.is_empty() && returns.is_empty() && cancellations.is_empty()
    }

    /// Removes the entries of this instant and of earlier ones. What the SKUs of removed orders have shown stays known.
    pub fn forget_up_to(&mut self, instant: Time) {
        let Ledger { orders, returns, cancellations } = &mut self.ledger;
        orders.retain(|order| order.placed_at > instant);
        returns.retain(|returned| returned.returned_at > instant);
        cancellations.retain(|cancellation| cancellation.cancelled_at > instant);
    }

    /// Removes returns and cancellations before this instant that name an unknown order.
    pub fn forget_named_unknown(&mut self, before: Time) {
        let Ledger { orders, returns, cancellations } = &mut self.ledger;
        let is_known = |id: OrderHash| orders.iter().any(|order| order.id == id);
        returns.retain(|returned| returned.returned_at >= before || returned.order.is_none_or(is_known));
        cancellations.retain(|entry| entry.cancelled_at >= before || is_known(entry.order));
    }
}
