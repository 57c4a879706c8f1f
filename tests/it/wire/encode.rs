//! Every example of an output schema, written again: what we write is what the pages and schemas show.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::{Failed, Trial};
use retention_signals::domain::daily_count::cohorts::CohortRow;
use retention_signals::domain::daily_count::month::Month;
use retention_signals::domain::engine::shop_totals::{GuestTotals, ShopTotals};
use retention_signals::domain::settings::Shops;
use retention_signals::domain::signals::kind::{SignalKind, SignalType};
use retention_signals::domain::values::ids::ShopIndex;
use retention_signals::domain::values::money::Currency;
use retention_signals::domain::values::time::Day;
use retention_signals::domain::values::window::YEAR;
use retention_signals::wire::encode::{
    CohortLine, EventCounts, ProfileEncoder, RecordContext, ShopMetrics, ShopOutcomes, SignalEncoder,
    Summary, TruncatedCounts, encode_cohort, encode_dead_letter_line, encode_shop_metrics, encode_summary,
};
use retention_signals::wire::reason::{Reason, Refusal};
use retention_signals::wire::remark::{InputRemark, Remark};
use serde_json::Value;

use super::{currency, from_json, shops};
use crate::examples::{self, Settings};

/// Writes what an example shows and compares.
type Check = fn(&Value) -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let outputs: [(&str, Check); 6] = [
        ("signals", signal),
        ("customers", profile),
        ("shop-metrics", shop_metrics),
        ("cohorts", cohorts),
        ("summary", summary),
        ("dead-letters", dead_letter),
    ];
    let mut trials = Vec::new();
    for (schema, check) in outputs {
        let examples = examples::valid(schema);
        assert!(!examples.is_empty(), "{schema} has examples");
        for example in examples {
            let name = format!("wire::writes::{}", example.path);
            trials.push(Trial::test(name, move || check(&serde_json::from_str(&example.text)?)));
        }
    }
    trials
}

/// Compares the text that was written with an example, value for value.
fn compare(written: &[u8], example: &Value) -> Result<(), Failed> {
    let text = std::str::from_utf8(written)?;
    let json: Value = serde_json::from_str(text)?;
    if json != *example {
        return Err(format!("written {json:#}\nexample {example:#}").into());
    }
    Ok(())
}

/// The shops, shop and key of an output: profiles and signals with a configured store's id may come from either key form.
fn origin(example: &Value, from_record: bool) -> (Shops, ShopIndex, String) {
    let customer = example["customer_id"].as_str().unwrap_or_default();
    let stores = shops(Settings::Stores);
    match example["store_id"].as_str() {
        Some(store) if !from_record => {
            let key = format!("{store}/{customer}");
            let index = stores.of_key(key.as_bytes()).expect("a configured store");
            (stores, index, key)
        }
        Some(_) | None => (shops(Settings::OneShop), ShopIndex(0), customer.to_owned()),
    }
}

fn signal(example: &Value) -> Result<(), Failed> {
    // With one shop, a store in a signal is the record's.
    for from_record in [true, false] {
        let (shops, shop, key) = origin(example, from_record);
        let signal = from_json::signal(example, shop);
        let encoder = SignalEncoder::new(&shops);
        let context = RecordContext {
            kind: from_json::record_kind(example),
            id: example["cause"]["id"].as_str().unwrap_or("looked at by nobody"),
            at: from_json::time(&example["cause"]["at"]),
            store_id: example["store_id"].as_str(),
        };
        let by_record = !example["cause"]["id"].is_null();
        // A signal of the clock is the same whether a record was being applied or not.
        for record in [Some(&context), None] {
            if by_record && record.is_none() {
                continue;
            }
            let mut out = b"before".to_vec();
            let id = encoder.encode(key.as_bytes(), &signal, record, &mut out);
            let mut expected = example.clone();
            if !from_json::has_known_id(&signal) || key.contains('/') {
                expected["id"] = id.to_string().into();
            }
            if matches!(signal.kind, SignalKind::LapseRetracted { .. }) {
                let written: Value = serde_json::from_slice(&out[6..])?;
                expected["data"]["retracts"] = written["data"]["retracts"].clone();
            }
            if from_record && in_the_yen_store(example) {
                continue;
            }
            compare(&out[6..], &expected)?;
        }
    }
    Ok(())
}

/// Its amounts are no euros.
fn in_the_yen_store(example: &Value) -> bool {
    example["store_id"] == "tokyo"
}

fn profile(example: &Value) -> Result<(), Failed> {
    let (shops, shop, key) = origin(example, false);
    let mut out = Vec::new();
    ProfileEncoder::new(&shops).encode(key.as_bytes(), &from_json::profile(example, shop), &mut out);
    compare(&out, example)
}

fn shop_metrics(example: &Value) -> Result<(), Failed> {
    let code = from_json::text(&example["currency"]);
    let by_state = &example["customers"]["by_state"];
    let figures = from_json::figures(&example["all_time"], &example["windows"], by_state, code);
    let retention = from_json::retention(example, figures.windows[YEAR]);
    let outcomes = from_json::outcomes(&example["rules"]);
    let metrics = ShopMetrics {
        store_id: example["store_id"].as_str(),
        at: from_json::time(&example["at"]),
        currency: currency(code),
        figures: &figures,
        retention: retention.as_ref(),
        outcomes: match (example.get("rules"), example["rules"].is_array()) {
            (None, _) => ShopOutcomes::LeftOut,
            (Some(_), true) => ShopOutcomes::Known(&outcomes),
            (Some(_), false) => ShopOutcomes::Unknown,
        },
    };
    let mut out = Vec::new();
    encode_shop_metrics(&mut out, &metrics);
    compare(&out, example)
}

fn cohorts(example: &Value) -> Result<(), Failed> {
    let month = |text: &Value| {
        let day = chrono::NaiveDate::parse_from_str(&format!("{}-01", from_json::text(text)), "%Y-%m-%d");
        let day = day.expect("a month").signed_duration_since(chrono::NaiveDate::default()).num_days();
        Month::of(Day(day.try_into().expect("in range")))
    };
    let line = CohortLine {
        store_id: example["store_id"].as_str(),
        currency: currency(from_json::text(&example["currency"])),
        month: month(&example["month"]),
        cohort: month(&example["cohort"]),
        size: from_json::count(&example["size"]),
        row: CohortRow {
            customers: from_json::count(&example["customers"]),
            orders: from_json::count(&example["orders"]),
            net: from_json::money(&example["net"]),
        },
        at: from_json::time(&example["at"]),
    };
    let mut out = Vec::new();
    encode_cohort(&mut out, &line);
    compare(&out, example)
}

fn summary(example: &Value) -> Result<(), Failed> {
    let codes = example["revenue"].as_object().into_iter().flat_map(|revenue| revenue.keys());
    let shops = codes.map(|code| {
        let by_state = &example["customers"]["by_state"];
        let figures = from_json::figures(example, &example["windows"], by_state, code);
        (currency(code), figures, from_json::guests(&example["guests"], code))
    });
    let shops: Vec<(Currency, ShopTotals, GuestTotals)> = shops.collect();
    let retention = shops.iter().filter_map(|(currency, figures, _)| {
        let json = &example["retention"][currency.to_string()];
        Some((*currency, from_json::retention(json, figures.windows[YEAR])?))
    });
    let retention = retention.collect();
    let events = from_json::counts(&example["events"], ["orders", "cancellations", "returns", "duplicates"]);
    let millis = (example["seconds"].as_f64().unwrap_or_default() * 1_000.0).round() as u64;
    let per_second = example["events_per_second"].as_u64().unwrap_or_default();
    let summary = Summary {
        events: EventCounts {
            orders: events[0],
            cancellations: events[1],
            returns: events[2],
            duplicates: events[3],
        },
        dead_letters: from_json::counts(&example["dead_letters"], Reason::ALL.map(Reason::name)),
        remarks: from_json::counts(&example["remarks"], Remark::ALL.map(Remark::name)),
        input_remarks: from_json::counts(&example["input_remarks"], InputRemark::ALL.map(InputRemark::name)),
        signals: from_json::counts(&example["signals"], SignalType::NAMES),
        truncated: TruncatedCounts {
            customers: example["truncated"]["customers"].as_u64().unwrap_or_default(),
            orders: example["truncated"]["orders"].as_u64().unwrap_or_default(),
        },
        shops,
        retention,
        elapsed: Duration::from_millis(millis),
        records: per_second * millis / 1_000,
    };
    let mut out = Vec::new();
    encode_summary(&mut out, &summary);
    compare(&out, example)
}

fn dead_letter(example: &Value) -> Result<(), Failed> {
    let named = Reason::ALL.into_iter().find(|reason| reason.name() == from_json::text(&example["reason"]));
    let reason = named.ok_or("a reason of the list")?;
    let refusal = Refusal::new(reason, from_json::text(&example["detail"]).to_owned());
    let value = STANDARD.decode(from_json::text(&example["value_base64"]))?;
    let (file, line) = (from_json::text(&example["file"]), example["line"].as_u64().unwrap_or_default());
    let mut out = Vec::new();
    encode_dead_letter_line(&mut out, &refusal, file, line, &value, usize::MAX);
    compare(&out, example)
}
