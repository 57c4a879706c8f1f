//! What the facts and the signals of one customer follow from, for people who ask. No state changes.

use super::Engine;
use super::evidence::Evidence;
use super::rule_evidence::RuleEvidence;
use super::rule_visit::next_rule_due;
use super::tier_evidence::TierEvidence;
use crate::domain::customer::facts::Facts;
use crate::domain::customer::ledger::Attribution;
use crate::domain::customer::{Customer, Emitted};
use crate::domain::lapse::{Deadlines, LapsePolicy, PolicyId, PurchaseHistory};
use crate::domain::rules::firing::Turns;
use crate::domain::signals::lifecycle::rate_end;
use crate::domain::signals::ratio_signal::Thresholds;
use crate::domain::signals::signal::State;
use crate::domain::store::packed;
use crate::domain::values::ids::CustomerSlot;
use crate::domain::values::time::Time;
use crate::domain::values::window::{WINDOWS, YEAR};

/// See the module.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    pub policy: PolicyId,
    pub policy_settings: LapsePolicy,
    /// What the policy looks at; none without a kept order.
    pub history: Option<PurchaseHistory>,
    /// None without a kept order, and under a policy that sets none.
    pub deadlines: Option<Deadlines>,
    /// When the clock alone may next change what was emitted, and how.
    pub next: Option<(Time, NextChange)>,
    pub emitted: Emitted,
    /// In the order of [`WINDOWS`].
    pub windows: [WindowBounds; YEAR],
    pub remembered: Remembered,
    pub evidence: Evidence,
    /// None without tiers.
    pub tier: Option<TierEvidence>,
    /// One for each rule, by priority and name.
    pub rules: Vec<RuleEvidence>,
}

/// What may happen when a customer's timer fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextChange {
    /// Silence leads to this state.
    State(State),
    /// Silence leads to another segment.
    Segment,
    /// A rule is due, and fires if its condition holds.
    Rule,
    /// Something leaves the window of 365 days, which may raise the return rate.
    ReturnRate,
    /// Something leaves the window of 365 days, which may change the tier.
    Tier,
}

/// From when to when a trailing window reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowBounds {
    /// What happened at this instant lies outside already.
    pub after: Time,
    pub up_to: Time,
    /// When something next leaves it.
    pub next_end: Option<Time>,
}

/// How much of a customer is held one by one, and what has folded into sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remembered {
    pub orders: usize,
    pub returns: usize,
    pub cancellations: usize,
    /// Orders that have folded, test orders aside.
    pub folded_orders: u32,
    pub newest_folded_order_at: Option<Time>,
}

impl Engine {
    /// How the profile of the same instant came about.
    pub fn explain(&self, slot: CustomerSlot, as_of: Time) -> Explanation {
        let settings = &*self.settings;
        let index = self.shop_of(slot);
        let shop = settings.shops.get(index);
        let mut customer = Customer::default();
        packed::unpack(self.store.packed(slot), &mut customer).expect("packed by this engine");
        let Customer { emitted, summary, ledger, .. } = &customer;
        let mut attribution = Attribution::default();
        attribution.derive(ledger, shop, settings.return_window);
        let totals = customer.totals(as_of, &attribution, shop);
        let facts = Facts::new(&totals, index, settings);
        let history = totals.kept.history();
        let due = Some(self.timers.due(slot)).filter(|due| *due < Time::MAX);
        let turns = Turns::From(due.unwrap_or(as_of));
        let rule_due = next_rule_due(settings, &self.store, slot, index, &facts, &customer.rules, turns);
        let window = |index: usize| WindowBounds {
            after: as_of.minus(WINDOWS[index].1),
            up_to: as_of,
            next_end: totals.window_end(index + 1),
        };
        Explanation {
            policy: settings.lapse.id(index, history.as_ref()),
            policy_settings: settings.lapse.policy().clone(),
            history,
            deadlines: facts.deadlines,
            next: due.map(|due| (due, next_change(&facts, emitted, due, rule_due, &settings.thresholds))),
            emitted: *emitted,
            windows: [window(0), window(1), window(2)],
            remembered: Remembered {
                orders: ledger.orders.len(),
                returns: ledger.returns.len(),
                cancellations: ledger.cancellations.len(),
                folded_orders: summary.block.placed,
                newest_folded_order_at: summary.newest_order_at,
            },
            rules: self.rule_evidence(slot, index, &customer, &facts, as_of),
            evidence: self.evidence(slot, &customer, &attribution, history.as_ref()),
            tier: TierEvidence::of(&customer, &attribution, as_of, (shop, index), settings),
        }
    }
}

fn next_change(
    facts: &Facts<'_>,
    emitted: &Emitted,
    due: Time,
    rule_due: Option<Time>,
    thresholds: &Thresholds,
) -> NextChange {
    let segment = facts.segment.and_then(|basis| basis.next_change(emitted.segment, due));
    match facts.next(emitted.state()) {
        Some((state, at)) if at == due => NextChange::State(state),
        Some(_) | None if segment == Some(due) => NextChange::Segment,
        Some(_) | None if rule_due == Some(due) => NextChange::Rule,
        Some(_) | None if rate_end(facts, thresholds) == Some(due) => NextChange::ReturnRate,
        Some(_) | None => NextChange::Tier,
    }
}
