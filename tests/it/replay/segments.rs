//! Segments in a replay: with cut points of a registry, and with computed ones.

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use super::{Folder, Results};

const STORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/examples/story");

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("replay::segments_follow_the_registry", segments_follow_the_registry),
        Trial::test("replay::cut_points_are_computed", cut_points_are_computed),
    ]
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
