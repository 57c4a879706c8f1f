//! The closed lists that label values come from.
//!
//! Every label is a Kafka partition, a configured currency, or a value of one of these enums: nothing that a customer, an
//! order or an error text could make grow. Topics carry the name of their role, not the configured name, so that
//! dashboards and alerts fit every installation.

use super::label::{Label, label, label_of, pair};
use crate::domain::daily_count::stage::ShopStage;
use crate::domain::segments::names::Segment;
use crate::domain::signals::kind::SignalType;
use crate::domain::signals::rule::RuleAction;
use crate::domain::signals::signal::State;
use crate::topic::{Input, Output};
use crate::wire::reason::Reason;
pub use crate::wire::remark::Remark;

label_of!(State, "state");
label_of!(ShopStage, "stage");
label_of!(Segment, "segment");
label_of!(Input, "topic");
label_of!(Output, "topic");
label_of!(Reason, "reason");
label_of!(Remark, "remark");
label_of!(SignalType, "signal_type");
label_of!(RuleAction, "action");

label!(
    /// What the whole service is doing.
    ///
    /// ```text
    ///  starting ──► restoring ◄──► running ◄──► rebalancing
    ///      └────────────┴─────────────┴──────────────┴──► draining      (any) ──► failed
    /// ```
    ServiceState, "state", {
        /// Not every worker has joined the group yet.
        Starting = "starting",
        /// An owned partition is being read back from its changelog.
        Restoring = "restoring",
        /// Every owned partition is processed.
        Running = "running",
        /// Partitions are moving between members.
        Rebalancing = "rebalancing",
        /// Shutting down: the last batch is being committed.
        Draining = "draining",
        /// Stopped by an error that only a restart or an operator can resolve.
        Failed = "failed",
    }
);

label!(
    /// Why a worker stopped for good.
    FatalKind, "kind", {
        /// The configuration or the topic layout does not fit.
        Configuration = "configuration",
        /// The broker refused a permission.
        Permission = "permission",
        /// Kafka was not reachable for longer than the configured patience.
        Unavailable = "unavailable",
        /// The outcome of a commit could not be found out.
        OutcomeUnknown = "outcome_unknown",
        /// The share of dead letters rose above its limit.
        DeadLetterLimit = "dead_letter_limit",
        /// Another process uses the same transactional id.
        Fenced = "fenced",
        /// A bug.
        Internal = "internal",
    }
);

label!(
    /// Why a combiner ended before its time. The worker starts another one.
    CombinerFailure, "kind", {
        /// The topics do not fit.
        Configuration = "configuration",
        /// The broker refused a permission.
        Permission = "permission",
        /// Kafka gave no usable answer.
        Unavailable = "unavailable",
        /// The outcome of a commit is not known. The next combiner asks for it.
        OutcomeUnknown = "outcome_unknown",
        /// Another process has taken the combiner's transactional id over.
        Fenced = "fenced",
        /// A bug.
        Internal = "internal",
    }
);

label!(
    /// The level of a log message.
    LogLevel, "level", {
        /// An operator has to act.
        Error = "error",
        /// Odd, but handled.
        Warn = "warn",
        /// A change of state.
        Info = "info",
        /// A decision.
        Debug = "debug",
        /// A record.
        Trace = "trace",
    }
);

label!(
    /// What became of an input record.
    Outcome, "outcome", {
        /// It is in the state.
        Applied = "applied",
        /// The same record was in the state before.
        Duplicate = "duplicate",
        /// It lies before the next offset of its partition: an earlier commit has it.
        Skipped = "skipped",
        /// It could not be used and went to the dead-letter topic.
        DeadLettered = "dead_lettered",
    }
);

label!(
    /// What a timer emitted when it fired. The label is `signal_type`, so that it joins with `retention_signals_total`.
    TimerOutcome, "signal_type", {
        /// The customer is at risk.
        AtRisk = "at_risk",
        /// The customer lapsed.
        Lapsed = "lapsed",
        /// The return rate is high since something left the year.
        ReturnRateHigh = "return_rate_high",
        /// The customer's segment has another name.
        SegmentChanged = "segment_changed",
        /// The customer's tier is another one since something left the year.
        TierChanged = "tier_changed",
        /// Rules have fired, and nothing else.
        Rule = "rule",
        /// Nothing: the return rate is not high yet, the tier is the same, or an erasure marker ended.
        None = "none",
    }
);

label!(
    /// A part of the work on a batch.
    Stage, "stage", {
        /// Bytes to events.
        Decode = "decode",
        /// Events and timers to effects.
        Apply = "apply",
        /// Effects to bytes, handed to the producer.
        Encode = "encode",
        /// Flush, offsets and commit.
        Commit = "commit",
    }
);

label!(
    /// How a transaction ended.
    TransactionResult, "result", {
        /// Visible to everyone.
        Committed = "committed",
        /// As if it had not been.
        Aborted = "aborted",
    }
);

label!(
    /// What a rebalance did to this member.
    RebalanceKind, "kind", {
        /// Partitions came.
        Assign = "assign",
        /// Partitions were handed over.
        Revoke = "revoke",
        /// Partitions went without a hand-over.
        Lost = "lost",
    }
);

label!(
    /// Whether an order is its customer's first.
    OrderKind, "kind", {
        /// The customer's first kept order.
        First = "first",
        /// Any later one.
        Repeat = "repeat",
    }
);

label!(
    /// A trailing window, or the whole life.
    Window, "window", {
        /// 30 days.
        Days30 = "30d",
        /// 90 days.
        Days90 = "90d",
        /// 365 days.
        Days365 = "365d",
        /// Everything.
        All = "all",
    }
);

label!(
    /// A trailing window of a complete day, in the order of the domain's.
    TrailingWindow, "window", {
        /// 30 days.
        Days30 = "30d",
        /// 90 days.
        Days90 = "90d",
        /// 365 days.
        Days365 = "365d",
    }
);

label!(
    /// Whether a kept order is its customer's first.
    OrderOrigin, "kind", {
        /// It is.
        New = "new",
        /// It is a later one.
        Returning = "returning",
    }
);

label!(
    /// Money of placed orders.
    RefundKind, "kind", {
        /// Their totals.
        Gross = "gross",
        /// What was refunded.
        Refunded = "refunded",
    }
);

label!(
    /// Calendar months since that of the first kept order. Two digits, so that they sort.
    RetentionMonth, "month", {
        /// 1
        Month1 = "01",
        /// 2
        Month2 = "02",
        /// 3
        Month3 = "03",
        /// 4
        Month4 = "04",
        /// 5
        Month5 = "05",
        /// 6
        Month6 = "06",
        /// 7
        Month7 = "07",
        /// 8
        Month8 = "08",
        /// 9
        Month9 = "09",
        /// 10
        Month10 = "10",
        /// 11
        Month11 = "11",
        /// 12
        Month12 = "12",
    }
);

label!(
    /// Percentage points of retention more, in the order of the projections.
    ProjectedPoints, "points", {
        /// 1
        One = "1",
        /// 5
        Five = "5",
        /// 10
        Ten = "10",
    }
);

label!(
    /// Which orders a figure counts.
    Basis, "basis", {
        /// All but test orders.
        Placed = "placed",
        /// Neither cancelled nor fully refunded.
        Kept = "kept",
    }
);

label!(
    /// Which revenue a figure adds up.
    RevenueKind, "kind", {
        /// Before refunds and cancellations.
        Gross = "gross",
        /// After them.
        Net = "net",
    }
);

label!(
    /// The HTTP route that answered.
    Route, "route", {
        /// `/metrics`
        Metrics = "metrics",
        /// `/livez`
        Livez = "livez",
        /// `/readyz`
        Readyz = "readyz",
        /// `/v1/customers/{id}`
        Customers = "customers",
        /// `/v1/status`
        Status = "status",
        /// `/`, and whatever is not found.
        Page = "page",
    }
);

label!(
    /// The status code of an answer. Everything that the server can answer with is listed.
    HttpCode, "code", {
        /// OK
        Ok = "200",
        /// Bad request
        BadRequest = "400",
        /// A bearer token is missing or wrong.
        Unauthorized = "401",
        /// Customer data is not served on this address.
        Forbidden = "403",
        /// Not found
        NotFound = "404",
        /// Method not allowed
        MethodNotAllowed = "405",
        /// The partition belongs to another instance.
        Misdirected = "421",
        /// A bug
        Internal = "500",
        /// Busy, restoring, draining or not alive
        Unavailable = "503",
    }
);

label!(
    /// A Kafka client of a worker.
    Client, "client", {
        /// Reads the inputs.
        Consumer = "consumer",
        /// Writes the outputs.
        Producer = "producer",
    }
);

/// A move of a customer between two different states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    from: State,
    to: State,
}

/// A dead letter: where the record came from, and why it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicReason(pub Input, pub Reason);

/// A window and the orders that count in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowBasis(pub Window, pub Basis);

/// A window and the revenue that counts in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRevenue(pub Window, pub RevenueKind);

/// A trailing window and the kept orders that count in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowOrigin(pub TrailingWindow, pub OrderOrigin);

/// A trailing window and money of the orders that were placed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShopRevenue(pub TrailingWindow, pub RefundKind);

impl Transition {
    /// `None` if the state is the same.
    pub fn new(from: State, to: State) -> Option<Self> {
        (from != to).then_some(Self { from, to })
    }
}

impl Label for Transition {
    const COUNT: usize = State::COUNT * (State::COUNT - 1);

    fn keys() -> Vec<&'static str> {
        vec!["from", "to"]
    }

    fn all() -> impl Iterator<Item = Self> {
        State::all().flat_map(|from| State::all().filter_map(move |to| Self::new(from, to)))
    }

    fn index(self) -> usize {
        // The state itself is missing from its row, so the places after it move up by one.
        let column = self.to.index() - usize::from(self.to.index() > self.from.index());
        self.from.index() * (State::COUNT - 1) + column
    }

    fn values(self) -> Vec<&'static str> {
        vec![self.from.name(), self.to.name()]
    }
}

pair!(TopicReason, Input, Reason);
pair!(WindowBasis, Window, Basis);
pair!(WindowRevenue, Window, RevenueKind);
pair!(WindowOrigin, TrailingWindow, OrderOrigin);
pair!(ShopRevenue, TrailingWindow, RefundKind);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<L: Label>() {
        assert_eq!(L::all().count(), L::COUNT);
        for (place, label) in L::all().enumerate() {
            assert_eq!(label.index(), place, "{:?}", label.values());
            assert_eq!(label.values().len(), L::keys().len());
        }
    }

    #[test]
    fn every_value_stands_at_its_index() {
        check::<ServiceState>();
        check::<SignalType>();
        check::<Remark>();
        check::<Transition>();
        check::<State>();
        check::<TopicReason>();
        check::<WindowBasis>();
        check::<WindowRevenue>();
        check::<WindowOrigin>();
        check::<ShopRevenue>();
        check::<ShopStage>();
    }

    #[test]
    fn a_customer_cannot_move_to_the_same_state() {
        assert_eq!(Transition::new(State::Lapsed, State::Lapsed), None);
        assert_eq!(Transition::COUNT, 12);
    }
}
