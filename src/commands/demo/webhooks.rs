//! The shop's records as Shopify sends them: an order as a whole each time something about it changes.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::population::{ShopEvent, ShopRecord};
use super::shop::{Written, WrittenTo};
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;
use crate::wire::encode::{money_text, time_text};

/// Where the webhooks of the demo lie.
pub const TOPIC: &str = "shopify.webhooks";
/// The header that names the webhook's own topic.
pub const HEADER: &str = "X-Shopify-Topic";
const CREATED: &str = "orders/create";
const UPDATED: &str = "orders/updated";

/// The orders of the shop, as Shopify has them.
#[derive(Default)]
pub struct WebhookShop {
    orders: HashMap<String, Value>,
    /// The last order of each customer: a refund of Shopify's always belongs to one.
    last_orders: HashMap<String, String>,
    /// What became of orders whose till is not read out yet; it is sent with the order.
    early: HashMap<String, Vec<Change>>,
}

/// What becomes of an order.
enum Change {
    Cancelled { at: String },
    Refunded { at: String, refund: Value },
}

impl WebhookShop {
    /// What is sent when something happens, and how many native records the map makes of it. None if Shopify does not know the order yet.
    pub fn webhook(&mut self, record: &ShopRecord, currency: Currency) -> Option<(Written, u64)> {
        let at = text(record.at);
        let (order_id, topic) = match &record.event {
            ShopEvent::Order { order_id, customer_id, total, skus } => {
                let lines: Vec<Value> = skus.iter().map(|sku| json!({"sku": sku, "quantity": 1})).collect();
                let total = money_text(*total, currency);
                let order = json!({
                    "id": order_id, "created_at": at, "processed_at": at, "updated_at": at, "cancelled_at": null, "test": false,
                    "currency": currency.to_string(), "financial_status": "paid", "subtotal_price": total, "total_price": total,
                    "customer": customer_id.as_ref().map(|id| json!({"id": id})), "line_items": lines, "refunds": [],
                });
                if let Some(customer) = customer_id {
                    self.last_orders.insert(customer.clone(), order_id.clone());
                }
                self.orders.insert(order_id.clone(), order);
                for change in self.early.remove(order_id).unwrap_or_default() {
                    self.change(order_id, change);
                }
                (order_id.clone(), CREATED)
            }
            ShopEvent::Cancellation { order_id, .. } => {
                self.change(order_id, Change::Cancelled { at });
                (order_id.clone(), UPDATED)
            }
            ShopEvent::Return { return_id, customer_id, order_id, refund } => {
                let order_id = order_id.as_ref().or_else(|| self.last_orders.get(customer_id))?.clone();
                let refund = json!({
                    "id": return_id, "created_at": at, "processed_at": at,
                    "refund_line_items": [{"subtotal": money_text(*refund, currency)}], "transactions": [],
                });
                self.change(&order_id, Change::Refunded { at, refund });
                (order_id, UPDATED)
            }
        };
        let order = self.orders.get(&order_id)?;
        let refunds = order["refunds"].as_array().map_or(0, Vec::len) as u64;
        let natives = 1 + u64::from(!order["cancelled_at"].is_null()) + refunds;
        let value = order.to_string().into_bytes();
        Some((Written { to: WrittenTo::Webhooks(topic), key: Some(order_id), value }, natives))
    }

    fn change(&mut self, order_id: &str, change: Change) {
        let Some(order) = self.orders.get_mut(order_id) else {
            self.early.entry(order_id.to_owned()).or_default().push(change);
            return;
        };
        let at = match change {
            Change::Cancelled { at } => {
                order["cancelled_at"] = json!(at);
                at
            }
            Change::Refunded { at, refund } => {
                order["refunds"].as_array_mut().expect("made as one").push(refund);
                at
            }
        };
        order["updated_at"] = json!(at);
    }
}

fn text(time: Time) -> String {
    String::from_utf8_lossy(&time_text(time)).into_owned()
}
