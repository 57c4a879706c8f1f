//! What the topics must be like, and what is done about it: looked at before the start, checked step by step, planned,
//! created.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::admin::{Admin, TopicToCreate};
use super::error::ClientError;
use super::probe;
use super::rights::{Operation, Right, Role, explain, principal, wanted};
use super::settings::{KafkaSettings, Layout};
use crate::config::format_duration;
use crate::exit::{Exit, Failure};
use crate::stream::broker::{BrokerError, Capabilities};
use crate::topic::{Input, Output, Topic};

/// One question. An unreachable broker is asked again until the patience is over.
const WITHIN: Duration = Duration::from_secs(5);

/// The least that every output must take: dead letters are cut to fit, and what is written about one customer is far smaller.
pub(super) const MESSAGE_BYTES_MIN: usize = 64 * 1024;

/// Inputs that keep less lose records in an outage over a weekend.
const RETENTION_MS_MIN: u64 = 3 * 24 * 3_600_000;

/// Partitions of topics that are created without a number.
const PARTITIONS_DEFAULT: u32 = 12;

/// A week, after which even a record that is never written again is compacted: an erased customer's earlier records go.
const COMPACTION_LAG: (&str, &str) = ("max.compaction.lag.ms", "604800000");

/// A compacted topic for readers outside of the service.
const COMPACTED: &[(&str, &str)] = &[("cleanup.policy", "compact"), COMPACTION_LAG];

/// Tombstones stay as long as local snapshots may be old, and small segments keep short what a restore reads in vain.
const CHANGELOG: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    COMPACTION_LAG,
    ("delete.retention.ms", "604800000"),
    ("segment.bytes", "134217728"),
    ("min.cleanable.dirty.ratio", "0.3"),
];

/// Shares are read once, soon after they are written; two weeks bridge an outage of the combiner.
const SHARES: &[(&str, &str)] = &[("cleanup.policy", "compact,delete"), ("retention.ms", "1209600000")];

/// Looks at the topics before a start.
///
/// # Errors
/// [`Exit::Unavailable`] if no broker answers within `patience`, [`Exit::Permission`], or [`Exit::Configuration`] with what
/// to do.
pub fn examine(settings: &KafkaSettings, patience: Duration) -> Result<Layout, Failure> {
    let admin = Admin::create(settings).map_err(|error| failure("prepare the Kafka client", error))?;
    let look = Look { settings, admin: &admin, patience };
    let explained = |failure| explain(settings, &settings.required(&Role::Service), failure);
    let partitions = look.partitions().map_err(explained)?;
    let message_bytes_max = look.output_settings().map_err(explained)?;
    let capabilities = Capabilities { transactional_offsets: true, topic_configuration: true };
    Ok(Layout { partitions, message_bytes_max, capabilities })
}

/// What is looked at, and how long.
pub(super) struct Look<'a> {
    pub settings: &'a KafkaSettings,
    pub admin: &'a Admin,
    pub patience: Duration,
}

impl Look<'_> {
    /// The partition count of all inputs and the changelog.
    pub fn partitions(&self) -> Result<u32, Failure> {
        let counts = self.partition_counts()?;
        let missing: Vec<_> = self.settings.topics.all().filter(|topic| counts[topic].is_none()).collect();
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|&topic| self.name(topic)).collect();
            return Err(wrong(format!(
                "no such topic: {}; `topics plan` shows what is to be created and `topics apply` creates it, or name the \
                 right ones in [topics]",
                names.join(", ")
            )));
        }
        let of = |topic| counts[&topic].expect("none is missing");
        let partitions = of(Topic::Input(Input::Orders));
        let together = Topic::co_partitioned().filter(|&topic| of(topic) != partitions);
        let different: Vec<_> =
            together.map(|topic| format!("{} has {}", self.name(topic), of(topic))).collect();
        if !different.is_empty() {
            return Err(wrong(format!(
                "{} has {partitions} partitions, but {}: inputs and changelog must have equally many, so that a customer's \
                 records meet; create the others anew",
                self.name(Topic::Input(Input::Orders)),
                different.join(" and ")
            )));
        }
        for topic in
            Output::OF_SHARES.map(Topic::Output).into_iter().filter(|_| self.settings.topics.has_shares)
        {
            if of(topic) != 1 {
                let name = self.name(topic);
                return Err(wrong(format!(
                    "topic {name} has {} partitions, but must have one; create it anew",
                    of(topic)
                )));
            }
        }
        Ok(partitions)
    }

    /// The partition counts of all topics; none where there is no such topic.
    pub fn partition_counts(&self) -> Result<BTreeMap<Topic, Option<u32>>, Failure> {
        self.settings
            .topics
            .all()
            .map(|topic| {
                let name = self.name(topic);
                let what = format!("look at topic {name}");
                Ok((topic, self.patiently(&what, || self.admin.partition_count(name, WITHIN))?))
            })
            .collect()
    }

    /// The smallest `max.message.bytes` of the outputs, which must all be as they should.
    pub fn output_settings(&self) -> Result<usize, Failure> {
        let outputs: Vec<_> = self.settings.topics.outputs().collect();
        let found = self.settings_of_outputs(&outputs)?;
        let wrong_ones: Vec<_> = found.iter().flat_map(|output| output.faults.iter().cloned()).collect();
        if !wrong_ones.is_empty() {
            return Err(wrong(wrong_ones.join("; ")));
        }
        Ok(found.iter().map(|output| output.message_bytes_max).min().expect("there are outputs"))
    }

    /// What these outputs are set to.
    pub fn settings_of_outputs(&self, outputs: &[Output]) -> Result<Vec<OutputSettings>, Failure> {
        let names: Vec<_> = outputs.iter().map(|&output| self.name(Topic::Output(output))).collect();
        let found = self.patiently("read the settings of the output topics", || {
            self.admin.topic_settings(&names, WITHIN)
        })?;
        Ok(outputs
            .iter()
            .zip(names)
            .zip(found)
            .map(|((&output, name), settings)| OutputSettings::judge(output, name, &settings))
            .collect())
    }

    /// Asks until it is answered or the patience is over.
    pub fn patiently<T>(
        &self,
        what: &str,
        mut ask: impl FnMut() -> Result<T, BrokerError>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.patience;
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(BrokerError::Retry(_)) if Instant::now() < deadline => {}
                Err(error) => return Err(self.failure(what, error)),
            }
        }
    }

    /// The end of a command over an error of the port. What the client says of a broker that it cannot use is hardly more than that;
    /// a look at its addresses tells why.
    fn failure(&self, what: &str, error: BrokerError) -> Failure {
        let may_be_obstacle = match &error {
            BrokerError::Retry(_) => true,
            BrokerError::Stop(Exit::Permission, cause) => {
                cause.downcast_ref::<ClientError>().is_some_and(ClientError::is_of_log_in)
            }
            BrokerError::Stop(..) | BrokerError::AbortTransaction(_) | BrokerError::OutcomeUnknown(..) => {
                false
            }
        };
        let obstacle = if may_be_obstacle { probe::look(&self.settings.options) } else { None };
        let is_away = matches!(error, BrokerError::Retry(_));
        if let Some(probe::Obstacle { exit, sentence }) = obstacle {
            let tried = format!(" (tried for {} s)", self.patience.as_secs());
            return Failure::message(
                exit,
                format!("{what}: {sentence}{}", if is_away { &tried } else { "" }),
            );
        }
        if is_away || !may_be_obstacle {
            return failure(what, error);
        }
        let user = self.settings.user();
        let what =
            format!("{what}: the brokers do not let {user} in; check kafka.sasl.username and its password");
        failure(&what, error)
    }

    /// What inputs are set to, and the copies of every topic, as far as that hurts later. A setting that may not be read is only
    /// noted: the service itself does not need it.
    pub fn remarks(&self) -> Result<Vec<String>, Failure> {
        let mut remarks = Vec::new();
        for input in Input::ALL {
            let name = self.name(Topic::Input(input));
            let found = self.patiently(&format!("read the settings of topic {name}"), || {
                self.admin.topic_settings(&[name], WITHIN)
            });
            match found {
                Ok(found) => remarks.extend(found.iter().flat_map(|settings| judge_input(name, settings))),
                Err(failed) if failed.exit == Exit::Permission => remarks.push(format!(
                    "whether topic {name} is compacted, and how long it keeps records, is not known: {} lacks DescribeConfigs on it; grant \
                     it: {}",
                    principal(&self.settings.options),
                    self.settings.grant(&Right::on_topic(Operation::DescribeConfigs, name))
                )),
                Err(failed) => return Err(failed),
            }
        }
        let mut sole_copies = Vec::new();
        for topic in self.settings.topics.all() {
            let name = self.name(topic);
            let what = format!("look at topic {name}");
            if self.patiently(&what, || self.admin.copies(name, WITHIN))? == 1 {
                sole_copies.push(name);
            }
        }
        if !sole_copies.is_empty() {
            remarks.push(format!(
                "one copy only (replication factor 1) of {}: what one broker loses is lost; use 3 where there are three brokers",
                sole_copies.join(", ")
            ));
        }
        Ok(remarks)
    }

    pub fn name(&self, topic: Topic) -> &str {
        self.settings.topic_name(topic)
    }
}

/// What an output topic is set to.
pub(super) struct OutputSettings {
    pub message_bytes_max: usize,
    /// What keeps the service from starting.
    pub faults: Vec<String>,
    /// What it can live with.
    pub remarks: Vec<String>,
}

impl OutputSettings {
    fn judge(output: Output, name: &str, settings: &BTreeMap<String, String>) -> Self {
        let get = |key: &str| settings.get(key).map_or("", String::as_str);
        let mut judged = Self { message_bytes_max: 0, faults: Vec::new(), remarks: Vec::new() };
        match get("max.message.bytes").parse() {
            Ok(bytes) => judged.message_bytes_max = bytes,
            Err(_) => judged.faults.push(format!("topic {name} does not show its max.message.bytes")),
        }
        if (1..MESSAGE_BYTES_MIN).contains(&judged.message_bytes_max) {
            judged.faults.push(format!(
                "topic {name} takes records of {} bytes only; set its max.message.bytes to {MESSAGE_BYTES_MIN} or more",
                judged.message_bytes_max
            ));
        }
        match output {
            Output::ShopMetrics | Output::Changelog | Output::Customers => {
                if get("cleanup.policy") != "compact" {
                    judged.faults.push(format!(
                        "topic {name} has cleanup.policy={}, which loses state; set it to compact",
                        get("cleanup.policy")
                    ));
                }
                // The default is as good as never.
                if get("max.compaction.lag.ms").parse().is_ok_and(|lag: u64| lag > u64::from(u32::MAX) * 1000)
                {
                    judged.remarks.push(format!(
                        "topic {name} has no max.compaction.lag.ms; an erased customer's earlier records may stay for ever"
                    ));
                }
            }
            Output::Signals | Output::DeadLetters | Output::Shares => {}
        }
        judged
    }
}

/// What an input is set to that loses records before they are read, or before a rebuild can read them again.
fn judge_input(name: &str, settings: &BTreeMap<String, String>) -> Vec<String> {
    let get = |key: &str| settings.get(key).map_or("", String::as_str);
    let mut remarks = Vec::new();
    if get("cleanup.policy").contains("compact") {
        remarks.push(format!(
            "topic {name} has cleanup.policy={}: of each customer only the last record stays, and what is compacted before it is read is \
             lost; set it to delete",
            get("cleanup.policy")
        ));
    }
    let is_deleting = get("cleanup.policy").contains("delete");
    if let Ok(retention_ms) = get("retention.ms").parse::<u64>()
        && is_deleting
        && retention_ms < RETENTION_MS_MIN
    {
        remarks.push(format!(
            "topic {name} keeps its records for {} only (retention.ms={retention_ms}): what is not read by then is lost, and the service \
             stops with 78; keep a week or more",
            format_duration(retention_ms)
        ));
    }
    remarks
}

/// What `topics plan` shows and `topics apply` does.
pub struct TopicPlan {
    settings: Arc<KafkaSettings>,
    admin: Admin,
    patience: Duration,
    missing: Vec<Topic>,
    partitions: u32,
    replication_factor: Option<u16>,
    /// What is there but wrong, and stays so.
    faults: Vec<String>,
    remarks: Vec<String>,
}

impl TopicPlan {
    /// Compares what is there with what is needed. Without `partitions`: as many as the inputs that are there have, else 12.
    ///
    /// # Errors
    /// Those of [`examine`], but for what the plan shows.
    pub fn make(
        settings: Arc<KafkaSettings>,
        patience: Duration,
        partitions: Option<u32>,
        replication_factor: Option<u16>,
    ) -> Result<Self, Failure> {
        let admin = Admin::create(&settings).map_err(|error| failure("prepare the Kafka client", error))?;
        let look = Look { settings: &settings, admin: &admin, patience };
        let explained = |failure| explain(&settings, &settings.required(&Role::Operator), failure);
        let counts = look.partition_counts().map_err(explained)?;
        let there = |topic: &Topic| counts[topic].map(|count| (*topic, count));
        let first = Topic::co_partitioned().find_map(|topic| there(&topic));
        let partitions = partitions.or(first.map(|(_, count)| count)).unwrap_or(PARTITIONS_DEFAULT);
        let mut faults: Vec<_> = Topic::co_partitioned()
            .filter_map(|topic| there(&topic))
            .filter(|&(_, count)| count != partitions)
            .map(|(topic, count)| {
                let name = look.name(topic);
                format!("topic {name} has {count} partitions where {partitions} are wanted; create it anew")
            })
            .collect();
        let outputs: Vec<_> =
            settings.topics.outputs().filter(|&output| counts[&Topic::Output(output)].is_some()).collect();
        let mut remarks = Vec::new();
        if !outputs.is_empty() {
            for output in look.settings_of_outputs(&outputs).map_err(explained)? {
                faults.extend(output.faults);
                remarks.extend(output.remarks);
            }
        }
        let missing: Vec<Topic> = settings.topics.all().filter(|topic| counts[topic].is_none()).collect();
        if missing.is_empty() {
            remarks.extend(look.remarks()?);
        }
        Ok(Self { settings, admin, patience, missing, partitions, replication_factor, faults, remarks })
    }

    fn partitions_of(&self, topic: Topic) -> u32 {
        match topic {
            Topic::Output(Output::Shares | Output::ShopMetrics) | Topic::Registry => 1,
            Topic::Input(_)
            | Topic::Output(Output::Signals | Output::Customers | Output::DeadLetters | Output::Changelog) => {
                self.partitions
            }
        }
    }

    /// One line for each topic that is missing or wrong.
    pub fn lines(&self) -> Vec<String> {
        let created = self.missing.iter().map(|&topic| {
            let options: Vec<_> =
                options(topic).iter().map(|(name, value)| format!(", {name}={value}")).collect();
            let replication = self
                .replication_factor
                .map_or_else(|| "the cluster's default".to_owned(), |factor| factor.to_string());
            format!(
                "create  {}: {} partitions, replication factor {replication}{}",
                self.settings.topic_name(topic),
                self.partitions_of(topic),
                options.concat()
            )
        });
        let wrong = self.faults.iter().map(|fault| format!("wrong   {fault}"));
        let remarks = self.remarks.iter().map(|remark| format!("note    {remark}"));
        let mut lines: Vec<_> = created.chain(wrong).chain(remarks).collect();
        if lines.is_empty() {
            lines.push("nothing to do: every topic is there and as it should be".to_owned());
        }
        lines
    }

    /// Creates what is missing, and waits until it is there. Whether there was anything to create.
    ///
    /// # Errors
    /// [`Exit::Permission`], [`Exit::Unavailable`], or [`Exit::Configuration`] if the cluster refuses a topic.
    pub fn apply(&self) -> Result<bool, Failure> {
        if self.missing.is_empty() {
            return Ok(false);
        }
        let topics: Vec<_> = self
            .missing
            .iter()
            .map(|&topic| TopicToCreate {
                name: self.settings.topic_name(topic),
                partitions: self.partitions_of(topic),
                replication_factor: self.replication_factor,
                options: options(topic),
            })
            .collect();
        let look = Look { settings: &self.settings, admin: &self.admin, patience: self.patience };
        look.patiently("create topics", || self.admin.create_topics(&topics, WITHIN))
            .map_err(|failure| self.explain_creation(failure))?;
        for topic in topics {
            // The controller answers before the brokers know.
            look.patiently("wait for the created topics", || {
                match self.admin.partition_count(topic.name, WITHIN)? {
                    Some(count) if count == topic.partitions => Ok(()),
                    Some(_) | None => {
                        Err(BrokerError::retry(format!("topic {} is not there yet", topic.name)))
                    }
                }
            })?;
        }
        Ok(true)
    }

    /// Whether [`Self::apply`] would create something, or something stays wrong.
    pub fn has_work(&self) -> bool {
        !self.missing.is_empty() || !self.faults.is_empty()
    }

    /// What every topic holds if all are there and fit together: the state in them can be looked at.
    pub fn layout(&self) -> Option<Layout> {
        let capabilities = Capabilities { transactional_offsets: true, topic_configuration: true };
        let layout =
            Layout { partitions: self.partitions, message_bytes_max: MESSAGE_BYTES_MIN, capabilities };
        (!self.has_work()).then_some(layout)
    }

    /// Something else is wrong with what is there.
    pub fn add_fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Something else is worth a look.
    pub fn add_remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    fn explain_creation(&self, failure: Failure) -> Failure {
        if failure.exit != Exit::Permission {
            return failure;
        }
        let right = |&topic: &Topic| Right::on_topic(Operation::Create, self.settings.topic_name(topic));
        let rights: Vec<_> = self.missing.iter().map(right).collect();
        Failure::message(Exit::Permission, format!("{failure}\n{}", wanted(&self.settings, &rights)))
    }

    /// What stays wrong after [`Self::apply`].
    ///
    /// # Errors
    /// [`Exit::Configuration`] if anything does.
    pub fn verdict(&self) -> Result<(), Failure> {
        if self.faults.is_empty() { Ok(()) } else { Err(wrong(self.faults.join("; "))) }
    }
}

fn options(topic: Topic) -> &'static [(&'static str, &'static str)] {
    match topic {
        Topic::Output(Output::Customers | Output::ShopMetrics) | Topic::Registry => COMPACTED,
        Topic::Output(Output::Changelog) => CHANGELOG,
        Topic::Output(Output::Shares) => SHARES,
        Topic::Input(_) | Topic::Output(Output::Signals | Output::DeadLetters) => &[],
    }
}

fn wrong(message: String) -> Failure {
    Failure::message(Exit::Configuration, message)
}

/// The end of a command over an error of the port.
pub(super) fn failure(what: &str, error: BrokerError) -> Failure {
    let (exit, cause) = match error {
        BrokerError::Stop(exit, cause) => (exit, cause),
        BrokerError::Retry(cause) => (Exit::Unavailable, cause),
        BrokerError::AbortTransaction(cause) | BrokerError::OutcomeUnknown(_, cause) => {
            (Exit::Unavailable, cause)
        }
    };
    Failure::new(exit, anyhow!(cause).context(what.to_owned()))
}
