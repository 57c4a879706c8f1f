//! Records of one partition, taken from the client in batches and read where they lie.
//!
//! A batch call takes records three times as fast as one call for each, but only a partition's own queue may be read so:
//! on the client's main queue it silently drops rebalances.

#![expect(
    unsafe_code,
    reason = "rdkafka has no batch call and no view of a record without its own allocation"
)]

use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka_sys as sys;

use super::context::Callbacks;
use super::error::{Call, ClientError};
use crate::stream::broker::{Offset, RecordBatch, RecordView};

/// A consumer that its queues and batches keep alive: librdkafka must not be destroyed before them.
pub type SharedConsumer = Arc<BaseConsumer<Callbacks>>;

/// Wakes a thread that waits for any of several queues.
#[derive(Default)]
pub struct Alarm {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Alarm {
    /// Ends the current wait, or the next one.
    pub fn ring(&self) {
        *self.rung.lock().expect("no panic under this lock") = true;
        self.changed.notify_one();
    }

    /// Returns when it was rung since the last wait, or after `up_to`.
    pub fn wait(&self, up_to: Duration) {
        let rung = self.rung.lock().expect("no panic under this lock");
        let (mut rung, _) =
            self.changed.wait_timeout_while(rung, up_to, |rung| !*rung).expect("no panic under this lock");
        *rung = false;
    }
}

/// The queue of one partition, split off from the client's main queue.
pub struct PartitionQueue {
    native: NonNull<sys::rd_kafka_queue_t>,
    consumer: SharedConsumer,
    /// Referenced by the client while the queue's callback is set.
    alarm: Option<Arc<Alarm>>,
}

// SAFETY: queues of librdkafka may be used from any thread; it locks them itself.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Splits a partition off. To be called before the partition is assigned, or its first records land in the main queue.
    ///
    /// # Errors
    /// If the client does not know such a partition and cannot make a place for it.
    pub fn split(
        consumer: &SharedConsumer,
        topic: &str,
        partition: i32,
        alarm: Option<Arc<Alarm>>,
    ) -> Result<Self, ClientError> {
        let topic =
            CString::new(topic).map_err(|_| ClientError::new(Call::Group, RDKafkaErrorCode::InvalidTopic))?;
        // SAFETY: the client lives as long as `consumer`, and the name until the call returns.
        let native = unsafe {
            sys::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition)
        };
        let native = NonNull::new(native)
            .ok_or_else(|| ClientError::new(Call::Group, RDKafkaErrorCode::UnknownPartition))?;
        let queue = Self { native, consumer: Arc::clone(consumer), alarm };
        // SAFETY: the queue is alive. The opaque pointer is to the alarm that `queue` owns; the callback is unset in drop
        // before the alarm can go.
        unsafe {
            sys::rd_kafka_queue_forward(native.as_ptr(), std::ptr::null_mut());
            if let Some(alarm) = &queue.alarm {
                let opaque = Arc::as_ptr(alarm).cast_mut().cast::<c_void>();
                sys::rd_kafka_queue_cb_event_enable(native.as_ptr(), Some(ring_alarm), opaque);
            }
        }
        Ok(queue)
    }

    /// Takes records that are at hand, or waits for the first `up_to`; at most `records_max`, perhaps none. The client's
    /// position moves behind what was taken and behind control records.
    pub fn take(&self, records_max: usize, up_to: Duration) -> Taken {
        let mut messages = Vec::new();
        if !up_to.is_zero() {
            // The batch call waits until its array is full: waiting is for the first record only.
            self.take_into(&mut messages, 1, up_to);
            if messages.is_empty() {
                return Taken::default();
            }
        }
        // SAFETY: the queue is alive.
        let at_hand = unsafe { sys::rd_kafka_queue_length(self.native.as_ptr()) };
        let count = at_hand.min(records_max.saturating_sub(messages.len()));
        if count > 0 {
            self.take_into(&mut messages, count, Duration::ZERO);
        }
        if messages.is_empty() { Taken::default() } else { self.sort_out(messages) }
    }

    /// Takes `count` messages, fewer if they do not come within `up_to`.
    fn take_into(&self, messages: &mut Vec<*mut sys::rd_kafka_message_t>, count: usize, up_to: Duration) {
        messages.reserve(count);
        // SAFETY: the queue is alive; there is room for `count` more pointers to messages, which the client hands over, and it
        // tells how many it wrote.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(
                self.native.as_ptr(),
                milliseconds(up_to),
                messages.as_mut_ptr().add(messages.len()),
                count,
            );
            // −1 is an error of the arguments; nothing was written then.
            messages.set_len(messages.len() + usize::try_from(taken).unwrap_or(0));
        }
    }

    /// Errors and ends of partition come through the queue like records.
    fn sort_out(&self, messages: Vec<*mut sys::rd_kafka_message_t>) -> Taken {
        let mut batch = MessageBatch { messages, _consumer: Some(Arc::clone(&self.consumer)) };
        let mut failed = None;
        let mut end = None;
        // SAFETY: every pointer is to a message that this batch owns; one that is taken out is destroyed once.
        batch.messages.retain(|&message| unsafe {
            // Read as a number: the list of codes that the bindings know is not the brokers'.
            let code = (&raw const (*message).err).cast::<i32>().read();
            if code == 0 {
                return true;
            }
            if code == RDKafkaErrorCode::PartitionEOF as i32 {
                end = Some((*message).offset);
            } else {
                let mut error = ClientError::new(Call::Fetch, (*message).err.into());
                let text = sys::rd_kafka_message_errstr(message);
                if !text.is_null() {
                    error.message = CStr::from_ptr(text).to_string_lossy().into_owned();
                }
                failed.get_or_insert(error);
            }
            sys::rd_kafka_message_destroy(message);
            false
        });
        Taken { batch, end, failed }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive and given back once; after the callback is unset, under the queue's lock, nothing
        // refers to the alarm any more.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.native.as_ptr(), None, std::ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.native.as_ptr());
        }
    }
}

unsafe extern "C" fn ring_alarm(_: *mut sys::rd_kafka_t, alarm: *mut c_void) {
    // SAFETY: the pointer is the one given when the callback was set, to an alarm that outlives it.
    unsafe { &*alarm.cast::<Alarm>() }.ring();
}

/// What one call took from a queue.
#[derive(Default)]
pub struct Taken {
    pub batch: MessageBatch,
    /// The end of the partition, if the client reached it and reports ends.
    pub end: Option<i64>,
    pub failed: Option<ClientError>,
}

/// Messages as librdkafka holds them, given back when dropped.
#[derive(Default)]
pub struct MessageBatch {
    messages: Vec<*mut sys::rd_kafka_message_t>,
    _consumer: Option<SharedConsumer>,
}

// SAFETY: the batch owns its messages; librdkafka lets any thread read and destroy them.
unsafe impl Send for MessageBatch {}

impl RecordBatch for MessageBatch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn get(&self, index: usize) -> RecordView<'_> {
        let message = self.messages[index];
        // SAFETY: the batch owns the message and gives it back when dropped, so what it points to lives as long as the view.
        unsafe {
            let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            let timestamp = sys::rd_kafka_message_timestamp(message, &raw mut kind);
            let message = &*message;
            RecordView {
                offset: Offset(u64::try_from(message.offset).expect("offsets of records are not negative")),
                timestamp_ms: (timestamp >= 0).then_some(timestamp),
                key: bytes(message.key, message.key_len),
                value: bytes(message.payload, message.len),
            }
        }
    }

    fn has_header(&self, index: usize, name: &CStr) -> bool {
        let message = self.messages[index];
        let (mut headers, mut value, mut length) = (ptr::null_mut(), ptr::null(), 0);
        let found = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        // SAFETY: the batch owns the message, and with it the headers that the client parses; the pointers are to locals.
        unsafe {
            sys::rd_kafka_message_headers(message, &raw mut headers) == found
                && sys::rd_kafka_header_get_last(headers, name.as_ptr(), &raw mut value, &raw mut length)
                    == found
        }
    }
}

impl MessageBatch {
    /// The headers of a record whose names are UTF-8; a header without a value has an empty one.
    ///
    /// # Panics
    /// If `index` is not below the number of records.
    pub fn headers(&self, index: usize) -> Vec<(&str, &[u8])> {
        let message = self.messages[index];
        let mut found = Vec::new();
        // SAFETY: the batch owns the message; its headers and what they point to live as long as it does.
        unsafe {
            let mut headers = std::ptr::null_mut();
            if sys::rd_kafka_message_headers(message, &raw mut headers).is_error() {
                return found;
            }
            let (mut name, mut value, mut length) = (std::ptr::null(), std::ptr::null(), 0);
            for header in 0.. {
                let code = sys::rd_kafka_header_get_all(
                    headers,
                    header,
                    &raw mut name,
                    &raw mut value,
                    &raw mut length,
                );
                if code.is_error() {
                    break;
                }
                if let Ok(name) = std::ffi::CStr::from_ptr(name).to_str() {
                    found.push((name, bytes(value, length).unwrap_or_default()));
                }
            }
        }
        found
    }
}

impl Drop for MessageBatch {
    fn drop(&mut self) {
        for &message in &self.messages {
            // SAFETY: the batch owns its messages; each is destroyed once.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

/// # Safety
/// `start` is null or points to `length` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    Some(unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// Takes all waiting events of a client: logs, errors, statistics, rebalances. Gives the first error that came.
pub fn serve(consumer: &SharedConsumer) -> Result<(), ClientError> {
    // SAFETY: the client is alive, and the reference to its queue is given back.
    let waiting = unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        let waiting = sys::rd_kafka_queue_length(queue);
        sys::rd_kafka_queue_destroy(queue);
        waiting
    };
    let mut result = Ok(());
    for _ in 0..waiting {
        let event = match consumer.poll(Duration::ZERO) {
            // Its partition was split off when it was assigned, so the client holds another partition of that name now.
            Some(Ok(record)) => Err(ClientError {
                message: format!("topic {} was made anew while it was read", record.topic()),
                ..ClientError::new(Call::Group, RDKafkaErrorCode::UnknownTopicOrPartition)
            }),
            Some(Err(error)) => Err(ClientError::from_kafka(Call::Group, &error)),
            None => Ok(()),
        };
        result = result.and(event);
    }
    result
}

/// A time-out as librdkafka takes it; never its "without end".
pub(super) fn milliseconds(span: Duration) -> i32 {
    i32::try_from(span.as_millis()).unwrap_or(i32::MAX)
}
