//! Questions about topics and permissions, and the creation of topics. Nothing here is on a worker's path.

#![expect(unsafe_code, reason = "the safe client cannot ask which operations are authorized")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka_sys as sys;

use super::context::Callbacks;
use super::error::{Call, ClientError};
use super::lookup::{partition_count, refused_or};
use super::queue::{SharedConsumer, milliseconds, serve};
use super::rights::Operation;
use super::settings::KafkaSettings;
use crate::exit::Exit;
use crate::stream::broker::BrokerError;

/// What the credentials may do with a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Allowed {
    /// There is no such topic.
    Missing,
    /// It must not even be described; brokers do not tell what else may be done with it.
    Hidden,
    Operations(Vec<Operation>),
}

/// The clients behind the questions.
pub struct Admin {
    reader: SharedConsumer,
    client: AdminClient<Callbacks>,
}

/// A topic to create.
pub struct TopicToCreate<'a> {
    pub name: &'a str,
    pub partitions: u32,
    /// None: the cluster's default.
    pub replication_factor: Option<u16>,
    pub options: &'a [(&'static str, &'static str)],
}

impl Admin {
    /// Makes the clients; they connect by themselves.
    pub fn create(settings: &KafkaSettings) -> Result<Self, BrokerError> {
        let failed = |error: KafkaError| ClientError::from_kafka(Call::Create, &error);
        if let Some(problem) = settings.missing_credentials() {
            return Err(BrokerError::stop(Exit::Configuration, problem));
        }
        // The workers' clients are made after the brokers have answered, too late to report a mistake.
        settings.check().map_err(failed)?;
        let reader = BaseConsumer::from_config_and_context(
            &settings.read_uncommitted_client(),
            Callbacks::new("admin reader", None),
        );
        let client = AdminClient::from_config_and_context(&settings.admin(), Callbacks::new("admin", None));
        Ok(Self { reader: Arc::new(reader.map_err(failed)?), client: client.map_err(failed)? })
    }

    /// How many brokers the cluster has, from any topic's metadata.
    pub fn broker_count(&self, any_topic: &str, within: Duration) -> Result<usize, BrokerError> {
        let metadata = self.reader.fetch_metadata(Some(any_topic), within);
        metadata.map(|metadata| metadata.brokers().len()).map_err(|error| self.explain(&error))
    }

    /// The partitions of a topic; none if there is no such topic.
    pub fn partition_count(&self, topic: &str, within: Duration) -> Result<Option<u32>, BrokerError> {
        match partition_count(&self.reader, topic, within) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.code == RDKafkaErrorCode::UnknownTopicOrPartition => Ok(None),
            Err(error) => Err(self.explain_client(error)),
        }
    }

    /// How many copies each partition of a topic has, at the least.
    pub fn copies(&self, topic: &str, within: Duration) -> Result<usize, BrokerError> {
        let metadata =
            self.reader.fetch_metadata(Some(topic), within).map_err(|error| self.explain(&error))?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        Ok(partitions.map(|partition| partition.replicas().len()).min().unwrap_or_default())
    }

    /// The settings of topics, in their order.
    pub fn topic_settings(
        &self,
        topics: &[&str],
        within: Duration,
    ) -> Result<Vec<BTreeMap<String, String>>, BrokerError> {
        let resources: Vec<_> = topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let options = AdminOptions::new().request_timeout(Some(within));
        let found = block_on(self.client.describe_configs(&resources, &options));
        let found = found.map_err(|error| self.explain(&error))?;
        // The answer may come in any order.
        let mut of_topic = BTreeMap::new();
        for resource in found {
            let resource = resource.map_err(|code| ClientError::new(Call::Query, code))?;
            if let OwnedResourceSpecifier::Topic(name) = resource.specifier {
                let entries = resource.entries.into_iter();
                let settings: BTreeMap<_, _> =
                    entries.filter_map(|entry| Some((entry.name, entry.value?))).collect();
                of_topic.insert(name, settings);
            }
        }
        topics
            .iter()
            .map(|&name| match of_topic.remove(name) {
                Some(settings) if !settings.is_empty() => Ok(settings),
                // Every topic has settings; the safe client passes over the error that came instead.
                Some(_) | None => {
                    let error = ClientError::new(Call::Query, RDKafkaErrorCode::TopicAuthorizationFailed);
                    let message = format!("the brokers do not show the settings of topic {name}");
                    Err(ClientError { message, ..error }.into())
                }
            })
            .collect()
    }

    /// Creates topics; each either is there afterwards or its error comes.
    pub fn create_topics(&self, topics: &[TopicToCreate<'_>], within: Duration) -> Result<(), BrokerError> {
        let new: Vec<_> = topics.iter().map(TopicToCreate::to_client).collect();
        let options = AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
        let results =
            block_on(self.client.create_topics(&new, &options)).map_err(|error| self.explain(&error))?;
        for result in results {
            match result {
                // Another process was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    let error = ClientError::new(Call::Query, code);
                    let message = format!("create topic {name}: {}", error.message);
                    return Err(ClientError { message, ..error }.into());
                }
            }
        }
        Ok(())
    }

    /// What our credentials may do with each topic, in their order.
    pub fn allowed(&self, topics: &[&str], within: Duration) -> Result<Vec<Allowed>, BrokerError> {
        describe_topics(&self.reader, topics, within).map_err(|error| self.explain_client(error))
    }

    fn explain(&self, error: &KafkaError) -> BrokerError {
        self.explain_client(ClientError::from_kafka(Call::Query, error))
    }

    fn explain_client(&self, error: ClientError) -> BrokerError {
        let _already_logged = serve(&self.reader);
        refused_or(self.reader.context(), error)
    }
}

impl TopicToCreate<'_> {
    fn to_client(&self) -> NewTopic<'_> {
        let partitions = i32::try_from(self.partitions).expect("at most ten thousand");
        // −1 is the broker's word for its default.
        let replication = self.replication_factor.map_or(-1, i32::from);
        let topic = NewTopic::new(self.name, partitions, TopicReplication::Fixed(replication));
        self.options.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
    }
}

/// One request for the authorized operations of topics, in their order.
fn describe_topics(
    client: &SharedConsumer,
    topics: &[&str],
    within: Duration,
) -> Result<Vec<Allowed>, ClientError> {
    let invalid = |_| ClientError::new(Call::Query, RDKafkaErrorCode::InvalidTopic);
    let names =
        topics.iter().map(|&name| CString::new(name).map_err(invalid)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: everything that is made here is destroyed here, after the last use; the names outlive the request.
    unsafe {
        let native = client.client().native_ptr();
        let queue = sys::rd_kafka_queue_new(native);
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = sys::rd_kafka_AdminOptions_new(native, kind);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(within), ptr::null_mut(), 0);
        let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let result = ClientError::from_native(Call::Query, refused).and_then(|()| {
            sys::rd_kafka_DescribeTopics(native, collection, options, queue);
            // The request's own time-out ends it; a little longer, so that it is the one that does.
            let event = sys::rd_kafka_queue_poll(queue, milliseconds(within + Duration::from_secs(1)));
            let allowed = allowed_by(event);
            sys::rd_kafka_event_destroy(event);
            allowed
        });
        sys::rd_kafka_TopicCollection_destroy(collection);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        let mut of_topic = result?;
        Ok(topics.iter().map(|&name| of_topic.remove(name).unwrap_or(Allowed::Hidden)).collect())
    }
}

/// # Safety
/// `event` is null or a living event.
unsafe fn allowed_by(event: *mut sys::rd_kafka_event_t) -> Result<BTreeMap<String, Allowed>, ClientError> {
    use sys::rd_kafka_resp_err_t as Code;
    // SAFETY: as the caller promises; what the event points to lives as long as it does, and texts are copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(ClientError::timed_out(Call::Query));
        }
        let code = sys::rd_kafka_event_error(event);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(ClientError::new(Call::Query, code.into()));
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut of_topic = BTreeMap::new();
        for index in 0..count {
            let topic = *topics.add(index);
            let name =
                CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
            let code = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic));
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                let is_missing = code == Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
                of_topic.insert(name, if is_missing { Allowed::Missing } else { Allowed::Hidden });
                continue;
            }
            let mut operation_count = 0;
            let operations =
                sys::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut operation_count);
            let allowed = (0..operation_count).filter_map(|index| operation(*operations.add(index)));
            of_topic.insert(name, Allowed::Operations(allowed.collect()));
        }
        Ok(of_topic)
    }
}

/// An operation of the table of rights; none for any other.
fn operation(native: sys::rd_kafka_AclOperation_t) -> Option<Operation> {
    use sys::rd_kafka_AclOperation_t as Native;
    [
        (Native::RD_KAFKA_ACL_OPERATION_READ, Operation::Read),
        (Native::RD_KAFKA_ACL_OPERATION_WRITE, Operation::Write),
        (Native::RD_KAFKA_ACL_OPERATION_CREATE, Operation::Create),
        (Native::RD_KAFKA_ACL_OPERATION_DESCRIBE, Operation::Describe),
        (Native::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS, Operation::DescribeConfigs),
    ]
    .into_iter()
    .find_map(|(found, operation)| (found == native).then_some(operation))
}

/// Waits for an answer of the admin client, whose own thread completes it.
fn block_on<T>(answer: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime without drivers opens nothing").block_on(answer)
}
