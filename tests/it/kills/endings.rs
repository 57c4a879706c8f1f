//! SIGTERM in every phase of a process, and starts that fail: each ends at once, with its code.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use retention_signals::fault::Milestone;

use super::PATIENCE;
use super::fleet::{dawdling, hurried, killed_at, restoring, stopped_at};
use super::verdict::Verdict;
use super::workload::Workload;
use crate::kafka::{self, KafkaNode};
use crate::live::shop::Shop;
use crate::process::Signal;
use crate::service::{Exit, ServiceProcess, ServiceSettings};

/// Far less than the patience with brokers that do not answer, which is 30 s by default.
const AT_ONCE: Duration = Duration::from_secs(15);

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("kills::a_port_in_use_is_told_before_the_brokers_are_asked", || Ok(port_in_use()?)),
        Trial::test("kills::sigterm_while_topics_are_examined", || Ok(while_topics_are_examined()?)),
        kafka::on_shared_node("kills::sigterm_while_restoring", while_restoring),
        kafka::on_shared_node("kills::sigterm_while_committing", while_committing),
        kafka::on_own_node("kills::sigterm_twice", twice),
    ]
}

/// A socket that takes connections and never answers, as a broker that hangs.
fn silent_broker() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?.to_string();
    Ok((listener, address))
}

fn ended_at_once(service: ServiceProcess) -> Result<Exit> {
    service.wait_for_end(AT_ONCE).context("it must not wait for its brokers")
}

fn port_in_use() -> Result<()> {
    let (_broker, address) = silent_broker()?;
    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?;
    let settings = ServiceSettings::new(&address, "shop", "one").set(&["http", "listen"], port.to_string());
    let refused = ended_at_once(ServiceProcess::start(&settings)?)?;
    refused.expect_code(78);
    ensure!(refused.stderr.contains("in use by another process"), "{}", refused.stderr);
    Ok(())
}

/// Brokers that do not answer are asked for as long as the patience lasts, by a thread that cannot be interrupted.
fn while_topics_are_examined() -> Result<()> {
    let (_broker, address) = silent_broker()?;
    let service = ServiceProcess::start(&ServiceSettings::new(&address, "shop", "one"))?;
    service.wait_until("asking its brokers", PATIENCE, |service| Ok(service.has_logged("serving HTTP")))?;
    service.signal(Signal::Terminate);
    ended_at_once(service)?.expect_clean();
    Ok(())
}

/// A dead process has left a transaction open, which holds up the restores of the next one.
fn while_restoring(node: &KafkaNode) -> Result<()> {
    let (shop, workload) = loaded_shop(node, 0x5eed_04a0)?;
    let dead = ServiceProcess::start(&killed_at(
        dawdling(shop.settings("dead", workload.history.end)),
        Milestone::AfterOffsets,
        3,
    ))?;
    dead.wait_for_end(PATIENCE)?;
    let two = ServiceProcess::start(&hurried(shop.settings("two", workload.history.end)))?;
    two.wait_until("restoring", PATIENCE, |two| Ok(restoring(two) > 0.0))?;
    two.terminate(AT_ONCE)?.expect_clean();
    read_the_rest(&shop, &workload)
}

/// The signal comes in the middle of a commit: that one is brought to its end.
fn while_committing(node: &KafkaNode) -> Result<()> {
    let (shop, workload) = loaded_shop(node, 0x5eed_04a1)?;
    let settings = dawdling(shop.settings("one", workload.history.end));
    let one = ServiceProcess::start(&stopped_at(settings, Milestone::AfterOffsets, 3))?;
    one.wait_until("standing still", PATIENCE, |one| Ok(one.is_stopped()))?;
    one.signal(Signal::Terminate);
    one.signal(Signal::Resume);
    one.wait_for_end(AT_ONCE)?.expect_clean();
    ensure!(shop.group_members()? == 0, "it has left the group");
    read_the_rest(&shop, &workload)
}

/// The broker is silent, so the commit cannot end; the first signal waits for it, the second one does not.
fn twice() -> Result<()> {
    let mut node = KafkaNode::start()?;
    let (shop, workload) = loaded_shop(&node, 0x5eed_04a2)?;
    let settings = dawdling(shop.settings("one", workload.history.end))
        // Standing still must not end the membership.
        .set(&["kafka", "session.timeout.ms"], "10000");
    let one = ServiceProcess::start(&stopped_at(settings, Milestone::AfterOffsets, 3))?;
    one.wait_until("standing still", PATIENCE, |one| Ok(one.is_stopped()))?;
    node.pause();
    one.signal(Signal::Resume);
    one.signal(Signal::Terminate);
    one.wait_until("draining", PATIENCE, |one| {
        Ok(one.get("/readyz").is_ok_and(|(status, body)| status == 503 && body.contains("shutting down")))
    })?;
    one.signal(Signal::Terminate);
    ended_at_once(one)?.expect_code(69);
    node.resume();
    read_the_rest(&shop, &workload)
}

fn loaded_shop(node: &KafkaNode, seed: u64) -> Result<(Shop, Workload)> {
    let shop = Shop::open(node, 2)?;
    let workload = Workload::complete(seed, 600);
    workload.load(&shop)?;
    Ok((shop, workload))
}

fn read_the_rest(shop: &Shop, workload: &Workload) -> Result<()> {
    let last = ServiceProcess::start(&hurried(shop.settings("last", workload.history.end)))?;
    shop.wait_until_idle(&[&last], PATIENCE)?;
    last.terminate(PATIENCE)?.expect_clean();
    Verdict::of(shop, &workload.expected(shop))?.into_result("after the signal")?;
    Ok(())
}
