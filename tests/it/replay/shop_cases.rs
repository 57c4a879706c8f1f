//! The cases of `tests/data/cases`: files as shops have them, each after a public bug report or the shape of a real file, and what has to
//! come of them.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Folder, Results};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cases");

pub fn trials() -> Vec<Trial> {
    let folders = fs::read_dir(CASES).expect("the cases are in the repository");
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.expect("readable").path()).collect();
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    let trial = |folder: PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(format!("replay::shop_cases::{name}"), move || check(&folder))
    };
    folders.into_iter().map(trial).collect()
}

/// What has to come of a case. Nothing else is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    arguments: Vec<String>,
    #[serde(default)]
    exit: u8,
    /// Part of the message without results.
    failure: Option<String>,
    #[serde(default)]
    summary: Map<String, Value>,
    /// Of the first customer.
    #[serde(default)]
    customer: Map<String, Value>,
    /// Line, reason and part of the detail.
    #[serde(default)]
    refused: Option<Vec<(u64, String, String)>>,
    #[serde(default)]
    report: Vec<String>,
}

fn check(case: &Path) -> Result<(), Failed> {
    let expected: Expected = serde_json::from_slice(&fs::read(case.join("expect.json"))?)?;
    let folder = Folder::new();
    let arguments: Vec<String> = expected
        .arguments
        .iter()
        .map(|argument| {
            let (name, path) =
                argument.split_once('=').map_or(("", argument.as_str()), |(name, path)| (name, path));
            let file = case.join(path);
            match (file.is_file(), name) {
                (true, "") => file.to_string_lossy().into_owned(),
                (true, name) => format!("{name}={}", file.to_string_lossy()),
                (false, _) => argument.clone(),
            }
        })
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, results) = match folder.replay_all(&arguments) {
        Ok(ended) => ended,
        Err(failure) => {
            let message = failure.to_string();
            return match &expected.failure {
                Some(part) if message.contains(part) && failure.exit.code() == expected.exit => Ok(()),
                Some(_) | None => Err(format!("{}: {message}", failure.exit.code()).into()),
            };
        }
    };
    let mut problems = Vec::new();
    if code != expected.exit {
        problems.push(format!("the exit code is {code}"));
    }
    compare(&results.summary, &expected.summary, &mut problems);
    compare(results.customers.first().unwrap_or(&Value::Null), &expected.customer, &mut problems);
    check_refused(&results, &expected, &mut problems);
    let missing = expected.report.iter().filter(|part| !results.report.contains(*part));
    problems.extend(missing.map(|part| format!("the report lacks {part:?}")));
    if problems.is_empty() {
        Ok(())
    } else {
        Err(format!("{}\n{}\n{:#?}", problems.join("\n"), results.report, results.dead_letters).into())
    }
}

fn compare(found: &Value, expected: &Map<String, Value>, problems: &mut Vec<String>) {
    for (pointer, expected) in expected {
        let found = found.pointer(pointer);
        if found != Some(expected) {
            problems.push(format!("{pointer} is {found:?}, expected is {expected}"));
        }
    }
}

fn check_refused(results: &Results, expected: &Expected, problems: &mut Vec<String>) {
    let Some(expected) = &expected.refused else {
        let others = results.dead_letters.iter().filter(|_| expected.exit == 0);
        return problems.extend(others.map(|letter| format!("refused is {letter}")));
    };
    let mut letters: Vec<&Value> = results.dead_letters.iter().collect();
    letters.sort_by_key(|letter| letter["line"].as_u64());
    let is_expected = |(letter, (line, reason, detail)): (&&Value, &(u64, String, String))| {
        letter["line"] == *line
            && letter["reason"] == **reason
            && letter["detail"].as_str().is_some_and(|text| text.contains(detail))
    };
    if letters.len() != expected.len() || !letters.iter().zip(expected).all(is_expected) {
        problems.push(format!("refused are {letters:?}, expected are {expected:?}"));
    }
}
