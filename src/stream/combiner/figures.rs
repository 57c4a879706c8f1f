//! The figures of a complete day as gauges show them.

use std::collections::BTreeMap;

use crate::domain::daily_count::outcomes::{Comparison, RuleOutcomes};
use crate::domain::daily_count::projection::MONTHS;
use crate::domain::daily_count::stage::ShopStage;
use crate::domain::daily_count::{DailyCount, KeptOrders};
use crate::domain::segments::counts::SegmentCounts;
use crate::domain::settings::Settings;
use crate::domain::values::number::Ratio;
use crate::domain::values::time::Time;
use crate::domain::values::window::YEAR;
use crate::observe::metrics::{
    CurrencyLabel, OrderOrigin, PerLabel, RefundKind, RuleGroup, ShopDay, ShopMoney, ShopRevenue,
    TrailingWindow, WindowOrigin,
};
use crate::wire::encode::Retention;

use super::records::count_of;

/// Adds stores up: customers and orders of all, money by currency.
pub fn shop_day(settings: &Settings, day: Time, counts: &BTreeMap<Option<Box<str>>, DailyCount>) -> ShopDay {
    let mut all: Option<DailyCount> = None;
    let mut by_currency: BTreeMap<CurrencyLabel, DailyCount> = BTreeMap::new();
    for index in settings.shops.indexes() {
        let count = count_of(settings, index, day, counts);
        let currency = CurrencyLabel::of(settings.shops.get(index).currency);
        by_currency.entry(currency).and_modify(|sum| sum.merge(&count)).or_insert_with(|| count.clone());
        match &mut all {
            None => all = Some(count),
            Some(sum) => sum.merge(&count),
        }
    }
    let all = all.expect("a service has a shop");
    let retention = Retention::new(&all, SegmentCounts::default());
    let totals = |window: TrailingWindow| &all.totals.windows[window as usize + 1];
    ShopDay {
        day,
        stage: ShopStage::of_count(&all),
        customers: PerLabel::build(|state| all.totals.customers_of(state)),
        kept_orders: PerLabel::build(|WindowOrigin(window, origin)| {
            of_origin(&retention, origin)[window as usize].orders
        }),
        placed_orders: PerLabel::build(|window| totals(window).placed),
        returned_orders: PerLabel::build(|window| totals(window).returned_orders),
        customer_return_rate: PerLabel::build(|window: TrailingWindow| {
            retention.return_rates[window as usize]
        }),
        repeat_purchase_rate: PerLabel::build(|window| {
            Ratio::new(totals(window).repeat_kept, totals(window).customers_kept)
        }),
        retention: PerLabel::build(|month| retention.curve.get(1 + month as usize).copied()),
        money: by_currency.into_iter().map(|(currency, count)| (currency, money(&count))).collect(),
        rules: rule_groups(&all.rules),
    }
}

fn rule_groups(outcomes: &RuleOutcomes) -> Vec<RuleGroup> {
    let groups = outcomes.groups().map(|(group, outcome)| {
        let compared = (!group.withheld).then(|| Comparison::new(outcome, &outcomes.withheld(group.rule)));
        RuleGroup {
            rule: group.rule.into(),
            variant: group.variant.into(),
            withheld: group.withheld,
            customers: outcome.customers,
            ordered_share: outcome.ordered_share(),
            difference: compared.and_then(|compared| compared.difference),
            margin: compared.and_then(|compared| compared.margin),
        }
    });
    groups.collect()
}

fn money(count: &DailyCount) -> ShopMoney {
    let retention = Retention::new(count, SegmentCounts::default());
    let (windows, last) = (&count.totals.windows, MONTHS - 1);
    ShopMoney {
        kept_net: PerLabel::build(|WindowOrigin(window, origin)| {
            of_origin(&retention, origin)[window as usize].net.minor()
        }),
        revenue: PerLabel::build(|ShopRevenue(window, kind)| {
            let totals = &windows[window as usize + 1];
            match kind {
                RefundKind::Gross => totals.gross.minor(),
                RefundKind::Refunded => totals.refunded.minor(),
            }
        }),
        projected: retention.projections.first().map(|projection| projection.base[last].minor()),
        // They are in the order of the label.
        projected_extra: PerLabel::build(|points| {
            retention.projections.get(points as usize).map(|projection| projection.extra[last].minor())
        }),
    }
}

const fn of_origin(retention: &Retention, origin: OrderOrigin) -> &[KeptOrders; YEAR] {
    match origin {
        OrderOrigin::New => &retention.new,
        OrderOrigin::Returning => &retention.returning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::daily_count::cohorts::CohortRow;
    use crate::domain::daily_count::outcomes::{Outcome, OutcomeGroup};
    use crate::domain::settings::{Shop, Shops};
    use crate::domain::signals::signal::State;
    use crate::domain::values::money::{Currency, ShopAmount};
    use crate::domain::values::time::Zone;
    use crate::formats::native::from_rfc3339;
    use crate::observe::metrics::{OrderOrigin, ProjectedPoints, RetentionMonth};
    use crate::wire::hash::hash;
    use std::sync::Arc;

    /// A store of so many new customers in each of five months, half of whom are active in the month after.
    fn count(day: Time, customers: u64) -> DailyCount {
        let mut count = DailyCount::new(day, Time::MIN, &Zone::utc(), 0);
        count.totals.customers[State::Active as usize] = customers;
        count.windows[1].new = KeptOrders { orders: customers, net: ShopAmount(100) };
        count.windows[1].customers = 2;
        count.windows[1].customers_returning = 1;
        for withheld in [false, true] {
            let group = OutcomeGroup { rule: "win-back", variant: "", withheld };
            let ordered = if withheld { customers / 10 } else { customers / 2 };
            count.rules.add(group, &Outcome { customers, ordered, ..Outcome::default() });
        }
        for back in 1..=5 {
            let cohort = count.current.plus(-back);
            count.cohorts.sizes.insert(cohort, customers);
            for (month, active) in [(cohort, customers), (cohort.plus(1), customers / 2)] {
                let row =
                    CohortRow { customers: active, orders: active, net: ShopAmount(1_000 * active as i64) };
                count.cohorts.rows.insert((month, cohort), row);
            }
        }
        count
    }

    #[test]
    fn customers_of_all_stores_and_money_by_currency() {
        let currency = |code: &[u8]| Currency::from_code(code).expect("a currency");
        let [euro, dollar] = [b"EUR", b"USD"].map(|code| currency(code));
        let stores = [("a", euro), ("b", euro), ("c", dollar), ("empty", dollar)];
        let stores = stores.map(|(id, currency)| (id.into(), Shop::in_currency(currency)));
        let settings = Settings::with_defaults(Shops::ByStore(stores.into()), hash, Arc::new(|_| [0; 16]));
        let day = from_rfc3339("2025-10-01T00:00:00Z").expect("a midnight");
        let counts = [("a", 10), ("b", 20), ("c", 40)];
        let counts = counts.map(|(id, customers)| (Some(id.into()), count(day, customers))).into();

        let shop = shop_day(&settings, day, &counts);
        assert_eq!((shop.day, shop.stage), (day, ShopStage::Starting), "no kept order in the totals");
        assert_eq!(shop.customers[State::Active], 70);
        let new_90_days = WindowOrigin(TrailingWindow::Days90, OrderOrigin::New);
        assert_eq!(shop.kept_orders[new_90_days], 70);
        let half = |ratio: Option<Ratio>| ratio.is_some_and(|ratio| 2 * ratio.numerator == ratio.denominator);
        assert!(half(shop.customer_return_rate[TrailingWindow::Days90]));
        assert!(shop.customer_return_rate[TrailingWindow::Days30].is_none());
        assert!(half(shop.retention[RetentionMonth::Month1]));
        assert!(shop.retention[RetentionMonth::Month12].is_none());

        let [fired, withheld] = &shop.rules[..] else { panic!("{:?}", shop.rules) };
        assert_eq!([fired.withheld, withheld.withheld], [false, true]);
        assert_eq!([fired.customers, withheld.customers], [70, 70], "of all stores");
        let tenths = |ratio: Option<Ratio>| ratio.map(|ratio| ratio.scaled_half_even(10));
        assert_eq!([fired, withheld].map(|group| tenths(group.ordered_share)), [Some(5), Some(1)]);
        assert_eq!([fired, withheld].map(|group| tenths(group.difference)), [Some(4), None]);
        assert_eq!([fired, withheld].map(|group| group.margin.is_some()), [true, false]);

        assert_eq!(shop.money.len(), 2);
        let [in_euro, in_dollars] = [euro, dollar].map(|currency| &shop.money[&CurrencyLabel::of(currency)]);
        assert_eq!([in_euro, in_dollars].map(|money| money.kept_net[new_90_days]), [200, 100]);
        // 30 new customers a month, each worth 10.00 in an active month; half of those of the month before are active.
        assert_eq!((in_euro.projected, in_dollars.projected), (Some(45_000), Some(60_000)));
        let extra = |points| in_euro.projected_extra[points].expect("a projection");
        let [one, five, ten] = [ProjectedPoints::One, ProjectedPoints::Five, ProjectedPoints::Ten].map(extra);
        assert_eq!([5 * one, 10 * one], [five, ten]);
    }
}
