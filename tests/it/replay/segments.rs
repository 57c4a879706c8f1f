//! Segments in a replay: with cut points of a registry, and with computed ones.

use std::collections::BTreeMap;
use std::path::Path;

use libtest_mimic::{Completion, Failed, Trial};
use retention_signals::domain::segments::cuts::{CutPoints, MoneyCuts};
use retention_signals::domain::values::money::Currency;
use retention_signals::domain::values::time::Time;
use retention_signals::wire::registry::cuts::{CutsContent, CutsRecord};
use serde_json::{Value, json};

use super::{Folder, ONLINE_RETAIL_MAP, Results};
use crate::oracle::online_retail;

const STORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/examples/story");

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("replay::segments_follow_the_registry", segments_follow_the_registry),
        Trial::test("replay::cut_points_are_computed", cut_points_are_computed),
        Trial::ignorable_test("replay::segments_of_online_retail", || match online_retail::path() {
            Ok(path) => segments_of_online_retail(&path).map(|()| Completion::Completed),
            Err(missing) => Ok(Completion::ignored_with(missing)),
        }),
    ]
}

/// Every customer of a real shop is where others have computed it, as of the last midnight: a profile is written anew when silence changes
/// the name, so those of the replay are of then.
fn segments_of_online_retail(path: &Path) -> Result<(), Failed> {
    let record = CutsRecord::first(&CutsContent {
        store_id: None,
        counted_at: Time::MIN,
        customers: 4_326,
        points: CutPoints {
            r: [14, 32, 71, 179],
            f: [1, 2, 3, 5],
            money: Some(MoneyCuts {
                m: [25_087, 49_151, 94_207, 204_799],
                f_median: 2,
                value_median: 29_439,
            }),
        },
        currency: Currency::from_code(b"GBP").expect("a currency"),
    });
    let folder = Folder::new();
    let line = format!("{{\"key\":\"{}\",\"value\":{}}}\n", record.key(), record.to_json());
    let registry = format!("registry.file={}", folder.write("registry.jsonl", line));
    let path = path.to_str().ok_or("a path in UTF-8")?;
    let inputs = ["--orders", path, "--map", ONLINE_RETAIL_MAP, "--until", "2011-12-10T00:00:00Z"];
    let enabled = ["--set", &registry, "--set", "segments.enabled=true"];
    let results = folder.replay(&[&inputs[..], &enabled].concat())?;
    let counts = |field: &str| {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for profile in &results.customers {
            if let Some(name) = profile["segment"][field].as_str() {
                *counts.entry(name).or_default() += 1;
            }
        }
        counts
    };
    let names = [
        ("about_to_sleep", 476),
        ("cant_lose", 63),
        ("champions", 622),
        ("hibernating", 1_337),
        ("loyal", 658),
        ("need_attention", 122),
        ("new", 73),
        ("potential_loyalist", 488),
        ("promising", 161),
        ("slipping", 326),
    ];
    let matrix =
        [("frequent_large", 1_086), ("frequent_small", 911), ("rare_large", 1_077), ("rare_small", 1_252)];
    if counts("name") != names.into() || counts("matrix") != matrix.into() {
        return Err(format!("{:?}, {:?}", counts("name"), counts("matrix")).into());
    }
    Ok(())
}

/// Instant, name before and name after of each change of a customer.
fn changes(results: &Results, customer: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let is_change =
        |signal: &&Value| signal["type"] == "segment_changed" && signal["customer_id"] == customer;
    let change = |signal: &Value| {
        (text(&signal["occurred_at"]), text(&signal["data"]["before"]), text(&signal["data"]["after"]))
    };
    results.signals.iter().filter(is_change).map(change).collect()
}

fn segment<'r>(results: &'r Results, customer: &str) -> &'r Value {
    let profile = results.customers.iter().find(|profile| profile["customer_id"] == customer);
    &profile.expect("a profile")["segment"]
}

fn segments_follow_the_registry() -> Result<(), Failed> {
    let (orders, returns) = (format!("{STORY}/orders.jsonl"), format!("{STORY}/returns.jsonl"));
    let registry = format!("registry.file={STORY}/cuts.jsonl");
    let inputs = ["--orders", &orders, "--returns", &returns];
    let enabled = ["--set", &registry, "--set", "segments.enabled=true"];
    let results = Folder::new().replay(&[&inputs[..], &enabled].concat())?;
    for id in ["4644632c066c3fc59c315f059fe86413", "200a6891eba5bab6888f0e9ceea6a689"] {
        if !results.signals.iter().any(|signal| signal["id"] == id) {
            return Err(format!("{id} is missing").into());
        }
    }
    let (ida, mara) = (segment(&results, "c-1042"), segment(&results, "c-3310"));
    if ida["name"] != "champions" || ida["cuts"] != "7ece90e88060507e" || !mara.is_null() {
        return Err(format!("{ida}, {mara}").into());
    }
    if !results.report.contains("by the cut points of registry.file") {
        return Err(results.report.into());
    }
    let without = Folder::new().replay(&inputs)?;
    let is_left_out = without.customers.iter().all(|profile| profile.get("segment").is_none());
    let others: Vec<&Value> =
        results.signals.iter().filter(|signal| signal["type"] != "segment_changed").collect();
    if !is_left_out || others != without.signals.iter().collect::<Vec<_>>() {
        return Err("segments change something else".into());
    }
    Ok(())
}

/// Fixed ones from the first midnight on, because there is one customer; quintiles from the second month on.
fn cut_points_are_computed() -> Result<(), Failed> {
    let order = |customer: &str, at: &str| {
        json!({"order_id": format!("o-{customer}-{at}"), "customer_id": customer, "placed_at": at, "currency": "EUR", "total": "10.00"}).to_string()
    };
    let mut lines = vec![order("first", "2025-01-01T10:00:00Z"), order("second", "2025-01-02T10:00:00Z")];
    lines.extend((0..120).map(|number| order(&format!("c{number}"), "2025-01-20T10:00:00Z")));
    lines.push(order("before", "2025-02-02T23:59:59.999Z"));
    lines.push(order("after", "2025-02-03T00:00:00Z"));
    let folder = Folder::new();
    let orders = folder.write("orders.jsonl", lines.join("\n"));
    let run = |refresh: &str| {
        let refresh = format!("segments.refresh={refresh}");
        folder.replay(&[
            "--orders",
            &orders,
            "--until",
            "2025-04-01T00:00:00Z",
            "--force",
            "--set",
            "segments.enabled=true",
            "--set",
            &refresh,
        ])
    };
    let monthly = run("monthly")?;
    let change = |at: &str, before: &str, after: &str| (at.to_owned(), before.to_owned(), after.to_owned());
    let asleep = |at: &str| change(at, "promising", "about_to_sleep");
    // This customer was there before the first cut points, and gets the first name without a signal.
    let first = vec![asleep("2025-03-03T10:00:00.000Z")];
    let second = vec![
        change("2025-01-02T10:00:00.000Z", "none", "new"),
        change("2025-02-02T10:00:00.000Z", "new", "promising"),
        asleep("2025-03-04T10:00:00.000Z"),
    ];
    let found = (changes(&monthly, "first"), changes(&monthly, "second"));
    if found != (first, second) {
        return Err(format!("{found:?}").into());
    }
    let [before, after] = ["before", "after"].map(|customer| segment(&monthly, customer));
    let fixed = segment(&monthly, "first");
    if before["cuts"] != fixed["cuts"] || !fixed["m"].is_null() {
        return Err(format!("the first cut points: {fixed}, {before}").into());
    }
    if after["cuts"] == fixed["cuts"] || after["m"].is_null() || after["matrix"].is_null() {
        return Err(format!("the second ones: {after}").into());
    }
    // At the first midnight, and at the first ones of February and March.
    if !monthly.report.contains("by 3 computed cut points") {
        return Err(monthly.report.into());
    }
    let never = run("never")?;
    if segment(&never, "after")["cuts"] != segment(&never, "first")["cuts"] {
        return Err("cut points were refreshed".into());
    }
    if run("weekly")?.signals == never.signals {
        return Err("weekly is never".into());
    }
    Ok(())
}
