//! Lines that cannot be used: each is a dead letter with its number and its bytes, and the rest goes on.

use std::fs;

use libtest_mimic::{Failed, Trial};

use super::{EXTRACT, Folder, ONLINE_RETAIL_MAP, Results};

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, fn() -> Result<(), Failed>); 5] = [
        ("replay::broken_lines_of_json_are_dead_letters", broken_lines_of_json_are_dead_letters),
        ("replay::only_above_its_limit_the_share_is_told", only_above_its_limit_the_share_is_told),
        ("replay::lines_that_are_too_large_are_cut", lines_that_are_too_large_are_cut),
        ("replay::broken_lines_of_csv_are_dead_letters", broken_lines_of_csv_are_dead_letters),
        ("replay::a_document_with_a_broken_line_is_left_out", a_document_with_a_broken_line_is_left_out),
    ];
    trials.into_iter().map(|(name, trial)| Trial::test(name, trial)).collect()
}

const ORDER: &str = r#"{"order_id":"o1","customer_id":"c1","placed_at":"2025-01-01T00:00:00Z","currency":"EUR","total":"5.00"}"#;

fn expect_refused(results: &Results, expected: &[(u64, &str, &str)]) -> Result<(), Failed> {
    let found = results.refused();
    let expected: Vec<(u64, String, String)> = expected
        .iter()
        .map(|(line, reason, original)| (*line, (*reason).to_owned(), (*original).to_owned()))
        .collect();
    if found != expected {
        return Err(format!("refused are {found:#?}\nexpected are {expected:#?}").into());
    }
    let mut counted = 0;
    for (reason, count) in results.summary["dead_letters"].as_object().into_iter().flatten() {
        let lines = expected.iter().filter(|(_, other, _)| other == reason).count();
        if *count != lines {
            return Err(format!("{count} {reason} are counted").into());
        }
        counted += lines;
    }
    if counted == expected.len() { Ok(()) } else { Err(format!("{counted} are counted").into()) }
}

/// One refused line among 20 is exactly the 5 % that the service still takes.
fn only_above_its_limit_the_share_is_told() -> Result<(), Failed> {
    for (accepted, is_told) in [(19, false), (18, true)] {
        let mut content = "{}\n".to_owned();
        (0..accepted).for_each(|id| content.extend([&ORDER.replace("o1", &format!("o{id}")), "\n"]));
        let folder = Folder::new();
        let path = folder.write("orders.jsonl", content);
        let (code, results) = folder.replay_all(&["--orders", &path])?;
        if (code == 65) != is_told || results.report.contains("% of the records") != is_told {
            return Err(format!("1 of {}:\n{}", accepted + 1, results.report).into());
        }
    }
    Ok(())
}

fn broken_lines_of_json_are_dead_letters() -> Result<(), Failed> {
    let lines: [(&[u8], &str); 12] = [
        (b"{\"order_id\":", "malformed_json"),
        (b"order;2025-01-01;5.00", "malformed_json"),
        (b"[1]", "invalid_event"),
        (b"{}", "invalid_event"),
        (b"{\"order_id\":\"\xff\"}", "invalid_utf8"),
        (b"{\"placed_at\":\"2025-01-01T00:00:00Z\"}", "missing_field"),
        (
            br#"{"order_id":7.5,"placed_at":"2025-01-01T00:00:00Z","currency":"EUR","total":"1"}"#,
            "invalid_type",
        ),
        (
            br#"{"order_id":"o","placed_at":"2025-01-01T00:00:00","currency":"EUR","total":"1"}"#,
            "invalid_time",
        ),
        (
            br#"{"order_id":"o","placed_at":"2025-01-01T00:00:00Z","currency":"EUR","total":"1.005"}"#,
            "invalid_amount",
        ),
        (
            br#"{"order_id":"o","placed_at":"2025-01-01T00:00:00Z","currency":"EUR","total":"-1"}"#,
            "out_of_range",
        ),
        (
            br#"{"order_id":"o","placed_at":"2025-01-01T00:00:00Z","currency":"USD","total":"1"}"#,
            "unknown_currency",
        ),
        (
            br#"{"order_id":"","customer_id":"c","placed_at":"2025-01-01T00:00:00Z","currency":"EUR","total":"1"}"#,
            "invalid_field",
        ),
    ];
    let mut content = b"\xef\xbb\xbf".to_vec();
    content.extend_from_slice(ORDER.as_bytes());
    content.extend_from_slice(b"\r\n");
    let mut expected = Vec::new();
    for (index, (line, reason)) in lines.iter().enumerate() {
        content.extend_from_slice(line);
        content.push(b'\n');
        expected.push((index as u64 + 2, *reason, String::from_utf8_lossy(line).into_owned()));
    }
    content.extend_from_slice(ORDER.replace("o1", "o2").as_bytes());
    let folder = Folder::new();
    let path = folder.write("orders.jsonl", content);
    let results = folder.replay_refused(&["--orders", &path])?;
    let expected: Vec<(u64, &str, &str)> =
        expected.iter().map(|(line, reason, original)| (*line, *reason, original.as_str())).collect();
    expect_refused(&results, &expected)?;
    let files = results.dead_letters.iter().all(|letter| letter["file"].as_str() == Some(path.as_str()));
    if !files || results.summary["orders"]["placed"] != 2 {
        return Err(format!("{:#}", results.summary).into());
    }
    if !results.report.contains("that is 85.71 % of the records") {
        return Err(format!("the share is not told:\n{}", results.report).into());
    }
    Ok(())
}

fn lines_that_are_too_large_are_cut() -> Result<(), Failed> {
    let large = format!("{{\"order_id\":\"{}\"}}", "x".repeat(3_000_000));
    let folder = Folder::new();
    let path = folder.write("orders.jsonl", format!("{large}\n{ORDER}\n"));
    let results = folder.replay_refused(&[
        "--orders",
        &path,
        "--set",
        "records.max_bytes=1KiB",
        "--set",
        "shop.currency=EUR",
    ])?;
    expect_refused(&results, &[(1, "too_large", &large[..1_024])])?;
    let detail = results.dead_letters[0]["detail"].as_str();
    if detail != Some("3000015 bytes, allowed are 1024") || results.summary["orders"]["placed"] != 1 {
        return Err(format!("{detail:?} {:#}", results.summary).into());
    }
    Ok(())
}

/// One line of the UCI columns: id, SKU, quantity, time, price, customer.
fn row(cells: [&str; 6]) -> String {
    let [id, sku, quantity, time, price, customer] = cells;
    format!("{id},{sku},\"A, \"\"description\"\"\",{quantity},{time},{price},{customer},United Kingdom")
}

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

const AT: &str = "2011-01-04T10:00:00";

fn broken_lines_of_csv_are_dead_letters() -> Result<(), Failed> {
    let broken = [
        ("1,too,few,cells".to_owned(), "invalid_event"),
        (row(["", "s", "1", AT, "1", "c"]), "missing_field"),
        (row(["2", "s", "", AT, "1", "c"]), "missing_field"),
        (row(["3", "s", "one", AT, "1", "c"]), "invalid_amount"),
        (row(["4", "s", "1", AT, "1.0000001", "c"]), "invalid_amount"),
        (row(["5", "s", "1", AT, "9999999999999", "c"]), "out_of_range"),
        (row(["6", "s", "1", "4/1/2011 10:00", "1", "c"]), "invalid_time"),
        (row(["7", "s", "1", "2011-03-27T01:30:00", "1", "c"]), "invalid_time"),
        (row(["8", "s", "-1", AT, "1", "c"]), "out_of_range"),
        (row(["10", "s", "1", "", "1", "c"]), "missing_field"),
        (row([&"x".repeat(513), "s", "1", AT, "1", "c"]), "out_of_range"),
        (row(["11", "s", "999999999999", AT, "999999999999", "c"]), "out_of_range"),
    ];
    for ends in ["\n", "\r\n"] {
        let mut lines = vec![HEADER.to_owned(), row(["O1", "\"two\nlines\"", "2", AT, "1.5", "c"])];
        lines.extend(broken.iter().map(|(line, _)| line.clone()));
        lines.push(row(["O2", "s", "2", AT, "1.5", "c"]));
        let folder = Folder::new();
        let path = folder.write("orders.csv", lines.join(ends) + ends + ends);
        let results = folder.replay_refused(&["--orders", &path, "--map", ONLINE_RETAIL_MAP])?;
        // Line 1 names the columns, the first order takes lines 2 and 3.
        let expected =
            broken.iter().zip(4..).map(|((line, reason), number)| (number, *reason, line.as_str()));
        let mut found = results;
        // Documents are judged when all lines are read.
        found.dead_letters.sort_by_key(|letter| letter["line"].as_u64());
        expect_refused(&found, &expected.collect::<Vec<_>>())?;
        if found.summary["orders"]["placed"] != 2 || found.summary["revenue"]["GBP"]["gross"] != "6.00" {
            return Err(format!("{:#}", found.summary).into());
        }
    }
    Ok(())
}

/// Its total would be wrong. The same if its lines do not agree whose it is.
fn a_document_with_a_broken_line_is_left_out() -> Result<(), Failed> {
    let lines = [
        HEADER.to_owned(),
        row(["1", "a", "1", AT, "1", "c1"]),
        row(["2", "a", "1", AT, "1", "c2"]),
        row(["1", "b", "-", AT, "1", "c1"]),
        row(["2", "b", "1", AT, "1", "c3"]),
        row(["3", "a", "1", AT, "1", "c1"]),
        row(["1", "c", "1", AT, "1", "c1"]),
    ];
    let folder = Folder::new();
    let path = folder.write("orders.csv", lines.join("\n"));
    let results = folder.replay_refused(&["--orders", &path, "--map", ONLINE_RETAIL_MAP])?;
    expect_refused(&results, &[(4, "invalid_amount", &lines[3]), (5, "invalid_event", &lines[4])])?;
    let placed = &results.summary["orders"]["placed"];
    if *placed != 1 || !results.report.contains("left out            2 documents") {
        return Err(format!("{placed} orders\n{}", results.report).into());
    }
    let details: Vec<&str> =
        results.dead_letters.iter().filter_map(|letter| letter["detail"].as_str()).collect();
    let expected = [
        "Quantity is not a decimal number; money.decimal, group and signs of the map say which marks it may have; its document is left out",
        "CustomerID differs from that of line 3, which is of the same document; its document is left out",
    ];
    if details != expected {
        return Err(format!("{details:?}").into());
    }
    // And a whole file with one line changed loses one document.
    let text = fs::read_to_string(EXTRACT)?;
    let whole = folder.replay(&["--orders", EXTRACT, "--map", ONLINE_RETAIL_MAP, "--force"])?;
    let path = folder.write("changed.csv", text.replacen(",4.65,", ",4_65,", 1));
    let changed = folder.replay(&["--orders", &path, "--map", ONLINE_RETAIL_MAP, "--force"])?;
    let placed = |results: &Results| results.summary["orders"]["placed"].as_u64().unwrap_or_default();
    if placed(&changed) + 1 != placed(&whole) || changed.dead_letters.len() != 1 {
        return Err(format!("{} of {} orders", placed(&changed), placed(&whole)).into());
    }
    Ok(())
}
