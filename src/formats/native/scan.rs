//! The usual record, read in one pass: compact JSON without escapes, of the fields that are known and few that are not.
//!
//! Everything else is left to the parser of `object`, mistakes included: a record that is accepted here must be accepted there,
//! with the same fields. A trial compares both.
//!
//! Every function takes the rest of the record from where it reads and returns the unread rest, or `None` if the
//! record is not usual. That is a pointer and a length, which never leave the registers.

use super::items::Skus;
use super::object::{Field, Object};
use super::value::ID_BYTES_MAX;
use crate::wire::hash::hash;

/// Objects and arrays inside each other. What is deeper is not usual.
pub(super) const DEPTH_MAX: usize = 8;

/// Reads a whole record of [`Characters::Unescaped`](super::characters::Characters::Unescaped).
pub(super) fn record<'a>(record: &'a [u8], object: &mut Object<'a, '_>) -> Option<()> {
    let rest = members(record, |name| member(name, object))?;
    rest.is_empty().then_some(())
}

/// A member of the record, or several.
#[inline]
fn member<'a>(name: &'a [u8], object: &mut Object<'a, '_>) -> Option<&'a [u8]> {
    let mut name = name;
    // Most records are orders, and most of these have the fields in the order in which they are documented. Each field is looked
    // for at its place only; what comes instead is looked up below.
    macro_rules! one_by_one {
        ($($text:literal is $field:ident),+) => {
            $(if name.starts_with(concat!($text, "\":\"").as_bytes()) {
                let quote = &name[$text.len() + 2..];
                let rest = close_string(&quote[1..])?;
                object.add_field(Field::$field, taken(quote, rest));
                name = match rest.strip_prefix(b",\"") {
                    Some(name) => name,
                    None => return Some(rest),
                };
            })+
        };
    }
    if name.starts_with(b"order_id") {
        one_by_one!(
            "order_id" is OrderId,
            "placed_at" is PlacedAt,
            "currency" is Currency,
            "total" is Total,
            "customer_id" is CustomerId,
            "store_id" is StoreId
        );
    }
    if name.starts_with(b"items\":[") {
        let (skus, rest) = items(&name[b"items\":".len()..], object.watched())?;
        object.add_skus(skus);
        return Some(rest);
    }
    if let Some((field, quote)) = string_field(name) {
        let rest = close_string(&quote[1..])?;
        object.add_field(field, taken(quote, rest));
        return Some(rest);
    }
    any_member(name, object)
}

/// The field whose name stands here, if a string follows it as usual, and that string. The length of each name is known when this
/// is compiled, so that few comparisons of words do without a search for the end of the name.
#[inline]
fn string_field(name: &[u8]) -> Option<(Field, &[u8])> {
    macro_rules! one_of {
        ($($name:literal is $field:ident),+) => {{
            $(if name.starts_with(concat!($name, "\":\"").as_bytes()) {
                return Some((Field::$field, &name[$name.len() + 2..]));
            })+
            None
        }};
    }
    match name.first()? {
        b'o' => one_of!("order_id" is OrderId),
        b'p' => one_of!("placed_at" is PlacedAt),
        b'c' => one_of!("currency" is Currency, "customer_id" is CustomerId, "cancelled_at" is CancelledAt),
        b't' => one_of!("total" is Total),
        b's' => one_of!("store_id" is StoreId),
        b'r' => one_of!(
            "return_id" is ReturnId,
            "returned_at" is ReturnedAt,
            "refund" is Refund,
            "requested_at" is RequestedAt
        ),
        _ => None,
    }
}

/// A member of the record with any name and value, and with blanks anywhere.
#[inline(never)]
fn any_member<'a>(name: &'a [u8], object: &mut Object<'a, '_>) -> Option<&'a [u8]> {
    let rest = close_string(name)?;
    let name = taken(name, rest);
    let value = behind_colon(rest)?;
    if name == b"items\"" {
        let (skus, rest) = items(value, object.watched())?;
        object.add_skus(skus);
        return Some(rest);
    }
    let rest = skip_value(value, 1)?;
    if let Some(field) = name.strip_suffix(b"\"").and_then(Field::of) {
        object.add_field(field, taken(value, rest));
    }
    Some(rest)
}

/// The lines of an order.
#[inline(never)]
fn items<'a>(array: &'a [u8], watched: &[u64]) -> Option<(Skus, &'a [u8])> {
    let mut skus = Skus::NONE;
    let rest = elements(array, |object| {
        let mut has_sku = false;
        members(object, |name| {
            let (sku, rest) = match name.strip_prefix(b"sku\":\"") {
                Some(content) => {
                    let rest = close_string(content)?;
                    (Sku::Id(&content[..content.len() - rest.len() - 1]), rest)
                }
                None => match skip_usual_item_member(name) {
                    Some(rest) => return Some(rest),
                    None => any_item_member(name)?,
                },
            };
            match sku {
                Sku::Id(id) if (1..=ID_BYTES_MAX).contains(&id.len()) => skus.add(hash(id), watched),
                Sku::Id(b"") | Sku::Null => {}
                Sku::Id(_) => return None,
                Sku::OtherMember => return Some(rest),
            }
            (!std::mem::replace(&mut has_sku, true)).then_some(rest)
        })
    })?;
    Some((skus, rest))
}

/// What a member of an item is.
enum Sku<'a> {
    Id(&'a [u8]),
    Null,
    OtherMember,
}

/// A member of an item that is often there and means nothing to us, as it is usually written.
#[inline]
fn skip_usual_item_member(name: &[u8]) -> Option<&[u8]> {
    match name.strip_prefix(b"quantity\":") {
        Some(number) => skip_number(number),
        None => close_string(name.strip_prefix(b"unit_price\":\"")?),
    }
}

#[inline(never)]
fn any_item_member(name: &[u8]) -> Option<(Sku<'_>, &[u8])> {
    let rest = close_string(name)?;
    let name = taken(name, rest);
    let value = behind_colon(rest)?;
    let rest = skip_value(value, 3)?;
    if name != b"sku\"" {
        return Some((Sku::OtherMember, rest));
    }
    match taken(value, rest) {
        [b'"', id @ .., b'"'] => Some((Sku::Id(id), rest)),
        b"null" => Some((Sku::Null, rest)),
        id if id.iter().all(u8::is_ascii_digit) => Some((Sku::Id(id), rest)),
        _ => None,
    }
}

/// An object; `member` is called behind the opening quote of each name and has to take that, the colon and the value.
#[inline]
fn members<'a>(object: &'a [u8], mut member: impl FnMut(&'a [u8]) -> Option<&'a [u8]>) -> Option<&'a [u8]> {
    let mut name = match object {
        [b'{', b'"', name @ ..] => name,
        [b'{', behind @ ..] => match skip_spaces(behind) {
            [b'"', name @ ..] => name,
            [b'}', behind @ ..] => return Some(behind),
            _ => return None,
        },
        _ => return None,
    };
    loop {
        let rest = member(name)?;
        name = if let Some(name) = rest.strip_prefix(b",\"") {
            name
        } else if let Some(behind) = rest.strip_prefix(b"}") {
            return Some(behind);
        } else {
            match next(rest, b'}')? {
                (Next::Another, behind) => behind.strip_prefix(b"\"")?,
                (Next::End, behind) => return Some(behind),
            }
        };
    }
}

/// An array; `element` is called at each element and has to take it.
#[inline]
fn elements<'a>(array: &'a [u8], mut element: impl FnMut(&'a [u8]) -> Option<&'a [u8]>) -> Option<&'a [u8]> {
    let mut value = array.strip_prefix(b"[")?;
    if !value.starts_with(b"{") {
        value = skip_spaces(value);
        if let Some(behind) = value.strip_prefix(b"]") {
            return Some(behind);
        }
    }
    loop {
        let rest = element(value)?;
        value = if rest.starts_with(b",{") {
            &rest[1..]
        } else if let Some(behind) = rest.strip_prefix(b"]") {
            return Some(behind);
        } else {
            match next(rest, b']')? {
                (Next::Another, behind) => behind,
                (Next::End, behind) => return Some(behind),
            }
        };
    }
}

/// What follows a member or an element.
enum Next {
    Another,
    End,
}

/// Takes a comma or the end of an object or array, with blanks on both sides of the comma.
#[inline(never)]
fn next(rest: &[u8], end: u8) -> Option<(Next, &[u8])> {
    match skip_spaces(rest) {
        [b',', behind @ ..] => Some((Next::Another, skip_spaces(behind))),
        [byte, behind @ ..] if *byte == end => Some((Next::End, behind)),
        _ => None,
    }
}

/// The name, which means nothing, and the value of a member.
#[inline]
fn skip_member(name: &[u8], depth: usize) -> Option<&[u8]> {
    skip_value(behind_colon(close_string(name)?)?, depth)
}

/// Any value, `depth` objects and arrays deep.
#[inline]
fn skip_value(value: &[u8], depth: usize) -> Option<&[u8]> {
    match value {
        [b'"', content @ ..] => close_string(content),
        [b'-' | b'0'..=b'9', ..] => skip_number(value),
        _ => skip_rare_value(value, depth),
    }
}

/// A literal, an object or an array.
#[inline(never)]
fn skip_rare_value(value: &[u8], depth: usize) -> Option<&[u8]> {
    match value.first()? {
        b't' => value.strip_prefix(b"true"),
        b'f' => value.strip_prefix(b"false"),
        b'n' => value.strip_prefix(b"null"),
        b'{' if depth < DEPTH_MAX => members(value, |name| skip_member(name, depth + 1)),
        b'[' if depth < DEPTH_MAX => elements(value, |value| skip_value(value, depth + 1)),
        _ => None,
    }
}

/// The value behind a colon.
#[inline]
fn behind_colon(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [b':', b'"' | b'0'..=b'9', ..] => Some(&rest[1..]),
        _ => Some(skip_spaces(skip_spaces(rest).strip_prefix(b":")?)),
    }
}

/// The text between here and a later rest.
#[inline]
fn taken<'a>(here: &'a [u8], rest: &[u8]) -> &'a [u8] {
    &here[..here.len() - rest.len()]
}

/// Takes the rest of a string and its closing quote, eight bytes at a time: a call of `memchr` costs more than most strings do.
#[inline]
fn close_string(content: &[u8]) -> Option<&[u8]> {
    let mut rest = content;
    while let Some((word, behind)) = rest.split_first_chunk() {
        let quotes = quotes_in(u64::from_le_bytes(*word));
        if quotes != 0 {
            return rest.get(quotes.trailing_zeros() as usize / 8 + 1..);
        }
        rest = behind;
    }
    let quote = rest.iter().position(|byte| *byte == b'"')?;
    Some(&rest[quote + 1..])
}

/// Sets the highest bit of the lowest byte that is a quote, and perhaps of bytes above it; zero if none is.
#[inline]
fn quotes_in(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let zero_where_quote = word ^ (ONES * b'"' as u64);
    zero_where_quote.wrapping_sub(ONES) & !zero_where_quote & (ONES << 7)
}

/// A number without an exponent. If an exponent follows, or more digits follow a zero, then what stands behind the number is
/// neither a comma nor an end.
#[inline]
fn skip_number(number: &[u8]) -> Option<&[u8]> {
    let whole = match number {
        [b'-', whole @ ..] => whole,
        whole => whole,
    };
    let rest = match whole {
        [b'0', rest @ ..] => rest,
        _ => skip_digits(whole)?,
    };
    match rest {
        [b'.', fraction @ ..] => skip_digits(fraction),
        _ => Some(rest),
    }
}

/// At least one digit.
#[inline]
fn skip_digits(digits: &[u8]) -> Option<&[u8]> {
    let [b'0'..=b'9', rest @ ..] = digits else { return None };
    let mut rest = rest;
    while let [b'0'..=b'9', behind @ ..] = rest {
        rest = behind;
    }
    Some(rest)
}

#[inline(never)]
fn skip_spaces(mut rest: &[u8]) -> &[u8] {
    while let [b' ', behind @ ..] = rest {
        rest = behind;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_first_quote() {
        for length in 0..40 {
            for behind in 0..20 {
                let mut bytes = vec![b'a'; length];
                assert_eq!(close_string(&bytes), None, "{length}");
                bytes.push(b'"');
                bytes.resize(length + 1 + behind, b'"');
                assert_eq!(close_string(&bytes).map(<[u8]>::len), Some(behind), "{length} {behind}");
            }
        }
    }

    #[test]
    fn every_string_field_is_known_up_to_its_quote() {
        let found = |text: &str| string_field(text.as_bytes()).map(|(field, rest)| (field, rest.len()));
        for (index, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, index);
            let name = field.name();
            assert_eq!(Field::of(name.as_bytes()), Some(field));
            let expected = (!matches!(field, Field::Version | Field::Test)).then_some(field);
            assert_eq!(found(&format!("{name}\":\"")), expected.map(|field| (field, 1)), "{name}");
            assert_eq!(found(&format!("{name}\":\"a\"")), expected.map(|field| (field, 3)), "{name}");
            for other in [format!("{name}s\":\"1"), format!("{}\":\"", &name[1..]), format!("{name}\":1")] {
                assert_eq!(found(&other), None, "{other}");
            }
        }
    }

    #[test]
    fn numbers_end_before_what_is_unusual() {
        for (text, expected) in [
            ("0", Some("")),
            ("1,", Some(",")),
            ("-0.50}", Some("}")),
            ("120.0 ", Some(" ")),
            ("0x", Some("x")),
            ("", None),
            ("-", None),
            ("01", Some("1")),
            ("-00.5", Some("0.5")),
            ("1.", None),
            ("1.x", None),
            ("1e5", Some("e5")),
            ("1.5E5", Some("E5")),
        ] {
            assert_eq!(skip_number(text.as_bytes()), expected.map(str::as_bytes), "{text}");
        }
    }
}
