//! Digits of numbers and of dates, without a division that is not by a constant.

/// What makes eight digits text.
pub(super) const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// The eight digits of a number below 10⁸, one in each byte, the first in the lowest.
///
/// The number is split in two, four and eight, and each step is done for all parts at once; a product with a rounded-up inverse and a
/// shift is an exact division of so small numbers.
pub(super) const fn eight_digits(value: u32) -> u64 {
    debug_assert!(value < 100_000_000);
    let fours = (value / 10_000) as u64 | ((value % 10_000) as u64) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (pairs - tens * 10) << 8
}

/// The numbers below 100 in two digits, and up to 127, never read: an index of seven bits needs no check.
pub(super) static PAIRS: [[u8; 2]; 128] = {
    let mut pairs = [[0; 2]; 128];
    let mut value = 0;
    while value < pairs.len() {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// The Gregorian date that lies `days` after 1970-01-01, by Neri and Schneider's "Euclidean affine functions": years are counted
/// from March, and each division by a constant becomes a multiplication.
pub(super) const fn date(days: u32) -> (u32, u32, u32) {
    let quarters = 4 * (days + 719_468) + 3;
    let century = quarters / 146_097;
    let of_century = quarters % 146_097 / 4 * 4 + 3;
    let product = of_century as u64 * 2_939_745;
    let (year_of_century, day_of_year) = ((product >> 32) as u32, product as u32 / 2_939_745 / 4);
    let month_and_day = 2_141 * day_of_year + 197_913;
    let (month, day) = (month_and_day >> 16, (month_and_day & 0xffff) / 2_141 + 1);
    let year = 100 * century + year_of_century;
    if day_of_year >= 306 { (year + 1, month - 12, day) } else { (year, month, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_digits_are_those_of_the_number() {
        let check = |value: u32| {
            let digits = (eight_digits(value) | ZEROS).to_le_bytes();
            assert_eq!(std::str::from_utf8(&digits), Ok(format!("{value:08}").as_str()));
        };
        // Both halves go the same way: all values of one, with each other.
        for value in 0..10_000 {
            check(value);
            check(value * 10_000 + (9_999 - value));
        }
        for exponent in 0..8 {
            check(10u32.pow(exponent));
            check(10u32.pow(exponent + 1) - 1);
        }
    }
}
