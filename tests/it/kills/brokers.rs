//! Brokers that die and come back under a running service.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::PATIENCE;
use super::campaign::kills_asked;
use super::feed::Feed;
use super::fleet::{assigned, hurried, restoring};
use super::verdict::{OffsetWatch, Verdict};
use super::workload::{Workload, record};
use crate::kafka::{KafkaCluster, KafkaNode};
use crate::live::shop::Shop;
use crate::service::ServiceProcess;

/// Records that keep coming, and two instances that read them.
struct Scene {
    shop: Shop,
    workload: Workload,
    instances: [ServiceProcess; 2],
    feed: Feed,
    watch: OffsetWatch,
}

impl Scene {
    fn open(shop: Shop, seed: u64, customers: usize) -> Result<Scene> {
        let workload = Workload::orders_only(seed, customers);
        let start = |name| {
            // The session outlives a broker's absence, or every restart would be a rebalance too.
            let settings = hurried(shop.live_settings(name))
                .set(&["clock", "at_end"], "stay")
                .set(&["kafka", "session.timeout.ms"], "10000")
                // A broker needs its time on a busy machine.
                .set(&["commit", "patience"], "50s");
            ServiceProcess::start(&settings)
        };
        let instances = [start("one")?, start("two")?];
        // A coordinator that dies in the middle of a rebalance holds the group up for as long as a rebalance may take.
        let share = f64::from(shop.partitions) / 2.0;
        for instance in &instances {
            instance.wait_until("owner of its share", PATIENCE, |instance| {
                Ok(assigned(instance) == share && restoring(instance) == 0.0)
            })?;
        }
        let records = workload.history.orders.iter().map(record).collect();
        let feed = Feed::start(shop.client(), shop.orders_name(), records, 20, Duration::from_millis(20))?;
        let scene = Scene { shop, workload, instances, feed, watch: OffsetWatch::default() };
        scene.wait_until_busy()?;
        Ok(scene)
    }

    /// Until more has been committed than now.
    fn wait_until_busy(&self) -> Result<()> {
        let committed = || -> Result<i64> {
            Ok(self.shop.visible_offsets()?.values().map(|committed| committed.offset).sum())
        };
        let before = committed()?;
        let is_over = || self.feed.is_over();
        self.instances[0].wait_until("busy", PATIENCE, |_| Ok(is_over() || committed()? > before))
    }

    /// What is read at the end, and that both instances have lived through it.
    fn end(mut self) -> Result<()> {
        self.feed.finish()?;
        let [one, two] = &self.instances;
        self.shop
            .wait_until_idle(&[one, two], PATIENCE)
            .with_context(|| whereabouts(&self.shop, &self.instances))?;
        self.watch.look(&self.shop)?;
        for instance in self.instances {
            instance.terminate(PATIENCE)?.expect_code(0);
        }
        let seed = self.workload.history.seed;
        let verdict = Verdict::of(&self.shop, &self.workload.expected(&self.shop))?;
        verdict.into_result(format_args!("seed {seed:#x}"))?;
        Ok(())
    }
}

/// Where everybody stands, for a failure's message.
fn whereabouts(shop: &Shop, instances: &[ServiceProcess]) -> String {
    let mut lines = Vec::new();
    for topic in shop.input_names() {
        lines.push(format!("{topic} ends at {:?}", shop.client().high_watermarks(topic)));
    }
    lines.push(format!("committed: {:?}", shop.offsets()));
    for instance in instances {
        let (_, metrics) = instance.get("/metrics").unwrap_or_default();
        let names = [
            "retention_partition_idle",
            "retention_consumer_lag_records",
            "retention_assigned",
            "retention_clock",
        ];
        let told = metrics.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        lines.extend(told.map(str::to_owned));
        lines.push(instance.output_tail());
    }
    lines.join("\n")
}

/// The only broker is killed in the middle of work and comes back with what it had written.
pub fn a_broker_that_is_killed_and_restarted() -> Result<()> {
    let times = if kills_asked().is_some() { 10 } else { 1 };
    let mut node = KafkaNode::start()?;
    let shop = Shop::open(&node, 4)?;
    let mut scene = Scene::open(shop, 0x5eed_0460, 1_000 * times)?;
    for _ in 0..times {
        node.kill()?;
        node.restart()?;
        scene.watch.look(&scene.shop)?;
        scene.wait_until_busy().with_context(|| node.log_warnings())?;
    }
    scene.end().with_context(|| node.log_warnings())
}

/// Until every record is held three times again: only then may the next broker die.
fn wait_until_in_sync(shop: &Shop) -> Result<()> {
    let start = Instant::now();
    for topic in shop.topic_names() {
        while shop.client().in_sync_replicas(topic)? < 3 {
            ensure!(start.elapsed() < PATIENCE, "{topic} has not got its three replicas");
        }
    }
    Ok(())
}

/// One of three dies: its partitions, its transactions and its groups get another leader, and nothing is lost.
pub fn one_of_three_brokers() -> Result<()> {
    let times = if kills_asked().is_some() { 6 } else { 1 };
    let mut cluster = KafkaCluster::start()?;
    let shop = Shop::open_on(cluster.client(), 6, &[])?;
    wait_until_in_sync(&shop)?;
    let mut scene = Scene::open(shop, 0x5eed_0470, 1_000 * times)?;
    for time in 0..times {
        cluster.kill(time % 3)?;
        scene.wait_until_busy().with_context(|| cluster.log_warnings())?;
        scene.watch.look(&scene.shop)?;
        if time + 1 < times {
            cluster.restart(time % 3)?;
            wait_until_in_sync(&scene.shop)?;
        }
    }
    scene.end().with_context(|| cluster.log_warnings())
}
