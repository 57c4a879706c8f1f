//! `rules` as it is started, the rules that ship, and docs/RULES.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libtest_mimic::{Failed, Trial};
use retention_signals::config::rules::RULE_KEYS;
use retention_signals::domain::rules::expression::fields::{Field, FieldType};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::wire::encode::signal_data_fields;

use crate::examples;

const BINARY: &str = env!("CARGO_BIN_EXE_retention-signals");

const PAGE: &str = "docs/RULES.md";

/// A shop in which every rule that ships says something.
const SHOP: &str = "shop.currency = \"EUR\"\nlapse.policy = \"model\"\nsegments.enabled = true\nmetrics.shares = true\npoints.per = \"1.00\"\n\
                    [[tiers]]\nname = \"silver\"\nfrom = \"150.00\"\n[[tiers]]\nname = \"gold\"\nfrom = \"500.00\"\n";

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("rule_files::those_that_ship_are_right", those_that_ship_are_right),
        Trial::test("rule_files::each_is_said_in_a_sentence", each_is_said_in_a_sentence),
        Trial::test("rule_files::what_says_nothing_is_noted", what_says_nothing_is_noted),
        Trial::test("rule_files::what_is_wrong_is_named", what_is_wrong_is_named),
        Trial::test("rule_files::rules_are_tried_on_a_history", rules_are_tried_on_a_history),
        Trial::test("rule_files::conditions_know_the_data_of_signals", conditions_know_the_data_of_signals),
        Trial::test("rule_files::the_page_lists_every_key_and_field", the_page_lists_every_key_and_field),
        Trial::test("rule_files::the_page_shows_the_rules_that_ship", the_page_shows_the_rules_that_ship),
    ]
}

/// One by one and all together, without a remark.
fn those_that_ship_are_right() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let shop = written(folder.path(), "shop.toml", SHOP)?;
    let files = shipped()?;
    for chosen in files.iter().map(std::slice::from_ref).chain([files.as_slice()]) {
        let mut arguments = vec!["check", "--config", &shop];
        arguments.extend(chosen.iter().map(|file| file.to_str().expect("UTF-8")));
        let told = stdout(&run(&arguments)?)?;
        let is_right = told.ends_with("is right.\n") || told.ends_with("are right.\n");
        if told.contains("note:") || !is_right {
            return Err(format!("{chosen:?}: {told}").into());
        }
    }
    Ok(())
}

fn each_is_said_in_a_sentence() -> Result<(), Failed> {
    let files = shipped()?;
    let mut arguments = vec!["list", "--set", "points.per=order"];
    arguments.extend(files.iter().map(|file| file.to_str().expect("UTF-8")));
    let told = stdout(&run(&arguments)?)?;
    for expected in [
        "thank-you     a week after first_order, if d365.returned_orders = 0, once for each customer, not after became_prospect.",
        "news          every 14 to 21 days, by customer, from the last order on, if state in [\"active\", \"at_risk\"] and \
         (days_since_return is null or days_since_return > 30d), again after 14 days at the earliest, at most 2 of marketing within 30 days.",
        "refill-3      5 days before the 91 days of HAIR-EXT-20 are over, if state != \"prospect\", each time, not after became_prospect.",
        "invite-guest  at each order of a guest, due a day later, each time.",
        "reward        at each 100 points, each time.",
        "gift          3 days after segment_changed, when trigger.after = \"champions\", if segment = \"champions\" and \
         d365.refunded = 0, again after 365 days at the earliest, not after became_prospect.",
        "black-friday  on 11-27 at 09:00, spread over 6 hours, if segment in [\"champions\", \"loyal\", \"potential_loyalist\"], \
         again after 300 days at the earliest.",
        "second-order  14 days after first_order, if all_time.kept = 1, once for each customer, as percent 45 of 100, credit 45 of 100, \
         control 10 of 100 withheld, not after second_order, order_returned or became_prospect.",
    ] {
        if !told.lines().any(|line| line == expected) {
            return Err(format!("{expected}\nis not in\n{told}").into());
        }
    }
    Ok(())
}

fn what_says_nothing_is_noted() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let shop = written(folder.path(), "shop.toml", "shop.currency = \"JPY\"\n")?;
    let rules = "[[rule]]\nname = \"a\"\non = \"segment_changed\"\n\
                 if = 'p_alive > 0.5 and segment = \"loyal\" and points > 3 and tier is null and d30.net > 9.50 and d30.gross > 9'\n\
                 [[rule]]\nname = \"b\"\non = \"every\"\nevery = \"7d\"\n\
                 [[rule]]\nname = \"c\"\non = \"every\"\nevery = \"30d\"\nagain = \"14d\"\n\
                 [[rule]]\nname = \"d\"\non = \"tier_changed\"\n\
                 [[rule]]\nname = \"e\"\non = \"product\"\nlives = { A = \"7d\" }\n";
    let rules = written(folder.path(), "rules.toml", rules)?;
    let told = stdout(&run(&["check", "--config", &shop, &rules])?)?;
    let expected = "5 rules are right.\n\
        note: a: segment_changed is never emitted without segments.enabled\n\
        note: a: p_alive is always null unless lapse.policy is model\n\
        note: a: segment is always null without segments.enabled\n\
        note: a: points is always null without points.per\n\
        note: a: tier is always null without [[tiers]]\n\
        note: a: 9.5 is no amount of JPY: d30.net > 9.5\n\
        note: b: fires once for each customer; `again` says after which time it may fire again\n\
        note: c: its outcome is known only of customers for whom it does not fire again within 30d, its `measure`, and a day\n\
        note: d: tier_changed is never emitted without [[tiers]]\n\
        note: e: fires once for each customer; `again` says after which time it may fire again\n\
        note: the service counts what rules bring only with metrics.shares\n";
    if told != expected {
        return Err(told.into());
    }
    let told = stdout(&run(&["check", &rules])?)?;
    if told
        != "5 rules are right.\nnote: they were not compared with a shop; --config names its settings file\n"
    {
        return Err(told.into());
    }
    let told = stdout(&run(&["list"])?)?;
    if told != "There are no rules.\n" {
        return Err(told.into());
    }
    Ok(())
}

fn what_is_wrong_is_named() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let rules = "[[rule]]\nname = \"a\"\non = \"lapsd\"\nif = 'net > 1'\n\n[[rule]]\nname = \"b\"\non = \"lapsed\"\nif = 'stat = \"active\"'\n";
    let rules = written(folder.path(), "rules.toml", rules)?;
    let output = run(&["check", &rules])?;
    let expected = format!(
        "error: the configuration cannot be used, 3 problems:\n  \
         rule.a.on ({rules} line 3): \"lapsd\" is nothing that starts a rule; did you mean lapsed?\n  \
         rule.a.if ({rules} line 4): at character 1: net is no field; did you mean all_time.net, d30.net, d90.net or d365.net?\n  \
         rule.b.if ({rules} line 9): at character 1: stat is no field; did you mean state?\n"
    );
    let told = String::from_utf8(output.stderr)?;
    if output.status.code() != Some(78) || told != expected {
        return Err(format!("{:?}: {told}", output.status).into());
    }
    let one_bracket = written(folder.path(), "one.toml", "[rule]\nname = \"a\"\non = \"lapsed\"\n")?;
    let told = String::from_utf8(run(&["check", &one_bracket])?.stderr)?;
    if !told.contains("is one table; a list of tables has two brackets around its name, as in [[rule]]") {
        return Err(told.into());
    }
    let output = run(&["check", "missing.toml"])?;
    let told = String::from_utf8(output.stderr)?;
    if output.status.code() != Some(78) || !told.starts_with("error: cannot read missing.toml: ") {
        return Err(format!("{:?}: {told}", output.status).into());
    }
    Ok(())
}

/// One of which everything is known, one whose condition never holds, one that is off, and one of each trigger that needs an order's content.
const TRIED_RULES: &str = "[[rule]]\nname = \"thank-you\"\non = \"first_order\"\nafter = \"7d\"\nif = 'd365.returned_orders = 0'\n\
    [[rule]]\nname = \"never\"\non = \"lapsed\"\nif = 'all_time.kept > 100'\n\
    [[rule]]\nname = \"resting\"\non = \"lapsed\"\nenabled = false\n\
    [[rule]]\nname = \"win-back\"\non = \"lapsed\"\nagain = \"180d\"\nvariants = [{ name = \"percent\", weight = 45 }, { name = \"credit\", weight = 45 }, \
    { name = \"control\", weight = 10, holdout = true }]\n\
    [[rule]]\nname = \"refill\"\non = \"product\"\nlives = { TEA-ASSAM-250 = \"30d\" }\nlead = \"5d\"\nagain = \"always\"\n\
    [[rule]]\nname = \"invite-guest\"\non = \"guest_order\"\nafter = \"1d\"\n";

/// The story, with those rules.
fn rules_are_tried_on_a_history() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let rules = written(folder.path(), "rules.toml", TRIED_RULES)?;
    let out = folder.path().join("firings.jsonl").display().to_string();
    let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/examples/story");
    let (orders, returns) = (story.join("orders.jsonl"), story.join("returns.jsonl"));
    let arguments = [
        "try",
        "--rules",
        &rules,
        "--orders",
        orders.to_str().ok_or("UTF-8")?,
        "--returns",
        returns.to_str().ok_or("UTF-8")?,
        "--until",
        "2026-02-01T00:00:00Z",
        "--out",
        &out,
    ];
    let told = stdout(&run(&arguments)?)?;
    let fired = firings_in(&out)?;
    let expected = [
        "thank-you c-1042 fired  2025-01-12T09:30:00.000Z",
        "win-back c-1042 fired percent 2025-09-13T12:15:00.000Z",
        "refill c-1042 fired  2025-01-30T09:30:00.000Z",
        "invite-guest  fired  2025-09-14T12:02:11.000Z",
    ];
    if let Some(missing) = expected.iter().find(|line| !fired.contains(**line)) {
        return Err(format!("{missing}\nis not in {fired:#?}\n{told}").into());
    }
    if !told.contains("switched off (enabled = false), so that they fire nothing: resting\n") {
        return Err(told.into());
    }
    let cells = |name: &str| -> Vec<String> {
        let row = told.lines().find(|line| line.split_whitespace().next() == Some(name));
        row.into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect()
    };
    let count = |name: &str, action: &str| {
        fired.iter().filter(|line| line.starts_with(name) && line.contains(action)).count().to_string()
    };
    for name in ["thank-you", "never", "win-back", "refill", "invite-guest"] {
        let row = cells(name);
        if row[1..3] != [count(name, " fired "), count(name, " withheld ")] {
            return Err(format!("{row:?}, not {fired:#?}").into());
        }
    }
    if cells("invite-guest")[3] != "0" || cells("refill")[3] != "1" {
        return Err(told.into());
    }
    if cells("never")[4] == "0" || !told.contains("fired by week\n") || !told.contains("\n2025-01-06 ") {
        return Err(told.into());
    }
    // c-1042 ordered on 2025-02-04 and on 2025-09-25, each within a month of the firing.
    let outcomes = told.split("\nwho ordered within `measure`").nth(1).unwrap_or_default();
    for row in ["thank-you fired 3 1 33.33 % -", "win-back percent fired 1 1 100.00 % -"] {
        let is_row = |line: &str| line.split_whitespace().eq(row.split_whitespace());
        if !outcomes.lines().any(is_row) {
            return Err(format!("no row {row:?} in {told}").into());
        }
    }
    let again = run(&arguments)?;
    if again.status.code() != Some(64)
        || !String::from_utf8(again.stderr)?.contains("replace it with --force")
    {
        return Err("written over".into());
    }
    Ok(())
}

/// Rule, customer, action, variant and instant of each signal in a file.
fn firings_in(file: &str) -> Result<BTreeSet<String>, Failed> {
    let mut firings = BTreeSet::new();
    for line in fs::read_to_string(file)?.lines() {
        let signal: serde_json::Value = serde_json::from_str(line)?;
        let data = &signal["data"];
        let parts = [
            &data["rule"],
            &signal["customer_id"],
            &data["action"],
            &data["variant"],
            &signal["occurred_at"],
        ];
        firings.insert(parts.map(|part| part.as_str().unwrap_or_default()).join(" "));
    }
    Ok(firings)
}

/// What conditions call data of a signal is what the signal calls it, and only instants, ids and currencies are left out.
fn conditions_know_the_data_of_signals() -> Result<(), Failed> {
    for signal_type in SignalType::ALL.into_iter().filter(|signal_type| signal_type.name() != "rule") {
        let known: BTreeSet<String> = Field::of_trigger(signal_type)
            .map(|field| field.to_string().trim_start_matches("trigger.").to_owned())
            .collect();
        let mut expected = BTreeSet::new();
        for field in signal_data_fields(signal_type) {
            let left_out =
                ["deadline", "last_order_at", "retracts", "currency", "cuts", "order_id", "order_placed_at"];
            if !left_out.contains(&field.name) {
                expected.insert(field.name.to_owned());
            }
        }
        if known != expected {
            return Err(format!("{}: {known:?}, not {expected:?}", signal_type.name()).into());
        }
        for field in Field::of_trigger(signal_type) {
            let name = field.to_string();
            let in_days = name.ends_with("_days") || name.starts_with("trigger.days_");
            if in_days && field.field_type() != FieldType::Days {
                return Err(format!("{name} of {} is not in days", signal_type.name()).into());
            }
        }
    }
    Ok(())
}

fn the_page_lists_every_key_and_field() -> Result<(), Failed> {
    let page = examples::read(PAGE);
    let rows = |head: &str| -> Vec<String> {
        let table = page.lines().skip_while(|line| !line.starts_with(&format!("| {head} |"))).skip(2);
        let cells = table.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
    };
    let keys: BTreeSet<String> = rows("key").into_iter().collect();
    let known: BTreeSet<String> = RULE_KEYS.iter().copied().chain(["say"]).map(str::to_owned).collect();
    if keys != known {
        return Err(format!(
            "keys on the page or of rules, not both: {:?}",
            keys.symmetric_difference(&known)
        )
        .into());
    }
    let fields: BTreeSet<String> = rows("field").into_iter().collect();
    let figures: BTreeSet<String> = rows("figure").into_iter().collect();
    let windows = ["all_time", "d30", "d90", "d365"];
    let of_page: BTreeSet<String> = fields
        .into_iter()
        .chain(
            figures.iter().flat_map(|figure| windows.iter().map(move |window| format!("{window}.{figure}"))),
        )
        .collect();
    let known: BTreeSet<String> =
        Field::of_customers().map(|field| field.to_string()).chain(["sku".to_owned()]).collect();
    if of_page != known {
        let differing: Vec<_> = of_page.symmetric_difference(&known).collect();
        return Err(format!("fields on the page or of conditions, not both: {differing:?}").into());
    }
    Ok(())
}

/// Each file stands on the page as it is, without its comments.
fn the_page_shows_the_rules_that_ship() -> Result<(), Failed> {
    let page = examples::read(PAGE);
    let blocks: BTreeSet<String> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(|block| block.trim().to_owned())
        .collect();
    for file in shipped()? {
        let text = fs::read_to_string(&file)?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        if !blocks.contains(lines.join("\n").trim()) {
            return Err(format!("{} does not stand on the page as it is", file.display()).into());
        }
        let name = file.file_name().and_then(|name| name.to_str()).ok_or("a name")?;
        if !page.contains(&format!("`deploy/rules/{name}`")) {
            return Err(format!("{name} is not named on the page").into());
        }
    }
    Ok(())
}

/// The files of rules that ship, by name.
fn shipped() -> Result<Vec<PathBuf>, Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rules");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    if files.is_empty() { Err("no rules ship".into()) } else { Ok(files) }
}

fn written(folder: &Path, name: &str, text: &str) -> Result<String, Failed> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path.to_str().ok_or("UTF-8")?.to_owned())
}

fn run(arguments: &[&str]) -> Result<Output, Failed> {
    Ok(Command::new(BINARY).arg("rules").args(arguments).env_clear().output()?)
}

/// Of a run that ended well.
fn stdout(output: &Output) -> Result<String, Failed> {
    if !output.status.success() || !output.stderr.is_empty() {
        return Err(format!("{:?}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout.clone())?)
}
