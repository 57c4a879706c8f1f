//! The shop's own systems: what happens is written to Kafka as the shop's time goes by.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::population::{Population, ShopEvent, ShopRecord};
use super::webhooks::{self, WebhookShop};
use crate::config::Topics;
use crate::domain::values::money::Currency;
use crate::domain::values::time::{Span, Time};
use crate::kafka::{InputRecord, MockCluster, host_wall_clock};
use crate::stream::broker::BrokerError;
use crate::topic::Input;
use crate::wire::encode::{CancellationText, OrderText, ReturnText};

/// How often the shop's systems send their records.
const SEND_EVERY: Duration = Duration::from_millis(20);
/// The longest wait for a flush, which usually takes milliseconds.
const FLUSH_MAX: Duration = Duration::from_secs(5);
/// A process that was stopped for longer (2.6 s, in real time) skips the events that it has missed: the service's clock has gone on,
/// and it would rightly refuse most of them as too old.
const MISSED_MAX: Span = Span::days(16);

/// A record for Kafka.
pub struct Written {
    pub to: WrittenTo,
    /// None for a guest's native record.
    pub key: Option<String>,
    pub value: Vec<u8>,
}

/// Which topic a record is for.
pub enum WrittenTo {
    Input(Input),
    /// The topic of webhooks, with what Shopify calls the webhook's topic.
    Webhooks(&'static str),
}

/// What the shop's systems send.
pub enum Form {
    Native,
    Shopify(WebhookShop),
}

/// What was written, by kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WrittenCounts {
    /// With those of guests.
    pub orders: u64,
    pub guest_orders: u64,
    pub cancellations: u64,
    pub returns: u64,
    /// Native records that come of them: a webhook holds an order with all that became of it.
    pub natives: u64,
}

impl WrittenCounts {
    fn add(&mut self, event: &ShopEvent, natives: u64) {
        self.natives += natives;
        match event {
            ShopEvent::Order { customer_id, .. } => {
                self.orders += 1;
                self.guest_orders += u64::from(customer_id.is_none());
            }
            ShopEvent::Cancellation { .. } => self.cancellations += 1,
            ShopEvent::Return { .. } => self.returns += 1,
        }
    }
}

/// A shop and where it writes to.
pub struct Shop<'a> {
    pub population: Population,
    pub form: Form,
    /// The shop's time.
    pub now: &'a (dyn Fn() -> Time + Sync),
    pub currency: Currency,
    pub kafka: &'a MockCluster,
    pub topics: &'a Topics,
}

impl Shop<'_> {
    /// Writes events until the other end of `open` is dropped.
    ///
    /// # Errors
    /// The brokers do not take records any more.
    pub fn keep_open(mut self, open: &Receiver<()>) -> Result<WrittenCounts, BrokerError> {
        let mut counts = WrittenCounts::default();
        let mut written_up_to = (self.now)();
        while open.recv_timeout(SEND_EVERY) == Err(RecvTimeoutError::Timeout) {
            let now = (self.now)();
            if now.since(written_up_to) > MISSED_MAX {
                while self.population.next_record(now.minus(MISSED_MAX)).is_some() {}
            }
            self.write_up_to(now, &mut counts)?;
            written_up_to = now;
        }
        self.kafka.flush(FLUSH_MAX)?;
        Ok(counts)
    }

    fn write_up_to(&mut self, now: Time, counts: &mut WrittenCounts) -> Result<(), BrokerError> {
        // Records carry the machine's time; the events that they describe happened in the shop's time.
        let timestamp_ms = host_wall_clock()();
        while let Some(record) = self.population.next_record(now) {
            let written = match &mut self.form {
                Form::Native => Some((native(&record, self.currency), 1)),
                Form::Shopify(shop) => shop.webhook(&record, self.currency),
            };
            let Some((Written { to, key, value }, natives)) = written else { continue };
            let (topic, header) = match to {
                WrittenTo::Input(input) => (&*self.topics.inputs[input], None),
                WrittenTo::Webhooks(of) => (webhooks::TOPIC, Some((webhooks::HEADER, of.as_bytes()))),
            };
            let key = key.as_ref().map(String::as_bytes);
            self.write(&InputRecord { topic, key, value: &value, header, timestamp_ms })?;
            counts.add(&record.event, natives);
        }
        Ok(())
    }

    fn write(&self, record: &InputRecord<'_>) -> Result<(), BrokerError> {
        match self.kafka.produce(record) {
            Err(BrokerError::Retry(_)) => {
                self.kafka.flush(FLUSH_MAX)?;
                self.kafka.produce(record)
            }
            written => written,
        }
    }
}

/// A record in the form of the inputs.
fn native(record: &ShopRecord, currency: Currency) -> Written {
    let mut value = Vec::new();
    let (input, key) = match &record.event {
        ShopEvent::Order { order_id, customer_id, total, skus } => {
            OrderText {
                order_id,
                placed_at: record.at,
                currency,
                total: *total,
                customer_id: customer_id.as_deref(),
                store_id: None,
                version: 0,
                test: false,
                skus,
            }
            .encode(&mut value);
            (Input::Orders, customer_id.clone())
        }
        ShopEvent::Cancellation { order_id, customer_id } => {
            CancellationText {
                order_id,
                cancelled_at: record.at,
                customer_id,
                store_id: None,
                version: None,
            }
            .encode(&mut value);
            (Input::Orders, Some(customer_id.clone()))
        }
        ShopEvent::Return { return_id, customer_id, order_id, refund } => {
            ReturnText {
                return_id,
                returned_at: record.at,
                currency,
                refund: *refund,
                customer_id: Some(customer_id),
                store_id: None,
                order_id: order_id.as_deref(),
            }
            .encode(&mut value);
            (Input::Returns, Some(customer_id.clone()))
        }
    };
    Written { to: WrittenTo::Input(input), key, value }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::config::{Purpose, Sources, load};
    use crate::domain::engine::{Engine, Outcome};
    use crate::domain::signals::kind::SignalType;
    use crate::formats::native::{Decoder, Limits, Subject};

    /// How far the shop's clock stays behind in the demo.
    const GRACE: Span = super::super::GRACE;

    /// A year through decoder and engine, the clock moving as it does at idle ends.
    fn signals_of_a_year(seed: u64) -> BTreeMap<&'static str, u64> {
        let sources = Sources { assignments: vec!["shop.currency=EUR".to_owned()], ..Sources::default() };
        let settings = load(&Sources { host_name: Some("test".to_owned()), ..sources }, Purpose::Offline)
            .unwrap()
            .settings;
        let decoder = Decoder::new(settings.shops.clone(), Limits::default());
        let mut engine = Engine::new(Arc::new(settings));
        let currency = Currency::from_code(b"EUR").unwrap();
        let opening = Time::from_millis(1_760_000_000_000).unwrap();
        let mut population = Population::new(seed, opening);
        let mut signals = BTreeMap::new();
        for day in 0..365 {
            let now = opening.plus(Span::days(day));
            while let Some(record) = population.next_record(now) {
                let Written { to, key, value } = native(&record, currency);
                let WrittenTo::Input(input) = to else { panic!("a native record is for an input") };
                let event = decoder.decode(input, key.as_ref().map(String::as_bytes), Some(&value)).unwrap();
                let outcome = match &event.subject {
                    Subject::Customer(customer) => {
                        let record = &customer.record;
                        engine.handle_record(customer.key, event.shop, record, usize::MAX)
                    }
                    Subject::Erasure { key, record } => engine.handle_erasure(*key, record, usize::MAX),
                    Subject::Guest(guest) => engine.handle_guest(event.shop, &guest.record, usize::MAX),
                };
                assert!(matches!(outcome, Outcome::Applied(_)), "{record:?}: {outcome:?}");
            }
            engine.advance_clock(now.minus(GRACE), usize::MAX);
            for (_, signal) in engine.drain_signals() {
                *signals.entry(signal.kind.name()).or_default() += 1;
            }
            engine.changes_committed();
        }
        signals
    }

    #[test]
    fn a_year_gives_every_signal() {
        for seed in 1..=3 {
            let signals = signals_of_a_year(seed);
            // Segments take cut points, tiers and rules a configuration, of which the demo has none.
            let without = [SignalType::SegmentChanged, SignalType::TierChanged, SignalType::Rule];
            for name in SignalType::ALL.into_iter().filter(|name| !without.contains(name)) {
                let name = name.name();
                let count = signals.get(name).copied().unwrap_or_default();
                assert!(count >= 5, "{name} comes {count} times with seed {seed}: {signals:?}");
            }
        }
    }
}
