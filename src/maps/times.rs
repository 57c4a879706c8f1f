//! Times as maps have them: texts with an offset, or milliseconds since 1970.

use jaq_json::{Num, Val};

use crate::domain::values::time::{Span, Time};
use crate::formats::native::from_rfc3339;
use crate::wire::encode::time_text;

/// The instant of a value that the decoder would take for one.
pub(super) fn of(value: &Val) -> Option<Time> {
    match value {
        Val::TStr(text) => from_rfc3339(std::str::from_utf8(text).ok()?),
        Val::Num(Num::Int(millis)) => Time::from_millis(i64::try_from(*millis).ok()?),
        Val::Num(Num::BigInt(_) | Num::Float(_) | Num::Dec(_))
        | Val::Null
        | Val::Bool(_)
        | Val::BStr(_)
        | Val::Arr(_)
        | Val::Obj(_) => None,
    }
}

/// As emitted records have it: in UTC, with a fraction only where there is one.
pub(super) fn text(time: Time) -> String {
    let text = time_text(time);
    let text = std::str::from_utf8(&text).expect("digits and marks");
    match text.strip_suffix(".000Z") {
        Some(seconds) => format!("{seconds}Z"),
        None => text.to_owned(),
    }
}

/// Reads `365d`, `12h`, `30m` or `10s`.
pub(super) fn duration(text: &str) -> Option<Span> {
    let unit = text.chars().next_back()?;
    let count: i64 = text.strip_suffix(unit)?.parse().ok().filter(|count| (0..1_000_000).contains(count))?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    Some(Span::from_millis(count * seconds * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        for (given, expected) in [
            ("2025-03-02T09:15:00+01:00", "2025-03-02T08:15:00Z"),
            ("2025-10-02T07:00:00.123Z", "2025-10-02T07:00:00.123Z"),
        ] {
            assert_eq!(text(of(&Val::from(given.to_owned())).expect("a time")), expected);
        }
        assert_eq!(
            of(&Val::from(1_743_869_700_123isize)).map(text).as_deref(),
            Some("2025-04-05T16:15:00.123Z")
        );
        assert_eq!(of(&Val::from("2025-03-02".to_owned())), None);
    }

    #[test]
    fn durations_have_one_unit() {
        for (text, seconds) in [
            ("365d", Some(31_536_000)),
            ("2h", Some(7_200)),
            ("0s", Some(0)),
            ("1w", None),
            ("d", None),
            ("-1d", None),
            ("1.5h", None),
        ] {
            assert_eq!(duration(text), seconds.map(|seconds| Span::from_millis(seconds * 1_000)), "{text}");
        }
    }
}
