//! What brokers must allow, and whom: one table, which `acls print` prints and by which a refusal is explained.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::admin::{Admin, Allowed};
use super::check::{Refused, refused_transaction};
use super::layout::{Look, failure};
use super::settings::KafkaSettings;
use crate::config::{KafkaOptions, Topics, combiner_group, intake_group};
use crate::exit::{Exit, Failure};
use crate::topic::{Input, Output, Topic};

/// One question.
const WITHIN: Duration = Duration::from_secs(5);

/// What may be done, in Kafka's words. Read and Write on a topic include Describe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    Read,
    Write,
    Create,
    Describe,
    DescribeConfigs,
}

/// What an operation is done with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Resource {
    Topic(String),
    Group(String),
    /// All ids with this prefix: each worker of an instance has an id of its own.
    TransactionalIds(String),
}

/// One operation with one resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Right {
    pub resource: Resource,
    pub operation: Operation,
}

/// Who needs rights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// Runs `run` and `check`.
    Service,
    /// Runs `intake`.
    Intake,
    /// Runs `intake load`.
    Loader,
    /// Runs `topics plan` and `topics apply`.
    Operator,
    /// Runs `dead-letters list` and `dead-letters show`.
    Reviewer,
    /// Runs `dead-letters requeue`.
    Repairer,
    /// Runs `erase`.
    Eraser,
    /// Runs `fit --publish`, `registry list` and `registry withdraw`.
    Publisher,
    /// Reads signals and profiles, in this group.
    Consumer(String),
    /// Writes orders, returns and erasures: the shop.
    Producer,
}

/// All that a role needs, and nothing more. An intake reads `raw_topics`; without one there are none. What it has refused is written to
/// them again.
pub fn rights(topics: &Topics, raw_topics: &[String], application: &str, role: &Role) -> Vec<Right> {
    let mut rights = Vec::new();
    for topic in topics.all() {
        let name = topics.name(topic);
        let resource = || Resource::Topic(name.to_owned());
        rights
            .extend(on_topic(topic, role).iter().map(|&operation| Right { resource: resource(), operation }));
    }
    let of_raw_topics = || raw_topics.iter().map(|topic| Right::on_topic(Operation::Read, topic));
    let intake = || Resource::Group(intake_group(application));
    match role {
        Role::Service => {
            rights.extend(of_raw_topics());
            if !raw_topics.is_empty() {
                // How far the intake is: before wall time may move a clock.
                rights.push(Right { resource: intake(), operation: Operation::Describe });
            }
            let resource = Resource::Group(application.to_owned());
            rights.push(Right { resource, operation: Operation::Read });
            if topics.writes_registry {
                rights.push(Right::on_topic(Operation::Write, topics.name(Topic::Registry)));
            }
            if topics.has_shares {
                let resource = Resource::Group(combiner_group(application));
                rights.push(Right { resource, operation: Operation::Read });
            }
            let resource = Resource::TransactionalIds(format!("{application}-"));
            rights.push(Right { resource, operation: Operation::Write });
        }
        Role::Intake => {
            rights.extend(of_raw_topics());
            rights.push(Right { resource: intake(), operation: Operation::Read });
            let resource = Resource::TransactionalIds(format!("{}-", intake_group(application)));
            rights.push(Right { resource, operation: Operation::Write });
        }
        Role::Loader => {
            rights.extend(raw_topics.iter().map(|topic| Right::on_topic(Operation::Describe, topic)));
            // Whether `run` or the intake has started.
            for resource in [Resource::Group(application.to_owned()), intake()] {
                rights.push(Right { resource, operation: Operation::Describe });
            }
            let resource = Resource::TransactionalIds(format!("{}-", intake_group(application)));
            rights.push(Right { resource, operation: Operation::Write });
        }
        Role::Consumer(group) => {
            rights.push(Right { resource: Resource::Group(group.clone()), operation: Operation::Read });
        }
        Role::Repairer => {
            rights.extend(raw_topics.iter().map(|topic| Right::on_topic(Operation::Write, topic)));
        }
        Role::Operator | Role::Reviewer | Role::Eraser | Role::Publisher | Role::Producer => {}
    }
    rights
}

fn on_topic(topic: Topic, role: &Role) -> &'static [Operation] {
    use Operation::{Create, Describe, DescribeConfigs, Read, Write};
    match (role, topic) {
        (Role::Service, Topic::Input(_)) => &[Read, DescribeConfigs],
        (Role::Service, Topic::Registry) => &[Read],
        (Role::Service, Topic::Output(Output::Changelog | Output::Shares)) => &[Read, Write, DescribeConfigs],
        (
            Role::Service,
            Topic::Output(Output::Signals | Output::Customers | Output::DeadLetters | Output::ShopMetrics),
        ) => &[Write, DescribeConfigs],
        (Role::Intake, Topic::Input(_) | Topic::Output(Output::DeadLetters)) => &[Write, DescribeConfigs],
        (Role::Loader, Topic::Input(_)) => &[Read, Write, DescribeConfigs],
        (Role::Loader, Topic::Output(Output::DeadLetters)) => &[Describe, DescribeConfigs],
        (Role::Loader, Topic::Output(Output::Changelog)) => &[Describe],
        (
            Role::Loader,
            Topic::Output(Output::Signals | Output::Customers | Output::Shares | Output::ShopMetrics)
            | Topic::Registry,
        ) => &[],
        (
            Role::Intake,
            Topic::Output(
                Output::Signals
                | Output::Customers
                | Output::Changelog
                | Output::Shares
                | Output::ShopMetrics,
            )
            | Topic::Registry,
        ) => &[],
        (Role::Operator, Topic::Input(_) | Topic::Output(_)) => &[Create, Describe, DescribeConfigs],
        (Role::Operator, Topic::Registry) => &[Create, Describe],
        (Role::Reviewer | Role::Repairer, Topic::Output(Output::DeadLetters)) => &[Read],
        (Role::Consumer(_), Topic::Output(Output::Signals | Output::Customers | Output::ShopMetrics)) => {
            &[Read]
        }
        (Role::Eraser, Topic::Input(Input::Erasures)) => &[Write],
        (Role::Repairer | Role::Producer, Topic::Input(_)) => &[Write],
        (Role::Publisher, Topic::Registry) => &[Read, Write],
        (Role::Publisher, Topic::Input(_) | Topic::Output(_)) => &[],
        (Role::Reviewer | Role::Eraser | Role::Consumer(_), Topic::Input(_)) => &[],
        (Role::Consumer(_), Topic::Output(Output::DeadLetters | Output::Changelog | Output::Shares)) => &[],
        (Role::Reviewer | Role::Repairer, Topic::Output(_)) => &[],
        (Role::Eraser | Role::Producer, Topic::Output(_)) => &[],
        (
            Role::Reviewer | Role::Repairer | Role::Eraser | Role::Consumer(_) | Role::Producer,
            Topic::Registry,
        ) => &[],
    }
}

impl Operation {
    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
            Self::Describe => "Describe",
            Self::DescribeConfigs => "DescribeConfigs",
        }
    }
}

impl Resource {
    /// The name, or the prefix of the names.
    pub fn name(&self) -> &str {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::TransactionalIds(name) => name,
        }
    }

    fn topic(&self) -> Option<&str> {
        match self {
            Self::Topic(name) => Some(name),
            Self::Group(_) | Self::TransactionalIds(_) => None,
        }
    }

    /// The arguments that name it to `kafka-acls.sh`.
    fn arguments(&self) -> String {
        match self {
            Self::Topic(name) => format!("--topic {name}"),
            Self::Group(name) => format!("--group {name}"),
            Self::TransactionalIds(prefix) => {
                format!("--resource-pattern-type prefixed --transactional-id {prefix}")
            }
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(formatter, "topic {name}"),
            Self::Group(name) => write!(formatter, "group {name}"),
            Self::TransactionalIds(prefix) => write!(formatter, "transactional ids with prefix {prefix}"),
        }
    }
}

/// The command that allows operations with a resource. Names of topics, groups and ids need no quotes.
pub fn grant(servers: &str, principal: &str, resource: &Resource, operations: &[Operation]) -> String {
    let operations: Vec<_> =
        operations.iter().map(|operation| format!("--operation {}", operation.name())).collect();
    format!(
        "kafka-acls.sh --bootstrap-server {servers} --command-config admin.properties --add --allow-principal {} {} {}",
        quoted(principal),
        operations.join(" "),
        resource.arguments()
    )
}

/// As a shell reads it: names of certificates have spaces and commas.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-:@=/".contains(letter);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The brokers' name for the user that a configuration logs in as, as far as it shows.
pub fn principal(options: &KafkaOptions) -> String {
    let protocol = options.get("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
    match (protocol.starts_with("sasl_"), options.get("sasl.username")) {
        (true, Some(name)) => format!("User:{name}"),
        // A token, a ticket or a certificate holds the name.
        (true, None) => "User:NAME".to_owned(),
        (false, _) if protocol == "ssl" && has_certificate(options) => "User:NAME".to_owned(),
        (false, _) => "User:ANONYMOUS".to_owned(),
    }
}

fn has_certificate(options: &KafkaOptions) -> bool {
    ["ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"]
        .iter()
        .any(|name| options.get(name).is_some())
}

impl KafkaSettings {
    /// The rights without which a command of the role fails. The settings of inputs are only remarked upon.
    pub fn required(&self, role: &Role) -> Vec<Right> {
        let inputs = Input::ALL.map(|input| self.topic_name(Topic::Input(input)));
        let is_remark = |right: &Right| {
            right.operation == Operation::DescribeConfigs && inputs.contains(&right.resource.name())
        };
        let mut required = rights(&self.topics, &self.raw_topics, &self.application, role);
        required.retain(|right| !is_remark(right));
        required
    }

    /// The command that grants a right to the user of this configuration.
    pub(super) fn grant(&self, right: &Right) -> String {
        let servers = self.options.bootstrap_servers().unwrap_or("HOST:9092");
        grant(servers, &principal(&self.options), &right.resource, &[right.operation])
    }
}

impl Right {
    /// A right on a topic.
    pub fn on_topic(operation: Operation, name: &str) -> Self {
        Self { resource: Resource::Topic(name.to_owned()), operation }
    }
}

/// Adds to a refusal which of the rights are missing, and the commands that grant them. Other failures stay as they are, and so does a
/// refusal of the credentials themselves: then the brokers answer no question.
pub fn explain(settings: &KafkaSettings, needed: &[Right], failure: Failure) -> Failure {
    if failure.exit != Exit::Permission {
        return failure;
    }
    let Ok(admin) = Admin::create(settings) else { return failure };
    match missing(&Look { settings, admin: &admin, patience: WITHIN }, needed) {
        Ok(missing) if !missing.is_empty() => {
            let message = format!("{failure}\n{}", wanted(settings, &missing));
            Failure::message(Exit::Permission, message)
        }
        Ok(_) => failure,
        Err(_) => {
            let message = format!("{failure} (`retention-signals check` names the right that is missing)");
            Failure::message(Exit::Permission, message)
        }
    }
}

/// Whether the user of this configuration lacks a right on a topic that is there.
///
/// # Errors
/// The brokers do not answer within `patience`, or refuse.
pub fn lacks(settings: &KafkaSettings, right: &Right, patience: Duration) -> Result<bool, Failure> {
    let admin = Admin::create(settings).map_err(|error| failure("prepare the Kafka client", error))?;
    let look = Look { settings, admin: &admin, patience };
    Ok(!missing(&look, std::slice::from_ref(right))?.is_empty())
}

/// The last step of `check`.
///
/// # Errors
/// [`Exit::Permission`] with what is missing.
pub(super) fn check(look: &Look<'_>) -> Result<(), Failure> {
    let missing = missing(look, &look.settings.required(&Role::Service))?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::message(Exit::Permission, wanted(look.settings, &missing)))
}

/// Rights that are missing, one a line, each with the command that grants it.
pub(super) fn wanted(settings: &KafkaSettings, missing: &[Right]) -> String {
    let principal = principal(&settings.options);
    let lines = missing.iter().map(|right| {
        format!("\n  {} on {}: {}", right.operation.name(), right.resource, settings.grant(right))
    });
    format!(
        "{principal} lacks rights; grant them, or remove the rule that denies them (`acls print` prints all that are needed):{}",
        lines.collect::<String>()
    )
}

/// Those of the needed rights that the brokers do not grant, as far as they tell. A topic that is missing has no rights to look at.
fn missing(look: &Look<'_>, needed: &[Right]) -> Result<Vec<Right>, Failure> {
    let mut names: Vec<_> = needed.iter().filter_map(|right| right.resource.topic()).collect();
    names.sort_unstable();
    names.dedup();
    let allowed = look.patiently("ask for permissions", || look.admin.allowed(&names, WITHIN))?;
    let allowed: BTreeMap<_, _> = names.into_iter().zip(allowed).collect();
    let refused = if needed.iter().any(|right| right.resource.topic().is_none()) {
        refused_transaction(look)?
    } else {
        Refused::Nothing
    };
    let mut missing = Vec::new();
    for right in needed {
        let is_missing = match &right.resource {
            Resource::Topic(name) => {
                is_missing_on_topic(look, name, &allowed[name.as_str()], right.operation)?
            }
            // Only the own group is asked for.
            Resource::Group(name) => refused == Refused::Group && *name == look.settings.application,
            Resource::TransactionalIds(_) => refused == Refused::TransactionalId,
        };
        if is_missing {
            missing.push(right.clone());
        }
    }
    Ok(missing)
}

fn is_missing_on_topic(
    look: &Look<'_>,
    name: &str,
    allowed: &Allowed,
    operation: Operation,
) -> Result<bool, Failure> {
    match (allowed, operation) {
        // Whether a topic may be created shows only in creating it.
        (_, Operation::Create) | (Allowed::Missing, _) => Ok(false),
        (Allowed::Operations(operations), operation) => Ok(!operations.contains(&operation)),
        (Allowed::Hidden, Operation::DescribeConfigs) => {
            let asked = look.patiently(&format!("read the settings of topic {name}"), || {
                look.admin.topic_settings(&[name], WITHIN)
            });
            match asked {
                Ok(_) => Ok(false),
                Err(failure) if failure.exit == Exit::Permission => Ok(true),
                Err(failure) => Err(failure),
            }
        }
        (Allowed::Hidden, Operation::Read | Operation::Write | Operation::Describe) => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Purpose, Sources, load};

    fn settings(assignments: &[&str]) -> KafkaSettings {
        let common = ["kafka.bootstrap.servers=kafka:9092", "application=shop", "shop.currency=EUR"];
        let assignments = common.iter().chain(assignments).map(|text| (*text).to_owned()).collect();
        let sources = Sources { assignments, host_name: Some("one".to_owned()), ..Sources::default() };
        KafkaSettings::new(&load(&sources, Purpose::Kafka).expect("a valid configuration"))
    }

    fn of(role: &Role) -> Vec<String> {
        let settings = settings(&["topics.registry=retention.registry"]);
        rights(&settings.topics, &[], &settings.application, role)
            .iter()
            .map(|right| format!("{} {}", right.operation.name(), right.resource))
            .collect()
    }

    #[test]
    fn the_service_may_create_and_alter_nothing() {
        assert_eq!(
            of(&Role::Service),
            [
                "Read topic orders",
                "DescribeConfigs topic orders",
                "Read topic returns",
                "DescribeConfigs topic returns",
                "Read topic erasures",
                "DescribeConfigs topic erasures",
                "Write topic retention.signals",
                "DescribeConfigs topic retention.signals",
                "Write topic retention.customers",
                "DescribeConfigs topic retention.customers",
                "Write topic retention.dead-letters",
                "DescribeConfigs topic retention.dead-letters",
                "Read topic retention.changelog",
                "Write topic retention.changelog",
                "DescribeConfigs topic retention.changelog",
                "Read topic retention.registry",
                "Read group shop",
                "Write transactional ids with prefix shop-",
            ]
        );
    }

    #[test]
    fn the_service_starts_without_the_settings_of_inputs() {
        let settings = settings(&[]);
        let all = rights(&settings.topics, &[], &settings.application, &Role::Service);
        let required = settings.required(&Role::Service);
        let others: Vec<_> = all.into_iter().filter(|right| !required.contains(right)).collect();
        let inputs = ["orders", "returns", "erasures"];
        assert_eq!(others, inputs.map(|name| Right::on_topic(Operation::DescribeConfigs, name)));
    }

    #[test]
    fn others_may_do_their_own_work_alone() {
        let crm = Role::Consumer("crm".to_owned());
        let consumer = ["Read topic retention.signals", "Read topic retention.customers", "Read group crm"];
        let inputs = ["Write topic orders", "Write topic returns", "Write topic erasures"];
        let dead_letters = "Read topic retention.dead-letters";
        let repairer = [&inputs[..], &[dead_letters]].concat();
        for (role, expected) in [
            (crm, &consumer[..]),
            (Role::Producer, &inputs),
            (Role::Reviewer, &[dead_letters]),
            (Role::Repairer, &repairer),
            (Role::Eraser, &inputs[2..]),
            (Role::Publisher, &["Read topic retention.registry", "Write topic retention.registry"]),
        ] {
            assert_eq!(of(&role), expected, "{role:?}");
        }
    }

    #[test]
    fn the_user_is_named_as_the_brokers_do() {
        let sasl = ["kafka.security.protocol=SASL_SSL", "kafka.sasl.mechanism=SCRAM-SHA-512"];
        let with_name = [&sasl[..], &["kafka.sasl.username=retention"]].concat();
        for (assignments, expected) in [
            (&[][..], "User:ANONYMOUS"),
            (&["kafka.security.protocol=ssl"], "User:ANONYMOUS"),
            (&["kafka.security.protocol=ssl", "kafka.ssl.certificate.location=c.pem"], "User:NAME"),
            (&sasl, "User:NAME"),
            (&with_name, "User:retention"),
        ] {
            assert_eq!(principal(&settings(assignments).options), expected, "{assignments:?}");
        }
    }

    #[test]
    fn a_grant_survives_the_shell() {
        let resource = Resource::TransactionalIds("shop-".to_owned());
        assert_eq!(
            grant("kafka:9092", "User:CN=shop, O=it's", &resource, &[Operation::Write]),
            r"kafka-acls.sh --bootstrap-server kafka:9092 --command-config admin.properties --add --allow-principal 'User:CN=shop, O=it'\''s' --operation Write --resource-pattern-type prefixed --transactional-id shop-"
        );
    }
}
