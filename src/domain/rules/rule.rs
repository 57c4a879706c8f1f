//! A rule and a set of rules, as they were checked at the start.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::expression::condition::Condition;
use super::schedule::{DateOfYear, SendHours, TimeOfDay};
use crate::domain::signals::kind::SignalType;
use crate::domain::values::event::WATCHED_SKUS_MAX;
use crate::domain::values::ids::SkuHash;
use crate::domain::values::time::{Span, Time};

/// How many rules a set has at most.
pub const RULES_MAX: usize = 64;

/// How many caps a set has at most.
pub const CAPS_MAX: usize = 8;

/// How many firings of a customer may be planned at once.
pub const PLANNED_MAX: usize = 16;

/// How many of them may wait for the ends of products.
pub const PRODUCTS_PLANNED_MAX: usize = 8;

/// How many SKUs the rules of a set watch at most.
pub const SKUS_WATCHED_MAX: usize = 1_000;

const _: () = assert!(WATCHED_SKUS_MAX == PRODUCTS_PLANNED_MAX && SKUS_WATCHED_MAX <= u16::MAX as usize);

/// Every rule of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleSet {
    rules: Box<[Rule]>,
    caps: Box<[Cap]>,
    holdout: HoldoutShare,
    triggers: SignalTypes,
    cancels: SignalTypes,
    /// Sorted.
    watched: Arc<[u64]>,
}

/// Why rules are no set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RuleSetError {
    /// Two rules have this name.
    SameName(Box<str>),
    /// The hashes of these two names end in the same 32 bits.
    SameId(Box<str>, Box<str>),
    /// The enabled rules watch so many SKUs, more than [`SKUS_WATCHED_MAX`].
    TooManySkus(usize),
}

impl RuleSet {
    /// Sorts the rules. `caps` are those that [`Rule::cap`] counts in.
    ///
    /// # Errors
    /// Two rules have one name or one id, or the rules watch too many SKUs.
    pub fn new(mut rules: Vec<Rule>, caps: Vec<Cap>, holdout: HoldoutShare) -> Result<Self, RuleSetError> {
        rules.sort_by(|one, other| other.priority.cmp(&one.priority).then_with(|| one.name.cmp(&other.name)));
        for (index, rule) in rules.iter().enumerate() {
            let Some(same) = rules[..index].iter().find(|earlier| earlier.id() == rule.id()) else {
                continue;
            };
            return Err(if same.name == rule.name {
                RuleSetError::SameName(rule.name.clone())
            } else {
                RuleSetError::SameId(same.name.clone(), rule.name.clone())
            });
        }
        let enabled = || rules.iter().filter(|rule| rule.enabled);
        let triggers = enabled().filter_map(|rule| match rule.trigger {
            Trigger::Signal(signal_type) => Some(signal_type),
            Trigger::Order
            | Trigger::Every(_)
            | Trigger::Date(_)
            | Trigger::Product(_)
            | Trigger::Points { .. }
            | Trigger::GuestOrder => None,
        });
        let triggers = triggers.collect();
        let cancels = enabled().fold(SignalTypes::default(), |all, rule| all.union(rule.cancel_on));
        let watched: BTreeSet<u64> =
            enabled().filter_map(Rule::product).flat_map(ProductTrigger::skus).collect();
        if watched.len() > SKUS_WATCHED_MAX {
            return Err(RuleSetError::TooManySkus(watched.len()));
        }
        let watched = watched.into_iter().collect();
        Ok(Self { rules: rules.into(), caps: caps.into(), holdout, triggers, cancels, watched })
    }

    /// By priority, the greatest first, then by name.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id() == id)
    }

    pub fn cap(&self, index: CapIndex) -> &Cap {
        &self.caps[usize::from(index.0)]
    }

    pub fn caps(&self) -> &[Cap] {
        &self.caps
    }

    pub const fn holdout(&self) -> HoldoutShare {
        self.holdout
    }

    /// The signal types that trigger an enabled rule.
    pub const fn triggers(&self) -> SignalTypes {
        self.triggers
    }

    /// Hashes of the SKUs that enabled rules watch, sorted.
    pub const fn watched(&self) -> &Arc<[u64]> {
        &self.watched
    }

    /// The signal types that cancel a planned firing of an enabled rule.
    pub const fn cancels(&self) -> SignalTypes {
        self.cancels
    }
}

/// A rule: what happens on a trigger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// `[a-z0-9-]`, 1 to 40 of them: the rule's identity.
    pub name: Box<str>,
    /// XXH3-64 of the name.
    pub hash: u64,
    pub trigger: Trigger,
    /// Looks at the trigger alone, when it happens.
    pub when: Condition,
    /// From the trigger to the firing.
    pub after: Span,
    /// Looks at the customer when the rule is due.
    pub condition: Condition,
    /// Signals that end a planned firing.
    pub cancel_on: SignalTypes,
    pub again: Again,
    pub while_planned: WhilePlanned,
    /// None: at any time.
    pub send: Option<SendHours>,
    /// From the firing on, how long it is worth to be sent.
    pub expires: Span,
    pub cap: Option<CapIndex>,
    /// 0 to 100.
    pub priority: u8,
    pub variants: Variants,
    /// Whether planned and cancelled firings are emitted as well.
    pub announce: bool,
    /// The window after a firing in which orders count as its outcome.
    pub measure: Span,
    /// A rule that is switched off plans and fires nothing, and keeps its memory.
    pub enabled: bool,
}

impl Rule {
    pub const fn id(&self) -> RuleId {
        RuleId(self.hash as u32)
    }

    /// How long the rule does not fire again after its last firing, if there was one.
    pub fn cool_down(&self, last: Option<Time>) -> CoolDown {
        match (last, &self.trigger, self.again) {
            // Each multiple is a trigger of its own.
            (None, ..) | (_, Trigger::Points { .. }, _) | (_, _, Again::Always) => CoolDown::None,
            (Some(_), _, Again::Never) => CoolDown::ForEver,
            (Some(last), _, Again::After(again)) => CoolDown::Until(last.plus(again)),
        }
    }

    /// The goods that the rule waits for, if it is on a product.
    pub const fn product(&self) -> Option<&ProductTrigger> {
        match &self.trigger {
            Trigger::Product(product) => Some(product),
            Trigger::Signal(_)
            | Trigger::Order
            | Trigger::Every(_)
            | Trigger::Date(_)
            | Trigger::Points { .. }
            | Trigger::GuestOrder => None,
        }
    }
}

/// How long a rule that has fired for a customer does not fire again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoolDown {
    None,
    /// From this instant on it does.
    Until(Time),
    ForEver,
}

/// The low half of the hash of a rule's name: how state refers to a rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RuleId(pub u32);

/// What makes a rule start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trigger {
    Signal(SignalType),
    /// The first acceptance of an order that is kept.
    Order,
    Every(Every),
    Date(DateTrigger),
    Product(ProductTrigger),
    /// Each new multiple of so many points.
    Points {
        reach: u64,
    },
    /// An order without a customer.
    GuestOrder,
}

impl Trigger {
    /// As `on` has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Signal(signal_type) => signal_type.name(),
            Self::Order => "order",
            Self::Every(_) => "every",
            Self::Date(_) => "date",
            Self::Product(_) => "product",
            Self::Points { .. } => "points",
            Self::GuestOrder => "guest_order",
        }
    }
}

/// A turn every so many days after an anchor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Every {
    /// At least 1.
    pub days_min: u32,
    /// At least `days_min`. A customer's own number in between follows from the hash of the key.
    pub days_max: u32,
    pub from: Anchor,
}

/// What the turns of [`Every`] are counted from. Without it there is no turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Anchor {
    /// The first kept order.
    FirstOrder,
    /// The last kept order.
    LastOrder,
}

/// A date with a time of day in the store's zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DateTrigger {
    pub date: DateOfYear,
    pub time: TimeOfDay,
    /// Customers come by hash within so long after it; less than a day.
    pub spread: Span,
}

/// Goods that are used up some time after they were bought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductTrigger {
    /// By [`ProductLife::sku_hash`].
    pub lives: Box<[ProductLife]>,
    /// So long before the end of the life, and shorter than every one of them.
    pub lead: Span,
}

impl ProductTrigger {
    /// From an order of the goods to the firing.
    pub fn wait(&self, life: &ProductLife) -> Span {
        Span::from_millis(life.life.as_millis() - self.lead.as_millis())
    }

    fn skus(&self) -> impl Iterator<Item = u64> {
        self.lives.iter().map(|life| life.sku_hash.0)
    }

    /// The life of the goods with this hash, if they are watched.
    pub fn life(&self, sku: SkuHash) -> Option<&ProductLife> {
        let index = self.lives.binary_search_by_key(&sku, |life| life.sku_hash).ok()?;
        Some(&self.lives[index])
    }
}

/// How long goods last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductLife {
    pub sku: Box<str>,
    /// XXH3-64 of the SKU.
    pub sku_hash: SkuHash,
    pub life: Span,
}

/// Whether a rule fires again for one customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    Never,
    Always,
    /// So long after the last firing.
    After(Span),
}

/// What a trigger does while a firing of its rule is planned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhilePlanned {
    /// The planned one stays.
    Keep,
    /// The new one replaces it.
    Restart,
}

/// A group of rules that together fire only so often for a customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cap {
    pub name: Box<str>,
    /// XXH3-64 of the name.
    pub hash: u64,
    /// Firings in any span of `per`: 1 to 10.
    pub max: u8,
    pub per: Span,
}

/// Index in [`RuleSet::caps`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapIndex(pub u8);

/// The customers from whom every rule withholds: parts of 10,000.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HoldoutShare(pub u16);

/// The variants of a rule; at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variants {
    /// What the assignment is named after: the rule, or a name that several rules share.
    pub split: Box<str>,
    pub list: Box<[Variant]>,
}

/// One of a rule's variants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variant {
    /// Empty if the rule names no variants.
    pub name: Box<str>,
    /// 1 to 10,000.
    pub weight: u32,
    /// Whether these customers get nothing, so that the others can be compared with them.
    pub holdout: bool,
    /// A JSON object that is copied into the signal: the variant's own, else the rule's.
    pub say: Option<Box<str>>,
}

/// A set of signal types.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SignalTypes(u32);

const _: () = assert!(SignalType::ALL.len() <= 32);

impl SignalTypes {
    pub const fn contains(self, signal_type: SignalType) -> bool {
        self.0 >> signal_type.index() & 1 == 1
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// In the order of [`SignalType::ALL`].
    pub fn iter(self) -> impl Iterator<Item = SignalType> {
        SignalType::ALL.into_iter().filter(move |signal_type| self.contains(*signal_type))
    }
}

impl FromIterator<SignalType> for SignalTypes {
    fn from_iter<I: IntoIterator<Item = SignalType>>(types: I) -> Self {
        Self(types.into_iter().fold(0, |bits, signal_type| bits | 1 << signal_type.index()))
    }
}

#[cfg(test)]
pub(in crate::domain) mod tests {
    use super::*;
    use crate::wire::hash::hash;

    /// A rule with every key at its default.
    pub(in crate::domain) fn rule(name: &str, trigger: Trigger) -> Rule {
        let variant = Variant { name: "".into(), weight: 1, holdout: false, say: None };
        Rule {
            name: name.into(),
            hash: hash(name.as_bytes()),
            trigger,
            when: Condition::always(),
            after: Span::ZERO,
            condition: Condition::always(),
            cancel_on: [SignalType::BecameProspect].into_iter().collect(),
            again: Again::Never,
            while_planned: WhilePlanned::Keep,
            send: None,
            expires: Span::days(7),
            cap: None,
            priority: 50,
            variants: Variants { split: name.into(), list: [variant].into() },
            announce: false,
            measure: Span::days(30),
            enabled: true,
        }
    }

    #[test]
    fn a_cool_down_begins_at_the_last_firing() {
        let last = Time::MIN.plus(Span::days(3));
        let on = |again, trigger| Rule { again, ..rule("a", trigger) };
        let lapsed = || Trigger::Signal(SignalType::Lapsed);
        assert_eq!(on(Again::Never, lapsed()).cool_down(None), CoolDown::None);
        assert_eq!(on(Again::Never, lapsed()).cool_down(Some(last)), CoolDown::ForEver);
        assert_eq!(on(Again::Always, lapsed()).cool_down(Some(last)), CoolDown::None);
        let after = Again::After(Span::days(2));
        assert_eq!(on(after, lapsed()).cool_down(Some(last)), CoolDown::Until(Time::MIN.plus(Span::days(5))));
        assert_eq!(on(after, Trigger::Points { reach: 1 }).cool_down(Some(last)), CoolDown::None);
    }

    #[test]
    fn rules_lie_by_priority_and_name() {
        let on = Trigger::Signal(SignalType::FirstOrder);
        let urgent = Rule { priority: 51, ..rule("z", on.clone()) };
        let off = Rule { enabled: false, ..rule("c", Trigger::Signal(SignalType::Lapsed)) };
        let rules = vec![rule("b", on), urgent, off, rule("a", Trigger::Order), rule("d", Trigger::Order)];
        let set = RuleSet::new(rules, Vec::new(), HoldoutShare(0)).expect("different names");
        let names: Vec<&str> = set.rules().iter().map(|rule| &*rule.name).collect();
        assert_eq!(names, ["z", "a", "b", "c", "d"]);
        assert_eq!(set.triggers().iter().collect::<Vec<_>>(), [SignalType::FirstOrder]);
        assert_eq!(set.cancels().iter().collect::<Vec<_>>(), [SignalType::BecameProspect]);
        let id = RuleId(hash(b"b") as u32);
        assert_eq!(set.rule(id).map(|rule| &*rule.name), Some("b"));
    }

    #[test]
    fn two_rules_of_one_name_or_id_are_no_set() {
        let set = |rules| RuleSet::new(rules, Vec::new(), HoldoutShare(0));
        let one = || rule("one", Trigger::Order);
        assert_eq!(set(vec![one(), one()]), Err(RuleSetError::SameName("one".into())));
        let same_id = Rule { hash: one().hash ^ 1 << 32, ..rule("two", Trigger::Order) };
        assert_eq!(set(vec![same_id, one()]), Err(RuleSetError::SameId("one".into(), "two".into())));
    }
}
