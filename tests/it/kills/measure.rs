//! How long a partition stands still: while an instance joins or leaves, after one was killed, and over a restart.
//!
//! Printed, not asserted: the figures are of the machine. Records come for every partition every few milliseconds, so the time
//! between two seals of a partition, by their append times, is the time in which it made no progress.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use retention_signals::fault::Milestone;

use super::PATIENCE;
use super::feed::Feed;
use super::fleet::killed_at;
use super::verdict::seals;
use super::workload::{Workload, record};
use crate::kafka::KafkaNode;
use crate::live::shop::Shop;
use crate::service::{ServiceProcess, ServiceSettings};

const PARTITIONS: u32 = 8;
/// Between two chunks of records, and how many there are in one: two for each partition.
const PAUSE: Duration = Duration::from_millis(20);
const CHUNK: usize = 16;
/// How long the group stays as it is between two moves.
const SETTLED: Duration = Duration::from_millis(1_500);
/// Joins, and as many leaves.
const MOVES: usize = 12;
/// Deaths of each kind.
const DEATHS: usize = 4;
const RESTARTS: usize = 10;

/// A shop with records coming, for long enough.
struct Scene {
    shop: Shop,
    feed: Feed,
}

impl Scene {
    fn open(node: &KafkaNode, seconds: usize) -> Result<Scene> {
        let shop = Shop::open(node, PARTITIONS)?;
        let records = seconds * 1_000 / PAUSE.as_millis() as usize * CHUNK;
        // Four orders a customer on average.
        let workload = Workload::orders_only(0x5eed_0480, records / 4);
        let records = workload.history.orders.iter().map(record).collect();
        let feed = Feed::start(shop.client(), shop.orders_name(), records, CHUNK, PAUSE)?;
        Ok(Scene { shop, feed })
    }

    /// The defaults, but for two: nothing is due by wall time, and a backlog is committed as often as anything else, or the gaps
    /// would be those between commits.
    fn settings(&self, name: &str) -> ServiceSettings {
        self.shop
            .live_settings(name)
            .set(&["clock", "at_end"], "stay")
            .set(&["commit", "backlog_interval"], "100ms")
    }

    /// Whether records still come; a slow machine measures less.
    fn is_open(&self) -> bool {
        !self.feed.is_over()
    }
}

fn wait(service: &ServiceProcess, span: Duration) -> Result<()> {
    let status = service.ends_within(span);
    ensure!(status.is_none(), "ended with {status:?}\n{}", service.output_tail());
    Ok(())
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("this era")
}

/// The partitions that an instance processes, as its metrics name them.
fn owned(service: &ServiceProcess) -> Result<BTreeSet<usize>> {
    let (_, text) = service.get("/metrics")?;
    let labels = text.lines().filter_map(|line| line.strip_prefix("retention_state_entries{partition=\""));
    labels.map(|rest| Ok(rest.split('"').next().unwrap_or_default().parse()?)).collect()
}

fn wait_until_owner_of(service: &ServiceProcess, count: usize) -> Result<()> {
    service.wait_until("owner of its share", PATIENCE, |service| {
        Ok(owned(service).is_ok_and(|owned| owned.len() == count))
    })
}

/// The longest time between two seals that overlaps a span.
fn longest_gap(seals: &[i64], from: i64, to: i64) -> i64 {
    let pairs = seals.windows(2).filter(|pair| pair[0] <= to && pair[1] >= from);
    pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn print(what: &str, mut millis: Vec<i64>) {
    millis.sort_unstable();
    if millis.is_empty() {
        eprintln!("measured: {what}: nothing");
        return;
    }
    let at = |share: f64| millis[((millis.len() - 1) as f64 * share).round() as usize];
    eprintln!(
        "measured: {what}: p50 {} ms, p99 {} ms, max {} ms ({} samples)",
        at(0.5),
        at(0.99),
        at(1.0),
        millis.len()
    );
}

fn seal_times(shop: &Shop) -> Result<Vec<Vec<i64>>> {
    let of_partition = |seals: Vec<(i64, _)>| seals.into_iter().map(|(time, _)| time).collect();
    Ok(seals(shop)?.into_iter().map(of_partition).collect())
}

/// One instance stays, another comes and goes.
pub fn hand_over(node: &KafkaNode) -> Result<()> {
    let scene = Scene::open(node, MOVES * 10)?;
    let keeper = ServiceProcess::start(&scene.settings("keeper"))?;
    wait_until_owner_of(&keeper, PARTITIONS as usize)?;
    wait(&keeper, SETTLED)?;
    let mut moves = Vec::new();
    for _ in (0..MOVES).take_while(|_| scene.is_open()) {
        let joined_at = now_millis();
        let guest = ServiceProcess::start(&scene.settings("guest"))?;
        wait_until_owner_of(&guest, PARTITIONS as usize / 2)?;
        wait(&keeper, SETTLED)?;
        let moved = owned(&guest)?;
        let left_at = now_millis();
        moves.push(("join", joined_at, left_at, moved.clone()));
        guest.terminate(PATIENCE)?.expect_code(0);
        wait_until_owner_of(&keeper, PARTITIONS as usize)?;
        wait(&keeper, SETTLED)?;
        moves.push(("leave", left_at, now_millis(), moved));
    }
    keeper.terminate(PATIENCE)?.expect_code(0);
    let seals = seal_times(&scene.shop)?;
    for kind in ["join", "leave"] {
        let (mut of_moved, mut of_kept) = (Vec::new(), Vec::new());
        for (_, from, to, moved) in moves.iter().filter(|(found, ..)| *found == kind) {
            for (partition, seals) in seals.iter().enumerate() {
                let gaps = if moved.contains(&partition) { &mut of_moved } else { &mut of_kept };
                gaps.push(longest_gap(seals, *from, *to));
            }
        }
        print(&format!("hand-over, {kind}, partitions that move"), of_moved);
        print(&format!("hand-over, {kind}, partitions that stay"), of_kept);
    }
    Ok(())
}

/// One of two instances is killed, with or without a transaction open; the other one goes on with its partitions.
pub fn recovery(node: &KafkaNode) -> Result<()> {
    let kinds =
        [("no transaction open", Milestone::BeforeBegin), ("a transaction open", Milestone::AfterOffsets)];
    let scene = Scene::open(node, 2 * DEATHS * 25)?;
    let keeper = ServiceProcess::start(&scene.settings("keeper"))?;
    wait_until_owner_of(&keeper, PARTITIONS as usize)?;
    let mut deaths = Vec::new();
    // One of each kind in turn.
    for (kind, step) in std::iter::repeat_n(kinds, DEATHS).flatten().take_while(|_| scene.is_open()) {
        // Enough batches to have its share for a while.
        let victim = ServiceProcess::start(&killed_at(scene.settings("victim"), step, 30))?;
        wait_until_owner_of(&victim, PARTITIONS as usize / 2)?;
        let moved = owned(&victim)?;
        while victim.ends_within(SETTLED).is_none() && scene.is_open() {}
        deaths.push((kind, now_millis(), moved));
        wait_until_owner_of(&keeper, PARTITIONS as usize)?;
        wait(&keeper, SETTLED)?;
    }
    keeper.terminate(PATIENCE)?.expect_code(0);
    let seals = seal_times(&scene.shop)?;
    for (kind, _) in kinds {
        let mut times = Vec::new();
        for (_, died_at, moved) in deaths.iter().filter(|(found, ..)| *found == kind) {
            for &partition in moved {
                // None if there was nothing left to go on with.
                let next = seals[partition].iter().find(|sealed_at| *sealed_at > died_at);
                times.extend(next.map(|next| next - died_at));
            }
        }
        print(&format!("recovery after kill -9, session timeout 10 s, {kind}"), times);
    }
    Ok(())
}

/// The only instance ends and starts again: from the start of the process to the first seal of each partition, and from SIGTERM to
/// the end.
pub fn restart(node: &KafkaNode) -> Result<()> {
    let scene = Scene::open(node, RESTARTS * 6)?;
    let mut lives = Vec::new();
    let mut ends = Vec::new();
    for _ in (0..RESTARTS).take_while(|_| scene.is_open()) {
        lives.push(now_millis());
        let service = ServiceProcess::start(&scene.settings("one"))?;
        wait_until_owner_of(&service, PARTITIONS as usize)?;
        wait(&service, SETTLED)?;
        let told_at = Instant::now();
        service.terminate(PATIENCE)?.expect_code(0);
        ends.push(i64::try_from(told_at.elapsed().as_millis())?);
    }
    let seals = seal_times(&scene.shop)?;
    let mut starts = Vec::new();
    for (index, born_at) in lives.iter().enumerate() {
        for seals in &seals {
            let Some(next) = seals.iter().find(|sealed_at| *sealed_at > born_at) else { continue };
            if lives.get(index + 1).is_none_or(|next_life| next < next_life) {
                starts.push(next - born_at);
            }
        }
    }
    print("start of the process to a partition's first commit, small state", starts);
    print("SIGTERM to the end of the process", ends);
    Ok(())
}
