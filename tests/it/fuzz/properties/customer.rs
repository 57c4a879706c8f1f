//! A customer as the domain packs it, in memory, changelog and snapshots.
//!
//! ```text
//!  a byte: 1 stores, 6 where the clock stands          packed customer
//! ```
//! An engine goes on only from a clock that lies before everything that the customer remembers: what is due between the two must have
//! fired when a state is written, and no bytes can tell whether it had.

use std::sync::{Arc, LazyLock};

use retention_signals::domain::customer::Customer;
use retention_signals::domain::engine::export::{Export, Exported, Room, StateItem};
use retention_signals::domain::engine::restore::{Restore, RestoreError};
use retention_signals::domain::engine::{Engine, Progress};
use retention_signals::domain::settings::Settings;
use retention_signals::domain::store::packed::{self, Format, NEWEST_SECTION, Unreadable};
use retention_signals::domain::values::event::{OrderRecord, Record, ReturnRecord, SkuVariety, WatchedSkus};
use retention_signals::domain::values::ids::{CustomerKey, OrderHash, ReturnHash};
use retention_signals::domain::values::money::SentAmount;
use retention_signals::domain::values::time::{Span, Time};
use retention_signals::wire::hash::hash;

use super::{Verdict, shops};

static ONE_SHOP: LazyLock<Arc<Settings>> = LazyLock::new(|| shops::settings(shops::one_shop()));
static STORES: LazyLock<Arc<Settings>> = LazyLock::new(|| shops::settings(shops::stores()));

/// A customer has one form only; an engine takes it, or says why not, and goes on from it.
pub fn customer(bytes: &[u8]) -> Verdict {
    let Some((choice, packed)) = bytes.split_first() else { return Verdict::Refused };
    let settings = if choice & 1 == 0 { &ONE_SHOP } else { &STORES };
    let clock = match choice >> 1 & 3 {
        0 => None,
        1 => Some(0),
        2 => Some(1_800_000_000_000),
        _ => Some(Time::MAX.as_millis()),
    };
    check_at(packed, settings, clock.map(|millis| Time::from_millis(millis).expect("in range")))
}

/// The same in one shop.
pub fn check(packed: &[u8]) -> Verdict {
    check_at(packed, &ONE_SHOP, None)
}

fn check_at(packed: &[u8], settings: &Arc<Settings>, clock: Option<Time>) -> Verdict {
    let mut customer = Customer::default();
    let unpacked = packed::unpack(packed, &mut customer);
    let key = packed::checked_key(packed);
    if let (Ok(()), Some(key)) = (unpacked, key) {
        check_packed(key, &customer, packed);
    }
    let mut restore = Restore::new(Arc::clone(settings));
    if restore.packed_customer(Format::NEWEST, packed, hash).is_err() {
        assert_eq!(key, None, "only the key is looked at");
        return Verdict::Refused;
    }
    match restore.finish(clock) {
        Ok(mut engine) => {
            assert_eq!(unpacked, Ok(()), "a restore checks every customer");
            assert_eq!(exported(&engine), [packed], "what was restored is what is exported");
            if clock.is_none_or(|clock| clock == Time::MIN) {
                let key = key.expect("it was restored");
                go_on(&mut engine, key, newest(&customer), settings);
            }
            Verdict::Accepted
        }
        Err(RestoreError::Corrupt) => {
            let is_corrupt =
                unpacked.is_err() || !customer.summary.leaves_room() || !customer.ledger.has_distinct_ids();
            assert!(is_corrupt, "what can be unpacked and gone on from is not corrupt");
            Verdict::Refused
        }
        Err(RestoreError::NewerSection { tag }) => {
            assert_eq!(unpacked, Err(Unreadable::NewerSection { tag }), "it names the section");
            assert!(tag > NEWEST_SECTION);
            Verdict::Refused
        }
        Err(RestoreError::UnknownShop | RestoreError::UnknownCurrency { .. }) => Verdict::Refused,
    }
}

fn check_packed(key: &[u8], customer: &Customer, packed: &[u8]) {
    let (mut again, mut unpacked) = (Vec::new(), Customer::default());
    packed::pack(key, customer, &mut again);
    assert_eq!(packed::unpack(&again, &mut unpacked), Ok(()));
    assert_eq!(&unpacked, customer);
    assert_eq!(again, packed, "a customer has one form only: {customer:?}");
}

fn exported(engine: &Engine) -> Vec<Vec<u8>> {
    let mut customers = Vec::new();
    let exported = engine.export(&mut Export::default(), |item| {
        match item {
            StateItem::Customer(packed) => customers.push(packed.to_vec()),
            StateItem::Marker { .. } => unreachable!("nobody was erased"),
        }
        Room::Left
    });
    assert_eq!(exported, Exported::All);
    customers
}

/// The latest instant that a customer remembers.
fn newest(customer: &Customer) -> Time {
    let ledger = &customer.ledger;
    let entries = [
        ledger.orders.last().map(|order| order.placed_at),
        ledger.returns.last().map(|returned| returned.returned_at),
        ledger.cancellations.last().map(|cancellation| cancellation.cancelled_at),
        customer.summary.newest_order_at,
        customer.summary.newest_return_at,
        Some(customer.summary.kept.last_at),
    ];
    entries.into_iter().flatten().max().unwrap_or(Time::MIN)
}

/// An order, a return, and years of silence, as they come to any customer.
fn go_on(engine: &mut Engine, key: &[u8], from: Time, settings: &Settings) {
    let key = CustomerKey { bytes: key, hash: hash(key) };
    let shop = settings.shops.of_key(key.bytes).expect("it was restored");
    let currency = settings.shops.get(shop).currency;
    let mut at = from;
    for step in 0..4 {
        at = at.plus(Span::days(20));
        let record = if step % 2 == 0 {
            let (id, skus, watched) = (OrderHash(step), SkuVariety::Unknown, WatchedSkus::NONE);
            let (placed_at, total) = (at, SentAmount(1_000));
            Record::Order(OrderRecord {
                id,
                version: 0,
                placed_at,
                total,
                currency,
                test: false,
                skus,
                watched,
            })
        } else {
            let (id, order) = (ReturnHash(step), None);
            let refund = SentAmount(1_000);
            Record::Return(ReturnRecord { id, returned_at: at, refund, currency, order })
        };
        engine.handle_record(key, shop, &record, usize::MAX);
    }
    assert_eq!(engine.advance_clock(at.plus(Span::days(900)), usize::MAX), Progress::Done);
    let [packed] = exported(engine).try_into().expect("the same customer");
    let mut customer = Customer::default();
    assert_eq!(packed::unpack(&packed, &mut customer), Ok(()));
    check_packed(key.bytes, &customer, &packed);
}
