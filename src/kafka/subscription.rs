//! What a group member reads, and which logs come with each partition that it is assigned.

use std::sync::Arc;

use super::context::partition;
use super::lookup::number;
use super::settings::KafkaSettings;
use crate::topic::{Input, Partition, Topic};

/// The topics of a group.
pub enum Subscription {
    /// `orders` alone; partition p of every other input is taken up and given back together with partition p of `orders`.
    Inputs(Arc<KafkaSettings>),
    /// Any topics, with any number of partitions. Each partition of each is assigned for itself.
    Raw(RawPartitions),
}

/// The partitions of several topics under numbers of this process: in the order in which they were first assigned.
pub struct RawPartitions {
    topics: Vec<String>,
    /// Which topic, and which partition of it.
    numbered: Vec<(usize, i32)>,
}

impl Subscription {
    /// The topics to subscribe to.
    pub fn topics(&self) -> Vec<&str> {
        match self {
            Self::Inputs(settings) => vec![settings.topic_name(Topic::Input(Input::Orders))],
            Self::Raw(raw) => raw.topics.iter().map(String::as_str).collect(),
        }
    }

    /// The logs of a partition, in the order of inputs.
    pub fn logs(&self, partition: Partition) -> impl Iterator<Item = (&str, i32)> {
        let count = match self {
            Self::Inputs(_) => Input::COUNT,
            Self::Raw(_) => 1,
        };
        (0..count).map(move |index| self.log(partition, index))
    }

    /// Topic and number of one log of a partition.
    pub fn log(&self, partition: Partition, index: usize) -> (&str, i32) {
        match self {
            Self::Inputs(settings) => {
                (settings.topic_name(Topic::Input(Input::ALL[index])), number(partition))
            }
            Self::Raw(raw) => raw.log(partition),
        }
    }

    /// The partition that the group means.
    pub fn partition_of(&mut self, topic: &str, number: i32) -> Partition {
        match self {
            Self::Inputs(_) => partition(number),
            Self::Raw(raw) => raw.partition_of(topic, number),
        }
    }
}

impl RawPartitions {
    pub fn new(topics: Vec<String>) -> Self {
        Self { topics, numbered: Vec::new() }
    }

    fn log(&self, partition: Partition) -> (&str, i32) {
        let (topic, number) = self.numbered[partition.0 as usize];
        (&self.topics[topic], number)
    }

    fn partition_of(&mut self, topic: &str, number: i32) -> Partition {
        let topic = self.topics.iter().position(|known| known == topic);
        let log = (topic.expect("the group assigns what was subscribed to"), number);
        let index = self.numbered.iter().position(|known| *known == log).unwrap_or_else(|| {
            self.numbered.push(log);
            self.numbered.len() - 1
        });
        Partition(u32::try_from(index).expect("fewer partitions than a group could have"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_partitions_keep_their_numbers() {
        let mut subscription = Subscription::Raw(RawPartitions::new(vec!["a".to_owned(), "b".to_owned()]));
        let numbers = [("b", 3), ("a", 3), ("b", 3), ("a", 0)]
            .map(|(topic, number)| subscription.partition_of(topic, number));
        assert_eq!(numbers, [0, 1, 0, 2].map(Partition));
        assert_eq!(subscription.logs(Partition(1)).collect::<Vec<_>>(), [("a", 3)]);
    }
}
