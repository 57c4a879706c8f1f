//! Questions about a customer, answered by the worker that owns it.
//!
//! A question goes to every worker of the process, because only a worker knows what it owns at that moment; the owner of
//! the customer's partition answers with committed state. So only the owner ever reads a partition's state, and no lock exists.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tokio::{sync::mpsc, time::timeout};

use crate::domain::engine::explain::Explanation;
use crate::domain::signals::signal::{OpenAlert, RetractedKind};
use crate::observe::metrics::PerLabel;
use crate::topic::{Input, Partition};
use crate::wire::hash::SignalId;

/// A question waits for the open batch when that touches the customer, at most so long.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);

/// Questions that wait for one worker. More are turned away at once, so that queries cannot pile up behind a long commit.
const QUESTIONS_WAITING_MAX: usize = 64;

/// A question to a worker. The worker takes it between two turns and answers it at once, or after its commit.
#[derive(Debug)]
pub struct CustomerQuery {
    /// The customer's key, as in the record keys.
    pub key: String,
    /// What is asked.
    pub question: Question,
    replies: mpsc::Sender<CustomerReply>,
}

/// What is asked about a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The profile.
    Profile,
    /// The profile, and how it came about.
    Explanation,
}

/// How a profile came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// What facts and signals follow from.
    pub explanation: Explanation,
    /// The id of the `at_risk` that was emitted and neither retracted nor ended.
    pub at_risk: Option<SignalId>,
    /// The same of the `lapsed`.
    pub lapsed: Option<SignalId>,
    /// Ids of orders and returns by their hash; empty in a service, which keeps hashes only.
    pub names: BTreeMap<u64, String>,
}

impl Explained {
    /// With the ids of the customer's open signals.
    pub fn new(key: &[u8], explanation: Explanation) -> Self {
        let id = |kind: RetractedKind, alert: Option<OpenAlert>| {
            alert.map(|alert| SignalId::retracted(key, kind, alert, &mut Vec::new()))
        };
        Self {
            at_risk: id(RetractedKind::AtRisk, explanation.emitted.lifecycle.at_risk()),
            lapsed: id(RetractedKind::Lapsed, explanation.emitted.lifecycle.lapsed()),
            explanation,
            names: BTreeMap::new(),
        }
    }
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq)]
pub enum CustomerReply {
    /// The profile, and the progress of its partition.
    Found {
        /// The profile as JSON, as in the topic of profiles.
        profile: Vec<u8>,
        /// Only if asked for.
        explained: Option<Box<Explained>>,
        /// The commit that it is from.
        position: CommittedPosition,
    },
    /// The partition is owned here and holds no such customer.
    NotFound(CommittedPosition),
    /// The partition is owned here and still being read back.
    Restoring {
        /// Which partition.
        partition: Partition,
    },
    /// The partition is not owned by this worker.
    NotOwned {
        /// Which partition.
        partition: Partition,
    },
}

/// The progress of a partition up to its last commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommittedPosition {
    /// Which partition.
    pub partition: Partition,
    /// The number of the last committed batch.
    pub batch: u64,
    /// The offset of the next record of each input.
    pub next_offsets: PerLabel<Input, i64>,
    /// The clock, in milliseconds since 1970; `None` before the first record.
    pub clock_ms: Option<i64>,
    /// The age of the oldest record that is not in this state yet; 0 when caught up.
    pub staleness_seconds: f64,
}

/// No worker answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// Sends questions to the workers.
#[derive(Debug, Clone)]
pub struct QueryRouter {
    workers: Vec<Sender<CustomerQuery>>,
}

impl QueryRouter {
    /// A router, and for each worker the end where its questions arrive.
    pub fn new(workers: usize) -> (Self, Vec<Receiver<CustomerQuery>>) {
        let (workers, receivers) =
            (0..workers).map(|_| crossbeam_channel::bounded(QUESTIONS_WAITING_MAX)).unzip();
        (Self { workers }, receivers)
    }

    /// Asks, and waits for the owner's answer. `NotOwned` only if every worker answers so.
    pub async fn ask(&self, key: &str, question: Question) -> Result<CustomerReply, Busy> {
        self.ask_within(key, question, ANSWER_WAIT_MAX).await
    }

    async fn ask_within(
        &self,
        key: &str,
        question: Question,
        wait_max: Duration,
    ) -> Result<CustomerReply, Busy> {
        let (sender, mut replies) = mpsc::channel(self.workers.len().max(1));
        let mut asked = 0;
        for worker in &self.workers {
            let query = CustomerQuery { key: key.to_owned(), question, replies: sender.clone() };
            asked += usize::from(worker.try_send(query).is_ok());
        }
        drop(sender);
        let all_asked = asked == self.workers.len();
        timeout(wait_max, first_owning(&mut replies, asked, all_asked)).await.unwrap_or(Err(Busy))
    }
}

impl CustomerQuery {
    /// Answers. If the client no longer waits, nothing happens.
    pub fn answer(self, reply: CustomerReply) {
        // There is room for one answer of each worker, so this fails only if the client no longer waits.
        let _ = self.replies.try_send(reply);
    }
}

/// A worker that could not be asked might be the owner: then the answer is not that the customer is not owned here.
async fn first_owning(
    replies: &mut mpsc::Receiver<CustomerReply>,
    asked: usize,
    all_asked: bool,
) -> Result<CustomerReply, Busy> {
    let mut not_owned = None;
    let mut refusals = 0;
    while let Some(reply) = replies.recv().await {
        match reply {
            CustomerReply::NotOwned { .. } => {
                not_owned = Some(reply);
                refusals += 1;
            }
            CustomerReply::Found { .. } | CustomerReply::NotFound(_) | CustomerReply::Restoring { .. } => {
                return Ok(reply);
            }
        }
    }
    not_owned.filter(|_| all_asked && refusals == asked).ok_or(Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask_within(router: &QueryRouter, wait_max: Duration) -> Result<CustomerReply, Busy> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(router.ask_within("c1", Question::Profile, wait_max))
    }

    /// A worker that answers one question, or drops it.
    fn worker(
        questions: Receiver<CustomerQuery>,
        reply: Option<CustomerReply>,
    ) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            let query = questions.recv().expect("a question comes");
            assert_eq!(query.key, "c1");
            if let Some(reply) = reply {
                query.answer(reply);
            }
        })
    }

    /// Two workers that answer so give this to the asker.
    fn check(replies: [Option<CustomerReply>; 2], expected: Result<CustomerReply, Busy>) {
        let (router, questions) = QueryRouter::new(2);
        let workers: Vec<_> =
            questions.into_iter().zip(replies).map(|(questions, reply)| worker(questions, reply)).collect();
        assert_eq!(ask_within(&router, ANSWER_WAIT_MAX), expected);
        workers.into_iter().for_each(|worker| worker.join().expect("the worker was asked"));
    }

    #[test]
    fn the_owner_answers() {
        let not_owned = || CustomerReply::NotOwned { partition: Partition(3) };
        let found = || CustomerReply::Found {
            profile: b"{}".to_vec(),
            explained: None,
            position: CommittedPosition::default(),
        };
        let restoring = || CustomerReply::Restoring { partition: Partition(3) };
        check([Some(not_owned()), Some(found())], Ok(found()));
        check([Some(restoring()), Some(not_owned())], Ok(restoring()));
        check([Some(not_owned()), Some(not_owned())], Ok(not_owned()));
        check([Some(not_owned()), None], Err(Busy));
    }

    #[test]
    fn a_worker_that_does_not_take_its_questions_is_busy() {
        let (router, questions) = QueryRouter::new(1);
        for waiting in 1..=QUESTIONS_WAITING_MAX {
            assert_eq!(ask_within(&router, Duration::ZERO), Err(Busy));
            assert_eq!(questions[0].len(), waiting);
        }
        // The queue is full: no question is left behind, and nothing is waited for.
        assert_eq!(ask_within(&router, ANSWER_WAIT_MAX), Err(Busy));
        assert_eq!(questions[0].len(), QUESTIONS_WAITING_MAX);
    }

    #[test]
    fn a_worker_that_has_ended_is_busy() {
        let (router, questions) = QueryRouter::new(1);
        drop(questions);
        assert_eq!(ask_within(&router, ANSWER_WAIT_MAX), Err(Busy));
    }
}
