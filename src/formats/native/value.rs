//! One JSON value, read from its own text as what it should be.

use std::borrow::Cow;

use super::amount::{self, Fault};
use super::characters::Characters;
use super::time;
use crate::domain::values::event::VERSION_LIMIT;
use crate::domain::values::money::{AMOUNT_LIMIT, Currency, SentAmount};
use crate::domain::values::time::Time;
use crate::wire::reason::{Reason, Refusal};

/// Ids are at most this many bytes long.
pub const ID_BYTES_MAX: usize = 512;

/// A JSON value, neither absent nor null.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    /// Valid JSON without white space around it.
    pub(super) text: &'a [u8],
    pub(super) characters: Characters,
}

enum Kind {
    Bool,
    Number,
    String,
    Container,
}

impl<'a> Value<'a> {
    /// What identifies something: a string of at most [`ID_BYTES_MAX`] bytes, or a whole number, which is read as its digits. An
    /// empty string identifies nothing: `None`.
    #[inline(always)]
    pub(super) fn id(self, name: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
        match self.plain_id().map(std::str::from_utf8) {
            Some(Ok(id)) => Ok(Some(Cow::Borrowed(id))),
            Some(Err(_)) | None => self.id_in_general(name),
        }
    }

    /// The same for a caller that only compares it.
    #[inline(always)]
    pub(super) fn id_bytes(self, name: &'static str) -> Result<Option<Cow<'a, [u8]>>, Refusal> {
        match self.plain_id() {
            Some(id) => Ok(Some(Cow::Borrowed(id))),
            None => self.id_bytes_in_general(name),
        }
    }

    /// An id without escapes that is not empty.
    #[inline]
    fn plain_id(self) -> Option<&'a [u8]> {
        let id = self.plain_content()?;
        (1..=ID_BYTES_MAX).contains(&id.len()).then_some(id)
    }

    #[cold]
    fn id_in_general(self, name: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
        Ok(self.id_bytes_in_general(name)?.map(|id| match id {
            Cow::Borrowed(id) => Cow::Borrowed(std::str::from_utf8(id).expect(WAS_UTF_8)),
            Cow::Owned(id) => Cow::Owned(String::from_utf8(id).expect(WAS_UTF_8)),
        }))
    }

    #[cold]
    fn id_bytes_in_general(self, name: &'static str) -> Result<Option<Cow<'a, [u8]>>, Refusal> {
        let id = match self.kind() {
            Kind::String => self.content(name)?,
            // A fraction, an exponent or a sign would make a second spelling of the same id.
            Kind::Number if self.text.iter().all(u8::is_ascii_digit) => Cow::Borrowed(self.text),
            Kind::Number => {
                return Err(refuse(Reason::InvalidType, name, "is a number, but not of digits alone"));
            }
            Kind::Bool | Kind::Container => {
                return Err(refuse(Reason::InvalidType, name, "is neither a string nor a number"));
            }
        };
        match id.len() {
            0 => Ok(None),
            1..=ID_BYTES_MAX => Ok(Some(id)),
            _ => Err(refuse(Reason::OutOfRange, name, "is longer than 512 bytes")),
        }
    }

    /// A time with an offset, or a number of milliseconds since 1970.
    #[inline]
    pub(super) fn time(self, name: &'static str) -> Result<Time, Refusal> {
        match self.plain_content().and_then(time::from_bytes) {
            Some(time) => Ok(time),
            None => self.time_in_general(name),
        }
    }

    #[inline(never)]
    fn time_in_general(self, name: &'static str) -> Result<Time, Refusal> {
        let instant = match self.kind() {
            Kind::String => time::from_bytes(&self.content(name)?),
            Kind::Number => match amount::whole_from_json_number(self.text, Time::MAX.as_millis() + 1) {
                Ok(millis) => Time::from_millis(millis),
                Err(Fault::Negative | Fault::TooLarge) => None,
                Err(Fault::Form | Fault::Digits) => {
                    return Err(refuse(
                        Reason::InvalidType,
                        name,
                        "is a number, but not of whole milliseconds",
                    ));
                }
            },
            Kind::Bool | Kind::Container => {
                return Err(refuse(Reason::InvalidType, name, "is neither a string nor a number"));
            }
        };
        instant.ok_or_else(|| {
            refuse(
                Reason::InvalidTime,
                name,
                "is not an RFC 3339 time with an offset, or milliseconds, from 1970 to 9999",
            )
        })
    }

    /// The currency of a code in capitals or small letters, whether or not its digits are known.
    pub(super) fn currency(self, name: &'static str) -> Result<Currency, Refusal> {
        Currency::from_letters(&self.content(name)?)
            .ok_or_else(|| refuse(Reason::UnknownCurrency, name, "is not the three letters of a currency"))
    }

    /// Whether this is the string of these three letters, written plainly.
    pub(super) fn is_code(self, [a, b, c]: [u8; 3]) -> bool {
        self.text == [b'"', a, b, c, b'"']
    }

    /// Money in minor units of a currency with so many digits: 0 to [`AMOUNT_LIMIT`], exclusive.
    #[inline]
    pub(super) fn amount(self, name: &'static str, digits: u8) -> Result<SentAmount, Refusal> {
        match self.plain_content().map(|text| amount::from_string(text, digits, AMOUNT_LIMIT)) {
            Some(Ok(minor)) => Ok(SentAmount(minor)),
            Some(Err(_)) | None => self.amount_in_general(name, digits),
        }
    }

    #[inline(never)]
    fn amount_in_general(self, name: &'static str, digits: u8) -> Result<SentAmount, Refusal> {
        let minor = match self.kind() {
            Kind::String => amount::from_string(&self.content(name)?, digits, AMOUNT_LIMIT),
            Kind::Number => amount::from_json_number(self.text, digits, AMOUNT_LIMIT),
            Kind::Bool | Kind::Container => {
                return Err(refuse(Reason::InvalidType, name, "is neither a string nor a number"));
            }
        };
        minor.map(SentAmount).map_err(|fault| match fault {
            Fault::Form => refuse(Reason::InvalidAmount, name, "is not a decimal number"),
            Fault::Digits => refuse(Reason::InvalidAmount, name, "has more digits than its currency"),
            Fault::Negative => refuse(Reason::OutOfRange, name, "is negative"),
            Fault::TooLarge => refuse(Reason::OutOfRange, name, "is 2^47 minor units or more"),
        })
    }

    /// A whole number below [`VERSION_LIMIT`].
    pub(super) fn version(self, name: &'static str) -> Result<u64, Refusal> {
        let whole = match self.kind() {
            Kind::Number => amount::whole_from_json_number(self.text, VERSION_LIMIT as i64),
            Kind::Bool | Kind::String | Kind::Container => Err(Fault::Form),
        };
        whole.map(i64::unsigned_abs).map_err(|fault| match fault {
            Fault::Form | Fault::Digits => refuse(Reason::InvalidType, name, "is not a whole number"),
            Fault::Negative | Fault::TooLarge => {
                refuse(Reason::OutOfRange, name, "is not from 0 to 9007199254740991")
            }
        })
    }

    pub(super) fn bool(self, name: &'static str) -> Result<bool, Refusal> {
        match self.kind() {
            Kind::Bool => Ok(self.text == b"true"),
            Kind::Number | Kind::String | Kind::Container => {
                Err(refuse(Reason::InvalidType, name, "is neither true nor false"))
            }
        }
    }

    /// The content of a string if no string of the record holds escapes.
    #[inline]
    fn plain_content(self) -> Option<&'a [u8]> {
        match (self.characters, self.text) {
            (Characters::Unescaped, [b'"', content @ .., b'"']) => Some(content),
            (Characters::Unescaped | Characters::Any, _) => None,
        }
    }

    /// The content of a string; borrowed unless it holds escapes.
    fn content(self, name: &'static str) -> Result<Cow<'a, [u8]>, Refusal> {
        let [b'"', content @ .., b'"'] = self.text else {
            return Err(refuse(Reason::InvalidType, name, "is not a string"));
        };
        if self.characters == Characters::Unescaped || !content.contains(&b'\\') {
            return Ok(Cow::Borrowed(content));
        }
        // What escapes stand for was not looked at on the first pass: half of a surrogate pair is found only now.
        serde_json::from_slice(self.text)
            .map(|content: String| Cow::Owned(content.into_bytes()))
            .map_err(|_| refuse(Reason::MalformedJson, name, "holds an invalid escape"))
    }

    fn kind(self) -> Kind {
        match self.text.first() {
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'[' | b'{') => Kind::Container,
            Some(_) | None => Kind::Number,
        }
    }
}

/// Why no id is refused for its bytes.
const WAS_UTF_8: &str = "the whole record is UTF-8";

#[cold]
pub(super) fn refuse(reason: Reason, name: &'static str, what: &'static str) -> Refusal {
    Refusal::new(reason, format!("{name} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_reach_to_the_last_time() {
        let time = |text: &str| {
            let characters = Characters::of(text.as_bytes()).expect("a text");
            Value { text: text.as_bytes(), characters }.time("placed_at").map_err(|refusal| refusal.reason)
        };
        let last = Time::MAX.as_millis();
        assert_eq!(time(&last.to_string()), Ok(Time::MAX));
        assert_eq!(time(&(last + 1).to_string()), Err(Reason::InvalidTime));
        assert_eq!(time("0"), Ok(Time::MIN));
        assert_eq!(time("-1"), Err(Reason::InvalidTime));
        assert_eq!(time("1.5"), Err(Reason::InvalidType));
    }
}
