//! House rules that no other tool checks: which module may name what, how long a file may be, what may come with a dependency.

mod code;
mod code_map;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("tidy::files_are_short", files_are_short),
        Trial::test(
            "tidy::modules_name_only_what_they_may",
            code_map::every_file_names_only_what_its_row_allows,
        ),
        Trial::test("tidy::names_are_read_out_of_code", code::names_are_read_out_of_code),
        Trial::test("tidy::nothing_waits_by_sleeping", nothing_waits_by_sleeping),
        Trial::test("tidy::no_marks_are_left_behind", no_marks_are_left_behind),
        Trial::test("tidy::fields_of_log_lines_are_plain_values", fields_of_log_lines_are_plain_values),
        Trial::test("tidy::dependencies_have_allowed_licences", dependencies_have_allowed_licences),
        Trial::test("tidy::no_banned_dependency", no_banned_dependency),
        Trial::test("tidy::hooks_are_for_tests_alone", hooks_are_for_tests_alone),
    ]
}

const LINES_MAX: usize = 500;

/// Licences that may come in. An expression is allowed if one alternative of every part is.
const LICENCES: [&str; 10] = [
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that may not come in, and why.
const BANNED: [(&str, &str); 3] = [
    ("openssl", "TLS belongs to librdkafka; only the vendored library and its -sys crate may be there"),
    ("reqwest", "a second HTTP stack beside axum"),
    ("async-std", "one runtime is enough"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust sources below a folder of the project, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                found.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

fn all_sources() -> Vec<(PathBuf, String)> {
    ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets", "mutants/src"]
        .into_iter()
        .flat_map(sources)
        .collect()
}

fn verdict(faults: Vec<String>) -> Result<(), Failed> {
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}

fn files_are_short() -> Result<(), Failed> {
    let long = all_sources().into_iter().filter(|(_, text)| text.lines().count() > LINES_MAX);
    verdict(long.map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count())).collect())
}

fn nothing_waits_by_sleeping() -> Result<(), Failed> {
    let sleep = concat!("thread::", "sleep");
    let sleeping = all_sources().into_iter().filter(|(_, text)| text.contains(sleep));
    verdict(
        sleeping.map(|(path, _)| format!("{} sleeps: wait for what you wait for", path.display())).collect(),
    )
}

fn no_marks_are_left_behind() -> Result<(), Failed> {
    let marks = [concat!("FIX", "ME"), concat!("XX", "X:"), concat!("dbg", "!("), concat!("#[ig", "nore")];
    let mut faults = Vec::new();
    for (path, text) in all_sources() {
        faults.extend(
            marks
                .iter()
                .filter(|mark| text.contains(**mark))
                .map(|mark| format!("{}: {mark}", path.display())),
        );
    }
    verdict(faults)
}

/// A field in its debug form (`?name`) shows the program's types, `Some("x")` or `[Partition(0)]`, to readers and queries of logs.
fn fields_of_log_lines_are_plain_values() -> Result<(), Failed> {
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        for level in ["error", "warn", "info", "debug", "trace"] {
            for (start, _) in text.match_indices(&format!("{level}!(")) {
                let end = text[start..].find(");").map_or(text.len(), |length| start + length);
                let fields = text[start..end].split('"').step_by(2);
                let is_debug = |part: &str| {
                    part.match_indices('?').any(|(at, _)| part[..at].trim_end().ends_with([',', '(', '=']))
                };
                if fields.into_iter().any(is_debug) {
                    faults.push(format!("{}: {}", path.display(), &text[start..end]));
                }
            }
        }
    }
    verdict(faults)
}

/// Every package that the build may use, from the lock file.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

fn dependencies_have_allowed_licences() -> Result<(), Failed> {
    let mut faults = Vec::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_allowed(licence) {
            faults.push(format!("{}: {licence:?}", package["name"]));
        }
        let source = package["source"].as_str();
        if source.is_some_and(|source| !source.starts_with("registry+")) {
            faults.push(format!("{} comes from {source:?}", package["name"]));
        }
    }
    verdict(faults)
}

/// AND binds weaker than OR in every expression that occurs here; brackets are written around the OR.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" AND ").all(|part| {
        let alternatives =
            part.split(" OR ").map(|name| name.trim().trim_end_matches(" WITH LLVM-exception"));
        alternatives.into_iter().any(|name| LICENCES.contains(&name))
    })
}

fn no_banned_dependency() -> Result<(), Failed> {
    let packages = packages();
    let banned = BANNED.iter().filter(|(name, _)| packages.iter().any(|package| package["name"] == *name));
    verdict(banned.map(|(name, reason)| format!("{name}: {reason}")).collect())
}

/// The feature that lets tests interrupt and break the program is switched on by nothing but the package's own tests.
fn hooks_are_for_tests_alone() -> Result<(), Failed> {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest is there");
    let manifest: toml::Table = text.parse().expect("the manifest is TOML");
    let mut faults = Vec::new();
    let features = manifest["features"].as_table().expect("a table of features");
    for (name, enables) in features {
        if name != "faults" && enables.to_string().contains("faults") {
            faults.push(format!("the feature {name} switches the hooks on"));
        }
    }
    for table in ["dependencies", "build-dependencies", "target"] {
        if manifest.get(table).is_some_and(|table| table.to_string().contains("faults")) {
            faults.push(format!("[{table}] switches the hooks on"));
        }
    }
    verdict(faults)
}
