//! Alerts and recording rules as text: names that exist, cases for every alert, a section in the runbook.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use libtest_mimic::{Failed, Trial};

use super::{promql, registry};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("deploy: rules and runbook name metrics that exist", names),
        Trial::test("deploy: the page on operating lists every metric with its labels", page),
        Trial::test("deploy: every alert has a section in the runbook", sections),
        Trial::test("deploy: every alert has a case that fires and one that does not", cases),
        Trial::test("deploy: rules use buckets that exist, on bounds that are not whole", buckets),
    ]
}

fn read(path: &str) -> Result<String, Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// What stands behind `key` on each line.
fn values<'t>(text: &'t str, key: &str) -> BTreeSet<&'t str> {
    text.lines()
        .filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix(key))
        .map(str::trim)
        .collect()
}

fn names() -> Result<(), Failed> {
    let families = registry::families();
    let recording = read("deploy/prometheus/rules/recording.yml")?;
    let recorded = values(&recording, "record:");
    assert!(!recorded.is_empty());
    for path in [
        "deploy/prometheus/rules/recording.yml",
        "deploy/prometheus/rules/alerts.yml",
        "deploy/prometheus/tests/health.yml",
        "deploy/prometheus/tests/objectives.yml",
        "deploy/prometheus/tests/days.yml",
        "deploy/prometheus/prometheus.yml",
        "deploy/compose.yaml",
        "deploy/Dockerfile",
        "docs/RUNBOOK.md",
        "docs/OPERATING.md",
    ] {
        for used in promql::uses(&read(path)?) {
            let name = used.name.as_str();
            if recorded.contains(name) {
                continue;
            }
            // Prose may name a histogram as a whole.
            let family = families.get(name).or_else(|| families.get(&format!("{name}_count")));
            let family = family.ok_or_else(|| format!("{path}: {name} does not exist"))?;
            for (label, operator, value) in &used.selectors {
                assert_eq!(family.refuse(label, operator, value), None, "{path}: {name}");
            }
        }
    }
    Ok(())
}

/// Row for row: name, labels.
fn page() -> Result<(), Failed> {
    let page = read("docs/OPERATING.md")?;
    let code =
        |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in
        page.lines().filter(|line| line.starts_with("| `retention_") || line.starts_with("| `process_"))
    {
        let cells: Vec<&str> = row.split('|').collect();
        let name = code(cells[1]).pop_first().ok_or("a row without a name")?;
        assert!(listed.insert(name, code(cells[2])).is_none(), "{row} is there twice");
    }
    assert_eq!(listed, registry::labels());
    Ok(())
}

fn sections() -> Result<(), Failed> {
    let rules = read("deploy/prometheus/rules/alerts.yml")?;
    let alerts = values(&rules, "alert:");
    let runbook = read("docs/RUNBOOK.md")?;
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(alerts, sections);
    for alert in &alerts {
        let link = format!("runbook_url: docs/RUNBOOK.md#{}", alert.to_lowercase());
        assert!(rules.lines().any(|line| line.trim() == link), "{alert} does not link to its section");
    }
    for section in runbook.split("\n## ").skip(1) {
        let name = section.lines().next().unwrap_or_default();
        assert!(
            section.contains("*Page.*") || section.contains("*Ticket.*"),
            "{name}: does not say how urgent it is"
        );
        assert!(section.contains("\nLook") && section.contains("o: "), "{name}: how to look, what to do");
    }
    Ok(())
}

fn cases() -> Result<(), Failed> {
    let rules = read("deploy/prometheus/rules/alerts.yml")?;
    let alerts = values(&rules, "alert:");
    let tests = ["health", "objectives", "days"]
        .map(|name| read(&format!("deploy/prometheus/tests/{name}.yml")))
        .into_iter()
        .collect::<Result<String, Failed>>()?;
    let names = values(&tests, "name:");
    for alert in alerts {
        for what in [" fires ", " stays silent "] {
            let start = format!("{alert}{what}");
            assert!(names.iter().any(|name| name.starts_with(&start)), "no case is named {start:?}");
        }
    }
    Ok(())
}

/// A bound that rules name must be one of the histogram's, written as the program writes it, and not a whole number:
/// Prometheus 3 stores `le="5"` as `5.0`, and an exact match would find nothing.
fn buckets() -> Result<(), Failed> {
    let text = read("deploy/prometheus/rules/recording.yml")?;
    let dashboards = super::dashboards::NAMES.map(super::dashboards::queries);
    let mut queries: Vec<String> = vec![text];
    for board in dashboards {
        queries.extend(board?.into_iter().map(|(_, query)| query));
    }
    let exported = registry::exported();
    let mut bounds = 0;
    for used in queries.iter().flat_map(|query| promql::uses(query)) {
        for (_, _, bound) in used.selectors.iter().filter(|(label, ..)| label == "le") {
            bounds += 1;
            assert!(bound.contains('.'), "{}: le={bound:?} is a whole number", used.name);
            let is_exported = exported
                .lines()
                .any(|line| line.starts_with(&used.name) && line.contains(&format!("le=\"{bound}\"")));
            assert!(is_exported, "{} has no bucket {bound}", used.name);
        }
    }
    assert!(bounds > 0);
    Ok(())
}
