//! Cohorts by month of activity, one line for each.

use super::fields::{
    Count, Currency, Field, FieldType, Month, Nullable, Objects, SignedMoney, StoreId, Time, record,
};
use super::text::append;
use crate::domain::daily_count::cohorts::CohortRow;
use crate::domain::daily_count::month;
use crate::domain::values::money;
use crate::domain::values::time;

/// What one cohort of one store did in one month.
#[derive(Clone, Copy, Debug)]
pub struct CohortLine<'a> {
    /// None where keys name no store.
    pub store_id: Option<&'a str>,
    pub currency: money::Currency,
    pub month: month::Month,
    pub cohort: month::Month,
    /// Customers of the cohort.
    pub size: u64,
    pub row: CohortRow,
    /// When it was counted.
    pub at: time::Time,
}

record! {
    /// What one cohort of one store did in one month.
    CohortRecord(of: &'v CohortLine<'v>) {
        /// The store; null with the key form 'customer_id', where there is one shop.
        "store_id": Nullable<StoreId> = of.store_id.map(str::as_bytes);
        /// The calendar month in the store's zone.
        "month": Month = of.month;
        /// The month of the customers' first kept order.
        "cohort": Month = of.cohort;
        /// Customers of the cohort.
        "size": Count = of.size;
        /// Those of them with a kept order in the month.
        "customers": Count = of.row.customers;
        /// Kept orders in the month.
        "orders": Count = of.row.orders;
        /// Their net value.
        "net": SignedMoney = of.row.net;
        /// The store's currency.
        "currency": Currency = of.currency;
        /// When this was counted. Later returns of orders of the month are not in it.
        "at": Time = of.at;
    }
}

/// What all cohorts of one store did in one month.
#[derive(Clone, Copy, Debug)]
pub struct CohortMonth<'a> {
    /// None where keys name no store.
    pub store_id: Option<&'a str>,
    pub currency: money::Currency,
    pub month: month::Month,
    pub cohorts: &'a [CohortOfMonth],
    /// The midnight that it was counted at.
    pub at: time::Time,
}

/// What one cohort did in the month.
#[derive(Clone, Copy, Debug)]
pub struct CohortOfMonth {
    pub cohort: month::Month,
    pub size: u64,
    pub row: CohortRow,
}

record! {
    /// What the cohorts of one store did in one month.
    CohortMonthRecord(of: &'v CohortMonth<'v>) {
        /// The store; null with the key form 'customer_id', where there is one shop.
        "store_id": Nullable<StoreId> = of.store_id.map(str::as_bytes);
        /// The calendar month in the store's zone.
        "month": Month = of.month;
        /// The store's currency.
        "currency": Currency = of.currency;
        /// The midnight that this was counted at. Later returns of orders of the month are not in it.
        "at": Time = of.at;
        /// The cohorts that were active in the month, the oldest first.
        "cohorts": Objects<CohortOfMonthRecord, CohortOfMonth> = of.cohorts;
    }
}

record! {
    /// What one cohort did in the month.
    CohortOfMonthRecord(of: &'v CohortOfMonth) {
        /// The month of the customers' first kept order.
        "cohort": Month = of.cohort;
        /// Customers of the cohort.
        "size": Count = of.size;
        /// Those of them with a kept order in the month.
        "customers": Count = of.row.customers;
        /// Kept orders in the month.
        "orders": Count = of.row.orders;
        /// Their net value.
        "net": SignedMoney = of.row.net;
    }
}

/// The fields of a month's record.
pub const fn month_fields() -> &'static [Field] {
    CohortMonthRecord::FIELDS
}

/// Appends a month's record.
pub fn encode_month(out: &mut Vec<u8>, month: &CohortMonth<'_>) {
    let room = 512 + 6 * month.store_id.map_or(0, str::len) + 192 * month.cohorts.len();
    append(out, room, |text| CohortMonthRecord::put(text, month, month.currency.digits()));
}

/// The fields of a line.
pub const fn fields() -> &'static [Field] {
    CohortRecord::FIELDS
}

/// Appends a line.
pub fn encode(out: &mut Vec<u8>, line: &CohortLine<'_>) {
    let room = 512 + 6 * line.store_id.map_or(0, str::len);
    append(out, room, |text| CohortRecord::put(text, line, line.currency.digits()).put(b"\n"));
}
