//! A million customers who fall silent at the same instant.

use std::collections::HashSet;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::{Engine, Outcome, Progress};
use retention_signals::domain::lapse::{LapsePolicies, LapsePolicy};
use retention_signals::domain::settings::{Settings, Shop, Shops};
use retention_signals::domain::signals::kind::SignalKind;
use retention_signals::domain::signals::signal::Signal;
use retention_signals::domain::values::event::{OrderRecord, Record, SkuVariety, WatchedSkus};
use retention_signals::domain::values::ids::{CustomerKey, OrderHash, ShopIndex};
use retention_signals::domain::values::money::{Currency, SentAmount};
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::wire::hash::hash;

const CUSTOMERS: u64 = 1_000_000;
/// As a batch bounds them.
const TIMERS_MAX: usize = 10_000;
const AT_RISK: Span = Span::days(30);

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("kills::a_million_timers_due_at_once", million_timers)]
}

fn settings(currency: Currency) -> Settings {
    let shops = Shops::One(Shop::in_currency(currency));
    let policy = LapsePolicy::Fixed { at_risk: AT_RISK, lapsed: Span::days(60) };
    let lapse = LapsePolicies::new(policy, hash);
    let erasure_hash = Arc::new(|_: &[u8]| unreachable!("no customer is erased"));
    Settings { lapse, ..Settings::with_defaults(shops, hash, erasure_hash) }
}

/// No batch has more timers than it may, and every customer has one signal, at the one deadline.
fn million_timers() -> Result<(), Failed> {
    let currency = Currency::from_code(b"EUR").expect("a currency");
    let mut engine = Engine::new(Arc::new(settings(currency)));
    let placed_at = Time::from_millis(1_700_000_000_000).expect("in range");
    for customer in 0..CUSTOMERS {
        let bytes = customer.to_be_bytes();
        let key = CustomerKey { bytes: &bytes, hash: hash(&bytes) };
        let id = OrderHash(customer);
        let (skus, watched) = (SkuVariety::Unknown, WatchedSkus::NONE);
        let total = SentAmount(1_000);
        let order = OrderRecord { id, version: 0, placed_at, total, currency, test: false, skus, watched };
        let outcome = engine.handle_record(key, ShopIndex(0), &Record::Order(order), TIMERS_MAX);
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        engine.drain_signals().for_each(drop);
        if customer % 100_000 == 0 {
            engine.changes_committed();
        }
    }
    engine.changes_committed();

    let deadline = placed_at.plus(AT_RISK);
    let (mut told, mut batches) = (HashSet::new(), 0);
    loop {
        let progress = engine.advance_clock(deadline.plus(Span::days(1)), TIMERS_MAX);
        batches += 1;
        let signals: Vec<Signal> = engine.drain_signals().map(|(_, signal)| signal).collect();
        assert!(signals.len() <= TIMERS_MAX, "{} signals in one batch", signals.len());
        for signal in signals {
            assert!(matches!(signal.kind, SignalKind::AtRisk(_)), "{signal:?}");
            assert_eq!(signal.occurred_at, deadline);
            assert!(told.insert(signal.customer), "{:?} was told of twice", signal.customer);
        }
        assert!(engine.changes().len() <= TIMERS_MAX, "{} changes in one batch", engine.changes().len());
        engine.changes_committed();
        if progress == Progress::Done {
            break;
        }
    }
    assert_eq!(told.len() as u64, CUSTOMERS, "in {batches} batches");
    Ok(())
}
