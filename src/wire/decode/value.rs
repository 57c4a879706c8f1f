//! One JSON value, read from its own text as what it should be.

use std::borrow::Cow;

use super::amount::{self, Fault};
use super::time::from_rfc3339;
use crate::domain::money::{AMOUNT_LIMIT, Currency};
use crate::domain::time::Time;
use crate::wire::reason::{Reason, Refusal};

/// Ids are at most this many bytes long.
pub const ID_BYTES_MAX: usize = 512;

/// A JSON value, neither absent nor null.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    /// Valid JSON without white space around it.
    pub(super) text: &'a str,
    pub(super) escapes: Escapes,
}

/// Whether strings of a record may hold escapes. Looked for once, over the whole record: that is cheaper than in every string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Escapes {
    Nowhere,
    Somewhere,
}

impl Escapes {
    pub(super) fn of(record: &[u8]) -> Self {
        if memchr::memchr(b'\\', record).is_none() { Self::Nowhere } else { Self::Somewhere }
    }
}

enum Kind {
    Bool,
    Number,
    String,
    Container,
}

impl<'a> Value<'a> {
    /// A string that identifies something: 1 to [`ID_BYTES_MAX`] bytes.
    pub(super) fn id(self, name: &'static str) -> Result<Cow<'a, str>, Refusal> {
        let id = self.string(name)?;
        match id.len() {
            0 => Err(refuse(Reason::InvalidField, name, "is empty")),
            1..=ID_BYTES_MAX => Ok(id),
            _ => Err(refuse(Reason::OutOfRange, name, "is longer than 512 bytes")),
        }
    }

    /// An RFC 3339 string, or a number of milliseconds since 1970.
    pub(super) fn time(self, name: &'static str) -> Result<Time, Refusal> {
        let time = match self.kind() {
            Kind::String => from_rfc3339(&self.string(name)?),
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
        time.ok_or_else(|| {
            refuse(
                Reason::InvalidTime,
                name,
                "is not an RFC 3339 time with an offset, or milliseconds, from 1970 to 9999",
            )
        })
    }

    /// The code of a currency.
    pub(super) fn currency(self, name: &'static str) -> Result<Currency, Refusal> {
        Currency::from_code(self.string(name)?.as_bytes())
            .ok_or_else(|| refuse(Reason::UnknownCurrency, name, "is not an ISO 4217 code"))
    }

    /// Whether this is the string of these three letters, written plainly.
    pub(super) fn is_code(self, [a, b, c]: [u8; 3]) -> bool {
        self.text.as_bytes() == [b'"', a, b, c, b'"']
    }

    /// Money in minor units of a currency with so many digits: 0 to [`AMOUNT_LIMIT`], exclusive.
    pub(super) fn amount(self, name: &'static str, digits: u8) -> Result<i64, Refusal> {
        let minor = match self.kind() {
            Kind::String => amount::from_string(&self.string(name)?, digits, AMOUNT_LIMIT),
            Kind::Number => amount::from_json_number(self.text, digits, AMOUNT_LIMIT),
            Kind::Bool | Kind::Container => {
                return Err(refuse(Reason::InvalidType, name, "is neither a string nor a number"));
            }
        };
        minor.map_err(|fault| match fault {
            Fault::Form => refuse(Reason::InvalidAmount, name, "is not a decimal number"),
            Fault::Digits => refuse(Reason::InvalidAmount, name, "has more digits than its currency"),
            Fault::Negative => refuse(Reason::OutOfRange, name, "is negative"),
            Fault::TooLarge => refuse(Reason::OutOfRange, name, "is 2^47 minor units or more"),
        })
    }

    /// A whole number from 0 to 2³²−1.
    pub(super) fn version(self, name: &'static str) -> Result<u32, Refusal> {
        let whole = match self.kind() {
            Kind::Number => amount::whole_from_json_number(self.text, 1 << 32),
            Kind::Bool | Kind::String | Kind::Container => Err(Fault::Form),
        };
        whole.map(|whole| u32::try_from(whole).expect("below the limit")).map_err(|fault| match fault {
            Fault::Form | Fault::Digits => refuse(Reason::InvalidType, name, "is not a whole number"),
            Fault::Negative | Fault::TooLarge => {
                refuse(Reason::OutOfRange, name, "is not from 0 to 4294967295")
            }
        })
    }

    pub(super) fn bool(self, name: &'static str) -> Result<bool, Refusal> {
        match self.kind() {
            Kind::Bool => Ok(self.text == "true"),
            Kind::Number | Kind::String | Kind::Container => {
                Err(refuse(Reason::InvalidType, name, "is neither true nor false"))
            }
        }
    }

    /// The content of a string; borrowed unless it holds escapes.
    fn string(self, name: &'static str) -> Result<Cow<'a, str>, Refusal> {
        let Some(content) = self.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Err(refuse(Reason::InvalidType, name, "is not a string"));
        };
        if self.escapes == Escapes::Nowhere || !content.as_bytes().contains(&b'\\') {
            return Ok(Cow::Borrowed(content));
        }
        // What escapes stand for was not looked at on the first pass: half of a surrogate pair is found only now.
        serde_json::from_str(self.text)
            .map(Cow::Owned)
            .map_err(|_| refuse(Reason::MalformedJson, name, "holds an invalid escape"))
    }

    fn kind(self) -> Kind {
        match self.text.as_bytes().first() {
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'[' | b'{') => Kind::Container,
            Some(_) | None => Kind::Number,
        }
    }
}

pub(super) fn refuse(reason: Reason, name: &'static str, what: &'static str) -> Refusal {
    Refusal::new(reason, format!("{name} {what}"))
}
