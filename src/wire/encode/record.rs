//! Input records as JSON, for producers of events: the demo's shop, tests and benchmarks.

use super::json;
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;

/// An order as a producer would write it. Money is in minor units of `currency`.
#[derive(Clone, Copy, Debug)]
pub struct OrderText<'a> {
    pub order_id: &'a str,
    pub placed_at: Time,
    pub currency: Currency,
    pub total: i64,
    /// None for a guest.
    pub customer_id: Option<&'a str>,
    pub store_id: Option<&'a str>,
    pub version: u64,
    pub test: bool,
    /// One piece of each is written as an item.
    pub skus: &'a [&'a str],
}

impl OrderText<'_> {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        text_field(out, b"{\"order_id\":", Some(self.order_id));
        out.extend_from_slice(b",\"placed_at\":");
        json::time(out, self.placed_at);
        money_fields(out, self.currency, b",\"total\":", self.total);
        text_field(out, b",\"customer_id\":", self.customer_id);
        text_field(out, b",\"store_id\":", self.store_id);
        if self.version > 0 {
            out.extend_from_slice(b",\"version\":");
            json::integer(out, self.version);
        }
        if self.test {
            out.extend_from_slice(b",\"test\":true");
        }
        for (index, sku) in self.skus.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b",\"items\":[" } else { b"," });
            text_field(out, b"{\"sku\":", Some(sku));
            out.extend_from_slice(b",\"quantity\":1}");
        }
        out.extend_from_slice(if self.skus.is_empty() { b"}" } else { b"]}" });
    }
}

/// An amount of minor units as records have it: `14.44`.
pub fn money_text(minor: i64, currency: Currency) -> String {
    let mut text = Vec::new();
    json::money(&mut text, minor, currency.digits());
    String::from_utf8_lossy(&text).trim_matches('"').to_owned()
}

/// A cancellation as a producer would write it.
#[derive(Clone, Copy, Debug)]
pub struct CancellationText<'a> {
    pub order_id: &'a str,
    pub cancelled_at: Time,
    pub customer_id: &'a str,
    pub store_id: Option<&'a str>,
    pub version: Option<u64>,
}

impl CancellationText<'_> {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        text_field(out, b"{\"order_id\":", Some(self.order_id));
        out.extend_from_slice(b",\"cancelled_at\":");
        json::time(out, self.cancelled_at);
        text_field(out, b",\"customer_id\":", Some(self.customer_id));
        text_field(out, b",\"store_id\":", self.store_id);
        if let Some(version) = self.version {
            out.extend_from_slice(b",\"version\":");
            json::integer(out, version);
        }
        out.push(b'}');
    }
}

/// A return as a producer would write it. Money is in minor units of `currency`.
#[derive(Clone, Copy, Debug)]
pub struct ReturnText<'a> {
    pub return_id: &'a str,
    pub returned_at: Time,
    pub currency: Currency,
    pub refund: i64,
    /// None for a guest.
    pub customer_id: Option<&'a str>,
    pub store_id: Option<&'a str>,
    pub order_id: Option<&'a str>,
}

impl ReturnText<'_> {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        text_field(out, b"{\"return_id\":", Some(self.return_id));
        out.extend_from_slice(b",\"returned_at\":");
        json::time(out, self.returned_at);
        money_fields(out, self.currency, b",\"refund\":", self.refund);
        text_field(out, b",\"customer_id\":", self.customer_id);
        text_field(out, b",\"store_id\":", self.store_id);
        text_field(out, b",\"order_id\":", self.order_id);
        out.push(b'}');
    }
}

/// An erasure as a producer would write it.
#[derive(Clone, Copy, Debug)]
pub struct ErasureText<'a> {
    pub customer_id: &'a str,
    pub requested_at: Time,
    pub store_id: Option<&'a str>,
}

impl ErasureText<'_> {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        text_field(out, b"{\"customer_id\":", Some(self.customer_id));
        out.extend_from_slice(b",\"requested_at\":");
        json::time(out, self.requested_at);
        text_field(out, b",\"store_id\":", self.store_id);
        out.push(b'}');
    }
}

/// Nothing if there is no text.
fn text_field(out: &mut Vec<u8>, name: &[u8], text: Option<&str>) {
    if let Some(text) = text {
        out.extend_from_slice(name);
        json::string(out, text.as_bytes());
    }
}

fn money_fields(out: &mut Vec<u8>, currency: Currency, name: &[u8], minor: i64) {
    out.extend_from_slice(b",\"currency\":");
    json::currency(out, currency);
    out.extend_from_slice(name);
    json::money(out, minor, currency.digits());
}
