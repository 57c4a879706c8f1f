//! Every hash that the project computes.

use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

use crate::domain::settings::ErasureHash;
use crate::domain::signals::rule::{GuestCause, Occasion, RuleCause, SignalHash};
use crate::domain::signals::signal::{Cause, OpenAlert, RecordDigest, RetractedKind};

/// XXH3-64: ids, SKUs, customer keys and contents. The domain gets it as [`Settings::hash`](crate::domain::settings::Settings::hash).
pub fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// XXH3-64 of bytes that must come back as they were written; another seed gives another checksum.
pub fn checksum(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

// === Kafka's partitioner ===

/// The partition that Kafka's Java clients and librdkafka's `murmur2` partitioner choose for a key.
///
/// `partitions` must be positive.
pub fn partition(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

fn murmur2(bytes: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    // Kafka lengths are 31-bit; the truncation is part of the function.
    let mut hash = SEED ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut word = u32::from_le_bytes(word.try_into().expect("chunks of four")).wrapping_mul(MULTIPLIER);
        word = (word ^ (word >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ word;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

// === Signals ===

/// Identifies an occurrence: its signal has the same id in every run and on every machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SignalId(pub u128);

impl SignalId {
    /// XXH3-128 over customer key, type name and cause, each behind its length (u32, little endian).
    ///
    /// `buffer` lends its tail for the bytes to be hashed, which saves an allocation; it is left as it was.
    pub fn of(customer_key: &[u8], type_name: &str, cause: &Cause, buffer: &mut Vec<u8>) -> Self {
        let cause = CauseBytes::of(cause, customer_key, buffer);
        let start = buffer.len();
        // Keys are bounded by the record size, far below 4 GiB.
        buffer.extend_from_slice(&(customer_key.len() as u32).to_le_bytes());
        buffer.extend_from_slice(customer_key);
        buffer.extend_from_slice(&(type_name.len() as u32).to_le_bytes());
        buffer.extend_from_slice(type_name.as_bytes());
        // All of it, as the copy of a constant length is no call; the rest is cut off.
        buffer.extend_from_slice(&cause.bytes);
        buffer.truncate(buffer.len() - cause.bytes.len() + cause.length);
        let id = Self(xxh3_128(&buffer[start..]));
        buffer.truncate(start);
        id
    }

    /// The id of the `at_risk` or `lapsed` that a retraction takes back.
    pub fn retracted(
        customer_key: &[u8],
        kind: RetractedKind,
        emitted: OpenAlert,
        buffer: &mut Vec<u8>,
    ) -> Self {
        Self::of(customer_key, kind.name(), &emitted.cause(), buffer)
    }

    /// The same without a buffer, as the domain asks for it.
    pub fn as_hash(customer_key: &[u8], type_name: &str, cause: &Cause) -> SignalHash {
        SignalHash(Self::of(customer_key, type_name, cause, &mut Vec::new()).0)
    }

    /// 32 lower-case hexadecimal digits.
    pub fn to_hex(self) -> [u8; 32] {
        let mut digits = [0; 32];
        for (eight, shift) in digits.chunks_exact_mut(8).zip([96, 64, 32, 0]) {
            eight.copy_from_slice(&hex_digits((self.0 >> shift) as u32));
        }
        digits
    }
}

/// All eight digits at once, each in a byte of its own.
const fn hex_digits(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 255;
    let bytes = number.swap_bytes() as u64;
    let pairs = (bytes | bytes << 16) & 0x0000_ffff_0000_ffff;
    let pairs = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (pairs >> 4 | pairs << 8) & (ONES * 15);
    // Adding six carries a nibble of ten or more into the bit above it.
    let letters = ((nibbles + ONES * 6) >> 4) & ONES;
    (nibbles + ONES * b'0' as u64 + letters * (b'a' - b'0' - 10) as u64).to_le_bytes()
}

impl std::fmt::Display for SignalId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// A cause as bytes: its length, a tag and fixed-width parts.
struct CauseBytes {
    bytes: [u8; 31],
    length: usize,
}

impl CauseBytes {
    fn of(cause: &Cause, customer_key: &[u8], buffer: &mut Vec<u8>) -> Self {
        let mut this = Self { bytes: [0; 31], length: 4 };
        match *cause {
            Cause::Record(digest) => this.push(b"r").push_digest(digest),
            Cause::Deadline(instant) | Cause::Boundary(instant) => {
                this.push(b"d").push(&instant.as_millis().to_le_bytes())
            }
            Cause::DeadlineByRecord(deadline, digest) => {
                this.push(b"q").push(&deadline.as_millis().to_le_bytes()).push_digest(digest)
            }
            Cause::Expiry(instant) => this.push(b"e").push(&instant.as_millis().to_le_bytes()),
            Cause::Cancelled(order) => this.push(b"o").push(&order.0.to_le_bytes()),
            Cause::Returned(returned) => this.push(b"u").push(&returned.0.to_le_bytes()),
            Cause::Retraction(kind, emitted, digest) => {
                let retracted = SignalId::retracted(customer_key, kind, emitted, buffer);
                this.push(b"x").push(&retracted.0.to_be_bytes()).push_digest(digest)
            }
            Cause::Rule(RuleCause { rule, action, of }) => {
                this.push(b"R").push(&rule.0.to_le_bytes()).push(&[action.number()]).push_occasion(of)
            }
            Cause::GuestRule(GuestCause { rule, action, order, placed_at }) => {
                this.push(b"R").push(&rule.0.to_le_bytes()).push(&[action.number()]).push(b"g");
                this.push(&order.0.to_le_bytes()).push(&placed_at.as_millis().to_le_bytes())
            }
        };
        let length = this.length as u32 - 4;
        this.bytes[..4].copy_from_slice(&length.to_le_bytes());
        this
    }

    fn push(&mut self, part: &[u8]) -> &mut Self {
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
        self
    }

    fn push_occasion(&mut self, occasion: Occasion) -> &mut Self {
        match occasion {
            Occasion::Signal(id) => self.push(b"s").push(&id.0.to_be_bytes()),
            Occasion::Order(order) => self.push(b"o").push(&order.0.to_le_bytes()),
            Occasion::Instant(due) => self.push(b"d").push(&due.as_millis().to_le_bytes()),
            Occasion::Points { multiple, first_order_at } => {
                self.push(b"n").push(&multiple.to_le_bytes()).push(&first_order_at.as_millis().to_le_bytes())
            }
            Occasion::Product { order, sku } => {
                self.push(b"p").push(&order.0.to_le_bytes()).push(&sku.0.to_le_bytes())
            }
        }
    }

    fn push_digest(&mut self, digest: RecordDigest) -> &mut Self {
        self.push(&digest.0.to_le_bytes())
    }
}

/// 16 lower-case hexadecimal digits.
pub fn hex_16(number: u64) -> [u8; 16] {
    std::array::from_fn(|place| b"0123456789abcdef"[(number >> (60 - 4 * place) & 15) as usize])
}

// === Erasure ===

/// The keyed hash under which an erased customer's marker is kept: the first 16 bytes of keyed BLAKE3.
///
/// Without the secret a reader cannot test whether a customer was erased. Any length of secret will do: the key is derived.
pub fn erasure_hash(secret: &[u8]) -> ErasureHash {
    let key = blake3::derive_key("retention-signals 2026-01 erasure marker", secret);
    Arc::new(move |customer_key| {
        let digest = blake3::keyed_hash(&key, customer_key);
        *digest.as_bytes().first_chunk().expect("32 bytes")
    })
}

/// What a seal remembers of the erasure secret, so that a start with another one is noticed. It does not reveal it.
pub fn secret_fingerprint(secret: &[u8]) -> [u8; 8] {
    let digest = blake3::derive_key("retention-signals 2026-01 erasure secret fingerprint", secret);
    *digest.first_chunk().expect("32 bytes")
}

/// What the committed offsets of an intake remember of the secret that identities were hashed with. It does not reveal it.
pub fn intake_secret_fingerprint(secret: &[u8]) -> [u8; 8] {
    let digest = blake3::derive_key("retention-signals 2026-11 intake secret fingerprint", secret);
    *digest.first_chunk().expect("32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signals::rule::{RuleAction, RuleHash};
    use crate::domain::values::ids::{OrderHash, ReturnHash, SkuHash};
    use crate::domain::values::time::Time;

    #[test]
    fn keys_fall_where_kafka_puts_them() {
        // From Kafka's own UtilsTest.testMurmur2.
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        }
        assert_eq!(partition(b"21", 7), ((-973_932_308i32) & 0x7fff_ffff) as u32 % 7);
    }

    #[test]
    fn hashes_are_the_published_functions() {
        assert_eq!(hash(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(xxh3_128(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
    }

    #[test]
    fn a_signal_id_depends_on_each_of_its_parts() {
        let time = |millis| Time::from_millis(millis).expect("in range");
        let digest = RecordDigest(7);
        let emitted = |record| OpenAlert { deadline: time(5), record };
        let causes = [
            Cause::Record(digest),
            Cause::Record(RecordDigest(8)),
            Cause::Deadline(time(5)),
            Cause::Deadline(time(6)),
            Cause::DeadlineByRecord(time(5), digest),
            Cause::Expiry(time(5)),
            Cause::Cancelled(OrderHash(7)),
            Cause::Returned(ReturnHash(7)),
            Cause::Retraction(RetractedKind::AtRisk, emitted(None), digest),
            Cause::Retraction(RetractedKind::Lapsed, emitted(None), digest),
            Cause::Retraction(RetractedKind::Lapsed, emitted(Some(digest)), digest),
        ];
        let mut buffer = Vec::new();
        let mut ids = Vec::new();
        for cause in &causes {
            for (key, name) in [(b"c1", "lapsed"), (b"c2", "lapsed"), (b"c1", "at_risk")] {
                ids.push(SignalId::of(key, name, cause, &mut buffer));
            }
        }
        let length = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), length);
    }

    #[test]
    fn a_signal_id_is_made_as_documented() {
        let time = Time::from_millis(0x0102_0304).expect("in range");
        let bytes =
            b"\x02\0\0\0c1\x06\0\0\0lapsed\x11\0\0\0q\x04\x03\x02\x01\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01";
        let digest = RecordDigest(0x0102_0304_0506_0708);
        let id = SignalId::of(b"c1", "lapsed", &Cause::DeadlineByRecord(time, digest), &mut Vec::new());
        assert_eq!(id.0, xxh3_128(bytes));
        assert_eq!(id.to_hex(), *id.to_string().as_bytes());
    }

    /// Ida, customer c-1042 of the story.
    #[test]
    fn a_firing_is_made_as_documented() {
        let id = |rule: &str, action, of| {
            let cause = Cause::Rule(RuleCause { rule: RuleHash(hash(rule.as_bytes())), action, of });
            SignalId::of(b"c-1042", "rule", &cause, &mut Vec::new()).to_string()
        };
        let trigger = |hex| Occasion::Signal(SignalHash(u128::from_str_radix(hex, 16).expect("digits")));
        let (first_order, lapsed) =
            (trigger("c34855389c504bef490fd9d291d04952"), trigger("38e38a9c4c8feb00f250d63951fb1adc"));
        let order = |id: &str| OrderHash(hash(id.as_bytes()));
        let instant = Time::from_millis(1_740_507_300_000).expect("2025-02-25T18:15:00Z");
        let first_order_at = Time::from_millis(1_736_069_400_000).expect("2025-01-05T09:30:00Z");
        let points = Occasion::Points { multiple: 1, first_order_at };
        let fired = RuleAction::Fired;
        assert_eq!(id("thank-you", fired, first_order), "8392baa56fa94c3aa8915f60f36cbbbf");
        assert_eq!(id("win-back", fired, lapsed), "83eb051fc89a748c6a65affa9dfc9bae");
        assert_eq!(id("news", fired, Occasion::Instant(instant)), "be6737322cc112b0bc195d596ed70218");
        assert_eq!(id("reward", fired, points), "7df37ba3aed9773fc554ca2dd2d3bd4b");
        let product = Occasion::Product { order: order("o-5001"), sku: SkuHash(hash(b"COFFEE")) };
        let of_parts = [hash(b"o-5001").to_le_bytes(), hash(b"COFFEE").to_le_bytes()].concat();
        assert_eq!(id("refill", fired, product), written(b"c-1042", b"refill", b'p', &of_parts));
        let mut others: Vec<String> = RuleAction::ALL
            .iter()
            .map(|action| id("first", *action, Occasion::Order(order("o-5001"))))
            .collect();
        others.dedup();
        assert_eq!(others.len(), 4);
    }

    #[test]
    fn a_firing_on_an_order_of_a_guest_is_made_as_documented() {
        let id = |action| {
            let placed_at = Time::from_millis(1_757_851_331_000).expect("2025-09-14T12:02:11Z");
            let (rule, order) = (RuleHash(hash(b"invite-guest")), OrderHash(hash(b"o-5555")));
            let cause = Cause::GuestRule(GuestCause { rule, action, order, placed_at });
            SignalId::of(b"", "rule", &cause, &mut Vec::new()).to_string()
        };
        let of_parts = [hash(b"o-5555").to_le_bytes(), 1_757_851_331_000i64.to_le_bytes()].concat();
        assert_eq!(id(RuleAction::Fired), written(b"", b"invite-guest", b'g', &of_parts));
        assert_eq!(id(RuleAction::Fired), "4b3914395873d445a53abc6676441615");
        assert_ne!(id(RuleAction::Withheld), id(RuleAction::Fired));
    }

    /// The id of a firing, of the bytes as docs/DEFINITIONS.md lists them.
    fn written(key: &[u8], rule: &[u8], tag: u8, of: &[u8]) -> String {
        let cause = [b"R".as_slice(), &hash(rule).to_le_bytes(), &[1, tag], of].concat();
        let parts = [key, b"rule", &cause].map(|part| [&(part.len() as u32).to_le_bytes(), part].concat());
        format!("{:032x}", xxh3_128(&parts.concat()))
    }

    #[test]
    fn a_number_has_16_digits() {
        assert_eq!(hex_16(0x2d06_8005_38d3_94c2), *b"2d06800538d394c2");
        assert_eq!(hex_16(15), *b"000000000000000f");
    }

    #[test]
    fn erasure_hashes_and_fingerprints_depend_on_the_secret() {
        let (one, other) = (erasure_hash(b"secret"), erasure_hash(b"secret2"));
        assert_eq!(one(b"c1"), one(b"c1"));
        assert_ne!(one(b"c1"), one(b"c2"));
        assert_ne!(one(b"c1"), other(b"c1"));
        assert_ne!(secret_fingerprint(b"secret"), secret_fingerprint(b"secret2"));
    }
}
