//! Figures of a shop: plain sums over all of its customers, in the forms of the summary and of the metrics
//! lines.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::config::ShopSettings;
use super::customer::Customer;
use super::facts::{Block, Name, WINDOWS};
use super::figures::Figures;
use super::number::{Ratio, money_json, money_mean_json, ratio_json, time_json};
use super::retention;

/// Sums over customers of one currency.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    customers_placed: u64,
    customers_kept: u64,
    customers_placed_again: u64,
    customers_kept_again: u64,
    placed: u64,
    kept: u64,
    returned: u64,
    gross: i128,
    refunded: i128,
    cancelled: i128,
    net: i128,
}

impl Sums {
    fn add(&mut self, block: &Block) {
        self.customers_placed += u64::from(block.placed > 0);
        self.customers_kept += u64::from(block.kept > 0);
        self.customers_placed_again += u64::from(block.placed > 1);
        self.customers_kept_again += u64::from(block.kept > 1);
        self.placed += block.placed;
        self.kept += block.kept;
        self.returned += block.returned_orders;
        self.gross += block.gross;
        self.refunded += block.refunded;
        self.cancelled += block.cancelled;
        self.net += block.net();
    }
}

/// Every customer's figures with the currency of its shop; the currencies of all shops are named.
pub struct Population<'a> {
    pub currencies: Vec<&'a str>,
    pub customers: Vec<(&'a str, &'a Figures)>,
}

impl Population<'_> {
    /// All time and the windows, as the summary has them at its top level and under `windows`.
    pub fn blocks(&self, clock: i64) -> (Map<String, Value>, Map<String, Value>) {
        let windows =
            WINDOWS.iter().map(|days| (format!("{days}d"), Value::Object(self.block(Some(*days), clock))));
        (self.block(None, clock), windows.collect())
    }

    fn block(&self, window_days: Option<i64>, clock: i64) -> Map<String, Value> {
        let mut by_currency: BTreeMap<&str, Sums> = BTreeMap::new();
        for currency in &self.currencies {
            by_currency.insert(currency, Sums::default());
        }
        for (currency, figures) in &self.customers {
            let block = Block::of(figures, window_days, clock);
            by_currency.get_mut(currency).expect("all currencies are named").add(&block);
        }
        to_json(&by_currency)
    }
}

fn to_json(by_currency: &BTreeMap<&str, Sums>) -> Map<String, Value> {
    let sum = |field: fn(&Sums) -> u64| by_currency.values().map(field).sum::<u64>();
    let (placers, keepers) = (sum(|sums| sums.customers_placed), sum(|sums| sums.customers_kept));
    let (placed, kept) = (sum(|sums| sums.placed), sum(|sums| sums.kept));
    let money = |write: fn(&Sums, &str) -> Value| {
        let entries =
            by_currency.iter().map(|(currency, sums)| ((*currency).to_owned(), write(sums, currency)));
        Value::Object(entries.collect())
    };
    let revenue = |sums: &Sums, currency: &str| {
        json!({
            "gross": money_json(sums.gross, currency),
            "refunded": money_json(sums.refunded, currency),
            "cancelled": money_json(sums.cancelled, currency),
            "net": money_json(sums.net, currency),
        })
    };
    let average_order_value = |sums: &Sums, currency: &str| {
        json!({
            "gross": money_mean_json(sums.gross, sums.placed, currency),
            "net": money_mean_json(sums.net, sums.kept, currency),
        })
    };
    // Purchase frequency times average order value: the orders cancel out.
    let customer_value = |sums: &Sums, currency: &str| {
        json!({
            "gross": money_mean_json(sums.gross, sums.customers_placed, currency),
            "net": money_mean_json(sums.net, sums.customers_kept, currency),
        })
    };
    let block = json!({
        "customers": {"with_orders": placers},
        "orders": {"placed": placed, "kept": kept, "returned": sum(|sums| sums.returned)},
        "revenue": money(revenue),
        "repeat_purchase_rate": {
            "placed": quotient(sum(|sums| sums.customers_placed_again), placers),
            "kept": quotient(sum(|sums| sums.customers_kept_again), keepers),
        },
        "purchase_frequency": {"placed": quotient(placed, placers), "kept": quotient(kept, keepers)},
        "average_order_value": money(average_order_value),
        "customer_value": money(customer_value),
    });
    let Value::Object(fields) = block else { unreachable!("a block is an object") };
    fields
}

fn quotient(dividend: u64, divisor: u64) -> Value {
    ratio_json(Ratio::whole(i128::from(dividend)).divided_by(Ratio::whole(i128::from(divisor))))
}

/// One line of the shop metrics; the last fields are null without a count, which needs the span that ledgers hold.
pub fn metrics_line(
    shop: &ShopSettings,
    customers: &[&Customer],
    clock: i64,
    horizon_ms: Option<i64>,
) -> Value {
    let currency = shop.currency.as_str();
    let figures: Vec<&Figures> = customers.iter().map(|customer| &customer.figures).collect();
    let population = figures.iter().map(|figures| (currency, *figures)).collect();
    let population = Population { currencies: vec![currency], customers: population };
    let (all_time, windows) = population.blocks(clock);
    let counted = horizon_ms.map(|horizon_ms| {
        let store = retention::Store::new(shop.time_zone, clock, horizon_ms, &figures);
        retention::fields(&[store], clock, currency, &windows["365d"])
    });
    let mut line = json!({
        "store_id": shop.store_id.as_deref(),
        "at": time_json(Some(clock)),
        "currency": currency,
        "customers": {"total": customers.len(), "by_state": by_state(customers, clock)},
        "all_time": all_time,
        "windows": windows,
    });
    for field in retention::FIELDS {
        line[field] = counted.as_ref().map_or(Value::Null, |counted| counted[field].clone());
    }
    line
}

/// How many customers are in each state.
pub fn by_state(customers: &[&Customer], clock: i64) -> Value {
    let count = |name: Name| customers.iter().filter(|customer| customer.name_at(clock) == name).count();
    let counts = Name::ALL.into_iter().map(|name| (name.text().to_owned(), json!(count(name))));
    Value::Object(counts.collect())
}

/// What is known of the guests of one shop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guests {
    pub orders: u64,
    pub returns: u64,
    pub gross: i128,
    pub refunded: i128,
}

impl Guests {
    /// Adds shops up by currency.
    pub fn to_json(shops: &[(&str, Guests)]) -> Value {
        let mut by_currency: BTreeMap<&str, (i128, i128)> = BTreeMap::new();
        for (currency, guests) in shops {
            let (gross, refunded) = by_currency.entry(currency).or_default();
            *gross += guests.gross;
            *refunded += guests.refunded;
        }
        let revenue = by_currency.into_iter().map(|(currency, (gross, refunded))| {
            let money = json!({
                "gross": money_json(gross, currency),
                "refunded": money_json(refunded, currency),
                "net": money_json(gross - refunded, currency),
            });
            (currency.to_owned(), money)
        });
        json!({
            "orders": shops.iter().map(|(_, guests)| guests.orders).sum::<u64>(),
            "returns": shops.iter().map(|(_, guests)| guests.returns).sum::<u64>(),
            "revenue": revenue.collect::<Map<String, Value>>(),
        })
    }
}
