//! What a replay read and what came of it, as one JSON object.

use std::time::Duration;

use super::fields::{
    ByCurrency, Count, Counts, Field, FieldType, Money, OpenCounts, Rate, Seconds, SignedMoney, record,
};
use super::metrics::{
    AverageOrderValue, CustomerValue, Orders, PurchaseFrequency, RepeatPurchaseRate, Revenue, Windows, room,
    window,
};
use super::retention::{Retention, RetentionRecord};
use super::text::append;
use crate::domain::engine::shop_totals::{GuestTotals, ShopTotals, WindowTotals};
use crate::domain::signals::kind::SignalType;
use crate::domain::signals::signal::State;
use crate::domain::values::money::Currency;
use crate::domain::values::number::{Decimal, Ratio};
use crate::wire::reason::Reason;
use crate::wire::remark::{InputRemark, Remark};

/// How many records of each kind were accepted, guests' included, and how many were duplicates.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EventCounts {
    pub orders: u64,
    pub cancellations: u64,
    pub returns: u64,
    pub duplicates: u64,
}

/// What the bound on remembered orders has cut off.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TruncatedCounts {
    /// Customers with a truncated profile.
    pub customers: u64,
    /// Orders that folded before their age.
    pub orders: u64,
}

/// The content of `summary.json`.
#[derive(Clone, Debug)]
pub struct Summary {
    pub events: EventCounts,
    /// By [`Reason::index`].
    pub dead_letters: [u64; Reason::ALL.len()],
    /// By [`Remark::index`].
    pub remarks: [u64; Remark::ALL.len()],
    /// By [`InputRemark::index`].
    pub input_remarks: [u64; InputRemark::ALL.len()],
    /// By [`SignalType::NAMES`].
    pub signals: [u64; SignalType::NAMES.len()],
    pub truncated: TruncatedCounts,
    /// Of all shops of a currency together; one entry a currency, sorted.
    pub shops: Vec<(Currency, ShopTotals, GuestTotals)>,
    /// The same shops, counted at the end.
    pub retention: Vec<(Currency, Retention)>,
    pub elapsed: Duration,
    /// Records read, the refused ones too.
    pub records: u64,
}

impl Summary {
    /// How many records were refused, whatever the reason.
    pub fn refused(&self) -> u64 {
        self.dead_letters.iter().sum()
    }

    /// How many of them count towards the limit: not what came too late, as from an old export, nor what an erasure forbids.
    pub fn unusable(&self) -> u64 {
        let exempt = [Reason::TooOld, Reason::Erased].map(|reason| self.dead_letters[reason.index()]);
        self.refused() - exempt.iter().sum::<u64>()
    }

    /// Whether no greater share of the records than this is unusable.
    pub fn unusable_share_is_at_most(&self, share: Decimal) -> bool {
        Ratio::new(self.unusable(), self.records).is_none_or(|unusable| unusable.at_most(share))
    }
}

record! {
    /// What a replay read and what came of it.
    SummaryRecord(of: &'v Parts<'v>) {
        /// Accepted records, guests included, and the repetitions among what was read.
        "events": Events = &of.summary.events;
        /// How many records were refused, by reason. A reason without any may be absent.
        "dead_letters": Counts<Reason> = &of.summary.dead_letters;
        /// How many records are worth a look, by remark. A remark without any may be absent.
        "remarks": Counts<Remark> = &of.summary.remarks;
        /// What looks wrong with the inputs as a whole: how many customers, amounts or times, by remark. A remark without any may be absent.
        "input_remarks": Counts<InputRemark> = &of.summary.input_remarks;
        /// Customers with an identity.
        "customers": Customers = of;
        /// How many orders.
        "orders": Orders = &of.all_time;
        /// Revenue by currency, as decimal strings.
        "revenue": ByCurrency<Revenue, WindowTotals> = &of.all_time;
        /// The share of customers that came back, 0 to 1.
        "repeat_purchase_rate": RepeatPurchaseRate = &of.all_time;
        /// Orders per customer.
        "purchase_frequency": PurchaseFrequency = &of.all_time;
        /// Revenue per order, by currency.
        "average_order_value": ByCurrency<AverageOrderValue, WindowTotals> = &of.all_time;
        /// Revenue per customer, by currency.
        "customer_value": ByCurrency<CustomerValue, WindowTotals> = &of.all_time;
        /// The same metrics for trailing windows.
        "windows": Windows = &of.shops;
        /// Who came back, and what that is worth, by currency.
        "retention": ByCurrency<RetentionRecord, Retention> = &of.retention;
        /// How many signals, by type. A type without any may be absent.
        "signals": OpenCounts<SignalType> = &of.summary.signals;
        /// Orders and returns without a customer.
        "guests": Guests = &of.guests;
        /// What was lost from windows because customers have more than records.max_orders.
        "truncated": Truncated = &of.summary.truncated;
        /// How long the replay took, in seconds of real time.
        "seconds": Seconds = of.summary.elapsed.as_millis() as f64 / 1_000.0;
        /// Records read per second of real time.
        "events_per_second": Rate = of.events_per_second();
    }
}

record! {
    /// Records by what became of them.
    Events(events: &'v EventCounts) {
        /// Accepted order records.
        "orders": Count = events.orders;
        /// Accepted cancellations.
        "cancellations": Count = events.cancellations;
        /// Accepted returns.
        "returns": Count = events.returns;
        /// Records that said again what was known already, and changed nothing.
        "duplicates": Count = events.duplicates;
    }
}

record! {
    /// Customers with an identity.
    Customers(of: &'v Parts<'v>) {
        /// Customers with any accepted record.
        "total": Count = of.shops.iter().map(|(_, figures)| figures.total()).sum();
        /// Customers with a placed order.
        "with_orders": Count = of.all_time.iter().map(|(_, figures)| figures.customers_placed).sum();
        /// Customers by lifecycle state.
        "by_state": ByState = of;
    }
}

record! {
    /// Customers by state.
    ByState(of: &'v Parts<'v>) {
        /// Customers without a kept order.
        "prospect": Count = of.customers_of(State::Prospect);
        /// Active customers.
        "active": Count = of.customers_of(State::Active);
        /// Customers at risk.
        "at_risk": Count = of.customers_of(State::AtRisk);
        /// Lapsed customers.
        "lapsed": Count = of.customers_of(State::Lapsed);
    }
}

record! {
    /// Orders and returns without a customer.
    Guests(guests: &'v [(Currency, &'v GuestTotals)]) {
        /// Guest orders.
        "orders": Count = guests.iter().map(|(_, guests)| guests.orders).sum();
        /// Guest returns.
        "returns": Count = guests.iter().map(|(_, guests)| guests.returns).sum();
        /// Guest revenue by currency.
        "revenue": ByCurrency<GuestRevenue, GuestTotals> = guests;
    }
}

record! {
    /// What the bound on remembered orders has cut off.
    Truncated(truncated: &'v TruncatedCounts) {
        /// Customers of whom the windows of the profile are lower bounds.
        "customers": Count = truncated.customers;
        /// Orders that were folded before their age, so that later windows do not hold them.
        "orders": Count = truncated.orders;
    }
}

record! {
    /// Guest revenue in one currency.
    GuestRevenue(guests: &'v GuestTotals) {
        /// The totals of the guest orders.
        "gross": Money = guests.gross;
        /// The refunds of the guest returns.
        "refunded": Money = guests.refunded;
        /// gross − refunded.
        "net": SignedMoney = guests.gross - guests.refunded;
    }
}

/// The fields of a summary.
pub const fn fields() -> &'static [Field] {
    SummaryRecord::FIELDS
}

/// What a summary is written from.
pub(super) struct Parts<'v> {
    summary: &'v Summary,
    shops: Vec<(Currency, &'v ShopTotals)>,
    guests: Vec<(Currency, &'v GuestTotals)>,
    retention: Vec<(Currency, &'v Retention)>,
    all_time: Vec<(Currency, &'v WindowTotals)>,
}

impl Parts<'_> {
    fn customers_of(&self, state: State) -> u64 {
        self.shops.iter().map(|(_, figures)| figures.customers_of(state)).sum()
    }

    fn events_per_second(&self) -> u64 {
        let millis = u64::try_from(self.summary.elapsed.as_millis()).unwrap_or(u64::MAX);
        self.summary.records.saturating_mul(1_000) / millis.max(1)
    }
}

/// Appends the summary.
pub fn encode(out: &mut Vec<u8>, summary: &Summary) {
    let shops: Vec<_> = summary.shops.iter().map(|(currency, figures, _)| (*currency, figures)).collect();
    let guests = summary.shops.iter().map(|(currency, _, guests)| (*currency, guests)).collect();
    let retention = summary.retention.iter().map(|(currency, retention)| (*currency, retention)).collect();
    let parts = Parts { summary, all_time: window(&shops, 0), shops, guests, retention };
    let room = room(parts.shops.len());
    // No money stands outside of a currency.
    append(out, room, |text| SummaryRecord::put(text, &parts, 0).put(b"\n"));
}
