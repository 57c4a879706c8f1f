//! What rules remember of one customer: part of the emitted state, in a section of the customer's bytes.

use super::rule::{Again, PLANNED_MAX, PRODUCTS_PLANNED_MAX, RuleId, RuleSet, Trigger};
use crate::domain::daily_count::outcomes::REMEMBERED_FOR;
use crate::domain::signals::rule::Occasion;
use crate::domain::values::time::{Span, Time};

/// How many rules a customer remembers at most. It is more than a set holds, because rules that were removed may come back.
pub const FIRED_MAX: usize = 128;

/// How many caps a customer remembers at most.
pub const CAPS_REMEMBERED_MAX: usize = 16;

/// How many firings a cap remembers: as many as it may allow.
pub const CAP_FIRINGS_MAX: usize = 10;

/// See the module. Nothing of it is left after an erasure; after `became_prospect` all of it but what that cancels.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RuleMemory {
    /// In their order.
    planned: Vec<PlannedFiring>,
    /// By rule.
    fired: Vec<LastFiring>,
    /// By cap.
    caps: Vec<CapFirings>,
}

/// A firing that waits for its instant. What decides whether it fires is asked then.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PlannedFiring {
    /// When its timer fires.
    pub due: Time,
    pub rule: RuleId,
    pub occasion: Occasion,
    /// When it was to fire; before `due` if its trigger came too late for that.
    pub due_at: Time,
}

/// The last firing of a rule, whether it was withheld or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastFiring {
    pub rule: RuleId,
    /// The earliest time of all if a rule on points has not fired yet.
    pub at: Time,
    /// The highest multiple that has triggered a rule on points; of all others how often the rule has fired.
    pub number: u64,
}

impl LastFiring {
    /// When the rule has fired; none if it has not yet.
    pub fn fired_at(&self) -> Option<Time> {
        (self.at > Time::MIN).then_some(self.at)
    }
}

/// The latest firings of the rules of a cap, in the order of time; at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapFirings {
    pub cap: CapId,
    pub at: Vec<Time>,
}

/// The low half of the hash of a cap's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CapId(pub u32);

/// Whether there was room for a planned firing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planned {
    Yes,
    /// As many are planned as may be.
    NoRoom,
}

impl RuleMemory {
    /// What was remembered elsewhere; none unless everything is in its order, once, and not too much.
    pub fn new(planned: Vec<PlannedFiring>, fired: Vec<LastFiring>, caps: Vec<CapFirings>) -> Option<Self> {
        let is_sound = planned.len() <= PLANNED_MAX
            && planned.is_sorted_by(|one, next| one < next)
            && planned.iter().all(|firing| firing.due_at <= firing.due)
            && products(&planned).count() <= PRODUCTS_PLANNED_MAX
            && fired.len() <= FIRED_MAX
            && fired.is_sorted_by(|one, next| one.rule < next.rule)
            && caps.len() <= CAPS_REMEMBERED_MAX
            && caps.is_sorted_by(|one, next| one.cap < next.cap)
            && caps.iter().all(|cap| (1..=CAP_FIRINGS_MAX).contains(&cap.at.len()) && cap.at.is_sorted());
        is_sound.then_some(Self { planned, fired, caps })
    }

    pub fn is_empty(&self) -> bool {
        self.planned.is_empty() && self.fired.is_empty() && self.caps.is_empty()
    }

    /// Nothing remembered, memory kept.
    pub fn clear(&mut self) {
        self.planned.clear();
        self.fired.clear();
        self.caps.clear();
    }

    pub fn planned(&self) -> &[PlannedFiring] {
        &self.planned
    }

    pub fn fired(&self) -> &[LastFiring] {
        &self.fired
    }

    pub fn caps(&self) -> &[CapFirings] {
        &self.caps
    }

    /// The planned firing of a rule that is due first.
    pub fn planned_of(&self, rule: RuleId) -> Option<&PlannedFiring> {
        self.planned.iter().find(|firing| firing.rule == rule)
    }

    pub fn last_of(&self, rule: RuleId) -> Option<&LastFiring> {
        let index = self.fired.binary_search_by_key(&rule, |last| last.rule).ok()?;
        Some(&self.fired[index])
    }

    /// How many firings of a cap lie after `after`.
    pub fn firings_after(&self, cap: CapId, after: Time) -> usize {
        let cap = self.caps.iter().find(|firings| firings.cap == cap);
        cap.map_or(0, |firings| firings.at.iter().filter(|at| **at > after).count())
    }

    /// Whether a firing is planned for the end of a product.
    pub fn has_products(&self) -> bool {
        products(&self.planned).next().is_some()
    }

    pub fn plan(&mut self, firing: PlannedFiring) -> Planned {
        let is_product = firing.occasion.product().is_some();
        let is_full = is_product && products(&self.planned).count() == PRODUCTS_PLANNED_MAX;
        if is_full || self.planned.len() == PLANNED_MAX {
            return Planned::NoRoom;
        }
        let index = self.planned.partition_point(|planned| *planned < firing);
        self.planned.insert(index, firing);
        Planned::Yes
    }

    /// Removes the first planned firing for which `is_asked` holds.
    pub fn take_planned(&mut self, is_asked: impl FnMut(&PlannedFiring) -> bool) -> Option<PlannedFiring> {
        let index = self.planned.iter().position(is_asked)?;
        Some(self.planned.remove(index))
    }

    /// Drops what is due by an instant. Returns how many firings that were.
    pub fn drop_due(&mut self, by: Time) -> u64 {
        let due = self.planned.partition_point(|firing| firing.due <= by);
        self.planned.drain(..due);
        due as u64
    }

    /// Notes a firing, or a withheld one.
    pub fn note_fired(&mut self, last: LastFiring, set: &RuleSet) {
        match self.fired.binary_search_by_key(&last.rule, |held| held.rule) {
            Ok(index) => self.fired[index] = last,
            Err(_) => {
                if self.fired.len() == FIRED_MAX {
                    self.forget_longest_ago(set);
                }
                let index = self.fired.partition_point(|held| held.rule < last.rule);
                self.fired.insert(index, last);
            }
        }
    }

    /// Notes the highest multiple that has triggered a rule on points; when it last fired stays.
    pub fn note_reached(&mut self, rule: RuleId, number: u64, set: &RuleSet) {
        let at = self.last_of(rule).map_or(Time::MIN, |last| last.at);
        self.note_fired(LastFiring { rule, at, number }, set);
    }

    /// Of the rules that the set has no more, forgets the one that fired the longest ago.
    fn forget_longest_ago(&mut self, set: &RuleSet) {
        let gone = self.fired.iter().enumerate().filter(|(_, last)| set.rule(last.rule).is_none());
        let longest_ago = gone.min_by_key(|(_, last)| last.at).map(|(index, _)| index);
        self.fired.remove(longest_ago.expect("a set holds fewer rules than are remembered"));
    }

    /// Notes a firing in a cap.
    pub fn note_capped(&mut self, cap: CapId, at: Time) {
        let index = self.caps.partition_point(|firings| firings.cap < cap);
        if self.caps.get(index).is_none_or(|firings| firings.cap != cap) {
            self.caps.insert(index, CapFirings { cap, at: Vec::new() });
        }
        let firings = &mut self.caps[index].at;
        let place = firings.partition_point(|held| *held <= at);
        firings.insert(place, at);
        if firings.len() > CAP_FIRINGS_MAX {
            firings.remove(0);
        }
        if self.caps.len() > CAPS_REMEMBERED_MAX {
            let quiet = self.caps.iter().enumerate().min_by_key(|(_, firings)| firings.at.last().copied());
            let quiet = quiet.map(|(index, _)| index).expect("there are too many");
            self.caps.remove(quiet);
        }
    }

    /// Forgets what no decision and no count of a day looks at any more. What rules remember that were removed is kept: they may come
    /// back.
    pub fn forget_over(&mut self, set: &RuleSet, clock: Time) {
        self.fired.retain(|last| {
            let Some(rule) = set.rule(last.rule) else { return true };
            let again = match (rule.again, &rule.trigger) {
                (_, Trigger::Points { .. }) | (Again::Never, _) => return true,
                (Again::Always, _) => Span::ZERO,
                (Again::After(again), _) => again,
            };
            last.at.plus(again.max(rule.measure.plus(REMEMBERED_FOR))) >= clock
        });
        self.caps.retain(|firings| {
            let cap = set.caps().iter().find(|cap| CapId::of(cap.hash) == firings.cap);
            cap.is_none_or(|cap| firings.at.last().is_some_and(|at| at.plus(cap.per) > clock))
        });
    }
}

/// The firings that are planned for the end of a product.
fn products(planned: &[PlannedFiring]) -> impl Iterator<Item = &PlannedFiring> {
    planned.iter().filter(|firing| firing.occasion.product().is_some())
}

impl CapId {
    pub const fn of(hash: u64) -> Self {
        Self(hash as u32)
    }
}
