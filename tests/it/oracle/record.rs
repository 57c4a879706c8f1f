//! Valid input records, and the hashes that stand for them.

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::number::{parse_money, parse_time};

/// One record of an input topic.
#[derive(Clone, Debug)]
pub struct Record {
    pub customer_id: Option<String>,
    pub store_id: Option<String>,
    pub time: i64,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Order(Order),
    Cancellation(Cancellation),
    Return(Return),
    Erasure,
}

impl Body {
    /// The order that is placed or cancelled.
    pub fn order_hash(&self) -> Option<u64> {
        match self {
            Body::Order(order) => Some(order.id_hash),
            Body::Cancellation(gone) => Some(gone.order_hash),
            Body::Return(_) | Body::Erasure => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Order {
    pub id: String,
    pub id_hash: u64,
    pub version: u64,
    pub placed_at: i64,
    /// Minor units of `currency`.
    pub total: i128,
    pub currency: String,
    pub test: bool,
    pub sku_hashes: Vec<u64>,
}

impl Order {
    pub fn content(&self) -> u64 {
        content_hash(self.placed_at, self.total, &self.currency, &[u8::from(self.test)])
    }

    /// Of several records of one id the one that is greatest here counts.
    pub fn rank(&self) -> (u64, i64, i128, u64) {
        (self.version, self.placed_at, self.total, self.content())
    }
}

#[derive(Clone, Debug)]
pub struct Cancellation {
    pub order_id: String,
    pub order_hash: u64,
    pub cancelled_at: i64,
    pub version: Option<u64>,
}

impl Cancellation {
    /// The greatest version of the order that it cancels.
    pub fn up_to(&self) -> u64 {
        self.version.unwrap_or(u64::MAX)
    }
}

#[derive(Clone, Debug)]
pub struct Return {
    pub id: String,
    pub id_hash: u64,
    pub returned_at: i64,
    /// Minor units of `currency`.
    pub refund: i128,
    pub currency: String,
    pub order: Option<NamedOrder>,
}

#[derive(Clone, Debug)]
pub struct NamedOrder {
    pub id: String,
    pub id_hash: u64,
}

impl Return {
    pub fn content(&self) -> u64 {
        let named = match &self.order {
            None => vec![0],
            Some(order) => [&[1][..], &order.id_hash.to_le_bytes()[..]].concat(),
        };
        content_hash(self.returned_at, self.refund, &self.currency, &named)
    }

    /// Of several records of one id the one that is greatest here counts.
    pub fn rank(&self) -> (i128, i64, u64) {
        (self.refund, -self.returned_at, self.content())
    }

    /// Whether another record of the id says the same at another time.
    pub fn differs_only_in_time(&self, other: &Return) -> bool {
        let name = |goods: &Return| goods.order.as_ref().map(|order| order.id.clone());
        let told = |goods: &Return| (goods.refund, goods.currency.clone(), name(goods));
        told(self) == told(other) && self.returned_at != other.returned_at
    }
}

impl Record {
    pub fn order_or_cancellation(value: &Value) -> Record {
        let placed = value.get("placed_at").is_some_and(|time| !time.is_null());
        if placed { order(value) } else { cancellation(value) }
    }

    pub fn goods_returned(value: &Value) -> Record {
        let id = text(value, "return_id").expect("a return has an id");
        let order = text(value, "order_id").map(|id| NamedOrder { id_hash: xxh3_64(id.as_bytes()), id });
        let currency = text(value, "currency").expect("a return has a currency");
        let returned_at = parse_time(&value["returned_at"]);
        let body = Return {
            id_hash: xxh3_64(id.as_bytes()),
            id,
            returned_at,
            refund: parse_money(&value["refund"], &currency),
            currency,
            order,
        };
        Record::new(value, returned_at, Body::Return(body))
    }

    pub fn erasure(value: &Value) -> Record {
        Record::new(value, parse_time(&value["requested_at"]), Body::Erasure)
    }

    fn new(value: &Value, time: i64, body: Body) -> Record {
        Record { customer_id: text(value, "customer_id"), store_id: text(value, "store_id"), time, body }
    }

    /// The currency that a rate is needed for.
    pub fn currency(&self) -> Option<&str> {
        match &self.body {
            Body::Order(order) => Some(&order.currency),
            Body::Return(goods) => Some(&goods.currency),
            Body::Cancellation(_) | Body::Erasure => None,
        }
    }

    /// Identity, version and content in one number: what a signal calls "the record".
    pub fn digest(&self) -> u64 {
        // Eight bytes of an order's version only where four are too few: ids that were published before stay.
        let of_order = |version: u64| match u32::try_from(version) {
            Ok(version) => version.to_le_bytes().to_vec(),
            Err(_) => version.to_le_bytes().to_vec(),
        };
        let (kind, id_hash, version, content) = match &self.body {
            Body::Order(order) => (1, order.id_hash, of_order(order.version), order.content()),
            Body::Cancellation(gone) => {
                let version = gone.version.map_or(vec![0; 4], |version| version.to_le_bytes().to_vec());
                (2, gone.order_hash, version, xxh3_64(&gone.cancelled_at.to_le_bytes()))
            }
            Body::Return(goods) => (3, goods.id_hash, vec![0; 4], goods.content()),
            Body::Erasure => unreachable!("an erasure causes no signal"),
        };
        let mut bytes = vec![kind];
        bytes.extend(u64::to_le_bytes(id_hash));
        bytes.extend(version);
        bytes.extend(u64::to_le_bytes(content));
        xxh3_64(&bytes)
    }
}

fn order(value: &Value) -> Record {
    let id = text(value, "order_id").expect("an order has an id");
    let currency = text(value, "currency").expect("an order has a currency");
    let version = value.get("version").and_then(Value::as_u64).unwrap_or(0);
    let items = value.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let placed_at = parse_time(&value["placed_at"]);
    let body = Order {
        id_hash: xxh3_64(id.as_bytes()),
        id,
        version,
        placed_at,
        total: parse_money(&value["total"], &currency),
        currency,
        test: value.get("test").and_then(Value::as_bool).unwrap_or(false),
        sku_hashes: items
            .iter()
            .filter_map(|item| text(item, "sku"))
            .map(|sku| xxh3_64(sku.as_bytes()))
            .collect(),
    };
    Record::new(value, placed_at, Body::Order(body))
}

fn cancellation(value: &Value) -> Record {
    let order_id = text(value, "order_id").expect("a cancellation names an order");
    let cancelled_at = parse_time(&value["cancelled_at"]);
    let version = value.get("version").and_then(Value::as_u64);
    let body = Cancellation { order_hash: xxh3_64(order_id.as_bytes()), order_id, cancelled_at, version };
    Record::new(value, cancelled_at, Body::Cancellation(body))
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field).and_then(Value::as_str).map(str::to_owned)
}

fn content_hash(time: i64, amount: i128, currency: &str, rest: &[u8]) -> u64 {
    let amount = i64::try_from(amount).expect("amounts are below 2^47");
    let mut bytes = time.to_le_bytes().to_vec();
    bytes.extend(amount.to_le_bytes());
    bytes.extend(currency.as_bytes());
    bytes.extend(rest);
    xxh3_64(&bytes)
}
