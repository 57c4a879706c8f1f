//! The filters that maps have beside those of jq. All are exact, and refuse what they cannot read; null stays null.

use std::borrow::Cow;

use chrono_tz::Tz;
use jaq_core::native::{Filter, bome, v};
use jaq_core::{Cv, RunPtr, ValXs};
use jaq_json::{Num, Val};

use super::amount::{Amount, Unusable};
use super::run::{Kind, Run};
use super::times;
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;
use crate::formats::order_lines::local_time::{Fault as TimeFault, TimeForm};
use crate::wire::reason::{Reason, Refusal};

/// Their names, for hints.
pub(super) const NAMES: [&str; 17] = [
    "id",
    "money_sum",
    "money_minus",
    "money_times",
    "money_negate",
    "money_at_least",
    "money_positive",
    "money_round",
    "minor_units",
    "decimal",
    "time",
    "unix_seconds",
    "unix_milliseconds",
    "within",
    "header",
    "hashed",
    "fromjson",
];

/// What a filter gives, or why it refuses its input: a reason, and what is wrong.
type Outcome = Result<Val, (Reason, Cow<'static, str>)>;

pub(super) fn funs() -> [Filter<RunPtr<Kind>>; 17] {
    [
        ("id", v(0), |cv| plain(cv, "id", |_, value| id(value))),
        ("money_sum", v(0), |cv| plain(cv, "money_sum", |_, list| money_sum(list))),
        ("money_minus", v(1), |cv| with(cv, "money_minus", |_, a, b| both(a, b, |a, b| a.plus(b.negated())))),
        ("money_times", v(1), |cv| with(cv, "money_times", |_, a, b| both(a, b, Amount::times))),
        ("money_at_least", v(1), |cv| with(cv, "money_at_least", |_, a, b| both(a, b, Amount::at_least))),
        ("money_negate", v(0), |cv| {
            plain(cv, "money_negate", |_, value| one(value, |amount| Ok(amount.negated())))
        }),
        ("money_positive", v(0), |cv| {
            plain(cv, "money_positive", |_, value| {
                Ok(Val::from(amount(value)?.is_some_and(Amount::is_positive)))
            })
        }),
        ("money_round", v(0), |cv| plain(cv, "money_round", |run, value| money_round(run, value, None))),
        ("money_round", v(1), |cv| {
            with(cv, "money_round", |run, value, code| money_round(run, value, Some(code)))
        }),
        ("minor_units", v(1), |cv| with(cv, "minor_units", minor_units)),
        ("decimal", v(2), |cv| with_two(cv, "decimal", |_, value, mark, group| decimal(value, mark, group))),
        ("time", v(2), |cv| with_two(cv, "time", |_, value, format, zone| time(value, format, zone))),
        ("unix_seconds", v(0), |cv| plain(cv, "unix_seconds", |_, value| unix(value, 1_000))),
        ("unix_milliseconds", v(0), |cv| plain(cv, "unix_milliseconds", |_, value| unix(value, 1))),
        ("within", v(2), |cv| with_two(cv, "within", |_, value, span, other| within(value, span, other))),
        ("header", v(1), |cv| with(cv, "header", |run, _, name| header(run, name))),
        ("hashed", v(0), |cv| plain(cv, "hashed", hashed)),
    ]
}

// === Calls ===

fn plain<'a>(cv: Cv<'a, Kind>, name: &str, filter: fn(&Run<'_>, &Val) -> Outcome) -> ValXs<'a, Val> {
    let run = cv.0.data();
    bome(filter(run, &cv.1).map_err(|fault| raise(run, name, fault)))
}

fn with<'a>(mut cv: Cv<'a, Kind>, name: &str, filter: fn(&Run<'_>, &Val, &Val) -> Outcome) -> ValXs<'a, Val> {
    let argument = cv.0.pop_var();
    let run = cv.0.data();
    bome(filter(run, &cv.1, &argument).map_err(|fault| raise(run, name, fault)))
}

fn with_two<'a>(
    mut cv: Cv<'a, Kind>,
    name: &str,
    filter: fn(&Run<'_>, &Val, &Val, &Val) -> Outcome,
) -> ValXs<'a, Val> {
    let second = cv.0.pop_var();
    let first = cv.0.pop_var();
    let run = cv.0.data();
    bome(filter(run, &cv.1, &first, &second).map_err(|fault| raise(run, name, fault)))
}

fn raise(run: &Run<'_>, name: &str, (reason, what): (Reason, Cow<'static, str>)) -> jaq_core::Error<Val> {
    run.raise(Refusal::new(reason, format!("{name}: {what}")))
}

fn text(value: &Val) -> Option<&str> {
    match value {
        Val::TStr(text) => std::str::from_utf8(text).ok(),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => None,
    }
}

fn refuse(reason: Reason, what: &'static str) -> Outcome {
    Err((reason, what.into()))
}

// === Ids and hashes ===

fn id(value: &Val) -> Outcome {
    let id = match value {
        Val::Null => return Ok(Val::Null),
        Val::TStr(_) => text(value).unwrap_or_default().trim().to_owned(),
        Val::Num(number @ (Num::Int(_) | Num::BigInt(_))) => number.to_string(),
        Val::Num(Num::Float(_) | Num::Dec(_)) => {
            return refuse(Reason::InvalidType, "a number with a point or an exponent is no id");
        }
        Val::Bool(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => {
            return refuse(Reason::InvalidType, "only a text or a whole number is an id");
        }
    };
    if id.starts_with('-') && matches!(value, Val::Num(_)) {
        return refuse(Reason::InvalidType, "a negative number is no id");
    }
    Ok(if id.is_empty() { Val::Null } else { Val::from(id) })
}

fn hashed(run: &Run<'_>, value: &Val) -> Outcome {
    if matches!(value, Val::Null) {
        return Ok(Val::Null);
    }
    let Some(text) = text(value) else {
        return refuse(Reason::InvalidType, "only texts are hashed");
    };
    let Some(key) = run.secret() else {
        return refuse(Reason::Unmapped, "no secret is configured; name a file in intake.secret_file");
    };
    Ok(Val::from(blake3::keyed_hash(key, text.as_bytes()).to_hex()[..32].to_owned()))
}

fn header(run: &Run<'_>, name: &Val) -> Outcome {
    let Some(name) = text(name) else {
        return refuse(Reason::Unmapped, "the name of a header is a text");
    };
    let found = run.meta.headers.iter().rev().find(|(header, _)| header.eq_ignore_ascii_case(name));
    let value = found.and_then(|(_, value)| std::str::from_utf8(value).ok());
    Ok(value.map_or(Val::Null, |value| Val::from(value.to_owned())))
}

// === Money ===

fn unusable(fault: Unusable) -> (Reason, Cow<'static, str>) {
    let what = match fault {
        Unusable::Form => "an amount is no decimal number such as 12.50",
        Unusable::Float => {
            "an amount was computed with + - * or /, which are not exact; use the filters money_…"
        }
        Unusable::TooLong => "an amount has too many digits",
    };
    (Reason::InvalidAmount, what.into())
}

fn amount(value: &Val) -> Result<Option<Amount>, (Reason, Cow<'static, str>)> {
    Amount::of(value).map_err(unusable)
}

fn one(value: &Val, compute: fn(Amount) -> Result<Amount, Unusable>) -> Outcome {
    match amount(value)? {
        None => Ok(Val::Null),
        Some(amount) => Ok(Val::from(compute(amount).map_err(unusable)?.to_string())),
    }
}

fn both(value: &Val, other: &Val, compute: fn(Amount, Amount) -> Result<Amount, Unusable>) -> Outcome {
    match (amount(value)?, amount(other)?) {
        (None, _) => Ok(Val::Null),
        (Some(_), None) => {
            refuse(Reason::InvalidAmount, "its argument is null; give a default, as in (.shipping // 0)")
        }
        (Some(a), Some(b)) => Ok(Val::from(compute(a, b).map_err(unusable)?.to_string())),
    }
}

fn money_sum(list: &Val) -> Outcome {
    let Val::Arr(amounts) = list else {
        return refuse(Reason::InvalidType, "only a list is summed up");
    };
    let missing = amounts.iter().filter(|amount| matches!(amount, Val::Null)).count();
    if missing == amounts.len() {
        return Ok(Val::Null);
    }
    if missing > 0 {
        return refuse(Reason::InvalidAmount, "a part of the list has no amount");
    }
    let mut sum = Amount::ZERO;
    for value in amounts.iter() {
        sum = sum.plus(amount(value)?.unwrap_or(Amount::ZERO)).map_err(unusable)?;
    }
    Ok(Val::from(sum.to_string()))
}

fn money_round(run: &Run<'_>, value: &Val, code: Option<&Val>) -> Outcome {
    let Some(amount) = amount(value)? else { return Ok(Val::Null) };
    let digits = match code {
        // Without a currency the record is refused anyway, for that.
        Some(Val::Null) => return Ok(value.clone()),
        Some(code) => currency_digits(run, code)?,
        None => {
            let mut shops =
                run.decoder.shops().indexes().map(|index| run.decoder.shops().get(index).currency.digits());
            let first = shops.next().unwrap_or(2);
            if shops.any(|digits| digits != first) {
                let what = "the stores have several currencies; give one, as in money_round(.currency)";
                return refuse(Reason::UnknownCurrency, what);
            }
            u32::from(first)
        }
    };
    Ok(Val::from(amount.rounded(digits).map_err(unusable)?.to_string()))
}

fn minor_units(run: &Run<'_>, value: &Val, code: &Val) -> Outcome {
    let Some(amount) = amount(value)? else { return Ok(Val::Null) };
    let Some(units) = amount.whole() else {
        return refuse(Reason::InvalidAmount, "minor units are a whole number");
    };
    Ok(Val::from(Amount::of_units(units, currency_digits(run, code)?).to_string()))
}

/// As many digits as ISO 4217 or the configuration gives a currency.
fn currency_digits(run: &Run<'_>, code: &Val) -> Result<u32, (Reason, Cow<'static, str>)> {
    let currency = text(code).and_then(|code| Currency::from_letters(code.trim().as_bytes()));
    let currency = currency.and_then(|currency| run.decoder.shops().with_digits(currency));
    match currency {
        Some(currency) => Ok(u32::from(currency.digits())),
        None => Err((Reason::UnknownCurrency, "the digits of the currency are not known".into())),
    }
}

fn decimal(value: &Val, mark: &Val, group: &Val) -> Outcome {
    if matches!(value, Val::Null) {
        return Ok(Val::Null);
    }
    let (Some(written), Some(mark)) = (text(value), text(mark).filter(|mark| !mark.is_empty())) else {
        return refuse(Reason::InvalidType, "a text is read, with a mark such as \",\"");
    };
    let written = written.trim();
    if written.is_empty() {
        return Ok(Val::Null);
    }
    let group = text(group).filter(|group| !group.is_empty());
    if group == Some(mark) {
        return refuse(Reason::Unmapped, "the marks of decimals and of groups are the same");
    }
    match plain_decimal(written, mark, group) {
        Some(plain) => Ok(Val::from(plain)),
        None => refuse(Reason::InvalidAmount, "it is no number with these marks"),
    }
}

/// Marks of groups stand between groups of three digits only, in all of the number or nowhere.
fn plain_decimal(written: &str, mark: &str, group: Option<&str>) -> Option<String> {
    let (sign, unsigned) = written.strip_prefix('-').map_or(("", written), |rest| ("-", rest));
    let (whole, fraction) =
        unsigned.split_once(mark).map_or((unsigned, None), |(whole, rest)| (whole, Some(rest)));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match group.filter(|group| whole.contains(group)) {
        None => whole.to_owned(),
        Some(group) => {
            let mut parts = whole.split(group);
            let first = parts.next().filter(|first| (1..=3).contains(&first.len()))?;
            let mut digits = first.to_owned();
            for part in parts {
                digits.push_str(Some(part).filter(|part| part.len() == 3)?);
            }
            digits
        }
    };
    match fraction {
        _ if !is_digits(&whole) => None,
        None => Some(format!("{sign}{whole}")),
        Some(fraction) => is_digits(fraction).then(|| format!("{sign}{whole}.{fraction}")),
    }
}

// === Times ===

fn time(value: &Val, format: &Val, zone: &Val) -> Outcome {
    let written = match value {
        Val::Null => return Ok(Val::Null),
        Val::Num(Num::Int(number)) => number.to_string(),
        Val::TStr(_) => text(value).unwrap_or_default().trim().to_owned(),
        Val::Num(Num::BigInt(_) | Num::Float(_) | Num::Dec(_))
        | Val::Bool(_)
        | Val::BStr(_)
        | Val::Arr(_)
        | Val::Obj(_) => return refuse(Reason::InvalidType, "only a text or a whole number is a time"),
    };
    if written.is_empty() {
        return Ok(Val::Null);
    }
    let Some(format) = text(format) else {
        return refuse(Reason::Unmapped, "the pattern is a text such as \"%d.%m.%Y %H:%M\"");
    };
    let form = TimeForm::new(format).map_err(|problem| (Reason::Unmapped, Cow::Owned(problem)))?;
    let has_zone = !matches!(zone, Val::Null);
    let zone = text(zone).and_then(|name| name.parse::<Tz>().ok());
    if has_zone && zone.is_none() {
        return refuse(Reason::Unmapped, "the zone is no IANA time zone such as Europe/Berlin");
    }
    form.read(&written, zone).map(|time| Val::from(times::text(time))).map_err(|fault| {
        let what = match fault {
            TimeFault::Form => "it does not have the pattern",
            TimeFault::Skipped => "clocks of the zone were put forward and never showed it",
            TimeFault::Zone => "it has no offset; give a zone such as \"Europe/Berlin\"",
            TimeFault::Range => "it is not from 1970 to 9999",
            TimeFault::Ambiguous => "two patterns read it as two different times",
            TimeFault::ZoneName => "it names its zone by letters that several zones use; give the zone",
        };
        (Reason::InvalidTime, what.into())
    })
}

fn instant(value: &Val) -> Result<Time, (Reason, Cow<'static, str>)> {
    let what = "it is no RFC 3339 time with an offset, and no milliseconds since 1970";
    times::of(value).ok_or((Reason::InvalidTime, what.into()))
}

fn unix(value: &Val, divisor: i64) -> Outcome {
    if matches!(value, Val::Null) {
        return Ok(Val::Null);
    }
    let units = instant(value)?.as_millis() / divisor;
    Ok(Val::from(isize::try_from(units).expect("times fit 48 bits")))
}

fn within(value: &Val, span: &Val, other: &Val) -> Outcome {
    if matches!((value, other), (Val::Null, _) | (_, Val::Null)) {
        return Ok(Val::from(false));
    }
    let Some(span) = text(span).and_then(times::duration) else {
        return refuse(
            Reason::Unmapped,
            "the duration is a text such as \"365d\", \"12h\", \"30m\" or \"10s\"",
        );
    };
    Ok(Val::from(instant(value)?.distance(instant(other)?) <= span))
}
