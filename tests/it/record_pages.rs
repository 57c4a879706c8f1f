//! `docs/RECORDS.md` and `docs/DEFINITIONS.md` against the schemas: their examples are tested files, and nothing that is read
//! or written goes unexplained.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use retention_signals::wire::remark::{InputRemark, Remark};
use serde_json::Value;

use crate::examples::{self, SCHEMAS};

const RECORDS: &str = "docs/RECORDS.md";
const DEFINITIONS: &str = "docs/DEFINITIONS.md";
const SCHEMAS_README: &str = "schemas/README.md";

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("record_pages::examples_are_tested_files", examples_are_tested_files),
        Trial::test("record_pages::every_field_is_explained", every_field_is_explained),
        Trial::test(
            "record_pages::every_reason_remark_and_type_is_explained",
            every_reason_remark_and_type_is_explained,
        ),
        Trial::test("record_pages::links_lead_somewhere", links_lead_somewhere),
        Trial::test("record_pages::the_first_order_is_of_this_moment", the_first_order_is_of_this_moment),
    ]
}

/// The README's order, as its shell writes it: an example with a fixed time is `too_old` for a reader of a later year.
fn the_first_order_is_of_this_moment() -> Result<(), Failed> {
    let page = examples::read("README.md");
    let line = page.lines().find(|line| line.starts_with("order='")).ok_or("no order in README.md")?;
    let script = format!("{line}\necho \"ada|$order\"");
    let output = Command::new("bash").args(["-c", &script]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let (key, value) = text.trim_end().split_once('|').ok_or("a key and a value")?;
    let value: Value = serde_json::from_str(value)?;
    let placed_at = value["placed_at"].as_str().ok_or("a time")?;
    let age = chrono::Utc::now().signed_duration_since(chrono::DateTime::parse_from_rfc3339(placed_at)?);
    if value["customer_id"] != key || !(-1..60).contains(&age.num_seconds()) {
        return Err(format!("{text} is {age} old").into());
    }
    Ok(())
}

/// Each JSON block stands under a comment with the path of a valid example and is that file, byte for byte.
fn examples_are_tested_files() -> Result<(), Failed> {
    let page = examples::read(RECORDS);
    let known: BTreeSet<String> =
        SCHEMAS.iter().flat_map(|name| examples::valid(name)).map(|example| example.path).collect();
    let mut shown = 0;
    for (position, _) in page.match_indices("```json\n") {
        let block = &page[position + "```json\n".len()..];
        let block = &block[..block.find("\n```").ok_or("a block without end")?];
        let above = page[..position].lines().last().unwrap_or_default();
        let path = above.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        let path = path.ok_or_else(|| format!("{RECORDS}: no example named above {block}"))?;
        if !known.contains(path) {
            return Err(format!("{RECORDS}: {path} is no valid example").into());
        }
        if examples::read(path).trim_end() != block {
            return Err(format!("{RECORDS}: differs from {path}").into());
        }
        shown += 1;
    }
    // At least one of each schema: what users copy first.
    if shown < SCHEMAS.len() {
        return Err(format!("{RECORDS}: only {shown} examples").into());
    }
    Ok(())
}

fn every_field_is_explained() -> Result<(), Failed> {
    let named = code_words(&examples::read(RECORDS));
    for schema in SCHEMAS {
        let mut fields = BTreeSet::new();
        collect_fields(&examples::schema(schema), &mut fields);
        let missing: Vec<_> = fields.difference(&named).collect();
        if !missing.is_empty() {
            return Err(format!("{RECORDS}: does not explain {missing:?} of {schema}").into());
        }
    }
    Ok(())
}

fn every_reason_remark_and_type_is_explained() -> Result<(), Failed> {
    let listed = |schema: &str, definition: &str| -> BTreeSet<String> {
        let schema = examples::schema(schema);
        let list = schema["definitions"][definition]["enum"].as_array();
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let reasons = listed("dead-letters", "reason");
    let types = listed("signals", "signal_type");
    let remarks = Remark::ALL.map(Remark::name).into_iter().chain(InputRemark::ALL.map(InputRemark::name));
    let remarks: BTreeSet<String> = remarks.map(str::to_owned).collect();
    for (page, words) in [(RECORDS, &reasons), (RECORDS, &remarks), (RECORDS, &types), (DEFINITIONS, &types)]
    {
        let named = code_words(&examples::read(page));
        let missing: Vec<_> = words.difference(&named).collect();
        if words.is_empty() || !missing.is_empty() {
            return Err(format!("{page}: does not explain {missing:?}").into());
        }
    }
    Ok(())
}

fn links_lead_somewhere() -> Result<(), Failed> {
    for page in [RECORDS, DEFINITIONS, SCHEMAS_README] {
        let text = examples::read(page);
        let links: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        for link in links {
            let (path, anchor) =
                link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target = match path.is_empty() {
                true => page.to_owned(),
                false => resolve(page, path),
            };
            if !Path::new(env!("CARGO_MANIFEST_DIR")).join(&target).exists() {
                return Err(format!("{page}: {link} leads to no file").into());
            }
            if anchor.is_some_and(|anchor| !anchors(&examples::read(&target)).contains(anchor)) {
                return Err(format!("{page}: {link} leads to no heading").into());
            }
        }
    }
    Ok(())
}

/// The path of a link from the project's root.
fn resolve(page: &str, link: &str) -> String {
    let mut path = PathBuf::from(page);
    path.pop();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path.to_str().expect("links in UTF-8").to_owned()
}

/// The anchors that a page's headings get.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            title.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
        })
        .collect()
}

/// Every word within backticks, a path like `windows.30d` also by its parts.
fn code_words(page: &str) -> BTreeSet<String> {
    let prose: String = page.split("```").step_by(2).collect();
    let spans = prose.split('`').skip(1).step_by(2);
    spans.flat_map(|span| span.split('.').chain([span])).map(str::to_owned).collect()
}

fn collect_fields(schema: &Value, fields: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        fields.extend(properties.keys().cloned());
    }
    let inner: Vec<&Value> = match schema {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    for value in inner {
        collect_fields(value, fields);
    }
}
