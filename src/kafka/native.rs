//! Small questions to a consumer that the safe client does not pass on.

#![expect(unsafe_code, reason = "the safe client has no call for any of these")]

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

use super::context::Callbacks;
use super::error::{Call, ClientError};
use crate::stream::broker::Membership;

/// The membership as the client knows it now.
pub fn membership(consumer: &BaseConsumer<Callbacks>) -> Result<Membership, ClientError> {
    // SAFETY: the client is alive; the metadata is ours and given back after its texts were copied.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return Err(ClientError::new(Call::Group, RDKafkaErrorCode::UnknownGroup));
        }
        let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
        let membership = Membership {
            generation: sys::rd_kafka_consumer_group_metadata_generation_id(metadata),
            member: CStr::from_ptr(member).to_string_lossy().into_owned(),
        };
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        Ok(membership)
    }
}

/// The high watermark of the last answer to a fetch, if the client ever fetched the partition.
pub fn cached_high_watermark(consumer: &BaseConsumer<Callbacks>, topic: &str, partition: i32) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive, and the name and the numbers until the call returns.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (!code.is_error() && high >= 0).then_some(high)
}

/// Behind the last record that was taken and the control records after it; none if none was taken since the last seek.
pub fn position_of(
    consumer: &BaseConsumer<Callbacks>,
    topic: &str,
    partition: i32,
) -> Result<Option<i64>, ClientError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition);
    // SAFETY: the client and the list are alive.
    let code = unsafe { sys::rd_kafka_position(consumer.client().native_ptr(), list.ptr()) };
    if code.is_error() {
        return Err(ClientError::new(Call::Query, code.into()));
    }
    Ok(match list.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    })
}

/// CLOCK_BOOTTIME, which goes on while the machine sleeps.
pub fn boot_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is alive; the clock exists on every Linux that Rust supports.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert_eq!(code, 0, "CLOCK_BOOTTIME cannot be read");
    Duration::new(
        u64::try_from(time.tv_sec).expect("starts at zero"),
        u32::try_from(time.tv_nsec).expect("below a second"),
    )
}
