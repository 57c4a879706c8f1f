//! Each file of `deploy/rules` on a small history of its own in `tests/data/tactics`: exactly the signals that it must give.

use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use super::Folder;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The files, and when their histories end.
const TACTICS: [(&str, &str); 12] = [
    ("black-friday", "2026-12-31T00:00:00Z"),
    ("club-welcome", "2026-04-01T00:00:00Z"),
    ("gift", "2025-03-01T00:00:00Z"),
    ("invite-guest", "2025-02-01T00:00:00Z"),
    ("news", "2025-04-15T00:00:00Z"),
    ("refill", "2026-03-15T00:00:00Z"),
    ("reward", "2025-05-01T00:00:00Z"),
    ("second-order", "2025-03-01T00:00:00Z"),
    ("sorry", "2025-06-01T00:00:00Z"),
    ("survey", "2026-02-01T00:00:00Z"),
    ("thank-you", "2025-03-01T00:00:00Z"),
    ("win-back", "2025-12-31T00:00:00Z"),
];

pub fn trials() -> Vec<Trial> {
    let tactic = |(name, until): (&'static str, &'static str)| {
        Trial::test(format!("replay::the_tactic_{}", name.replace('-', "_")), move || tactic(name, until))
    };
    let mut trials: Vec<Trial> = TACTICS.into_iter().map(tactic).collect();
    trials.push(Trial::test("replay::each_tactic_has_a_history", each_has_a_history));
    trials
}

fn tactic(name: &str, until: &str) -> Result<(), Failed> {
    let folder = Folder::new();
    let path = |file: &str| format!("{ROOT}/tests/data/tactics/{name}/{file}");
    let settings = fs::read_to_string(path("settings.toml")).unwrap_or_default();
    let rules = format!("rules.files = [\"{ROOT}/deploy/rules/{name}.toml\"]\n");
    let settings = folder.write("settings.toml", rules + "shop.currency = \"EUR\"\n" + &settings);
    let (orders, returns) = (path("orders.jsonl"), path("returns.jsonl"));
    let mut arguments = vec!["--config", &settings, "--orders", &orders, "--until", until];
    if Path::new(&returns).exists() {
        arguments.extend(["--returns", &returns]);
    }
    let results = folder.replay(&arguments)?;
    let found: Vec<&Value> = results.signals.iter().filter(|signal| signal["type"] == "rule").collect();
    let expected = fs::read_to_string(path("signals.jsonl"))?;
    let expected: Vec<Value> = expected.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    if expected.is_empty() || found != expected.iter().collect::<Vec<_>>() {
        let lines: Vec<String> = found.iter().map(|signal| signal.to_string()).collect();
        return Err(
            format!("{name} gives\n{}\nnot what {} says", lines.join("\n"), path("signals.jsonl")).into()
        );
    }
    Ok(())
}

fn each_has_a_history() -> Result<(), Failed> {
    let mut names = Vec::new();
    for entry in fs::read_dir(format!("{ROOT}/deploy/rules"))? {
        names.push(entry?.file_name().to_string_lossy().trim_end_matches(".toml").to_owned());
    }
    names.sort();
    if names == TACTICS.map(|(name, _)| name) { Ok(()) } else { Err(format!("{names:?}").into()) }
}
