//! `maps` as it is started: what is printed, and how it ends.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use libtest_mimic::{Failed, Trial};

const BINARY: &str = env!("CARGO_BIN_EXE_retention-signals");

const KIOSK: &str = r#"
name = "kiosk"
[input]
format = "json"
[options.money]
choices = ["goods", "paid"]
default = "goods"
[fixtures]
file = "kiosk.jsonl"
program = '''
if .kind == "training" then {skip: "training"}
else {event: "order", customer_id: (.member | id), order_id: .receipt, placed_at: .at, currency: "EUR",
      total: (if $options.money == "paid" then .paid else .goods end | minor_units("EUR"))} end
'''
"#;

const RECEIPTS: &str = r#"[{"kind":"training"},
{"receipt":"r-1","member":820982911946154508,"at":"2025-03-02T09:15:00+01:00","goods":4250,"paid":4700},
{"receipt":"r-2","member":7,"at":"2025-03-02T09:15:00+01:00","goods":"many","paid":4700}]
"#;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("maps::presets_are_listed_and_shown", presets_are_listed_and_shown),
        Trial::test("maps::a_map_is_tried_on_records", a_map_is_tried_on_records),
        Trial::test("maps::a_map_is_tried_on_documents", a_map_is_tried_on_documents),
        Trial::test("maps::fixtures_are_run", fixtures_are_run),
        Trial::test("maps::what_is_wrong_is_named", what_is_wrong_is_named),
    ]
}

fn presets_are_listed_and_shown() -> Result<(), Failed> {
    let listed = stdout(&run(&["list"], "")?, 0)?;
    for name in [
        "shopify",
        "woocommerce",
        "segment",
        "shopify-csv",
        "woocommerce-csv",
        "olist",
        "spreadsheet",
        "online-retail",
    ] {
        if !listed.lines().any(|line| line.starts_with(name)) {
            return Err(format!("{name} is not listed: {listed}").into());
        }
        let shown = stdout(&run(&["show", name], "")?, 0)?;
        let file = fs::read_to_string(Path::new("maps").join(name).with_extension("toml"))?;
        if shown != file {
            return Err(format!("{name} is shown as {shown}").into());
        }
    }
    Ok(())
}

fn a_map_is_tried_on_records() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let map = folder.path().join("kiosk.toml");
    fs::write(&map, KIOSK)?;
    let map = map.to_str().ok_or("UTF-8")?;
    let refused = "minor_units: an amount is no decimal number such as 12.50";
    for (more, expected) in [
        (
            &[][..],
            format!(
                "# line of the file, then what its record means: input records, or why it is passed over or refused\n     \
                 1  skip          training\n     \
                 2  order         {{\"customer_id\":\"820982911946154508\",\"order_id\":\"r-1\",\"placed_at\":\"2025-03-02T08:15:00Z\",\"currency\":\"EUR\",\"total\":\"42.50\"}}\n     \
                 3  refused       invalid_amount: {refused}\n"
            ),
        ),
        (
            &["--json", "--option", "money=goods"],
            format!(
                "{{\"line\":1,\"skip\":\"training\"}}\n\
                 {{\"line\":2,\"order\":{{\"customer_id\":\"820982911946154508\",\"order_id\":\"r-1\",\"placed_at\":\"2025-03-02T08:15:00Z\",\"currency\":\"EUR\",\"total\":\"42.50\"}}}}\n\
                 {{\"line\":3,\"refused\":\"invalid_amount\",\"detail\":\"{refused}\"}}\n"
            ),
        ),
    ] {
        let output = run(&[&["try", map, "-"], more].concat(), RECEIPTS)?;
        let found = stdout(&output, 65)?;
        if found != expected {
            return Err(format!("{more:?}\n{found}\n{expected}").into());
        }
        let said = String::from_utf8(output.stderr)?;
        if !said.contains("3 source records: 1 input record (1 order), 1 passed over, 1 refused") {
            return Err(said.into());
        }
    }
    stdout(&run(&["try", map, "-", "--option", "money=paid"], RECEIPTS)?, 0).map(drop)
}

/// A document of two lines, one passed over, one whose lines disagree, and a line that cannot be read.
fn a_map_is_tried_on_documents() -> Result<(), Failed> {
    let export = "Beleg;Zu Beleg;Art;Kunde;Datum;Menge;Artikel;Preis\n\
        R-1;;Rechnung;K-1;02.03.2025 09:15;2;TEE;1,50\n\
        R-1;;Rechnung;;02.03.2025 09:15;1;KANNE;7,00\n\
        A-1;;Abschreibung;;01.04.2025 10:00;1;;-99,00\n\
        R-2;;Rechnung;A;01.04.2025 10:00;1;TEE;1,00\n\
        R-2;;Rechnung;B;01.04.2025 10:00;1;TEE;1,00\n\
        R-3;;Rechnung;C;\"01.04.2025 10:00;1;TEE;1,00\n";
    let output = run(&["try", "spreadsheet", "-"], export)?;
    let found = stdout(&output, 65)?;
    let mut lines =
        found.lines().skip(1).map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
    for expected in ["7 refused ", "2 order", "4 skip Bad", "5 refused invalid_event:"] {
        if !lines.next().is_some_and(|line| line.starts_with(expected)) {
            return Err(format!("{expected} is not next\n{found}").into());
        }
    }
    let order = "{\"customer_id\":\"K-1\",\"order_id\":\"R-1\",\"placed_at\":\"2025-03-02T08:15:00Z\",\"currency\":\"EUR\",\"total\":\"10.00\"";
    if !found.contains(order) || lines.next().is_some() {
        return Err(found.into());
    }
    Ok(())
}

fn fixtures_are_run() -> Result<(), Failed> {
    let presets = stdout(&run(&["test"], "")?, 0)?;
    if presets.lines().count() < 3 || !presets.lines().all(|line| line.ends_with("fixtures, as expected")) {
        return Err(presets.into());
    }
    let folder = tempfile::tempdir()?;
    let map = folder.path().join("kiosk.toml");
    fs::write(&map, KIOSK)?;
    let right = r#"{"about":"training","value":{"kind":"training"},"expect":[{"skip":"training"}]}"#;
    let wrong = r#"{"about":"cut short","text":"{\"kind\":","expect":[{"refused":"too_deep"}]}"#;
    fs::write(folder.path().join("kiosk.jsonl"), format!("{right}\n{wrong}\n"))?;
    let found = stdout(&run(&["test", map.to_str().ok_or("UTF-8")?], "")?, 65)?;
    let expected = "2 fixtures, 1 not as expected\n  line 2: cut short\n    expected [{\"refused\":\"too_deep\"}]\n    \
                    found    [{\"refused\":\"malformed_json\"}]\n";
    if found.ends_with(expected) { Ok(()) } else { Err(found.into()) }
}

fn what_is_wrong_is_named() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let map = folder.path().join("kiosk.toml");
    fs::write(&map, KIOSK.replace("minor_units", "minor_unit"))?;
    let wrong = map.to_str().ok_or("UTF-8")?;
    for (arguments, code, expected) in [
        (&["try", "shopifi", "-"][..], 78, "did you mean shopify?"),
        (&["show", "magento"], 78, "presets are shopify, woocommerce"),
        (&["try", "shopify", "-", "--option", "mony=paid"], 78, "did you mean money?"),
        (&["try", "shopify", "-", "--option", "money"], 64, "give a name and a value"),
        (&["try", "shopify", "/nowhere.jsonl"], 65, "cannot read /nowhere.jsonl"),
        (
            &["try", wrong, "-"],
            78,
            ":13:72: there is no filter with one argument named minor_unit; did you mean minor_units?",
        ),
    ] {
        let output = run(arguments, "")?;
        let said = String::from_utf8(output.stderr)?;
        if output.status.code() != Some(code) || !said.contains(expected) {
            return Err(format!("{arguments:?}: {:?} {said}", output.status).into());
        }
    }
    Ok(())
}

fn run(arguments: &[&str], input: &str) -> Result<Output, Failed> {
    let mut command = Command::new(BINARY);
    command.arg("maps").args(arguments).env_clear();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let written = child.stdin.take().ok_or("a pipe")?.write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    match written {
        // A command that refuses its arguments reads nothing.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(output),
    }
}

fn stdout(output: &Output, code: i32) -> Result<String, Failed> {
    if output.status.code() != Some(code) {
        return Err(format!("{:?}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout.clone())?)
}
