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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rules::rule::tests::rule;
    use crate::domain::rules::rule::{Cap, HoldoutShare, Rule};
    use crate::domain::signals::kind::SignalType;
    use crate::domain::values::ids::{OrderHash, SkuHash};

    fn at(day: i64) -> Time {
        Time::MIN.plus(Span::days(day))
    }

    fn fired(rule: u32, day: i64) -> LastFiring {
        LastFiring { rule: RuleId(rule), at: at(day), number: 1 }
    }

    fn capped(cap: u32, days: impl IntoIterator<Item = i64>) -> CapFirings {
        CapFirings { cap: CapId(cap), at: days.into_iter().map(at).collect() }
    }

    /// A firing for a signal, or for the end of a product.
    fn planned(number: u32, day: i64, is_product: bool) -> PlannedFiring {
        let id = u64::from(number);
        let occasion = match is_product {
            true => Occasion::Product { order: OrderHash(id), sku: SkuHash(id) },
            false => Occasion::Order(OrderHash(id)),
        };
        PlannedFiring { due: at(day), rule: RuleId(number), occasion, due_at: at(day) }
    }

    fn set(rules: Vec<Rule>, caps: Vec<Cap>) -> RuleSet {
        RuleSet::new(rules, caps, HoldoutShare(0)).expect("different names")
    }

    fn on_lapse(name: &str, again: Again) -> Rule {
        Rule { again, ..rule(name, Trigger::Signal(SignalType::Lapsed)) }
    }

    fn numbers(count: usize) -> impl DoubleEndedIterator<Item = u32> {
        1..=u32::try_from(count).expect("few")
    }

    #[test]
    fn memory_of_elsewhere_is_taken_up_to_its_bounds() {
        let plans = |count, is_product| -> Vec<_> {
            numbers(count).map(|number| planned(number, 1, is_product)).collect()
        };
        let is_sound =
            |planned: Vec<_>, fired: Vec<_>, caps: Vec<_>| RuleMemory::new(planned, fired, caps).is_some();
        assert!(is_sound(plans(PLANNED_MAX, false), vec![], vec![]));
        assert!(!is_sound(plans(PLANNED_MAX + 1, false), vec![], vec![]));
        assert!(is_sound(plans(PRODUCTS_PLANNED_MAX, true), vec![], vec![]));
        assert!(!is_sound(plans(PRODUCTS_PLANNED_MAX + 1, true), vec![], vec![]));
        assert!(!is_sound(vec![planned(2, 1, false), planned(1, 1, false)], vec![], vec![]));
        assert!(!is_sound(vec![planned(1, 1, false); 2], vec![], vec![]));
        assert!(is_sound(vec![PlannedFiring { due_at: at(0), ..planned(1, 1, false) }], vec![], vec![]));
        assert!(!is_sound(vec![PlannedFiring { due_at: at(2), ..planned(1, 1, false) }], vec![], vec![]));

        let all_fired = |count| numbers(count).map(|rule| fired(rule, 1)).collect::<Vec<_>>();
        assert!(is_sound(vec![], all_fired(FIRED_MAX), vec![]));
        assert!(!is_sound(vec![], all_fired(FIRED_MAX + 1), vec![]));
        assert!(!is_sound(vec![], vec![fired(1, 1), fired(1, 2)], vec![]));

        let all_caps = |count| numbers(count).map(|cap| capped(cap, [1])).collect::<Vec<_>>();
        assert!(is_sound(vec![], vec![], all_caps(CAPS_REMEMBERED_MAX)));
        assert!(!is_sound(vec![], vec![], all_caps(CAPS_REMEMBERED_MAX + 1)));
        assert!(!is_sound(vec![], vec![], vec![capped(1, [1]), capped(1, [1])]));
        let most = i64::try_from(CAP_FIRINGS_MAX).expect("few");
        assert!(is_sound(vec![], vec![], vec![capped(1, 1..=most)]));
        assert!(!is_sound(vec![], vec![], vec![capped(1, 0..=most)]));
        assert!(!is_sound(vec![], vec![], vec![capped(1, [])]));
        assert!(!is_sound(vec![], vec![], vec![capped(1, [2, 1])]));
    }

    #[test]
    fn memory_is_empty_once_all_of_it_is_gone() {
        let parts = [
            RuleMemory::new(vec![planned(1, 1, false)], vec![], vec![]),
            RuleMemory::new(vec![], vec![fired(1, 1)], vec![]),
            RuleMemory::new(vec![], vec![], vec![capped(1, [1])]),
        ];
        for part in parts {
            let mut memory = part.expect("sound");
            assert!(!memory.is_empty(), "{memory:?}");
            memory.clear();
            assert!(memory.is_empty() && memory == RuleMemory::default(), "{memory:?}");
        }
    }

    #[test]
    fn a_rule_on_points_may_be_remembered_before_it_fires() {
        let (set, mut memory) = (set(Vec::new(), Vec::new()), RuleMemory::default());
        memory.note_reached(RuleId(1), 3, &set);
        let reached = *memory.last_of(RuleId(1)).expect("noted");
        assert_eq!((reached.fired_at(), reached.number), (None, 3));
        memory.note_fired(LastFiring { number: 3, ..fired(1, 5) }, &set);
        memory.note_reached(RuleId(1), 4, &set);
        let reached = *memory.last_of(RuleId(1)).expect("noted");
        assert_eq!((reached.fired_at(), reached.number), (Some(at(5)), 4));
    }

    #[test]
    fn plans_have_room_for_so_many_of_each_kind() {
        let mut memory = RuleMemory::default();
        for number in numbers(PRODUCTS_PLANNED_MAX) {
            assert!(memory.has_products() == (number > 1));
            assert_eq!(memory.plan(planned(number, 9, true)), Planned::Yes);
        }
        assert_eq!(memory.plan(planned(99, 1, true)), Planned::NoRoom);
        for number in numbers(PLANNED_MAX - PRODUCTS_PLANNED_MAX) {
            assert_eq!(memory.plan(planned(100 - number, 5, false)), Planned::Yes);
        }
        assert_eq!(memory.plan(planned(1, 1, false)), Planned::NoRoom);
        assert!(memory.planned().is_sorted() && memory.planned().len() == PLANNED_MAX);
        assert_eq!(memory.drop_due(at(4)), 0);
        assert_eq!(memory.drop_due(at(5)), 8);
        assert_eq!(memory.take_planned(|firing| firing.rule == RuleId(3)), Some(planned(3, 9, true)));
        assert_eq!(memory.take_planned(|firing| firing.rule == RuleId(3)), None);
        assert_eq!(memory.planned().len(), 7);
    }

    #[test]
    fn the_rule_that_is_gone_the_longest_makes_room() {
        let known = on_lapse("known", Again::Always);
        let id = known.id();
        let set = set(vec![known], Vec::new());
        let mut memory = RuleMemory::default();
        memory.note_fired(LastFiring { rule: id, at: at(0), number: 1 }, &set);
        for number in numbers(FIRED_MAX - 1) {
            memory.note_fired(fired(number, 100 - i64::from(number % 50)), &set);
        }
        assert_eq!(memory.fired().len(), FIRED_MAX);
        memory.note_fired(fired(1_000, 200), &set);
        assert_eq!(memory.fired().len(), FIRED_MAX);
        assert!(memory.fired().is_sorted_by(|one, next| one.rule < next.rule));
        let is_held = |rule: u32| memory.last_of(RuleId(rule)).is_some();
        assert!(memory.last_of(id).is_some(), "its rule is in the set");
        assert!(!is_held(49) && is_held(99) && is_held(1_000), "of those of day 51 the first");
    }

    #[test]
    fn a_cap_remembers_its_latest_firings() {
        let mut memory = RuleMemory::default();
        let most = i64::try_from(CAP_FIRINGS_MAX).expect("few");
        for day in (1..=most).rev() {
            memory.note_capped(CapId(7), at(day));
        }
        assert_eq!(memory.caps(), [capped(7, 1..=most)]);
        memory.note_capped(CapId(7), at(most));
        assert_eq!(memory.caps(), [capped(7, (2..=most).chain([most]))]);
        assert_eq!(memory.firings_after(CapId(7), at(most - 2)), 3);
        assert_eq!(memory.firings_after(CapId(7), at(most)), 0);
        assert_eq!(memory.firings_after(CapId(8), at(0)), 0);
    }

    #[test]
    fn the_cap_that_is_quiet_the_longest_makes_room() {
        let mut memory = RuleMemory::default();
        for cap in numbers(CAPS_REMEMBERED_MAX).rev() {
            memory.note_capped(CapId(cap), at(50 - i64::from(cap)));
            memory.note_capped(CapId(cap), at(1));
        }
        assert_eq!(memory.caps().len(), CAPS_REMEMBERED_MAX);
        memory.note_capped(CapId(99), at(60));
        assert_eq!(memory.caps().len(), CAPS_REMEMBERED_MAX);
        assert!(memory.caps().is_sorted_by(|one, next| one.cap < next.cap));
        let last = u32::try_from(CAPS_REMEMBERED_MAX).expect("few");
        assert!(memory.caps().iter().all(|firings| firings.cap != CapId(last)), "it fired on day 34 last");
    }

    /// A firing is remembered while its rule cools down, and while what it brought may be counted.
    #[test]
    fn what_nothing_looks_at_any_more_is_forgotten() {
        let rules = [
            ("always", Again::Always),
            ("never", Again::Never),
            ("long", Again::After(Span::days(1_000))),
            ("short", Again::After(Span::days(1))),
        ];
        let rules = rules.map(|(name, again)| on_lapse(name, again));
        let ids = rules.each_ref().map(Rule::id);
        let points = rule("points", Trigger::Points { reach: 5 });
        let points_id = points.id();
        let cap = Cap { name: "mail".into(), hash: 7, max: 3, per: Span::days(10) };
        let set = set(rules.into_iter().chain([points]).collect(), vec![cap]);
        let measured = Span::days(30).plus(REMEMBERED_FOR);
        let remembered = |clock: Time| {
            let mut memory = RuleMemory::default();
            for rule in ids.iter().copied().chain([points_id, RuleId(1)]) {
                memory.note_fired(LastFiring { rule, at: at(100), number: 1 }, &set);
            }
            [7, 8].into_iter().for_each(|cap| memory.note_capped(CapId(cap), at(100)));
            memory.forget_over(&set, clock);
            let is_held = |rule: RuleId| memory.last_of(rule).is_some();
            assert!(is_held(RuleId(1)) && is_held(points_id), "removed rules and multiples stay");
            let caps: Vec<u32> = memory.caps().iter().map(|firings| firings.cap.0).collect();
            (ids.map(is_held), caps)
        };
        let end = at(100).plus(measured);
        assert_eq!(remembered(at(110).just_before()), ([true; 4], vec![7, 8]));
        assert_eq!(remembered(at(110)), ([true; 4], vec![8]));
        assert_eq!(remembered(end), ([true; 4], vec![8]));
        assert_eq!(remembered(end.plus(Span::from_millis(1))), ([false, true, true, false], vec![8]));
        assert_eq!(remembered(at(1_100)).0, [false, true, true, false]);
        assert_eq!(remembered(at(1_100).plus(Span::from_millis(1))).0, [false, true, false, false]);
    }
}
