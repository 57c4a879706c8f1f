//! The fields of output records, each kind of record as one list: name, type, value and meaning.
//!
//! The list is the one place where a field is added. `record!` makes the writer from it, and the list itself stays readable: trials
//! require the schemas and the tables of `docs/RECORDS.md` to hold the same fields with the same types and meanings.

use std::marker::PhantomData;

use super::text::{Text, Word};
use crate::domain::daily_count::month::Month as CalendarMonth;
use crate::domain::lapse::model::ModelVersion as Version64;
use crate::domain::segments::names::{Segment, ValueMatrix};
use crate::domain::segments::published::CutsVersion as CutsVersion64;
use crate::domain::signals::kind::{CauseKind, SignalType};
use crate::domain::signals::rule::RuleAction;
use crate::domain::signals::signal::{ActiveKind, CustomerType, RetractedKind, State};
use crate::domain::values::event::VERSION_LIMIT;
use crate::domain::values::money::{Currency as CurrencyCode, ShopAmount};
use crate::domain::values::number::Ratio;
use crate::domain::values::time::{Span, Time as Instant};
use crate::wire::hash::SignalId;
use crate::wire::reason::Reason;
use crate::wire::remark::{InputRemark, Remark};

/// One field of an output record.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    /// A sentence: its description in the schema.
    pub about: &'static str,
}

/// What a field holds, as the schema says it.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// What the schema defines under this name: `money`, `time`.
    Defined(&'static str),
    /// A whole number from 0 on.
    Count,
    /// A whole number from 1 on.
    From1,
    /// A whole number from 0 to this.
    UpTo(u64),
    /// A whole number from the first to the second.
    Between(u64, u64),
    Number,
    /// A number from 0 on.
    Positive,
    Flag,
    /// One of these strings.
    Names(&'static [&'static str]),
    Text,
    /// A string of this pattern.
    Pattern(&'static str),
    Object(&'static [Field]),
    /// An object that depends on the type of the signal.
    Data,
    /// Any object.
    AnyObject,
    /// Objects by currency.
    ByCurrency(&'static Self),
    /// Counts by these names; without any, by names of which later versions may have more.
    Counts(&'static [&'static str]),
    /// Any number of these.
    List(&'static Self),
    /// This or null.
    Nullable(&'static Self),
    /// Present only where a part of the program is in use that has it.
    Optional(&'static Self),
}

/// A type of fields: what it is in the schema, and how a value is written.
pub(super) trait FieldType {
    type Value<'v>;
    const SHAPE: Shape;

    /// `digits` is how many digits money has after the point.
    fn put<'o>(text: Text<'o>, value: Self::Value<'_>, digits: u8) -> Text<'o>;
}

/// The bytes of literals, one after the other.
macro_rules! bytes_of {
    ($($part:literal),+) => {{
        const TEXT: &str = concat!($($part),+);
        const BYTES: &[u8; TEXT.len()] = TEXT.as_bytes().first_chunk().expect("as long as itself");
        BYTES
    }};
}

/// A type of objects from the list of its fields: above each its meaning, then its name, its type and where its value comes from.
macro_rules! record {
    (
        $(#[doc = $record_about:literal])+
        $record:ident($value:ident: $value_type:ty) {
            $(#[doc = $first_about:literal])+
            $first_name:literal: $first_type:ty = $first_value:expr;
            $($(#[doc = $about:literal])+ $name:literal: $type:ty = $field_value:expr;)*
        }
    ) => {
        $(#[doc = $record_about])+
        pub(super) struct $record;

        impl $record {
            pub(super) const FIELDS: &'static [$crate::wire::encode::fields::Field] = &[
                $crate::wire::encode::fields::Field {
                    name: $first_name,
                    shape: <$first_type as $crate::wire::encode::fields::FieldType>::SHAPE,
                    about: concat!($($first_about),+).trim_ascii_start(),
                },
                $($crate::wire::encode::fields::Field {
                    name: $name,
                    shape: <$type as $crate::wire::encode::fields::FieldType>::SHAPE,
                    about: concat!($($about),+).trim_ascii_start(),
                },)*
            ];

            /// All fields, but not the bracket behind the last one.
            #[inline]
            pub(super) fn put_fields<'o>(
                text: $crate::wire::encode::text::Text<'o>,
                $value: <Self as $crate::wire::encode::fields::FieldType>::Value<'_>,
                digits: u8,
            ) -> $crate::wire::encode::text::Text<'o> {
                use $crate::wire::encode::fields::{FieldType, bytes_of};
                let text = text.put(bytes_of!("{\"", $first_name, "\":"));
                let text = <$first_type as FieldType>::put(text, $first_value, digits);
                $(
                    let text = text.put(bytes_of!(",\"", $name, "\":"));
                    let text = <$type as FieldType>::put(text, $field_value, digits);
                )*
                text
            }
        }

        impl $crate::wire::encode::fields::FieldType for $record {
            type Value<'v> = $value_type;
            const SHAPE: $crate::wire::encode::fields::Shape =
                $crate::wire::encode::fields::Shape::Object(Self::FIELDS);

            #[inline]
            fn put<'o>(
                text: $crate::wire::encode::text::Text<'o>,
                value: Self::Value<'_>,
                digits: u8,
            ) -> $crate::wire::encode::text::Text<'o> {
                Self::put_fields(text, value, digits).put(b"}")
            }
        }
    };
}

pub(super) use {bytes_of, record};

/// A type of fields of which a value is written by one function of [`Text`].
macro_rules! field_types {
    ($($(#[doc = $about:literal])* $name:ident($value:ty) = $shape:expr, |$text:ident, $of:ident, $digits:pat_param| $put:expr;)+) => {
        $(
            $(#[doc = $about])*
            pub(super) struct $name;

            impl FieldType for $name {
                type Value<'v> = $value;
                const SHAPE: Shape = $shape;

                #[inline]
                fn put<'o>($text: Text<'o>, $of: Self::Value<'_>, $digits: u8) -> Text<'o> {
                    $put
                }
            }
        )+
    };
}

field_types! {
    Id(&'v [u8]) = Shape::Defined("id"), |text, id, _| text.string(id);
    StoreId(&'v [u8]) = Shape::Defined("store_id"), |text, id, _| text.string(id);
    Id128(SignalId) = Shape::Defined("signal_id"), |text, id, _| text.put(b"\"").put(&id.to_hex()).put(b"\"");
    Time(Instant) = Shape::Defined("time"), |text, time, _| text.time(time);
    Currency(CurrencyCode) = Shape::Defined("currency"), |text, currency, _| {
        let [a, b, c] = currency.code();
        text.put(&[b'"', a, b, c, b'"'])
    };
    Money(ShopAmount) = Shape::Defined("money"), |text, amount, digits| text.money(amount.minor(), digits);
    SignedMoney(ShopAmount) = Shape::Defined("signed_money"), |text, amount, digits| text.money(amount.minor(), digits);
    MeanMoney(Ratio) = Shape::Defined("money"), |text, mean, digits| text.mean_money(mean, digits);
    SignedMeanMoney(Ratio) = Shape::Defined("signed_money"), |text, mean, digits| text.mean_money(mean, digits);
    Days(Span) = Shape::Defined("days"), |text, span, _| text.days(span);
    SignedDays(Span) = Shape::Number, |text, span, _| text.days(span);
    /// Days that are a ratio, such as a mean.
    MeanDays(Ratio) = Shape::Defined("days"), |text, days, _| text.ratio(days);
    Share(Ratio) = Shape::Defined("ratio"), |text, ratio, _| text.ratio(ratio);
    SignedShare(Ratio) = Shape::Number, |text, ratio, _| text.ratio(ratio);
    Count(u64) = Shape::Count, |text, count, _| text.integer(count);
    Score(u8) = Shape::Between(1, 5), |text, score, _| text.integer(score.into());
    CutsVersion(CutsVersion64) = Shape::Pattern("^[0-9a-f]{16}$"), |text, version, _| {
        text.put(b"\"").slice(version.to_string().as_bytes()).put(b"\"")
    };
    Version(u64) = Shape::UpTo(VERSION_LIMIT - 1), |text, version, _| text.integer(version);
    Flag(bool) = Shape::Flag, |text, flag, _| text.flag(flag);
    /// A string that is no id.
    Words(&'v [u8]) = Shape::Text, |text, words, _| text.string(words);
    Base64(&'v str) = Shape::Pattern(BASE64), |text, bytes, _| text.put(b"\"").slice(bytes.as_bytes()).put(b"\"");
    ModelVersion(Version64) = Shape::Pattern("^(prior|[0-9a-f]{16})$"), |text, version, _| {
        text.put(b"\"").slice(version.to_string().as_bytes()).put(b"\"")
    };
    RuleName(&'v [u8]) = Shape::Pattern("^[a-z0-9-]{1,40}$"), |text, name, _| text.string(name);
    TierName(&'v [u8]) = Shape::Pattern("^[a-z0-9-]{1,40}$"), |text, name, _| text.string(name);
    /// An object that is JSON already.
    JsonObject(&'v str) = Shape::AnyObject, |text, json, _| text.slice(json.as_bytes());
    LineNumber(u64) = Shape::From1, |text, number, _| text.integer(number);
    Rate(u64) = Shape::Positive, |text, rate, _| text.integer(rate);
    Seconds(f64) = Shape::Positive, |text, seconds, _| text.slice(seconds.to_string().as_bytes());
}

/// A calendar month.
pub(super) struct Month;

impl FieldType for Month {
    type Value<'v> = CalendarMonth;
    const SHAPE: Shape = Shape::Pattern("^[0-9]{4}-(0[1-9]|1[0-2])$");

    fn put<'o>(text: Text<'o>, month: CalendarMonth, _: u8) -> Text<'o> {
        text.put(b"\"").slice(month.to_string().as_bytes()).put(b"\"")
    }
}

/// Values, one behind the other.
pub(super) struct List<T, V>(PhantomData<(T, V)>);

impl<V: Copy + 'static, T> FieldType for List<T, V>
where
    T: for<'v> FieldType<Value<'v> = V>,
{
    type Value<'v> = &'v [V];
    const SHAPE: Shape = Shape::List(&<T as FieldType>::SHAPE);

    fn put<'o>(text: Text<'o>, values: &[V], digits: u8) -> Text<'o> {
        put_list(text, values, |text, value| T::put(text, *value, digits))
    }
}

/// Objects, one behind the other.
pub(super) struct Objects<T, V>(PhantomData<(T, V)>);

impl<V: 'static, T> FieldType for Objects<T, V>
where
    T: for<'v> FieldType<Value<'v> = &'v V>,
{
    type Value<'v> = &'v [V];
    const SHAPE: Shape = Shape::List(&<T as FieldType>::SHAPE);

    fn put<'o>(text: Text<'o>, values: &[V], digits: u8) -> Text<'o> {
        put_list(text, values, |text, value| T::put(text, value, digits))
    }
}

pub(super) fn put_list<'o, V>(
    text: Text<'o>,
    values: &[V],
    put: impl Fn(Text<'o>, &V) -> Text<'o>,
) -> Text<'o> {
    let text = text.put(b"[");
    let text = values
        .iter()
        .enumerate()
        .fold(text, |text, (index, value)| put(if index > 0 { text.put(b",") } else { text }, value));
    text.put(b"]")
}

const BASE64: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";

/// A value or null.
pub(super) struct Nullable<T>(PhantomData<T>);

impl<T: FieldType> FieldType for Nullable<T> {
    type Value<'v> = Option<T::Value<'v>>;
    const SHAPE: Shape = Shape::Nullable(&T::SHAPE);

    #[inline]
    fn put<'o>(text: Text<'o>, value: Self::Value<'_>, digits: u8) -> Text<'o> {
        text.optional(value, |text, value| T::put(text, value, digits))
    }
}

/// Objects by currency, each with the digits of its currency.
pub(super) struct ByCurrency<T, V>(PhantomData<(T, V)>);

impl<V: 'static, T> FieldType for ByCurrency<T, V>
where
    T: for<'v> FieldType<Value<'v> = &'v V>,
{
    type Value<'v> = &'v [(CurrencyCode, &'v V)];
    const SHAPE: Shape = Shape::ByCurrency(&<T as FieldType>::SHAPE);

    fn put<'o>(text: Text<'o>, values: Self::Value<'_>, digits: u8) -> Text<'o> {
        let mut text = text.put(b"{");
        for (index, (currency, value)) in values.iter().enumerate() {
            let name = if index > 0 { text.put(b",") } else { text };
            text = T::put(Currency::put(name, *currency, digits).put(b":"), value, currency.digits());
        }
        text.put(b"}")
    }
}

/// Counts by the names of a closed list; names without any are left out.
pub(super) struct Counts<T>(PhantomData<T>);

impl<T: Name> FieldType for Counts<T> {
    type Value<'v> = &'v [u64];
    const SHAPE: Shape = Shape::Counts(T::NAMES);

    fn put<'o>(text: Text<'o>, counts: &[u64], _: u8) -> Text<'o> {
        let mut text = text.put(b"{");
        let mut separator: &[u8] = b"\"";
        for (name, count) in T::NAMES.iter().zip(counts).filter(|(_, count)| **count > 0) {
            text = text.slice(separator).slice(name.as_bytes()).put(b"\":").integer(*count);
            separator = b",\"";
        }
        text.put(b"}")
    }
}

/// Counts by the names of a list that grows; names without any are left out.
pub(super) struct OpenCounts<T>(PhantomData<T>);

impl<T: Name> FieldType for OpenCounts<T> {
    type Value<'v> = &'v [u64];
    const SHAPE: Shape = Shape::Counts(&[]);

    fn put<'o>(text: Text<'o>, counts: &[u64], digits: u8) -> Text<'o> {
        Counts::<T>::put(text, counts, digits)
    }
}

/// A name of a closed list.
pub(super) struct Named<T>(PhantomData<T>);

/// An enum of which each value has a name.
pub(super) trait Name {
    const NAMES: &'static [&'static str];
}

/// One whose names are short enough to be written as words.
pub(super) trait ShortName: Name + Copy {
    fn word(self) -> &'static Word;
}

impl<T: ShortName> FieldType for Named<T> {
    type Value<'v> = T;
    const SHAPE: Shape = Shape::Names(T::NAMES);

    #[inline]
    fn put<'o>(text: Text<'o>, value: T, _: u8) -> Text<'o> {
        text.word(value.word())
    }
}

/// The state that silence leads to.
pub(super) struct NextState;

impl FieldType for NextState {
    type Value<'v> = State;
    const SHAPE: Shape = Shape::Names(&[State::AtRisk.name(), State::Lapsed.name()]);

    #[inline]
    fn put<'o>(text: Text<'o>, state: State, _: u8) -> Text<'o> {
        text.word(state.word())
    }
}

macro_rules! names {
    ($($named:ty),+) => {$(
        impl Name for $named {
            const NAMES: &'static [&'static str] = &{
                let mut names = [""; <$named>::ALL.len()];
                let mut index = 0;
                while index < names.len() {
                    names[index] = <$named>::ALL[index].name();
                    index += 1;
                }
                names
            };
        }
    )+};
}

macro_rules! short_names {
    ($($named:ty),+) => {$(
        impl ShortName for $named {
            #[inline]
            fn word(self) -> &'static Word {
                static WORDS: [Word; <$named>::ALL.len()] = {
                    let mut words = [Word::quoted(""); <$named>::ALL.len()];
                    let mut index = 0;
                    while index < words.len() {
                        words[index] = Word::quoted(<$named>::ALL[index].name());
                        index += 1;
                    }
                    words
                };
                &WORDS[self as usize]
            }
        }
    )+};
}

names!(State, ActiveKind, CustomerType, SignalType, CauseKind, RetractedKind, Reason, Remark, InputRemark);
names!(Segment, ValueMatrix, RuleAction);
short_names!(
    State,
    ActiveKind,
    CustomerType,
    SignalType,
    CauseKind,
    RetractedKind,
    Reason,
    Segment,
    ValueMatrix,
    RuleAction
);
