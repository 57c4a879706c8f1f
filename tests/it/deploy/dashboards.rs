//! The rules of the boards: see OPERATE in the project's documentation, or the messages below.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;

use super::{promql, registry};
use crate::python;

pub const NAMES: [&str; 2] = ["pipeline", "customers"];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        python::trial(
            "deploy: Grafana's model knows all of the boards",
            "tests/boards/requirements.txt",
            model,
        ),
        Trial::ignorable_test("deploy: the boards are what their script makes", generated),
        Trial::test("deploy: what the board pipeline opens with fits on a screen", layout),
        Trial::test("deploy: boards and runbook name each other", runbook),
        Trial::ignorable_test("deploy: links to the runbook become absolute", links),
    ];
    for name in NAMES {
        trials.push(Trial::test(format!("deploy: board {name} imports everywhere"), move || board(name)));
        trials.push(Trial::test(format!("deploy: board {name} says what each panel shows"), move || {
            panels(name)
        }));
        trials
            .push(Trial::test(format!("deploy: board {name} queries what exists"), move || queries_of(name)));
    }
    trials
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/dashboards")
}

/// Panel titles with their queries, and those of the marks in time.
pub fn queries(name: &str) -> Result<Vec<(String, String)>, Failed> {
    let board = read(name)?;
    let mut queries = Vec::new();
    for panel in all_panels(&board) {
        for target in array(&panel["targets"]) {
            queries.push((text(&panel["title"]).to_owned(), text(&target["expr"]).to_owned()));
        }
    }
    for marks in array(&board["annotations"]["list"]) {
        queries.push((format!("marks: {}", text(&marks["name"])), text(&marks["expr"]).to_owned()));
    }
    Ok(queries)
}

/// Titles of panels and rows.
pub fn titles(name: &str) -> Result<BTreeSet<String>, Failed> {
    let board = read(name)?;
    Ok(all_panels(&board).into_iter().map(|panel| text(&panel["title"]).to_owned()).collect())
}

/// Those of closed rows too, and the rows themselves.
fn all_panels(board: &Value) -> Vec<&Value> {
    let panels = array(&board["panels"]).iter();
    panels.flat_map(|panel| [panel].into_iter().chain(array(&panel["panels"]))).collect()
}

fn read(name: &str) -> Result<Value, Failed> {
    Ok(serde_json::from_str(&fs::read_to_string(folder().join(format!("{name}.json")))?)?)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn generated() -> Result<Completion, Failed> {
    let script = folder().join("generate.py");
    let check = Command::new("python3").arg("-B").arg(script).arg("--check").output();
    let output = match check {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Completion::ignored_with("python3 is not installed"));
        }
        output => output?,
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Completion::Completed)
}

fn board(name: &str) -> Result<(), Failed> {
    let board = read(name)?;
    assert_eq!(text(&board["uid"]), format!("retention-{name}"), "links and bookmarks hold the uid");
    assert_eq!(board["editable"], Value::Bool(false));
    assert!(
        board.get("__inputs").is_none() && !board.to_string().contains("${DS_"),
        "inputs break provisioning"
    );
    let variables = array(&board["templating"]["list"]);
    let variable = |name: &str| variables.iter().find(|variable| variable["name"] == name);
    assert_eq!(variable("datasource").map(|variable| text(&variable["type"])), Some("datasource"));
    for name in ["job", "instance"] {
        let variable = variable(name).ok_or("a variable is missing")?;
        assert_eq!(variable["multi"], Value::Bool(true), "{name}");
        assert_eq!(text(&variable["allValue"]), ".+", "{name}");
        assert_eq!(variable["refresh"], Value::from(2), "{name} is asked again when the time range changes");
    }
    let panels = all_panels(&board);
    for (title, id) in panels.iter().map(|panel| (&panel["title"], &panel["id"])) {
        let same = panels.iter().filter(|panel| panel["id"] == *id).count();
        assert_eq!(same, 1, "{title} shares its id");
    }
    Ok(())
}

/// What is open at first fits on one screen, and no panel covers another.
fn layout() -> Result<(), Failed> {
    /// 1080 lines, less what Grafana and the browser take, at 38 a unit.
    const SCREEN_UNITS: u64 = 24;
    let board = read("pipeline")?;
    let (open, closed): (Vec<&Value>, Vec<&Value>) =
        array(&board["panels"]).iter().partition(|panel| panel["collapsed"] != Value::Bool(true));
    let rows: Vec<&str> =
        open.iter().filter(|panel| panel["type"] == "row").map(|panel| text(&panel["title"])).collect();
    assert_eq!(rows, ["Health", "Freshness"]);
    let bottom = open.iter().map(|panel| edges(panel).3).max();
    assert!(bottom <= Some(SCREEN_UNITS), "what is open ends at {bottom:?}");
    for row in &closed {
        assert!(array(&row["panels"]).len() > 1, "{} is a row of little", row["title"]);
    }
    let groups = closed.iter().map(|row| array(&row["panels"]).iter().collect());
    for group in groups.chain([open]).collect::<Vec<Vec<&Value>>>() {
        for (place, panel) in group.iter().enumerate() {
            let (left, top, right, bottom) = edges(panel);
            assert!(right <= 24, "{} ends beyond the screen", panel["title"]);
            for other in &group[..place] {
                let (other_left, other_top, other_right, other_bottom) = edges(other);
                let is_apart =
                    right <= other_left || other_right <= left || bottom <= other_top || other_bottom <= top;
                assert!(is_apart, "{} covers {}", panel["title"], other["title"]);
            }
        }
    }
    Ok(())
}

/// Left, top, right, bottom.
fn edges(panel: &Value) -> (u64, u64, u64, u64) {
    let number = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
    (number("x"), number("y"), number("x") + number("w"), number("y") + number("h"))
}

/// Panels lead to sections of the runbook, and the runbook names panels that are there.
fn runbook() -> Result<(), Failed> {
    /// What stands in italics and is no panel.
    const OTHERS: [&str; 6] = ["Page.", "Ticket.", "page", "ticket", "Pipeline", "Status → Targets"];
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/RUNBOOK.md"))?;
    let sections: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect();
    let mut titles: BTreeSet<String> = BTreeSet::new();
    let mut linked = 0;
    for name in NAMES {
        let board = read(name)?;
        titles.extend(self::titles(name)?);
        for panel in all_panels(&board) {
            for link in array(&panel["links"]) {
                let anchor = text(&link["url"]).strip_prefix("${runbook}#").unwrap_or_default();
                assert!(sections.contains(anchor), "{}: no section {anchor:?}", panel["title"]);
                linked += 1;
            }
        }
        let has_link = array(&board["links"]).iter().any(|link| link["url"] == "${runbook}");
        assert!(has_link, "{name} does not link to the runbook");
    }
    assert!(linked > 15, "{linked} panels link to the runbook");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ").replace("**", "");
    for named in page.split('*').skip(1).step_by(2).filter(|named| !OTHERS.contains(named)) {
        assert!(titles.contains(named), "the runbook names a panel {named:?}");
    }
    Ok(())
}

/// Fields, options of panels and units, read by Grafana's own package for making dashboards.
fn model(python: &Path) -> anyhow::Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boards/model.py");
    let files = NAMES.map(|name| folder().join(format!("{name}.json")));
    let output = Command::new(python).arg("-B").arg(script).args(files).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The script puts an address before every link.
fn links() -> Result<Completion, Failed> {
    let script = folder().with_file_name("runbook-links");
    let target = tempfile::tempdir()?;
    let run = |address: &str| {
        Command::new("python3").arg("-B").arg(&script).arg(address).arg(target.path()).output()
    };
    let output = match run("https://git.example.com/shop/docs/") {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Completion::ignored_with("python3 is not installed"));
        }
        output => output?,
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rules = fs::read_to_string(target.path().join("rules/alerts.yml"))?;
    let links: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    assert!(links.len() > 20);
    for link in links {
        assert!(link.starts_with("https://git.example.com/shop/docs/RUNBOOK.md#retention"), "{link}");
    }
    for name in NAMES {
        let path = target.path().join(format!("dashboards/{name}.json"));
        let board: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        let variable =
            array(&board["templating"]["list"]).iter().find(|variable| variable["name"] == "runbook");
        let value = variable.map(|variable| text(&variable["current"]["value"]));
        assert_eq!(value, Some("https://git.example.com/shop/docs/RUNBOOK.md"), "{name}");
    }
    assert!(!run("docs")?.status.success(), "an address has a scheme");
    Ok(Completion::Completed)
}

fn panels(name: &str) -> Result<(), Failed> {
    let board = read(name)?;
    let panels: Vec<&Value> = all_panels(&board).into_iter().filter(|panel| panel["type"] != "row").collect();
    assert!(panels.len() > 10, "{} panels", panels.len());
    let mut titles = BTreeSet::new();
    for panel in panels {
        let title = text(&panel["title"]);
        assert!(!title.is_empty() && titles.insert(title), "title {title:?} is empty or used twice");
        assert!(text(&panel["description"]).len() > 20, "{title}: says too little");
        assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{title}: has no unit");
        assert_eq!(text(&panel["datasource"]["uid"]), "${datasource}", "{title}");
        assert!(!array(&panel["targets"]).is_empty(), "{title}: shows nothing");
    }
    Ok(())
}

fn queries_of(name: &str) -> Result<(), Failed> {
    let families = registry::families();
    for (title, query) in queries(name)? {
        let uses = promql::uses(&query);
        let is_of_prometheus = ["up{", "ALERTS{"].iter().any(|metric| query.contains(metric));
        assert!(!uses.is_empty() || is_of_prometheus, "{title}: {query} uses no metric");
        for used in uses {
            let metric = &used.name;
            let family = families.get(metric).ok_or_else(|| format!("{title}: {metric} does not exist"))?;
            for (label, operator, value) in &used.selectors {
                assert_eq!(family.refuse(label, operator, value), None, "{title}: {metric}");
            }
            for (label, value) in [("job", "$job"), ("instance", "$instance")] {
                let filter = (label.to_owned(), "=~".to_owned(), value.to_owned());
                assert!(used.selectors.contains(&filter), "{title}: {metric} is not filtered by {label}");
            }
            let is_counted = ["rate", "increase"].contains(&used.function.as_str());
            assert_eq!(
                is_counted, family.is_counter,
                "{title}: a counter, and nothing else, is in rate or increase"
            );
            if used.function == "rate" {
                assert_eq!(used.range, "$__rate_interval", "{title}: {query}");
            }
        }
    }
    Ok(())
}
