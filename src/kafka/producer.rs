//! The transactional producer of a slot, with a commit that does not wait for a polling interval.
//!
//! ```text
//!  open ─► begin ─► send … ─► flush ─► send_offsets ─► commit ─► begin …
//!                      └─────────┴───────────┴─► abort ──────────┘
//! ```
//!
//! The safe client's commit takes 100 ms whenever records are in flight, because its flush polls in slices of that length.
//! Here the flush itself shows success (only failed deliveries are reported), and the calls go to librdkafka directly.

#![expect(
    unsafe_code,
    reason = "the fast commit path, records without a name lookup each, and offsets under a given membership have no safe call"
)]

use std::cell::Cell;
use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka_sys as sys;
use sys::rd_kafka_vtype_t as Kind;

use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::queue::milliseconds;
use super::settings::{BATCH_SIZE, SEND_QUEUE};
use crate::stream::broker::Membership;

/// How long one wait inside a flush or an abort lasts before events are served in between.
const SLICE: Duration = Duration::from_millis(20);

/// With so many records under way, some partition may have as many requests in flight as it may, unless there are many
/// partitions. While a flush is asked for, the client's thread asks it without end whether it may send more; so a flush is asked
/// for in moments only.
const MANY: i32 = 20_000;
/// Long enough to send what does not fill a batch.
const FLUSH_MOMENT: Duration = Duration::from_millis(1);
/// Between two such moments batches that are full go out as there is room.
const BETWEEN_MOMENTS: Duration = Duration::from_millis(9);

/// How long a record waits for room in the client's queue before the call fails because it is full.
const ROOM_WAIT: Duration = Duration::from_millis(100);
/// Between two looks whether there is room. The client's poll asks without a wait for the last millisecond of its time, so a
/// short wait would be mostly that.
const ROOM_LOOK: Duration = Duration::from_millis(10);

/// Librdkafka's word for "choose by the key".
const BY_KEY: i32 = rdkafka::producer::PARTITION_UA;

/// A producer with one transactional id, and the topics that it writes to.
pub struct TransactionalProducer {
    /// Before the client, so that they are given back before it is destroyed.
    topics: Vec<NativeTopic>,
    client: BaseProducer<Callbacks>,
    /// How many full batches the client's queue has room for.
    batches_max: u64,
    /// The partitions that were ever named, modulo the number of bits.
    partitions: Cell<u64>,
}

/// A topic that is written to.
pub struct Written<'a> {
    pub name: &'a str,
    /// Instead of the client's.
    pub compression: Option<&'static CStr>,
}

/// A record for [`TransactionalProducer::send`].
pub struct Outgoing<'a> {
    /// Index into the topics that the producer was made with.
    pub topic: usize,
    /// None: by the key.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Offsets for [`TransactionalProducer::send_offsets`].
pub struct GroupOffsets<'a> {
    pub group: &'a str,
    /// The name of a static member.
    pub instance: Option<&'a str>,
    pub membership: &'a Membership,
    pub list: &'a TopicPartitionList,
}

impl TransactionalProducer {
    /// Makes the client; nothing is sent yet.
    ///
    /// # Errors
    /// If the client refuses its settings.
    pub fn create(
        config: &ClientConfig,
        callbacks: Callbacks,
        topics: &[Written<'_>],
    ) -> Result<Self, ClientError> {
        let client = BaseProducer::from_config_and_context(config, callbacks)
            .map_err(|error| ClientError::from_kafka(Call::Create, &error))?;
        let topics = topics.iter().map(|topic| NativeTopic::new(&client, topic)).collect::<Result<_, _>>()?;
        let number = |name| config.get(name).and_then(|text| text.parse::<u64>().ok());
        let batches_max = match (number(SEND_QUEUE), number(BATCH_SIZE)) {
            (Some(queue_kib), Some(batch_bytes)) => (queue_kib << 10) / batch_bytes.max(1),
            _ => u64::MAX / 2,
        };
        Ok(Self { topics, client, batches_max, partitions: Cell::new(0) })
    }

    /// Takes the transactional id over: whatever was open under it is aborted when this succeeds. Until then the same call
    /// goes on where it was.
    pub fn init(&self, within: Duration) -> Result<(), ClientError> {
        // SAFETY: the client is alive; a returned error is ours.
        let result = unsafe {
            let error = sys::rd_kafka_init_transactions(self.native(), at_least_one(within));
            ClientError::from_native(Call::OpenProducer, error)
        };
        self.serve();
        result
    }

    pub fn begin(&self) -> Result<(), ClientError> {
        self.serve();
        self.client.context().take_failed_delivery();
        // SAFETY: as in `init`.
        unsafe { ClientError::from_native(Call::Begin, sys::rd_kafka_begin_transaction(self.native())) }
    }

    /// Queues a copy of the record. If the queue is full, waits for a while: a flush instead would send batches half full. Not if
    /// there may be nothing but such.
    pub fn send(&self, record: &Outgoing<'_>) -> Result<(), ClientError> {
        let mut full_since = None;
        loop {
            match self.queue(record) {
                Err(error) if error.code == RDKafkaErrorCode::QueueFull => {
                    let full_since = full_since.get_or_insert_with(Instant::now);
                    if self.is_crowded() || full_since.elapsed() >= ROOM_WAIT {
                        return Err(error);
                    }
                    // Reports of failed records are what frees their room.
                    self.client.poll(ROOM_LOOK);
                }
                other => return other,
            }
        }
    }

    fn queue(&self, record: &Outgoing<'_>) -> Result<(), ClientError> {
        let topic = self.topics[record.topic].native.as_ptr();
        let partition = record.partition.unwrap_or(BY_KEY);
        if partition != BY_KEY {
            self.partitions.set(self.partitions.get() | 1 << (partition % 64));
        }
        if record.headers.is_empty() {
            self.send_bare(topic, partition, record)
        } else {
            self.send_with_headers(topic, partition, record)
        }
    }

    /// Waits until every record is acknowledged; the same call goes on after a time-out.
    pub fn flush(&self, within: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now() + within;
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let has_many = self.client.in_flight_count() > MANY && !self.is_crowded();
            let slice = remaining.min(if has_many { FLUSH_MOMENT } else { SLICE });
            // SAFETY: the client is alive.
            let flushed = unsafe { sys::rd_kafka_flush(self.native(), milliseconds(slice)) };
            // A record that failed counts as outstanding until its report is taken, so only then there is one to take.
            if flushed.is_error() {
                self.serve();
            }
            if let Some(error) = self.client.context().take_failed_delivery() {
                return Err(self.cause_of(error));
            }
            if !flushed.is_error() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(ClientError::timed_out(Call::Flush));
            }
            if has_many {
                self.client.poll(BETWEEN_MOMENTS.min(remaining));
            }
        }
    }

    /// Whether batches that are half full, one for each partition of each topic, fill the queue.
    fn is_crowded(&self) -> bool {
        let partitions = u64::from(self.partitions.get().count_ones()) * self.topics.len() as u64;
        partitions > 2 * self.batches_max
    }

    /// Adds offsets to the transaction. Blocks for `within`, and a socket time-out longer if the broker is silent.
    pub fn send_offsets(&self, offsets: &GroupOffsets<'_>, within: Duration) -> Result<(), ClientError> {
        let metadata = GroupMetadata::new(offsets)?;
        // SAFETY: the client, the list and the metadata are alive until the call returns.
        let result = unsafe {
            let error = sys::rd_kafka_send_offsets_to_transaction(
                self.native(),
                offsets.list.ptr(),
                metadata.0.as_ptr(),
                at_least_one(within),
            );
            ClientError::from_native(Call::SendOffsets, error)
        };
        self.serve();
        result
    }

    /// One slice of a commit. To be called after a flush; a retriable error means that the same call goes on.
    pub fn commit(&self, within: Duration) -> Result<(), ClientError> {
        self.serve();
        // SAFETY: as in `init`.
        unsafe {
            let error = sys::rd_kafka_commit_transaction(self.native(), at_least_one(within));
            ClientError::from_native(Call::Commit, error)
        }
    }

    /// Aborts. The client waits for the reports of the records that it purges, and they are only served between its slices.
    pub fn abort(&self, within: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now() + within;
        loop {
            let slice = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            // SAFETY: as in `init`.
            let result = unsafe {
                let error = sys::rd_kafka_abort_transaction(self.native(), at_least_one(slice));
                ClientError::from_native(Call::Abort, error)
            };
            self.serve();
            match result {
                Err(error) if error.retriable && Instant::now() < deadline => {}
                other => return other,
            }
        }
    }

    /// Takes all waiting events: failed deliveries, logs, errors, statistics.
    pub fn serve(&self) {
        // SAFETY: the client is alive, and the reference to its queue is given back.
        let waiting = unsafe {
            let queue = sys::rd_kafka_queue_get_main(self.native());
            let waiting = sys::rd_kafka_queue_length(queue);
            sys::rd_kafka_queue_destroy(queue);
            waiting
        };
        for _ in 0..waiting {
            self.client.poll(Duration::ZERO);
        }
    }

    pub fn callbacks(&self) -> &Callbacks {
        self.client.context()
    }

    fn send_bare(
        &self,
        topic: *mut sys::rd_kafka_topic_t,
        partition: i32,
        record: &Outgoing<'_>,
    ) -> Result<(), ClientError> {
        let (value, value_size) = parts(record.value);
        let (key, key_size) = parts(record.key);
        // SAFETY: topic and client are alive; the client copies key and value before it returns.
        let code = unsafe {
            let result = sys::rd_kafka_produce(
                topic,
                partition,
                sys::RD_KAFKA_MSG_F_COPY,
                value,
                value_size,
                key,
                key_size,
                ptr::null_mut(),
            );
            if result == 0 {
                return Ok(());
            }
            sys::rd_kafka_last_error()
        };
        Err(self.cause_of(ClientError::new(Call::Send, code.into())))
    }

    fn send_with_headers(
        &self,
        topic: *mut sys::rd_kafka_topic_t,
        partition: i32,
        record: &Outgoing<'_>,
    ) -> Result<(), ClientError> {
        let headers = NativeHeaders::new(record.headers);
        let (value, value_size) = parts(record.value);
        let (key, key_size) = parts(record.key);
        let mut arguments = [
            argument(Kind::RD_KAFKA_VTYPE_RKT),
            argument(Kind::RD_KAFKA_VTYPE_PARTITION),
            argument(Kind::RD_KAFKA_VTYPE_MSGFLAGS),
            argument(Kind::RD_KAFKA_VTYPE_VALUE),
            argument(Kind::RD_KAFKA_VTYPE_KEY),
            argument(Kind::RD_KAFKA_VTYPE_HEADERS),
        ];
        arguments[0].u.rkt = topic;
        arguments[1].u.i32_ = partition;
        arguments[2].u.i = sys::RD_KAFKA_MSG_F_COPY;
        arguments[3].u.mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: value, size: value_size };
        arguments[4].u.mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: key, size: key_size };
        arguments[5].u.headers = headers.0.as_ptr();
        // SAFETY: each argument's kind tells the field that was set; what they point to is alive until the call returns.
        unsafe {
            let error = sys::rd_kafka_produceva(self.native(), arguments.as_ptr(), arguments.len());
            ClientError::from_native(Call::Send, error).map_err(|error| self.cause_of(error))?;
        }
        // The record owns them now.
        std::mem::forget(headers);
        Ok(())
    }

    /// The error that has ended the client or failed the transaction, if there is one: what else fails is its consequence.
    fn cause_of(&self, error: ClientError) -> ClientError {
        if let Some((code, message)) = self.client.client().fatal_error() {
            return ClientError { code, fatal: true, message, ..ClientError::new(error.call, code) };
        }
        if !error.is_consequence() {
            return error;
        }
        // Another transaction is refused while one is open; if that one has failed, with what has failed it.
        // SAFETY: as in `init`.
        let refused =
            unsafe { ClientError::from_native(error.call, sys::rd_kafka_begin_transaction(self.native())) };
        match refused {
            Err(cause) if cause.requires_abort => cause,
            Err(_) | Ok(()) => error,
        }
    }

    fn native(&self) -> *mut sys::rd_kafka_t {
        self.client.client().native_ptr()
    }
}

/// A topic by handle, so that no record pays for a lookup by name.
struct NativeTopic {
    native: NonNull<sys::rd_kafka_topic_t>,
}

// SAFETY: handles of librdkafka may be used from any thread.
unsafe impl Send for NativeTopic {}

impl NativeTopic {
    fn new(client: &BaseProducer<Callbacks>, topic: &Written<'_>) -> Result<Self, ClientError> {
        let refused = |code| ClientError::new(Call::Create, code);
        let name = CString::new(topic.name).map_err(|_| refused(RDKafkaErrorCode::InvalidTopic))?;
        let client = client.client().native_ptr();
        // SAFETY: the client is alive, and the texts until the calls return; the settings are ours until the topic has them.
        unsafe {
            let config = sys::rd_kafka_default_topic_conf_dup(client);
            if let Some(compression) = topic.compression {
                let (key, no_text) = (c"compression.type".as_ptr(), ptr::null_mut());
                let result = sys::rd_kafka_topic_conf_set(config, key, compression.as_ptr(), no_text, 0);
                if result != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                    sys::rd_kafka_topic_conf_destroy(config);
                    return Err(refused(RDKafkaErrorCode::InvalidArgument));
                }
            }
            let native = sys::rd_kafka_topic_new(client, name.as_ptr(), config);
            Ok(Self { native: NonNull::new(native).ok_or_else(|| refused(RDKafkaErrorCode::InvalidTopic))? })
        }
    }
}

impl Drop for NativeTopic {
    fn drop(&mut self) {
        // SAFETY: made in `new` and given back once, before its client is.
        unsafe { sys::rd_kafka_topic_destroy(self.native.as_ptr()) };
    }
}

struct NativeHeaders(NonNull<sys::rd_kafka_headers_t>);

impl NativeHeaders {
    fn new(headers: &[(&str, &[u8])]) -> Self {
        // SAFETY: the list is alive; librdkafka copies names and values.
        unsafe {
            let native = NonNull::new(sys::rd_kafka_headers_new(headers.len()))
                .expect("librdkafka aborts without memory");
            for (name, value) in headers {
                sys::rd_kafka_header_add(
                    native.as_ptr(),
                    name.as_ptr().cast(),
                    size(name.as_bytes()),
                    value.as_ptr().cast(),
                    size(value),
                );
            }
            Self(native)
        }
    }
}

impl Drop for NativeHeaders {
    fn drop(&mut self) {
        // SAFETY: made in `new`; forgotten once a record owns them.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}

struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

impl GroupMetadata {
    fn new(offsets: &GroupOffsets<'_>) -> Result<Self, ClientError> {
        let text = |text: &str| {
            CString::new(text)
                .map_err(|_| ClientError::new(Call::SendOffsets, RDKafkaErrorCode::InvalidArgument))
        };
        let group = text(offsets.group)?;
        let member = text(&offsets.membership.member)?;
        let instance = offsets.instance.map(text).transpose()?;
        // SAFETY: librdkafka copies the texts.
        let native = unsafe {
            sys::rd_kafka_consumer_group_metadata_new_with_genid(
                group.as_ptr(),
                offsets.membership.generation,
                member.as_ptr(),
                instance.as_deref().map_or(ptr::null(), CStr::as_ptr),
            )
        };
        Ok(Self(NonNull::new(native).expect("librdkafka aborts without memory")))
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: made in `new` and given back once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) };
    }
}

/// A list of next offsets with the texts that are kept beside them.
pub(super) fn offset_list<'a>(
    offsets: impl Iterator<Item = (&'a str, i32, i64, &'a str)>,
) -> Result<TopicPartitionList, ClientError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset, metadata) in offsets {
        let mut element = list.add_partition(topic, partition);
        element
            .set_offset(Offset::Offset(offset))
            .map_err(|error| ClientError::from_kafka(Call::SendOffsets, &error))?;
        element.set_metadata(metadata);
    }
    Ok(list)
}

fn argument(kind: Kind) -> sys::rd_kafka_vu_t {
    sys::rd_kafka_vu_t { vtype: kind, u: sys::rd_kafka_vu_s__bindgen_ty_1 { _pad: [0; 64] } }
}

/// Start and size as librdkafka takes them: null is "none", which is not the same as empty.
fn parts(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| (bytes.as_ptr().cast_mut().cast(), bytes.len()))
}

fn size(bytes: &[u8]) -> isize {
    isize::try_from(bytes.len()).expect("slices are never longer")
}

/// Zero would end a transactional call before the client's own thread could have answered.
fn at_least_one(within: Duration) -> i32 {
    milliseconds(within).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_full_batches_of_many_partitions_crowd_the_queue() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:9").set("transactional.id", "shop-one-0");
        config.set(SEND_QUEUE, "2048").set(BATCH_SIZE, "1000000");
        let topics = ["a", "b"].map(|name| Written { name, compression: None });
        let producer = TransactionalProducer::create(&config, Callbacks::new("test", None), &topics)
            .expect("settings that the client takes");
        let is_crowded_after = |partition| {
            let record = Outgoing { topic: 0, partition, key: None, value: None, headers: &[] };
            // Refused, since no transaction is open; it was named all the same.
            producer.send(&record).expect_err("a transaction is missing");
            producer.is_crowded()
        };
        let partitions = [Some(0), Some(1), Some(1), None, Some(64), Some(2)];
        assert_eq!(partitions.map(is_crowded_after), [false, false, false, false, false, true]);
    }
}
