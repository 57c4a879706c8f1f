//! Amounts of money as maps compute with them: decimals, exactly.

use jaq_json::{Num, Val};

use crate::domain::values::decimal::{Sign, WrittenDecimal};
use crate::domain::values::number::div_half_even;

/// A text may have so many significant digits.
const UNITS_LIMIT: i64 = 1_000_000_000_000_000_000;

/// Digits after the point that a text may have.
const TEXT_DIGITS_MAX: i64 = 18;

/// Digits after the point that a result may have; a product has those of both factors.
const DIGITS_MAX: u32 = 36;

/// `units · 10^−digits`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount {
    units: i128,
    digits: u32,
}

/// Why a value is no amount, or a result none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unusable {
    /// A text that is no decimal number, or neither a text nor a number.
    Form,
    /// A float, which arithmetic of jq makes of decimals.
    Float,
    /// More digits than can be computed with.
    TooLong,
}

impl Amount {
    pub(super) const ZERO: Self = Self { units: 0, digits: 0 };

    /// The amount of a value; `None` for null.
    pub(super) fn of(value: &Val) -> Result<Option<Self>, Unusable> {
        match value {
            Val::Null => Ok(None),
            Val::Num(Num::Int(units)) => Ok(Some(Self { units: *units as i128, digits: 0 })),
            Val::Num(Num::BigInt(_)) => Err(Unusable::TooLong),
            Val::Num(Num::Float(_)) => Err(Unusable::Float),
            Val::Num(Num::Dec(text)) => {
                Self::from_decimal(WrittenDecimal::parse(text.as_bytes()).ok_or(Unusable::Form)?).map(Some)
            }
            Val::TStr(text) => Self::parse(text).map(Some),
            Val::Bool(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => Err(Unusable::Form),
        }
    }

    /// Reads `12`, `-12.30`, `0.5`: as the decoder reads amounts, and negative ones too.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Unusable> {
        let decimal = WrittenDecimal::parse(text).ok_or(Unusable::Form)?;
        let has_both_sides = decimal.whole_digits > 0 && decimal.fraction_digits != Some(0);
        if !has_both_sides || decimal.has_exponent || decimal.sign == Sign::Plus {
            return Err(Unusable::Form);
        }
        Self::from_decimal(decimal)
    }

    fn from_decimal(decimal: WrittenDecimal) -> Result<Self, Unusable> {
        let needed = decimal.fraction_digits_needed();
        let written = decimal.fraction_digits.map_or(0, |digits| i64::try_from(digits).unwrap_or(i64::MAX));
        // As many digits as are written, so that 22.50 stays 22.50; zeros beyond what can be held are dropped.
        let units = |digits: i64| {
            let digits = u8::try_from(digits).ok().filter(|_| digits <= TEXT_DIGITS_MAX)?;
            Some((decimal.magnitude(digits, UNITS_LIMIT).ok()?, u32::from(digits)))
        };
        let (magnitude, digits) =
            units(written.max(needed)).or_else(|| units(needed)).ok_or(Unusable::TooLong)?;
        let magnitude = i128::from(magnitude);
        Ok(Self { units: if decimal.sign == Sign::Minus { -magnitude } else { magnitude }, digits })
    }

    /// So many units of 10^−`digits`.
    pub(super) const fn of_units(units: i128, digits: u32) -> Self {
        Self { units, digits }
    }

    /// The units if it is a whole number.
    pub(super) const fn whole(self) -> Option<i128> {
        if self.digits == 0 { Some(self.units) } else { None }
    }

    pub(super) fn plus(self, other: Self) -> Result<Self, Unusable> {
        let digits = self.digits.max(other.digits);
        let units = self.scaled(digits)?.checked_add(other.scaled(digits)?).ok_or(Unusable::TooLong)?;
        Ok(Self { units, digits })
    }

    pub(super) fn times(self, other: Self) -> Result<Self, Unusable> {
        let (mut units, mut digits) =
            (self.units.checked_mul(other.units).ok_or(Unusable::TooLong)?, self.digits + other.digits);
        while digits > DIGITS_MAX && units % 10 == 0 {
            (units, digits) = (units / 10, digits - 1);
        }
        if digits > DIGITS_MAX { Err(Unusable::TooLong) } else { Ok(Self { units, digits }) }
    }

    pub(super) const fn negated(self) -> Self {
        Self { units: -self.units, digits: self.digits }
    }

    pub(super) fn at_least(self, other: Self) -> Result<Self, Unusable> {
        let digits = self.digits.max(other.digits);
        Ok(if self.scaled(digits)? < other.scaled(digits)? { other } else { self })
    }

    pub(super) const fn is_positive(self) -> bool {
        self.units > 0
    }

    /// With so many digits after the point, rounded half even.
    pub(super) fn rounded(self, digits: u32) -> Result<Self, Unusable> {
        match self.digits.checked_sub(digits) {
            None | Some(0) => Ok(Self { units: self.scaled(digits)?, digits }),
            Some(fewer) => Ok(Self { units: div_half_even(self.units, 10i128.pow(fewer)), digits }),
        }
    }

    /// With so many digits after the point; `None` if it has more that are not zero.
    pub(super) fn exactly(self, digits: u32) -> Option<Self> {
        let rounded = self.rounded(digits).ok()?;
        let is_same = rounded.scaled(self.digits.max(digits)) == self.scaled(self.digits.max(digits));
        is_same.then_some(rounded)
    }

    fn scaled(self, digits: u32) -> Result<i128, Unusable> {
        self.units.checked_mul(10i128.pow(digits - self.digits)).ok_or(Unusable::TooLong)
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let magnitude = self.units.unsigned_abs();
        if self.digits == 0 {
            return write!(formatter, "{sign}{magnitude}");
        }
        let unit = 10u128.pow(self.digits);
        write!(
            formatter,
            "{sign}{}.{:0width$}",
            magnitude / unit,
            magnitude % unit,
            width = self.digits as usize
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::parse(text.as_bytes()).expect("an amount")
    }

    #[test]
    fn texts_stay_as_they_are_written() {
        for text in ["0", "22.50", "-0.05", "100", "0.100000000000000000", "-7"] {
            assert_eq!(amount(text).to_string(), text);
        }
        for text in ["", "1.", ".5", "+1", "1e2", "1,50", " 1", "€1", "NaN"] {
            assert_eq!(Amount::parse(text.as_bytes()).err(), Some(Unusable::Form), "{text}");
        }
        assert_eq!(Amount::parse(b"1234567890123456789").err(), Some(Unusable::TooLong));
    }

    #[test]
    fn computing_is_exact_or_refused() {
        let rounded = |text: &str, digits| amount(text).rounded(digits).expect("in range").to_string();
        assert_eq!(amount("0.1").plus(amount("0.2")).expect("in range").to_string(), "0.3");
        assert_eq!(amount("0.5").times(amount("3.333")).expect("in range").to_string(), "1.6665");
        assert_eq!(rounded("1.6665", 2), "1.67");
        assert_eq!(rounded("22.499999999999996", 2), "22.50");
        assert_eq!(
            (rounded("0.125", 2), rounded("-0.135", 2), rounded("5", 2)),
            ("0.12".into(), "-0.14".into(), "5.00".into())
        );
        assert_eq!(amount("5560.0").exactly(0).map(|amount| amount.to_string()), Some("5560".to_owned()));
        assert!(amount("0.005").exactly(2).is_none());
        let large = amount("999999999999999999");
        let product = large.times(large).expect("in range");
        assert_eq!(product.times(large).err(), Some(Unusable::TooLong));
        assert_eq!(product.plus(amount("0.0000000001")).err(), Some(Unusable::TooLong));
    }
}
