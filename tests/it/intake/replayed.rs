//! What `replay` makes of the same webhooks, and what must be equal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::raw::RawShop;
use super::webhooks::Webhooks;
use crate::live::PATIENCE;
use crate::live::history;
use crate::live::shop::time_text;
use crate::service::{ServiceSettings, run_command};

/// Profiles and signals of a replay.
pub struct Replayed {
    profiles: BTreeMap<String, Value>,
    signals: Vec<Value>,
}

impl Replayed {
    /// Runs `replay` with the same settings. Redactions have their time in a header, which no file has, so they come as erasures.
    pub fn of(shop: &RawShop, webhooks: &Webhooks, settings: &ServiceSettings) -> Result<Replayed> {
        let file = |name: &str, lines: Vec<Value>| -> Result<String> {
            let path = shop.folder().join(name);
            fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
            Ok(path.display().to_string())
        };
        let orders = webhooks.deliveries.iter().filter(|delivery| delivery.topic != "customers/redact");
        let orders = file("webhooks.jsonl", orders.map(|delivery| delivery.body.clone()).collect())?;
        let erasure =
            |(id, at): &(u64, i64)| json!({"customer_id": id.to_string(), "requested_at": time_text(*at)});
        let erasures = file("erasures.jsonl", webhooks.redacted.iter().map(erasure).collect())?;
        let out = shop.folder().join("replayed");
        let (out_text, until) = (out.display().to_string(), time_text(webhooks.end));
        let arguments = [
            &["replay", "--map", shop.map(), "--orders", &orders, "--erasures", &erasures][..],
            &["--until", &until, "--out", &out_text],
        ];
        run_command(settings, &arguments.concat(), PATIENCE * 10)?.expect_code(0);
        let profiles = lines(&out.join("customers.jsonl"))?.into_iter().map(|profile| {
            let key = profile["customer_id"].as_str().context("profiles name a customer")?.to_owned();
            Ok((key, profile))
        });
        Ok(Replayed {
            profiles: profiles.collect::<Result<_>>()?,
            signals: lines(&out.join("signals.jsonl"))?,
        })
    }

    /// Everything is equal, byte for byte.
    pub fn check_exactly(&self, shop: &RawShop) -> Result<()> {
        self.check_profiles(shop)?;
        let (found, expected) = (shop.native.signals()?, &self.signals);
        let (found, expected) = (history::by_id(&found), history::by_id(expected));
        for (id, signals) in &found {
            let expected = expected.get(id).with_context(|| format!("not in the replay: {}", signals[0]))?;
            ensure!(signals == expected, "found    {signals:?}\nexpected {expected:?}");
        }
        let missing = expected.iter().find(|(id, _)| !found.contains_key(*id));
        ensure!(missing.is_none(), "only in the replay: {missing:?}");
        Ok(())
    }

    /// The facts are equal, whatever the order in which records came.
    pub fn check_profiles(&self, shop: &RawShop) -> Result<()> {
        let found = shop.native.profiles()?;
        for (key, profile) in &found {
            let expected = self.profiles.get(key).with_context(|| format!("no such customer: {key}"))?;
            let (mut profile, mut expected) = (profile.clone(), expected.clone());
            // When it was last published depends on the order of the records, and windows are of that instant.
            for value in [&mut profile, &mut expected] {
                let fields = value.as_object_mut().context("an object")?;
                fields.remove("as_of");
                fields.remove("windows");
            }
            ensure!(profile == expected, "{key}\nfound    {profile}\nexpected {expected}");
        }
        ensure!(found.len() == self.profiles.len(), "{} profiles, not {}", found.len(), self.profiles.len());
        Ok(())
    }

    /// Each id is there once, the emitted state is that of the facts, and signals are those of the replay once alarms that were retracted
    /// are taken out. An alarm may differ only where a record came when the clock had passed its deadline, which few did: an alarm that is
    /// still right keeps the deadline with which it was emitted, and one that has ended is not retracted.
    pub fn check_signals(&self, shop: &RawShop, webhooks: &Webhooks) -> Result<Compared> {
        let found = shop.native.signals()?;
        let by_id = history::by_id(&found);
        ensure!(by_id.len() == found.len(), "{} signals under {} ids", found.len(), by_id.len());
        let of_known = |signals: &[Value]| {
            let is_known = |signal: &&Value| !webhooks.is_redacted(customer(signal));
            signals.iter().filter(is_known).cloned().collect::<Vec<_>>()
        };
        let (found, expected) = (of_known(&found), of_known(&self.signals));
        let mut emitted = BTreeMap::new();
        for signal in &found {
            emitted.insert(customer(signal), &signal["state"]["after"]);
        }
        for (key, state) in &emitted {
            let profile = self.profiles.get(*key).with_context(|| format!("no profile of {key}"))?;
            ensure!(**state == profile["state"], "{key}: {state} was emitted last, {profile}");
        }
        let (found, expected) = (Lasting::of(&found), Lasting::of(&expected));
        let only = |here: &Lasting, there: &Lasting| {
            let is_missing = |(id, _): &(&String, &Value)| !there.taken_back.contains_key(*id);
            here.taken_back.iter().filter(is_missing).map(|(_, signal)| signal.clone()).collect::<Vec<_>>()
        };
        // A return that comes while its order is voided takes nothing back, and is not reported if the order is paid after all. A replay
        // has seen the payment by then.
        let is_of_voided = |signal: &Value| {
            signal["type"] == "order_returned"
                && signal["data"]["order_id"].as_str().is_some_and(|order| webhooks.was_voided(order))
        };
        let (mut missing, more) = (only(&expected, &found), only(&found, &expected));
        missing.retain(|signal| !is_of_voided(signal));
        ensure!(missing.is_empty() && more.is_empty(), "taken back: missing {missing:?}\nmore {more:?}");
        let arrivals = Arrivals::read(shop)?;
        let moved: Vec<&Alarm> = expected.alarms.symmetric_difference(&found.alarms).collect();
        for alarm in &moved {
            ensure!(arrivals.any_after(alarm), "{alarm:?} differs, and no record came behind it");
        }
        let compared = Compared { signals: expected.len(), moved_alarms: moved.len() };
        ensure!(compared.moved_alarms * 20 <= expected.alarms.len(), "too many: {compared:?}");
        Ok(compared)
    }
}

/// What a comparison of signals saw.
#[derive(Debug)]
pub struct Compared {
    pub signals: usize,
    /// Alarms of either side that the other one has with another deadline or not at all.
    pub moved_alarms: usize,
}

/// A signal that a silence ended in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Alarm {
    customer: String,
    kind: String,
    deadline: i64,
}

/// A native record of a customer, in its partition.
struct Arrival {
    /// When what it tells of happened.
    at: i64,
    /// The clock was no further when it was applied.
    clock_max: i64,
}

/// The native records by customer.
struct Arrivals(BTreeMap<String, Vec<Arrival>>);

impl Arrivals {
    /// What was applied before a record is what lies before it in its own topic, or was written to another one by then.
    fn read(shop: &RawShop) -> Result<Arrivals> {
        let mut records = Vec::new();
        for (topic, name) in shop.native.input_names().into_iter().enumerate() {
            for record in shop.native.client().read_committed(name)? {
                let value = record.value_json();
                let times = ["placed_at", "cancelled_at", "returned_at", "requested_at"];
                let at = times.iter().find_map(|field| value[*field].as_str()).context("a time")?;
                let at = chrono::DateTime::parse_from_rfc3339(at)?.timestamp_millis();
                let customer = value["customer_id"].as_str().unwrap_or_default().to_owned();
                records.push((record.partition, record.timestamp, topic, record.offset, at, customer));
            }
        }
        // Timestamps rise within a topic but for the milliseconds of two instances.
        records.sort();
        let mut arrivals: BTreeMap<String, Vec<Arrival>> = BTreeMap::new();
        let mut clocks: BTreeMap<i32, i64> = BTreeMap::new();
        for (partition, _, _, _, at, customer) in records {
            let clock = clocks.entry(partition).or_insert(at);
            *clock = (*clock).max(at);
            arrivals.entry(customer).or_default().push(Arrival { at, clock_max: *clock });
        }
        Ok(Arrivals(arrivals))
    }

    /// Whether a record of what was before the deadline may have come behind it.
    fn any_after(&self, alarm: &Alarm) -> bool {
        self.0.get(&alarm.customer).is_some_and(|arrivals| {
            arrivals.iter().any(|arrival| arrival.at < alarm.deadline && arrival.clock_max >= alarm.deadline)
        })
    }
}

/// What stays of signals: without retracted alarms, without what depends on the moment.
struct Lasting {
    /// Orders and returns that were taken back, by the signal's id.
    taken_back: BTreeMap<String, Value>,
    alarms: BTreeSet<Alarm>,
}

impl Lasting {
    fn of(signals: &[Value]) -> Lasting {
        let retracted: BTreeSet<_> =
            signals.iter().filter_map(|signal| signal["data"]["retracts"].as_str()).collect();
        let mut lasting = Lasting { taken_back: BTreeMap::new(), alarms: BTreeSet::new() };
        for signal in signals {
            let (id, kind) =
                (signal["id"].as_str().expect("an id"), signal["type"].as_str().expect("a type"));
            if matches!(kind, "order_cancelled" | "order_returned") {
                lasting.taken_back.insert(id.to_owned(), signal.clone());
            }
            if matches!(kind, "at_risk" | "lapsed") && !retracted.contains(id) {
                let deadline = signal["data"]["deadline"].as_str().expect("alarms have a deadline");
                let deadline = chrono::DateTime::parse_from_rfc3339(deadline).expect("the service's own");
                lasting.alarms.insert(Alarm {
                    customer: customer(signal).to_owned(),
                    kind: kind.to_owned(),
                    deadline: deadline.timestamp_millis(),
                });
            }
        }
        lasting
    }

    fn len(&self) -> usize {
        self.taken_back.len() + self.alarms.len()
    }
}

fn customer(signal: &Value) -> &str {
    signal["customer_id"].as_str().expect("signals name a customer")
}

fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
