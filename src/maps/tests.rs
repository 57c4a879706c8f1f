//! Maps as users write them, and the ones that ship.

use super::*;

fn map(program: &str) -> Result<Map, String> {
    let text = format!(
        "name = \"m\"\nprogram = '''\n{program}\n'''\n[input]\nformat = \"json\"\nunwrap = [\"debezium\"]\n[options.kind]\n"
    );
    Map::parse(&text, "m.toml", &Options::new(), Some(b"a secret of the trials"))
}

/// What a program makes of a record: each native record or skip, or the refusal.
fn made(program: &str, record: &str) -> Vec<String> {
    let map = map(program).unwrap_or_else(|problem| panic!("{program}\n{problem}"));
    let headers: [(&str, &[u8]); 1] = [("X-Topic", b"orders/create")];
    let meta =
        Meta { topic: "raw", headers: &headers, timestamp: Time::from_millis(1_000), ..Meta::default() };
    let source = SourceRecord { content: Content::Json(record.as_bytes()), meta };
    match map.records(&source, &any_currency_decoder()) {
        Ok(mapped) => {
            let records =
                mapped.records.iter().map(|record| String::from_utf8(record.value.clone()).expect("UTF-8"));
            let skips = mapped.skipped.iter().map(|skip| format!("skip {}", map.skip_reasons()[*skip]));
            records.chain(skips).collect()
        }
        Err(refusal) => vec![format!("{}: {}", refusal.reason.name(), refusal.detail)],
    }
}

/// What an expression gives, seen through the id of an order.
fn value(expression: &str, record: &str) -> String {
    let program = format!(
        "({expression}) as $value | {{event: \"cancellation\", customer_id: \"c\", order_id: \"o\", cancelled_at: 0, reason: ($value | tojson)}}"
    );
    let made = made(&program, record);
    let record: serde_json::Value = match serde_json::from_str(&made[0]) {
        Ok(record) => record,
        Err(_) => return made[0].clone(),
    };
    record["reason"].as_str().expect("a text").to_owned()
}

#[test]
fn the_fixtures_of_presets_give_what_they_must() {
    let mut faults = String::new();
    for preset in PRESETS.iter().filter(|preset| preset.kind == PresetKind::Program) {
        let report =
            test_fixtures(preset.text, preset.name, &|path| preset.file(path)).expect("a map with fixtures");
        assert!(report.cases > 0, "{}", preset.name);
        for difference in report.differences {
            writeln!(faults, "{}:{} {}", preset.name, difference.line, difference.about).expect("a String");
            writeln!(faults, "  expected {}\n  found    {}", difference.expected, difference.found)
                .expect("a String");
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Workers share maps.
#[test]
fn a_map_may_be_shared_among_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&map(".").expect("a map"));
}

#[test]
fn a_program_that_is_wrong_is_pointed_at() {
    for (program, expected) in [
        ("if .a then .b", "m.toml:4:1: expected else or end, found the end"),
        (".a | money_sun", "m.toml:3:6: there is no filter money_sun; did you mean money_sum?"),
        (".\n| [.a, .b | {", "m.toml:5:1: expected closing brace"),
        ("def f($x): $y; f(1)", "m.toml:3:12: there is no variable $y"),
        ("now", "m.toml:3:1: there is no filter now"),
        ("$ENV", "there is no variable $ENV"),
        ("env", "there is no filter env"),
        ("input", "there is no filter input"),
        ("halt", "there is no filter halt"),
        ("\"a\" | test(\"a\")", "there is no filter with one argument named test"),
        ("import \"a\" as a; .", "m.toml:3:8: expected an operator or the end, found"),
    ] {
        let problem = map(program).err().unwrap_or_else(|| panic!("{program} compiles"));
        assert!(problem.contains(expected), "{program}\n{problem}");
    }
}

#[test]
fn a_program_that_does_not_end_is_stopped() {
    for (program, expected) in [
        ("[repeat(1)]", "too_large: the map needs more than"),
        ("[range(1000000000)]", "too_large: the map needs more than"),
        ("def f: f; f", "too_large: the map needs more than"),
        ("def f: 1 + f; f", "too_deep: the map calls itself too often"),
        ("try (def f: 1 + f; f) catch 1", "too_deep: the map calls itself too often"),
        ("last(range(10000000))", "too_large: the map needs more than"),
        ("reduce range(1000000) as $i (null; [.])", "too_deep: the map builds a value of more than"),
        ("reduce range(1000000) as $i ({}; .next = .)", "too_deep: the map builds a value of more than"),
        ("reduce range(1000000) as $i (\"a\"; . + .)", "too_large: the map needs more than"),
        ("reduce range(100) as $i ([1]; . += .)", "too_large: the map needs more than"),
        ("reduce range(1000000) as $i (7; . * .)", "unmapped: the map finds a value of another type"),
        ("\"1.50\" * 1000000000000", "unmapped: a text times a number"),
        (". *= 3", "unmapped"),
        ("[limit(40; repeat(\"[\"))] | add | fromjson", "too_deep: fromjson: more than 32 levels"),
        (
            "range(1001) | {event: \"erasure\", customer_id: ., requested_at: 0}",
            "too_large: the map emits more than 1000",
        ),
        ("empty", "unmapped: the map emits nothing"),
        ("1", "invalid_event: the map emits what is neither"),
        ("null", "invalid_event: the map emits what is neither"),
    ] {
        let made = made(program, "\"x\"");
        assert!(made.len() == 1 && made[0].starts_with(expected), "{program}: {made:?}");
    }
}

#[test]
fn a_fault_refuses_the_whole_record_and_quotes_nothing_of_it() {
    let erasure = "{event: \"erasure\", customer_id: .name, requested_at: 0}";
    for (more, expected) in [
        ("error(\"no such thing\")", "unmapped: the map refuses it: no such thing"),
        (
            "error(\"no \\(.name)\")",
            "unmapped: the map fails on it, with a message that may hold data; `maps try` shows it",
        ),
        (".name | .first", "unmapped: the map looks for a field or an element in what has none"),
        (".name | -.", "unmapped: the map finds a value of another type than it expects"),
        (
            ".name | money_negate",
            "invalid_amount: money_negate: an amount is no decimal number such as 12.50",
        ),
        ("{event: \"erasure\", customer_id: .name}", "missing_field: requested_at is missing"),
        (
            "{event: \"erased\"}",
            "invalid_event: an emitted event is none of order, cancellation, return or erasure",
        ),
        (
            "{event: \"erasure\", custmer_id: 1}",
            "invalid_field: the map emits a field that no erasure has; did you mean customer_id?",
        ),
        ("{skip: .name}", "unmapped: the reason of a skip is not written in the map"),
        (
            "{event: \"cancellation\", customer_id: 1, order_id: 1, cancelled_at: 0, version: (1 / 3)}",
            "invalid_amount: version was computed with",
        ),
    ] {
        let made = made(&format!("{erasure}, ({more})"), r#"{"name":"Ida"}"#);
        assert!(
            made.len() == 1 && made[0].starts_with(expected) && !made[0].contains("Ida"),
            "{more}: {made:?}"
        );
    }
}

#[test]
fn records_are_written_as_the_service_likes_them() {
    let order = r#"{event: "order", customer_id: .id, order_id: "o", placed_at: .at, version: .at, total: .total, currency: "EUR",
        test: null, skus: ["a", "b"]}"#;
    let record = r#"{"id":820982911946154508,"at":"2025-03-02T09:15:00+01:00","total":9.5}"#;
    let expected = r#"{"customer_id":"820982911946154508","order_id":"o","placed_at":"2025-03-02T08:15:00Z","version":1740903300000,"total":"9.50","currency":"EUR","items":[{"sku":"a"},{"sku":"b"}]}"#;
    assert_eq!(made(order, record), [expected]);
    assert_eq!(
        made("{skip: \"one\"}, {skip: (if . then \"two\" else \"three\" end)}", "1"),
        ["skip one", "skip two"]
    );
    assert_eq!(made(".", "null"), ["skip tombstone"]);
}

#[test]
fn what_is_known_beside_the_record_can_be_asked_for() {
    for (expression, expected) in [
        ("$meta.topic", "\"raw\""),
        ("$meta.timestamp", "\"1970-01-01T00:00:01Z\""),
        ("$meta.headers[\"X-Topic\"]", "\"orders/create\""),
        ("header(\"x-topic\")", "\"orders/create\""),
        ("header(\"none\")", "null"),
        ("$meta.debezium.op", "\"c\""),
        ("$options.kind", "null"),
        (".a", "1"),
    ] {
        assert_eq!(
            value(expression, r#"{"before":null,"after":{"a":1},"op":"c"}"#),
            expected,
            "{expression}"
        );
    }
}

/// A table of docs/MAPS.md: a filter, what it does, an example and what the example gives.
#[test]
fn the_examples_of_filters_in_the_docs_are_right() {
    let page = include_str!("../../docs/MAPS.md");
    let (_, section) = page.split_once("\n## Filters\n").expect("a section about filters");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut shown = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [name, _, example, gives] = cells.as_slice() else { panic!("{row}") };
        let code = |cell: &str| cell.trim().trim_matches('`').replace("\\|", "|");
        shown.push(code(name).split('(').next().unwrap_or_default().to_owned());
        let found = value(&code(example), "{}");
        let found = found.split(": ").next().unwrap_or_default();
        assert_eq!(found, code(gives), "{row}");
    }
    for name in filters::NAMES {
        assert!(shown.iter().any(|shown| shown == name), "docs/MAPS.md has no example of {name}");
    }
}

/// Whatever bytes come: no panic, and an answer in bounded time. The fixtures of all presets, cut, mixed and distorted.
#[test]
fn any_bytes_have_an_answer() {
    const SEED: u64 = 22;
    const WORDS: [&[u8]; 12] = [
        b"null",
        b"-1",
        b"1e400",
        b"{}",
        b"[]",
        b"\"\"",
        b"\"\\ud800\"",
        b"true",
        b"99999999999999999999999",
        b"[[[[[[",
        b"0.1",
        b"\xff",
    ];
    let decoder = any_currency_decoder();
    let mut random = fastrand::Rng::with_seed(SEED);
    for preset in PRESETS.iter().filter(|preset| preset.text.contains("format = \"json\"")) {
        let options = Options::from([("identity".to_owned(), "email".to_owned())]);
        let parse = |options: &Options| Map::parse(preset.text, preset.name, options, Some(b"secret"));
        let maps: Vec<Map> = [parse(&Options::new()), parse(&options)].into_iter().flatten().collect();
        let lines: Vec<&[u8]> =
            preset.files[0].1.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let (mut mapped, mut refused) = (0, std::collections::BTreeMap::new());
        for round in 0..1_500 {
            // A fixture's value begins behind its name, mostly.
            let line = lines[random.usize(..lines.len())];
            let start = line.windows(9).position(|part| part == b"\"value\": ").map_or(0, |at| at + 9);
            let end = line.windows(12).rposition(|part| part == b", \"expect\": ").unwrap_or(line.len());
            let mut value = line[start..end.max(start)].to_vec();
            for _ in 0..random.usize(..4) {
                distort(&mut value, &mut random, &WORDS);
            }
            let headers: [(&str, &[u8]); 1] = [("X-Shopify-Topic", b"orders/create")];
            let meta = Meta { headers: &headers, ..Meta::default() };
            let source = SourceRecord { content: Content::Json(&value), meta };
            match maps[round % maps.len()].records(&source, &decoder) {
                Ok(_) => mapped += 1,
                Err(refusal) => *refused.entry(refusal.reason.name()).or_insert(0) += 1,
            }
        }
        assert!(
            mapped > 100 && refused.len() > 3,
            "seed {SEED}, {}: {mapped} mapped, {refused:?}",
            preset.name
        );
    }
}

fn distort(value: &mut Vec<u8>, random: &mut fastrand::Rng, words: &[&[u8]]) {
    let at = random.usize(..=value.len());
    match random.u8(..6) {
        0 => value.truncate(at),
        1 => value.insert(at, random.u8(..)),
        2 if at < value.len() => value[at] = random.u8(..),
        // A value of the record becomes another one, so that it stays JSON.
        3..=5 => {
            let Some(colon) =
                value[at..].windows(2).position(|part| part == b": ").map(|found| at + found + 2)
            else {
                return;
            };
            let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']');
            let end = value[colon..].iter().position(is_end).map_or(value.len(), |found| colon + found);
            value.splice(colon..end, words[random.usize(..words.len())].iter().copied());
        }
        _ => {}
    }
}

#[test]
fn a_record_that_was_built_to_hurt_is_refused_soon() {
    let order = |refunds: &str, lines: &str| {
        format!(
            r#"{{"id":1,"created_at":"2025-03-02T09:15:02Z","updated_at":"2025-03-02T09:15:02Z","currency":"EUR","subtotal_price":"1.00",
            "total_price":"1.00","customer":{{"id":2}},"line_items":[{lines}],"refunds":[{refunds}]}}"#
        )
    };
    let refund = r#"{"id":3,"created_at":"2025-03-03T09:15:02Z","refund_line_items":[{"subtotal":1}]},"#;
    let many = |count: usize| order(refund.repeat(count).trim_end_matches(','), "");
    let deep = format!("{{\"orders\":{}1{}}}", "[".repeat(2_000), "]".repeat(2_000));
    let map = Map::load("shopify", &Options::new(), None).expect("a preset");
    for (record, expected) in [
        (many(1_000_000), Reason::TooLarge),
        (many(9_000), Reason::TooLarge),
        (many(1_001), Reason::TooLarge),
        (order("", "{},".repeat(1_000_000).trim_end_matches(',')), Reason::TooLarge),
        (deep, Reason::TooDeep),
        (order("", &format!("{{\"sku\":{}}}", "9".repeat(1_000_000))), Reason::TooLarge),
    ] {
        let source = SourceRecord { content: Content::Json(record.as_bytes()), meta: Meta::default() };
        let refusal = map.records(&source, &any_currency_decoder()).expect_err("refused");
        assert_eq!(refusal.reason, expected, "{}", refusal.detail);
    }
    let source = SourceRecord { content: Content::Json(&many(900).into_bytes()), meta: Meta::default() };
    assert_eq!(map.records(&source, &any_currency_decoder()).expect("records").records.len(), 901);
}
