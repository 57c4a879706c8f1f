//! What rules remember of a customer, as the bytes of a section.
//!
//! ```text
//! planned: count (varint) │ for each: rule u32 │ kind u8 │ due 48 bits │ what triggered it │ when it was to fire, 48 bits, if that differs
//! fired:   count (varint) │ for each: rule u32 │ last 48 bits │ number (varint)
//! caps:    count (varint) │ for each: cap u32 │ count u8 │ for each: 48 bits
//! ```
//! What triggered it is, by the kind without its highest bit: 0 a signal, 16 bytes; 1 an order, 8; 2 an instant, 6; 3 points, a multiple of
//! 8 bytes and a time of 6; 4 a product, an order of 8 bytes and a SKU of 8. The highest bit of the kind says that the two instants differ.

use super::bytes::{Reader, put_48, put_varint};
use crate::domain::rules::memory::{
    CAP_FIRINGS_MAX, CAPS_REMEMBERED_MAX, CapFirings, CapId, FIRED_MAX, LastFiring, PlannedFiring, RuleMemory,
};
use crate::domain::rules::rule::{PLANNED_MAX, RuleId};
use crate::domain::signals::rule::{Occasion, SignalHash};
use crate::domain::values::ids::{OrderHash, SkuHash};
use crate::domain::values::time::Time;

const SIGNAL: u8 = 0;
const ORDER: u8 = 1;
const INSTANT: u8 = 2;
const POINTS: u8 = 3;
const PRODUCT: u8 = 4;
const DIFFERS: u8 = 1 << 7;

const PLANNED: usize = 4 + 1 + 6 + 16 + 6;
const FIRED: usize = 4 + 6 + 10;
const CAP: usize = 4 + 1 + 6 * CAP_FIRINGS_MAX;

/// The most bytes that it takes.
pub(super) const BYTES_MAX: usize =
    1 + PLANNED_MAX * PLANNED + 2 + FIRED_MAX * FIRED + 1 + CAPS_REMEMBERED_MAX * CAP;

pub(super) fn put(bytes: &mut Vec<u8>, memory: &RuleMemory) {
    put_varint(bytes, memory.planned().len() as u64);
    for firing in memory.planned() {
        let differs = firing.due_at != firing.due;
        bytes.extend_from_slice(&firing.rule.0.to_le_bytes());
        bytes.push(kind(firing.occasion) | if differs { DIFFERS } else { 0 });
        put_48(bytes, firing.due.as_millis());
        match firing.occasion {
            Occasion::Signal(id) => bytes.extend_from_slice(&id.0.to_le_bytes()),
            Occasion::Order(order) => bytes.extend_from_slice(&order.0.to_le_bytes()),
            Occasion::Instant(instant) => put_48(bytes, instant.as_millis()),
            Occasion::Points { multiple, first_order_at } => {
                bytes.extend_from_slice(&multiple.to_le_bytes());
                put_48(bytes, first_order_at.as_millis());
            }
            Occasion::Product { order, sku } => {
                bytes.extend_from_slice(&order.0.to_le_bytes());
                bytes.extend_from_slice(&sku.0.to_le_bytes());
            }
        }
        if differs {
            put_48(bytes, firing.due_at.as_millis());
        }
    }
    put_varint(bytes, memory.fired().len() as u64);
    for last in memory.fired() {
        bytes.extend_from_slice(&last.rule.0.to_le_bytes());
        put_48(bytes, last.at.as_millis());
        put_varint(bytes, last.number);
    }
    put_varint(bytes, memory.caps().len() as u64);
    for firings in memory.caps() {
        bytes.extend_from_slice(&firings.cap.0.to_le_bytes());
        bytes.push(firings.at.len() as u8);
        firings.at.iter().for_each(|at| put_48(bytes, at.as_millis()));
    }
}

const fn kind(occasion: Occasion) -> u8 {
    match occasion {
        Occasion::Signal(_) => SIGNAL,
        Occasion::Order(_) => ORDER,
        Occasion::Instant(_) => INSTANT,
        Occasion::Points { .. } => POINTS,
        Occasion::Product { .. } => PRODUCT,
    }
}

/// None unless the bytes are exactly what [`put`] writes of something.
pub(super) fn read(bytes: &[u8]) -> Option<RuleMemory> {
    let mut reader = Reader(bytes);
    let planned = read_list(&mut reader, PLANNED_MAX, read_planned)?;
    let fired = read_list(&mut reader, FIRED_MAX, |reader| {
        Some(LastFiring { rule: read_rule(reader)?, at: reader.time()?, number: reader.varint()? })
    })?;
    let caps = read_list(&mut reader, CAPS_REMEMBERED_MAX, |reader| {
        let cap = CapId(u32::from_le_bytes(reader.take()?));
        let [count] = reader.take()?;
        let at = (0..count).map(|_| reader.time()).collect::<Option<Vec<Time>>>()?;
        Some(CapFirings { cap, at })
    })?;
    let memory = RuleMemory::new(planned, fired, caps)?;
    (reader.0.is_empty() && !memory.is_empty()).then_some(memory)
}

fn read_list<T>(
    reader: &mut Reader<'_>,
    max: usize,
    read: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = usize::try_from(reader.varint()?).ok().filter(|count| *count <= max)?;
    (0..count).map(|_| read(reader)).collect()
}

fn read_rule(reader: &mut Reader<'_>) -> Option<RuleId> {
    reader.take().map(|bytes| RuleId(u32::from_le_bytes(bytes)))
}

fn read_planned(reader: &mut Reader<'_>) -> Option<PlannedFiring> {
    let rule = read_rule(reader)?;
    let [kind] = reader.take()?;
    let due = reader.time()?;
    let occasion = match kind & !DIFFERS {
        SIGNAL => Occasion::Signal(SignalHash(u128::from_le_bytes(reader.take()?))),
        ORDER => Occasion::Order(OrderHash(reader.u64()?)),
        INSTANT => Occasion::Instant(reader.time()?),
        POINTS => Occasion::Points { multiple: reader.u64()?, first_order_at: reader.time()? },
        PRODUCT => Occasion::Product { order: OrderHash(reader.u64()?), sku: SkuHash(reader.u64()?) },
        _ => return None,
    };
    let due_at = match kind & DIFFERS {
        0 => due,
        _ => reader.time().filter(|due_at| *due_at != due)?,
    };
    Some(PlannedFiring { due, rule, occasion, due_at })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Format, Unreadable, pack, unpack};
    use super::*;
    use crate::domain::customer::Customer;
    use crate::domain::rules::rule::PRODUCTS_PLANNED_MAX;

    fn time(random: &mut fastrand::Rng) -> Time {
        Time::from_millis(random.i64(0..1 << 30)).expect("in range")
    }

    /// As much as there may be, with the greatest numbers.
    pub(in super::super) fn largest() -> RuleMemory {
        let planned = (0..PLANNED_MAX as u32).map(|rule| PlannedFiring {
            due: Time::MAX,
            rule: RuleId(rule),
            occasion: Occasion::Signal(SignalHash(u128::MAX)),
            due_at: Time::MIN,
        });
        let fired = (0..FIRED_MAX as u32).map(|rule| LastFiring {
            rule: RuleId(rule),
            at: Time::MAX,
            number: u64::MAX,
        });
        let caps = (0..CAPS_REMEMBERED_MAX as u32)
            .map(|cap| CapFirings { cap: CapId(cap), at: vec![Time::MAX; CAP_FIRINGS_MAX] });
        RuleMemory::new(planned.collect(), fired.collect(), caps.collect()).expect("it is sound")
    }

    fn random(random: &mut fastrand::Rng) -> RuleMemory {
        let mut products = 0;
        let mut planned: Vec<PlannedFiring> = (0..random.usize(0..=PLANNED_MAX))
            .map(|_| {
                let due = time(random);
                let occasion = match random.u8(0..if products < PRODUCTS_PLANNED_MAX { 5 } else { 4 }) {
                    0 => Occasion::Signal(SignalHash(random.u128(..))),
                    1 => Occasion::Order(OrderHash(random.u64(..))),
                    2 => Occasion::Instant(time(random)),
                    3 => Occasion::Points { multiple: random.u64(..), first_order_at: time(random) },
                    _ => {
                        products += 1;
                        Occasion::Product { order: OrderHash(random.u64(..)), sku: SkuHash(random.u64(..)) }
                    }
                };
                let due_at = if random.bool() { due } else { time(random).min(due) };
                PlannedFiring { due, rule: RuleId(random.u32(..)), occasion, due_at }
            })
            .collect();
        planned.sort_unstable();
        let mut fired: Vec<LastFiring> = (0..random.usize(0..9))
            .map(|_| LastFiring { rule: RuleId(random.u32(..)), at: time(random), number: random.u64(..) })
            .collect();
        fired.sort_unstable_by_key(|last| last.rule);
        let mut caps: Vec<CapFirings> = (0..random.usize(0..5))
            .map(|_| {
                let mut at: Vec<Time> =
                    (0..random.usize(1..=CAP_FIRINGS_MAX)).map(|_| time(random)).collect();
                at.sort_unstable();
                CapFirings { cap: CapId(random.u32(..)), at }
            })
            .collect();
        caps.sort_unstable_by_key(|firings| firings.cap);
        RuleMemory::new(planned, fired, caps).expect("it is sound")
    }

    #[test]
    fn what_is_remembered_comes_back() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let customer = Customer { rules: random(&mut rng), ..Customer::default() };
            let (mut bytes, mut unpacked) = (Vec::new(), Customer::default());
            pack(b"c1", &customer, &mut bytes);
            assert_eq!(unpack(&bytes, &mut unpacked), Ok(()));
            assert_eq!(unpacked, customer);
            let expected = if customer.rules.is_empty() { Format::V1 } else { Format::V2 };
            assert_eq!(Format::of(&bytes), expected);
        }
    }

    #[test]
    fn other_bytes_are_refused_or_are_what_would_be_written() {
        let mut rng = fastrand::Rng::with_seed(8);
        let mut refused = 0;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            put(&mut bytes, &random(&mut rng));
            let place = rng.usize(0..bytes.len());
            match rng.u8(0..3) {
                0 => bytes[place] ^= 1 << rng.u8(0..8),
                1 => bytes.truncate(place),
                _ => bytes.insert(place, rng.u8(..)),
            }
            match read(&bytes) {
                None => refused += 1,
                Some(memory) => {
                    let mut again = Vec::new();
                    put(&mut again, &memory);
                    assert_eq!(again, bytes);
                }
            }
        }
        assert!(refused > 10_000, "{refused} of 20,000");
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0, 0, 0]), None, "nothing has no section");
    }

    #[test]
    fn more_firings_of_products_than_may_be_are_refused() {
        let planned = |products: u64| -> Vec<PlannedFiring> {
            let product = |number| Occasion::Product { order: OrderHash(number), sku: SkuHash(7) };
            let firing = |number| {
                let (rule, due) = (RuleId(1), Time::MIN);
                PlannedFiring { due, rule, occasion: product(number), due_at: due }
            };
            (0..products).map(firing).collect()
        };
        let most = PRODUCTS_PLANNED_MAX as u64;
        assert_eq!(RuleMemory::new(planned(most + 1), Vec::new(), Vec::new()), None);
        let memory = RuleMemory::new(planned(most), Vec::new(), Vec::new()).expect("it is sound");
        let mut bytes = Vec::new();
        put(&mut bytes, &memory);
        assert_eq!(read(&bytes), Some(memory));
        // The kind of the first firing, behind the count and its rule.
        assert_eq!(bytes[5], PRODUCT);
        bytes[5] = PRODUCT + 1;
        assert_eq!(read(&bytes), None, "a kind of a newer program");
    }

    #[test]
    fn the_largest_fits() {
        let mut bytes = Vec::new();
        put(&mut bytes, &largest());
        assert_eq!(bytes.len(), BYTES_MAX);
        let customer = Customer { rules: largest(), ..Customer::default() };
        pack(b"c1", &customer, &mut bytes);
        bytes.pop();
        assert_eq!(unpack(&bytes, &mut Customer::default()), Err(Unreadable::Corrupt));
    }
}
