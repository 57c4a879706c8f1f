use std::sync::Arc;

use super::ledger::{Attribution, Cancellation, CancelledUpTo, Ledger, Order, Return};
use super::*;
use crate::domain::settings::Shops;
use crate::domain::values::ids::{OrderHash, ReturnHash};
use crate::domain::values::money::{Currency, SentAmount, ShopAmount};
use crate::domain::values::time::{Span, Zone};

fn at(day: i64) -> Time {
    Time::MIN.plus(Span::days(day))
}

fn euros() -> Currency {
    Currency::from_code(b"EUR").expect("a currency")
}

fn order(id: u64, day: i64) -> Order {
    let (total, currency) = (SentAmount(10_00), euros());
    Order { id: OrderHash(id), placed_at: at(day), version: 0, total, currency, test: false }
}

fn returned(id: u64, day: i64, order: Option<u64>) -> Return {
    let (refund, currency) = (SentAmount(10_00), euros());
    Return { id: ReturnHash(id), returned_at: at(day), refund, currency, order: order.map(OrderHash) }
}

fn cancellation(order: u64, day: i64) -> Cancellation {
    let up_to = CancelledUpTo::Always;
    Cancellation { order: OrderHash(order), cancelled_at: at(day), up_to, emitted: true }
}

fn with(ledger: Ledger) -> Customer {
    Customer { ledger, ..Customer::default() }
}

#[test]
fn a_customer_of_whom_anything_is_held_is_known() {
    assert!(Customer::default().is_unknown());
    let orders = Ledger { orders: vec![order(1, 1)], ..Ledger::default() };
    let returns = Ledger { returns: vec![returned(1, 1, None)], ..Ledger::default() };
    let cancellations = Ledger { cancellations: vec![cancellation(1, 1)], ..Ledger::default() };
    for ledger in [orders, returns, cancellations] {
        assert!(!with(ledger.clone()).is_unknown(), "{ledger:?}");
    }
    let folded_order = Summary { newest_order_at: Some(at(1)), ..Summary::default() };
    let folded_return = Summary { newest_return_at: Some(at(1)), ..Summary::default() };
    for summary in [folded_order, folded_return] {
        assert!(!Customer { summary, ..Customer::default() }.is_unknown(), "{summary:?}");
    }
}

#[test]
fn an_erasure_takes_what_lies_at_its_instant_and_before() {
    let mut customer = with(Ledger {
        orders: vec![order(1, 1), order(2, 2), order(3, 3)],
        returns: vec![returned(1, 1, None), returned(2, 2, None), returned(3, 3, None)],
        cancellations: vec![cancellation(7, 1), cancellation(8, 2), cancellation(9, 3)],
    });
    customer.forget_up_to(at(2));
    let left = Ledger {
        orders: vec![order(3, 3)],
        returns: vec![returned(3, 3, None)],
        cancellations: vec![cancellation(9, 3)],
    };
    assert_eq!(customer.ledger, left);
}

#[test]
fn what_names_an_unknown_order_is_forgotten_if_it_is_older() {
    let kept = Ledger {
        orders: vec![order(1, 1)],
        returns: vec![returned(1, 2, Some(1)), returned(2, 2, None), returned(4, 5, Some(7))],
        cancellations: vec![cancellation(1, 2), cancellation(8, 5)],
    };
    let mut customer = with(kept.clone());
    customer.ledger.returns.insert(2, returned(3, 4, Some(7)));
    customer.ledger.cancellations.insert(1, cancellation(7, 4));
    customer.forget_named_unknown(at(5));
    assert_eq!(customer.ledger, kept);
}

/// Few entries are compared each with each, many are sorted.
#[test]
fn entries_of_one_kind_must_have_distinct_ids() {
    for length in [2, 16, 17, 40] {
        let ids = 1..=length;
        let distinct = Ledger {
            orders: ids.clone().map(|id| order(id, 1)).collect(),
            returns: ids.clone().map(|id| returned(id, 1, None)).collect(),
            cancellations: ids.map(|id| cancellation(id, 1)).collect(),
        };
        assert!(distinct.has_distinct_ids(), "{length}");
        let mut twice = [distinct.clone(), distinct.clone(), distinct];
        twice[0].orders[0].id = OrderHash(length);
        twice[1].returns[0].id = ReturnHash(length);
        twice[2].cancellations[0].order = OrderHash(length);
        for ledger in twice {
            assert!(!ledger.has_distinct_ids(), "{length}: {ledger:?}");
        }
    }
}

#[test]
fn entries_stand_by_time_and_then_by_id() {
    let mut ledger = Ledger::default();
    for (id, day) in [(5, 2), (4, 2), (6, 2), (1, 3), (9, 1)] {
        ledger.put_order(order(id, day));
        ledger.put_return(returned(id, day, None));
        ledger.put_cancellation(cancellation(id, day));
    }
    let expected = [9, 4, 5, 6, 1];
    assert_eq!(ledger.orders.iter().map(|order| order.id.0).collect::<Vec<_>>(), expected);
    assert_eq!(ledger.returns.iter().map(|returned| returned.id.0).collect::<Vec<_>>(), expected);
    assert_eq!(ledger.cancellations.iter().map(|entry| entry.order.0).collect::<Vec<_>>(), expected);
}

/// Every sum at its bound leaves no room, and one below it does.
#[test]
fn sums_leave_room_below_their_bounds() {
    const COUNT: u32 = 1 << 31;
    const DAY: i32 = 1 << 22;
    let amount = |below: i64| ShopAmount((1 << 60) - below);
    assert!(Summary::default().leaves_room());
    for below in [0, 1] {
        let counts = |set: fn(&mut Summary, u32)| {
            let mut summary = Summary::default();
            set(&mut summary, COUNT - below);
            summary
        };
        let amounts = |set: fn(&mut Summary, ShopAmount)| {
            let mut summary = Summary::default();
            set(&mut summary, amount(i64::from(below)));
            summary
        };
        let days = |set: fn(&mut Summary, i32)| {
            let mut summary = Summary::default();
            set(&mut summary, DAY - i32::try_from(below).expect("0 or 1"));
            summary
        };
        let squares = {
            let mut summary = Summary::default();
            summary.kept.days.squares = (1 << 62) - u64::from(below);
            summary
        };
        let filled = [
            counts(|summary, count| summary.block.placed = count),
            counts(|summary, count| summary.block.kept = count),
            counts(|summary, count| summary.block.returned_orders = count),
            counts(|summary, count| summary.kept.count = count),
            counts(|summary, count| summary.kept.days.count = count),
            amounts(|summary, amount| summary.block.gross = amount),
            amounts(|summary, amount| summary.block.refunded = amount),
            amounts(|summary, amount| summary.block.cancelled = amount),
            amounts(|summary, amount| summary.block.unattributed = amount),
            amounts(|summary, amount| summary.block.excess = amount),
            amounts(|summary, amount| summary.kept.net = amount),
            amounts(|summary, amount| summary.kept.last_values[2] = amount),
            days(|summary, day| summary.kept.days.first = -day),
            days(|summary, day| summary.kept.days.last[3] = day),
            squares,
        ];
        for summary in filled {
            assert_eq!(summary.leaves_room(), below == 1, "{summary:?}");
        }
    }
}

/// The same content again raises the version only if that is higher.
#[test]
fn only_a_higher_version_is_raised() {
    let record = |version: u64, day: i64| {
        Record::Order(OrderRecord {
            id: OrderHash(1),
            version,
            placed_at: at(day),
            total: SentAmount(10_00),
            currency: euros(),
            test: false,
            skus: SkuVariety::Unknown,
            watched: WatchedSkus::NONE,
        })
    };
    let held = with(Ledger { orders: vec![Order { version: 5, ..order(1, 1) }], ..Ledger::default() });
    let raised = [4, 5, 6].map(|version| held.raises_version(&record(version, 1)));
    assert_eq!((raised, held.raises_version(&record(6, 2))), ([false, false, true], false));

    let cancelled = |version: Option<u64>, day: i64| {
        Record::Cancellation(CancellationRecord { order: OrderHash(1), cancelled_at: at(day), version })
    };
    let up_to = CancelledUpTo::Version(5);
    let held = with(Ledger {
        cancellations: vec![Cancellation { up_to, ..cancellation(1, 1) }],
        ..Ledger::default()
    });
    let raised = [Some(4), Some(5), Some(6), None].map(|version| held.raises_version(&cancelled(version, 1)));
    assert_eq!((raised, held.raises_version(&cancelled(Some(6), 2))), ([false, false, true, true], false));
}

fn shop() -> Shop {
    Shop { currency: euros(), zone: Zone::utc(), conversions: Vec::new() }
}

fn settings() -> Settings {
    Settings::with_defaults(Shops::One(shop()), |_| 1, Arc::new(|_| [0; 16]))
}

/// Each kind of entry alone, at the horizon and beyond it, and as many as may be and one more.
#[test]
fn what_is_old_or_too_much_may_fold() {
    let settings = Settings { orders_max: 2, ..settings() };
    let at_horizon = at(1).plus(settings.ledger_horizon());
    let of = |ids: std::ops::RangeInclusive<u64>| {
        [
            Ledger { orders: ids.clone().map(|id| order(id, 1)).collect(), ..Ledger::default() },
            Ledger { returns: ids.clone().map(|id| returned(id, 1, None)).collect(), ..Ledger::default() },
            Ledger { cancellations: ids.map(|id| cancellation(id, 1)).collect(), ..Ledger::default() },
        ]
        .map(with)
    };
    let may_fold =
        |customers: [Customer; 3], clock| customers.map(|customer| customer.may_fold(&settings, clock));
    assert_eq!(may_fold(of(1..=1), at_horizon), [false; 3]);
    assert_eq!(may_fold(of(1..=1), at_horizon.plus(Span::from_millis(1))), [true; 3]);
    assert_eq!(may_fold(of(1..=2), at(1)), [false; 3]);
    assert_eq!(may_fold(of(1..=3), at(1)), [true; 3]);
}

#[test]
fn returns_that_stand_alone_fold_when_they_are_old_or_too_many() {
    let (shop, settings) = (shop(), Settings { orders_max: 2, ..settings() });
    let left = |days: &[i64], clock: Time| {
        let returns = (1..).zip(days).map(|(id, day)| returned(id, *day, None)).collect();
        let mut customer = with(Ledger { returns, ..Ledger::default() });
        let mut attribution = Attribution::default();
        attribution.derive(&customer.ledger, &shop, settings.return_window);
        customer.fold(&shop, &settings, clock, &attribution);
        let left: Vec<u64> = customer.ledger.returns.iter().map(|returned| returned.id.0).collect();
        (left, customer.summary.newest_return_at, customer.summary.block.refunded)
    };
    let behind = at(2).plus(settings.ledger_horizon()); // What lies on day 1 is old then, on day 2 not yet.
    assert_eq!(left(&[1, 2], behind), (vec![2], Some(at(1)), ShopAmount(10_00)));
    assert_eq!(left(&[5, 6], behind), (vec![1, 2], None, ShopAmount::ZERO));
    assert_eq!(left(&[5, 6, 7, 8], behind), (vec![3, 4], Some(at(6)), ShopAmount(20_00)));
}
