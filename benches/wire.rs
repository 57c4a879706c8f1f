//! How many events a second one core decodes and encodes: `cargo bench --bench wire`.
//!
//! Each figure is the best of many short rounds over records that differ, so that neither branch prediction nor a cache can learn one
//! by heart. Words behind `--` choose among them. With `--smoke` the rounds are tiny and the figures mean nothing: it only shows that everything still runs.

use std::hint::black_box;
use std::time::Instant;

use retention_signals::domain::lapse::PolicyId;
use retention_signals::domain::settings::{Shop, Shops};
use retention_signals::domain::signals::kind::SignalKind;
use retention_signals::domain::signals::signal::{
    ActiveKind, Cause, CustomerType, Lifecycle, Profile, ProfileSegment, ProfileTier, RecordDigest, Signal,
    Silence, State,
};
use retention_signals::domain::values::ids;
use retention_signals::domain::values::money::{Currency, ShopAmount};
use retention_signals::domain::values::number::Ratio;
use retention_signals::domain::values::time::{Span, Time, Zone};
use retention_signals::domain::values::window::OrderTotals;
use retention_signals::formats::native::{Decoder, Limits, Subject};
use retention_signals::topic::Input;
use retention_signals::wire::encode::{
    OrderText, ProfileEncoder, RecordContext, RecordKind, ReturnText, SignalEncoder,
};

const RECORDS: usize = 1_000;
const ROUNDS: usize = 1_000;

fn main() {
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let (records, rounds) = if smoke { (100, 1) } else { (RECORDS, ROUNDS) };
    let shops = Shops::One(Shop { currency: euro(), zone: Zone::utc(), conversions: Vec::new() });
    bench_decode(&shops, records, rounds);
    bench_encode(&shops, records, rounds);
}

/// Runs `step` for each record of a round and prints the best round.
fn measure(what: &str, records: usize, rounds: usize, mut step: impl FnMut(usize) -> usize) {
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    if wanted.peek().is_some() && !wanted.any(|wanted| what.contains(&wanted)) {
        return;
    }
    let mut best = f64::INFINITY;
    let mut bytes = 0;
    for _ in 0..rounds {
        let start = Instant::now();
        bytes = (0..records).map(&mut step).sum();
        best = best.min(start.elapsed().as_secs_f64());
    }
    let (nanos, per_second) = (best * 1e9 / records as f64, records as f64 / best);
    println!("{what:<40} {per_second:>12.0}/s {nanos:>8.0} ns {:>6} B", bytes / records);
}

fn bench_decode(shops: &Shops, records: usize, rounds: usize) {
    let decoder = Decoder::new(shops.clone(), Limits::default());
    let keys: Vec<String> = (0..records).map(customer).collect();
    let decode = |what: &str, input: Input, encode: &dyn Fn(usize) -> Vec<u8>| {
        let values: Vec<Vec<u8>> = (0..records).map(encode).collect();
        measure(what, records, rounds, |index| {
            let event = decoder.decode(input, Some(keys[index].as_bytes()), Some(&values[index]));
            let event = event.expect("a valid record");
            assert!(matches!(&event.subject, Subject::Customer(event) if !event.id.is_empty()));
            black_box(&event);
            values[index].len()
        });
    };
    decode("decode orders of 300 bytes", Input::Orders, &long_order);
    decode("decode orders without items", Input::Orders, &short_order);
    decode("decode returns", Input::Returns, &returned);
}

fn bench_encode(shops: &Shops, records: usize, rounds: usize) {
    let mut out = Vec::with_capacity(4_096);
    let keys: Vec<String> = (0..records).map(customer).collect();

    let encoder = ProfileEncoder::new(shops);
    let profiles: Vec<Profile> = (0..records).map(profile).collect();
    measure("encode profiles", records, rounds, |index| {
        out.clear();
        encoder.encode(keys[index].as_bytes(), &profiles[index], &mut out);
        black_box(&out).len()
    });

    let encoder = SignalEncoder::new(shops);
    let signals: Vec<Signal> = (0..records).map(signal).collect();
    let context = RecordContext {
        kind: RecordKind::Order { version: 0 },
        id: "o-2025-00001234",
        at: time(0),
        store_id: None,
    };
    measure("encode signals", records, rounds, |index| {
        out.clear();
        encoder.encode(keys[index].as_bytes(), &signals[index], Some(&context), &mut out);
        black_box(&out).len()
    });
}

// === Records that differ

fn euro() -> Currency {
    Currency::from_code(b"EUR").expect("a currency")
}

fn time(index: usize) -> Time {
    Time::from_millis(1_743_869_700_123 + index as i64 * 7_919_333).expect("in range")
}

/// A number that looks random.
fn scattered(index: usize) -> u64 {
    (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn customer(index: usize) -> String {
    format!("customer-{:07}", scattered(index) % 1_000_000)
}

fn order<'a>(index: usize, id: &'a str, customer: &'a str) -> OrderText<'a> {
    OrderText {
        order_id: id,
        placed_at: time(index),
        currency: euro(),
        total: (scattered(index) % 50_000) as i64,
        customer_id: Some(customer),
        store_id: None,
        version: 0,
        test: false,
        skus: &[],
    }
}

fn short_order(index: usize) -> Vec<u8> {
    let (id, customer) = (format!("o-2025-{index:08}"), customer(index));
    let mut out = Vec::new();
    order(index, &id, &customer).encode(&mut out);
    out
}

/// As a shop writes it: with a store, items with prices, and something that nobody reads.
fn long_order(index: usize) -> Vec<u8> {
    let scattered = scattered(index);
    let text = format!(
        r#"{{"order_id":"o-2025-{index:08}","placed_at":"{}","currency":"EUR","total":"{}.{:02}","customer_id":"{}","store_id":"berlin-mitte","channel":"web","items":[{{"sku":"TEA-ASSAM-{}","quantity":2,"unit_price":"9.50"}},{{"sku":"POT-GLASS-{}","quantity":1,"unit_price":"23.00"}}]}}"#,
        String::from_utf8_lossy(&retention_signals::wire::encode::time_text(time(index))),
        scattered % 500,
        scattered % 100,
        customer(index),
        scattered % 10_000,
        scattered % 1_000,
    );
    text.into_bytes()
}

fn returned(index: usize) -> Vec<u8> {
    let (id, order_id, customer) = (format!("r-{index}"), format!("o-2025-{index:08}"), customer(index));
    let mut out = Vec::new();
    let text = ReturnText {
        return_id: &id,
        returned_at: time(index),
        currency: euro(),
        refund: (scattered(index) % 50_000) as i64,
        customer_id: Some(&customer),
        store_id: None,
        order_id: Some(&order_id),
    };
    text.encode(&mut out);
    out
}

fn profile(index: usize) -> Profile {
    let orders = 1 + (scattered(index) % 6) as u32;
    let block = |orders: u32| OrderTotals {
        placed: orders,
        kept: orders,
        gross: ShopAmount(i64::from(orders) * (2_000 + (scattered(index) % 9_000) as i64)),
        ..OrderTotals::default()
    };
    Profile {
        shop: ids::ShopIndex(0),
        as_of: time(index + 5),
        lifecycle: Lifecycle::Active {
            kind: ActiveKind::Established,
            since: time(index + 5),
            at_risk_at: Some(time(index + 500)),
        },
        customer_type: Some(CustomerType::Returning),
        first_order_at: Some(time(index)),
        last_order_at: Some(time(index + 5)),
        purchase_days: orders,
        mean_gap: Ratio::new(scattered(index) as i64 % 400, 3),
        expected_gap: Ratio::new(scattered(index) as i64 % 400 + 90, 5),
        outlook: None,
        segment: ProfileSegment::LeftOut,
        points: None,
        tier: ProfileTier::LeftOut,
        truncated: false,
        blocks: [block(orders), block(orders.min(1)), block(orders.min(2)), block(orders)],
    }
}

fn signal(index: usize) -> Signal {
    let (kind, cause) = if index.is_multiple_of(2) {
        (
            SignalKind::FirstOrder { value: ShopAmount((scattered(index) % 50_000) as i64) },
            Cause::Record(RecordDigest(scattered(index))),
        )
    } else {
        let silence = Silence {
            deadline: time(index),
            last_order_at: time(index).minus(Span::days(67)),
            expected_gap: Ratio::new(135, 3),
            order_probability: None,
        };
        (SignalKind::AtRisk(silence), Cause::Deadline(time(index)))
    };
    Signal {
        customer: Some(ids::CustomerSlot(0)),
        shop: ids::ShopIndex(0),
        kind,
        occurred_at: time(index),
        before: State::Prospect,
        after: State::Active,
        cause,
        policy: PolicyId { name: "cadence", version: 0x0123_4567_89ab_cdef },
    }
}
