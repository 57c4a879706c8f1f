//! What is emitted of a customer once its history is applied, as if its records had come live.

use super::kind::SignalKind;
use super::lifecycle::SignalEmitter;
use super::signal::{Lifecycle, OpenAlert, Silence, State};
use crate::domain::customer::ledger::{Attribution, CancelledUpTo, Ledger, ReturnTarget};
use crate::domain::customer::{Customer, Emitted, EmittedLifecycle};
use crate::domain::rules::tiers::EmittedTier;
use crate::domain::values::time::Time;

impl SignalEmitter<'_> {
    /// Takes the state of the facts as emitted. Of the signals that led to it, those are emitted that still stand: `at_risk` and
    /// `lapsed`, each at its deadline, if that is not before `from`. Returns how many stand and are not emitted.
    pub fn settle(&mut self, customer: &mut Customer, attribution: &Attribution, from: Option<Time>) -> u64 {
        let mut held_back = 0;
        let mut alert = |kind: fn(Silence) -> SignalKind, deadline: Time, before: State| {
            if from.is_some_and(|from| deadline < from) {
                held_back += 1;
                return OpenAlert { deadline, record: None };
            }
            let mut at_deadline = SignalEmitter {
                clock: deadline,
                occurred_at: deadline,
                before,
                signals: &mut *self.signals,
                ..*self
            };
            at_deadline.alert_by_clock(kind, deadline)
        };
        let lifecycle = match (self.facts.lifecycle(self.clock), self.facts.deadlines) {
            (Lifecycle::Prospect, _) => EmittedLifecycle::Prospect,
            (Lifecycle::AtRisk { since, .. }, _) => {
                EmittedLifecycle::AtRisk(alert(SignalKind::AtRisk, since, State::Active))
            }
            (Lifecycle::Lapsed { since }, Some(deadlines)) => {
                let at_risk = alert(SignalKind::AtRisk, deadlines.at_risk, State::Active);
                let lapsed = alert(SignalKind::Lapsed, since, State::AtRisk);
                EmittedLifecycle::Lapsed { lapsed, at_risk: Some(at_risk) }
            }
            // Without deadlines no customer lapses.
            (Lifecycle::Active { .. } | Lifecycle::Lapsed { .. }, _) => EmittedLifecycle::Active,
        };
        let kept = self.facts.kept().count;
        customer.emitted = Emitted {
            lifecycle,
            first_order: kept >= 1,
            second_order: kept >= 2 || (kept == 1 && has_kept_two_at_once(&customer.ledger, attribution)),
            armed: self.armed_by_facts(),
            segment: self.facts.segment.map(|basis| basis.at(self.clock).name),
            tier: self.facts.tier(EmittedTier::Unknown),
        };
        self.settle_cancellations(&mut customer.ledger);
        held_back
    }

    /// Every cancellation that took its order back, or came before it, counts as reported.
    fn settle_cancellations(&self, ledger: &mut Ledger) {
        let Ledger { orders, cancellations, .. } = ledger;
        for cancellation in cancellations {
            let known = orders.iter().find(|order| order.id == cancellation.order);
            let was_reported = known.is_none_or(|order| {
                let came_first = cancellation.cancelled_at < order.placed_at;
                let takes_back = !order.test && cancellation.cancels(order, self.settings.return_window);
                came_first || takes_back
            });
            cancellation.emitted = was_reported || cancellation.up_to == CancelledUpTo::Always;
        }
    }
}

/// Whether two orders were kept at the same time since the customer last had none: then `second_order` was emitted, though one of
/// them was taken back since. An order is kept from its own time to that of its cancellation or of its last return.
fn has_kept_two_at_once(ledger: &Ledger, attribution: &Attribution) -> bool {
    let mut steps: Vec<(Time, bool)> = Vec::new();
    for (index, (order, result)) in ledger.orders.iter().zip(&attribution.orders).enumerate() {
        if !result.placed {
            continue;
        }
        steps.push((order.placed_at, true));
        if !result.kept {
            let returned = ledger.returns.iter().zip(&attribution.targets);
            let returned = returned.filter(|(_, target)| **target == ReturnTarget::Order(index));
            let returned = returned.map(|(entry, _)| entry.returned_at).max();
            let cancelled = ledger.cancellation(order.id).map(|entry| entry.cancelled_at);
            let until = cancelled.into_iter().chain(returned).max().unwrap_or(order.placed_at);
            steps.push((until.max(order.placed_at), false));
        }
    }
    steps.sort_unstable_by_key(|(at, begins)| (*at, !*begins));
    let (mut kept, mut two) = (0, false);
    for (_, begins) in steps {
        kept = if begins { kept + 1 } else { kept - 1 };
        two = kept >= 2 || (two && kept == 1);
    }
    two
}
