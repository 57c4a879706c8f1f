//! Which cluster and topic a name stands for, and how long the topic keeps tombstones: asked for local snapshots.

#![expect(
    unsafe_code,
    reason = "the safe client knows no topic ids, and describes configurations with a client of its own only"
)]

use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::queue::milliseconds;
use crate::stream::broker::ChangelogIdentity;

const TOMBSTONE_RETENTION: &str = "delete.retention.ms";

/// None if the brokers know no topic ids, as those before 2.8.
pub fn identity(
    client: &BaseConsumer<Callbacks>,
    topic: &str,
    within: Duration,
) -> Result<Option<ChangelogIdentity>, ClientError> {
    let name =
        CString::new(topic).map_err(|_| ClientError::new(Call::Query, RDKafkaErrorCode::InvalidTopic))?;
    let cluster = cluster_id(client, within).ok_or_else(|| ClientError::timed_out(Call::Query))?;
    let topic = topic_id(client, &name, within)?;
    if topic == [0; 16] {
        return Ok(None);
    }
    let tombstone_retention = tombstone_retention(client, &name, within)?;
    Ok(Some(ChangelogIdentity { cluster, topic, tombstone_retention }))
}

fn cluster_id(client: &BaseConsumer<Callbacks>, within: Duration) -> Option<String> {
    let native = client.client().native_ptr();
    // SAFETY: the client is alive; the text is ours and given back after it was copied.
    unsafe {
        let text = sys::rd_kafka_clusterid(native, milliseconds(within));
        if text.is_null() {
            return None;
        }
        let id = CStr::from_ptr(text).to_string_lossy().into_owned();
        sys::rd_kafka_mem_free(native, text.cast());
        Some(id)
    }
}

fn topic_id(
    client: &BaseConsumer<Callbacks>,
    name: &CStr,
    within: Duration,
) -> Result<[u8; 16], ClientError> {
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let mut names = [name.as_ptr()];
    // SAFETY: the collection is destroyed here, after its last use; what the event points to is read while it lives.
    unsafe {
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let found = ask(
            client,
            kind,
            within,
            |native, options, queue| sys::rd_kafka_DescribeTopics(native, collection, options, queue),
            |event| {
                let mut count = 0;
                let result = sys::rd_kafka_event_DescribeTopics_result(event);
                let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
                if count != 1 {
                    return Err(ClientError::new(Call::Query, RDKafkaErrorCode::UnknownTopicOrPartition));
                }
                let topic = *topics;
                let code = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic));
                if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return Err(ClientError::new(Call::Query, code.into()));
                }
                let id = sys::rd_kafka_TopicDescription_topic_id(topic);
                let high = sys::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
                let low = sys::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
                Ok((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
            },
        );
        sys::rd_kafka_TopicCollection_destroy(collection);
        found
    }
}

fn tombstone_retention(
    client: &BaseConsumer<Callbacks>,
    name: &CStr,
    within: Duration,
) -> Result<Duration, ClientError> {
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
    // SAFETY: the resource is destroyed here, after its last use; what the event points to is read while it lives.
    unsafe {
        let mut resource = sys::rd_kafka_ConfigResource_new(
            sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
            name.as_ptr(),
        );
        let found = ask(
            client,
            kind,
            within,
            |native, options, queue| {
                sys::rd_kafka_DescribeConfigs(native, &raw mut resource, 1, options, queue);
            },
            |event| {
                let mut count = 0;
                let result = sys::rd_kafka_event_DescribeConfigs_result(event);
                let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
                if count != 1 {
                    return Err(ClientError::new(Call::Query, RDKafkaErrorCode::UnknownTopicOrPartition));
                }
                let code = sys::rd_kafka_ConfigResource_error(*resources);
                if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return Err(ClientError::new(Call::Query, code.into()));
                }
                let entries = sys::rd_kafka_ConfigResource_configs(*resources, &raw mut count);
                (0..count).find_map(|index| retention_of(*entries.add(index))).ok_or_else(|| {
                    let error = ClientError::new(Call::Query, RDKafkaErrorCode::TopicAuthorizationFailed);
                    let message = "the brokers do not show the settings of the changelog".to_owned();
                    ClientError { message, ..error }
                })
            },
        );
        sys::rd_kafka_ConfigResource_destroy(resource);
        found
    }
}

/// # Safety
/// `entry` is a living entry.
unsafe fn retention_of(entry: *const sys::rd_kafka_ConfigEntry_t) -> Option<Duration> {
    // SAFETY: as the caller promises; the texts live as long as the entry.
    unsafe {
        let value = sys::rd_kafka_ConfigEntry_value(entry);
        let name = CStr::from_ptr(sys::rd_kafka_ConfigEntry_name(entry));
        if value.is_null() || name.to_bytes() != TOMBSTONE_RETENTION.as_bytes() {
            return None;
        }
        CStr::from_ptr(value).to_str().ok()?.parse().ok().map(Duration::from_millis)
    }
}

/// One request and its answer.
///
/// # Safety
/// `request` sends a request of this kind that is answered on the queue. `read` gets a living event without an error, and keeps
/// nothing that it points to.
unsafe fn ask<T>(
    client: &BaseConsumer<Callbacks>,
    kind: sys::rd_kafka_admin_op_t,
    within: Duration,
    request: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(*mut sys::rd_kafka_event_t) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    // SAFETY: everything that is made here is destroyed here, after the last use.
    unsafe {
        let native = client.client().native_ptr();
        let queue = sys::rd_kafka_queue_new(native);
        let options = sys::rd_kafka_AdminOptions_new(native, kind);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(within), ptr::null_mut(), 0);
        request(native, options, queue);
        // The request's own time-out ends it; a little longer, so that it is the one that does.
        let event = sys::rd_kafka_queue_poll(queue, milliseconds(within + Duration::from_secs(1)));
        let answer = if event.is_null() {
            Err(ClientError::timed_out(Call::Query))
        } else {
            let code = sys::rd_kafka_event_error(event);
            if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                read(event)
            } else {
                Err(ClientError::new(Call::Query, code.into()))
            }
        };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}
