//! The service on a real Kafka: history in, signals and profiles out, each exactly once, whatever happens to the processes.

mod checked;
mod clock;
mod cuts;
mod faults;
pub mod history;
mod intake;
mod loading;
mod models;
mod outage;
mod poison;
mod rules;
mod segments;
mod shares;
pub mod shop;
mod snapshots;

use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::{Completion, Trial};

use crate::kafka::{self, KafkaNode};
use crate::oracle::online_retail;
use crate::service::{ServiceProcess, ServiceSettings};
use history::History;
use shop::Shop;

const ONLINE_RETAIL: &str = "live::online_retail_with_a_restart";
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        kafka::on_shared_node("live::history_loaded_before_the_start", history_loaded_before_the_start),
        kafka::on_shared_node("live::two_instances_and_a_restart", two_instances_and_a_restart),
        kafka::on_shared_node("live::a_killed_instance_is_taken_over", a_killed_instance_is_taken_over),
        kafka::on_shared_node("live::partitions_move_while_records_come", partitions_move_while_records_come),
    ];
    trials.push(match online_retail::path() {
        Ok(_) => kafka::on_shared_node(ONLINE_RETAIL, online_retail_with_a_restart),
        Err(missing) => Trial::ignorable_test(ONLINE_RETAIL, move || Ok(Completion::ignored_with(missing))),
    });
    trials.extend(checked::trials());
    trials.extend(clock::trials());
    trials.extend(cuts::trials());
    trials.extend(faults::trials());
    trials.extend(intake::trials());
    trials.extend(loading::trials());
    trials.extend(models::trials());
    trials.extend(segments::trials());
    trials.extend(rules::trials());
    trials.extend(outage::trials());
    trials.extend(poison::trials());
    trials.extend(shares::trials());
    trials.extend(snapshots::trials());
    trials
}

/// All orders, then all returns, as a bulk load leaves them; the merge brings them into the order of life.
fn history_loaded_before_the_start(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 3)?;
    let history = history::random(0x5eed_0001, 60, 400);
    shop.load(&history)?;
    let service = shop.start("one", history.end)?;
    service.wait_until_ready(PATIENCE)?;
    shop.wait_until_idle(&[&service], PATIENCE)?;
    ensure!(shop.group_members()? == 1, "one instance, one member");
    service.terminate(PATIENCE)?.expect_clean();
    ensure!(shop.group_members()? == 0, "SIGTERM leaves the group");
    shop.check(&history)
}

/// One of two instances stops and starts again in the middle; the published records do not show it.
fn two_instances_and_a_restart(node: &KafkaNode) -> Result<()> {
    stop_one_of_two(&Shop::open(node, 4)?, &history::random(0x5eed_0002, 600, 400))
}

fn stop_one_of_two(shop: &Shop, history: &History) -> Result<()> {
    shop.load(history)?;
    let settings = |instance| slow(shop.settings(instance, history.end));
    let one = ServiceProcess::start(&settings("one"))?;
    let two = ServiceProcess::start(&settings("two"))?;
    one.wait_until_ready(PATIENCE)?;
    // The other may have got all partitions first, and read them to their ends.
    one.wait_until("busy, or the other", PATIENCE, |one| Ok(is_busy(one)? || is_busy(&two)?))?;
    note_where("restarted", shop)?;
    one.terminate(PATIENCE)?.expect_clean();
    let one = ServiceProcess::start(&settings("one"))?;
    shop.wait_until_idle(&[&one, &two], PATIENCE)?;
    one.terminate(PATIENCE)?.expect_clean();
    two.terminate(PATIENCE)?.expect_clean();
    shop.check(history)
}

/// The same with a real shop's year: 18,536 orders, then 3,654 returns. What the oracle says of it is also what a replay gives.
fn online_retail_with_a_restart(node: &KafkaNode) -> Result<()> {
    let path = online_retail::path().map_err(anyhow::Error::msg)?;
    let history = history::online_retail(&path);
    ensure!(history.orders.len() == 18_536 && history.returns.len() == 3_654, "the whole file");
    stop_one_of_two(&Shop::open(node, 4)?, &history)
}

/// No farewell: the other one waits for the session to end, and ends what was left open.
fn a_killed_instance_is_taken_over(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 2)?;
    let history = history::random(0x5eed_0003, 4_000, 400);
    shop.load(&history)?;
    let settings = |instance| slow(shop.settings(instance, history.end));
    let one = ServiceProcess::start(&settings("one"))?;
    wait_until_busy(&one)?;
    one.kill()?;
    note_where("killed", &shop)?;
    let two = ServiceProcess::start(&shop.settings("two", history.end))?;
    shop.wait_until_idle(&[&two], PATIENCE)?;
    two.terminate(PATIENCE)?.expect_clean();
    shop.check(&history)
}

/// Instances come and go while a shop is open.
fn partitions_move_while_records_come(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 4)?;
    let history = history::random(0x5eed_0004, 400, 300);
    println!("history of seed {:#x}", history.seed);
    let settings = |instance: &str| shop.settings(instance, history.end).set(&["clock", "at_end"], "stay");
    let one = ServiceProcess::start(&settings("one"))?;
    one.wait_until_ready(PATIENCE)?;
    // Merge order is only known to hold for what is there already: records of one input come alone.
    let mut chunks = history.orders.chunks(history.orders.len().div_ceil(6));
    let mut next = || shop.append_orders(chunks.next().unwrap_or_default());
    next()?;
    let two = ServiceProcess::start(&settings("two"))?;
    next()?;
    two.wait_until("given partitions", PATIENCE, |two| {
        Ok(two.metric("retention_assigned_partitions", &[])? == Some(2.0))
    })?;
    next()?;
    one.terminate(PATIENCE)?.expect_clean();
    next()?;
    let three = ServiceProcess::start(&settings("three"))?;
    next()?;
    next()?;
    shop.wait_until_idle(&[&two, &three], PATIENCE)?;
    two.terminate(PATIENCE)?.expect_clean();
    three.terminate(PATIENCE)?.expect_clean();
    let only_orders = history::History { returns: Vec::new(), ..history };
    shop.check_without_end(&only_orders)
}

/// Commits so often that commits are most of the work: there is a middle to be interrupted in.
fn slow(settings: ServiceSettings) -> ServiceSettings {
    settings.set(&["commit", "interval"], "10ms").set(&["commit", "backlog_interval"], "10ms")
}

fn wait_until_busy(service: &ServiceProcess) -> Result<()> {
    service.wait_until_ready(PATIENCE)?;
    service.wait_until("busy", PATIENCE, is_busy)
}

fn is_busy(service: &ServiceProcess) -> Result<bool> {
    let applied = service.metric("retention_records_total", &["outcome=\"applied\""])?;
    Ok(applied.is_some_and(|applied| applied > 100.0))
}

/// Where an instance was interrupted depends on the machine; what comes out must not.
fn note_where(what: &str, shop: &Shop) -> Result<()> {
    let place = if shop.is_read_to_the_end()? { "at the end" } else { "in the middle" };
    println!("{what} {place} of the history");
    Ok(())
}
