//! Records that keep coming while something else happens.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::kafka::{Client, Record};

const FLUSH_PATIENCE: Duration = Duration::from_secs(60);

/// A thread that appends a chunk of records after each pause, on one connection and in their order.
pub struct Feed {
    finish: Sender<()>,
    thread: JoinHandle<Result<usize>>,
}

impl Feed {
    pub fn start(
        client: &Client,
        topic: &str,
        records: Vec<Record>,
        chunk: usize,
        pause: Duration,
    ) -> Result<Feed> {
        let mut config = client.config();
        config.set("partitioner", "murmur2_random").set("enable.idempotence", "true").set("linger.ms", "0");
        let producer: BaseProducer = config.create()?;
        let (finish, finished) = mpsc::channel();
        let topic = topic.to_owned();
        let thread = thread::Builder::new().name("feed".to_owned()).spawn(move || {
            let mut is_hurrying = false;
            for chunk in records.chunks(chunk) {
                for record in chunk {
                    append(&producer, record.to(&topic))?;
                }
                producer.poll(Duration::ZERO);
                // While a test waits for the end, pauses only delay it.
                is_hurrying =
                    is_hurrying || finished.recv_timeout(pause) != Err::<(), _>(RecvTimeoutError::Timeout);
            }
            producer.flush(FLUSH_PATIENCE)?;
            Ok(records.len())
        })?;
        Ok(Feed { finish, thread })
    }

    /// Appends what is left without further pauses. Gives how many records there were in all.
    pub fn finish(self) -> Result<usize> {
        let _has_ended_already = self.finish.send(());
        self.thread.join().map_err(|_| anyhow!("the feed has panicked"))?
    }

    /// Whether every record was appended.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Appends a record once the queue of the producer has room: behind a slow broker it is full.
fn append(producer: &BaseProducer, record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
    let deadline = Instant::now() + FLUSH_PATIENCE;
    let mut unsent = record;
    loop {
        match producer.send(unsent) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => unsent = same,
            Err((error, _)) => return Err(error.into()),
        }
        ensure!(Instant::now() < deadline, "the broker has taken no record in {FLUSH_PATIENCE:?}");
        producer.poll(Duration::from_millis(100));
    }
}
