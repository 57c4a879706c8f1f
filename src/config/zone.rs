//! Time zones by name, as tables for the domain. The zone database is compiled in.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::suggest;
use crate::domain::values::time::Zone;

/// Up to here the database lists transitions; later the last offset holds.
const LISTED_UNTIL: i64 = 4_133_980_800; // 2101-01-01T00:00:00Z

/// No zone changes its offset twice within this many seconds and back again.
const STEP_SECONDS: i64 = 6 * 3_600;

/// The zone of an IANA name such as `Europe/Berlin`.
pub(super) fn parse(name: &str) -> Result<Zone, String> {
    let zone: Tz = name.parse().map_err(|_| {
        let names = TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint =
            suggest::nearest(name, names).map_or_else(String::new, |near| format!(", did you mean {near}?"));
        format!("{name:?} is not an IANA time zone such as Europe/Berlin{hint}")
    })?;
    if zone == Tz::UTC {
        return Ok(Zone::utc());
    }
    Ok(table(zone))
}

/// Samples the offsets and halves each step in which they differ. Before 1970 there are no records.
fn table(zone: Tz) -> Zone {
    let first = offset_seconds(zone, 0);
    let mut transitions = Vec::new();
    let mut offset = first;
    for end in (STEP_SECONDS..=LISTED_UNTIL).step_by(STEP_SECONDS as usize) {
        if offset_seconds(zone, end) == offset {
            continue;
        }
        let (mut same, mut other) = (end - STEP_SECONDS, end);
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if offset_seconds(zone, middle) == offset {
                same = middle;
            } else {
                other = middle;
            }
        }
        offset = offset_seconds(zone, other);
        transitions.push((other * 1_000, offset));
    }
    Zone::new(first, transitions)
}

fn offset_seconds(zone: Tz, seconds: i64) -> i32 {
    let instant = DateTime::from_timestamp(seconds, 0).expect("years up to 2101 are in range");
    zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()
}

#[cfg(test)]
mod tests {
    use chrono::Datelike;

    use super::*;
    use crate::domain::values::time::{Span, Time};

    #[test]
    fn a_zone_table_gives_the_dates_of_the_database() {
        for name in [
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Pacific/Apia",
            "Asia/Kathmandu",
            "Africa/Monrovia",
        ] {
            let zone: Tz = name.parse().expect("a zone");
            let parsed = parse(name).expect("a zone");
            let epoch = DateTime::UNIX_EPOCH.date_naive();
            let mut days = parsed.days();
            // 7,199 s shares no factor with a day: over the years every minute of it is met.
            for step in 0..550_000i64 {
                let seconds = step * 7_199;
                let instant = DateTime::from_timestamp(seconds, 0).expect("in range");
                let date = instant.with_timezone(&zone).date_naive();
                let expected = date.num_days_from_ce() - epoch.num_days_from_ce();
                let time = Time::from_millis(seconds * 1_000).expect("in range");
                assert_eq!(days.of(time).0, expected, "{name} at {instant}");
            }
        }
    }

    #[test]
    fn transitions_are_exact_to_the_second() {
        let zone = parse("Europe/Berlin").expect("a zone");
        // Summer time ends 2024-10-27T01:00:00Z; only midnights matter, so look a day earlier and later.
        let midnight = |text: &str| {
            let millis = DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis();
            let time = Time::from_millis(millis).expect("in range");
            let mut days = zone.days();
            days.of(time).0 - days.of(time.minus(Span::from_millis(1))).0
        };
        assert_eq!(midnight("2024-10-26T22:00:00Z"), 1);
        assert_eq!(midnight("2024-10-27T22:00:00Z"), 0);
        assert_eq!(midnight("2024-10-27T23:00:00Z"), 1);
    }

    #[test]
    fn an_unknown_zone_is_refused_with_a_suggestion() {
        assert_eq!(
            parse("Europe/Berln"),
            Err("\"Europe/Berln\" is not an IANA time zone such as Europe/Berlin, did you mean Europe/Berlin?".to_owned())
        );
        assert_eq!(parse("UTC"), Ok(Zone::utc()));
    }
}
