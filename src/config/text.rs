//! Durations and sizes as people write them, and back.

/// Units of time, largest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size, largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `100ms`, `1m`, `365d`: milliseconds.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    parse(text, &TIME_UNITS).ok_or_else(|| {
        format!("{text:?} is not a duration; write a whole number and a unit (ms, s, m, h, d), such as 100ms, 1m or 365d")
    })
}

/// Milliseconds in the largest unit that divides them.
pub fn format_duration(millis: u64) -> String {
    format(millis, &TIME_UNITS)
}

/// Reads `512B`, `64KiB`, `1MiB`: bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, &SIZE_UNITS).ok_or_else(|| {
        format!("{text:?} is not a size; write a whole number and a unit (B, KiB, MiB, GiB), such as 64KiB or 1MiB")
    })
}

/// Bytes in the largest unit that divides them.
pub(super) fn format_size(bytes: u64) -> String {
    format(bytes, &SIZE_UNITS)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

fn format(number: u64, units: &[(&str, u64)]) -> String {
    let (name, scale) = units
        .iter()
        .find(|(_, scale)| number >= *scale && number.is_multiple_of(*scale))
        .or(units.last())
        .expect("there is a smallest unit");
    format!("{}{name}", number / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, written) in [
            ("100ms", 100, "100ms"),
            ("1m", 60_000, "1m"),
            ("365d", 31_536_000_000, "365d"),
            ("90 s", 90_000, "90s"),
            ("24h", 86_400_000, "1d"),
            ("0s", 0, "0ms"),
            ("1500ms", 1_500, "1500ms"),
        ] {
            assert_eq!(parse_duration(text), Ok(millis), "{text}");
            assert_eq!(format_duration(millis), written, "{text}");
        }
        for text in ["", "5", "ms", "1.5h", "-1s", "1w", "1M", "1m30s", "300000000000000000d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, written) in
            [("1MiB", 1 << 20, "1MiB"), ("1024KiB", 1 << 20, "1MiB"), ("1000B", 1_000, "1000B")]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(format_size(bytes), written, "{text}");
        }
        for text in ["1MB", "1M", "1048576", "1.5MiB", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
