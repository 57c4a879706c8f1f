//! What schedules share: configurations, as the service and the oracle read them, and metrics that no trial reads.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use retention_signals::commands::run;
use retention_signals::config::{self, AtEnd, CommitPace, Purpose, Sources};
use retention_signals::domain::rules::firing::Rulebook;
use retention_signals::domain::rules::rule::{Again, Anchor, CapIndex, Every, Rule, Trigger};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::domain::values::ids::ShopIndex;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::observe::metrics::Metrics;
use retention_signals::snapshot::SnapshotRules;
use retention_signals::stream::partition::restore::OnOtherOffsets;
use retention_signals::stream::rules::Rules;
use retention_signals::stream::shop_time::ShopTime;
use tempfile::TempDir;

use super::shop::{Pace, START_MS};
use super::world::WALL_START_MS;
use crate::differential;
use crate::oracle::segments::Cuts;
use crate::oracle::{OracleConfig, Policy};
use crate::{rules, segments};

/// One configuration.
pub struct Setup {
    rules: Rules,
    pub snapshots: SnapshotRules,
    pub oracle: OracleConfig,
    /// Rules of tactics, of which the oracle knows nothing.
    pub book: Option<Arc<Rulebook>>,
}

/// Made once for each thread: it takes longer than a schedule.
pub struct Stage {
    pub setups: Vec<Setup>,
    pub metrics: &'static Metrics,
    /// For state folders; they go with it.
    pub folder: TempDir,
}

impl Stage {
    pub fn new() -> Stage {
        let policies = [Policy::default(), Policy::fixed("5", "9"), Policy::fixed("0.5", "2.25")];
        // The second setup has segments too, by cut points of which some count from a later time on.
        let start = Time::from_millis(START_MS).expect("a time of this era");
        let cuts = segments::for_oracle(&segments::of_each_age(&mut Rng::with_seed(1), start));
        // And the third one has rules.
        let parts = policies.into_iter().zip([None, Some(cuts), None]).zip([None, None, Some(book())]);
        let setups: Vec<Setup> = parts.map(Setup::new).collect();
        let metrics = run::new_metrics(&setups[0].rules).expect("metrics of our own");
        // Schedules borrow them for as long as a coroutine may live: for good.
        let metrics: &'static Metrics = Box::leak(Box::new(metrics));
        // In memory where there is such a place: what is under test is not the disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Stage { setups, metrics, folder: folder.expect("a temporary folder") }
    }
}

impl Setup {
    fn new(((policy, segments), book): ((Policy, Option<Vec<Cuts>>), Option<Arc<Rulebook>>)) -> Setup {
        let oracle = OracleConfig { shop_metrics: false, policy, segments, ..OracleConfig::new("EUR") };
        let sources = Sources {
            host_name: Some("host".to_owned()),
            file_text: Some(differential::toml(&oracle)),
            ..Sources::default()
        };
        let mut config = config::load(&sources, Purpose::Offline).expect("a valid configuration");
        if let Some(cuts) = &oracle.segments {
            config.settings = config.settings.with_cuts(&segments::of_oracle(cuts));
        }
        config.settings.rules = book.clone();
        let policy_version = format!("{:016x}", config.settings.lapse.id(ShopIndex(0), None).version);
        let rules = Rules::new(&config, ShopTime::Wall, OnOtherOffsets::Stop);
        let snapshots = SnapshotRules::new(&config);
        Setup { rules, snapshots, oracle: OracleConfig { policy_version, ..oracle }, book }
    }

    /// The rules of a shop's workers.
    pub fn rules(&self, pace: Pace, interval: Duration) -> Rules {
        let mut rules = self.rules.clone();
        rules.commit = CommitPace { interval, backlog_interval: interval * 2, ..rules.commit };
        rules.clock.at_end = AtEnd::Stay;
        match pace {
            Pace::Loaded { end: None } | Pace::Live => {}
            Pace::Loaded { end: Some(end) } => {
                rules.clock.at_end = AtEnd::At(Time::from_millis(end).expect("a time of this era"));
            }
            Pace::Fast { factor } => {
                rules.clock.at_end = AtEnd::Wall;
                // Hosts do not agree about the time; an hour of theirs is years of the shop's.
                rules.clock.skew = Span::days(20_000);
                rules.shop_time = ShopTime::Fast { start_ms: START_MS, real_start_ms: WALL_START_MS, factor };
            }
        }
        rules
    }
}

/// How often is committed.
pub fn interval(rng: &mut Rng) -> Duration {
    Duration::from_millis([10, 30, 100, 400][rng.usize(..4)])
}

/// Rules whose firings meet with everything that happens to a worker: planned, cancelled, capped, by turns, and with the record itself.
fn book() -> Arc<Rulebook> {
    let on = |name: &str, signal_type| rules::rule(name, Trigger::Signal(signal_type));
    let hours = |hours: i64| Span::from_millis(hours * 3_600_000);
    let cancel_on = [SignalType::WonBack, SignalType::BecameProspect].into_iter().collect();
    let every = Every { days_min: 1, days_max: 2, from: Anchor::LastOrder };
    let cap = Some(CapIndex(0));
    let all = vec![
        Rule {
            after: hours(7),
            announce: true,
            again: Again::Never,
            ..on("welcome", SignalType::FirstOrder)
        },
        Rule { after: hours(30), announce: true, cancel_on, cap, ..on("win-back", SignalType::Lapsed) },
        Rule {
            cap,
            condition: rules::condition("all_time.kept >= 2"),
            ..rules::rule("each", Trigger::Order)
        },
        // Once: a schedule whose timers never end would not come to rest.
        Rule { again: Again::Never, ..rules::rule("news", Trigger::Every(every)) },
        on("sorry", SignalType::OrderReturned),
        Rule {
            announce: true,
            send: Some(rules::working_hours()),
            ..rules::rule("refill", rules::goods(&[("red", 9), ("blue", 40)], 1))
        },
        Rule { after: hours(24), ..rules::rule("invite-guest", Trigger::GuestOrder) },
    ];
    rules::book(all, vec![rules::cap(2, 1)], 0)
}
