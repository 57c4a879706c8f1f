//! Profiles as JSON: the latest facts about a customer.

use std::ops::Range;

use super::json;
use super::shops::{ShopText, ShopTexts};
use crate::domain::number::Ratio;
use crate::domain::settings::Shops;
use crate::domain::signal::Profile;
use crate::domain::window::Block;

/// Writes profiles under one set of settings.
#[derive(Clone, Debug)]
pub struct ProfileEncoder {
    shops: ShopTexts,
}

impl ProfileEncoder {
    pub fn new(shops: &Shops) -> Self {
        Self { shops: ShopTexts::new(shops) }
    }

    /// Appends a profile.
    pub fn encode(&self, customer_key: &[u8], profile: &Profile, out: &mut Vec<u8>) {
        let shop = self.shops.get(profile.shop);
        out.extend_from_slice(b"{\"customer_id\":");
        json::string(out, self.shops.customer_id(customer_key));
        out.extend_from_slice(b",\"store_id\":");
        out.extend_from_slice(shop.store_id.as_deref().unwrap_or(json::NULL));
        out.extend_from_slice(b",\"as_of\":");
        json::time(out, profile.as_of);
        out.extend_from_slice(b",\"currency\":");
        out.extend_from_slice(&shop.currency);
        lifecycle(out, profile);
        out.extend_from_slice(b",\"first_order_at\":");
        json::optional_time(out, profile.first_order_at);
        out.extend_from_slice(b",\"last_order_at\":");
        json::optional_time(out, profile.last_order_at);
        out.extend_from_slice(b",\"purchase_days\":");
        json::integer(out, profile.purchase_days);
        out.extend_from_slice(b",\"mean_gap_days\":");
        json::optional(out, profile.mean_gap, json::ratio);
        out.extend_from_slice(b",\"expected_gap_days\":");
        json::optional(out, profile.expected_gap, json::ratio);
        blocks(out, &profile.blocks, shop);
        out.push(b'}');
    }
}

fn lifecycle(out: &mut Vec<u8>, profile: &Profile) {
    out.extend_from_slice(b",\"state\":\"");
    out.extend_from_slice(profile.state.name().as_bytes());
    out.extend_from_slice(b"\",\"kind\":");
    json::optional_string(out, profile.kind.map(|kind| kind.name()));
    out.extend_from_slice(b",\"since\":");
    json::optional_time(out, profile.since);
    out.extend_from_slice(b",\"customer_type\":");
    json::optional_string(out, profile.customer_type.map(|kind| kind.name()));
    out.extend_from_slice(b",\"next\":");
    json::optional(out, profile.next, |out, (state, at)| {
        out.extend_from_slice(b"{\"state\":\"");
        out.extend_from_slice(state.name().as_bytes());
        out.extend_from_slice(b"\",\"at\":");
        json::time(out, at);
        out.push(b'}');
    });
}

/// Most of a profile is blocks, and most customers have few orders: a window often holds the same figures as another. Such a block
/// is copied.
fn blocks(out: &mut Vec<u8>, blocks: &[Block; 4], shop: &ShopText) {
    const NAMES: [&[u8]; 4] = [b",\"all_time\":", b",\"windows\":{\"30d\":", b",\"90d\":", b",\"365d\":"];
    let mut written: [Range<usize>; 4] = std::array::from_fn(|_| 0..0);
    for index in 0..4 {
        out.extend_from_slice(NAMES[index]);
        let start = out.len();
        match (0..index).find(|earlier| blocks[*earlier] == blocks[index]) {
            Some(earlier) => out.extend_from_within(written[earlier].clone()),
            None => block(out, &blocks[index], shop),
        }
        written[index] = start..out.len();
    }
    out.push(b'}');
}

fn block(out: &mut Vec<u8>, block: &Block, shop: &ShopText) {
    out.extend_from_slice(b"{\"placed\":");
    json::integer(out, block.placed);
    out.extend_from_slice(b",\"kept\":");
    json::integer(out, block.kept);
    out.extend_from_slice(b",\"gross\":");
    json::money(out, block.gross, shop.digits);
    if [block.refunded, block.cancelled, block.unattributed] == [0; 3] {
        // The usual case: nothing came back.
        out.extend_from_slice(&shop.nothing_back);
    } else {
        out.extend_from_slice(b",\"refunded\":");
        json::money(out, block.refunded, shop.digits);
        out.extend_from_slice(b",\"cancelled\":");
        json::money(out, block.cancelled, shop.digits);
        out.extend_from_slice(b",\"unattributed\":");
        json::money(out, block.unattributed, shop.digits);
    }
    out.extend_from_slice(b",\"net\":");
    json::money(out, block.net(), shop.digits);
    if block.excess == 0 {
        out.extend_from_slice(&shop.no_excess);
    } else {
        out.extend_from_slice(b",\"excess\":");
        json::money(out, block.excess, shop.digits);
    }
    out.extend_from_slice(b",\"aov_gross\":");
    mean(out, block.gross, block.placed, shop.digits);
    out.extend_from_slice(b",\"aov_net\":");
    mean(out, block.net(), block.kept, shop.digits);
    out.extend_from_slice(b",\"came_back\":");
    json::bool(out, block.kept > 1);
    out.extend_from_slice(b",\"returned_orders\":");
    json::integer(out, block.returned_orders);
    out.push(b'}');
}

fn mean(out: &mut Vec<u8>, sum: i64, count: u32, digits: u8) {
    if count == 1 {
        return json::money(out, sum, digits);
    }
    json::optional(out, Ratio::new(sum, count), |out, mean| json::mean_money(out, mean, digits));
}
