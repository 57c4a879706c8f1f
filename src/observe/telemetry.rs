//! Logs: text on a terminal, JSON otherwise, on standard error; counted by level.
//!
//! Customer ids and amounts are logged only as [`Redacted`].

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hash},
    io::{self, IsTerminal},
    sync::{Arc, OnceLock},
};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::LevelFilter,
    fmt::layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::observe::metrics::{self, Metrics};

/// A value that no log may show: printed as a short code.
///
/// The same value has the same code until the process ends, so that lines about one customer can be found together;
/// the customer cannot be found from it, not even by hashing a list of customers, because the hash has a random key.
pub struct Redacted<T>(pub T);

/// Counts every message that is written.
struct CountMessages {
    metrics: Arc<Metrics>,
}

/// Another logger is installed in this process already.
#[derive(Debug, thiserror::Error)]
#[error("a logger is installed already")]
pub struct LoggerInstalled;

/// Installs the logger of the process. Called once, by `main`.
pub fn install(settings: &LogSettings, metrics: &Arc<Metrics>) -> Result<(), LoggerInstalled> {
    let registry = tracing_subscriber::registry()
        .with(level_filter(settings.level))
        .with(CountMessages { metrics: Arc::clone(metrics) });
    let on_terminal = io::stderr().is_terminal();
    let as_text = match settings.format {
        LogFormat::Auto => on_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let installed = if as_text {
        registry.with(layer().with_writer(io::stderr).with_ansi(on_terminal).with_target(false)).try_init()
    } else {
        registry
            .with(layer().json().flatten_event(true).with_span_list(false).with_writer(io::stderr))
            .try_init()
    };
    installed.map_err(|_| LoggerInstalled)
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for CountMessages {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => metrics::LogLevel::Error,
            Level::WARN => metrics::LogLevel::Warn,
            Level::INFO => metrics::LogLevel::Info,
            Level::DEBUG => metrics::LogLevel::Debug,
            Level::TRACE => metrics::LogLevel::Trace,
        };
        self.metrics.on_log_message(level);
    }
}

impl<T: Hash> fmt::Display for Redacted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let hash = KEY.get_or_init(RandomState::new).hash_one(&self.0);
        write!(formatter, "redacted-{:08x}", hash >> 32)
    }
}

impl<T: Hash> fmt::Debug for Redacted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use tracing::{subscriber::with_default, warn};

    use super::*;
    use crate::observe::metrics::Vocabulary;

    #[test]
    fn a_redacted_value_is_recognised_but_not_read() {
        // No part of the value can occur in a code by chance: the letters are none of its digits.
        let printed = format!("{} {:?}", Redacted("smith"), Redacted("smith"));
        assert!(!printed.contains("smith"), "{printed}");
        let (first, second) = printed.split_once(' ').expect("two codes");
        assert_eq!(first, second);
        assert_ne!(first, Redacted("jones").to_string());
    }

    #[test]
    fn messages_above_the_level_are_counted() {
        let vocabulary = Vocabulary { version: "0", revision: "0", currencies: Vec::new() };
        let metrics = Arc::new(Metrics::new(&Registry::new(), &vocabulary).expect("names are free"));
        let subscriber = tracing_subscriber::registry()
            .with(level_filter(LogLevel::Warn))
            .with(CountMessages { metrics: Arc::clone(&metrics) });
        with_default(subscriber, || {
            warn!("odd but handled");
            tracing::info!("below the level");
        });
        let text = metrics.render();
        assert!(text.contains("retention_log_messages_total{level=\"warn\"} 1\n"), "{text}");
        assert!(text.contains("retention_log_messages_total{level=\"info\"} 0\n"), "{text}");
    }
}
