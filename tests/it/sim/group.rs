//! The coordinator of the consumer group: members, generations, cooperative rebalances in rounds, committed offsets.
//!
//! ```text
//!  a member joins, leaves, is given up, or has answered a revocation ─► Preparing ─(all have joined, or time is up)─► Stable
//! ```
//!
//! No partition is assigned in the round in which another member still claims it: it is revoked from that member first, which then
//! joins again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use retention_signals::stream::broker::{Committed, Membership};
use retention_signals::topic::{Input, PerInput};

use super::log::ProducerId;

pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The group waits for members who do not join for so long: their `max.poll.interval.ms`.
pub const REBALANCE_TIMEOUT: Duration = Duration::from_secs(60);

pub type MemberId = u32;

#[derive(Clone, Debug)]
struct Member {
    heard_at: Duration,
    /// It has joined the round that is being prepared.
    has_joined: bool,
    claims: BTreeSet<u32>,
    assignment: BTreeSet<u32>,
}

/// Why offsets are not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetRefusal {
    UnknownMember,
    IllegalGeneration,
}

/// What a heartbeat is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heartbeat {
    Fine,
    Rejoin,
    UnknownMember,
}

/// An offset with when it was committed.
pub type Offsets = PerInput<Option<Committed>>;

/// See the module.
#[derive(Default)]
pub struct Group {
    partitions: u32,
    generation: i32,
    preparing_since: Option<Duration>,
    members: BTreeMap<MemberId, Member>,
    members_ever: u32,
    committed: BTreeMap<u32, Offsets>,
    /// Offsets of transactions that are not decided here yet.
    pending: Vec<(ProducerId, u32, Input, Committed)>,
}

impl Group {
    pub fn new(partitions: u32) -> Self {
        Self { partitions, ..Self::default() }
    }

    // === Members

    /// A member joins, with what it still claims; without an id it gets one. None if it is not known any more.
    pub fn join(
        &mut self,
        member: Option<MemberId>,
        claims: BTreeSet<u32>,
        now: Duration,
    ) -> Option<MemberId> {
        let id = match member {
            Some(id) if !self.knows(id) => return None,
            Some(id) => id,
            None => {
                self.members_ever += 1;
                self.members_ever
            }
        };
        self.prepare(now);
        let joining = Member { heard_at: now, has_joined: true, claims, assignment: BTreeSet::new() };
        self.members.insert(id, joining);
        Some(id)
    }

    pub fn leave(&mut self, member: MemberId, now: Duration) {
        if self.members.remove(&member).is_some() {
            self.prepare(now);
        }
    }

    pub fn heartbeat(&mut self, member: MemberId, now: Duration) -> Heartbeat {
        let is_preparing = self.preparing_since.is_some();
        match self.members.get_mut(&member) {
            None => Heartbeat::UnknownMember,
            Some(member) => {
                member.heard_at = now;
                if is_preparing && !member.has_joined { Heartbeat::Rejoin } else { Heartbeat::Fine }
            }
        }
    }

    /// What the last round has given a member, once it is over.
    pub fn assignment(&self, member: MemberId) -> Option<(i32, BTreeSet<u32>)> {
        let member = self.members.get(&member)?;
        self.preparing_since.is_none().then(|| (self.generation, member.assignment.clone()))
    }

    pub fn knows(&self, member: MemberId) -> bool {
        self.members.contains_key(&member)
    }

    /// Gives up members that were not heard of, and ends a round that everybody has joined or that has lasted too long.
    pub fn settle(&mut self, now: Duration) {
        let before = self.members.len();
        self.members.retain(|_, member| now.saturating_sub(member.heard_at) <= SESSION_TIMEOUT);
        if self.members.len() < before {
            self.prepare(now);
        }
        let Some(since) = self.preparing_since else { return };
        if now.saturating_sub(since) > REBALANCE_TIMEOUT {
            self.members.retain(|_, member| member.has_joined);
        }
        if self.members.values().all(|member| member.has_joined) {
            self.generation += 1;
            self.preparing_since = None;
            self.assign();
        }
    }

    /// All members have what they are to have.
    pub fn is_stable(&self) -> bool {
        let assigned: usize = self.members.values().map(|member| member.assignment.len()).sum();
        self.preparing_since.is_none() && assigned == self.partitions as usize
    }

    fn prepare(&mut self, now: Duration) {
        if self.preparing_since.is_none() {
            self.preparing_since = Some(now);
            self.members.values_mut().for_each(|member| member.has_joined = false);
        }
    }

    /// Sticky and balanced; a claimed partition is not assigned to another member in this round.
    fn assign(&mut self) {
        let mut free: BTreeSet<u32> = (0..self.partitions).collect();
        for member in self.members.values_mut() {
            // Of two claims the first counts; from the other member the partition is revoked.
            member.assignment = member.claims.iter().copied().filter(|claim| free.remove(claim)).collect();
        }
        let Some(quota) = (self.partitions as usize).checked_div(self.members.len()) else { return };
        let rest = self.partitions as usize % self.members.len();
        let mut by_size: Vec<MemberId> = self.members.keys().copied().collect();
        by_size.sort_by_key(|id| std::cmp::Reverse(self.members[id].assignment.len()));
        for (rank, id) in by_size.iter().enumerate() {
            let assignment = &mut self.members.get_mut(id).expect("listed").assignment;
            let target = quota + usize::from(rank < rest);
            while assignment.len() > target {
                assignment.pop_last();
            }
            while assignment.len() < target
                && let Some(partition) = free.pop_first()
            {
                assignment.insert(partition);
            }
        }
    }

    // === Offsets

    /// Takes offsets of a transaction, to be committed with it. Only a real member's generation is looked at.
    pub fn add_offsets(
        &mut self,
        producer: ProducerId,
        membership: &Membership,
        offsets: impl Iterator<Item = (u32, Input, Committed)>,
    ) -> Result<(), OffsetRefusal> {
        if membership.generation >= 0 || !membership.member.is_empty() {
            let member = membership.member.parse().ok().filter(|member| self.knows(*member));
            if member.is_none() {
                return Err(OffsetRefusal::UnknownMember);
            }
            if membership.generation != self.generation {
                return Err(OffsetRefusal::IllegalGeneration);
            }
        }
        for (partition, input, committed) in offsets {
            self.pending.retain(|(other, at, of, _)| (*other, *at, *of) != (producer, partition, input));
            self.pending.push((producer, partition, input, committed));
        }
        Ok(())
    }

    /// The marker of a transaction has reached the offsets.
    pub fn mark(&mut self, producer: ProducerId, is_commit: bool) {
        let (mine, others) =
            std::mem::take(&mut self.pending).into_iter().partition(|(id, ..)| *id == producer);
        self.pending = others;
        let mine: Vec<(ProducerId, u32, Input, Committed)> = mine;
        for (_, partition, input, committed) in mine.into_iter().filter(|_| is_commit) {
            self.committed.entry(partition).or_default()[input] = Some(committed);
        }
    }

    pub fn is_unstable(&self, partition: u32) -> bool {
        self.pending.iter().any(|(_, at, ..)| *at == partition)
    }

    pub fn committed(&self, partition: u32) -> Offsets {
        self.committed.get(&partition).cloned().unwrap_or_default()
    }

    /// An operator sets an offset, or it expires.
    pub fn set_committed(&mut self, partition: u32, input: Input, committed: Option<Committed>) {
        self.committed.entry(partition).or_default()[input] = committed;
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}
