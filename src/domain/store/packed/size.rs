//! How large a packed customer may become.

use super::orders::ORDER_WIDTH_MAX;
use super::rule_memory;

/// A varint of 32, 54 or 64 bits.
const VARINT_32: usize = 5;
const VARINT_54: usize = 8;
const VARINT_64: usize = 10;

/// Flags, two open alerts with their records, an SKU.
const EMITTED: usize = 4 + 2 * (6 + 8) + 8;
/// Counts and days; sums, values and squares; the id of the last order; four times.
const SUMMARY: usize = (5 + 5) * VARINT_32 + (6 + 3 + 1) * VARINT_64 + VARINT_64 + 4 * VARINT_64;
/// Id, time, refund, currency, the order that it names.
const RETURN: usize = 8 + 6 + 6 + 2 + 8;
/// Order and time, and the version in its section.
const CANCELLATION: usize = 8 + 6 + VARINT_54;
/// A tag, a length.
const SECTION: usize = 1 + VARINT_32;

/// The most bytes that a customer takes with a key of so many bytes and at most `entries_max` orders, returns and cancellations each,
/// which is what `records.max_orders` bounds.
pub const fn bytes_max(key_bytes: usize, entries_max: usize) -> usize {
    let entries = entries_max * (ORDER_WIDTH_MAX + RETURN + CANCELLATION);
    VARINT_32 + key_bytes + EMITTED + SUMMARY + 3 * VARINT_32 + entries + 2 * SECTION + rule_memory::BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::super::{pack, unpack};
    use super::*;
    use crate::domain::customer::Customer;
    use crate::domain::customer::ledger::{Cancellation, CancelledUpTo, Order, Return};
    use crate::domain::customer::purchases::{PurchaseDays, PurchaseStats};
    use crate::domain::customer::summary::Summary;
    use crate::domain::values::event::{SkuVariety, VERSION_LIMIT};
    use crate::domain::values::ids::{OrderHash, ReturnHash};
    use crate::domain::values::money::{AMOUNT_LIMIT, Currency, SentAmount, ShopAmount};
    use crate::domain::values::time::Time;
    use crate::domain::values::window::OrderTotals;

    /// All of everything.
    fn largest(entries: u64) -> Customer {
        let currency = Currency::from_code(b"EUR").expect("a currency");
        let summary = Summary {
            block: OrderTotals {
                placed: u32::MAX,
                kept: u32::MAX,
                returned_orders: u32::MAX,
                gross: ShopAmount(i64::MIN),
                refunded: ShopAmount(i64::MIN),
                cancelled: ShopAmount(i64::MIN),
                unattributed: ShopAmount(i64::MIN),
                excess: ShopAmount(i64::MIN),
            },
            kept: PurchaseStats {
                count: u32::MAX,
                net: ShopAmount(i64::MIN),
                last_values: [ShopAmount(i64::MIN); 3],
                first_at: Time::MAX,
                last_at: Time::MAX,
                last_id: OrderHash(u64::MAX),
                days: PurchaseDays {
                    count: u32::MAX,
                    first: i32::MIN,
                    last: [i32::MIN; 4],
                    squares: u64::MAX,
                },
                ..PurchaseStats::default()
            },
            newest_order_at: Some(Time::MAX),
            newest_return_at: Some(Time::MAX),
        };
        let (skus, rules) = (SkuVariety::One(u64::MAX), rule_memory::tests::largest());
        let mut customer = Customer { skus, summary, rules, ..Customer::default() };
        for id in 0..entries {
            customer.ledger.orders.push(Order {
                id: OrderHash(id),
                placed_at: Time::MAX,
                version: VERSION_LIMIT - 1,
                total: SentAmount(AMOUNT_LIMIT - 1),
                currency,
                test: true,
            });
            customer.ledger.returns.push(Return {
                id: ReturnHash(id),
                returned_at: Time::MAX,
                refund: SentAmount(AMOUNT_LIMIT - 1),
                currency,
                order: Some(OrderHash(id)),
            });
            customer.ledger.cancellations.push(Cancellation {
                order: OrderHash(id),
                cancelled_at: Time::MAX,
                up_to: CancelledUpTo::Version(VERSION_LIMIT - 1),
                emitted: true,
            });
        }
        customer
    }

    #[test]
    fn the_largest_customer_fits_and_comes_near() {
        // What is counted with too many bytes: open alerts, which are not here, and numbers that end before their types do.
        const SLACK: usize = 110;
        let key = [b'k'; 1_025];
        for entries in [0, 1, 100, 10_000] {
            let (mut bytes, mut unpacked) = (Vec::new(), Customer::default());
            let customer = largest(entries as u64);
            pack(&key, &customer, &mut bytes);
            assert_eq!(unpack(&bytes, &mut unpacked), Ok(()));
            assert_eq!(unpacked, customer);
            let bound = bytes_max(key.len(), entries);
            assert!((bound - SLACK..=bound).contains(&bytes.len()), "{} of {bound}", bytes.len());
        }
    }
}
