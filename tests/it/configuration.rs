//! `docs/CONFIGURATION.md` against the program: the page lists what can be set, what is refused, flags and exit codes.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory;
use libtest_mimic::{Failed, Trial};
use rdkafka::ClientConfig;
use retention_signals::commands::cli::Arguments;
use retention_signals::config::{
    self, KEYS, KeyDefault, Purpose, REFUSED_OPTIONS, SECRET_OPTIONS, Sources, accepted_options,
};
use retention_signals::exit::Exit;
use retention_signals::topic::Output;

use crate::examples;

const PAGE: &str = "docs/CONFIGURATION.md";

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("configuration::the_page_lists_every_key", the_page_lists_every_key),
        Trial::test("configuration::the_page_lists_refused_options", the_page_lists_refused_options),
        Trial::test("configuration::the_page_lists_every_flag", the_page_lists_every_flag),
        Trial::test("configuration::the_page_lists_every_exit_code", the_page_lists_every_exit_code),
        Trial::test("configuration::examples_on_the_page_are_valid", examples_on_the_page_are_valid),
        Trial::test("configuration::the_client_knows_every_option", the_client_knows_every_option),
        Trial::test(
            "configuration::the_rebuild_on_the_page_shares_nothing",
            the_rebuild_on_the_page_shares_nothing,
        ),
    ]
}

/// Key, unit, default and bounds of each row are those of the code, in the same order; each has a meaning.
fn the_page_lists_every_key() -> Result<(), Failed> {
    let page = examples::read(PAGE);
    let rows: Vec<Vec<&str>> = tables(&page, "key").collect();
    if rows.len() != KEYS.len() {
        let listed: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
        let known: BTreeSet<&str> = KEYS.iter().map(|key| key.path).collect();
        return Err(format!("listed or known, not both: {:?}", listed.symmetric_difference(&known)).into());
    }
    for (row, key) in rows.iter().zip(KEYS) {
        let default = match key.default {
            KeyDefault::Value(text) => format!("`{text}`"),
            KeyDefault::HostName => "the host name".to_owned(),
            KeyDefault::Nothing => "none".to_owned(),
            KeyDefault::Required => "required".to_owned(),
        };
        let expected = [&format!("`{}`", key.path), key.kind.unit(), &default, &key.kind.bounds()];
        if row[..4] != expected {
            return Err(format!("the page says {:?}, the code {expected:?}", &row[..4]).into());
        }
        if row[4].len() < 20 {
            return Err(format!("{} is not explained", key.path).into());
        }
    }
    Ok(())
}

fn the_page_lists_refused_options() -> Result<(), Failed> {
    let page = examples::read(PAGE);
    let listed: Vec<(Vec<&str>, &str)> =
        tables(&page, "option").map(|row| (code_words(row[0]), row[1])).collect();
    let refused: Vec<(Vec<&str>, &str)> =
        REFUSED_OPTIONS.iter().map(|(names, reason)| (names.to_vec(), *reason)).collect();
    if listed != refused {
        return Err(format!("the page says {listed:#?}, the code {refused:#?}").into());
    }
    let secrets = page.lines().skip_while(|line| !line.starts_with("They are:"));
    let secrets: Vec<&str> = secrets.take_while(|line| !line.is_empty()).flat_map(code_words).collect();
    let named: Vec<&str> = secrets.into_iter().filter(|word| word.contains('.')).collect();
    if named != SECRET_OPTIONS {
        return Err(format!("the page says {named:?}, the code {SECRET_OPTIONS:?}").into());
    }
    Ok(())
}

/// Flag by flag, with the commands that take it.
fn the_page_lists_every_flag() -> Result<(), Failed> {
    let page = examples::read(PAGE);
    let listed: BTreeMap<String, BTreeSet<String>> = tables(&page, "flag")
        .map(|row| (row[0].trim_matches('`').to_owned(), words(row[1]).map(str::to_owned).collect()))
        .collect();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let program = Arguments::command();
    collect_flags(&program, "all", &mut known);
    for command in program.get_subcommands() {
        collect_flags(command, command.get_name(), &mut known);
        // Commands that hold others are named once, by the outer name.
        for inner in command.get_subcommands() {
            collect_flags(inner, command.get_name(), &mut known);
        }
    }
    if listed != known {
        return Err(format!("the page says {listed:#?}, the program {known:#?}").into());
    }
    Ok(())
}

fn collect_flags(command: &clap::Command, name: &str, flags: &mut BTreeMap<String, BTreeSet<String>>) {
    for argument in command.get_arguments().filter_map(|argument| argument.get_long()) {
        flags.entry(format!("--{argument}")).or_default().insert(name.to_owned());
    }
}

fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(", ").map(|word| word.trim_matches('`'))
}

fn the_page_lists_every_exit_code() -> Result<(), Failed> {
    let page = examples::read(PAGE);
    let listed: Vec<u8> = tables(&page, "code").filter_map(|row| row[0].parse().ok()).collect();
    let failures = [
        Exit::Unhealthy,
        Exit::Pending,
        Exit::Usage,
        Exit::Data,
        Exit::Unavailable,
        Exit::Internal,
        Exit::Permission,
        Exit::Configuration,
    ];
    let known: Vec<u8> = [0].into_iter().chain(failures.map(Exit::code)).collect();
    if listed != known {
        return Err(format!("the page says {listed:?}, the program {known:?}").into());
    }
    Ok(())
}

/// The first block is a whole configuration; the others are parts of one. Files that they name do not exist here.
fn examples_on_the_page_are_valid() -> Result<(), Failed> {
    let page = examples::read(PAGE);
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [whole, parts @ ..] = blocks.as_slice() else {
        return Err("no example on the page".into());
    };
    config::load(&sources(whole), Purpose::Kafka)?;
    for part in parts {
        let mut sources = sources(part);
        sources.assignments.push("shop.currency=EUR".to_owned());
        let problems = config::load(&sources, Purpose::Offline).err().map(|error| error.problems());
        for problem in problems.into_iter().flatten() {
            if !problem.contains("cannot read /run/secrets/") {
                return Err(problem.into());
            }
        }
    }
    Ok(())
}

/// Two applications that share no name that they would write under; the inputs are the same.
fn the_rebuild_on_the_page_shares_nothing() -> Result<(), Failed> {
    let page = examples::read("docs/OPERATING.md");
    let block = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let load = |text: &str| {
        let mut sources = sources(text);
        sources.assignments.push("shop.currency=EUR".to_owned());
        config::load(&sources, Purpose::Offline)
    };
    let (first, second) = (load("")?, load(block.ok_or("no example on the page")?)?);
    for (name, of_first, of_second) in [
        ("application", &first.application, &second.application),
        ("state_dir", &first.state_dir.display().to_string(), &second.state_dir.display().to_string()),
        ("http.listen", &first.http.listen.to_string(), &second.http.listen.to_string()),
    ] {
        if of_first == of_second {
            return Err(format!("both have {name} = {of_first}").into());
        }
    }
    for output in Output::ALWAYS {
        if first.topics.outputs[output] == second.topics.outputs[output] {
            return Err(format!("both write to {}", first.topics.outputs[output]).into());
        }
    }
    if first.topics.inputs != second.topics.inputs {
        return Err("they read other inputs".into());
    }
    Ok(())
}

/// What the lists name exists in the client that is built in, so that each name is accepted or refused for its reason.
fn the_client_knows_every_option() -> Result<(), Failed> {
    // A value that each option takes is not known here; the client tells an unknown name from a wrong value.
    let refused = REFUSED_OPTIONS.iter().flat_map(|(names, _)| names.iter().copied());
    for name in accepted_options().chain(refused) {
        let mut config = ClientConfig::new();
        config.set(name, "\u{1}");
        let told = config.create_native_config().err().map(|error| error.to_string());
        if told.is_some_and(|message| message.contains("No such configuration property")) {
            return Err(format!("the client does not know {name}").into());
        }
    }
    Ok(())
}

fn sources(text: &str) -> Sources {
    Sources { file_text: Some(text.to_owned()), host_name: Some("host".to_owned()), ..Sources::default() }
}

/// The rows of the tables whose first column has this title, cell by cell.
fn tables<'p>(page: &'p str, title: &'p str) -> impl Iterator<Item = Vec<&'p str>> {
    let mut is_inside = false;
    page.lines()
        .filter_map(move |line| {
            let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
            let cells: Vec<&str> = cells.split(" | ").collect();
            Some(cells)
        })
        .filter(move |cells| {
            let is_header = !cells[0].contains('`') && !cells[0].starts_with(|c: char| c.is_ascii_digit());
            if is_header {
                is_inside = cells[0] == title;
            }
            is_inside && !is_header
        })
}

fn code_words(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
