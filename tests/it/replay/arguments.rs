//! The program as it is started: what is refused, with which exit code and message.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use super::{EXTRACT, Folder, ONLINE_RETAIL_MAP};

const ORDER: &str = r#"{"order_id":"o1","customer_id":"c1","placed_at":"2025-01-01T00:00:00Z","currency":"EUR","total":"5.00"}"#;

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, fn() -> Result<(), Failed>); 4] = [
        ("replay::what_is_wrong_is_said_with_its_code", what_is_wrong_is_said_with_its_code),
        ("replay::results_are_not_replaced_unasked", results_are_not_replaced_unasked),
        ("replay::a_failure_leaves_results_as_they_were", a_failure_leaves_results_as_they_were),
        ("replay::the_program_prints_a_report", the_program_prints_a_report),
    ];
    trials.into_iter().map(|(name, trial)| Trial::test(name, trial)).collect()
}

fn expect_failure(folder: &Folder, arguments: &[&str], code: u8, told: &str) -> Result<(), Failed> {
    match super::replay(&[arguments, &["--out", &folder.path("out")]].concat()) {
        Ok(report) => Err(format!("{arguments:?} succeeded:\n{report}").into()),
        Err(failure) if failure.exit.code() == code && failure.to_string().contains(told) => Ok(()),
        Err(failure) => Err(format!("{arguments:?} ended with {}: {failure}", failure.exit.code()).into()),
    }
}

fn what_is_wrong_is_said_with_its_code() -> Result<(), Failed> {
    let folder = Folder::new();
    let orders = folder.write("orders.jsonl", ORDER);
    let empty = folder.write("empty.jsonl", "");
    let words = folder.write("words.jsonl", "{}\n{}\n");
    let text = folder.write("text.csv", "a,b\n1,2\n");
    let cut = folder.write("cut.jsonl.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0][..]);
    let other = folder.write("other.csv", "id,when\n1,2\n");
    let map = folder.write("map.toml", "[columns]\norder = \"id\"\n");
    let (here, gone) = (folder.path(""), folder.path("gone"));
    let below_a_file = folder.path("orders.jsonl/out");
    for (arguments, code, told) in [
        (&["--orders", &gone][..], 65, "cannot read"),
        (&["--orders", &here], 65, "cannot read"),
        (&["--orders", &cut], 65, "cannot read"),
        (&["--orders", &orders, "--returns", &gone], 65, "No such file or directory"),
        (&["--orders", &orders, "--map", &gone], 78, "is no preset, and no map file can be read there"),
        (&["--orders", &orders, "--with", "a=b"], 64, "no map joins files"),
        (&["--orders", &orders, "--option", "a"], 64, "write NAME=VALUE"),
        (&["--orders", &text], 65, "its columns are those of no preset"),
        (&["--orders", &orders, "--map", ONLINE_RETAIL_MAP], 65, "is JSON, but the map"),
        (&["--orders", &orders, "--map", &map], 78, "unknown field `order`"),
        (&["--orders", &orders, "--config", &gone], 78, "cannot read the configuration file"),
        (&["--orders", &orders, "--set", "shop.curency=EUR"], 78, "shop.currency"),
        (&["--orders", &other, "--map", ONLINE_RETAIL_MAP], 65, "has no column \"InvoiceNo\", which"),
        (&["--orders", &other, "--map", ONLINE_RETAIL_MAP], 65, "its columns are id, when"),
        (&["--orders", &empty], 78, "names no currency in its first lines either"),
        (&["--orders", &words], 78, "if it is CSV, give its column map with --map"),
        (&["--orders", &words, "--set", "shop.currency=EUR"], 65, "no line could be used"),
        (&["--orders", &orders, "--until", "2025-01-01"], 64, "an instant of 1970 to 9999 with an offset"),
        (&["--out", &gone], 64, "--orders <FILE>"),
    ] {
        expect_failure(&folder, arguments, code, told)?;
    }
    match super::replay(&["--orders", &orders, "--out", &below_a_file]) {
        Err(failure) if failure.exit.code() == 69 => {}
        other => return Err(format!("{other:?}").into()),
    }
    // Nothing that failed before it had results has left any.
    let files: Vec<String> = fs::read_dir(folder.path("out"))?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    if files.len() != 6 || files.iter().any(|name| name.ends_with(".part")) {
        return Err(format!("only the file of words gave results, but there are {files:?}").into());
    }
    Ok(())
}

fn results_are_not_replaced_unasked() -> Result<(), Failed> {
    let folder = Folder::new();
    let orders = folder.write("orders.jsonl", ORDER);
    folder.replay(&["--orders", &orders])?;
    expect_failure(&folder, &["--orders", &orders], 64, "or --force to replace it")?;
    folder.replay(&["--orders", &orders, "--force"])?;
    // An input is never replaced.
    let input = folder.path("out/customers.jsonl");
    fs::write(&input, ORDER)?;
    expect_failure(&folder, &["--orders", &input, "--force"], 64, "is an input and would be replaced")?;
    if fs::read_to_string(&input)? == ORDER { Ok(()) } else { Err("the input was replaced".into()) }
}

/// Half a gzip file is found out late, after the first lines.
fn a_failure_leaves_results_as_they_were() -> Result<(), Failed> {
    let folder = Folder::new();
    let orders = folder.write("orders.jsonl", ORDER);
    let before = folder.replay(&["--orders", &orders])?;
    let many = super::history::gzip(&fs::read(EXTRACT)?);
    let returns = folder.write("returns.jsonl.gz", &many[..many.len() / 2]);
    expect_failure(&folder, &["--orders", &orders, "--returns", &returns, "--force"], 65, "cannot read")?;
    let after = super::Results::read(before.report.clone(), Path::new(&folder.path("out")));
    if before != after || fs::read_dir(folder.path("out"))?.count() != 6 {
        return Err(format!("the results have become {after:#?}").into());
    }
    Ok(())
}

/// On standard output, and nothing on standard error where that is no terminal.
fn the_program_prints_a_report() -> Result<(), Failed> {
    let folder = Folder::new();
    let output = Command::new(env!("CARGO_BIN_EXE_retention-signals"))
        .args(["replay", "--orders", EXTRACT, "--map", ONLINE_RETAIL_MAP, "--out", &folder.path("out")])
        .output()?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    if output.status.code() != Some(0) || !stderr.is_empty() {
        return Err(format!("{:?}\n{stderr}", output.status).into());
    }
    for told in ["replayed", "events", "clock", "customers", "repeat purchase rate, kept", "signals"] {
        if !stdout.lines().any(|line| line.starts_with(told)) {
            return Err(format!("nothing of {told}:\n{stdout}").into());
        }
    }
    Ok(())
}
