//! Random events of a few customers, written, decoded, applied, and all outputs written again: everything fits its schema.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use jsonschema::Validator;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::engine::Engine;
use retention_signals::domain::engine::as_of::AsOf;
use retention_signals::domain::segments::counts::SegmentCounts;
use retention_signals::domain::settings::{Settings as DomainSettings, Shops};
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::formats::native::{Decoder, Limits, Subject};
use retention_signals::topic::Input;
use retention_signals::wire::encode::{
    CancellationText, ErasureText, OrderText, ProfileEncoder, RecordContext, Retention, ReturnText,
    ShopMetrics, ShopOutcomes, SignalEncoder, encode_shop_metrics,
};
use retention_signals::wire::hash::{erasure_hash, hash};
use serde_json::Value;

use super::{currency, shops};
use crate::examples::{self, Settings};

const SEED: u64 = 4;
const EVENTS: usize = 6_000;
const CUSTOMERS: u32 = 40;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("wire::whole_path_fits_the_schemas::one_shop", || fits_the_schemas(Settings::OneShop)),
        Trial::test("wire::whole_path_fits_the_schemas::stores", || fits_the_schemas(Settings::Stores)),
    ]
}

fn fits_the_schemas(settings: Settings) -> Result<(), Failed> {
    let shops = shops(settings);
    let mut path = Path::new(&shops);
    let mut random = Rng::with_seed(SEED);
    let mut millis = 1_600_000_000_000;
    for index in 0..EVENTS {
        millis += random.i64(0..3 * Span::DAY.as_millis() / i64::from(CUSTOMERS));
        let late = if random.u8(..10) == 0 { random.i64(0..20 * Span::DAY.as_millis()) } else { 0 };
        let at = Time::from_millis(millis - late).ok_or("in range")?;
        let (input, key, value) = event(&shops, index, at, &mut random);
        path.take(input, &key, &value).map_err(|fault| format!("seed {SEED}, event {index}: {fault}"))?;
    }
    let clock = path.engine.clock().ok_or("a clock")?;
    let counts = path.engine.counted(AsOf::including(clock), 0);
    for (index, count) in shops.indexes().zip(&counts) {
        let retention = Retention::new(count, SegmentCounts::default());
        let metrics = ShopMetrics {
            store_id: shops.store_id(index),
            at: path.engine.clock().ok_or("a clock")?,
            currency: shops.get(index).currency,
            figures: path.engine.figures(index),
            retention: Some(&retention),
            outcomes: ShopOutcomes::LeftOut,
        };
        let mut out = Vec::new();
        encode_shop_metrics(&mut out, &metrics);
        path.check("shop-metrics", &out)?;
    }
    // Rare ones need more luck than a test should have.
    let seen = path.written.keys().filter(|name| name.starts_with("signals ")).count();
    if seen < 12 || path.written["customers"] < 3_000 {
        return Err(format!("seed {SEED}: too little was written: {:?}", path.written).into());
    }
    Ok(())
}

/// An event as a producer writes it, with its key.
fn event(shops: &Shops, index: usize, at: Time, random: &mut Rng) -> (Input, String, Vec<u8>) {
    let customer = format!("c \"{}\" ü", random.u32(..CUSTOMERS));
    let shop = shops.indexes().nth(random.usize(..shops.len())).expect("below the length");
    let store = shops.store_id(shop);
    let key = store.map_or(customer.clone(), |store| format!("{store}/{customer}"));
    let codes = ["EUR", "JPY", "KWD"];
    let code = currency(codes[random.usize(..6).min(5) % codes.len()]);
    let own = shops.get(shop).currency;
    let currency = if random.u8(..4) > 0 { own } else { code };
    let order_id = format!("o-{}", index.saturating_sub(random.usize(..CUSTOMERS as usize * 4)));
    let mut value = Vec::new();
    let input = match random.u8(..100) {
        0 => {
            ErasureText { customer_id: &customer, requested_at: at, store_id: store }.encode(&mut value);
            Input::Erasures
        }
        1..10 => {
            let cancellation = CancellationText {
                order_id: &order_id,
                cancelled_at: at,
                customer_id: &customer,
                store_id: store,
                version: None,
            };
            cancellation.encode(&mut value);
            Input::Orders
        }
        10..30 => {
            let returned = ReturnText {
                return_id: &format!("r-{index}"),
                returned_at: at,
                currency,
                refund: random.i64(0..4) * 1_000,
                customer_id: Some(&customer),
                store_id: store,
                order_id: random.bool().then_some(order_id.as_str()),
            };
            returned.encode(&mut value);
            Input::Returns
        }
        _ => {
            let skus = ["a\\b", "b", "c"];
            let order = OrderText {
                order_id: &format!("o-{index}"),
                placed_at: at,
                currency,
                total: random.i64(0..6) * 1_000,
                customer_id: Some(&customer),
                store_id: store,
                version: random.u64(..3),
                test: random.u8(..30) == 0,
                skus: &skus[..random.usize(..=3)],
            };
            order.encode(&mut value);
            Input::Orders
        }
    };
    (input, key, value)
}

struct Path {
    decoder: Decoder,
    engine: Engine,
    signals: SignalEncoder,
    profiles: ProfileEncoder,
    validators: BTreeMap<&'static str, Validator>,
    /// How many records were written, by schema and type.
    written: BTreeMap<String, u64>,
}

impl Path {
    fn new(shops: &Shops) -> Self {
        let erasure_hash = erasure_hash(b"a secret of this test");
        let settings = DomainSettings::with_defaults(shops.clone(), hash, erasure_hash);
        let names = ["orders", "returns", "erasures", "signals", "customers", "shop-metrics"];
        let validator = |name| jsonschema::draft7::new(&examples::schema(name)).expect("a valid schema");
        Self {
            decoder: Decoder::new(shops.clone(), Limits::default()),
            engine: Engine::new(Arc::new(settings)),
            signals: SignalEncoder::new(shops),
            profiles: ProfileEncoder::new(shops),
            validators: names.into_iter().map(|name| (name, validator(name))).collect(),
            written: BTreeMap::new(),
        }
    }

    fn take(&mut self, input: Input, key: &str, value: &[u8]) -> Result<(), String> {
        self.check(input.name(), value)?;
        let decoder = self.decoder.clone();
        let event = decoder
            .decode(input, Some(key.as_bytes()), Some(value))
            .map_err(|refusal| format!("{}: {}", refusal.reason.name(), refusal.detail))?;
        let key = event.customer_key().ok_or_else(|| format!("a guest: {event:?}"))?;
        match &event.subject {
            Subject::Customer(customer) => {
                self.engine.handle_record(key, event.shop, &customer.record, usize::MAX);
            }
            Subject::Erasure { record, .. } => {
                self.engine.handle_erasure(key, record, usize::MAX);
            }
            Subject::Guest(_) => {}
        }
        let record = RecordContext::of(&event);
        let mut signals = Vec::new();
        for (key, signal) in self.engine.drain_signals() {
            let mut out = Vec::new();
            self.signals.encode(key, &signal, record.as_ref(), &mut out);
            signals.push(out);
        }
        for signal in &signals {
            self.check("signals", signal)?;
        }
        if let Some(slot) = self.engine.find(key) {
            let as_of = self.engine.clock().ok_or("no clock")?;
            let profile = self.engine.profile(slot, as_of);
            let mut out = Vec::new();
            self.profiles.encode(key.bytes, &profile, &mut out);
            self.check("customers", &out)?;
        }
        self.engine.changes_committed();
        Ok(())
    }

    fn check(&mut self, schema: &str, text: &[u8]) -> Result<(), String> {
        let json: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if let Err(fault) = self.validators[schema].validate(&json) {
            return Err(format!("{schema}: {fault} at {} in {json}", fault.instance_path()));
        }
        let counted = json["type"].as_str().map_or(schema.to_owned(), |name| format!("{schema} {name}"));
        *self.written.entry(counted).or_default() += 1;
        Ok(())
    }
}
