//! The inputs of one partition, merged by event time.
//!
//! A record's merge key is the running maximum of its input's event times, so keys of one input never fall, and what is
//! read out of order within an input stays in the order of its offsets. Of several records at hand the one with the
//! smallest key is next; ties go to orders, then returns, then erasures.
//!
//! An input at its end is not waited for, so live latency does not suffer. One with more to fetch is, unless its last
//! key already excludes a smaller one; but only for a while, because a transaction that a producer leaves open must
//! not hold the others up.

use std::time::Duration;

use crate::domain::values::time::Time;
use crate::stream::broker::{Broker, BrokerError, Moment, Position, RecordBatch};
use crate::topic::{Input, Partition, PerInput};
use crate::wire::encode::INTAKE_MAP;

/// How long a record waits for an input that has more to fetch.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What an input's records are ordered by; none before its first readable record.
pub type MergeKey = Option<Time>;

/// What an input without a record at hand has to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Supply {
    /// Nothing: it was read to the end that the client knows.
    AtEnd,
    /// More to fetch; since when a record of another input has been waiting for it.
    Behind { waited_since: Option<Moment> },
    /// More to fetch, waited for too long already.
    GivenUp,
}

/// What an input offers to the merge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// Its next record, by this key.
    Head(MergeKey),
    /// No record at hand; it has to be fetched before the next record is known.
    Unknown,
    /// Its next record can only come later, with at least this key.
    Coming(MergeKey),
    /// Nothing that is worth waiting for.
    Nothing,
}

/// What is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    Take(Input),
    /// This input has to be fetched first.
    Fetch(Input),
    /// The next record waits for this input.
    Wait(Input),
    /// No input has a record at hand.
    Empty,
}

/// The merge's one decision.
pub fn choose(offers: &PerInput<Offer>) -> Choice {
    let mut has_head = false;
    let mut first: Option<(MergeKey, Choice)> = None;
    for (input, offer) in offers.iter() {
        let (key, choice) = match *offer {
            Offer::Unknown => return Choice::Fetch(input),
            Offer::Head(key) => (key, Choice::Take(input)),
            Offer::Coming(key) => (key, Choice::Wait(input)),
            Offer::Nothing => continue,
        };
        has_head |= matches!(offer, Offer::Head(_));
        // Of equal keys the first input's.
        if first.is_none_or(|(first, _)| key < first) {
            first = Some((key, choice));
        }
    }
    first.filter(|_| has_head).map_or(Choice::Empty, |(_, choice)| choice)
}

/// How far an input was taken.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// The place of the next record in the batch at hand.
    index: usize,
    /// Every record below was applied or skipped.
    pub next: Position,
    /// The key of the last record.
    pub key: MergeKey,
    pub supply: Supply,
    /// Where the input ended when the partition was assigned.
    end_at_assign: Position,
    /// The end, as the client last knew it.
    pub end: Position,
}

impl Cursor {
    fn new(next: Position, key: MergeKey, end: Position) -> Self {
        Self { index: 0, next, key, supply: Supply::Behind { waited_since: None }, end_at_assign: end, end }
    }

    /// The record of the batch that is next, by its index. Those below the next position are passed over: they come again
    /// after a rebalance. Gives how many were.
    pub fn seek<T: RecordBatch>(&mut self, batch: Option<&T>) -> (Option<usize>, usize) {
        let Some(batch) = batch else { return (None, 0) };
        let before = self.index;
        self.index = self.next_index(batch);
        ((self.index < batch.len()).then_some(self.index), self.index - before)
    }

    fn next_index<T: RecordBatch>(&self, batch: &T) -> usize {
        let mut index = self.index;
        while index < batch.len() && batch.get(index).offset.next() <= self.next {
            index += 1;
        }
        index
    }

    /// Whether no record below this end is to come.
    pub fn has_reached<T: RecordBatch>(&self, batch: Option<&T>, end: Position) -> bool {
        let is_behind_end = |batch: &T| {
            let index = self.next_index(batch);
            index < batch.len() && batch.get(index).offset.next() > end
        };
        self.next >= end || batch.is_some_and(is_behind_end)
    }

    /// The place of the next record in the batch at hand.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The record at the index was applied: the next one begins behind it.
    pub fn advance(&mut self, next: Position, key: MergeKey) {
        assert!(next > self.next && key >= self.key, "an input is read forward");
        self.index += 1;
        self.next = next;
        self.key = key;
    }

    /// What an input without a record at hand offers.
    pub fn offer_without_head(&self) -> Offer {
        match self.supply {
            Supply::AtEnd | Supply::GivenUp => Offer::Nothing,
            Supply::Behind { .. } => Offer::Coming(self.key),
        }
    }
}

/// The inputs of one partition: what was fetched and not applied yet, and how far each was taken.
pub struct Streams<T> {
    pub batches: PerInput<Option<T>>,
    pub cursors: PerInput<Cursor>,
    /// One of the records was written by an intake. The first of each batch is looked at, until one was.
    has_come_through_intake: bool,
}

impl<T: RecordBatch> Streams<T> {
    /// `ends` are the inputs' high watermarks; until the first fetch only they show whether there is something to wait for.
    pub fn new(starts: &PerInput<(Position, MergeKey)>, ends: &PerInput<Position>) -> Self {
        Self {
            batches: PerInput::default(),
            cursors: PerInput::from_fn(|input| {
                let (next, key) = starts[input];
                Cursor::new(next, key, ends[input])
            }),
            has_come_through_intake: false,
        }
    }

    /// Fetches every input that has no record at hand, and learns of those that stay empty whether they are at their end.
    pub fn refill<B: Broker<Batch = T>>(
        &mut self,
        broker: &mut B,
        partition: Partition,
        records_max: usize,
    ) -> Result<(), BrokerError> {
        for input in Input::ALL {
            let cursor = &mut self.cursors[input];
            if cursor.seek(self.batches[input].as_ref()).0.is_some() {
                continue;
            }
            self.batches[input] = broker.fetch(partition, input, records_max)?;
            cursor.index = 0;
            if let Some(batch) = &self.batches[input] {
                self.has_come_through_intake =
                    self.has_come_through_intake || batch.has_header(0, INTAKE_MAP);
                cursor.supply = Supply::Behind { waited_since: None };
                continue;
            }
            let progress = broker.progress(partition, input)?;
            cursor.end = progress.high_watermark.unwrap_or(cursor.end_at_assign);
            // Nothing at hand: what lies below the client's position are control records and records of aborted transactions.
            cursor.next = cursor.next.max(progress.position);
            if cursor.next >= cursor.end {
                cursor.supply = Supply::AtEnd;
            } else if cursor.supply == Supply::AtEnd {
                cursor.supply = Supply::Behind { waited_since: None };
            }
        }
        Ok(())
    }

    /// Whether an intake is seen to write records to the inputs.
    pub fn has_come_through_intake(&self) -> bool {
        self.has_come_through_intake
    }

    /// Whether ends that the brokers have just given are reached; if not, there is more to fetch.
    pub fn confirm_ends(&mut self, ends: &PerInput<Position>) -> bool {
        for input in Input::ALL {
            let cursor = &mut self.cursors[input];
            let end = ends[input];
            cursor.end = cursor.end.max(end);
            if cursor.next < end && cursor.supply == Supply::AtEnd {
                cursor.supply = Supply::Behind { waited_since: None };
            }
        }
        self.is_at_end()
    }

    /// Whether all that is left to read lies behind an open transaction of a producer.
    pub fn is_held_up(&self, stable_ends: &PerInput<Position>) -> bool {
        self.cursors.iter().any(|(input, cursor)| {
            self.batches[input].is_none() && cursor.next < cursor.end && cursor.next >= stable_ends[input]
        })
    }

    /// Broker time of an input's next record, if it is at hand.
    pub fn next_timestamp(&self, input: Input) -> Option<i64> {
        let batch = self.batches[input].as_ref()?;
        let index = self.cursors[input].index;
        (index < batch.len()).then(|| batch.get(index).timestamp_ms)?
    }

    /// Whether no input has a record at hand.
    pub fn is_empty(&self) -> bool {
        self.batches.iter().all(|(_, batch)| batch.is_none())
    }

    /// Whether every input was read to the end that the client knows, and everything read was applied.
    pub fn is_at_end(&self) -> bool {
        self.is_empty() && self.cursors.iter().all(|(_, cursor)| cursor.supply == Supply::AtEnd)
    }

    /// Notes that a record waits for `input`. Gives whether that has lasted too long: then it is no longer waited for.
    pub fn wait_for(&mut self, input: Input, now: Moment) -> bool {
        let cursor = &mut self.cursors[input];
        let Supply::Behind { waited_since } = cursor.supply else {
            return false;
        };
        let since = waited_since.unwrap_or(now);
        let is_over = now.since(since) >= WAIT_MAX;
        cursor.supply = if is_over { Supply::GivenUp } else { Supply::Behind { waited_since: Some(since) } };
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_key_is_next_and_what_may_still_be_smaller_is_waited_for() {
        let key = |millis| Time::from_millis(millis);
        let head = |millis| Offer::Head(key(millis));
        let coming = |millis| Offer::Coming(key(millis));
        let (orders, returns, erasures) = (Input::Orders, Input::Returns, Input::Erasures);
        let (unread, nothing) = (Offer::Coming(None), Offer::Nothing);
        for (offers, expected) in [
            ([nothing, nothing, nothing], Choice::Empty),
            ([unread, nothing, coming(5)], Choice::Empty),
            ([head(5), nothing, nothing], Choice::Take(orders)),
            ([head(5), head(4), nothing], Choice::Take(returns)),
            ([head(5), head(5), head(5)], Choice::Take(orders)),
            ([nothing, head(5), head(5)], Choice::Take(returns)),
            ([head(5), head(6), Offer::Head(None)], Choice::Take(erasures)),
            ([head(5), unread, nothing], Choice::Wait(returns)),
            ([head(5), coming(4), nothing], Choice::Wait(returns)),
            // The next return has at least key 5, and orders go first.
            ([head(5), coming(5), nothing], Choice::Take(orders)),
            ([coming(5), head(5), nothing], Choice::Wait(orders)),
            ([coming(6), head(5), nothing], Choice::Take(returns)),
            ([head(5), Offer::Unknown, nothing], Choice::Fetch(returns)),
        ] {
            assert_eq!(choose(&PerInput(offers)), expected, "{offers:?}");
        }
    }

    struct NoRecords;

    impl RecordBatch for NoRecords {
        fn len(&self) -> usize {
            0
        }
        fn get(&self, _: usize) -> crate::stream::broker::RecordView<'_> {
            unreachable!("there are none")
        }
        fn has_header(&self, _: usize, _: &std::ffi::CStr) -> bool {
            false
        }
    }

    /// All inputs at this position, with this end.
    fn streams_at(next: u64, end: u64) -> Streams<NoRecords> {
        Streams::new(&PerInput([(Position(next), None); 3]), &PerInput([Position(end); 3]))
    }

    #[test]
    fn an_open_transaction_holds_up_what_was_read_exactly_to_the_stable_end() {
        for (next, end, stable, expected) in [
            (4, 9, 5, false), // one record is still to be fetched
            (5, 9, 5, true),
            (6, 9, 5, true),
            (8, 9, 5, true),
            (9, 9, 5, false), // nothing lies behind it
            (9, 9, 9, false),
        ] {
            let stable_ends = PerInput([Position(stable); 3]);
            assert_eq!(streams_at(next, end).is_held_up(&stable_ends), expected, "{next} of {end}");
        }
    }

    #[test]
    fn an_end_is_confirmed_that_was_reached_exactly() {
        for (end, expected) in [(8, true), (9, true), (10, false)] {
            let mut streams = streams_at(9, 9);
            for input in Input::ALL {
                streams.cursors[input].supply = Supply::AtEnd;
            }
            assert_eq!(streams.confirm_ends(&PerInput([Position(end); 3])), expected, "{end}");
        }
    }

    #[test]
    fn an_input_is_waited_for_a_limited_time() {
        let mut streams = streams_at(0, 9);
        let start = Moment(Duration::from_secs(100));
        assert!(!streams.wait_for(Input::Returns, start));
        assert!(!streams.wait_for(Input::Returns, start.plus(WAIT_MAX / 2)));
        assert!(streams.wait_for(Input::Returns, start.plus(WAIT_MAX)));
        assert_eq!(streams.cursors[Input::Returns].offer_without_head(), Offer::Nothing);
        assert!(!streams.wait_for(Input::Returns, start.plus(WAIT_MAX * 2)), "reported once");
    }

    /// Records at these offsets, each with ten times its offset as broker time.
    struct Records(Vec<u64>);

    impl RecordBatch for Records {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn get(&self, index: usize) -> crate::stream::broker::RecordView<'_> {
            let offset = self.0[index];
            let timestamp_ms = Some(10 * offset as i64);
            crate::stream::broker::RecordView {
                offset: crate::stream::broker::Offset(offset),
                timestamp_ms,
                key: None,
                value: None,
            }
        }
        fn has_header(&self, _: usize, _: &std::ffi::CStr) -> bool {
            false
        }
    }

    #[test]
    fn records_that_come_again_are_passed_over() {
        let batch = Records(vec![3, 4, 6, 7]);
        for (next, expected) in [
            (0, (Some(0), 0)),
            (4, (Some(1), 1)),
            (5, (Some(2), 2)),
            (6, (Some(2), 2)),
            (7, (Some(3), 3)),
            (8, (None, 4)),
        ] {
            let mut cursor = Cursor::new(Position(next), None, Position(9));
            assert_eq!(cursor.seek(Some(&batch)), expected, "{next}");
            assert_eq!(cursor.seek(Some(&batch)), (expected.0, 0), "{next}: they count once");
            assert_eq!(cursor.index(), expected.1, "{next}");
        }
        let mut cursor = Cursor::new(Position(4), None, Position(9));
        cursor.seek(Some(&batch));
        cursor.advance(Position(5), None);
        assert_eq!((cursor.index(), cursor.next), (2, Position(5)));
        assert_eq!(cursor.seek(Some(&batch)), (Some(2), 0));
        assert_eq!(cursor.seek::<Records>(None), (None, 0));
    }

    #[test]
    fn an_end_is_reached_once_no_record_below_it_is_to_come() {
        let batch = Records(vec![3, 6]);
        for (next, end, expected) in [
            (3, 3, true),
            (3, 4, false), // record 3 lies below it
            (4, 5, true),  // the next one is 6
            (4, 6, true),
            (4, 7, false),
            (7, 7, true),
            (7, 8, false), // what comes next is not known
        ] {
            let cursor = Cursor::new(Position(next), None, Position(9));
            assert_eq!(cursor.has_reached(Some(&batch), Position(end)), expected, "{next} {end}");
        }
        let cursor = Cursor::new(Position(4), None, Position(9));
        assert!(
            !cursor.has_reached::<Records>(None, Position(5))
                && cursor.has_reached::<Records>(None, Position(4))
        );
    }

    #[test]
    fn the_next_record_at_hand_tells_its_time() {
        let mut streams = Streams::new(&PerInput([(Position(4), None); 3]), &PerInput([Position(9); 3]));
        assert!(streams.is_empty() && !streams.has_come_through_intake());
        streams.batches[Input::Returns] = Some(Records(vec![3, 6]));
        assert!(!streams.is_empty());
        let Streams { batches, cursors, .. } = &mut streams;
        cursors[Input::Returns].seek(batches[Input::Returns].as_ref());
        assert_eq!(
            [Input::Orders, Input::Returns].map(|input| streams.next_timestamp(input)),
            [None, Some(60)]
        );
        streams.cursors[Input::Returns].advance(Position(7), None);
        assert_eq!(streams.next_timestamp(Input::Returns), None);
    }
}
