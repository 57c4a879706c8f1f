//! Whether the brokers answer, whatever else the service has to do: asked every second, from before the start to the end.
//!
//! ```text
//!            ┌── an answer ──┐                       ┌── no answer: one line a minute ──┐
//!            ▼               │                       ▼                                  │
//!  ────► answering ──────────┴── no answer ──────► silent ──────────────────────────────┤
//!            ▲                                       │                                  │
//!            └───────────── an answer ───────────────┘         longer than `commit.patience`: given up
//! ```
//!
//! A worker without records makes no call that fails, so without this an outage would show in nothing. Every change of state is
//! one line in the log, one readiness reason and one gauge.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::layout::failure;
use super::queue::{SharedConsumer, serve};
use super::settings::KafkaSettings;
use super::trouble::Troubles;
use crate::exit::{Exit, Failure};
use crate::observe::metrics::Metrics;
use crate::observe::status::ServiceStatus;
use crate::topic::{Input, Topic};

/// A broker answers in milliseconds; one that is busy or far gets this long.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// One small question a second costs a broker nothing.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// While nothing changes, the log says so this often.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The thread that asks; it ends when this is dropped.
pub struct BrokerWatch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Where what is found out goes.
pub struct WatchReports {
    pub status: ServiceStatus,
    pub metrics: Arc<Metrics>,
    /// Where all clients of the process note failed connections.
    pub troubles: Arc<Troubles>,
}

impl BrokerWatch {
    /// Starts to ask. Beside it comes the failure that the service is to end with once no broker has answered for `patience`.
    ///
    /// # Errors
    /// The client refuses its settings, or the system has no thread left.
    pub fn start(
        settings: &KafkaSettings,
        patience: Duration,
        reports: WatchReports,
    ) -> Result<(Self, oneshot::Receiver<Failure>), Failure> {
        let callbacks = Callbacks::new("watch", None).with_troubles(Arc::clone(&reports.troubles));
        let client = BaseConsumer::from_config_and_context(&settings.read_uncommitted_client(), callbacks)
            .map_err(|error| ClientError::from_kafka(Call::Create, &error))
            .map_err(|error| failure("prepare the Kafka client", error.into()))?;
        let (give_up, given_up) = oneshot::channel();
        let asker = Asker {
            client: Arc::new(client),
            servers: settings.bootstrap_servers().to_owned(),
            topic: settings.topic_name(Topic::Input(Input::Orders)).to_owned(),
            patience,
            reports,
            answering: None,
            give_up: Some(give_up),
        };
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let thread = thread::Builder::new()
            .name("broker-watch".to_owned())
            .spawn(move || asker.run(&stopped))
            .map_err(|error| Failure::new(Exit::Unavailable, error))?;
        Ok((Self { stop: Some(stop), thread: Some(thread) }, given_up))
    }
}

/// The question under way is not waited for: its client blocks for up to its longest answer time, and the process ends.
impl Drop for BrokerWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take());
    }
}

struct Asker {
    client: SharedConsumer,
    servers: String,
    topic: String,
    patience: Duration,
    reports: WatchReports,
    /// None before the first answer or the first silence.
    answering: Option<Answering>,
    /// Taken when it is used.
    give_up: Option<oneshot::Sender<Failure>>,
}

/// What was found last.
enum Answering {
    Yes {
        /// When a line said that some connections fail although brokers answer.
        troubled_at: Option<Instant>,
    },
    No(Silence),
}

/// Questions without an answer, one after the other.
struct Silence {
    /// Time that was really spent on waiting for answers: a process that stood still has not waited.
    lasted: Duration,
    /// How long it had lasted when a line said so.
    logged_at: Duration,
    reason: String,
}

impl Asker {
    fn run(mut self, stopped: &Receiver<()>) {
        loop {
            // Troubles from before the question: if brokers answer it, they concern some connections only.
            let earlier = self.reports.troubles.take();
            let asked_at = Instant::now();
            let is_answered =
                self.client.fetch_metadata(Some(&self.topic), ANSWER_MAX.min(self.patience)).is_ok();
            let took = asked_at.elapsed();
            // An error here is among the troubles.
            let _noted = serve(&self.client);
            if is_answered {
                self.on_answer(earlier);
            } else if took <= 2 * ANSWER_MAX {
                self.on_silence(took, earlier);
            }
            if stopped.recv_timeout(ASK_EVERY) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn on_answer(&mut self, trouble: Option<String>) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = i64::try_from(since_epoch.as_millis()).expect("wall time before the year 292 million");
        self.reports.status.on_brokers_answer(at_ms);
        self.reports.metrics.on_brokers_answer(at_ms);
        let mut troubled_at = None;
        match &self.answering {
            None => {}
            Some(Answering::No(silence)) => {
                let seconds = silence.lasted.as_secs();
                info!(servers = self.servers, seconds, "Kafka answers again");
                // Noted while this question was on its way.
                self.reports.troubles.take();
            }
            Some(Answering::Yes { troubled_at: last }) => {
                troubled_at = *last;
                let is_due = last.is_none_or(|last| last.elapsed() >= LOG_EVERY);
                if let Some(reason) = trouble.filter(|_| is_due) {
                    warn!(reason, "a connection to Kafka failed, others answer");
                    troubled_at = Some(Instant::now());
                }
            }
        }
        self.answering = Some(Answering::Yes { troubled_at });
    }

    fn on_silence(&mut self, took: Duration, earlier: Option<String>) {
        let reason = self.reports.troubles.take().or(earlier);
        let (mut silence, is_new) = match self.answering.take() {
            Some(Answering::No(silence)) => (silence, false),
            Some(Answering::Yes { .. }) | None => {
                let reason = format!("no answer within {} s", took.as_secs());
                (Silence { lasted: Duration::ZERO, logged_at: Duration::ZERO, reason }, true)
            }
        };
        silence.lasted += if is_new { took } else { took + ASK_EVERY };
        silence.reason = reason.unwrap_or(silence.reason);
        self.reports.status.on_brokers_silent(&silence.reason);
        self.reports.metrics.on_brokers_silent();
        let (servers, reason) = (&self.servers, &silence.reason);
        if is_new {
            warn!(servers, reason, "Kafka does not answer");
        } else if silence.lasted - silence.logged_at >= LOG_EVERY {
            let seconds = silence.lasted.as_secs();
            warn!(servers, reason, seconds, "Kafka still does not answer");
            silence.logged_at = silence.lasted;
        }
        if silence.lasted >= self.patience
            && let Some(give_up) = self.give_up.take()
        {
            // A service that is ending already has dropped the receiver.
            let _ends_already = give_up.send(self.unreachable(&silence));
        }
        self.answering = Some(Answering::No(silence));
    }

    /// Why the service ends: with 77 if the brokers refuse the credentials.
    fn unreachable(&self, silence: &Silence) -> Failure {
        let refusal = self.client.context().take_refusal();
        let exit = if refusal.is_some() { Exit::Permission } else { Exit::Unavailable };
        let (servers, seconds) = (&self.servers, silence.lasted.as_secs());
        // The reason names the server, which need not be said twice if there is one only.
        let reason = silence.reason.strip_prefix(&format!("{servers}: ")).unwrap_or(&silence.reason);
        let message = format!(
            "cannot reach Kafka at {servers}: {reason} (tried for {seconds} s, `commit.patience`); nothing is lost, start again once \
             Kafka is there"
        );
        Failure::message(exit, message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rdkafka::ClientConfig;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::subscriber::{Subscriber, with_default};
    use tracing::{Event, Metadata};

    use super::*;
    use crate::observe::metrics::Vocabulary;

    /// The messages of a thread.
    #[derive(Clone, Default)]
    struct Messages(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Messages {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().ends_with("watch")
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut Message(self));
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    struct Message<'a>(&'a Messages);

    impl Visit for Message<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                self.0.0.lock().expect("no panic under this lock").push(format!("{value:?}"));
            }
        }
    }

    fn asker(patience: Duration) -> (Asker, oneshot::Receiver<Failure>) {
        let mut config = ClientConfig::new();
        config.set("group.id", "test");
        let client = BaseConsumer::from_config_and_context(&config, Callbacks::new("test", None));
        let vocabulary = Vocabulary { version: "0", revision: "0", currencies: Vec::new() };
        let metrics = Metrics::new(&prometheus::Registry::new(), &vocabulary).expect("names are free");
        let (status, _) = ServiceStatus::new(1, Instant::now());
        let reports = WatchReports { status, metrics: Arc::new(metrics), troubles: Arc::default() };
        let (give_up, given_up) = oneshot::channel();
        let asker = Asker {
            client: Arc::new(client.expect("a client without brokers")),
            servers: "k:9092".to_owned(),
            topic: "orders".to_owned(),
            patience,
            reports,
            answering: None,
            give_up: Some(give_up),
        };
        (asker, given_up)
    }

    #[test]
    fn an_outage_is_one_line_when_it_begins_one_a_minute_and_one_when_it_ends() {
        let messages = Messages::default();
        with_default(messages.clone(), || {
            let (mut asker, _given_up) = asker(Duration::MAX);
            asker.on_answer(None);
            // Eleven minutes, in which every client notes a failed connection again and again.
            for _ in 0..11 * 60 / 4 {
                asker
                    .reports
                    .troubles
                    .note("k:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused");
                let earlier = asker.reports.troubles.take();
                asker.on_silence(Duration::from_secs(3), earlier);
            }
            asker.on_answer(Some("k:9092: connection refused".to_owned()));
            asker.on_answer(None);
        });
        let messages = messages.0.lock().expect("no panic under this lock").clone();
        let (first, last) = (messages.first().map(String::as_str), messages.last().map(String::as_str));
        assert_eq!((first, last), (Some("Kafka does not answer"), Some("Kafka answers again")));
        let minutes = messages.iter().filter(|message| *message == "Kafka still does not answer").count();
        assert_eq!((minutes, messages.len()), (10, 12), "{messages:?}");
    }

    #[test]
    fn a_connection_that_fails_while_others_answer_is_one_line_a_minute() {
        let messages = Messages::default();
        with_default(messages.clone(), || {
            let (mut asker, _given_up) = asker(Duration::MAX);
            (0..50).for_each(|_| asker.on_answer(Some("k:9092: connection refused".to_owned())));
        });
        let messages = messages.0.lock().expect("no panic under this lock").clone();
        assert_eq!(messages, ["a connection to Kafka failed, others answer"]);
    }

    #[test]
    fn the_service_is_given_up_after_its_patience_with_the_reason() {
        let (mut asker, mut given_up) = asker(Duration::from_secs(30));
        asker.reports.troubles.note("k:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused");
        for seconds in [3, 7, 11, 15, 19, 23, 27] {
            asker.on_silence(Duration::from_secs(3), None);
            assert!(given_up.try_recv().is_err(), "after {seconds} s");
        }
        asker.on_silence(Duration::from_secs(3), None);
        let failure = given_up.try_recv().expect("given up");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert_eq!(
            failure.to_string(),
            "cannot reach Kafka at k:9092: connection refused (tried for 31 s, `commit.patience`); nothing is lost, start again \
             once Kafka is there"
        );
    }

    #[test]
    fn an_answer_begins_the_patience_anew() {
        let (mut asker, mut given_up) = asker(Duration::from_secs(10));
        for _ in 0..5 {
            asker.on_silence(Duration::from_secs(3), None);
            asker.on_silence(Duration::from_secs(3), None);
            asker.on_answer(None);
        }
        assert!(given_up.try_recv().is_err());
    }
}
