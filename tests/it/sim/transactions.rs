//! The coordinator of transactions: producer epochs, what a transaction has touched, its decision, and its markers.
//!
//! A decision is one step; its markers reach the partitions one by one, later. Until the last one has, the id takes no further
//! transaction, and no other producer gets it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use retention_signals::stream::broker::TRANSACTION_TIMEOUT;
use retention_signals::topic::{Partition, Topic};

use super::log::ProducerId;

/// Between two looks of the broker for transactions that are open for too long.
const EXPIRY_SCAN: Duration = Duration::from_secs(10);

/// Where a transaction writes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    Log(Topic, Partition),
    GroupOffsets,
}

/// What a producer shows to be the one that the coordinator knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials {
    pub id: ProducerId,
    pub epoch: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Phase {
    Idle,
    Ongoing { since: Duration },
    Ending { is_commit: bool },
}

/// Everything about one transactional id.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub producer: ProducerId,
    pub epoch: u32,
    pub phase: Phase,
    /// Touched while ongoing; without their marker while ending.
    pub places: BTreeSet<Place>,
    /// How the last one ended, and in which epoch: the same request again gets the same answer.
    last: Option<(u32, bool)>,
}

/// Why the coordinator does not do as asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A newer epoch is known.
    Fenced,
    /// The last transaction's markers are still under way.
    Concurrent,
    /// There is no such transaction.
    Invalid,
}

/// See the module.
#[derive(Default)]
pub struct Coordinator {
    transactions: BTreeMap<ProducerId, Transaction>,
    ids: BTreeMap<String, ProducerId>,
}

impl Coordinator {
    /// `init_transactions`: fences every earlier producer of the name; an open transaction begins to be aborted.
    /// Gives the credentials once nothing is left of it.
    pub fn initialise(&mut self, name: &str) -> Result<Credentials, Refusal> {
        let next = ProducerId(u32::try_from(self.ids.len()).expect("few ids"));
        let id = *self.ids.entry(name.to_owned()).or_insert(next);
        let transaction = self.transactions.entry(id).or_insert_with(|| Transaction {
            producer: id,
            epoch: 0,
            phase: Phase::Idle,
            places: BTreeSet::new(),
            last: None,
        });
        match transaction.phase {
            Phase::Idle => {
                transaction.epoch += 1;
                return Ok(Credentials { id, epoch: transaction.epoch });
            }
            Phase::Ongoing { .. } => {
                // The epoch of the marker fences the old producer wherever the transaction has been.
                transaction.epoch += 1;
                transaction.phase = Phase::Ending { is_commit: false };
                transaction.settle();
            }
            Phase::Ending { .. } => {}
        }
        Err(Refusal::Concurrent)
    }

    /// Adds a place to the transaction, which begins with the first.
    pub fn touch(&mut self, producer: Credentials, place: Place, now: Duration) -> Result<(), Refusal> {
        let transaction = self.current(producer)?;
        match transaction.phase {
            Phase::Ending { .. } => return Err(Refusal::Concurrent),
            Phase::Idle => transaction.phase = Phase::Ongoing { since: now },
            Phase::Ongoing { .. } => {}
        }
        transaction.places.insert(place);
        Ok(())
    }

    /// Decides a transaction. Gives whether this was the decision, and not its repetition.
    pub fn end(&mut self, producer: Credentials, is_commit: bool) -> Result<bool, Refusal> {
        let transaction = self.current(producer)?;
        match transaction.phase {
            Phase::Ongoing { .. } => {
                transaction.phase = Phase::Ending { is_commit };
                transaction.last = Some((producer.epoch, is_commit));
                transaction.settle();
                Ok(true)
            }
            Phase::Ending { is_commit: decided } if decided == is_commit => Ok(false),
            Phase::Idle if transaction.last == Some((producer.epoch, is_commit)) => Ok(false),
            Phase::Idle | Phase::Ending { .. } => Err(Refusal::Invalid),
        }
    }

    /// Aborts what has been open for longer than the timeout, and fences its producer. The broker looks for such transactions
    /// only now and then.
    pub fn expire(&mut self, now: Duration) -> Vec<ProducerId> {
        let mut expired = Vec::new();
        for transaction in self.transactions.values_mut() {
            if let Phase::Ongoing { since } = transaction.phase
                && now.saturating_sub(since) > expires_after(since)
            {
                transaction.epoch += 1;
                transaction.phase = Phase::Ending { is_commit: false };
                transaction.settle();
                expired.push(transaction.producer);
            }
        }
        expired
    }

    /// A marker has reached its place. Gives whether it commits.
    pub fn marked(&mut self, producer: ProducerId, place: Place) -> bool {
        let transaction = self.transactions.get_mut(&producer).expect("markers are of known producers");
        let Phase::Ending { is_commit } = transaction.phase else {
            panic!("only an ending transaction has markers")
        };
        assert!(transaction.places.remove(&place), "one marker for each place");
        transaction.settle();
        is_commit
    }

    /// All markers that are under way.
    pub fn markers(&self) -> impl Iterator<Item = (ProducerId, Place)> {
        self.transactions
            .values()
            .filter(|transaction| matches!(transaction.phase, Phase::Ending { .. }))
            .flat_map(|transaction| transaction.places.iter().map(|place| (transaction.producer, *place)))
    }

    pub fn is_quiet(&self) -> bool {
        self.transactions.values().all(|transaction| transaction.phase == Phase::Idle)
    }

    /// Whether a transaction is decided to be committed, and on its way to the partitions.
    pub fn is_committing(&self, producer: ProducerId) -> bool {
        let transaction = self.transactions.get(&producer);
        transaction.is_some_and(|transaction| transaction.phase == Phase::Ending { is_commit: true })
    }

    /// When the first open transaction is ended by the broker.
    pub fn next_expiry(&self) -> Option<Duration> {
        let since = |transaction: &Transaction| match transaction.phase {
            Phase::Ongoing { since } => Some(since + expires_after(since)),
            Phase::Idle | Phase::Ending { .. } => None,
        };
        self.transactions.values().filter_map(since).min()
    }

    fn current(&mut self, producer: Credentials) -> Result<&mut Transaction, Refusal> {
        let transaction = self.transactions.get_mut(&producer.id).ok_or(Refusal::Invalid)?;
        if transaction.epoch == producer.epoch { Ok(transaction) } else { Err(Refusal::Fenced) }
    }
}

/// The timeout, and a part of the interval between two looks that depends on nothing but when the transaction began.
fn expires_after(since: Duration) -> Duration {
    let interval = EXPIRY_SCAN.as_millis();
    let part = u64::try_from(since.as_millis() * 7_919 % interval).expect("below the interval");
    TRANSACTION_TIMEOUT + Duration::from_millis(part)
}

impl Transaction {
    fn settle(&mut self) {
        if matches!(self.phase, Phase::Ending { .. }) && self.places.is_empty() {
            self.phase = Phase::Idle;
        }
    }
}
