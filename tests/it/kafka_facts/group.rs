//! Facts about consumer groups and the offsets that transactions commit for them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::member::{Member, poll_until};
use super::{PATIENCE, append, classified, transaction_error, transactional_producer};
use crate::kafka::{self, Client, Committed, KafkaNode, offset_list};

const MINUTE: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    vec![
        kafka::on_shared_node("kafka_facts::siblings_move_together", siblings_move_together),
        kafka::on_shared_node("kafka_facts::offsets_of_a_member_that_left_are_refused", member_that_left),
        kafka::on_shared_node("kafka_facts::offsets_of_an_older_generation_are_refused", older_generation),
        kafka::on_shared_node("kafka_facts::offsets_without_a_generation_are_accepted", without_generation),
        kafka::on_shared_node("kafka_facts::offsets_of_a_foreign_partition_are_accepted", foreign_partition),
        kafka::on_shared_node("kafka_facts::an_empty_list_of_offsets_fences_nobody", empty_list),
        kafka::on_shared_node("kafka_facts::the_barrier_waits_for_an_open_transaction", barrier_waits),
    ]
}

/// A group over two co-partitioned inputs of four partitions, and a topic for output.
struct Shop<'a> {
    client: &'a Client,
    group: String,
    orders: String,
    returns: String,
    signals: String,
}

impl<'a> Shop<'a> {
    fn create(node: &'a KafkaNode) -> Result<Shop<'a>> {
        let client = node.client();
        let shop = Shop {
            client,
            group: client.unique_name("group"),
            orders: client.unique_name("orders"),
            returns: client.unique_name("returns"),
            signals: client.unique_name("signals"),
        };
        for topic in [&shop.orders, &shop.returns, &shop.signals] {
            client.create_topic(topic, 4, &[])?;
        }
        Ok(shop)
    }

    fn join(&self) -> Result<Member> {
        Member::join(self.client, &self.group, &[&self.orders, &self.returns])
    }

    /// A producer with an open transaction that holds one signal.
    fn producer_with_signal(&self) -> Result<BaseProducer> {
        let producer = transactional_producer(self.client, &self.client.unique_name("slot"), MINUTE)?;
        producer.begin_transaction()?;
        append(&producer, &self.signals, 0, "signal")?;
        Ok(producer)
    }

    fn orders_at(&self, partition: i32, offset: i64) -> Result<TopicPartitionList> {
        offset_list(&[(&self.orders, partition, offset)])
    }

    fn committed(&self, partition: i32) -> Result<Option<Committed>> {
        let mut offsets = self.client.group_offsets(&self.group, &[&self.orders])?;
        Ok(offsets.remove(&(self.orders.clone(), partition)))
    }

    fn committed_offset(&self, partition: i32) -> Result<Option<i64>> {
        Ok(self.committed(partition)?.map(|committed| committed.offset))
    }
}

/// Subscribed to orders alone, with the other input's partitions assigned beside: members own the same numbers of
/// both, and a join or a leave moves only what must move.
fn siblings_move_together(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node)?;
    let mut first = shop.join()?;
    poll_until("the first owns all", &mut [&mut first], |members| members[0].owned() == [0, 1, 2, 3])?;

    let mut second = shop.join()?;
    poll_until("each owns two", &mut [&mut first, &mut second], |members| {
        members.iter().all(|member| member.owned().len() == 2)
    })?;
    let mut all = [first.owned(), second.owned()].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    assert_eq!(first.revoked.len(), 2, "only what moves is revoked");
    assert_eq!(second.revoked.len(), 0);
    for member in [&first, &second] {
        let expected = member
            .owned()
            .into_iter()
            .flat_map(|partition| [(shop.orders.clone(), partition), (shop.returns.clone(), partition)]);
        assert_eq!(member.assigned()?, expected.collect());
    }

    let kept = second.owned();
    first.leave()?;
    poll_until("the second owns all", &mut [&mut second], |members| members[0].owned() == [0, 1, 2, 3])?;
    assert_eq!(second.revoked.len(), 0, "{kept:?} stayed");
    Ok(())
}

fn member_that_left(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node)?;
    let mut member = shop.join()?;
    poll_until("all owned", &mut [&mut member], |members| members[0].owned().len() == 4)?;
    let metadata = member.metadata()?;
    member.leave()?;

    let producer = shop.producer_with_signal()?;
    let offsets = shop.orders_at(0, 5)?;
    let error = transaction_error(producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE))?;
    assert_eq!(classified(&error), (RDKafkaErrorCode::UnknownMemberId, false, true, false));
    producer.abort_transaction(PATIENCE)?;
    assert_eq!(shop.committed(0)?, None);
    assert_eq!(shop.client.read_committed(&shop.signals)?, []);
    Ok(())
}

fn older_generation(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node)?;
    let mut first = shop.join()?;
    poll_until("all owned", &mut [&mut first], |members| members[0].owned().len() == 4)?;
    let stale = first.metadata()?;
    let mut second = shop.join()?;
    poll_until("each owns two", &mut [&mut first, &mut second], |members| {
        members.iter().all(|member| member.owned().len() == 2)
    })?;

    let kept = first.owned()[0];
    let producer = shop.producer_with_signal()?;
    let offsets = shop.orders_at(kept, 5)?;
    let error = transaction_error(producer.send_offsets_to_transaction(&offsets, &stale, PATIENCE))?;
    assert_eq!(classified(&error), (RDKafkaErrorCode::IllegalGeneration, false, true, false));
    producer.abort_transaction(PATIENCE)?;
    assert_eq!(shop.committed(kept)?, None);

    // The same producer goes on, with metadata that is fetched anew.
    producer.begin_transaction()?;
    append(&producer, &shop.signals, 0, "again")?;
    producer.send_offsets_to_transaction(&offsets, &first.metadata()?, PATIENCE)?;
    producer.commit_transaction(PATIENCE)?;
    assert_eq!(shop.committed_offset(kept)?, Some(5));
    Ok(())
}

/// Metadata of a handle that never joined has generation -1 and no member: it fences nothing, so the service must refuse
/// it by itself.
fn without_generation(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node)?;
    let mut member = shop.join()?;
    poll_until("all owned", &mut [&mut member], |members| members[0].owned().len() == 4)?;
    let mut config = shop.client.config();
    config.set("group.id", &shop.group);
    let outsider: BaseConsumer = config.create()?;

    let producer = shop.producer_with_signal()?;
    let metadata = outsider.group_metadata().context("a consumer with a group has metadata")?;
    producer.send_offsets_to_transaction(&shop.orders_at(0, 5)?, &metadata, PATIENCE)?;
    producer.commit_transaction(PATIENCE)?;
    assert_eq!(shop.committed_offset(0)?, Some(5));
    Ok(())
}

/// The broker checks who sends, not what of: a batch of a partition that has moved on must be dropped by the service.
fn foreign_partition(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node)?;
    let (mut first, mut second) = (shop.join()?, shop.join()?);
    poll_until("each owns two", &mut [&mut first, &mut second], |members| {
        members.iter().all(|member| member.owned().len() == 2)
    })?;

    let foreign = second.owned()[0];
    let producer = shop.producer_with_signal()?;
    producer.send_offsets_to_transaction(&shop.orders_at(foreign, 5)?, &first.metadata()?, PATIENCE)?;
    producer.commit_transaction(PATIENCE)?;
    assert_eq!(shop.committed_offset(foreign)?, Some(5));
    Ok(())
}

/// A transaction of timers alone that sends no offsets is committed by a member that was thrown out.
fn empty_list(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node)?;
    let mut member = shop.join()?;
    poll_until("all owned", &mut [&mut member], |members| members[0].owned().len() == 4)?;
    let stale = member.metadata()?;
    member.leave()?;

    let producer = shop.producer_with_signal()?;
    producer.send_offsets_to_transaction(&TopicPartitionList::new(), &stale, PATIENCE)?;
    producer.commit_transaction(PATIENCE)?;
    assert_eq!(shop.client.read_committed(&shop.signals)?.len(), 1);
    Ok(())
}

/// The predecessor sent its offsets and died before the commit. Its successor in the group cannot know where to start
/// until that transaction has ended, and initialising the transactional id that the committed metadata names ends it.
fn barrier_waits(node: &KafkaNode) -> Result<()> {
    let shop = Shop::create(node)?;
    let slot = shop.client.unique_name("slot");
    let mut predecessor = shop.join()?;
    poll_until("all owned", &mut [&mut predecessor], |members| members[0].owned().len() == 4)?;
    let producer = transactional_producer(shop.client, &slot, MINUTE)?;
    let send_batch = |number: u32, offset: i64| -> Result<()> {
        producer.begin_transaction()?;
        append(&producer, &shop.signals, 0, &number.to_string())?;
        let mut offsets = TopicPartitionList::new();
        let mut element = offsets.add_partition(&shop.orders, 0);
        element.set_offset(Offset::Offset(offset))?;
        element.set_metadata(format!("{slot} {number}"));
        Ok(producer.send_offsets_to_transaction(&offsets, &predecessor.metadata()?, PATIENCE)?)
    };
    send_batch(1, 5)?;
    producer.commit_transaction(PATIENCE)?;
    send_batch(2, 9)?;
    predecessor.leave()?;

    let mut successor = shop.join()?;
    poll_until("the successor owns all", &mut [&mut successor], |members| members[0].owned().len() == 4)?;
    let blocked = successor.committed_stable(&shop.orders, 0, Duration::from_millis(500));
    ensure!(
        matches!(blocked, Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))),
        "the barrier answered {blocked:?} with a transaction open"
    );
    // A partition that the transaction does not touch is not blocked.
    assert_eq!(successor.committed_stable(&shop.orders, 1, PATIENCE)?, None);
    // A reader that does not ask for stability gets the last committed offset and, beside it, the id to initialise.
    let before = Committed { offset: 5, metadata: format!("{slot} 1") };
    let visible = shop.client.visible_group_offsets(&shop.group, &[&shop.orders])?;
    assert_eq!(visible.get(&(shop.orders.clone(), 0)), Some(&before));

    let start = Instant::now();
    let _fence = transactional_producer(shop.client, &slot, MINUTE)?;
    assert_eq!(successor.committed_stable(&shop.orders, 0, PATIENCE)?, Some(before));
    ensure!(start.elapsed() < MINUTE / 4, "the barrier was blocked for {:?} more", start.elapsed());
    assert_eq!(shop.client.last_stable_offsets(&shop.signals)?, shop.client.high_watermarks(&shop.signals)?);
    let error = transaction_error(producer.commit_transaction(PATIENCE))?;
    assert_eq!(classified(&error), (RDKafkaErrorCode::Fenced, false, false, true));
    Ok(())
}
