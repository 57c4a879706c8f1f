//! Input records, as Kafka and files bring them.
//!
//! ```text
//!  o │ r │ e          a digit: 1 stores, 2 small limits, 4 no key          key ⏎ value       without a line end: no value
//! ```

use std::sync::LazyLock;

use retention_signals::domain::settings::Shops;
use retention_signals::domain::values::event::{CancellationRecord, GuestRecord, Record, SkuVariety};
use retention_signals::domain::values::ids::CustomerKey;
use retention_signals::domain::values::money::{AMOUNT_LIMIT, Currency, SentAmount};
use retention_signals::domain::values::time::Time;
use retention_signals::formats::NativeRecord;
use retention_signals::formats::native::{
    CustomerEvent, Decoder, Event, GuestEvent, ID_BYTES_MAX, Limits, Subject,
};
use retention_signals::topic::Input;
use retention_signals::wire::encode::{CancellationText, ErasureText, OrderText, ReturnText};
use retention_signals::wire::hash::hash;
use retention_signals::wire::reason::{Reason, Refusal};
use serde_json::Value;

use super::{Verdict, shops};

const SMALL: Limits = Limits { bytes_max: 300, depth_max: 9 };

/// The longest detail of a refusal: what is longer has quoted something.
const DETAIL_BYTES_MAX: usize = 120;

/// Decoders of one kind of shops.
struct Readers {
    shops: Shops,
    usual: Decoder,
    small: Decoder,
}

impl Readers {
    fn new(shops: Shops) -> Self {
        let decoder = |limits| Decoder::new(shops.clone(), limits);
        Self { usual: decoder(Limits::default()), small: decoder(SMALL), shops }
    }
}

static ONE_SHOP: LazyLock<Readers> = LazyLock::new(|| Readers::new(shops::one_shop()));
static STORES: LazyLock<Readers> = LazyLock::new(|| Readers::new(shops::stores()));

/// Whatever is read: the fast pass and the parser agree, a file and a topic agree, what is accepted is within its bounds and the
/// same once it is written and read again, and what is refused quotes nothing.
pub fn records(bytes: &[u8]) -> Verdict {
    let Some(([input, settings], rest)) = bytes.split_first_chunk() else { return Verdict::Refused };
    let input = match input {
        b'o' => Input::Orders,
        b'r' => Input::Returns,
        b'e' => Input::Erasures,
        other => Input::ALL[usize::from(*other) % Input::ALL.len()],
    };
    let readers: &Readers = if settings & 1 == 0 { &ONE_SHOP } else { &STORES };
    let decoder = if settings & 2 == 0 { &readers.usual } else { &readers.small };
    let (key, value) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&rest[..end], Some(&rest[end + 1..])),
        None => (rest, None),
    };
    let key = (settings & 4 == 0).then_some(key);

    let decoded = decoder.decode(input, key, value);
    assert_eq!(decoded, decoder.decode_in_general(input, key, value), "the fast pass and the parser");
    if let Some(value) = value {
        files_and_topics_agree(&readers.usual, input, key, value);
    }
    match decoded {
        Ok(event) => {
            check(&readers.shops, key, &event);
            if let Some(Ok(json)) = value.map(serde_json::from_slice) {
                check_ids(&event, &json);
            }
            check_written(readers, input, &event);
            Verdict::Accepted
        }
        Err(refusal) => {
            check_refusal(&refusal);
            Verdict::Refused
        }
    }
}

/// A line of a file counts as sent with the key of the customer whom it names.
fn files_and_topics_agree(decoder: &Decoder, input: Input, key: Option<&[u8]>, value: &[u8]) {
    let mut key_of_line = Vec::new();
    let line = decoder.decode_line(NativeRecord { input, value }, None, &mut key_of_line);
    if let Ok(event) = &line {
        let key = event.customer_key().map(|key| key.bytes);
        assert_eq!(decoder.decode(input, key, Some(value)).as_ref(), Ok(event), "a topic as a file");
    }
    match (decoder.decode(input, key, Some(value)), &line) {
        (Ok(mut event), _) => {
            // A guest's record may have any key, and a line has none.
            if let Subject::Guest(guest) = &mut event.subject {
                guest.key = None;
            }
            assert_eq!(line, Ok(event), "a file as a topic");
        }
        (Err(Refusal { reason: Reason::KeyMismatch, .. }), _) => {}
        (Err(refusal), line) => assert_eq!(line, &Err(refusal), "a file as a topic"),
    }
}

fn check(shops: &Shops, key: Option<&[u8]>, event: &Event<'_>) {
    let is_money = |amount: SentAmount, currency: Currency| {
        assert!((0..AMOUNT_LIMIT).contains(&amount.minor()), "{amount:?}");
        assert!(shops.get(event.shop).accepts(currency), "{currency}");
    };
    assert!((Time::MIN..=Time::MAX).contains(&event.time()));
    if let Some(named) = event.customer_key() {
        assert_eq!((named.bytes, named.hash), (key.unwrap_or_default(), hash(named.bytes)));
    }
    let named_order = &event.named_order;
    match &event.subject {
        Subject::Guest(guest) => {
            assert!((1..=ID_BYTES_MAX).contains(&guest.id.len()), "{}", guest.id);
            assert!(guest.key.is_none_or(|guest_key| !guest_key.is_empty() && Some(guest_key) == key));
            match &guest.record {
                GuestRecord::Order { total: amount, currency, .. }
                | GuestRecord::Return { refund: amount, currency, .. } => is_money(*amount, *currency),
            }
        }
        Subject::Customer(event) => {
            for id in [Some(&event.id), named_order.as_ref()].into_iter().flatten() {
                assert!((1..=ID_BYTES_MAX).contains(&id.len()), "{id}");
            }
            match &event.record {
                Record::Order(order) => is_money(order.total, order.currency),
                Record::Return(returned) => is_money(returned.refund, returned.currency),
                Record::Cancellation(_) => {}
            }
        }
        Subject::Erasure { .. } => {}
    }
}

/// Another parser reads the same ids.
fn check_ids(event: &Event<'_>, json: &Value) {
    let id_of = |field: &str| match &json[field] {
        Value::String(id) => Some(id.clone()).filter(|id| !id.is_empty()),
        // Digits that no number of this parser holds are only compared with each other.
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let agree = |found: Option<&str>, field: &str| {
        let is_huge = json[field].is_f64();
        assert!(is_huge || found == id_of(field).as_deref(), "{field}: {found:?}");
    };
    agree(event.store_id.as_deref(), "store_id");
    let customer_id = id_of("customer_id");
    let is_named =
        |key: CustomerKey<'_>| customer_id.as_deref().is_none_or(|id| key.bytes.ends_with(id.as_bytes()));
    assert!(event.customer_key().is_none_or(is_named));
    let Subject::Customer(customer) = &event.subject else { return };
    let id = Some(&*customer.id);
    match &customer.record {
        Record::Order(_) | Record::Cancellation(_) => agree(id, "order_id"),
        Record::Return(_) => {
            agree(id, "return_id");
            agree(event.named_order.as_deref(), "order_id");
        }
    }
}

/// An event as a producer would write it is the same event, but for the goods, of which only hashes are known.
fn check_written(readers: &Readers, input: Input, event: &Event<'_>) {
    let mut expected = event.clone();
    if let Subject::Customer(CustomerEvent { record: Record::Order(order), .. }) = &mut expected.subject {
        order.skus = SkuVariety::Unknown;
    }
    let (key, text) = written(&readers.shops, event);
    let again = readers.usual.decode(input, key, Some(&text));
    assert_eq!(again, Ok(expected), "{}", String::from_utf8_lossy(&text));
}

fn write_guest(
    guest: &GuestEvent<'_>,
    store_id: Option<&str>,
    named_order: Option<&str>,
    text: &mut Vec<u8>,
) {
    match guest.record {
        GuestRecord::Order { id: _, placed_at, total, currency, test } => {
            let (order_id, total, customer_id, version, skus) = (&*guest.id, total.minor(), None, 0, &[][..]);
            OrderText { order_id, placed_at, currency, total, customer_id, store_id, version, test, skus }
                .encode(text);
        }
        GuestRecord::Return { returned_at, refund, currency } => {
            let (return_id, refund, customer_id, order_id) = (&*guest.id, refund.minor(), None, named_order);
            ReturnText { return_id, returned_at, currency, refund, customer_id, store_id, order_id }
                .encode(text);
        }
    }
}

fn written<'e>(shops: &Shops, event: &'e Event<'_>) -> (Option<&'e [u8]>, Vec<u8>) {
    let (store_id, named_order) = (event.store_id.as_deref(), event.named_order.as_deref());
    let mut text = Vec::new();
    let prefix = match shops {
        Shops::One(_) => 0,
        Shops::ByStore(_) => store_id.map_or(0, str::len) + 1,
    };
    let customer_id =
        |key: &'e [u8]| std::str::from_utf8(&key[prefix..]).expect("it was found in a JSON string");
    let event = match &event.subject {
        Subject::Customer(event) => event,
        Subject::Erasure { key, record } => {
            let (customer_id, requested_at) = (customer_id(key.bytes), record.requested_at);
            ErasureText { customer_id, requested_at, store_id }.encode(&mut text);
            return (Some(key.bytes), text);
        }
        Subject::Guest(guest) => {
            write_guest(guest, store_id, named_order, &mut text);
            return (guest.key, text);
        }
    };
    let (customer_id, id) = (customer_id(event.key.bytes), &*event.id);
    match event.record {
        Record::Order(order) => OrderText {
            order_id: id,
            placed_at: order.placed_at,
            currency: order.currency,
            total: order.total.minor(),
            customer_id: Some(customer_id),
            store_id,
            version: order.version,
            test: order.test,
            skus: &[],
        }
        .encode(&mut text),
        Record::Cancellation(cancellation) => {
            let CancellationRecord { cancelled_at, version, .. } = cancellation;
            CancellationText { order_id: id, cancelled_at, customer_id, store_id, version }.encode(&mut text);
        }
        Record::Return(returned) => ReturnText {
            return_id: id,
            returned_at: returned.returned_at,
            currency: returned.currency,
            refund: returned.refund.minor(),
            customer_id: Some(customer_id),
            store_id,
            order_id: named_order,
        }
        .encode(&mut text),
    }
    (Some(event.key.bytes), text)
}

fn check_refusal(refusal: &Refusal) {
    let detail = &refusal.detail;
    assert!((1..=DETAIL_BYTES_MAX).contains(&detail.len()), "{detail}");
    assert!(detail.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{detail:?}");
}
