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

pub const NAMES: [&str; 2] = ["pipeline", "customers"];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::ignorable_test("deploy: the boards are what their script makes", generated)];
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

/// Panel titles with their queries.
pub fn queries(name: &str) -> Result<Vec<(String, String)>, Failed> {
    let board = read(name)?;
    let mut queries = Vec::new();
    for panel in array(&board["panels"]) {
        for target in array(&panel["targets"]) {
            queries.push((text(&panel["title"]).to_owned(), text(&target["expr"]).to_owned()));
        }
    }
    Ok(queries)
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
    for (title, id) in array(&board["panels"]).iter().map(|panel| (&panel["title"], &panel["id"])) {
        let same = array(&board["panels"]).iter().filter(|panel| panel["id"] == *id).count();
        assert_eq!(same, 1, "{title} shares its id");
    }
    Ok(())
}

fn panels(name: &str) -> Result<(), Failed> {
    let board = read(name)?;
    let panels: Vec<&Value> = array(&board["panels"]).iter().filter(|panel| panel["type"] != "row").collect();
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
        assert!(!uses.is_empty(), "{title}: {query} uses no metric");
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
