//! Brokers that ask who comes: wrong credentials, a right that was never given, and one that is taken away under a running service.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use super::PATIENCE;
use super::fleet::hurried;
use super::workload::{Workload, record};
use crate::kafka::{self, KafkaNode, NodeSettings, free_port};
use crate::live::shop::Shop;
use crate::service::{ServiceProcess, ServiceSettings};

pub fn trials() -> Vec<Trial> {
    vec![kafka::on_own_node("kills::missing_permissions_stop", missing_permissions)]
}

fn missing_permissions() -> Result<()> {
    let port = free_port()?;
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required user_service=\"right\";";
    let node = KafkaNode::start_with(
        NodeSettings { sasl_port: Some(port), ..NodeSettings::default() }
            .set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .set("super.users", "User:ANONYMOUS")
            .set("sasl.enabled.mechanisms", "PLAIN")
            .set("listener.name.sasl.plain.sasl.jaas.config", users),
    )?;
    let shop = Shop::open(&node, 1)?;
    let workload = Workload::orders_only(0x5eed_04b0, 300);
    let (first, rest) = workload.history.orders.split_at(workload.history.orders.len() / 2);
    shop.client().produce(shop.orders_name(), first.iter().map(record))?;
    let folder = tempfile::tempdir()?;
    let log_in = |password: &str| -> Result<ServiceSettings> {
        let file = folder.path().join(password);
        std::fs::write(&file, password)?;
        Ok(hurried(shop.live_settings("one"))
            .set(&["clock", "at_end"], "stay")
            .set(&["kafka", "bootstrap.servers"], format!("127.0.0.1:{port}"))
            .set(&["kafka", "security.protocol"], "sasl_plaintext")
            .set(&["kafka", "sasl.mechanism"], "PLAIN")
            .set(&["kafka", "sasl.username"], "service")
            .set(&["kafka", "sasl.password.file"], file.display().to_string()))
    };
    let refuse = |password: &str| -> Result<()> {
        ServiceProcess::start(&log_in(password)?)?.wait_for_end(PATIENCE)?.expect_code(77);
        Ok(())
    };
    refuse("wrong")?;
    refuse("right")?;

    let acl = |who: &str, operations: &[&str], resources: &[&str]| {
        let mut arguments = vec!["--add", who, "User:service"];
        arguments.extend(operations.iter().flat_map(|&operation| ["--operation", operation]));
        arguments.extend(resources);
        node.tool("org.apache.kafka.tools.AclCommand", &arguments)
    };
    let everything = ["--resource-pattern-type", "prefixed", "--topic", &shop.application];
    acl("--allow-principal", &["All"], &everything)?;
    acl(
        "--allow-principal",
        &["All"],
        &["--resource-pattern-type", "prefixed", "--group", &shop.application],
    )?;
    acl(
        "--allow-principal",
        &["All"],
        &["--resource-pattern-type", "prefixed", "--transactional-id", &shop.application],
    )?;
    let service = ServiceProcess::start(&log_in("right")?)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    let signals = shop.signals()?.len();
    ensure!(signals > 0, "it works with all rights");

    acl("--deny-principal", &["Write"], &["--topic", shop.signals_name()])?;
    shop.client().produce(shop.orders_name(), rest.iter().map(record))?;
    let stopped = service.wait_for_end(PATIENCE)?;
    stopped.expect_code(77);
    // Nothing of the batch that could not be written whole is to be seen.
    ensure!(shop.signals()?.len() == signals, "signals without a permission");
    Ok(())
}
