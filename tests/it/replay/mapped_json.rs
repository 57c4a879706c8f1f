//! JSON that a map reads, and JSON of guests: overlapping files, hashed identities, what the engine refuses.

use libtest_mimic::{Failed, Trial};
use retention_signals::maps::{Content, Map, Meta, SourceRecord, any_currency_decoder};
use serde_json::{Value, json};

use super::Folder;

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, fn() -> Result<(), Failed>); 4] = [
        ("replay::guests_of_overlapping_files_count_once", guests_count_once),
        ("replay::records_passed_over_again_count_once", passed_over_count_once),
        ("replay::a_refusal_shows_the_source_record", a_refusal_shows_the_source_record),
        ("replay::identities_are_hashed_as_the_intake_does", identities_are_hashed),
    ];
    trials.into_iter().map(|(name, trial)| Trial::test(name, trial)).collect()
}

fn expect<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{found:#?}\nexpected is\n{expected:#?}").into()) }
}

fn guest(id: &Value, at: &str, total: &str, version: u64) -> String {
    json!({"order_id": id, "placed_at": at, "currency": "EUR", "total": total, "version": version})
        .to_string()
        + "\n"
}

/// The greatest version of an order counts. An order of the same number at another time is another one.
fn guests_count_once() -> Result<(), Failed> {
    let folder = Folder::new();
    let (one, two) = ("2025-03-01T12:00:00Z", "2025-03-02T12:00:00Z");
    let first = [
        guest(&json!("7"), one, "10.00", 1),
        guest(&json!("8"), two, "5.00", 4),
        guest(&json!("9"), two, "1.00", 1),
    ];
    let second = [
        guest(&json!("7"), "2025-03-01T13:00:00+01:00", "8.00", 2),
        guest(&json!("8"), two, "6.00", 3),
        guest(&json!("9"), two, "1.00", 1),
        guest(&json!("7"), two, "100.00", 1),
    ];
    let first = folder.write("first.jsonl", first.concat());
    let second = folder.write("second.jsonl", second.concat());
    let results = folder.replay(&["--orders", &first, "--orders", &second])?;
    expect(
        &results.summary["guests"],
        &json!({"orders": 4, "returns": 0, "revenue": {"EUR": {"gross": "114.00", "refunded": "0.00", "net": "114.00"}}}),
    )?;
    expect(&results.summary["events"]["duplicates"], &json!(3))?;
    expect(&results.summary["events"]["orders"], &json!(4))
}

fn shopify_order(id: u64, customer: &Value, refunds: &Value) -> Value {
    json!({
        "id": id, "created_at": "2025-03-02T09:15:00Z", "processed_at": "2025-03-02T09:15:00Z",
        "updated_at": "2025-03-02T09:16:00Z", "cancelled_at": null, "test": false, "currency": "EUR",
        "financial_status": "paid", "subtotal_price": "42.00", "total_price": "46.90", "customer": customer,
        "email": "Ida@example.org", "line_items": [{"sku": "TEA"}], "refunds": refunds,
    })
}

fn passed_over_count_once() -> Result<(), Failed> {
    let folder = Folder::new();
    let line = |id, customer| shopify_order(id, customer, &json!([])).to_string() + "\n";
    let customer = json!({"id": 1});
    let first =
        folder.write("first.jsonl", line(1, &customer) + &line(2, &Value::Null) + &line(3, &Value::Null));
    let second = folder.write("second.jsonl", line(3, &Value::Null) + &line(4, &Value::Null));
    let results = folder.replay(&["--orders", &first, "--orders", &second, "--map", "shopify"])?;
    let (_, of_second) = results.report.split_once("second.jsonl: records 2\n").ok_or("the second file")?;
    let is_there = results.report.contains("skipped             guest 2\n")
        && of_second.contains("skipped             guest 1\n")
        && of_second.contains("repeated            1 records that are passed over again count once\n");
    if is_there { Ok(()) } else { Err(results.report.into()) }
}

/// A return of an erased order: mapped well, refused by the engine.
fn a_refusal_shows_the_source_record() -> Result<(), Failed> {
    let folder = Folder::new();
    let refunds = json!([{
        "id": 9, "created_at": "2025-03-05T10:00:00Z", "processed_at": "2025-03-05T10:00:00Z",
        "refund_line_items": [{"subtotal": "10.00"}], "transactions": [],
    }]);
    let other = shopify_order(1, &json!({"id": 5}), &json!([])).to_string();
    let order = shopify_order(2, &json!({"id": 6}), &refunds).to_string();
    let orders = folder.write("orders.jsonl", format!("{other}\n\n{order}\n"));
    let erasure = json!({"customer_id": "6", "requested_at": "2025-03-03T00:00:00Z"}).to_string();
    let erasures = folder.write("erasures.jsonl", erasure);
    let arguments = ["--orders", &orders, "--map", "shopify", "--erasures", &erasures];
    let (_, results) = folder.replay_all(&arguments)?;
    expect(results.refused(), vec![(3, "erased".to_owned(), order)])
}

fn identities_are_hashed() -> Result<(), Failed> {
    let folder = Folder::new();
    let order = shopify_order(1, &Value::Null, &json!([])).to_string();
    let orders = folder.write("orders.jsonl", &order);
    let secret = "d3b07384d113edec49eaa6238ad5ff00";
    let file = folder.write("secret", format!("{secret}\n"));
    let arguments = ["--orders", &orders, "--map", "shopify", "--option", "identity=email"];

    let setting = format!("intake.secret_file={file}");
    let results = folder.replay(&[&arguments[..], &["--set", &setting]].concat())?;
    let options = [("identity".to_owned(), "email".to_owned())].into_iter().collect();
    let map = Map::load("shopify", &options, Some(secret.as_bytes()))?;
    let source = SourceRecord { content: Content::Json(order.as_bytes()), meta: Meta::default() };
    let mapped =
        map.records(&source, &any_currency_decoder()).map_err(|refusal| refusal.detail.into_owned())?;
    let native: Value = serde_json::from_slice(&mapped.records[0].value)?;
    expect(&results.customers[0]["customer_id"], &native["customer_id"])?;
    expect(results.summary["input_remarks"].get("hashed_without_secret"), None)?;

    let without = Folder::new();
    let results = without.replay(&arguments)?;
    if results.customers[0]["customer_id"] == native["customer_id"] {
        return Err("the same identity without the secret".into());
    }
    expect(&results.summary["input_remarks"]["hashed_without_secret"], &json!(1))?;
    if !results.report.contains("hashed identities of this run do not equal those of the intake") {
        return Err(results.report.into());
    }
    // A map that does not hash needs none.
    let results = Folder::new().replay(&[&arguments[..4], &["--set", "shop.currency=EUR"]].concat())?;
    expect(results.summary["input_remarks"].get("hashed_without_secret"), None)
}
