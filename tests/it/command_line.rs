//! The program as it is started: exit codes, and what stands on standard output and standard error.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use libtest_mimic::{Failed, Trial};
use prometheus::Registry;
use retention_signals::config::{HttpSettings, Secret};
use retention_signals::observe::http::{About, HttpContext, HttpServer};
use retention_signals::observe::metrics::{Metrics, Vocabulary};
use retention_signals::observe::status::{ServiceStatus, WorkerStatus};
use retention_signals::stream::query::{CommittedPosition, CustomerReply, QueryRouter};
use tokio::runtime::Runtime;

use crate::examples;
use retention_signals::topic::Partition;

const BINARY: &str = env!("CARGO_BIN_EXE_retention-signals");

const TOKEN: &str = "correct-horse-battery-staple";

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("command_line::exit_codes_tell_what_is_wrong", exit_codes_tell_what_is_wrong),
        Trial::test(
            "command_line::a_service_that_cannot_start_says_so_in_its_format",
            a_service_that_cannot_start_says_so_in_its_format,
        ),
        Trial::test(
            "command_line::check_shows_settings_without_secrets",
            check_shows_settings_without_secrets,
        ),
        Trial::test(
            "command_line::explain_tells_of_a_customer_in_words",
            explain_tells_of_a_customer_in_words,
        ),
        Trial::test("command_line::explain_says_why_it_cannot", explain_says_why_it_cannot),
        Trial::test("command_line::shells_complete_commands", shells_complete_commands),
        Trial::test("command_line::every_command_has_a_manual_page", every_command_has_a_manual_page),
        Trial::test("command_line::healthcheck_asks_a_probe", healthcheck_asks_a_probe),
    ]
}

fn exit_codes_tell_what_is_wrong() -> Result<(), Failed> {
    for (arguments, code, told) in [
        (&["--version"][..], 0, ""),
        (&["--help"], 0, ""),
        (&["help", "check"], 0, ""),
        (&[], 64, "error: a command is missing; --help lists them\n"),
        (&["chekc"], 64, "error: unrecognized subcommand 'chekc'\n"),
        (
            &["check"],
            78,
            "error: the configuration cannot be used, 2 problems:\n  \
             shop.currency: is not set; give the ISO 4217 code of the currency that figures are kept in, such as \"EUR\"\n  \
             kafka.bootstrap.servers: is not set; give the brokers to ask first, such as \"localhost:9092\"\n",
        ),
        (
            &["check", "--config", "/nowhere/shop.toml"],
            78,
            "error: cannot read the configuration file /nowhere/shop.toml: No such file or directory (os error 2)\n",
        ),
    ] {
        let output = run(arguments, &[])?;
        let stderr = String::from_utf8(output.stderr)?;
        if output.status.code() != Some(code) || !stderr.starts_with(told) || (code == 0) != stderr.is_empty()
        {
            return Err(format!("{arguments:?} ended with {:?}, saying {stderr}", output.status).into());
        }
    }
    Ok(())
}

/// The last error of the service is a line of its log; nothing is there yet that could have set it up.
fn a_service_that_cannot_start_says_so_in_its_format() -> Result<(), Failed> {
    for (arguments, environment) in [
        (&["run", "--log-format", "json"][..], &[][..]),
        (&["run"], &[]),
        (&["run"], &[("RETENTION_LOG__FORMAT", "json"), ("RETENTION_CONFIG", "/nowhere/shop.toml")]),
    ] {
        let output = run(arguments, environment)?;
        let stderr = String::from_utf8(output.stderr)?;
        let line: serde_json::Value = serde_json::from_str(&stderr).map_err(|_| stderr.clone())?;
        let message = line["message"].as_str().unwrap_or_default();
        let is_told =
            message.contains("the configuration cannot be used") || message.contains("/nowhere/shop.toml");
        if output.status.code() != Some(78) || line["exit_code"] != 78 || line["level"] != "ERROR" || !is_told
        {
            return Err(format!("{arguments:?}: {:?} {stderr}", output.status).into());
        }
    }
    let output = run(&["run", "--log-format", "text"], &[])?;
    let stderr = String::from_utf8(output.stderr)?;
    if !stderr.starts_with("error: the configuration cannot be used, 2 problems:\n") {
        return Err(stderr.into());
    }
    Ok(())
}

fn check_shows_settings_without_secrets() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("shop.toml");
    std::fs::write(&config, "shop.currency = \"EUR\"\n[commit]\ninterval = \"50ms\"\n")?;
    let environment = [
        ("RETENTION_CONFIG", config.to_str().ok_or("a temporary folder in UTF-8")?),
        ("RETENTION_KAFKA__BOOTSTRAP_SERVERS", "broker:9092"),
        ("RETENTION_KAFKA__SASL_PASSWORD", "hunter2"),
    ];
    let output = run(&["check", "--show", "--log-level", "debug"], &environment)?;
    let stdout = String::from_utf8(output.stdout)?;
    for line in [
        "  commit.interval = 50ms  (line 3)\n",
        "  commit.patience = 30s  (default)\n",
        "  log.level = debug  (--set)\n",
        "  kafka.bootstrap.servers = broker:9092  (RETENTION_KAFKA__BOOTSTRAP_SERVERS)\n",
        "  kafka.sasl.password = (redacted)  (RETENTION_KAFKA__SASL_PASSWORD)\n",
    ] {
        if !stdout.contains(line) {
            return Err(format!("{line:?} is missing in\n{stdout}").into());
        }
    }
    let stderr = String::from_utf8(output.stderr)?;
    if stdout.contains("hunter2") || stderr.contains("hunter2") {
        return Err("the secret is printed".into());
    }
    Ok(())
}

fn explain_tells_of_a_customer_in_words() -> Result<(), Failed> {
    let server = Server::start()?;
    let output = explain(&server, &["c-1042"], true)?;
    let expected = "\
customer c-1042, partition 3, batch 812, clock 2025-09-25T12:15:00.000Z, caught up

active (established) since the last kept order, 2025-09-25T12:15:00.000Z
  at_risk from 2026-01-09T09:51:00.000Z, unless an order comes
  4 purchase days, 87.666667 days apart on average; the next order is expected after 70.6 days
  customer type repeat
";
    let stdout = String::from_utf8(output.stdout)?;
    if !output.status.success() || !stdout.starts_with(expected) {
        return Err(
            format!("{:?}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr)).into()
        );
    }
    let all_time: Vec<&str> = stdout
        .lines()
        .find(|line| line.starts_with("all time"))
        .ok_or("no figures")?
        .split_whitespace()
        .collect();
    if all_time != ["all", "time", "4", "4", "1", "196.70", "10.00", "0.00", "186.70", "46.68"] {
        return Err(format!("figures are {all_time:?}").into());
    }
    let output = explain(&server, &["explained"], true)?;
    let stdout = String::from_utf8(output.stdout)?;
    // A service keeps hashes of ids only.
    let expected = "
records
  2025-01-05T09:30:00.000Z  808e1f6a90c54c3a            42.00 EUR  kept
  2025-02-04T18:15:00.000Z  a7198d93c0444161            68.50 EUR  kept
  days between purchase days: 30

policy cadence (061b0c09a13fbdca)
  expected gap (30 + 2 · 45) / (1 + 2) = 40 days; at risk × 1.5 = 60 days; lapsed × 3 = 120 days
  after the last kept order, 2025-02-04T18:15:00.000Z: at risk from 2025-04-05T18:15:00.000Z, lapsed from 2025-06-04T18:15:00.000Z
emitted so far: state at_risk, open at_risk 21af7a2c108a72d53fe561b9c86da51c
  (signals themselves are not kept: they lie in the topic of signals)

if no record comes
  2025-06-04T18:15:00.000Z  lapsed
";
    if !stdout.ends_with(expected) {
        return Err(stdout.into());
    }
    let output = explain(&server, &["c-1042", "--json"], true)?;
    let body: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    if body["customer"]["customer_id"] != "c-1042" || body["batch"] != 812 {
        return Err(format!("{body}").into());
    }
    Ok(())
}

fn explain_says_why_it_cannot() -> Result<(), Failed> {
    let server = Server::start()?;
    for (customer, with_token, code, told) in [
        ("c-1042", false, 77, "the instance wants its token; set http.token_file to the same file"),
        (
            "nobody at/all?",
            true,
            65,
            "no customer \"nobody at/all?\" (partition 3); keys are compared as they stand in the records",
        ),
        ("elsewhere", true, 69, "another instance owns partition 7; ask that one with --address"),
        ("restoring", true, 69, "the instance answered 503: the partition is being restored"),
    ] {
        let output = explain(&server, &[customer], with_token)?;
        let stderr = String::from_utf8(output.stderr)?;
        if output.status.code() != Some(code) || stderr != format!("error: {told}\n") {
            return Err(format!("{customer}: {:?} {stderr}", output.status).into());
        }
    }
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let output = run(&["explain", "c1", "--address", &free.to_string()], &[])?;
    let stderr = String::from_utf8(output.stderr)?;
    if output.status.code() != Some(69) || !stderr.starts_with(&format!("error: no answer from {free}: ")) {
        return Err(format!("{:?} {stderr}", output.status).into());
    }
    Ok(())
}

fn shells_complete_commands() -> Result<(), Failed> {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell], &[])?;
        let script = String::from_utf8(output.stdout)?;
        for word in ["topics", "replay", "erase", "requested-at"] {
            if !output.status.success() || !script.contains(word) {
                return Err(format!("{shell}: {word} is not completed:\n{script}").into());
            }
        }
    }
    Ok(())
}

fn every_command_has_a_manual_page() -> Result<(), Failed> {
    let output = run(&["man"], &[])?;
    let page = String::from_utf8(output.stdout)?;
    for text in [".TH retention", "Exit codes:", "retention\\-signals\\-run(1)"] {
        if !page.contains(text) {
            return Err(format!("{text:?} is not in\n{page}").into());
        }
    }
    let folder = tempfile::tempdir()?;
    let pages = folder.path().join("share/man1");
    let output = run(&["man", "--out", pages.to_str().ok_or("a temporary folder in UTF-8")?], &[])?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    for name in ["", "-run", "-topics-apply", "-replay", "-erase", "-man"] {
        let page = std::fs::read_to_string(pages.join(format!("retention-signals{name}.1")))?;
        if !page.contains("Exit codes:") {
            return Err(format!("{name}: no exit codes in\n{page}").into());
        }
    }
    Ok(())
}

fn healthcheck_asks_a_probe() -> Result<(), Failed> {
    let server = Server::start()?;
    let address = server.address.to_string();
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let listen = ["healthcheck", "--listen", &address];
    let ready = ["healthcheck", "--listen", &address, "--ready"];
    let by_setting = ["healthcheck", "--set", &format!("http.listen={address}")];
    let nowhere = ["healthcheck", "--listen", &free];
    for (arguments, code, told) in [
        (&listen[..], 0, "ok"),
        (&by_setting, 0, "ok"),
        (&ready, 1, "/readyz answers 503: worker 0 has not joined the group yet"),
        (&nowhere, 1, "/livez: "),
    ] {
        let output = run(arguments, &[])?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said)?;
        if output.status.code() != Some(code) || !said.contains(told) {
            return Err(format!("{arguments:?}: {:?} {said}", output.status).into());
        }
    }
    Ok(())
}

/// Runs the program with no other settings than these.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> std::io::Result<Output> {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RETENTION_"))
    {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).output()
}

fn explain(server: &Server, arguments: &[&str], with_token: bool) -> Result<Output, Failed> {
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    std::fs::write(&token, format!("{TOKEN}\n"))?;
    let address = server.address.to_string();
    let arguments = [&["explain", "--address", &address], arguments].concat();
    let token = token.to_str().ok_or("a temporary folder in UTF-8")?;
    let environment: &[_] = if with_token { &[("RETENTION_HTTP__TOKEN_FILE", token)] } else { &[] };
    Ok(run(&arguments, environment)?)
}

/// The HTTP server of the service; a thread stands in for the worker.
struct Server {
    address: SocketAddr,
    /// A worker that drops its own has ended.
    _pens: Vec<WorkerStatus>,
    _runtime: Runtime,
}

impl Server {
    fn start() -> Result<Self, Failed> {
        let vocabulary = Vocabulary { version: "0", revision: "0", currencies: Vec::new() };
        let metrics = Arc::new(Metrics::new(&Registry::new(), &vocabulary)?);
        let (status, pens) = ServiceStatus::new(1, Instant::now());
        let (queries, mut questions) = QueryRouter::new(1);
        let questions = questions.remove(0);
        thread::spawn(move || {
            questions.iter().for_each(|question| {
                let reply = reply_to(&question.key);
                question.answer(reply);
            })
        });
        let about = About { application: "shop".to_owned(), instance: "one".to_owned(), version: "0" };
        let context = HttpContext { metrics, status, queries, about };
        let settings = HttpSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: Some(Secret::new(TOKEN.as_bytes())),
        };
        let runtime = Runtime::new()?;
        let server = runtime.block_on(HttpServer::bind(&settings))?;
        let address = server.address();
        runtime.spawn(server.serve(context, std::future::pending()));
        Ok(Self { address, _pens: pens, _runtime: runtime })
    }
}

fn reply_to(key: &str) -> CustomerReply {
    let position = CommittedPosition {
        partition: Partition(3),
        batch: 812,
        clock_ms: Some(1_758_802_500_000),
        ..CommittedPosition::default()
    };
    match key {
        "c-1042" => {
            let profile = examples::read("schemas/examples/customers/valid/active.json").into_bytes();
            CustomerReply::Found { profile, explained: None, position }
        }
        "explained" => {
            let (profile, explained) = crate::explain::ida("2025-04-06T00:00:00Z");
            CustomerReply::Found { profile, explained: Some(Box::new(explained)), position }
        }
        "elsewhere" => CustomerReply::NotOwned { partition: Partition(7) },
        "restoring" => CustomerReply::Restoring { partition: Partition(3) },
        _ => CustomerReply::NotFound(position),
    }
}
