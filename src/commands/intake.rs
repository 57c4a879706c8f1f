//! `intake`: reads records in the form of shops, and writes native records into the inputs of the service.

mod earlier;
pub mod load;
mod loaded;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use prometheus::Registry;
use tracing::info;

use crate::commands::check::state::patiently;
use crate::commands::cli::{self, time};
use crate::commands::run::examine_until;
use crate::commands::service::{self, Service, Slot, drive, tick};
use crate::config::Config;
use crate::domain::values::time::Time;
use crate::exit::{Exit, Failure};
use crate::kafka::{self, KafkaIntake, KafkaSettings, Layout, Role, SlotSettings, Troubles, host_wall_clock};
use crate::observe::metrics::{self, IntakeMetrics, Metrics, Vocabulary};
use crate::observe::telemetry;
use crate::stream::intake::rules::{IntakeRules, MappedSource, OnOtherSecret, WithoutOffsets};
use crate::stream::intake::worker::{IntakeHub, IntakeWorker};
use crate::stream::worker::Stop;

use load::LoadArguments;

/// Arguments of `intake`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct IntakeArguments {
    #[command(subcommand)]
    pub command: Option<IntakeCommand>,

    /// Address of metrics and probes: http.listen; default: 127.0.0.1:9465
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Reads everything that a topic holds of which the intake has committed no offset: for the first start
    #[arg(long, conflicts_with = "accept_offsets")]
    pub from_beginning: bool,

    /// Passes over everything that a topic holds of which the intake has committed no offset, and reads what comes from now on
    #[arg(long)]
    pub accept_offsets: bool,

    /// Goes on although customers were hashed with another secret than that in intake.secret_file: each of them is a new customer now.
    /// For after the old secret was lost
    #[arg(long)]
    pub accept_new_secret: bool,

    /// Passes over unusable records that were appended before this instant (RFC 3339, with offset): they become dead letters
    /// without counting towards dead_letters.max_share. For after the limit has stopped the intake and map or producer is mended
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub accept_dead_letters_before: Option<Time>,
}

/// What `intake` does beside reading from topics.
#[derive(Subcommand, Clone, Debug)]
pub enum IntakeCommand {
    /// Writes a shop's history from files into the inputs of `run`, in order of time, before the first start of `run` and `intake`.
    /// Given again, it writes nothing twice
    #[command(after_long_help = cli::LOAD_CODES)]
    Load(LoadArguments),
}

/// One question of `check`.
const WITHIN: Duration = Duration::from_secs(5);

/// Where an intake listens unless it is told: beside the service of the same host.
pub const LISTEN: &str = "127.0.0.1:9465";

/// Runs the intake on the configured brokers until a signal ends it.
///
/// # Errors
/// With the exit code of what stopped it. It is the last line of the log, if logs could be set up.
pub fn run(config: &Config, arguments: &IntakeArguments) -> Result<(), Failure> {
    let without_offsets = match (arguments.from_beginning, arguments.accept_offsets) {
        (true, _) => WithoutOffsets::FromBeginning,
        (false, true) => WithoutOffsets::FromEnd,
        (false, false) => WithoutOffsets::Stop,
    };
    let mut rules = IntakeRules::new(config, without_offsets).ok_or_else(|| {
        Failure::message(
            Exit::Configuration,
            "no source is configured: give [intake.sources.NAME] the topics of the shop's records and a map (docs/INTAKE.md)".to_owned(),
        )
    })?;
    if arguments.accept_new_secret {
        rules.on_other_secret = OnOtherSecret::Accept;
    }
    rules.dead_letters_accepted_before_ms = arguments.accept_dead_letters_before.map(Time::as_millis);
    // Compiled again by each worker; a mistake shows before anything starts.
    let sources = rules.load_maps()?;
    let (metrics, intake_metrics) = new_metrics()?;
    let metrics = Arc::new(metrics);
    telemetry::install(&config.log, &metrics).map_err(|error| Failure::new(Exit::Internal, error))?;
    log_start(config, &sources);
    for source in &sources {
        intake_metrics.prepare(&source.name, source.map.skip_reasons());
    }
    let runtime = service::new_runtime()?;
    let service = Service::new(config, Arc::clone(&metrics), &runtime);
    let mut until = Box::pin(service::signals(&runtime)?);
    // Before the brokers are asked, so that a port in use is reported at once, and probes are answered while Kafka is away.
    let http = service.serve_http(service.bind()?);
    let of_service = KafkaSettings::new(config);
    let settings = Arc::new(of_service.of_intake());
    let troubles = Arc::new(Troubles::default());
    let (watch, given_up) = service.watch_brokers(&settings, Arc::clone(&troubles))?;
    let mut until = Box::pin(async move {
        tokio::select! {
            () = until.as_mut() => Ok(()),
            Ok(failure) = given_up => Err(failure),
        }
    });
    let topics: Vec<String> = rules.source_of_topics().into_keys().collect();
    let examination = {
        let (settings, topics, patience) = (Arc::clone(&settings), topics.clone(), config.commit.patience);
        move |longer| kafka::examine_intake(&settings, &topics, patience + longer)
    };
    let layout = match examine_until(&runtime, examination, until.as_mut()) {
        Ok(Some(layout)) => layout,
        ended => {
            drop((service, http, watch));
            // The examination waits for the brokers; the shutdown does not wait for the examination.
            runtime.shutdown_background();
            return ended.map(|_| ());
        }
    };
    let run_worker = |slot: Slot<'_>| {
        let Slot { number, metrics: of_process, service, status, stop, questions: _ } = slot;
        let settings = SlotSettings {
            settings: Arc::clone(&settings),
            layout,
            slot: number,
            wall: host_wall_clock(),
            troubles: Arc::clone(&troubles),
        };
        let broker = KafkaIntake::open(settings, topics.clone(), Some(Arc::clone(&metrics)))?;
        let sources = rules.load_maps().map_err(Stop::from_failure)?;
        let hub = IntakeHub { metrics: of_process, intake: &intake_metrics, service, status, tick };
        drive(IntakeWorker::new(broker, rules.clone(), sources, hub), stop)
    };
    let ended = service.work(run_worker, until);
    ended.map_err(|failure| kafka::explain(&settings, &of_service.required(&Role::Intake), failure))
}

fn new_metrics() -> Result<(Metrics, IntakeMetrics), Failure> {
    let vocabulary =
        Vocabulary { version: metrics::VERSION, revision: metrics::REVISION, currencies: Vec::new() };
    Metrics::of_intake(&Registry::new(), &vocabulary).map_err(|error| Failure::new(Exit::Internal, error))
}

fn log_start(config: &Config, sources: &[MappedSource]) {
    info!(
        version = metrics::VERSION,
        revision = metrics::REVISION,
        configuration = config.digest(),
        application = config.application,
        instance = config.instance,
        workers = config.workers,
        "starting intake"
    );
    for source in sources {
        info!(source = source.name, map = source.map_label, "source");
    }
}

/// Whether the sources of a configuration can be read: maps and their options, secret, topics; and whether it is the secret with which
/// the intake has hashed so far. None without a source.
///
/// # Errors
/// What keeps an intake from starting.
pub fn check(config: &Config, settings: &Arc<KafkaSettings>) -> Result<Option<String>, Failure> {
    let Some(rules) = IntakeRules::new(config, WithoutOffsets::Stop) else { return Ok(None) };
    let sources = rules.load_maps()?;
    let topics: Vec<String> = rules.source_of_topics().into_keys().collect();
    let layout = kafka::examine_intake(&settings.of_intake(), &topics, config.commit.patience)?;
    check_secret(&rules, &sources, settings, layout)?;
    let maps: Vec<String> = sources.into_iter().map(|source| source.map_label).collect();
    Ok(Some(format!("{} read by {}", topics.join(", "), maps.join(", "))))
}

fn check_secret(
    rules: &IntakeRules,
    sources: &[MappedSource],
    settings: &Arc<KafkaSettings>,
    layout: Layout,
) -> Result<(), Failure> {
    let mut lookup =
        kafka::lookup(settings, layout).map_err(|error| Failure::new(Exit::Configuration, error))?;
    let source_of_topics = rules.source_of_topics();
    for (of, committed) in patiently(|| lookup.raw_committed(WITHIN))? {
        let source = &sources[source_of_topics[&*of.topic]];
        if committed.is_some_and(|committed| source.has_other_secret(&committed.metadata)) {
            return Err(Failure::message(Exit::Configuration, source.explain_other_secret(&of.topic)));
        }
    }
    Ok(())
}
