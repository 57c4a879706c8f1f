//! Why a record is refused: the closed list of dead-letter reasons.

use std::borrow::Cow;

/// Why a record was not accepted. `docs/RECORDS.md` explains each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    NullValue,
    InvalidUtf8,
    MalformedJson,
    TooDeep,
    TooLarge,
    MissingField,
    InvalidType,
    InvalidField,
    InvalidEvent,
    InvalidTime,
    InvalidAmount,
    OutOfRange,
    UnknownCurrency,
    UnknownStore,
    KeyMismatch,
    WrongPartition,
    TooOld,
    InFuture,
    Erased,
    Unmapped,
}

impl Reason {
    pub const ALL: [Self; 20] = [
        Self::NullValue,
        Self::InvalidUtf8,
        Self::MalformedJson,
        Self::TooDeep,
        Self::TooLarge,
        Self::MissingField,
        Self::InvalidType,
        Self::InvalidField,
        Self::InvalidEvent,
        Self::InvalidTime,
        Self::InvalidAmount,
        Self::OutOfRange,
        Self::UnknownCurrency,
        Self::UnknownStore,
        Self::KeyMismatch,
        Self::WrongPartition,
        Self::TooOld,
        Self::InFuture,
        Self::Erased,
        Self::Unmapped,
    ];

    /// The name in records and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NullValue => "null_value",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::MalformedJson => "malformed_json",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::MissingField => "missing_field",
            Self::InvalidType => "invalid_type",
            Self::InvalidField => "invalid_field",
            Self::InvalidEvent => "invalid_event",
            Self::InvalidTime => "invalid_time",
            Self::InvalidAmount => "invalid_amount",
            Self::OutOfRange => "out_of_range",
            Self::UnknownCurrency => "unknown_currency",
            Self::UnknownStore => "unknown_store",
            Self::KeyMismatch => "key_mismatch",
            Self::WrongPartition => "wrong_partition",
            Self::TooOld => "too_old",
            Self::InFuture => "in_future",
            Self::Erased => "erased",
            Self::Unmapped => "unmapped",
        }
    }

    /// What to do about records that are refused for it: how a sentence begins.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NullValue => {
                "Mend the producer: no input knows null values, customers are deleted by an erasure"
            }
            Self::InvalidUtf8
            | Self::MalformedJson
            | Self::TooDeep
            | Self::MissingField
            | Self::InvalidType
            | Self::InvalidField
            | Self::InvalidEvent
            | Self::InvalidTime
            | Self::InvalidAmount
            | Self::OutOfRange => "Mend the producer: docs/RECORDS.md says what each record must be like",
            Self::TooLarge => "Have the producer send less, or raise `records.max_bytes`",
            Self::UnknownCurrency => "Add the currency's rate to `[rates]`, or its digits to `[currencies]`",
            Self::UnknownStore => "Add the store to `[stores]`",
            Self::KeyMismatch => {
                "Mend the producer's record keys: the key must be there and be the customer's id, as `key` configures it"
            }
            Self::WrongPartition => {
                "Mend the producer's partitioner: it must be murmur2, as of Java clients (librdkafka: \
                 partitioner=murmur2_random), over as many partitions as the topic has"
            }
            Self::TooOld => "Load history before the first start, or raise `records.lateness`",
            Self::InFuture => "Mend the producer's clock, or this machine's",
            Self::Erased => "Nothing needs to be done: these customers were erased",
            Self::Unmapped => {
                "Extend the map, or keep such records off its topics; `maps try` shows what it makes of one"
            }
        }
    }

    /// The position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A record that was not accepted: why, and what a person should look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub reason: Reason,
    /// Names the field and what was expected of it; never data of the record.
    pub detail: Cow<'static, str>,
}

impl Refusal {
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_their_index_under_distinct_names() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index, "{}", reason.name());
            let holders = Reason::ALL.iter().filter(|other| other.name() == reason.name());
            assert_eq!(holders.count(), 1, "{}", reason.name());
        }
    }
}
