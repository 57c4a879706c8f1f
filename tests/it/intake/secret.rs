//! The secret of hashed identities on a real Kafka: another one is noticed before any customer becomes a new one.

use std::fs;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;

use super::raw::RawShop;
use crate::kafka::{self, KafkaNode, Record};
use crate::live::PATIENCE;
use crate::service::{ServiceProcess, run_command};

const MAP: &str = "
name = \"hashed\"
about = \"Customers by their address, for trials\"
[input]
format = \"json\"
program = '''
{event: \"order\"} + .value | .customer_id = (.customer_id | hashed)
'''
";

pub fn trials() -> Vec<Trial> {
    vec![kafka::on_shared_node("intake::another_secret_is_noticed", another_secret)]
}

/// `intake` does not start with another secret, and `check` says why; told to, it goes on and remembers the new one.
fn another_secret(node: &KafkaNode) -> Result<()> {
    let shop = RawShop::open(node, 1, 2)?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("hashed.toml"), MAP)?;
    fs::write(path("old"), "0123456789abcdef-old")?;
    fs::write(path("new"), "0123456789abcdef-new")?;
    let settings = |secret: &str| {
        let map = path("hashed.toml");
        shop.settings_with_map("one", &map).set(&["intake", "secret_file"], path(secret))
    };
    let append = |number: usize| {
        let order = json!({"value": {
            "order_id": format!("o{number}"), "customer_id": "ida@example.org", "placed_at": 1_714_521_600_000_i64, "currency": "GBP",
            "total": "5.00",
        }});
        shop.native.client().produce(&shop.topic, [Record::json(number.to_string(), &order)]).map(drop)
    };
    append(1)?;
    let pass_on = |secret: &str, arguments: &[&str]| -> Result<()> {
        let intake = ServiceProcess::start_command(&settings(secret), arguments)?;
        shop.wait_until_passed_on(&[&intake])?;
        intake.terminate(PATIENCE)?.expect_clean();
        Ok(())
    };
    pass_on("old", &["intake", "--from-beginning"])?;
    run_command(&settings("old"), &["check"], PATIENCE)?.expect_code(0);

    append(2)?;
    let exit = ServiceProcess::start_command(&settings("new"), &["intake"])?.wait_for_end(PATIENCE)?;
    exit.expect_code(78);
    ensure!(
        exit.stderr.contains("another secret") && exit.stderr.contains("--accept-new-secret"),
        "{}",
        exit.stderr
    );
    let check = run_command(&settings("new"), &["check"], PATIENCE)?;
    check.expect_code(78);
    ensure!(check.stderr.contains("intake.sources.shop: customers of"), "{}", check.stderr);
    for text in [&exit.stderr, &check.stderr] {
        ensure!(!text.contains("0123456789abcdef"), "a secret is printed: {text}");
    }

    pass_on("new", &["intake", "--accept-new-secret"])?;
    append(3)?;
    pass_on("new", &["intake"])?;
    run_command(&settings("new"), &["check"], PATIENCE)?.expect_code(0);
    let orders = shop.native.client().read_committed(shop.native.orders_name())?;
    let customers: Vec<String> =
        orders.iter().map(|record| record.value_json()["customer_id"].to_string()).collect();
    ensure!(
        customers.len() == 3 && customers[0] != customers[1] && customers[1] == customers[2],
        "{customers:?}"
    );
    Ok(())
}
