//! Small inputs as shops send them, each after a public report, and what has to come of them.

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use super::{Folder, Results};

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, fn() -> Result<(), Failed>); 11] = [
        ("replay::cases::ids_may_be_numbers", ids_may_be_numbers),
        ("replay::cases::an_offset_may_have_no_colon", an_offset_may_have_no_colon),
        ("replay::cases::a_currency_may_be_in_small_letters", a_currency_may_be_in_small_letters),
        ("replay::cases::an_empty_customer_is_a_guest", an_empty_customer_is_a_guest),
        ("replay::cases::blank_lines_are_nothing", blank_lines_are_nothing),
        ("replay::cases::rows_of_commas_are_nothing", rows_of_commas_are_nothing),
        ("replay::cases::an_empty_sku_loses_no_order", an_empty_sku_loses_no_order),
        ("replay::cases::a_return_finds_its_customer_by_its_order", a_return_finds_its_customer_by_its_order),
        ("replay::cases::a_currency_of_its_own_is_declared", a_currency_of_its_own_is_declared),
        ("replay::cases::seconds_for_milliseconds_get_a_remark", seconds_for_milliseconds_get_a_remark),
        ("replay::cases::a_conflict_gets_a_remark", a_conflict_gets_a_remark),
    ];
    trials.into_iter().map(|(name, trial)| Trial::test(name, trial)).collect()
}

pub(super) fn replay(orders: &str) -> Result<Results, Failed> {
    let folder = Folder::new();
    Ok(folder.replay(&["--orders", &folder.write("orders.jsonl", orders)])?)
}

/// Nothing is refused, and these fields of the summary are so.
fn expect(results: &Results, fields: &[(&str, serde_json::Value)]) -> Result<(), Failed> {
    if !results.dead_letters.is_empty() {
        return Err(format!("refused is {:#?}", results.dead_letters).into());
    }
    for (pointer, expected) in fields {
        let found = results.summary.pointer(pointer);
        if found != Some(expected) {
            return Err(format!("{pointer} is {found:?}, expected is {expected}\n{}", results.report).into());
        }
    }
    Ok(())
}

/// The report has a section that says so.
fn expect_report(results: &Results, texts: &[&str]) -> Result<(), Failed> {
    let has_section = results.report.lines().any(|line| line.starts_with("worth a look"));
    match texts.iter().find(|text| !results.report.contains(**text)) {
        None if has_section => Ok(()),
        other => Err(format!("{other:?} is missing\n{}", results.report).into()),
    }
}

/// Also ids that no float holds exactly.
fn ids_may_be_numbers() -> Result<(), Failed> {
    let folder = Folder::new();
    let orders = r#"{"order_id": 16718484078961, "customer_id": 820982911946154508, "placed_at": "2026-04-05T21:06:21+04:00", "currency": "USD", "total": "15.00", "store_id": 7, "items": [{"sku": 4711}]}"#;
    let returns = r#"{"return_id": 4169236486, "order_id": 16718484078961, "customer_id": "820982911946154508", "returned_at": "2026-04-06T00:00:00Z", "currency": "USD", "refund": 15}"#;
    let results = folder.replay(&[
        "--orders",
        &folder.write("orders.jsonl", orders),
        "--returns",
        &folder.write("returns.jsonl", returns),
    ])?;
    expect(&results, &[("/orders/placed", json!(1)), ("/orders/kept", json!(0))])?;
    let (customer, signal) = (&results.customers[0]["customer_id"], &results.signals[0]);
    if customer != "820982911946154508"
        || signal["cause"]["id"] != "16718484078961"
        || signal["store_id"] != "7"
    {
        return Err(format!("{customer} {signal:#}").into());
    }
    Ok(())
}

fn an_offset_may_have_no_colon() -> Result<(), Failed> {
    let results = replay(
        r#"{"order_id": "1", "placed_at": "2024-05-01T10:00:00.000+0000", "currency": "EUR", "total": "10.00", "customer_id": "c"}
{"order_id": "2", "placed_at": "2024-05-02 12:00:00 +02", "currency": "EUR", "total": "10.00", "customer_id": "c"}"#,
    )?;
    expect(&results, &[("/orders/placed", json!(2))])?;
    let times: Vec<_> = results.signals.iter().map(|signal| &signal["occurred_at"]).collect();
    let expected = ["2024-05-01T10:00:00.000Z", "2024-05-02T10:00:00.000Z"];
    if times == expected { Ok(()) } else { Err(format!("{times:?}").into()) }
}

/// The first order decides about the shop's currency too.
fn a_currency_may_be_in_small_letters() -> Result<(), Failed> {
    let results = replay(
        r#"{"order_id": "1", "placed_at": "2024-05-01T10:00:00Z", "currency": "usd", "total": "10.00", "customer_id": "c"}
{"order_id": "2", "placed_at": "2024-05-01T10:00:00Z", "currency": "USD", "total": "10.00", "customer_id": "c"}"#,
    )?;
    expect(&results, &[("/orders/placed", json!(2)), ("/revenue/USD/gross", json!("20.00"))])
}

fn an_empty_customer_is_a_guest() -> Result<(), Failed> {
    let results = replay(
        r#"{"order_id": "1", "placed_at": "2026-06-01T10:00:00Z", "currency": "EUR", "total": "50.00", "customer_id": ""}
{"order_id": "2", "placed_at": "2026-06-01T10:00:00Z", "currency": "EUR", "total": "50.00", "customer_id": "c"}"#,
    )?;
    expect(&results, &[("/orders/placed", json!(1)), ("/guests/orders", json!(1))])
}

fn blank_lines_are_nothing() -> Result<(), Failed> {
    let order = r#"{"order_id": "1", "placed_at": "2026-06-01T10:00:00Z", "currency": "EUR", "total": "50.00", "customer_id": "c"}"#;
    let results = replay(&format!("\u{feff}\n{order}\r\n \t\r\n\n\n"))?;
    expect(&results, &[("/events/orders", json!(1)), ("/orders/placed", json!(1))])
}

fn rows_of_commas_are_nothing() -> Result<(), Failed> {
    let folder = Folder::new();
    let map = "[columns]\norder_id = \"id\"\ntime = \"at\"\nprice = \"price\"\ncustomer_id = \"who\"\n[money]\ncurrency = \"EUR\"\n";
    let rows = "id,at,price,who\n1,2026-06-01T10:00:00Z,50,c\n,,,\n\n , , ,\n";
    let results = folder.replay(&[
        "--orders",
        &folder.write("orders.csv", rows),
        "--map",
        &folder.write("map.toml", map),
    ])?;
    expect(&results, &[("/orders/placed", json!(1))])?;
    if results.report.contains("orders.csv: lines 1, documents 1\n") {
        Ok(())
    } else {
        Err(results.report.into())
    }
}

/// It tells no goods apart, and that is all that a SKU is for.
fn an_empty_sku_loses_no_order() -> Result<(), Failed> {
    let results = replay(
        r#"{"order_id": "1", "placed_at": "2026-06-02T10:00:00Z", "currency": "EUR", "total": "50.00", "customer_id": "c", "items": [{"sku": "", "quantity": 1}]}
{"order_id": "2", "placed_at": "2026-06-03T10:00:00Z", "currency": "EUR", "total": "50.00", "customer_id": "c"}"#,
    )?;
    expect(&results, &[("/orders/placed", json!(2))])
}

/// Unless two customers have orders of that id, or none has.
fn a_return_finds_its_customer_by_its_order() -> Result<(), Failed> {
    let order = |id: &str, customer: &str| {
        format!(
            r#"{{"order_id":"{id}","placed_at":"2017-12-01T10:00:00Z","currency":"USD","total":"35.00","customer_id":"{customer}"}}"#
        ) + "\n"
    };
    let returned = |id: &str, order: &str| {
        format!(
            r#"{{"return_id":"{id}","returned_at":"2017-12-12T19:41:42-05:00","currency":"USD","refund":"35.00","order_id":"{order}"}}"#
        ) + "\n"
    };
    let folder = Folder::new();
    let orders = [order("9161736198", "c"), order("7", "a"), order("7", "b")].concat();
    let returns = [returned("1", "9161736198"), returned("2", "7"), returned("3", "8")].concat();
    let results = folder.replay(&[
        "--orders",
        &folder.write("orders.jsonl", orders),
        "--returns",
        &folder.write("returns.jsonl", returns),
    ])?;
    expect(
        &results,
        &[
            ("/orders/kept", json!(2)),
            ("/revenue/USD/refunded", json!("35.00")),
            ("/guests/returns", json!(2)),
            ("/events/returns", json!(3)),
            ("/remarks", json!({"return_without_customer": 3})),
        ],
    )?;
    let found: Vec<_> = results.signals.iter().filter(|signal| signal["type"] == "order_returned").collect();
    match found.as_slice() {
        [signal] if signal["customer_id"] == "c" && signal["data"]["order_id"] == "9161736198" => Ok(()),
        other => Err(format!("{other:#?}").into()),
    }
}

fn a_currency_of_its_own_is_declared() -> Result<(), Failed> {
    let folder = Folder::new();
    let orders = folder.write(
        "orders.jsonl",
        r#"{"order_id": "1", "placed_at": "2024-05-01T10:00:00Z", "currency": "IRT", "total": "250000", "customer_id": "c"}"#,
    );
    match folder.replay(&["--orders", &orders]) {
        Err(failure) if failure.to_string().contains("[currencies] IRT = ") => {}
        other => return Err(format!("nothing says how to declare it: {other:?}").into()),
    }
    let results = folder.replay(&["--orders", &orders, "--set", "currencies.IRT=0"])?;
    expect(&results, &[("/revenue/IRT/gross", json!("250000"))])?;
    if results.customers[0]["currency"] == "IRT" { Ok(()) } else { Err(format!("{results:#?}").into()) }
}

/// They are read as they stand: only a person can know what was meant.
fn seconds_for_milliseconds_get_a_remark() -> Result<(), Failed> {
    let order = |id: u32, at: u64| {
        format!(
            r#"{{"order_id":"{id}","placed_at":{at},"currency":"EUR","total":"10.00","customer_id":"c"}}"#
        ) + "\n"
    };
    let seconds = [1_736_069_400, 1_737_797_400, 1_739_525_400, 946_684_799_999];
    let orders: String = (0..).zip(seconds).map(|(id, at)| order(id, at)).collect();
    let results = replay(&(orders + &order(9, 946_684_800_000)))?;
    expect(&results, &[("/orders/placed", json!(5)), ("/remarks", json!({"time_before_2000": 4}))])?;
    expect_report(
        &results,
        &[
            "4 records have a time before the year 2000\n",
            "multiply seconds by 1000",
            "orders.jsonl line 1, 2, 3",
        ],
    )
}

/// The greater amount stands, whichever came first.
fn a_conflict_gets_a_remark() -> Result<(), Failed> {
    let order = |total: &str| {
        format!(
            r#"{{"order_id":"s1","placed_at":"2026-01-25T23:28:32Z","currency":"USD","total":"{total}","customer_id":"c"}}"#
        ) + "\n"
    };
    for (totals, remarks, told) in [
        (["100.00", "60.00"], json!({"conflicting": 1}), "0 replaced it"),
        (["60.00", "100.00"], json!({"conflicting": 1, "conflict_replaced": 1}), "1 replaced it"),
    ] {
        let results = replay(&totals.map(order).concat())?;
        expect(&results, &[("/revenue/USD/gross", json!("100.00")), ("/remarks", remarks)])?;
        expect_report(&results, &["1 record contradicts", told, "orders.jsonl line 2"])?;
    }
    Ok(())
}
