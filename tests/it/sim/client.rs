//! The part of a client that lives beside the worker's thread: heartbeats, joining, and events that wait to be answered.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use retention_signals::stream::broker::{GroupEvent, Membership};
use retention_signals::topic::Partition;

use super::group::{Group, Heartbeat, MemberId, REBALANCE_TIMEOUT};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Not subscribed, or the session was lost.
    Out,
    Joining,
    /// The new generation is known, the assignment is not.
    Syncing,
    Steady,
}

/// See the module.
#[derive(Debug)]
pub struct Client {
    stage: Stage,
    member: Option<MemberId>,
    generation: i32,
    owned: BTreeSet<u32>,
    /// Given to the worker, or still to be given: it answers them in this order.
    unanswered: VecDeque<GroupEvent>,
    events: VecDeque<GroupEvent>,
    /// What is added once a revocation is answered.
    to_add: Option<Vec<Partition>>,
    must_rejoin: bool,
    /// To be reported once all earlier events are answered.
    is_lost: bool,
    pub is_subscribed: bool,
    pub polled_at: Duration,
    pub next_step_at: Duration,
}

impl Client {
    pub fn new(now: Duration) -> Self {
        Self {
            stage: Stage::Out,
            member: None,
            generation: -1,
            owned: BTreeSet::new(),
            unanswered: VecDeque::new(),
            events: VecDeque::new(),
            to_add: None,
            must_rejoin: false,
            is_lost: false,
            is_subscribed: false,
            polled_at: now,
            next_step_at: now,
        }
    }

    pub fn membership(&self) -> Membership {
        match self.member {
            Some(member) if self.generation >= 0 => {
                Membership { generation: self.generation, member: member.to_string() }
            }
            Some(_) | None => Membership { generation: -1, member: String::new() },
        }
    }

    pub fn next_event(&mut self) -> Option<GroupEvent> {
        self.events.pop_front()
    }

    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether it has nothing to do but to send heartbeats.
    pub fn is_steady(&self) -> bool {
        self.stage == Stage::Steady && self.unanswered.is_empty() && !self.must_rejoin
    }

    /// What the background threads do now and then.
    pub fn step(&mut self, group: &mut Group, now: Duration) {
        if !self.is_subscribed {
            return;
        }
        if let Some(member) = self.member {
            if self.stage != Stage::Out && now.saturating_sub(self.polled_at) > REBALANCE_TIMEOUT {
                group.leave(member, now);
                self.lose();
                return;
            }
            match group.heartbeat(member, now) {
                Heartbeat::UnknownMember => {
                    self.lose();
                    return;
                }
                Heartbeat::Rejoin if self.stage != Stage::Out => {
                    self.must_rejoin = true;
                    self.stage = Stage::Steady;
                }
                Heartbeat::Rejoin | Heartbeat::Fine => {}
            }
        }
        match self.stage {
            Stage::Out if self.unanswered.is_empty() => {
                self.member = group.join(None, BTreeSet::new(), now);
                self.stage = Stage::Joining;
            }
            Stage::Steady if self.must_rejoin && self.unanswered.is_empty() => {
                match group.join(self.member, self.owned.clone(), now) {
                    Some(_) => self.stage = Stage::Joining,
                    None => self.lose(),
                }
                self.must_rejoin = false;
            }
            Stage::Joining => {
                if let Some((generation, _)) = self.member.and_then(|member| group.assignment(member)) {
                    // From here on the client says that it is of this generation.
                    self.generation = generation;
                    self.stage = Stage::Syncing;
                }
            }
            Stage::Syncing => {
                let assignment = self.member.and_then(|member| group.assignment(member));
                if let Some((generation, assignment)) = assignment
                    && generation == self.generation
                {
                    self.stage = Stage::Steady;
                    self.take(&assignment);
                }
            }
            Stage::Out | Stage::Steady => {}
        }
    }

    /// The group gives a steady member up, which learns it at once. Behind events that wait for their answers it would learn it late.
    pub fn lose_membership(&mut self, group: &mut Group, now: Duration) {
        if let Some(member) = self.member.filter(|_| self.is_steady()) {
            group.leave(member, now);
            self.lose();
        }
    }

    /// The group takes everything back from a steady member; from another one it would not before the answers.
    pub fn revoke_all(&mut self) {
        if self.is_steady() {
            self.take(&BTreeSet::new());
        }
    }

    fn take(&mut self, assignment: &BTreeSet<u32>) {
        let partitions = |set: BTreeSet<u32>| set.into_iter().map(Partition).collect::<Vec<_>>();
        let revoked = partitions(&self.owned - assignment);
        let added = partitions(assignment - &self.owned);
        if revoked.is_empty() {
            self.push(GroupEvent::Assigned(added));
        } else {
            self.to_add = Some(added);
            self.push(GroupEvent::Revoked(revoked));
        }
    }

    /// The member id is gone before "lost" is reported, which waits until all earlier events are answered.
    fn lose(&mut self) {
        self.member = None;
        self.generation = -1;
        self.stage = Stage::Out;
        self.must_rejoin = false;
        self.to_add = None;
        self.is_lost = true;
        self.tell_lost();
    }

    fn tell_lost(&mut self) {
        if self.is_lost && self.unanswered.is_empty() {
            self.is_lost = false;
            let owned = std::mem::take(&mut self.owned);
            if !owned.is_empty() {
                self.push(GroupEvent::Lost(owned.into_iter().map(Partition).collect()));
            }
        }
    }

    fn push(&mut self, event: GroupEvent) {
        self.unanswered.push_back(event.clone());
        self.events.push_back(event);
    }

    /// The worker takes partitions up.
    pub fn answer_assigned(&mut self, partitions: &[Partition]) {
        let answered = self.unanswered.pop_front();
        assert!(matches!(answered, Some(GroupEvent::Assigned(_))), "{answered:?} answered by assign");
        self.owned.extend(partitions.iter().map(|partition| partition.0));
        self.tell_lost();
    }

    /// The worker gives partitions back.
    pub fn answer_gone(&mut self, partitions: &[Partition]) {
        let answered = self.unanswered.pop_front();
        for partition in partitions {
            self.owned.remove(&partition.0);
        }
        match answered {
            Some(GroupEvent::Revoked(_)) => {
                if let Some(added) = self.to_add.take() {
                    self.push(GroupEvent::Assigned(added));
                    self.must_rejoin = true;
                }
            }
            Some(GroupEvent::Lost(_)) => {}
            Some(GroupEvent::Assigned(_)) | None => panic!("{answered:?} answered by unassign"),
        }
        self.tell_lost();
    }

    /// The process leaves in order.
    pub fn leave(&mut self, group: &mut Group, now: Duration) {
        if let Some(member) = self.member.take() {
            group.leave(member, now);
        }
        self.is_subscribed = false;
    }
}
