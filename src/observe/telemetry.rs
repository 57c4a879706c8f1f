//! Logs: text on a terminal, JSON otherwise, on standard error; counted by level.
//!
//! Customer ids and amounts are logged only as [`Redacted`].

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash},
    io::{self, IsTerminal},
    sync::{Arc, OnceLock},
};

use tracing::{
    Event, Level, Subscriber, dispatcher, error,
    field::{Field, Visit},
    subscriber::with_default,
};
use tracing_subscriber::{
    Layer,
    field::RecordFields,
    filter::LevelFilter,
    fmt::{
        self, FormatFields, MakeWriter,
        format::{Format, Full, Json, JsonFields, Writer},
    },
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::exit::Failure;
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
    let installed = match form(settings.format) {
        Form::Text => registry.with(text(io::stderr).with_ansi(io::stderr().is_terminal())).try_init(),
        Form::Json => registry.with(json(io::stderr)).try_init(),
    };
    installed.map_err(|_| LoggerInstalled)
}

/// The last line of a service's log: why it ends. Before a logger is installed, a person gets plain text, a machine JSON.
pub fn log_failure(settings: LogSettings, failure: &Failure) {
    let exit_code = failure.exit.code();
    if dispatcher::has_been_set() {
        error!(exit_code, "{failure}");
        return;
    }
    match form(settings.format) {
        Form::Text => eprintln!("error: {failure}"),
        Form::Json => with_default(tracing_subscriber::registry().with(json(io::stderr)), || {
            error!(exit_code, "{failure}");
        }),
    }
}

enum Form {
    Text,
    Json,
}

fn form(format: LogFormat) -> Form {
    match format {
        LogFormat::Auto if io::stderr().is_terminal() => Form::Text,
        LogFormat::Text => Form::Text,
        LogFormat::Auto | LogFormat::Json => Form::Json,
    }
}

fn text<S, W>(writer: W) -> fmt::Layer<S, PlainFields, Format<Full>, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fmt::layer().fmt_fields(PlainFields).with_writer(writer).with_target(false)
}

fn json<S, W>(writer: W) -> fmt::Layer<S, JsonFields, Format<Json>, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(writer)
}

/// `name=value`, with quotes only around what would not be one word without them.
struct PlainFields;

impl<'w> FormatFields<'w> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> std::fmt::Result {
        let mut visitor = PlainVisitor { writer, is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct PlainVisitor<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: std::fmt::Result,
}

impl PlainVisitor<'_> {
    fn put(&mut self, field: &Field, value: &str) {
        let space = if self.is_first { "" } else { " " };
        self.is_first = false;
        let is_word = !value.is_empty()
            && !value.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '='));
        let written = match field.name() {
            "message" => write!(self.writer, "{space}{value}"),
            name if is_word => write!(self.writer, "{space}{name}={value}"),
            name => write!(self.writer, "{space}{name}={value:?}"),
        };
        self.result = self.result.and(written);
    }
}

impl Visit for PlainVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
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

impl<T: Hash> std::fmt::Display for Redacted<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let hash = KEY.get_or_init(RandomState::new).hash_one(&self.0);
        write!(formatter, "redacted-{:08x}", hash >> 32)
    }
}

impl<T: Hash> std::fmt::Debug for Redacted<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use prometheus::Registry;
    use tracing::warn;

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

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic under this lock").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(log: impl FnOnce(Written)) -> String {
        let written = Written::default();
        log(written.clone());
        let bytes = written.0.lock().expect("no panic under this lock").clone();
        String::from_utf8(bytes).expect("logs are UTF-8")
    }

    #[test]
    fn fields_are_plain_values_in_both_forms() {
        let log = || {
            let error = io::Error::other("the disk is full\nERROR forged");
            warn!(servers = "k:9092", partitions = "0,1", seconds = 1.5, name = "", %error, "no {}", "snapshot");
        };
        let line = written(|writer| {
            let layer = text(move || writer.clone()).with_ansi(false);
            with_default(tracing_subscriber::registry().with(layer), log);
        });
        let expected = r#"no snapshot servers=k:9092 partitions=0,1 seconds=1.5 name="" error="the disk is full\nERROR forged""#;
        assert!(line.trim_end().ends_with(&format!(" WARN {expected}")), "{line}");
        let line = written(|writer| {
            with_default(tracing_subscriber::registry().with(json(move || writer.clone())), log);
        });
        let mut fields: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
        fields.as_object_mut().expect("an object").retain(|name, _| name != "timestamp" && name != "target");
        let expected = serde_json::json!({
            "level": "WARN", "message": "no snapshot", "servers": "k:9092", "partitions": "0,1", "seconds": 1.5, "name": "",
            "error": "the disk is full\nERROR forged",
        });
        assert_eq!(fields, expected);
    }
}
