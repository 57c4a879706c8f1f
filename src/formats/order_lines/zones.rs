//! Zones as exports name them, where a name means one zone only.

use chrono_tz::Tz;

/// Names of Ruby on Rails and of Square, besides those of IANA.
const ZONES: [(&str, Tz); 8] = [
    ("Atlantic Time (Canada)", Tz::America__Halifax),
    ("Eastern Time (US & Canada)", Tz::America__New_York),
    ("Central Time (US & Canada)", Tz::America__Chicago),
    ("Mountain Time (US & Canada)", Tz::America__Denver),
    ("Pacific Time (US & Canada)", Tz::America__Los_Angeles),
    ("Arizona", Tz::America__Phoenix),
    ("Alaska", Tz::America__Juneau),
    ("Hawaii", Tz::Pacific__Honolulu),
];

/// Letters that mean one offset wherever they are used. `CST` and `EST` do not: Chicago, Shanghai; New York, Sydney.
const OFFSETS: [(&str, i64); 8] =
    [("UTC", 0), ("GMT", 0), ("Z", 0), ("EDT", -4), ("CDT", -5), ("MDT", -6), ("PST", -8), ("PDT", -7)];

/// The zone of an IANA name or of a name that means one zone.
pub(super) fn zone(name: &str) -> Option<Tz> {
    name.parse().ok().or_else(|| ZONES.iter().find(|(known, _)| *known == name).map(|(_, zone)| *zone))
}

/// Hours east of UTC that letters mean.
pub(super) fn offset_hours(letters: &str) -> Option<i64> {
    OFFSETS.iter().find(|(known, _)| *known == letters).map(|(_, hours)| *hours)
}
