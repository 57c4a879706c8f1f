//! What the open batch has caused: one queue, from the call that caused it to [`Engine::changes_committed`].
//!
//! A slot that the queue names stays reserved until then, even if its customer is erased: no other customer can take it, and
//! a signal about the erased customer still finds the key.

use super::Engine;
use crate::domain::rules::counts::RuleCounts;
use crate::domain::signals::signal::{Signal, State};
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::Time;

/// A change of state that the changelog must hold. In order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The customer's state changed; with `profile_at`, its profile too, at that clock.
    Customer { slot: CustomerSlot, profile_at: Option<Time> },
    /// The engine holds nothing of this key any more.
    Erased { key: Box<[u8]> },
    /// Records of the erased customer are refused from now on.
    MarkerSet { hash: [u8; 16], requested_at: Time },
    /// They can no longer come.
    MarkerEnded { hash: [u8; 16] },
    /// A customer touched before was erased in the same batch; [`Change::Erased`] follows.
    Withdrawn,
}

/// How many customers went from one state to another, by [`State`] as a number.
pub type Transitions = [[u64; State::ALL.len()]; State::ALL.len()];

/// What the open batch has caused.
#[derive(Default)]
pub(in crate::domain) struct Effects {
    pub(in crate::domain) signals: Vec<Signal>,
    changes: Vec<Change>,
    transitions: Transitions,
    /// How many timers have fired without a signal.
    pub(super) timers_silent: u64,
    /// How many orders have folded before their age, because their customers have more than `orders_max`.
    pub(super) folded_early: u64,
    /// How many signals about instants before [`Engine::signals_from`] were not published.
    pub(super) held_back: u64,
    pub(super) rule_counts: RuleCounts,
    /// Customers who were erased, with their keys: their slots are reserved.
    erased: Vec<(CustomerSlot, Box<[u8]>)>,
}

impl Effects {
    pub(super) fn count_transition(&mut self, before: State, after: State) {
        if before != after {
            self.transitions[before as usize][after as usize] += 1;
        }
    }

    pub(super) fn note(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// A customer is erased: its slot is reserved, and what the batch has noted of it by its mark is withdrawn.
    pub(super) fn erase(&mut self, slot: CustomerSlot, key: &[u8], mark: u32) {
        if let Some(noted) = (mark as usize).checked_sub(1) {
            self.changes[noted] = Change::Withdrawn;
        }
        self.erased.push((slot, key.into()));
    }
}

impl Engine {
    /// Takes the signals that were emitted since the last time, in order, each with its customer's key. A guest's comes without one.
    pub fn drain_signals(&mut self) -> impl Iterator<Item = (&[u8], Signal)> + '_ {
        let Effects { signals, erased, .. } = &mut self.effects;
        let (erased, store) = (&*erased, &self.store);
        signals.drain(..).map(move |signal| {
            let Some(customer) = signal.customer else { return (b"".as_slice(), signal) };
            let erased = erased.iter().find(|(slot, _)| *slot == customer);
            (erased.map_or_else(|| store.key(customer), |(_, key)| key), signal)
        })
    }

    /// How many timers have fired without a signal since the last time.
    pub fn take_silent_timers(&mut self) -> u64 {
        std::mem::take(&mut self.effects.timers_silent)
    }

    /// How many orders have folded before their age since the last time.
    pub fn take_folded_early(&mut self) -> u64 {
        std::mem::take(&mut self.effects.folded_early)
    }

    /// What rules did since the last time, beside their signals.
    pub fn take_rule_counts(&mut self) -> RuleCounts {
        std::mem::take(&mut self.effects.rule_counts)
    }

    /// How many customers changed state in the open batch, from and to.
    pub fn transitions(&self) -> &Transitions {
        &self.effects.transitions
    }

    /// What the open batch changed, in order.
    pub fn changes(&self) -> &[Change] {
        &self.effects.changes
    }

    /// The batch is known to be committed, its signals included: a new one begins.
    pub fn changes_committed(&mut self) {
        let Effects {
            signals,
            changes,
            transitions,
            timers_silent: _,
            folded_early: _,
            held_back: _,
            rule_counts: _,
            erased,
        } = &mut self.effects;
        assert!(signals.is_empty(), "the signals of a batch are drained before its end");
        *transitions = Transitions::default();
        for change in changes.drain(..) {
            if let Change::Customer { slot, .. } = change {
                self.store.set_mark(slot, 0);
            }
        }
        for (slot, _) in erased.drain(..) {
            self.store.release(slot);
        }
    }

    /// Notes that the open batch changed a customer; with `profile_at` its profile is published.
    pub(super) fn touch(&mut self, slot: CustomerSlot, profile_at: Option<Time>) {
        let changes = &mut self.effects.changes;
        let mark = self.store.mark(slot) as usize;
        if mark == 0 {
            changes.push(Change::Customer { slot, profile_at });
            self.store.set_mark(slot, u32::try_from(changes.len()).expect("a batch is bounded"));
        } else if let Change::Customer { profile_at: noted, .. } = &mut changes[mark - 1] {
            *noted = profile_at.or(*noted);
        }
    }
}
