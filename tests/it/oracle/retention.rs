//! Who came back, and what that is worth: recomputed from every kept order there ever was.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::facts::WINDOWS;
use super::figures::Figures;
use super::number::{DAY_MS, Ratio, money_json, ratio_json};

/// Fields of a line of shop metrics that need a count.
pub const FIELDS: [&str; 6] =
    ["new", "returning", "customer_return_rate", "matrix", "retention_curve", "projection"];

const SEGMENTS: [[&str; 5]; 5] = [
    ["hibernating", "hibernating", "slipping", "slipping", "cant_lose"],
    ["hibernating", "hibernating", "slipping", "slipping", "cant_lose"],
    ["about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"],
    ["promising", "potential_loyalist", "potential_loyalist", "loyal", "loyal"],
    ["new", "potential_loyalist", "potential_loyalist", "champions", "champions"],
];

/// A kept order: when, in which month (months since the year 0), and its net value.
type Kept = (i64, i64, i128);

/// One store with its customers' kept orders, each in the order of time.
pub struct Store {
    current: i64,
    /// The first whole month that ledgers hold.
    held_from: i64,
    customers: Vec<Vec<Kept>>,
}

impl Store {
    pub fn new(time_zone: Tz, clock: i64, horizon_ms: i64, customers: &[&Figures]) -> Store {
        let month = |time: i64| {
            let local = DateTime::from_timestamp_millis(time).expect("a time").with_timezone(&time_zone);
            i64::from(local.year()) * 12 + i64::from(local.month0())
        };
        let kept = |figures: &&Figures| {
            let orders = figures.orders.iter().filter(|order| order.is_kept());
            orders.map(|order| (order.placed_at, month(order.placed_at), order.net())).collect::<Vec<_>>()
        };
        let customers = customers.iter().map(kept).filter(|orders| !orders.is_empty());
        Store {
            current: month(clock),
            held_from: month((clock - horizon_ms).max(0)) + 1,
            customers: customers.collect(),
        }
    }
}

/// All of [`FIELDS`], of stores with one currency. `year` is the block of 365 days.
pub fn fields(stores: &[Store], clock: i64, currency: &str, year: &Value) -> Map<String, Value> {
    let customers: Vec<&Vec<Kept>> = stores.iter().flat_map(|store| &store.customers).collect();
    let mut windows = [Map::new(), Map::new(), Map::new()];
    for days in WINDOWS {
        let (mut new, mut returning) = ((0, 0), (0, 0));
        let (mut active, mut back) = (0, 0);
        for orders in &customers {
            let inside = |order: &Kept| clock - order.0 < days * DAY_MS;
            for (index, order) in orders.iter().enumerate().filter(|(_, order)| inside(order)) {
                let sum = if index == 0 { &mut new } else { &mut returning };
                *sum = (sum.0 + 1, sum.1 + order.2);
            }
            active += u64::from(orders.iter().any(inside));
            back += u64::from(orders.iter().skip(1).any(inside));
        }
        let written = |(orders, net)| json!({"orders": orders, "net": money_json(net, currency)});
        let rate = (active > 0).then(|| Ratio::new(back.into(), active.into()));
        for (window, value) in windows.iter_mut().zip([written(new), written(returning), ratio_json(rate)]) {
            window.insert(format!("{days}d"), value);
        }
    }
    let [new, returning, rates] = windows.map(Value::Object);
    let current = stores.first().map_or(0, |store| store.current);
    let whole = stores.iter().map(|store| current - store.held_from).min().unwrap_or(0).min(12);
    let shares = curve(&customers, current, whole);
    let place = json!({
        "purchase_frequency": year["purchase_frequency"]["kept"],
        "average_order_value": year["average_order_value"][currency]["net"],
    });
    let curve: Vec<Value> = shares.iter().map(|share| ratio_json(Some(*share))).collect();
    let projection = projection(&customers, (current, whole), clock, &shares, currency);
    let values = [new, returning, rates, place, Value::Array(curve), Value::Array(projection)];
    FIELDS.into_iter().map(str::to_owned).zip(values).collect()
}

fn curve(customers: &[&Vec<Kept>], current: i64, whole: i64) -> Vec<Ratio> {
    let Some(oldest) = customers.iter().map(|orders| orders[0].1).min() else { return Vec::new() };
    let first = if current - oldest >= 6 { oldest + 3 } else { oldest };
    let mut curve = Vec::new();
    for age in 0..=12 {
        let (mut active, mut size) = (0, 0);
        for month in current - whole..current {
            let cohort = month - age;
            let of_cohort = customers.iter().filter(|orders| cohort >= first && orders[0].1 == cohort);
            for orders in of_cohort {
                size += 1;
                active += i128::from(orders.iter().any(|order| order.1 == month));
            }
        }
        if size == 0 {
            break;
        }
        curve.push(Ratio::new(active, size));
    }
    curve
}

fn projection(
    customers: &[&Vec<Kept>],
    (current, whole): (i64, i64),
    clock: i64,
    curve: &[Ratio],
    currency: &str,
) -> Vec<Value> {
    let Some(oldest) = customers.iter().map(|orders| orders[0].1).min() else { return Vec::new() };
    let months = (current - oldest).min(whole);
    let active: BTreeSet<(usize, i64)> = customers
        .iter()
        .enumerate()
        .flat_map(|(index, orders)| orders.iter().map(move |order| (index, order.1)))
        .filter(|(_, month)| (current - months..current).contains(month))
        .collect();
    if months == 0 || active.is_empty() {
        return Vec::new();
    }
    let in_months = |order: &&Kept| (current - months..current).contains(&order.1);
    let net: i128 =
        customers.iter().flat_map(|orders| orders.iter()).filter(in_months).map(|order| order.2).sum();
    let value = Ratio::new(net, active.len() as i128);
    let lately = months.min(3);
    let new = customers.iter().filter(|orders| (current - lately..current).contains(&orders[0].1)).count();
    let new = Ratio::new(new as i128, lately.into());
    let earlier = customers.iter().filter(|orders| clock - orders[0].0 < 365 * DAY_MS).count();
    let share = |age: usize| {
        let last = curve.len().max(1) - 1;
        let share = if age == 0 {
            Ratio::whole(1)
        } else if last == 0 {
            Ratio::whole(0)
        } else {
            curve[age.min(last)]
        };
        Ratio::new((share * Ratio::whole(1_000_000)).round_half_even(), 1_000_000)
    };
    let written =
        |amounts: &[i128]| Value::Array(amounts.iter().map(|amount| money_json(*amount, currency)).collect());
    let points = [1, 5, 10].map(|points| {
        let base: Vec<i128> = (1..=12)
            .map(|month| {
                let sum = (0..month).map(share).fold(Ratio::whole(0), |sum, share| sum + share);
                (value * new * sum).round_half_even()
            })
            .collect();
        let extra: Vec<i128> = (0..12)
            .map(|month| {
                let reached = new * Ratio::whole(month) + Ratio::whole(earlier as i128);
                (value * Ratio::new(points, 100) * reached).round_half_even()
            })
            .collect();
        let raised: Vec<i128> = base.iter().zip(&extra).map(|(base, extra)| base + extra).collect();
        json!({
            "points": points,
            "months": 12,
            "base": written(&base),
            "raised": written(&raised),
            "extra": written(&extra),
        })
    });
    points.to_vec()
}

/// Customers by segment and by place in the value matrix; names without any are left out.
pub fn segments(stores: &[Store], clock: i64) -> (Value, Value) {
    let (mut segments, mut places) = (BTreeMap::<&str, u64>::new(), BTreeMap::<String, u64>::new());
    for store in stores {
        let values: Vec<[i128; 4]> = store.customers.iter().map(|orders| rfm(orders, clock)).collect();
        let column = |index: usize, rounded: fn(i128) -> i128| {
            let recent = values.iter().filter(|of| index > 0 || of[0] <= i128::from(730 * DAY_MS));
            let mut column: Vec<i128> = recent.map(|of| rounded(of[index])).collect();
            column.sort_unstable();
            column
        };
        let whole_days = column(0, |silence| silence / i128::from(DAY_MS));
        let (frequency, mean) = (column(1, |kept| kept), column(3, upper));
        let is_fixed = values.len() < 100;
        let days = if is_fixed { vec![30, 60, 120, 240] } else { quintiles(&whole_days) };
        let orders = if is_fixed { vec![1, 2, 3, 5] } else { quintiles(&frequency) };
        for of in &values {
            let r = 4 - days.iter().filter(|cut| of[0] >= (**cut + 1) * i128::from(DAY_MS)).count();
            let f = orders.iter().filter(|cut| **cut < of[1]).count();
            *segments.entry(SEGMENTS[r][f]).or_default() += 1;
            if !is_fixed {
                let often = if of[1] > quantile(&frequency, 1, 2) { "frequent" } else { "rare" };
                let large = if of[3] > quantile(&mean, 1, 2) { "large" } else { "small" };
                *places.entry(format!("{often}_{large}")).or_default() += 1;
            }
        }
    }
    (json!(segments), json!(places))
}

/// Silence in milliseconds, kept orders, their net value, their mean value rounded down.
fn rfm(orders: &[Kept], clock: i64) -> [i128; 4] {
    let net: i128 = orders.iter().map(|order| order.2).sum();
    let last = orders.last().expect("a kept order").0;
    [(clock - last).into(), orders.len() as i128, net, net / orders.len() as i128]
}

/// The largest amount with the same first seven binary digits.
fn upper(amount: i128) -> i128 {
    let mut width = 1;
    while amount / width >= 128 {
        width *= 2;
    }
    (amount / width + 1) * width - 1
}

fn quantile(sorted: &[i128], part: usize, parts: usize) -> i128 {
    sorted[(sorted.len() * part).div_ceil(parts) - 1]
}

fn quintiles(sorted: &[i128]) -> Vec<i128> {
    let mut cuts: Vec<i128> = (1..=4).map(|part| quantile(sorted, part, 5)).collect();
    for index in 1..4 {
        cuts[index] = cuts[index].max(cuts[index - 1] + 1);
    }
    cuts
}
