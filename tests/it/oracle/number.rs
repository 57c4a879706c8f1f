//! Exact numbers: ratios, money, times, and the one way each of them is written.

use std::cmp::Ordering;
use std::ops::{Add, Mul};

use chrono::{DateTime, SecondsFormat, TimeZone};
use chrono_tz::Tz;
use serde_json::Value;

/// Milliseconds of 24 hours, the only "day" that silence and windows know.
pub const DAY_MS: i64 = 86_400_000;

/// An exact fraction in lowest terms; the denominator is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    numerator: i128,
    denominator: i128,
}

impl Ratio {
    pub fn new(numerator: i128, denominator: i128) -> Ratio {
        assert_ne!(denominator, 0, "a ratio needs a denominator");
        let divisor = greatest_common_divisor(numerator.abs(), denominator.abs()) * denominator.signum();
        Ratio { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    pub fn whole(number: i128) -> Ratio {
        Ratio { numerator: number, denominator: 1 }
    }

    /// Reads `12`, `-0.5` or `1.250` exactly.
    pub fn from_decimal(text: &str) -> Ratio {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().expect("a decimal number");
        Ratio::new(digits, ten_to(fraction.len() as u32))
    }

    /// None where there is nothing to divide by.
    pub fn divided_by(self, divisor: Ratio) -> Option<Ratio> {
        (divisor.numerator != 0)
            .then(|| Ratio::new(self.numerator * divisor.denominator, self.denominator * divisor.numerator))
    }

    pub fn floor(self) -> i128 {
        self.numerator.div_euclid(self.denominator)
    }

    /// The nearest whole number; of two equally near ones the even one.
    pub fn round_half_even(self) -> i128 {
        let below = self.floor();
        let remainder = self.numerator - below * self.denominator;
        match (2 * remainder).cmp(&self.denominator) {
            Ordering::Less => below,
            Ordering::Greater => below + 1,
            Ordering::Equal => below + below.rem_euclid(2),
        }
    }

    /// A JSON number of at most six decimals, without trailing zeros.
    pub fn to_json(self) -> Value {
        let millionths = (self * Ratio::whole(1_000_000)).round_half_even();
        let text = decimal_text(millionths, 6);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        serde_json::from_str(text).expect("decimal text is a JSON number")
    }
}

impl Add for Ratio {
    type Output = Ratio;
    fn add(self, other: Ratio) -> Ratio {
        Ratio::new(
            self.numerator * other.denominator + other.numerator * self.denominator,
            self.denominator * other.denominator,
        )
    }
}

impl Mul for Ratio {
    type Output = Ratio;
    fn mul(self, other: Ratio) -> Ratio {
        Ratio::new(self.numerator * other.numerator, self.denominator * other.denominator)
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Ratio) -> Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Ratio) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The JSON number, or null where a ratio has no denominator.
pub fn ratio_json(ratio: Option<Ratio>) -> Value {
    ratio.map_or(Value::Null, Ratio::to_json)
}

/// A length of time as a number of days.
pub fn days_json(milliseconds: i64) -> Value {
    Ratio::new(i128::from(milliseconds), i128::from(DAY_MS)).to_json()
}

/// Fraction digits of a currency's minor unit. ISO 4217, except that the rial's minor unit is not in use.
pub fn currency_digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "IRR" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// Minor units of an amount that is valid for its currency.
pub fn parse_money(amount: &Value, currency: &str) -> i128 {
    let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
    let minor = Ratio::from_decimal(&text) * Ratio::whole(ten_to(currency_digits(currency)));
    assert_eq!(minor.denominator, 1, "{text} has more digits than {currency}");
    minor.numerator
}

/// Minor units as a decimal with exactly the currency's digits.
pub fn money_text(minor: i128, currency: &str) -> String {
    decimal_text(minor, currency_digits(currency))
}

pub fn money_json(minor: i128, currency: &str) -> Value {
    Value::String(money_text(minor, currency))
}

/// `sum / count`, rounded half even to minor units; null without a count.
pub fn money_mean_json(sum: i128, count: u64, currency: &str) -> Value {
    match Ratio::whole(sum).divided_by(Ratio::whole(i128::from(count))) {
        Some(mean) => money_json(mean.round_half_even(), currency),
        None => Value::Null,
    }
}

/// UTC milliseconds of an RFC 3339 text or of epoch milliseconds; digits beyond milliseconds are dropped.
pub fn parse_time(time: &Value) -> i64 {
    match time.as_str() {
        Some(text) => DateTime::parse_from_rfc3339(text).expect("a valid time").timestamp_millis(),
        None => time.as_i64().expect("a time is text or milliseconds"),
    }
}

pub fn time_text(time_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(time_ms).expect("a time that the calendar knows");
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub fn time_json(time_ms: Option<i64>) -> Value {
    time_ms.map_or(Value::Null, |time_ms| Value::String(time_text(time_ms)))
}

/// Number of the calendar day that the shop's wall shows at an instant.
pub fn local_day(time_ms: i64, time_zone: Tz) -> i64 {
    use chrono::Datelike;
    let utc = DateTime::from_timestamp_millis(time_ms).expect("a time that the calendar knows").naive_utc();
    i64::from(time_zone.from_utc_datetime(&utc).date_naive().num_days_from_ce())
}

pub fn ten_to(exponent: u32) -> i128 {
    10_i128.pow(exponent)
}

fn decimal_text(scaled: i128, digits: u32) -> String {
    let sign = if scaled < 0 { "-" } else { "" };
    let (whole, fraction) = (scaled.abs() / ten_to(digits), scaled.abs() % ten_to(digits));
    match digits {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction:0width$}", width = digits as usize),
    }
}

fn greatest_common_divisor(left: i128, right: i128) -> i128 {
    if right == 0 { left.max(1) } else { greatest_common_divisor(right, left % right) }
}
