//! The service's data path, from bytes to bytes, against the independent oracle.
//!
//! Random histories: as records might arrive within the lateness, and wilder, with guests, erasures, records that come
//! too late, and moves of the clock. Compared are, after each input, the signals, the outcome and which profiles are
//! published with what; at the end the shop's figures. `RETENTION_ORACLE_SEED` replays one history,
//! `RETENTION_ORACLE_SEEDS` sets how many are tried.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use libtest_mimic::{Completion, Failed, Trial};
use retention_signals::config::{self, Config, Purpose, Sources};
use retention_signals::domain::engine::export::{Export, Room, StateItem};
use retention_signals::domain::engine::restore::Restore;
use retention_signals::domain::engine::shop_totals::GuestTotals;
use retention_signals::domain::engine::{Applied, Change, Engine, Outcome, Refusal, Standing};
use retention_signals::domain::rules::firing::Rulebook;
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::domain::store::packed::Format;
use retention_signals::domain::values::ids::{CustomerKey, ShopIndex};
use retention_signals::domain::values::time::Time;
use retention_signals::formats::native::{Decoder, Limits, Subject};
use retention_signals::topic::Input as Topic;
use retention_signals::wire::encode::{
    EventCounts, ProfileEncoder, RecordContext, SignalEncoder, Summary, TruncatedCounts, encode_summary,
};
use retention_signals::wire::hash::hash;
use retention_signals::wire::reason::Reason;
use retention_signals::wire::remark::{InputRemark, Remark};
use serde_json::Value;

use crate::oracle::club::Points;
use crate::oracle::scenario::DAY_ZERO_MS;
use crate::oracle::{
    self, History, Input, Oracle, OracleConfig, OracleOutput, Policy, Shop, Shops, history, online_retail,
    scenario,
};
use crate::{segments, tiers};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("differential::histories_agree", || over_seeds(|history| &history.as_arrived)),
        Trial::test("differential::wild_histories_agree", || over_seeds(|history| &history.wild)),
        Trial::test("differential::scenarios_agree", scenarios_agree),
        Trial::test(
            "differential::deadline_and_expiry_at_one_instant_agree",
            deadline_and_expiry_at_one_instant_agree,
        ),
        Trial::ignorable_test("differential::online_retail_agrees", || match online_retail::path() {
            Ok(path) => online_retail_agrees(&path).map(|()| Completion::Completed),
            Err(missing) => Ok(Completion::ignored_with(missing)),
        }),
    ]
}

/// What was computed by hand for the oracle holds for the service too. Only scenarios of one shop: the configuration is written
/// for one.
fn scenarios_agree() -> Result<(), Failed> {
    let scenarios = oracle::SCENARIOS.iter().flat_map(|(_, text)| scenario::parse(text));
    for scenario in scenarios.filter(|scenario| matches!(scenario.config.shops, Shops::One(_))) {
        if let Some(difference) = difference(&scenario.config, scenario.inputs().into_iter()) {
            return Err(format!("{}: {difference}", scenario.title).into());
        }
    }
    Ok(())
}

/// The deadline fires first, then the end of the window: a customer who has lapsed emits the expiry's signal.
fn deadline_and_expiry_at_one_instant_agree() -> Result<(), Failed> {
    let text = "\
# The only kept order leaves the year when it has been silent for a year
policy fixed 30 365
order c1 o1 day 0 100.00
order c1 o2 day 10 10.00
order c1 o3 day 11 10.00
order c1 o4 day 12 10.00
return c1 r2 day 13 10.00 of=o2
return c1 r3 day 13 10.00 of=o3
return c1 r4 day 13 10.00 of=o4
clock day 365";
    let scenario = scenario::parse(text).pop().expect("a scenario");
    let said = oracle::run(&scenario.config, &scenario.inputs()).signals;
    let last = said.last().expect("some");
    if last["type"] != "return_rate_high" || last["state"]["before"] != "lapsed" {
        return Err(format!("the scenario is another one: {last}").into());
    }
    match difference(&scenario.config, scenario.inputs().into_iter()) {
        None => Ok(()),
        Some(difference) => Err(difference.into()),
    }
}

fn over_seeds(inputs: fn(&History) -> &[Input]) -> Result<(), Failed> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("RETENTION_ORACLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RETENTION_ORACLE_SEEDS").unwrap_or(300),
    };
    let difference = |history: &History| difference(&history.config, inputs(history).iter().cloned());
    for seed in seeds {
        let mut random = history(seed);
        let mut rng = Rng::with_seed(seed);
        let cuts = segments::records(&mut rng, Time::from_millis(DAY_ZERO_MS).expect("in range"));
        random.config.segments = (rng.u8(0..3) > 0).then(|| segments::for_oracle(&cuts));
        (random.config.points, random.config.tiers) =
            (tiers::points_for_oracle(&mut rng), tiers::for_oracle(&mut rng));
        if difference(&random).is_none() {
            continue;
        }
        let small = random.shrunk(|history| difference(history).is_some());
        let lines: Vec<String> = inputs(&small).iter().map(Input::to_string).collect();
        return Err(format!(
            "RETENTION_ORACLE_SEED={seed} replays this\n{:?}\n{}\n{}",
            small.config,
            lines.join("\n"),
            difference(&small).unwrap_or_default()
        )
        .into());
    }
    Ok(())
}

/// A real shop's year, record by record.
fn online_retail_agrees(path: &Path) -> Result<(), Failed> {
    let shops = Shops::One(Shop::new("GBP", "Europe/London"));
    let config = OracleConfig { shops, shop_metrics: false, ..OracleConfig::new("GBP") };
    let documents = online_retail::documents(path);
    match difference(&config, documents.iter().map(|document| document.input())) {
        None => Ok(()),
        Some(difference) => Err(difference.into()),
    }
}

/// The first difference between service and oracle, if there is one.
fn difference(config: &OracleConfig, inputs: impl Iterator<Item = Input>) -> Option<String> {
    let mut service = Service::new(config);
    let policy_version = service.policy_version.clone();
    let mut oracle = Oracle::new(&OracleConfig { policy_version, ..config.clone() });
    for (index, input) in inputs.enumerate() {
        let expected = oracle_steps(&mut oracle, &input);
        let mut found = service.apply(&input);
        if found != expected {
            // Folding alone publishes a profile again, which then is that of the clock; the oracle folds nothing.
            // A tombstone for a customer who is not there is harmless.
            let at_clock: Vec<String> = oracle.profiles_at_clock().values().map(Value::to_string).collect();
            let harmless = |step: &String| at_clock.contains(step) || step.starts_with("erased");
            found.retain(|step| expected.contains(step) || !harmless(step));
        }
        if found != expected {
            let (found, expected) = (found.join("\n"), expected.join("\n"));
            return Some(format!("input {}\nservice:\n{found}\noracle:\n{expected}", index + 1));
        }
    }
    let (mut expected, mut found) = (oracle.output().summary, service.summary());
    // What the engine does not count.
    for field in [
        "events",
        "dead_letters",
        "remarks",
        "input_remarks",
        "guests",
        "seconds",
        "events_per_second",
        "signals",
        // The oracle knows this only at the end of a replay.
        "retention",
    ] {
        for summary in [&mut expected, &mut found] {
            summary.as_object_mut().map(|fields| fields.remove(field));
        }
    }
    (found != expected).then(|| format!("service:\n{found:#}\noracle:\n{expected:#}"))
}

/// Applies one input and says what it caused.
fn oracle_steps(oracle: &mut Oracle, input: &Input) -> Vec<String> {
    let erased = match input {
        Input::Record { topic: oracle::Topic::Erasures, value } => value["customer_id"].as_str(),
        Input::Record { .. } | Input::Clock(_) => None,
    };
    let erased = erased.filter(|key| !oracle.published_profile(key).is_null());
    let log = oracle.log();
    let (signals, refused, published) = (log.signals.len(), log.refused.len(), log.published.len());
    let counted = |log: &OracleOutput| {
        [
            ("folded", log.folded),
            ("duplicate", log.duplicates),
            ("conflicting held", log.conflicting_held),
            ("conflicting arrived", log.conflicting_arrived),
            ("ineffective", log.ineffective),
        ]
    };
    let before = counted(log);
    oracle.apply(input);
    let log = oracle.log();
    let mut steps: Vec<String> = log.signals[signals..].iter().map(Value::to_string).collect();
    steps.extend(log.refused[refused..].iter().map(|(_, reason)| format!("refused {reason}")));
    let more = counted(log).into_iter().zip(before).filter(|(after, before)| after != before);
    steps.extend(more.map(|((name, _), _)| name.to_owned()));
    // A customer who changed several times is published as last.
    let published: BTreeSet<&String> = log.published[published..].iter().map(|(_, key, _)| key).collect();
    let profiles = published.into_iter().map(|key| oracle.published_profile(key));
    steps.extend(profiles.filter(|profile| !profile.is_null()).map(|profile| profile.to_string()));
    steps.extend(erased.map(|key| format!("erased {key}")));
    steps
}

pub struct Service {
    pub decoder: Decoder,
    signals: SignalEncoder,
    profiles: ProfileEncoder,
    pub policy_version: String,
    config: Config,
    pub engine: Engine,
}

impl Service {
    pub fn new(oracle: &OracleConfig) -> Service {
        let text = toml(oracle);
        let host_name = Some("host".to_owned());
        let sources = Sources { file_text: Some(text.clone()), host_name, ..Sources::default() };
        let mut config =
            config::load(&sources, Purpose::Offline).unwrap_or_else(|error| panic!("{error}\n{text}"));
        if let Some(cuts) = &oracle.segments {
            config.settings = config.settings.with_cuts(&segments::of_oracle(cuts));
        }
        let shops = &config.settings.shops;
        let policy_version = format!("{:016x}", config.settings.lapse.id(ShopIndex(0), None).version);
        Service {
            decoder: Decoder::new(shops.clone(), Limits::default()),
            signals: SignalEncoder::new(shops),
            profiles: ProfileEncoder::new(shops),
            engine: Engine::new(Arc::new(config.settings.clone())),
            policy_version,
            config,
        }
    }

    /// The same with rules, of which the oracle knows nothing.
    pub fn with_rules(oracle: &OracleConfig, rules: Arc<Rulebook>) -> Service {
        let mut service = Service::new(oracle);
        service.config.settings.rules = Some(rules);
        service.decoder = Decoder::of(&service.config.settings, Limits::default());
        service.engine = Engine::new(Arc::new(service.config.settings.clone()));
        service
    }

    /// Applies an input and says what it caused.
    pub fn apply(&mut self, input: &Input) -> Vec<String> {
        let mut steps = match input {
            Input::Clock(clock) => {
                let to = Time::from_millis(*clock).expect("a time of the calendar");
                self.engine.advance_clock(to, usize::MAX);
                self.emitted(None)
            }
            Input::Record { topic, value } => self.record(*topic, value),
        };
        steps.extend(self.changes());
        steps
    }

    pub fn record(&mut self, topic: oracle::Topic, value: &Value) -> Vec<String> {
        let topic = match topic {
            oracle::Topic::Orders => Topic::Orders,
            oracle::Topic::Returns => Topic::Returns,
            oracle::Topic::Erasures => Topic::Erasures,
        };
        let (bytes, key) = (value.to_string(), value["customer_id"].as_str().map(str::as_bytes));
        let decoder = self.decoder.clone();
        let event = match decoder.decode(topic, key, Some(bytes.as_bytes())) {
            Ok(event) => event,
            Err(refusal) => return vec![format!("refused {}", refusal.reason.name())],
        };
        let outcome = match &event.subject {
            Subject::Customer(customer) => {
                self.engine.handle_record(customer.key, event.shop, &customer.record, usize::MAX)
            }
            Subject::Erasure { key, record } => {
                self.engine.handle_erasure(*key, record, usize::MAX);
                return self.emitted(None);
            }
            Subject::Guest(guest) => self.engine.handle_guest(event.shop, &guest.record, usize::MAX),
        };
        let mut steps = self.emitted(RecordContext::of(&event).as_ref());
        let remarks: &[&str] = match outcome {
            Outcome::Applied(Applied::Conflicting { standing: Standing::Held }) => &["conflicting held"],
            Outcome::Applied(Applied::Conflicting { standing: Standing::Arrived }) => {
                &["conflicting arrived"]
            }
            Outcome::Applied(Applied::Ineffective) => &["ineffective"],
            Outcome::Applied(Applied::Order { .. } | Applied::Return { .. } | Applied::Other) => &[],
            Outcome::Duplicate => &["duplicate"],
            Outcome::Refused(Refusal::TooOld) => &["refused too_old"],
            Outcome::Refused(Refusal::Folded) => &["refused too_old", "folded"],
            Outcome::Refused(Refusal::Erased) => &["refused erased"],
            Outcome::TimersPending => &["timers pending"],
        };
        steps.extend(remarks.iter().map(|remark| (*remark).to_owned()));
        steps
    }

    pub fn emitted(&mut self, record: Option<&RecordContext<'_>>) -> Vec<String> {
        let encoded = self.engine.drain_signals().map(|(key, signal)| {
            let mut bytes = Vec::new();
            self.signals.encode(key, &signal, record, &mut bytes);
            normal(&bytes)
        });
        let mut emitted: Vec<Value> = encoded.collect();
        // Which of two customers with one deadline comes first is not defined.
        let by_clock = emitted.partition_point(|signal| signal["cause"]["id"].is_null());
        let order = |signal: &Value| [&signal["occurred_at"], &signal["customer_id"]].map(Value::to_string);
        emitted[..by_clock].sort_by_key(order);
        emitted.iter().map(Value::to_string).collect()
    }

    /// What would be published now.
    pub fn changes(&mut self) -> Vec<String> {
        let (mut published, mut erased) = (Vec::new(), Vec::new());
        for index in 0..self.engine.changes().len() {
            match self.engine.changes()[index].clone() {
                Change::Customer { slot, profile_at: Some(as_of) } => {
                    let profile = self.engine.profile(slot, as_of);
                    let mut bytes = Vec::new();
                    self.profiles.encode(self.engine.key(slot), &profile, &mut bytes);
                    published.push(normal(&bytes));
                }
                Change::Erased { key } => erased.push(format!("erased {}", String::from_utf8_lossy(&key))),
                Change::Customer { profile_at: None, .. }
                | Change::MarkerSet { .. }
                | Change::MarkerEnded { .. }
                | Change::Withdrawn => {}
            }
        }
        self.engine.changes_committed();
        published.sort_by_key(|profile| profile["customer_id"].as_str().map(str::to_owned));
        published.iter().map(Value::to_string).chain(erased).collect()
    }

    /// The profile of a customer as it would be at the clock.
    pub fn profile(&mut self, customer: &str) -> Option<Value> {
        let clock = self.engine.clock()?;
        let key = CustomerKey { bytes: customer.as_bytes(), hash: hash(customer.as_bytes()) };
        let slot = self.engine.find(key)?;
        let profile = self.engine.profile(slot, clock);
        let mut bytes = Vec::new();
        self.profiles.encode(customer.as_bytes(), &profile, &mut bytes);
        Some(normal(&bytes))
    }

    /// Goes on with an engine that is restored from the state of this one, in history.
    pub fn restore_in_history(&mut self) {
        let mut restore = Restore::new(Arc::new(self.config.settings.clone()));
        self.engine.export(&mut Export::default(), |item| {
            match item {
                StateItem::Customer(packed) => {
                    let format = Format::of(packed);
                    restore.packed_customer(format, packed, hash).expect("packed by an engine");
                }
                StateItem::Marker { hash, requested_at } => restore.marker(hash, requested_at),
            }
            Room::Left
        });
        restore.in_history(usize::MAX);
        self.engine = restore.finish(self.engine.clock()).expect("the state of an engine");
    }

    pub fn summary(&mut self) -> Value {
        let currency = self.config.settings.shops.get(ShopIndex(0)).currency;
        let summary = Summary {
            events: EventCounts::default(),
            dead_letters: [0; Reason::ALL.len()],
            remarks: [0; Remark::ALL.len()],
            input_remarks: [0; InputRemark::ALL.len()],
            signals: [0; SignalType::NAMES.len()],
            truncated: TruncatedCounts::default(),
            shops: vec![(currency, *self.engine.figures(ShopIndex(0)), GuestTotals::default())],
            retention: Vec::new(),
            elapsed: Duration::ZERO,
            records: 0,
        };
        let mut bytes = Vec::new();
        encode_summary(&mut bytes, &summary);
        normal(&bytes)
    }
}

fn normal(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("what is written is JSON")
}

/// The oracle's configuration as the service reads it.
pub fn toml(config: &OracleConfig) -> String {
    let Shops::One(shop) = &config.shops else { panic!("histories are of one shop") };
    let mut lines = club(config);
    lines.extend([
        "[shop]".to_owned(),
        format!("currency = \"{}\"\ntime_zone = \"{}\"", shop.currency, shop.time_zone),
        "[rates]".to_owned(),
    ]);
    lines.extend(shop.rates.iter().map(|(currency, rate)| format!("{currency} = \"{rate}\"")));
    lines.push(format!(
        "[records]\nreturn_window = \"{}d\"\nlateness = \"{}d\"\n[lapse]",
        config.return_window_days, config.lateness_days
    ));
    lines.push(policy(&config.policy));
    let thresholds = &config.thresholds;
    let settings = [
        ("frequency_fell", &thresholds.frequency_fell),
        ("frequency_fell_rearm", &thresholds.frequency_fell_rearm),
        ("frequency_rose", &thresholds.frequency_rose),
        ("frequency_rose_rearm", &thresholds.frequency_rose_rearm),
        ("order_value_fell", &thresholds.order_value_fell),
        ("order_value_fell_rearm", &thresholds.order_value_fell_rearm),
        ("order_value_rose", &thresholds.order_value_rose),
        ("order_value_rose_rearm", &thresholds.order_value_rose_rearm),
        ("return_rate_high", &thresholds.return_rate),
        ("return_rate_high_rearm", &thresholds.return_rate_rearm),
    ];
    lines.push(format!("[segments]\nenabled = {}", config.segments.is_some()));
    lines.push("[signals]".to_owned());
    lines.extend(settings.iter().map(|(name, value)| format!("{name} = \"{value}\"")));
    // What is compared with the oracle are all signals.
    lines.push("history = \"publish\"".to_owned());
    lines.push(format!("earlier_min = {}", thresholds.earlier_min));
    lines.push(format!("return_rate_orders_min = {}", thresholds.return_rate_orders_min));
    lines.join("\n")
}

/// Points and tiers. A list of tables may come before other sections.
fn club(config: &OracleConfig) -> Vec<String> {
    let points = config.points.iter().map(|points| match points {
        Points::PerOrder { factor } => format!("points.per = \"order\"\npoints.factor = {factor}"),
        Points::PerAmount { amount, factor } => {
            format!("points.per = \"{amount}\"\npoints.factor = {factor}")
        }
    });
    let tiers = config.tiers.iter().flat_map(|tiers| {
        let list = tiers
            .amounts
            .iter()
            .map(|(name, from)| format!("[[tiers]]\nname = \"{name}\"\nfrom = \"{from}\""));
        [format!("tiers_keep = \"{}\"", tiers.keep)].into_iter().chain(list)
    });
    points.chain(tiers).collect()
}

fn policy(policy: &Policy) -> String {
    match policy {
        Policy::Fixed { at_risk_days, lapsed_days } => format!(
            "policy = \"fixed\"\n[lapse.fixed]\nat_risk_days = \"{at_risk_days}\"\nlapsed_days = \"{lapsed_days}\""
        ),
        Policy::Cadence {
            prior_gap_days,
            prior_weight,
            at_risk_factor,
            at_risk_days_min,
            at_risk_days_max,
            lapsed_factor,
            lapsed_days_min,
            lapsed_days_max,
        } => format!(
            "policy = \"cadence\"\n[lapse.cadence]\nprior_gap_days = \"{prior_gap_days}\"\nprior_weight = \"{prior_weight}\"\n\
             at_risk_factor = \"{at_risk_factor}\"\nat_risk_days_min = \"{at_risk_days_min}\"\n\
             at_risk_days_max = \"{at_risk_days_max}\"\nlapsed_factor = \"{lapsed_factor}\"\n\
             lapsed_days_min = \"{lapsed_days_min}\"\nlapsed_days_max = \"{lapsed_days_max}\""
        ),
    }
}
