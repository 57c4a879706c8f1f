//! Handles each signal of retention-signals once.
//!
//! Three things make it so, and each consumer needs all of them:
//!
//! - `isolation.level=read_committed`: records of aborted transactions stay in the topic, and some clients' default shows them;
//! - the ids of handled signals are kept where the effect is, here both are the line of a file, so that a repetition has none;
//! - offsets are committed after the effect: a crash in between repeats records, which is harmless, and loses none.
//!
//! ```text
//! cargo run --example signals -- BOOTSTRAP_SERVERS [TOPIC [GROUP [FILE [once]]]]
//! ```

use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};

/// How many records may be handled before their effects are synced and their offsets committed.
const BATCH: usize = 500;
const POLL: Duration = Duration::from_millis(500);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |fallback: &str| arguments.next().unwrap_or_else(|| fallback.to_owned());
    let bootstrap_servers = argument("localhost:9092");
    let topic = argument("retention.signals");
    let group = argument("signals-rust");
    let file = argument("signals.jsonl");
    let once = argument("") == "once";

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .create()?;
    consumer.subscribe(&[&topic])?;
    let mut effects = Effects::open(Path::new(&file))?;
    let mut at_end = BTreeSet::new();
    loop {
        let mut records = 0;
        while records < BATCH {
            match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    effects.handle(&message)?;
                    records += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    at_end.insert(partition);
                    break;
                }
                Some(Err(error)) => return Err(error.into()),
                None => break,
            }
        }
        effects.file.sync_data()?;
        if records > 0 {
            consumer.commit_consumer_state(CommitMode::Sync)?;
        }
        let assigned = consumer.assignment()?.count();
        if once && assigned > 0 && at_end.len() >= assigned {
            return Ok(());
        }
    }
}

/// The effects of signals: the lines of a file, each of which begins with an id.
struct Effects {
    file: File,
    handled: HashSet<String>,
}

impl Effects {
    /// A line that a crash has cut short has no end: its signal is handled again.
    fn open(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let end = text.rfind('\n').map_or(0, |last| last + 1);
        let ids = text[..end].lines().filter_map(|line| line.split(' ').next());
        let handled = ids.map(str::to_owned).collect();
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(end as u64)?;
        Ok(Self { file, handled })
    }

    fn handle(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Box<dyn Error>> {
        let id = id(message).ok_or("a signal has a header ce_id")?;
        if self.handled.insert(id.to_owned()) {
            let value = message.payload_view::<str>().ok_or("a signal has a value")??;
            writeln!(self.file, "{id} {value}")?;
            println!("{id} {}", message.key_view::<str>().ok_or("a signal has a key")??);
        }
        Ok(())
    }
}

/// The id is a header too, so that no JSON is needed to drop a repetition.
fn id<'m>(message: &'m BorrowedMessage<'_>) -> Option<&'m str> {
    let header = message.headers()?.iter().find(|header| header.key == "ce_id")?;
    std::str::from_utf8(header.value?).ok()
}
