//! History that was there before the service first read it: in order, shuffled, by customer; with processes that are killed while they
//! read and settle it. `RETENTION_LOADING_CUSTOMERS=23000` loads some hundred thousand records.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use fastrand::Rng;
use libtest_mimic::Trial;
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::{Value, json};

use super::PATIENCE;
use super::history::{self, History};
use super::shop::Shop;
use crate::kafka::{self, KafkaNode, Record};
use crate::oracle::{self, Oracle, OracleOutput};
use crate::service::{ServiceProcess, ServiceSettings};
use crate::settling::{alert, alerts_of_states, comparable, standing_alerts};

const PARTITIONS: u32 = 3;
const DAY_MILLIS: i64 = 86_400_000;
const DAYS: i64 = 400;
/// How many processes are killed on the way.
const KILLS: usize = 4;

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("live::history_loaded_in_order", |node| load(node, Arrangement::InOrder)),
        kafka::on_shared_node("live::history_loaded_shuffled", |node| load(node, Arrangement::Shuffled)),
        kafka::on_shared_node("live::history_loaded_by_customer", |node| load(node, Arrangement::ByCustomer)),
        kafka::on_shared_node("live::an_empty_shop_is_live_at_once", an_empty_shop_is_live_at_once),
        kafka::on_shared_node("live::a_history_that_cannot_be_read_yet", a_history_that_cannot_be_read_yet),
        kafka::on_shared_node("live::a_history_rebuilt_beside", a_history_rebuilt_beside),
    ]
}

#[derive(Clone, Copy)]
enum Arrangement {
    InOrder,
    Shuffled,
    ByCustomer,
}

/// A shop's past and what comes later.
struct Load {
    past: History,
    live: History,
    /// Signals about earlier instants are held back.
    from: i64,
}

impl Load {
    fn new(seed: u64) -> Load {
        let customers = std::env::var("RETENTION_LOADING_CUSTOMERS").ok().and_then(|text| text.parse().ok());
        let whole = history::random(seed, customers.unwrap_or(200), DAYS);
        let end = whole.orders.iter().map(time_of).max().expect("there are orders") - 60 * DAY_MILLIS;
        let mut rng = Rng::with_seed(seed);
        let begin = whole.orders.iter().map(time_of).min().expect("there are orders");
        let customers: BTreeSet<&str> = whole.orders.iter().map(history::key_of).collect();
        let erased: Vec<&str> = customers.into_iter().filter(|_| rng.u8(..20) == 0).collect();
        let erasure = |customer| json!({"customer_id": customer, "requested_at": rng.i64(begin..end)});
        let erasures: Vec<Value> = erased.into_iter().map(erasure).collect();
        let part = |values: &[Value], is_past: bool| {
            values.iter().filter(|value| (time_of(value) <= end) == is_past).cloned().collect::<Vec<_>>()
        };
        let history = |is_past: bool| History {
            seed,
            orders: part(&whole.orders, is_past),
            returns: part(&whole.returns, is_past),
            erasures: if is_past { erasures.clone() } else { Vec::new() },
            end: whole.end,
        };
        Load { past: history(true), live: history(false), from: end - 40 * DAY_MILLIS }
    }

    fn arranged(&self, arrangement: Arrangement) -> History {
        let mut rng = Rng::with_seed(self.past.seed);
        let mut arrange = |values: &[Value]| {
            let mut values = values.to_vec();
            match arrangement {
                Arrangement::InOrder => {}
                Arrangement::Shuffled => rng.shuffle(&mut values),
                Arrangement::ByCustomer => values.sort_by_key(|value| history::key_of(value).to_owned()),
            }
            values
        };
        History {
            orders: arrange(&self.past.orders),
            returns: arrange(&self.past.returns),
            erasures: arrange(&self.past.erasures),
            ..self.past
        }
    }

    /// What live records would have led to at the end of the past; and the signals of what comes then.
    fn expected(&self, shop: &Shop) -> (OracleOutput, Vec<Value>) {
        let config = shop.oracle_config();
        let (mut past, mut live) = (OracleOutput::default(), Vec::new());
        for partition in 0..shop.partitions {
            let mine = |values: &[Value]| {
                let is_mine = |value: &&Value| history::partition_of(value, shop.partitions) == partition;
                values.iter().filter(is_mine).cloned().collect::<Vec<_>>()
            };
            let merged = |history: &History| {
                oracle::merge_order(mine(&history.orders), mine(&history.returns), mine(&history.erasures))
            };
            let mut oracle = Oracle::new(&config);
            merged(&self.past).iter().for_each(|input| oracle.apply(input));
            let past_signals = oracle.log().signals.len();
            past.profiles.extend(oracle.profiles_at_clock());
            merged(&self.live).iter().for_each(|input| oracle.apply(input));
            live.extend(oracle.log().signals[past_signals..].iter().cloned());
        }
        (past, live)
    }
}

fn time_of(value: &Value) -> i64 {
    let time = ["placed_at", "cancelled_at", "returned_at"].iter().find_map(|name| value[*name].as_i64());
    time.expect("every record has a time")
}

fn load(node: &KafkaNode, arrangement: Arrangement) -> Result<()> {
    let load = Load::new(0x5eed_0700 + arrangement as u64);
    let shop = Shop::open(node, PARTITIONS)?;
    shop.load(&load.arranged(arrangement))?;
    let settings = |instance: &str| -> ServiceSettings {
        let from = chrono::DateTime::from_timestamp_millis(load.from).expect("a time of this era");
        shop.live_settings(instance)
            .set(&["clock", "at_end"], "stay")
            .set(&["commit", "interval"], "10ms")
            .set(&["commit", "backlog_interval"], "10ms")
            .set(&["signals", "history"], "hold_back")
            .set(&["signals", "from"], from.to_rfc3339())
    };
    let mut rng = Rng::with_seed(load.past.seed);
    let changelog_end =
        || -> Result<i64> { Ok(shop.client().high_watermarks(shop.changelog_name())?.iter().sum()) };
    for _ in 0..KILLS {
        let service = ServiceProcess::start(&settings("one"))?;
        let end = changelog_end()? + rng.i64(1..(load.past.orders.len() / 4) as i64);
        // It may have nothing more to write than that.
        service.wait_until("in history", PATIENCE, |service| {
            Ok(changelog_end()? >= end || matches!(service.get("/readyz"), Ok((200, _))))
        })?;
        service.kill()?;
    }
    let services = [ServiceProcess::start(&settings("one"))?, ServiceProcess::start(&settings("two"))?];
    shop.wait_until_idle(&services.each_ref(), PATIENCE)?;

    let (past, live) = load.expected(&shop);
    compare_profiles(&shop, &past.profiles)?;
    let standing = standing_alerts(&past.profiles);
    let is_published = |(_, _, deadline): &&(String, String, String)| {
        let deadline = chrono::DateTime::parse_from_rfc3339(deadline.trim_matches('"'));
        deadline.is_ok_and(|deadline| deadline.timestamp_millis() >= load.from)
    };
    let published: BTreeSet<_> = standing.iter().filter(is_published).cloned().collect();
    let found = shop.signals()?;
    let alerts: BTreeSet<_> = found.iter().map(alert).collect();
    ensure!(alerts.len() == found.len(), "an alert is there twice: {found:#?}");
    ensure!(found.iter().all(|signal| history::instant_of(signal) >= load.from), "too old: {found:#?}");
    let stated = alerts_of_states(&found, &past.profiles);
    ensure!(stated == published, "alerts: {stated:#?}\nexpected {published:#?}");
    ensure!(!published.is_empty() && published.len() < standing.len(), "some stand, and some are held back");

    // No service reads meanwhile: a backlog is merged by time, as the reference has it.
    for service in services {
        service.terminate(PATIENCE)?.expect_clean();
    }
    shop.append_orders(&load.live.orders)?;
    shop.append_returns(&load.live.returns)?;
    let services = [ServiceProcess::start(&settings("one"))?, ServiceProcess::start(&settings("two"))?];
    shop.wait_until_idle(&services.each_ref(), PATIENCE)?;
    let [one, two] = services;
    one.terminate(PATIENCE)?.expect_clean();
    two.terminate(PATIENCE)?.expect_clean();
    let settled = found.iter().map(|signal| signal["id"].to_string()).collect();
    compare_live(&shop, &settled, live)
}

/// Byte for byte, but for the instant that they are of.
fn compare_profiles(shop: &Shop, expected: &BTreeMap<String, Value>) -> Result<()> {
    let found = shop.profiles()?;
    for (customer, profile) in &found {
        ensure!(
            expected.get(customer) == Some(profile),
            "{profile:#}\nexpected {:#?}",
            expected.get(customer)
        );
    }
    ensure!(found.len() == expected.len(), "{} profiles, not {}", found.len(), expected.len());
    Ok(())
}

fn compare_live(shop: &Shop, settled: &BTreeSet<String>, expected: Vec<Value>) -> Result<()> {
    let all = shop.signals()?;
    let ids: BTreeSet<String> = all.iter().map(|signal| signal["id"].to_string()).collect();
    ensure!(ids.len() == all.len(), "an id is there twice");
    let is_live = |signal: &Value| !settled.contains(&signal["id"].to_string());
    let found = comparable(all.into_iter().filter(is_live), false);
    let expected = comparable(expected.into_iter(), false);
    let (found, expected) = (history::by_id(&found), history::by_id(&expected));
    for (id, signals) in &found {
        ensure!(expected.get(id) == Some(signals), "{:#}\nexpected {:#?}", signals[0], expected.get(id));
    }
    for (id, signals) in &expected {
        ensure!(found.contains_key(id), "missing: {:#}", signals[0]);
    }
    ensure!(!expected.is_empty(), "something is live");
    Ok(())
}

/// Records that come after the start are live, however old they are; what silence would have caused years ago is not published.
fn an_empty_shop_is_live_at_once(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, PARTITIONS)?;
    let settings =
        shop.live_settings("one").set(&["signals", "history"], "hold_back").set(&["clock", "grace"], "0s");
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    // The partitions know where their history ends; what is appended now is behind it once a seal says so.
    let sealed = 3 * PARTITIONS as usize;
    service.wait_until("sealed", PATIENCE, |_| Ok(shop.visible_offsets()?.len() == sealed))?;
    let order = |id: &str, placed_at: i64| json!({"order_id": id, "customer_id": "c1", "placed_at": placed_at, "currency": "GBP", "total": "10.00"});
    shop.append_orders(&[order("o1", 1_600_000_000_000), order("o2", 1_600_100_000_000)])?;
    let types = || -> Result<Vec<String>> {
        Ok(shop
            .signals()?
            .iter()
            .map(|signal| signal["type"].as_str().unwrap_or_default().to_owned())
            .collect())
    };
    service.wait_until("past all deadlines", PATIENCE, |service| {
        let lapsed = service.metric("retention_customers", &["state=\"lapsed\""])?;
        Ok(lapsed == Some(1.0) && service.metric("retention_signals_held_back_total", &[])? == Some(2.0))
    })?;
    ensure!(types()? == ["first_order", "second_order"], "{:?}", types()?);
    service.terminate(PATIENCE)?.expect_clean();
    Ok(())
}

/// History that comes after the start is refused; a second application takes it in, beside the first, and both publish what is live.
fn a_history_rebuilt_beside(node: &KafkaNode) -> Result<()> {
    let load = Load::new(0x5eed_0710);
    let running = Shop::open(node, PARTITIONS)?;
    let settings = |shop: &Shop| {
        shop.live_settings("one").set(&["clock", "at_end"], "stay").set(&["signals", "history"], "hold_back")
    };
    let first = ServiceProcess::start(&settings(&running))?;
    first.wait_until_ready(PATIENCE)?;
    running.load(&load.arranged(Arrangement::Shuffled))?;
    running.wait_until_idle(&[&first], PATIENCE)?;
    let refused = first.metric("retention_dead_letter_records_total", &["too_old"])?.unwrap_or_default();
    ensure!(refused > 100.0, "{refused} records are refused");
    let (_, readiness) = first.get("/readyz")?;
    ensure!(readiness.contains("were refused, over 35d behind its clock"), "{readiness}");

    let rebuilt = running.beside()?;
    let second = ServiceProcess::start(&settings(&rebuilt))?;
    second.wait_until_ready(PATIENCE)?;
    rebuilt.wait_until_idle(&[&second], PATIENCE)?;
    let (past, _) = load.expected(&rebuilt);
    compare_profiles(&rebuilt, &past.profiles)?;
    ensure!(rebuilt.signals()?.is_empty(), "nothing stands since the start: {:#?}", rebuilt.signals()?);

    let placed_at = load.past.orders.iter().map(time_of).max().expect("there are orders");
    running.append_orders(&[json!({
        "order_id": "new", "customer_id": "new", "placed_at": placed_at, "currency": "GBP", "total": "10.00",
    })])?;
    running.wait_until_idle(&[&first], PATIENCE)?;
    rebuilt.wait_until_idle(&[&second], PATIENCE)?;
    let of_new = |shop: &Shop| -> Result<Vec<Value>> {
        Ok(shop.signals()?.into_iter().filter(|signal| signal["customer_id"] == "new").collect())
    };
    ensure!(
        of_new(&running)? == of_new(&rebuilt)? && of_new(&running)?.len() == 1,
        "one signal, with one id"
    );
    first.terminate(PATIENCE)?.expect_clean();
    second.terminate(PATIENCE)?.expect_clean();
    Ok(())
}

/// A producer's open transaction hides the whole history. The first seal says all the same where it ends, so that a process that is
/// killed meanwhile does not make history of what comes later.
fn a_history_that_cannot_be_read_yet(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 1)?;
    let settings =
        shop.live_settings("one").set(&["clock", "at_end"], "stay").set(&["signals", "history"], "hold_back");
    let order = |customer: &str| json!({"order_id": customer, "customer_id": customer, "placed_at": 1_700_000_000_000_i64, "currency": "GBP", "total": "9.00"});
    let producer: BaseProducer =
        shop.client().config().set("transactional.id", &shop.application).create()?;
    producer.init_transactions(PATIENCE)?;
    producer.begin_transaction()?;
    let past = Record::json("past", &order("past"));
    producer.send(past.to(shop.orders_name())).map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)?;

    let service = ServiceProcess::start(&settings)?;
    service.wait_until("sealed", PATIENCE, |_| Ok(shop.visible_offsets()?.len() == 3))?;
    let (code, reasons) = service.get("/readyz")?;
    ensure!(code == 503 && reasons.contains("reads its history, 1 records to go"), "{code}: {reasons}");
    service.kill()?;
    shop.append_orders(&[order("new")])?;
    producer.commit_transaction(PATIENCE)?;

    let service = ServiceProcess::start(&settings)?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    service.terminate(PATIENCE)?.expect_clean();
    let customers: Vec<Value> =
        shop.signals()?.into_iter().map(|signal| signal["customer_id"].clone()).collect();
    ensure!(customers == ["new"], "what was there is history, what came later is not: {customers:?}");
    ensure!(shop.profiles()?.len() == 2, "both have a profile");
    Ok(())
}
