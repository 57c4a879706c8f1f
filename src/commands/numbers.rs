//! Numbers for people.

use crate::domain::values::money::Currency;
use crate::domain::values::number::Ratio;

/// Where there is no number.
pub(crate) fn none() -> String {
    "-".to_owned()
}

/// In percent, with two digits.
pub(crate) fn percent(ratio: Option<Ratio>) -> String {
    let scaled = ratio.map(|ratio| Ratio { numerator: ratio.numerator * 100, ..ratio });
    match scaled {
        Some(_) => format!("{} %", hundredths(scaled)),
        None => none(),
    }
}

/// With two digits.
pub(crate) fn hundredths(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(none, |ratio| with_point(ratio.scaled_half_even(100), 2))
}

/// With the digits of the currency.
pub(crate) fn money(minor: i128, currency: Currency) -> String {
    with_point(minor, currency.digits())
}

/// With a comma before every three digits of the whole part.
pub(crate) fn with_point(scaled: i128, digits: u8) -> String {
    let unit = 10i128.pow(u32::from(digits));
    let sign = if scaled < 0 { "-" } else { "" };
    let (whole, fraction) = (scaled.abs() / unit, scaled.abs() % unit);
    match digits {
        0 => format!("{sign}{}", grouped(whole)),
        _ => format!("{sign}{}.{fraction:0width$}", grouped(whole), width = usize::from(digits)),
    }
}

/// A number that is not negative, with a comma before every three digits.
pub(crate) fn grouped(number: i128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_pointed() {
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), expected);
        }
        for (scaled, digits, expected) in
            [(891_140_790, 2, "8,911,407.90"), (-5, 2, "-0.05"), (500, 0, "500"), (1_000_001, 3, "1,000.001")]
        {
            assert_eq!(with_point(scaled, digits), expected);
        }
        assert_eq!(percent(Ratio::new(6_557, 10_000)), "65.57 %");
        assert_eq!(percent(None), "-");
    }
}
