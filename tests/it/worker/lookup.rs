//! Questions to the log in memory.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use retention_signals::stream::broker::{
    BrokerError, ChangelogIdentity, CombinedRecord, Committed, Lookup, Moment, Position, RawPartition,
    RawProgress, RawSearch, Stability, Watermark,
};
use retention_signals::topic::{Partition, PerInput, Topic};

use super::log::{Call, FakeBatch, Kept, State};

#[derive(Clone)]
pub struct FakeLookup {
    pub state: Rc<RefCell<State>>,
}

impl Lookup for FakeLookup {
    type Batch = FakeBatch;

    fn now(&self) -> Moment {
        Moment(self.state.borrow().now)
    }

    fn committed(
        &mut self,
        partitions: &[Partition],
        _: Stability,
        within: Duration,
    ) -> Result<Vec<PerInput<Option<Committed>>>, BrokerError> {
        let mut state = self.state.borrow_mut();
        state.answer(Call::Committed, within)?;
        Ok(partitions.iter().map(|_| PerInput::from_fn(|input| state.committed[input].clone())).collect())
    }

    fn watermarks(
        &mut self,
        watermark: Watermark,
        logs: &[(Topic, Partition)],
        _: Duration,
    ) -> Result<Vec<Position>, BrokerError> {
        let state = self.state.borrow();
        let edge = |topic| match watermark {
            Watermark::Low => Position(0),
            Watermark::Stable | Watermark::High => Position(state.log(topic).len() as u64),
        };
        Ok(logs.iter().map(|(topic, _)| edge(*topic)).collect())
    }

    fn partition_counts(&mut self, topics: &[Topic], _: Duration) -> Result<Vec<u32>, BrokerError> {
        Ok(vec![self.state.borrow().partitions; topics.len()])
    }

    fn changelog_identity(&mut self, _: Duration) -> Result<Option<ChangelogIdentity>, BrokerError> {
        Ok(self.state.borrow().changelog.clone())
    }

    fn end_transaction_of(&mut self, _: &str, _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    fn read_log(
        &mut self,
        topic: Topic,
        _: Partition,
        from: Position,
        _: Duration,
    ) -> Result<(FakeBatch, Position), BrokerError> {
        let mut state = self.state.borrow_mut();
        let records = state.log(topic)[from.0 as usize..].to_vec();
        state.changelog_reads += records.len();
        let next = Position(from.0 + records.len() as u64);
        Ok((FakeBatch { first: from.0, timestamp_ms: None, records }, next))
    }

    fn open_combiner(&mut self, _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }

    fn combined(&mut self, _: Duration) -> Result<Option<Committed>, BrokerError> {
        Ok(self.state.borrow().combined.clone())
    }

    fn publish_combined(
        &mut self,
        records: &[CombinedRecord],
        combined: &Committed,
        _: Duration,
    ) -> Result<(), BrokerError> {
        let mut state = self.state.borrow_mut();
        if let Some(error) = state.combiner_errors.pop_front() {
            return Err(error);
        }
        for CombinedRecord { topic, key, value } in records {
            let kept = Kept { key: Some(key.clone()), value: Some(value.clone()) };
            match topic {
                Topic::Output(output) => state.outputs[*output as usize].push(kept),
                Topic::Registry => state.registry.push(kept),
                Topic::Input(_) => unreachable!("the combiner writes no input"),
            }
        }
        state.combined = Some(combined.clone());
        Ok(())
    }

    fn raw_progress(&mut self, _: Duration) -> Result<Vec<RawProgress>, BrokerError> {
        Ok(Vec::new())
    }

    fn search_raw(
        &mut self,
        _: &RawPartition,
        from: Position,
        _: Position,
        _: Duration,
    ) -> Result<RawSearch, BrokerError> {
        Ok(RawSearch::NoneBelow(from))
    }
}
