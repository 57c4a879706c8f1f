//! The summary of the shop's time, printed at the end.

use std::fmt::{self, Display, Formatter};

use indicatif::HumanCount;

use super::narrator::date;
use super::shop::WrittenCounts;
use crate::domain::signals::rule::RuleAction;
use crate::domain::signals::signal::State;
use crate::domain::values::time::Time;
use crate::observe::metrics::{Basis, Outcome, Overview, RevenueKind, Window, WindowBasis, WindowRevenue};

/// Shown by its `Display`.
pub struct Summary {
    pub opened_at: Time,
    pub closed_at: Time,
    pub written: WrittenCounts,
    /// Taken when everything that was written was applied, and while the partitions were still owned.
    pub overview: Overview,
    /// Signals that a subscriber read from the topic.
    pub signals_read: u64,
}

impl Display for Summary {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (from, to) = (date(self.opened_at), date(self.closed_at));
        writeln!(out, "\n{from} to {to}")?;
        self.records(out)?;
        self.customers(out)?;
        self.money(out)?;
        self.signals(out)?;
        self.rules(out)
    }
}

impl Summary {
    fn records(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let WrittenCounts { orders, guest_orders, cancellations, returns, natives } = self.written;
        let applied = self.overview.outcomes[Outcome::Applied];
        writeln!(
            out,
            "  orders       {} ({} by guests), {} cancellations, {} returns",
            HumanCount(orders),
            HumanCount(guest_orders),
            HumanCount(cancellations),
            HumanCount(returns)
        )?;
        let repeated = match self.overview.outcomes[Outcome::Duplicate] {
            0 => String::new(),
            count => format!(" ({} only repeated what was known)", HumanCount(count)),
        };
        writeln!(
            out,
            "  applied      {} of {} records{repeated}, {} dead letters",
            HumanCount(applied),
            HumanCount(natives),
            HumanCount(self.overview.outcomes[Outcome::DeadLettered])
        )
    }

    fn customers(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let totals = &self.overview.partitions;
        let all: f64 = totals.customers.iter().map(|(_, count)| count).sum();
        let count = |state: State| HumanCount(totals.customers[state] as u64);
        writeln!(
            out,
            "  customers    {}: {} active, {} at risk, {} lapsed, {} without an order that was kept",
            HumanCount(all as u64),
            count(State::Active),
            count(State::AtRisk),
            count(State::Lapsed),
            count(State::Prospect)
        )?;
        let share = |basis| {
            let label = WindowBasis(Window::All, basis);
            percent(totals.window_repeat_customers[label], totals.window_customers[label])
        };
        writeln!(
            out,
            "  came back    {} by orders placed, {} by orders kept (repeat purchase rate)",
            share(Basis::Placed),
            share(Basis::Kept)
        )
    }

    fn money(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let totals = &self.overview.partitions;
        let Some((currency, revenue)) = totals.window_revenue.first_key_value() else {
            return Ok(());
        };
        let currency = currency.code();
        let revenue = |kind| revenue[WindowRevenue(Window::All, kind)];
        let kept = WindowBasis(Window::All, Basis::Kept);
        let net = revenue(RevenueKind::Net);
        let mean = |count: f64| if count > 0.0 { net / count } else { 0.0 };
        writeln!(
            out,
            "  revenue      {} {currency} gross, {} net: {} an order, {} a customer",
            money(revenue(RevenueKind::Gross)),
            money(net),
            money(mean(totals.window_orders[kept])),
            money(mean(totals.window_customers[kept]))
        )
    }

    fn signals(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let all: u64 = self.overview.signals.iter().map(|(_, count)| count).sum();
        writeln!(
            out,
            "  signals      {}, of which a subscriber read {}:",
            HumanCount(all),
            HumanCount(self.signals_read)
        )?;
        let mut counts: Vec<_> =
            self.overview.signals.iter().map(|(kind, count)| (*count, kind.name())).collect();
        // Types that the demo's settings do not turn on.
        counts.retain(|(count, _)| *count > 0);
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        table(out, &counts)
    }

    fn rules(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let rules = &self.overview.rules;
        let sum = |action| HumanCount(rules.values().map(|counts| counts[action]).sum());
        let (fired, withheld) = (sum(RuleAction::Fired), sum(RuleAction::Withheld));
        writeln!(out, "  rules        fired {fired} times, and withheld {withheld} to compare with:")?;
        let mut counts: Vec<(u64, &str)> =
            rules.iter().map(|(rule, counts)| (counts[RuleAction::Fired], &**rule)).collect();
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        table(out, &counts)
    }
}

/// Counts with their names, three in a row.
fn table(out: &mut Formatter<'_>, counts: &[(u64, &str)]) -> fmt::Result {
    for row in counts.chunks(3) {
        let cells =
            row.iter().map(|(count, name)| format!("{name:<16} {:>8}", HumanCount(*count).to_string()));
        writeln!(out, "    {}", cells.collect::<Vec<_>>().join("   "))?;
    }
    Ok(())
}

/// An amount for people; what was counted is exact.
fn money(amount: f64) -> String {
    let cents = (amount * 100.0).round().max(0.0) as u64;
    format!("{}.{:02}", HumanCount(cents / 100), cents % 100)
}

fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1} %", part / whole * 100.0) } else { "none".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_shares_are_for_people() {
        assert_eq!(money(1_234_567.891), "1,234,567.89");
        assert_eq!(money(0.05), "0.05");
        assert_eq!(percent(1.0, 3.0), "33.3 %");
        assert_eq!(percent(0.0, 0.0), "none");
    }
}
