//! The usual record, read in one pass: compact JSON without escapes, of the fields that are known and few that are not.
//!
//! Whatever is unusual is left to the parser of `object`, mistakes included: what is accepted here must be accepted there, with
//! the same fields. A trial holds both against each other.

use super::object::Field;
use super::value::{Escapes, Value};
use crate::domain::event::Goods;
use crate::wire::hash::hash;

/// Objects and arrays inside each other. What is deeper is not usual.
const DEPTH_MAX: usize = 8;

/// The record is not usual.
pub(super) struct Unusual;

type Scanned<T = ()> = Result<T, Unusual>;

/// What is found, in the order in which it stands there.
pub(super) trait Sink<'a> {
    /// A field with the text of its value. Fails if it was there before.
    fn field(&mut self, field: Field, text: &'a str) -> Scanned;
    /// What the items say. Fails if they were there before.
    fn goods(&mut self, goods: Goods) -> Scanned;
}

/// Reads a whole record, at most `depth_max` deep. `text` must hold no escapes.
pub(super) fn record<'a>(text: &'a str, depth_max: usize, sink: &mut impl Sink<'a>) -> Scanned {
    if holds_control_characters(text.as_bytes()) || depth_max < DEPTH_MAX {
        return Err(Unusual);
    }
    let mut scanner = Scanner { text, at: 0 };
    scanner.record(sink)?;
    if scanner.at == text.len() { Ok(()) } else { Err(Unusual) }
}

/// Over the whole record, because that vectorises: strings may not hold any, and between values they are white space, which is unusual.
fn holds_control_characters(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, byte| found | (*byte < b' '))
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn record(&mut self, sink: &mut impl Sink<'a>) -> Scanned {
        self.members(|scanner, name| {
            if name == "items" {
                return sink.goods(scanner.items()?);
            }
            let start = scanner.at;
            scanner.skip_value(1)?;
            match Field::of(name) {
                Some(field) => sink.field(field, &scanner.text[start..scanner.at]),
                None => Ok(()),
            }
        })
    }

    /// The lines of an order.
    fn items(&mut self) -> Scanned<Goods> {
        let mut goods = Goods::Unknown;
        self.elements(|scanner| {
            let mut sku = None;
            scanner.members(|scanner, name| {
                let start = scanner.at;
                scanner.skip_value(3)?;
                if name != "sku" {
                    return Ok(());
                }
                match sku.replace(&scanner.text[start..scanner.at]) {
                    None => Ok(()),
                    Some(_) => Err(Unusual),
                }
            })?;
            if let Some(text) = sku.filter(|text| *text != "null") {
                let sku = Value { text, escapes: Escapes::Nowhere };
                let id = sku.id("sku").map_err(|_| Unusual)?;
                goods = goods.and(Goods::One(hash(id.as_bytes())));
            }
            Ok(())
        })?;
        Ok(goods)
    }

    /// An object; `member` is called behind each colon and has to take the value.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Scanned) -> Scanned {
        self.expect(b'{')?;
        self.skip_spaces();
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.skip_spaces();
            self.expect(b':')?;
            self.skip_spaces();
            member(self, name)?;
            if !self.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    /// An array; `element` is called at each element and has to take it.
    fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Scanned) -> Scanned {
        self.expect(b'[')?;
        self.skip_spaces();
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    /// Takes a comma, or the end of an object or array. Whether it goes on.
    fn goes_on(&mut self, end: u8) -> Scanned<bool> {
        self.skip_spaces();
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => {
                self.skip_spaces();
                Ok(true)
            }
            _ if byte == end => Ok(false),
            _ => Err(Unusual),
        }
    }

    /// Any value, `depth` objects and arrays deep.
    fn skip_value(&mut self, depth: usize) -> Scanned {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'{' if depth < DEPTH_MAX => self.members(|scanner, _| scanner.skip_value(depth + 1)),
            b'[' if depth < DEPTH_MAX => self.elements(|scanner| scanner.skip_value(depth + 1)),
            _ => Err(Unusual),
        }
    }

    /// The content of a string. Eight bytes at a time: most strings are so short that a call for each would cost more.
    fn string(&mut self) -> Scanned<&'a str> {
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        while let Some((word, _)) = bytes[self.at..].split_first_chunk::<8>() {
            let quotes = quotes_in(u64::from_le_bytes(*word));
            if quotes != 0 {
                self.at += (quotes.trailing_zeros() / 8) as usize;
                return Ok(self.close_string(start));
            }
            self.at += 8;
        }
        while self.peek()? != b'"' {
            self.at += 1;
        }
        Ok(self.close_string(start))
    }

    fn close_string(&mut self, start: usize) -> &'a str {
        let content = &self.text[start..self.at];
        self.at += 1;
        content
    }

    /// A number without an exponent.
    fn number(&mut self) -> Scanned {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let first = self.peek()?;
        let whole = self.digits()?;
        if first == b'0' && whole > 1 {
            return Err(Unusual);
        }
        if self.text.as_bytes().get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        match self.text.as_bytes().get(self.at) {
            Some(b'e' | b'E') => Err(Unusual),
            Some(_) | None => Ok(()),
        }
    }

    /// At least one digit; how many.
    fn digits(&mut self) -> Scanned<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Unusual) } else { Ok(count) }
    }

    fn literal(&mut self, literal: &[u8]) -> Scanned {
        if !self.text.as_bytes()[self.at..].starts_with(literal) {
            return Err(Unusual);
        }
        self.at += literal.len();
        Ok(())
    }

    fn skip_spaces(&mut self) {
        while self.text.as_bytes().get(self.at) == Some(&b' ') {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Scanned {
        if self.peek()? != byte {
            return Err(Unusual);
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Scanned<u8> {
        self.text.as_bytes().get(self.at).copied().ok_or(Unusual)
    }
}

/// The highest bit of the lowest byte that is a quote; zero if none is. Bits above the first are not to be trusted.
fn quotes_in(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let zero_where_quote = word ^ (ONES * b'"' as u64);
    zero_where_quote.wrapping_sub(ONES) & !zero_where_quote & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quote_of_a_word_is_found() {
        for place in 0..8 {
            for other in [b'!', b'#', b'a', 0x80, 0xa2, 0xff, b'"'] {
                let mut word = [b'x'; 8];
                word[place] = b'"';
                word[place + 1..].fill(other);
                let quotes = quotes_in(u64::from_le_bytes(word));
                assert_eq!(quotes.trailing_zeros() / 8, place as u32, "{place} {other}");
            }
        }
        for other in [b'!', b'#', 0, 0x80, 0xa2, 0xff] {
            assert_eq!(quotes_in(u64::from_le_bytes([other; 8])), 0, "{other}");
        }
    }
}
