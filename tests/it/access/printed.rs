//! What `acls print` prints, as its readers read it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{PATIENCE, said};
use crate::process::run_to_end;
use crate::service::{ServiceSettings, run_command};

/// A right of a printed command: what takes it away, and what a refusal must say.
pub struct SingleRight {
    pub remove: String,
    pub grant: String,
    pub name: String,
}

pub fn single_rights(command: &str) -> Result<Vec<SingleRight>> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let first = words.iter().position(|word| *word == "--operation").context("an operation")?;
    let last = words.iter().rposition(|word| *word == "--operation").context("an operation")? + 2;
    let (head, tail) = (words[..first].join(" "), words[last..].join(" "));
    let (kind, name) = (words[words.len() - 2], words[words.len() - 1]);
    let resource = match kind {
        "--topic" => format!("topic {name}"),
        "--group" => format!("group {name}"),
        _ => format!("transactional ids with prefix {name}"),
    };
    let operations = words[first..last].iter().filter(|word| **word != "--operation");
    Ok(operations
        .map(|operation| {
            let grant = format!("{head} --operation {operation} {tail}");
            let remove = grant.replace("--add ", "--remove --force ");
            SingleRight { remove, grant, name: format!("{operation} on {resource}") }
        })
        .collect())
}

/// What the tools read is compared; `kafka-acls` itself is tried on a broker.
pub fn formats_say_the_same(python: &Path) -> Result<()> {
    let settings = ServiceSettings::new("kafka:9092", "shop", "one")
        .set(&["topics", "registry"], "retention.registry")
        .set(&["kafka", "security.protocol"], "SASL_SSL")
        .set(&["kafka", "sasl.mechanisms"], "SCRAM-SHA-512");
    let folder = tempfile::tempdir()?;
    let print = |format: &str| -> Result<String> {
        let who = ["--principal", "User:service", "--operator", "User:ops", "--consumer", "User:crm"];
        // In two roles at once, with some rights in common.
        let others = ["--producer", "User:web", "--repairer", "User:ops", "--eraser", "User:ops"];
        let arguments = [&["acls", "print", "--format", format][..], &who, &others].concat();
        let output = run_command(&settings, &arguments, PATIENCE)?;
        ensure!(output.status.success(), "{}", said(&output));
        let text = output.stdout;
        fs::write(folder.path().join(format), &text)?;
        Ok(text)
    };
    let commands = print("kafka-acls")?;
    print("strimzi")?;
    print("terraform")?;
    let mut expected = Vec::new();
    for command in commands.lines().filter(|line| !line.starts_with('#')) {
        expected.extend(rules_of(command)?);
    }
    expected.sort();
    ensure!(expected.len() > 40, "{expected:?}");
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/helm/acls.py")).current_dir(folder.path());
    command.args(["strimzi", "terraform"]);
    let read = run_to_end("acls", command, folder.path(), PATIENCE)?;
    let [strimzi, terraform]: [Vec<[String; 5]>; 2] =
        serde_json::from_str(read.lines().next().unwrap_or_default())?;
    ensure!(strimzi == expected, "Strimzi: {strimzi:#?}, {expected:#?}");
    ensure!(terraform == expected, "Terraform: {terraform:#?}, {expected:#?}");
    Ok(())
}

/// Principal, kind, name, pattern and operation of each right of a command.
pub fn rules_of(command: &str) -> Result<Vec<[String; 5]>> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let pairs: Vec<(&str, &str)> = words.iter().copied().zip(words.iter().skip(1).copied()).collect();
    let behind = |flag: &str| pairs.iter().find(|(word, _)| *word == flag).map(|(_, value)| *value);
    let principal = behind("--allow-principal").context("a principal")?;
    let pattern = if words.contains(&"prefixed") { "Prefixed" } else { "Literal" };
    let kinds = [("--topic", "Topic"), ("--group", "Group"), ("--transactional-id", "TransactionalID")];
    let mut resources = kinds.iter().filter_map(|(flag, kind)| Some((*kind, behind(flag)?)));
    let (kind, name) = resources.next().context("a resource")?;
    let operations = pairs.iter().filter(|(word, _)| *word == "--operation");
    Ok(operations
        .map(|(_, operation)| [principal, kind, name, pattern, operation].map(str::to_owned))
        .collect())
}

pub fn principals_are_checked() -> Result<()> {
    let settings = ServiceSettings::new("kafka:9092", "shop", "one");
    for (arguments, said_of_it) in [
        (&[][..], "--principal"),
        (&["--principal", "retention"], "User:retention"),
        (&["--format", "strimzi", "--principal", "User:Retention_1"], "cannot be a KafkaUser"),
        (&["--principal", "User:retention", "--group", "crm"], "--consumer"),
    ] {
        let output = run_command(&settings, &[&["acls", "print"], arguments].concat(), PATIENCE)?;
        let stderr = &output.stderr;
        ensure!(output.status.code() == Some(64) && stderr.contains(said_of_it), "{arguments:?}: {stderr}");
    }
    Ok(())
}
