//! The law of customers with long histories, whose totals are cached.

use std::sync::Arc;

use fastrand::Rng;
use retention_signals::domain::engine::Engine;
use retention_signals::domain::signals::signal::Signal;
use retention_signals::domain::values::event::{
    CancellationRecord, OrderRecord, Record, SkuVariety, WatchedSkus,
};
use retention_signals::domain::values::ids::{OrderHash, ShopIndex};
use retention_signals::domain::values::money::SentAmount;
use retention_signals::domain::values::time::{Span, Time};

use super::{LATENESS, apply, currency, key, restored, settings, signals};

/// The totals of long histories are cached and updated; an engine that is restored before each record never caches them.
pub(super) fn go_on_as_if_derived_anew(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let mut settings = (*settings(&mut random)).clone();
    settings.orders_max = [35, 45, 1_000][random.usize(0..3)];
    let settings = Arc::new(settings);
    let (mut kept, mut anew) = (Engine::new(Arc::clone(&settings)), Engine::new(Arc::clone(&settings)));
    for record in long_history(&mut random) {
        apply(&mut kept, &record)?;
        apply(&mut anew, &record)?;
        let (emitted, emitted_anew) = (signals(&mut kept), signals(&mut anew));
        anew = restored(&anew, &settings)?;
        if random.u8(0..4) == 0 {
            kept.settle_figures(1);
        }
        let is_looked_at = random.u8(0..4) == 0;
        let state = |engine: &mut Engine, emitted: &[Signal]| {
            let slot = engine.find(key()).expect("the customer is held");
            let profile = engine.profile(slot, engine.clock().expect("a record was handled"));
            let figures = is_looked_at.then(|| *engine.figures(ShopIndex(0)));
            format!("{emitted:?} {profile:?} {figures:?} {:?}", engine.packed(slot))
        };
        let (state, state_anew) = (state(&mut kept, &emitted), state(&mut anew, &emitted_anew));
        if state != state_anew {
            return Err(format!("after {record:?}\n{state}\n{state_anew}"));
        }
    }
    Ok(())
}

/// Orders of a customer who comes every few days for a year or two, and seldom something else.
fn long_history(random: &mut Rng) -> Vec<Record> {
    let mut at = 400 * Span::DAY.as_millis();
    (0..random.u64(40..90))
        .map(|id| {
            let days = [2, 4, 14, if random.u8(0..10) == 0 { 400 } else { 4 }][random.usize(0..4)];
            at += random.i64(0..4 * days) * Span::DAY.as_millis() / 4;
            let time = Time::from_millis(at).expect("a few years after 1970");
            let order = OrderHash(id);
            if random.u8(0..100) == 0 {
                return Record::Cancellation(CancellationRecord { order, cancelled_at: time, version: None });
            }
            let late = if random.u8(0..30) == 0 { LATENESS.as_millis() / 2 } else { 0 };
            Record::Order(OrderRecord {
                id: order,
                version: 1,
                placed_at: Time::from_millis(at - late).expect("as above"),
                total: SentAmount([0, 5, 10, 15][random.usize(0..4)]),
                currency: currency(["EUR", "EUR", "USD"][random.usize(0..3)]),
                test: random.u8(0..12) == 0,
                skus: SkuVariety::One(1),
                watched: WatchedSkus::NONE,
            })
        })
        .collect()
}
