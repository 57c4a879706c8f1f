//! CSV files as a whole: several that overlap, compressed ones, and any bytes at all.
//!
//! ```text
//!  RETENTION_CSV_SEED=0x… RETENTION_CSV_ROUNDS=1 for the file of one seed      RETENTION_CSV_ROUNDS=10000 for more files
//! ```

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use libtest_mimic::{Failed, Trial};

use serde_json::Value;

use super::history::gzip;
use super::{EXTRACT, Folder, ONLINE_RETAIL_MAP, Results};
use crate::seeds::number;

const SEED: &str = "RETENTION_CSV_SEED";
const ROUNDS: &str = "RETENTION_CSV_ROUNDS";

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, fn() -> Result<(), Failed>); 8] = [
        ("replay::overlapping_files_give_the_whole", overlapping_files_give_the_whole),
        ("replay::a_later_file_has_the_newer_state", a_later_file_has_the_newer_state),
        ("replay::any_encoding_and_compression_is_the_same", any_encoding_and_compression_is_the_same),
        ("replay::no_line_vanishes_whatever_quotes_there_are", no_line_vanishes_whatever_quotes_there_are),
        ("replay::any_bytes_are_read_or_refused", any_bytes_are_read_or_refused),
        ("replay::what_looks_wrong_as_a_whole_is_told", what_looks_wrong_as_a_whole_is_told),
        ("replay::a_map_is_found_by_the_columns", a_map_is_found_by_the_columns),
        ("replay::pages_of_another_system_are_mapped", pages_of_another_system_are_mapped),
    ];
    trials.into_iter().map(|(name, trial)| Trial::test(name, trial)).collect()
}

const MAP: &str = "[columns]\norder_id = \"id\"\ntime = \"at\"\nprice = \"price\"\nquantity = \"qty\"\ncustomer_id = \"who\"\n\
                   [money]\ncurrency = \"EUR\"\n";

fn same(found: &Results, expected: &Results) -> Result<(), Failed> {
    let of = |results: &Results| {
        (
            results.plain_summary(),
            results.customers.clone(),
            results.signals.clone(),
            results.shop_metrics.clone(),
        )
    };
    if of(found) == of(expected) {
        Ok(())
    } else {
        Err(format!("{}\nexpected is\n{}", found.report, expected.report).into())
    }
}

/// Both are cut in the middle of invoices, guests' among them, which no engine tells apart.
fn overlapping_files_give_the_whole() -> Result<(), Failed> {
    let text = fs::read_to_string(EXTRACT)?;
    let lines: Vec<&str> = text.lines().collect();
    let header = lines[0];
    let folder = Folder::new();
    let whole = folder.replay(&["--orders", EXTRACT, "--map", ONLINE_RETAIL_MAP])?;
    for (end, start) in
        [(lines.len() / 2, lines.len() / 3), (lines.len() * 2 / 3 + 1, lines.len() / 3 + 2), (200, 150)]
    {
        let first = folder.write("first.csv", lines[..end].join("\n"));
        let second = folder.write("second.csv", [&[header], &lines[start..]].concat().join("\n"));
        let both = ["--orders", &first, "--orders", &second, "--map", ONLINE_RETAIL_MAP, "--force"];
        same(&folder.replay(&both)?, &whole)?;
    }
    Ok(())
}

fn a_later_file_has_the_newer_state() -> Result<(), Failed> {
    let folder = Folder::new();
    let rows = |lines: &[&str]| format!("id,at,price,qty,who\n{}\n", lines.join("\n"));
    let at = "2026-01-01T00:00:00Z";
    let line = |id: u32, price: u32| format!("{id},{at},{price}.00,1,c{id}");
    let first: Vec<String> = [(1, 10), (2, 10), (2, 5), (3, 10)].map(|(id, price)| line(id, price)).to_vec();
    let second: Vec<String> = [(1, 10), (2, 10), (4, 10)].map(|(id, price)| line(id, price)).to_vec();
    let write = |name: &str, lines: &[String]| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        folder.write(name, rows(&lines))
    };
    let (first, second) = (write("first.csv", &first), write("second.csv", &second));
    let map = folder.write("map.toml", MAP);
    // The second order has one line less in the middle of the later file: it was edited.
    let results = folder.replay(&["--orders", &first, "--orders", &second, "--map", &map])?;
    let (placed, gross) = (&results.summary["orders"]["placed"], &results.summary["revenue"]["EUR"]["gross"]);
    if placed != 4 || gross != "40.00" || !results.report.contains("2 documents that an earlier file has too")
    {
        return Err(results.report.into());
    }
    Ok(())
}

fn any_encoding_and_compression_is_the_same() -> Result<(), Failed> {
    let folder = Folder::new();
    let text =
        "id,at,price,qty,who\n1,2026-01-01T00:00:00Z,10.50,1,Zoë\n2,2026-01-02T00:00:00Z,10.50,1,Zoë\n";
    let utf16: Vec<u8> =
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
    let map = folder.write("map.toml", MAP);
    let named = folder.write("named.toml", format!("{MAP}[csv]\nencoding = \"windows-1252\"\n"));
    let plain = folder.replay(&["--orders", &folder.write("plain.csv", text), "--map", &map])?;
    for (file, map) in [
        (folder.write("utf16.csv", utf16), &map),
        (folder.write("latin.csv", latin), &named),
        (folder.write("marked.csv", format!("\u{feff}{}", text.replace('\n', "\r\n"))), &map),
        (folder.write("old.csv", text.replace('\n', "\r")), &map),
        (folder.write("semicolon.csv", format!("sep=;\n{}", text.replace(',', ";"))), &map),
        (folder.write("plain.csv.gz", gzip(text.as_bytes())), &map),
        (folder.write("plain.csv.zst", zstd::encode_all(text.as_bytes(), 1)?), &map),
    ] {
        same(&folder.replay(&["--orders", &file, "--map", map, "--force"])?, &plain)?;
    }
    Ok(())
}

/// The seeds of a random trial, one after the other.
fn seeds(rounds: u64) -> Result<impl Iterator<Item = u64>, Failed> {
    let (first, rounds) = (number(SEED, fastrand::u64(..))?, number(ROUNDS, rounds)?);
    Ok((0..rounds).map(move |round| first.wrapping_add(round)))
}

/// Of a file without quotes, whatever quotes are put into it: each line is an order or stands in a dead letter.
fn no_line_vanishes_whatever_quotes_there_are() -> Result<(), Failed> {
    const LINES: usize = 12;
    let folder = Folder::new();
    let map = folder.write("map.toml", MAP);
    for seed in seeds(150)? {
        let mut rng = Rng::with_seed(seed);
        let mut text = "id,at,price,note,qty,who\n".to_owned();
        let start = text.len();
        let line = |id: usize| format!("{id},2026-01-{:02}T00:00:00Z,10.00,n{id},1,c{id}\n", id + 1);
        text.extend((0..LINES).map(line));
        for _ in 0..rng.usize(1..5) {
            // Mostly where a quote can open or close a cell.
            let places: Vec<usize> = (start..text.len())
                .filter(|place| b",\n".contains(&text.as_bytes()[*place]) || rng.u8(..) < 8)
                .collect();
            let place = places[rng.usize(..places.len())];
            text.insert(place + rng.usize(..2), '"');
        }
        let file = folder.write("orders.csv", &text);
        let (_, results) = folder.replay_all(&["--orders", &file, "--map", &map, "--force"])?;
        let placed = results.summary["orders"]["placed"].as_u64().unwrap_or_default() as usize;
        let refused: usize = results.dead_letters.iter().map(lines_of).sum();
        if placed + refused < LINES {
            return Err(format!(
                "{SEED}={seed:#x} {ROUNDS}=1: {placed} orders and {refused} lines in dead letters of {LINES} lines\n{text}\n{:#?}",
                results.dead_letters
            )
            .into());
        }
    }
    Ok(())
}

/// How many lines the text of a dead letter has.
fn lines_of(dead_letter: &Value) -> usize {
    let text =
        dead_letter["value_base64"].as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    text.split(|byte| *byte == b'\n').count()
}

/// Nothing panics, and what is refused has a reason of the list.
fn any_bytes_are_read_or_refused() -> Result<(), Failed> {
    const PIECES: [&[u8]; 24] = [
        b",",
        b";",
        b"\t",
        b"\"",
        b"\"\"",
        b"\n",
        b"\r\n",
        b"\r",
        b"id,at,price,qty,who\n",
        b"id;at;price;qty;who\n",
        b"sep=;\n",
        b"1",
        b"2026-01-01T00:00:00Z",
        b"10.00",
        b"-",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\0",
        b"\xe9",
        "é".as_bytes(),
        b"\\",
        b"'",
        b"[",
        b"{\"a\":1}",
    ];
    let folder = Folder::new();
    let maps = [
        "",
        "[csv]\nescape = \"\\\\\"\ntext_mark = \"'\"\n",
        "[csv]\nencoding = \"windows-1252\"\n",
        "[document]\nby_day = true\n",
    ];
    let maps: Vec<String> = (0..)
        .zip(maps)
        .map(|(index, more)| folder.write(&format!("{index}.toml"), format!("{MAP}{more}")))
        .collect();
    for seed in seeds(400)? {
        let mut rng = Rng::with_seed(seed);
        let mut bytes = if rng.bool() { b"id,at,price,qty,who\n".to_vec() } else { Vec::new() };
        for _ in 0..rng.usize(..40) {
            if rng.u8(..) < 16 {
                bytes.push(rng.u8(..))
            } else {
                bytes.extend_from_slice(PIECES[rng.usize(..PIECES.len())])
            }
        }
        let file = folder.write("orders.csv", &bytes);
        let map = &maps[rng.usize(..maps.len())];
        let ended = folder.replay_all(&["--orders", &file, "--map", map, "--force"]);
        let told = || format!("{SEED}={seed:#x} {ROUNDS}=1, {map}: {:?}", String::from_utf8_lossy(&bytes));
        match ended {
            Ok((0 | 65, results)) => {
                let counted: u64 = results.summary["dead_letters"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter_map(|(_, count)| count.as_u64())
                    .sum();
                if counted != results.dead_letters.len() as u64 {
                    return Err(told().into());
                }
            }
            Err(failure) if failure.exit.code() == 65 => {}
            other => return Err(format!("{}\n{other:?}", told()).into()),
        }
    }
    Ok(())
}

fn what_looks_wrong_as_a_whole_is_told() -> Result<(), Failed> {
    let folder = Folder::new();
    let map = folder.write("map.toml", MAP);
    let rows = |lines: &str| format!("id,at,price,qty,who\n{lines}");
    for (lines, remark, count) in [
        ("1,2026-01-02T00:00:00Z,1.00,1,0\n2,2026-01-02T00:00:00Z,1.00,1,nan\n", "no_customer", 2),
        (
            "1,2026-01-02T00:00:00Z,1.00,1,17850\n2,2026-01-02T00:00:00Z,1.00,1,17850.0\n",
            "decimal_customer",
            1,
        ),
        ("1,2026-01-02T00:00:00Z,1.00,1,6.61808E+12\n", "cut_customer", 1),
        ("1,2026-01-02T00:00:00Z,1.00,1,Ada@x\n2,2026-01-02T00:00:00Z,1.00,1,ada@x\n", "similar_customer", 2),
        ("1,2026-01-02T00:00:00Z,4250,1,c\n2,2026-01-02T00:00:00Z,100,1,c\n", "whole_amounts", 2),
        (
            "1,2026-01-01T00:00:00Z,1.00,1,c\n2,2026-02-01T00:00:00Z,1.00,1,c\n3,2026-03-02T00:00:00Z,1.00,1,c\n",
            "first_of_month",
            2,
        ),
        ("1,1999-12-31T00:00:00Z,1.00,1,c\n", "before_2000", 1),
        ("1,2026-01-02T00:00:00Z,1.00,1,c\n2,2026-01-01T00:00:00Z,1,1,d\n", "", 0),
    ] {
        let file = folder.write("orders.csv", rows(lines));
        let results = folder.replay(&["--orders", &file, "--map", &map, "--force"])?;
        let found = &results.summary["input_remarks"];
        let expected = if count > 0 { serde_json::json!({ remark: count }) } else { serde_json::json!({}) };
        if *found != expected || results.report.contains("worth a look") != (count > 0) {
            return Err(format!("{found}, expected is {expected}\n{}", results.report).into());
        }
    }
    Ok(())
}

fn a_map_is_found_by_the_columns() -> Result<(), Failed> {
    let folder = Folder::new();
    let named = folder.replay(&["--orders", EXTRACT, "--map", "online-retail"])?;
    let found = folder.replay(&["--orders", EXTRACT, "--force"])?;
    if !found.report.contains("by the map online-retail, found by the columns\n") {
        return Err(found.report.into());
    }
    same(&found, &named)
}

/// An order of the preset's fixtures, in a page as the REST interface gives it and as one of several lines.
fn pages_of_another_system_are_mapped() -> Result<(), Failed> {
    let fixtures = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/maps/shopify.jsonl"))?;
    let first: serde_json::Value = serde_json::from_str(fixtures.lines().next().ok_or("no fixture")?)?;
    let order = &first["value"];
    let folder = Folder::new();
    let page = serde_json::to_string_pretty(&serde_json::json!({ "orders": [order, order] }))?;
    let lines = format!("{order}\n{{\"neither\":1}}\n{order}\n");
    let page = folder.write("page.json", page);
    let of_page = folder.replay(&["--orders", &page, "--map", "shopify"])?;
    if of_page.summary["orders"]["placed"] != 1 || of_page.summary["events"]["duplicates"].as_u64() < Some(1)
    {
        return Err(of_page.report.into());
    }
    let lines = folder.write("lines.jsonl", lines);
    let of_lines = folder.replay_refused(&[
        "--orders",
        &lines,
        "--map",
        "shopify",
        "--option",
        "money=goods",
        "--force",
    ])?;
    if of_lines.customers != of_page.customers || of_lines.refused()[0].0 != 2 {
        return Err(format!("{}\n{:#?}", of_lines.report, of_lines.dead_letters).into());
    }
    Ok(())
}
