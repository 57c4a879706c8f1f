//! The code map of ARCHITECTURE.md as a test: each file of `src` has a row, and names only what its row allows.
//!
//! What a file names are paths that begin with `crate`, `super` or a dependency. Tests inside of `src` are left out: they
//! may use whatever helps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use libtest_mimic::Failed;

use super::code::{Code, tokens};
use super::{root, sources, verdict};

const PAGE: &str = "ARCHITECTURE.md";

/// Parts of std that would make the domain impure: what reaches outside of it, and what differs from run to run.
const IMPURE: [&str; 8] = ["env", "fs", "io", "net", "os", "process", "thread", "time"];

/// One row of the code map.
struct Row {
    /// Files, and folders with a slash at the end.
    places: Vec<String>,
    may_name: Vec<Vec<String>>,
}

pub fn every_file_names_only_what_its_row_allows() -> Result<(), Failed> {
    let rows = rows()?;
    let dependencies = dependencies();
    let mut faults = faults_of_page(&rows, &dependencies);
    let files: Vec<(String, Code)> = sources("src")
        .into_iter()
        .map(|(path, text)| {
            let path = path.to_string_lossy().into_owned();
            let code = Code::read(&module_of(&path), &tokens(&text), &dependencies);
            (path, code)
        })
        .collect();
    let tests: Vec<&Vec<String>> = files.iter().flat_map(|(_, code)| &code.test_modules).collect();
    for (path, code) in &files {
        let module = module_of(path);
        if tests.iter().any(|test| module.starts_with(test)) {
            continue;
        }
        let Some(row) = row_of(&rows, path) else {
            faults.push(format!("{path}: {PAGE} has no row for it"));
            continue;
        };
        let own = row.places.iter().map(|place| module_of(place)).collect::<Vec<_>>();
        let allowed = |named: &[String]| own.iter().chain(&row.may_name).any(|name| named.starts_with(name));
        for named in code.named.iter().filter(|named| !allowed(named)) {
            faults
                .push(format!("{path}: names {}, which its row of {PAGE} does not allow", named.join("::")));
        }
        if path.starts_with("src/domain/") {
            for module in code.of_std.iter().filter(|module| IMPURE.contains(&module.as_str())) {
                faults.push(format!("{path}: names std::{module}; the domain is pure"));
            }
        }
    }
    verdict(faults)
}

/// The rows of the table below the heading *Code map* that are about `src`.
fn rows() -> Result<Vec<Row>, Failed> {
    let page = fs::read_to_string(root().join(PAGE))?;
    let (_, section) = page.split_once("\n## Code map\n").ok_or("no code map")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rows = Vec::new();
    for line in section.lines().filter(|line| line.starts_with("| `src/")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [places, _, may_name] = cells.as_slice() else {
            return Err(format!("a row of the code map has {} cells: {line}", cells.len()).into());
        };
        let may_name = spans(may_name).map(|name| name.split("::").map(str::to_owned).collect()).collect();
        rows.push(Row { places: spans(places).map(str::to_owned).collect(), may_name });
    }
    if rows.is_empty() { Err("the code map is empty".into()) } else { Ok(rows) }
}

fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What the page says of places and names that are not there.
fn faults_of_page(rows: &[Row], dependencies: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows {
        let missing = row.places.iter().filter(|place| !root().join(place).exists());
        faults.extend(missing.map(|place| format!("{PAGE}: there is no {place}")));
        for name in &row.may_name {
            let path = root().join("src").join(name.join("/"));
            let is_module = path.is_dir() || path.with_extension("rs").is_file();
            let is_dependency = matches!(name.as_slice(), [only] if dependencies.contains(only));
            if !is_module && !is_dependency {
                faults.push(format!("{PAGE}: {} is no module and no dependency", name.join("::")));
            }
        }
    }
    faults
}

/// The row with the longest place that holds this file.
fn row_of<'r>(rows: &'r [Row], path: &str) -> Option<&'r Row> {
    let length = |row: &Row| {
        let holds = |place: &&String| path == **place || (place.ends_with('/') && path.starts_with(*place));
        row.places.iter().filter(holds).map(String::len).max()
    };
    rows.iter().filter(|row| length(row).is_some()).max_by_key(|row| length(row))
}

/// `src/stream/worker/turn.rs` is the module `stream::worker::turn`.
fn module_of(path: &str) -> Vec<String> {
    let path = Path::new(path).with_extension("");
    let mut module: Vec<String> =
        path.iter().skip(1).map(|segment| segment.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|name| matches!(name.as_str(), "mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// The names of the packages that the program is built of, as code writes them.
fn dependencies() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest is there");
    let manifest: toml::Table = text.parse().expect("the manifest is TOML");
    let table = manifest["dependencies"].as_table().expect("a table of dependencies");
    table.keys().map(|name| name.replace('-', "_")).collect()
}
