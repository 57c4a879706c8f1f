//! A shop's history from files, applied as often as is asked.

use std::sync::Arc;

use crate::commands::cli::CommonArguments;
use crate::commands::history_files::{self, FileArguments, MapSettings};
use crate::commands::progress::Progress;
use crate::config::Config;
use crate::domain::engine::{Applied, Engine, Outcome, Progress as ClockProgress};
use crate::domain::lapse::LapsePolicies;
use crate::domain::settings::Settings;
use crate::domain::signals::kind::SignalKind;
use crate::domain::signals::signal::Signal;
use crate::domain::values::time::Time;
use crate::exit::{Exit, Failure};
use crate::formats::native::{Decoder, Event, Subject};
use crate::history::files::{Files, History};
use crate::history::source;
use crate::wire::encode::RecordContext;

/// What was read.
pub(crate) struct ShopHistory {
    pub(crate) config: Config,
    decoder: Decoder,
    history: History,
    /// Lines that could not be used.
    refused: u64,
}

/// Looks at the engine while a history is applied.
pub(crate) trait Observer {
    /// The engine's clock stands right before `at`.
    fn stop(&mut self, engine: &mut Engine, at: Time);

    /// A record is applied.
    fn record(&mut self, _event: &Event<'_>) {}

    /// A signal was emitted; by this record, if one was applied.
    fn emitted(&mut self, _key: &[u8], _signal: &Signal, _record: Option<&RecordContext<'_>>) {}

    /// A customer who was neither at risk nor lapsed ordered again.
    fn ordered_in_time(&mut self) {}
}

impl ShopHistory {
    /// Reads every file.
    ///
    /// # Errors
    /// A file cannot be read, the configuration is wrong, or no line can be used.
    pub(crate) fn read(
        common: &CommonArguments,
        arguments: &FileArguments,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let maps = MapSettings::of(common, &arguments.others)?;
        let files = Files::open(arguments.paths(&maps), &|file| progress.reading(file))?;
        let config = history_files::load(common, &files)?;
        let limits = history_files::limits(&config);
        let decoder = Decoder::of(&config.settings, limits);
        let mut refused = 0;
        let history = files.read(&decoder, limits, &mut |_| {
            refused += 1;
            Ok(())
        })?;
        if history.events() == 0 {
            let message = format!("no line could be used, {refused} were refused; `replay` says why");
            return Err(Failure::message(Exit::Data, message));
        }
        Ok(Self::new(config, decoder, history, refused))
    }

    /// What was read elsewhere.
    pub(crate) fn new(config: Config, decoder: Decoder, history: History, refused: u64) -> Self {
        Self { config, decoder, history, refused }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.config.settings
    }

    /// A line about what could not be used; empty without any.
    pub(crate) fn refused_text(&self) -> String {
        match self.refused {
            0 => String::new(),
            1 => "\none line could not be used: `replay` writes it with the reason\n".to_owned(),
            refused => {
                format!("\n{refused} lines could not be used: `replay` writes them with the reasons\n")
            }
        }
    }

    pub(crate) fn events(&self) -> u64 {
        self.history.events()
    }

    /// The times of the first and the last record.
    pub(crate) fn span(&self) -> (Time, Time) {
        let times = || self.history.sources.iter().flat_map(|source| source.lines()).map(|line| line.time);
        (times().min().unwrap_or(Time::MIN), times().max().unwrap_or(Time::MIN))
    }

    /// Applies every record in the order of time under a policy. `stops` are in order; those behind the last record are reached too.
    pub(crate) fn apply(
        &self,
        lapse: LapsePolicies,
        stops: &[Time],
        progress: &Progress,
        observer: &mut dyn Observer,
    ) {
        let engine = Engine::new(Arc::new(Settings { lapse, ..self.settings().clone() }));
        let mut pass = Pass { engine, observer };
        let mut stops = stops.iter().copied().peekable();
        let mut key = Vec::new();
        for (index, (source, line)) in source::merged(&self.history.sources).enumerate() {
            while let Some(stop) = stops.next_if(|stop| *stop <= line.time) {
                pass.stop(stop);
            }
            pass.record(&source.decode(line, &self.decoder, &mut key));
            progress.applied(index as u64 + 1);
        }
        stops.for_each(|stop| pass.stop(stop));
    }
}

/// One time through the history.
struct Pass<'o> {
    engine: Engine,
    observer: &'o mut dyn Observer,
}

impl Pass<'_> {
    fn stop(&mut self, at: Time) {
        let progress = self.engine.advance_clock(at.just_before(), usize::MAX);
        assert_eq!(progress, ClockProgress::Done, "any number of timers may fire");
        self.take_signals(None);
        self.observer.stop(&mut self.engine, at);
    }

    fn record(&mut self, event: &Event<'_>) {
        self.observer.record(event);
        let outcome = match &event.subject {
            Subject::Customer(customer) => {
                self.engine.handle_record(customer.key, event.shop, &customer.record, usize::MAX)
            }
            Subject::Erasure { key, record } => self.engine.handle_erasure(*key, record, usize::MAX),
            Subject::Guest(guest) => self.engine.handle_guest(event.shop, &guest.record, usize::MAX),
        };
        let came_back = self.take_signals(RecordContext::of(event).as_ref());
        if matches!(outcome, Outcome::Applied(Applied::Order { first: false, .. })) && !came_back {
            self.observer.ordered_in_time();
        }
    }

    /// Whether a customer came back who was at risk or lapsed.
    fn take_signals(&mut self, record: Option<&RecordContext<'_>>) -> bool {
        let mut came_back = false;
        for (key, signal) in self.engine.drain_signals() {
            came_back |= matches!(signal.kind, SignalKind::Recovered { .. } | SignalKind::WonBack { .. });
            self.observer.emitted(key, &signal, record);
        }
        self.engine.changes_committed();
        came_back
    }
}
