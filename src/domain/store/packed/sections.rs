//! The optional sections behind the entries of a packed customer.
//!
//! ```text
//! tag u8, ascending │ length (varint), at least 1 │ bytes
//! ```
//! A section is written only for a customer who uses it, and then in one form only. A tag that is not known comes from a newer
//! program: the customer is refused, because to drop it would lose what that program knows.
//!
//! **Tag 1, cancellation versions**: one varint for each cancellation, in their order. 0: the cancellation has no version, which
//! puts it above all versions of its order; that `order_cancelled` was emitted, or will never be, is implied, as in format 1. Else
//! (version × 2 + whether `order_cancelled` was emitted) + 1.
//!
//! **Tag 2, rules**: what rules remember ([`rule_memory`]).

use super::bytes::{Reader, put_varint};
use super::{Corrupt, Unreadable, rule_memory};
use crate::domain::customer::Customer;
use crate::domain::customer::ledger::{Cancellation, CancelledUpTo, Ledger};
use crate::domain::values::event::VERSION_LIMIT;

const CANCELLATION_VERSIONS: u8 = 1;
const RULES: u8 = 2;

/// The highest tag that this program knows.
pub const NEWEST_SECTION: u8 = RULES;

pub(super) fn put_sections(bytes: &mut Vec<u8>, customer: &Customer) {
    let Customer { ledger, rules, .. } = customer;
    if ledger.cancellations.iter().any(|cancellation| cancellation.up_to != CancelledUpTo::Always) {
        put_section(bytes, CANCELLATION_VERSIONS, |bytes| {
            ledger
                .cancellations
                .iter()
                .for_each(|cancellation| put_varint(bytes, version_and_mark(cancellation)));
        });
    }
    if !rules.is_empty() {
        put_section(bytes, RULES, |bytes| rule_memory::put(bytes, rules));
    }
}

fn put_section(bytes: &mut Vec<u8>, tag: u8, put: impl FnOnce(&mut Vec<u8>)) {
    bytes.push(tag);
    let start = bytes.len();
    put(bytes);
    let end = bytes.len();
    put_varint(bytes, (end - start) as u64);
    let length_bytes = bytes.len() - end;
    bytes[start..].rotate_right(length_bytes);
}

fn version_and_mark(cancellation: &Cancellation) -> u64 {
    match cancellation.up_to {
        CancelledUpTo::Always => {
            debug_assert!(cancellation.emitted, "implied, see the head of this module");
            0
        }
        CancelledUpTo::Version(version) => (version << 1 | u64::from(cancellation.emitted)) + 1,
    }
}

/// Reads all sections, to the end of the customer.
pub(super) fn read_sections(mut bytes: &[u8], customer: &mut Customer) -> Result<(), Unreadable> {
    let mut last_tag = 0;
    while let [tag, rest @ ..] = bytes {
        let mut reader = Reader(rest);
        let section =
            reader.slice().filter(|section| !section.is_empty() && *tag > last_tag).ok_or(Corrupt)?;
        match *tag {
            CANCELLATION_VERSIONS => {
                read_cancellation_versions(section, &mut customer.ledger).ok_or(Corrupt)?;
            }
            RULES => customer.rules = rule_memory::read(section).ok_or(Corrupt)?,
            tag => return Err(Unreadable::NewerSection { tag }),
        }
        (last_tag, bytes) = (*tag, reader.0);
    }
    Ok(())
}

fn read_cancellation_versions(section: &[u8], ledger: &mut Ledger) -> Option<()> {
    let mut reader = Reader(section);
    let mut is_needed = false;
    for cancellation in &mut ledger.cancellations {
        let Some(number) = reader.varint()?.checked_sub(1) else { continue };
        let version = Some(number >> 1).filter(|version| *version < VERSION_LIMIT)?;
        (cancellation.up_to, cancellation.emitted) = (CancelledUpTo::Version(version), number & 1 == 1);
        is_needed = true;
    }
    (is_needed && reader.0.is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::{Format, pack, unpack, upgrade};
    use super::*;
    use crate::domain::values::ids::OrderHash;
    use crate::domain::values::time::Time;

    const KEY: &[u8] = b"c1";

    fn customer(marks: &[(CancelledUpTo, bool)]) -> Customer {
        let mut customer = Customer::default();
        customer.ledger.cancellations = (0..)
            .zip(marks)
            .map(|(number, (up_to, emitted))| Cancellation {
                order: OrderHash(number),
                cancelled_at: Time::MIN,
                up_to: *up_to,
                emitted: *emitted,
            })
            .collect();
        customer
    }

    fn packed(customer: &Customer) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(KEY, customer, &mut bytes);
        bytes
    }

    fn unpacked(bytes: &[u8]) -> Result<Customer, Unreadable> {
        let mut customer = Customer::default();
        unpack(bytes, &mut customer).map(|()| customer)
    }

    #[test]
    fn cancellations_without_versions_need_no_section() {
        use CancelledUpTo::{Always, Version};
        let greatest = Version(VERSION_LIMIT - 1);
        for (marks, format, section) in [
            (&[][..], Format::V1, &[][..]),
            (&[(Always, true); 3], Format::V1, &[]),
            (&[(Version(0), false)], Format::V2, &[1, 1, 1]),
            (&[(Always, true), (Version(5), true), (Version(63), false)], Format::V2, &[1, 3, 0, 12, 127]),
            (&[(greatest, true)], Format::V2, &[1, 8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]),
            (&[(Version(1), true); 200], Format::V2, &[&[1, 200, 1][..], &[4; 200]].concat()),
        ] {
            let customer = customer(marks);
            let bytes = packed(&customer);
            assert_eq!(Format::of(&bytes), format, "{marks:?}");
            assert_eq!(unpacked(&bytes), Ok(customer), "{marks:?}");
            assert!(bytes.ends_with(section), "{marks:?}: {bytes:?}");
            let upgraded_from_1 = upgrade(&bytes, Format::V1);
            match format {
                Format::V1 => assert_eq!(upgraded_from_1.as_deref(), Ok(&bytes[..])),
                Format::V2 | Format::V3 | Format::V4 => {
                    assert_eq!(upgraded_from_1, Err(Corrupt), "{marks:?}")
                }
            }
            assert_eq!(upgrade(&bytes, Format::V2).as_deref(), Ok(&bytes[..]));
        }
    }

    /// What stands behind a customer's cancellations, in two formats.
    fn check(sections: &[u8], of_format_1: Result<(), Unreadable>, of_format_2: Result<(), Unreadable>) {
        for (format, expected) in [(Format::V1, of_format_1), (Format::V2, of_format_2)] {
            let mut bytes = packed(&customer(&[(CancelledUpTo::Always, true); 2]));
            if format == Format::V2 {
                bytes[KEY.len() + 3] |= 1;
            }
            bytes.extend_from_slice(sections);
            assert_eq!(unpacked(&bytes).map(|_| ()), expected, "{sections:?} of {format:?}");
        }
    }

    #[test]
    fn sections_have_one_form_and_unknown_ones_are_named() {
        let corrupt = Err(Unreadable::Corrupt);
        let newer = |tag| Err(Unreadable::NewerSection { tag });
        check(&[], Ok(()), corrupt);
        check(&[1, 2, 0, 3], corrupt, Ok(()));
        check(&[1, 2, 0, 0], corrupt, corrupt); // nothing that needs it
        check(&[1, 1, 3], corrupt, corrupt); // a cancellation is missing
        check(&[1, 3, 0, 3, 0], corrupt, corrupt); // one too many
        check(&[1, 9, 0, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20], corrupt, corrupt); // cut short
        check(&[1, 10, 0, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], corrupt, corrupt); // 2⁵³ and more
        check(&[1, 2, 0, 3, 1, 2, 0, 3], corrupt, corrupt); // twice
        check(&[0, 1, 7], corrupt, corrupt); // no tag
        check(&[2, 0], corrupt, corrupt); // nothing in it
        check(&[2], corrupt, corrupt);
        check(&[2, 1, 7], corrupt, corrupt);
        check(&[2, 3, 0, 0, 0], corrupt, corrupt); // nothing is remembered
        check(&[3, 1, 7], corrupt, newer(3));
        check(&[1, 2, 0, 3, 200, 2, 7, 7], corrupt, newer(200));
    }
}
