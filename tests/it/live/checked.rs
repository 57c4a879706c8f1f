//! `check` and `topics plan` on what a service has left: state that fits, another application's, and a changelog that was made anew.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;

use super::PATIENCE;
use super::shop::Shop;
use crate::kafka::{self, KafkaNode};
use crate::service::{ServiceProcess, ServiceSettings, run_command};

pub fn trials() -> Vec<Trial> {
    vec![kafka::on_shared_node("live::a_check_looks_at_the_state", state_is_looked_at)]
}

fn state_is_looked_at(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let settings = shop.live_settings("one");
    expect(&settings, &["check"], 0, "state          ok: in 0 of 2 partitions")?;
    let order = |n: u32| json!({"order_id": format!("o{n}"), "customer_id": format!("c{n}"), "placed_at": "2024-06-01T00:00:00Z", "currency": "GBP", "total": "5.00"});
    shop.append_orders(&(0..20).map(order).collect::<Vec<_>>())?;
    let service = ServiceProcess::start(&settings)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_committed(&service, PATIENCE)?;
    expect(&settings, &["check"], 0, "state          ok: in 2 of 2 partitions")?;
    service.terminate(PATIENCE)?.expect_clean();
    expect(&settings, &["topics", "plan"], 0, "one copy only")?;
    let abroad = settings.clone().set(&["shop", "currency"], "USD");
    expect(&abroad, &["check"], 78, "partitions 0, 1: state is kept in GBP, but the shop's currency is USD")?;
    let other = settings.clone().set(&["application"], format!("{}-other", shop.application));
    expect(&other, &["check"], 78, "erasure.secret_file or application changed")?;

    let changelog = shop.changelog_name();
    shop.client().delete_topic(changelog)?;
    while shop.client().partition_count(changelog).is_ok() {}
    shop.client().create_topic(changelog, 2, &[("cleanup.policy", "compact")])?;
    let fault = "partitions 0, 1: the group has offsets, but the changelog holds no state";
    expect(&settings, &["check"], 78, fault)?;
    expect(&settings, &["topics", "plan"], 2, &format!("wrong   {fault}"))
}

fn expect(settings: &ServiceSettings, arguments: &[&str], code: i32, said: &str) -> Result<()> {
    let exit = run_command(settings, arguments, PATIENCE)?;
    exit.expect_code(code);
    let text = exit.stdout + &exit.stderr;
    ensure!(text.contains(said), "{arguments:?} does not say {said:?}:\n{text}");
    Ok(())
}
