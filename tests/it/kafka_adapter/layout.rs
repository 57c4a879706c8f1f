//! Topics and permissions: what is looked at before a start, what `check` says, what `topics` creates.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use libtest_mimic::Trial;
use retention_signals::exit::{Exit, Failure};
use retention_signals::kafka::{CustomerBytes, KafkaSettings, TopicPlan, check, examine};
use retention_signals::topic::{Input, Output, Topic};

use super::{PATIENCE, Shop, settings};
use crate::kafka::{self, Client, KafkaNode, NodeSettings, free_port};

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("kafka_adapter::topics_are_planned_created_and_checked", topics_are_created),
        kafka::on_shared_node("kafka_adapter::a_wrong_layout_stops_with_what_to_do", wrong_layout_stops),
        kafka::on_shared_node("kafka_adapter::what_hurts_later_is_noted", what_hurts_later),
        kafka::on_own_node("kafka_adapter::log_ins_that_do_not_fit_are_explained", log_ins_are_explained),
        Trial::test("kafka_adapter::a_check_without_brokers_is_over_with_the_patience", || Ok(no_brokers()?)),
    ]
}

/// The steps that passed, without notes, and how it ended.
pub(super) fn run_check(
    settings: &Arc<KafkaSettings>,
    patience: Duration,
) -> (Vec<String>, Result<(), Failure>) {
    run_check_of(settings, patience, CustomerBytes { orders_max: 1_000, record_bytes_max: 80_000 })
}

fn run_check_of(
    settings: &Arc<KafkaSettings>,
    patience: Duration,
    customers: CustomerBytes,
) -> (Vec<String>, Result<(), Failure>) {
    let (mut steps, mut notes) = (Vec::new(), Vec::new());
    let ended = check(settings, patience, customers, |step, found| {
        if step == "note" {
            notes.push(found.to_owned())
        } else {
            steps.push(step.to_owned())
        }
        Ok(())
    });
    println!("notes: {notes:#?}");
    (steps, ended.map(drop))
}

fn done<T>(outcome: Result<T, Failure>) -> Result<T> {
    outcome.map_err(|failure| anyhow!("{failure}"))
}

pub(super) fn expect_failure<T>(outcome: Result<T, Failure>, exit: Exit, said: &[&str]) -> Result<()> {
    let Err(failure) = outcome else { bail!("no failure; {said:?} was expected") };
    let message = failure.to_string();
    assert_eq!(failure.exit, exit, "{message}");
    for part in said {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    Ok(())
}

fn topics_are_created(node: &KafkaNode) -> Result<()> {
    let shop = Shop::imagine(node.client())?;
    let settings = &shop.settings;
    let orders = shop.name(Topic::Input(Input::Orders));
    expect_failure(examine(settings, PATIENCE), Exit::Configuration, &[orders, "topics apply"])?;
    node.client().create_topic(orders, 3, &[])?;

    let plan = done(TopicPlan::make(Arc::clone(settings), PATIENCE, None, None))?;
    let lines = plan.lines();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.starts_with("create  ") && line.contains(": 3 partitions")),
        "{lines:?}"
    );
    done(plan.apply())?;
    done(plan.verdict())?;
    let layout = done(examine(settings, PATIENCE))?;
    assert_eq!((layout.partitions, layout.message_bytes_max), (3, 1_048_588));
    let (steps, ended) = run_check(settings, PATIENCE);
    done(ended)?;
    assert_eq!(steps, ["brokers", "topics", "settings", "permissions"]);
    let large = CustomerBytes { orders_max: 20_000, record_bytes_max: 2_000_000 };
    let (steps, ended) = run_check_of(settings, PATIENCE, large);
    assert_eq!(steps, ["brokers", "topics"]);
    expect_failure(
        ended,
        Exit::Configuration,
        &["records.max_orders=20000", "1048588", "max.message.bytes"],
    )?;
    let again = done(TopicPlan::make(Arc::clone(settings), PATIENCE, None, None))?;
    assert!(!again.has_work());
    let lines = again.lines();
    assert!(
        lines.len() == 1 && lines[0].starts_with("note    one copy only (replication factor 1) of "),
        "{lines:?}"
    );
    Ok(())
}

/// Inputs that lose records, later.
fn what_hurts_later(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let shop = Shop::imagine(client)?;
    let [orders, returns, erasures] = Input::ALL.map(|input| shop.name(Topic::Input(input)));
    client.create_topic(orders, 1, &[("retention.ms", "60000")])?;
    client.create_topic(returns, 1, &[("cleanup.policy", "compact")])?;
    client.create_topic(erasures, 1, &[("retention.ms", "-1")])?;
    let plan = done(TopicPlan::make(Arc::clone(&shop.settings), PATIENCE, None, None))?;
    done(plan.apply())?;
    let plan = done(TopicPlan::make(Arc::clone(&shop.settings), PATIENCE, None, None))?;
    let lines = plan.lines();
    let note = |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(note(&[orders, "for 1m only (retention.ms=60000)"]), "{lines:#?}");
    assert!(note(&[returns, "cleanup.policy=compact", "set it to delete"]), "{lines:#?}");
    assert!(!note(&[erasures, "keeps its records"]), "{lines:#?}");
    assert!(note(&["one copy only"]) && lines.len() == 3, "{lines:#?}");
    assert!(!plan.has_work(), "these are remarks");
    done(run_check(&shop.settings, PATIENCE).1)
}

fn wrong_layout_stops(node: &KafkaNode) -> Result<()> {
    let client = node.client();
    let shop = Shop::imagine(client)?;
    let settings = &shop.settings;
    let changelog = shop.name(Topic::Output(Output::Changelog));
    let signals = shop.name(Topic::Output(Output::Signals));
    for topic in Topic::all() {
        let (partitions, options): (_, &[(&str, &str)]) = match topic {
            Topic::Output(Output::Changelog) => (3, &[("cleanup.policy", "compact,delete")]),
            Topic::Output(Output::Signals) => (2, &[("max.message.bytes", "1000")]),
            Topic::Output(Output::Customers) => (2, &[("cleanup.policy", "compact")]),
            Topic::Input(_)
            | Topic::Output(Output::DeadLetters | Output::Shares | Output::ShopMetrics)
            | Topic::Registry => (2, &[]),
        };
        client.create_topic(shop.name(topic), partitions, options)?;
    }
    expect_failure(
        examine(settings, PATIENCE),
        Exit::Configuration,
        &[changelog, "has 3", "has 2 partitions"],
    )?;
    let plan = done(TopicPlan::make(Arc::clone(settings), PATIENCE, None, None))?;
    assert_eq!(
        plan.lines().iter().filter(|line| line.starts_with("wrong   ")).count(),
        3,
        "{:?}",
        plan.lines()
    );
    expect_failure(plan.verdict(), Exit::Configuration, &[changelog, signals])?;

    client.delete_topic(changelog)?;
    while client.partition_count(changelog).is_ok() {}
    client.create_topic(changelog, 2, &[("cleanup.policy", "compact,delete")])?;
    let said = [changelog, "cleanup.policy=compact,delete", signals, "1000 bytes", "65536"];
    expect_failure(examine(settings, PATIENCE), Exit::Configuration, &said)?;
    let (steps, ended) = run_check(settings, PATIENCE);
    assert_eq!(steps, ["brokers", "topics"]);
    expect_failure(ended, Exit::Configuration, &[changelog])
}

/// What the brokers say of a log-in; `access` tries rights.
fn log_ins_are_explained() -> Result<()> {
    let port = free_port()?;
    let node = node_with_log_in(port)?;
    let anonymous = Shop::create(node.client(), 2)?;
    let outside = Client::new(&format!("127.0.0.1:{port}"));
    let folder = tempfile::tempdir()?;
    let log_in = |password: &str| {
        let file = folder.path().join(password);
        std::fs::write(&file, password)?;
        let password = format!("kafka.sasl.password.file={}", file.display());
        let lines = [
            "kafka.security.protocol=sasl_plaintext",
            "kafka.sasl.mechanism=PLAIN",
            "kafka.sasl.username=service",
        ];
        settings(&outside, &anonymous.group, "one", &[&lines[..], &[password.as_str()]].concat())
            .map(Arc::new)
    };
    let patience = Duration::from_secs(20);
    let wrong = log_in("wrong")?;
    let said = ["do not let user service in", "kafka.sasl.username", "Authentication"];
    expect_failure(run_check(&wrong, patience).1, Exit::Permission, &said)?;
    expect_failure(examine(&wrong, patience), Exit::Permission, &[])?;
    wrong_log_ins(node.client(), &outside, &anonymous.group)?;

    let settings = log_in("right")?;
    let orders = anonymous.name(Topic::Input(Input::Orders));
    let grant = format!(
        "\n  Read on topic {orders}: kafka-acls.sh --bootstrap-server {}",
        outside.bootstrap_servers()
    );
    expect_failure(examine(&settings, patience), Exit::Permission, &["User:service lacks rights", &grant])
}

/// A node with ACLs, and a user who may do nothing yet.
fn node_with_log_in(port: u16) -> Result<KafkaNode> {
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required user_service=\"right\";";
    KafkaNode::start_with(
        NodeSettings { sasl_port: Some(port), ..NodeSettings::default() }
            .set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .set("super.users", "User:ANONYMOUS")
            .set("sasl.enabled.mechanisms", "PLAIN")
            .set("listener.name.sasl.plain.sasl.jaas.config", users),
    )
}

/// A log-in where there is none, none where there must be one, and one of another kind.
fn wrong_log_ins(without: &Client, with: &Client, group: &str) -> Result<()> {
    let log_in = |protocol: &str, mechanism: &str| {
        [
            format!("kafka.security.protocol={protocol}"),
            format!("kafka.sasl.mechanism={mechanism}"),
            "kafka.sasl.username=service".to_owned(),
        ]
    };
    let folder = tempfile::tempdir()?;
    let password = folder.path().join("password");
    std::fs::write(&password, "right")?;
    let password = format!("kafka.sasl.password.file={}", password.display());
    let check = |client: &Client, lines: &[String], said: &str| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let settings = Arc::new(settings(client, group, "one", &lines)?);
        expect_failure(run_check(&settings, Duration::ZERO).1, Exit::Configuration, &[said])
    };
    let complete =
        |protocol, mechanism| [&log_in(protocol, mechanism)[..], std::slice::from_ref(&password)].concat();
    check(without, &complete("sasl_plaintext", "PLAIN"), "takes no log-in (SASL)")?;
    check(with, &[], "wants a log-in (SASL by PLAIN)")?;
    check(with, &complete("sasl_plaintext", "SCRAM-SHA-256"), "kafka.sasl.mechanism is SCRAM-SHA-256")?;
    check(with, &complete("sasl_ssl", "PLAIN"), "speaks plain text")?;
    check(with, &log_in("sasl_plaintext", "PLAIN"), "RETENTION_KAFKA__SASL_PASSWORD")
}

fn no_brokers() -> Result<()> {
    let nowhere = Client::new(&format!("127.0.0.1:{}", free_port()?));
    let shop = Shop::imagine(&nowhere)?;
    let (steps, ended) = run_check(&shop.settings, Duration::ZERO);
    assert_eq!(steps, [""; 0]);
    expect_failure(
        ended,
        Exit::Unavailable,
        &["cannot reach Kafka at", "connection refused", "(tried for 0 s)"],
    )
}
