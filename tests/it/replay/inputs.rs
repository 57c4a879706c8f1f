//! What comes in and in which order it is applied: ties, stores, erasures, `--until`, other column maps.

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use super::{Folder, Results};

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, fn() -> Result<(), Failed>); 9] = [
        ("replay::one_instant_has_an_order", one_instant_has_an_order),
        ("replay::lines_are_applied_by_time", lines_are_applied_by_time),
        ("replay::an_erased_customer_is_gone", an_erased_customer_is_gone),
        ("replay::stores_are_kept_apart", stores_are_kept_apart),
        ("replay::until_moves_the_clock_on", until_moves_the_clock_on),
        ("replay::until_never_moves_the_clock_back", until_never_moves_the_clock_back),
        ("replay::each_midnight_has_one_line", each_midnight_has_one_line),
        ("replay::a_map_can_describe_other_exports", a_map_can_describe_other_exports),
        ("replay::profiles_say_when_they_are_truncated", profiles_say_when_they_are_truncated),
    ];
    trials.into_iter().map(|(name, trial)| Trial::test(name, trial)).collect()
}

fn order(id: &str, customer: &str, at: &str, total: &str) -> String {
    format!(
        r#"{{"order_id":"{id}","customer_id":"{customer}","placed_at":"{at}","currency":"EUR","total":"{total}"}}"#
    ) + "\n"
}

fn returned(id: &str, customer: &str, at: &str, refund: &str, order: &str) -> String {
    format!(
        r#"{{"return_id":"{id}","customer_id":"{customer}","returned_at":"{at}","currency":"EUR","refund":"{refund}","order_id":"{order}"}}"#
    ) + "\n"
}

fn erasure(customer: &str, at: &str) -> String {
    format!(r#"{{"customer_id":"{customer}","requested_at":"{at}"}}"#) + "\n"
}

/// Customer, type and instant of each signal.
fn said(results: &Results) -> String {
    let text = |signal: &Value, field: &str| signal[field].as_str().unwrap_or_default().to_owned();
    let fields = ["customer_id", "type", "occurred_at"];
    let line =
        |signal: &Value| fields.map(|field| text(signal, field)).join(" ").replace(":00.000Z", "") + "\n";
    results.signals.iter().map(line).collect()
}

fn expect<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{found:#?}\nexpected is\n{expected:#?}").into()) }
}

/// Orders before returns before erasures, and lines as they stand.
fn one_instant_has_an_order() -> Result<(), Failed> {
    let at = "2025-03-01T12:00:00Z";
    let folder = Folder::new();
    let orders = [order("o2", "c2", at, "5.00"), order("o1", "c1", at, "8.00")].concat();
    let results = folder.replay(&[
        "--erasures",
        &folder.write("erasures.jsonl", erasure("c1", at)),
        "--returns",
        &folder.write("returns.jsonl", returned("r1", "c1", at, "8.00", "o1")),
        "--orders",
        &folder.write("orders.jsonl", orders),
    ])?;
    expect(
        said(&results).as_str(),
        "c2 first_order 2025-03-01T12:00\n\
         c1 first_order 2025-03-01T12:00\n\
         c1 order_returned 2025-03-01T12:00\n\
         c1 became_prospect 2025-03-01T12:00\n",
    )?;
    expect(&results.signals[2]["data"]["order_kept"], &Value::from(false))?;
    expect(results.customers.len(), 1)?;
    expect(&results.summary["customers"]["total"], &Value::from(1))
}

fn lines_are_applied_by_time() -> Result<(), Failed> {
    let folder = Folder::new();
    let orders = [
        order("o3", "c1", "2025-01-03T00:00:00Z", "3.00"),
        order("o1", "c1", "2025-01-01T00:00:00Z", "1.00"),
        order("o2", "c1", "2025-01-02T00:00:00Z", "2.00"),
    ];
    let results = folder.replay(&["--orders", &folder.write("orders.jsonl", orders.concat())])?;
    expect(said(&results).as_str(), "c1 first_order 2025-01-01T00:00\nc1 second_order 2025-01-02T00:00\n")?;
    expect(&results.summary["events_per_second"].is_u64(), &true)
}

/// Timers that were due before still fire; a record that names the erased order is refused, and so moves no clock.
fn an_erased_customer_is_gone() -> Result<(), Failed> {
    let folder = Folder::new();
    let late = returned("r1", "c1", "2026-03-01T00:00:00Z", "5.00", "o1");
    let results = folder.replay(&[
        "--orders",
        &folder.write("orders.jsonl", order("o1", "c1", "2025-01-01T00:00:00Z", "5.00")),
        "--returns",
        &folder.write("returns.jsonl", &late),
        "--erasures",
        &folder.write("erasures.jsonl", erasure("c1", "2026-02-01T00:00:00Z")),
    ])?;
    expect(
        said(&results).as_str(),
        "c1 first_order 2025-01-01T00:00\nc1 at_risk 2025-03-09T12:00\nc1 lapsed 2025-05-16T00:00\n",
    )?;
    expect(results.customers.len(), 0)?;
    expect(results.refused(), vec![(1, "erased".to_owned(), late.trim_end().to_owned())])?;
    let last = results.shop_metrics.last().map(|line| line["at"].clone());
    expect(last, Some(Value::from("2026-02-01T00:00:00.000Z")))
}

fn stores_are_kept_apart() -> Result<(), Failed> {
    let line = |store: &str, id: &str, at: &str, currency: &str| {
        format!(
            r#"{{"order_id":"{id}","customer_id":"c1","store_id":"{store}","placed_at":"2025-01-{at}T00:00:00Z","currency":"{currency}","total":"100"}}"#
        ) + "\n"
    };
    let folder = Folder::new();
    let orders = [
        line("tokyo", "o1", "01", "JPY"),
        line("berlin", "o1", "02", "EUR"),
        line("oslo", "o1", "02", "EUR"),
        line("berlin", "o2", "03", "USD"),
    ];
    let config = "key = \"store_id/customer_id\"\n[stores.tokyo]\ncurrency = \"JPY\"\n[stores.berlin]\n\
                  currency = \"EUR\"\n[rates]\nEUR = \"1\"\nUSD = \"0.9\"\nJPY = \"0.006\"\n";
    let results = folder.replay(&[
        "--config",
        &folder.write("shop.toml", config),
        "--orders",
        &folder.write("orders.jsonl", orders.concat()),
    ])?;
    let field = |records: &[Value], name: &str| -> Vec<String> {
        records.iter().map(|record| record[name].as_str().unwrap_or("-").to_owned()).collect()
    };
    expect(field(&results.customers, "store_id"), ["berlin", "tokyo"].map(str::to_owned).to_vec())?;
    expect(field(&results.signals, "type").join(" ").as_str(), "first_order first_order second_order")?;
    let stores = field(&results.shop_metrics, "store_id").join(" ");
    expect(stores.as_str(), "berlin tokyo berlin tokyo berlin tokyo")?;
    expect(results.refused()[0].1.as_str(), "unknown_store")?;
    expect(&results.summary["revenue"]["EUR"]["gross"], &Value::from("190.00"))?;
    expect(&results.summary["revenue"]["JPY"]["gross"], &Value::from("100"))?;
    expect(&results.summary["customers"]["total"], &Value::from(2))
}

fn until_moves_the_clock_on() -> Result<(), Failed> {
    let folder = Folder::new();
    let orders = folder.write("orders.jsonl", order("o1", "c1", "2025-01-01T00:00:00Z", "5.00"));
    let results = folder.replay(&["--orders", &orders, "--until", "2025-05-16T02:00:00+02:00"])?;
    expect(
        said(&results).as_str(),
        "c1 first_order 2025-01-01T00:00\nc1 at_risk 2025-03-09T12:00\nc1 lapsed 2025-05-16T00:00\n",
    )?;
    expect(&results.customers[0]["as_of"], &Value::from("2025-05-16T00:00:00.000Z"))?;
    expect(&results.customers[0]["state"], &Value::from("lapsed"))?;
    expect(&results.summary["windows"]["90d"]["orders"]["placed"], &Value::from(0))?;
    // A millisecond earlier no customer has lapsed, and the profile is that of the change before.
    let results = folder.replay(&["--orders", &orders, "--until", "2025-05-15T23:59:59.999Z", "--force"])?;
    expect(&results.customers[0]["state"], &Value::from("at_risk"))?;
    expect(&results.customers[0]["as_of"], &Value::from("2025-03-09T12:00:00.000Z"))
}

fn until_never_moves_the_clock_back() -> Result<(), Failed> {
    let folder = Folder::new();
    let orders = folder.write("orders.jsonl", order("o1", "c1", "2025-01-01T00:00:00Z", "5.00"));
    let results = folder.replay(&["--orders", &orders, "--until", "2024-01-01T00:00:00Z"])?;
    expect(&results.shop_metrics[0]["at"], &Value::from("2025-01-01T00:00:00.000Z"))?;
    let said = "2025-01-01T00:00:00.000Z, the last event; --until lies before it and changes nothing";
    expect(results.report.contains(said), true)
}

/// With all that happened at that very instant; the last line stands at the end even if that is a midnight.
fn each_midnight_has_one_line() -> Result<(), Failed> {
    let folder = Folder::new();
    let orders = [
        order("o1", "c1", "2025-01-01T00:00:00Z", "1.00"),
        order("o2", "c1", "2025-01-01T00:00:00Z", "1.00"),
        order("o3", "c1", "2025-01-02T00:00:00Z", "1.00"),
        order("o4", "c1", "2025-01-03T12:00:00Z", "1.00"),
    ];
    let orders = folder.write("orders.jsonl", orders.concat());
    for (until, expected) in [
        ("2025-01-04T00:00:00Z", "01T00:00:2 02T00:00:3 03T00:00:3 04T00:00:4"),
        ("2025-01-04T06:00:00Z", "01T00:00:2 02T00:00:3 03T00:00:3 04T00:00:4 04T06:00:4"),
    ] {
        let results = folder.replay(&["--orders", &orders, "--until", until, "--force"])?;
        let line = |line: &Value| {
            let at = line["at"].as_str().unwrap_or_default();
            format!("{}:{}", at.get(8..16).unwrap_or_default(), line["all_time"]["orders"]["placed"])
        };
        let lines: Vec<String> = results.shop_metrics.iter().map(line).collect();
        expect(lines.join(" ").as_str(), expected)?;
    }
    Ok(())
}

/// A semicolon, a total in each line, what belongs to the order in its first line only, returns by their sign.
fn a_map_can_describe_other_exports() -> Result<(), Failed> {
    let map = "[columns]\norder_id = 'Order'\ntime = 'Date'\nprice = 'Amount'\ncustomer_id = 'Email'\n\
               currency = 'Cur'\nzone = 'Zone'\nstore_id = 'Shop'\n[time]\nformat = '%d.%m.%Y %H:%M'\n\
               zone = 'Europe/Berlin'\n[csv]\ndelimiter = ';'\n[[returns]]\ntotal = 'negative'\n\
               [[skip]]\ncolumn = 'Kind'\nequals = 'draft'\nname = 'drafts'\n";
    let csv = "\u{feff}Kind;Order;Email;Date;Zone;Cur;Shop;Amount\n\
               sale;#1;ann@x.org;02.01.2025 10:00;;EUR;north;10.004\n\
               sale;#1;;;;;;5.001\n\
               draft;#2;ann@x.org;02.01.2025 11:00;;EUR;north;1\n\
               sale;#3;\"bob;jr\";02.01.2025 10:00;America/New_York;USD;north;-7.5\n\
               sale;#4;;03.01.2025 00:30;;EUR;;.5\n";
    let folder = Folder::new();
    let results = folder.replay(&[
        "--map",
        &folder.write("map.toml", map),
        "--orders",
        &folder.write("orders.csv", csv),
        "--set",
        "rates.USD=0.5",
    ])?;
    expect(results.refused(), vec![])?;
    expect(
        said(&results).as_str(),
        "ann@x.org first_order 2025-01-02T09:00\nbob;jr order_returned 2025-01-02T15:00\n",
    )?;
    expect(&results.signals[0]["data"]["value"], &Value::from("15.00"))?;
    expect(&results.signals[0]["store_id"], &Value::from("north"))?;
    expect(&results.signals[1]["data"]["refund"], &Value::from("3.75"))?;
    expect(&results.summary["guests"]["revenue"]["EUR"]["gross"], &Value::from("0.50"))?;
    expect(results.report.contains("drafts 1\n"), true)?;
    expect(results.report.contains("shop.time_zone      Europe/Berlin (column map"), true)
}

/// A customer has three orders more than are remembered. A year after the third the windows have lost nothing any more.
fn profiles_say_when_they_are_truncated() -> Result<(), Failed> {
    let placed = |day: u32| order(&format!("o{day}"), "c1", &format!("2025-01-{day:02}T00:00:00Z"), "1.00");
    let orders: String = (1..=13).map(placed).collect();
    for (last, placed, truncated) in
        [("2026-01-02T23:59:59.999Z", 11, true), ("2026-01-03T00:00:00Z", 11, false)]
    {
        let folder = Folder::new();
        let orders = orders.clone() + &order("last", "c1", last, "1.00");
        let results = folder.replay(&[
            "--orders",
            &folder.write("orders.jsonl", orders),
            "--set",
            "records.max_orders=11",
        ])?;
        let customer = &results.customers[0];
        let found = (&customer["truncated"], &customer["windows"]["365d"]["placed"]);
        expect(found, (&Value::from(truncated), &Value::from(placed)))?;
        expect(&customer["all_time"]["placed"], &Value::from(14))?;
        expect(&results.summary["truncated"]["customers"], &Value::from(u64::from(truncated)))?;
        expect(&results.summary["truncated"]["orders"], &Value::from(3))?;
        expect(results.report.contains("3 of their orders left the windows early"), true)?;
    }
    Ok(())
}
