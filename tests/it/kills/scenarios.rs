//! Single disturbances, each set up exactly: zombies, doubles, storms, and rebalances at the worst moments.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use retention_signals::fault::Milestone;

use super::PATIENCE;
use super::campaign::kills_asked;
use super::feed::Feed;
use super::fleet::{assigned, dawdling, hurried, killed_at, restoring, stopped_at};
use super::verdict::{OffsetWatch, Verdict};
use super::workload::{Workload, record};
use crate::kafka::KafkaNode;
use crate::live::shop::Shop;
use crate::process::Signal;
use crate::service::{ServiceProcess, ServiceSettings};

/// An instance comes or goes this often.
const STORM_PAUSE: Duration = Duration::from_secs(2);

fn start(settings: &ServiceSettings) -> Result<ServiceProcess> {
    ServiceProcess::start(settings)
}

/// All of a workload has come out, once.
fn check(shop: &Shop, workload: &Workload) -> Result<Verdict> {
    let seed = workload.history.seed;
    Verdict::of(shop, &workload.expected(shop))?.into_result(format_args!("seed {seed:#x}"))
}

/// A process stands still in the middle of a commit until another one owns its partitions and has read on; then it goes on
/// where it was.
pub fn zombie_while_sending(node: &KafkaNode) -> Result<()> {
    zombie(node, Milestone::AfterSend, 0x5eed_0410)
}

/// The same, with its offsets accepted by the broker: the successor has to end the zombie's transaction.
pub fn zombie_with_offsets_sent(node: &KafkaNode) -> Result<()> {
    zombie(node, Milestone::AfterOffsets, 0x5eed_0411)
}

fn zombie(node: &KafkaNode, step: Milestone, seed: u64) -> Result<()> {
    let shop = Shop::open(node, 3)?;
    let workload = Workload::complete(seed, 1_500);
    workload.load(&shop)?;
    let settings = |name| hurried(shop.settings(name, workload.history.end));
    let one = start(&stopped_at(dawdling(shop.settings("one", workload.history.end)), step, 3))?;
    one.wait_until("a zombie", PATIENCE, |one| Ok(one.is_stopped()))?;
    let two = start(&settings("two"))?;
    two.wait_until("owner of everything", PATIENCE, |two| Ok(assigned(two) == 3.0 && restoring(two) == 0.0))?;
    shop.wait_until_committed(&two, PATIENCE)?;
    one.signal(Signal::Resume);
    one.wait_until("a member again", PATIENCE, |one| {
        Ok(one.has_logged("partitions lost") && assigned(one) > 0.0)
    })?;
    shop.wait_until_idle(&[&one, &two], PATIENCE)?;
    one.terminate(PATIENCE)?.expect_code(0);
    two.terminate(PATIENCE)?.expect_code(0);
    check(&shop, &workload)?;
    Ok(())
}

/// Two processes share a copied configuration: they take the same transactional id from each other until one gives up.
pub fn two_processes_with_one_instance(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 4)?;
    let workload = Workload::orders_only(0x5eed_0420, 1_500);
    let settings = hurried(shop.live_settings("one")).set(&["clock", "at_end"], "stay");
    let first = start(&settings)?;
    first.wait_until_ready(PATIENCE)?;
    let second = start(&settings)?;
    let shares = |first: &ServiceProcess| Ok(assigned(first) == 2.0);
    first.wait_until("sharing the partitions", PATIENCE, shares)?;
    let records = workload.history.orders.iter().map(record).collect();
    let feed = Feed::start(shop.client(), shop.orders_name(), records, 20, Duration::from_millis(20))?;
    let start = Instant::now();
    let (loser, survivor) = loop {
        ensure!(start.elapsed() < PATIENCE, "neither gave up\n{}", first.output_tail());
        if first.ends_within(Duration::from_millis(10)).is_some() {
            break (first, second);
        }
        if second.ends_within(Duration::from_millis(10)).is_some() {
            break (second, first);
        }
    };
    let loser = loser.wait_for_end(PATIENCE)?;
    loser.expect_code(78);
    ensure!(loser.stderr.contains("another process uses the transactional id"), "{}", loser.stderr);
    feed.finish()?;
    shop.wait_until_idle(&[&survivor], PATIENCE)?;
    survivor.terminate(PATIENCE)?.expect_code(0);
    check(&shop, &workload)?;
    Ok(())
}

/// While records come, an instance joins or leaves every two seconds, before the group has settled or after.
pub fn a_storm_of_rebalances(node: &KafkaNode) -> Result<()> {
    let moves = if kills_asked().is_some() { 40 } else { 3 };
    let shop = Shop::open(node, 6)?;
    let workload = Workload::orders_only(0x5eed_0430, 1_000 * moves);
    let settings = |name: &str| hurried(shop.live_settings(name)).set(&["clock", "at_end"], "stay");
    let records: Vec<_> = workload.history.orders.iter().map(record).collect();
    let chunk = records.len() / (moves * 100) + 1;
    let feed = Feed::start(shop.client(), shop.orders_name(), records, chunk, Duration::from_millis(20))?;
    let keeper = start(&settings("keeper"))?;
    let mut others: Vec<ServiceProcess> = Vec::new();
    let mut watch = OffsetWatch::default();
    for number in 0..moves {
        // Three come, two go, and so on: the oldest goes.
        if number % 5 < 3 {
            others.push(start(&settings(&format!("guest-{number}")))?);
        } else {
            others.remove(0).terminate(PATIENCE)?.expect_code(0);
        }
        watch.look(&shop)?;
        let status = keeper.ends_within(STORM_PAUSE);
        ensure!(status.is_none(), "the keeper ended with {status:?}\n{}", keeper.output_tail());
    }
    feed.finish()?;
    let all: Vec<&ServiceProcess> = std::iter::once(&keeper).chain(&others).collect();
    shop.wait_until_idle(&all, PATIENCE)?;
    watch.look(&shop)?;
    for service in std::iter::once(keeper).chain(others) {
        service.terminate(PATIENCE)?.expect_code(0);
    }
    check(&shop, &workload)?;
    Ok(())
}

/// A dead process has left a transaction open, so that the restores of its successor wait; meanwhile a third one joins, and one
/// that is restoring is terminated.
pub fn a_rebalance_while_restoring(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 4)?;
    let workload = Workload::complete(0x5eed_0440, 1_500);
    workload.load(&shop)?;
    let settings = |name| hurried(shop.settings(name, workload.history.end));
    let dead =
        start(&killed_at(dawdling(shop.settings("dead", workload.history.end)), Milestone::AfterOffsets, 4))?;
    dead.wait_for_end(PATIENCE)?;
    let two = start(&settings("two"))?;
    two.wait_until("restoring", PATIENCE, |two| Ok(restoring(two) > 0.0))?;
    let three = start(&settings("three"))?;
    three.wait_until("given partitions", PATIENCE, |three| Ok(assigned(three) > 0.0))?;
    two.terminate(PATIENCE)?.expect_code(0);
    shop.wait_until_idle(&[&three], PATIENCE)?;
    three.terminate(PATIENCE)?.expect_code(0);
    check(&shop, &workload)?;
    Ok(())
}

/// One that ends has committed and stands still before it leaves; the group gives its partitions away, and then it goes on. Two
/// that are terminated at the same time end, and the last one reads the rest.
pub fn a_rebalance_while_shutting_down(node: &KafkaNode) -> Result<()> {
    let shop = Shop::open(node, 4)?;
    let workload = Workload::orders_only(0x5eed_0450, 1_500);
    let settings = |name| hurried(shop.live_settings(name)).set(&["clock", "at_end"], "stay");
    let records = workload.history.orders.iter().map(record).collect();
    let one = start(&stopped_at(settings("one"), Milestone::BeforeClose, 1))?;
    let two = start(&settings("two"))?;
    one.wait_until("sharing", PATIENCE, |one| Ok(assigned(one) == 2.0 && assigned(&two) == 2.0))?;
    let feed = Feed::start(shop.client(), shop.orders_name(), records, 20, Duration::from_millis(20))?;
    one.signal(Signal::Terminate);
    one.wait_until("standing still", PATIENCE, |one| Ok(one.is_stopped()))?;
    two.wait_until("owner of everything", PATIENCE, |two| Ok(assigned(two) == 4.0))?;
    one.signal(Signal::Resume);
    one.wait_for_end(PATIENCE)?.expect_code(0);

    let three = start(&settings("three"))?;
    three.wait_until("sharing", PATIENCE, |three| Ok(assigned(three) == 2.0))?;
    two.signal(Signal::Terminate);
    three.signal(Signal::Terminate);
    two.wait_for_end(PATIENCE).context("the first of both")?.expect_code(0);
    three.wait_for_end(PATIENCE).context("the second of both")?.expect_code(0);
    let four = start(&settings("four"))?;
    feed.finish()?;
    shop.wait_until_idle(&[&four], PATIENCE)?;
    four.terminate(PATIENCE)?.expect_code(0);
    check(&shop, &workload)?;
    Ok(())
}
