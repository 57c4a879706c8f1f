//! The table of every key: unit, default, bounds. What a key means is told in `docs/CONFIGURATION.md`, row for row.

use super::text::{format_duration, format_size};

/// One settable key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Sections and name joined by points; a segment in `<>` stands for any name.
    pub path: &'static str,
    pub kind: Kind,
    pub default: KeyDefault,
}

/// What a key holds without being set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyDefault {
    /// This, as it would be written in the file.
    Value(&'static str),
    /// The machine's host name.
    HostName,
    /// Nothing: what it would switch on is off.
    Nothing,
    /// There is no sensible one.
    Required,
}

/// What a value must look like.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Letters, digits, `.`, `_`, `-`; at most 100.
    Name,
    /// A name that Kafka accepts for a topic.
    Topic,
    /// A folder or file, relative to the working directory.
    Path,
    Choice(&'static [&'static str]),
    DurationMillis {
        min: u64,
        max: u64,
    },
    SizeBytes {
        min: u64,
        max: u64,
    },
    Count {
        unit: &'static str,
        min: u64,
        max: u64,
    },
    /// Bounds in ten-thousandths.
    Decimal {
        unit: &'static str,
        min: u64,
        max: u64,
    },
    Currency,
    Zone,
    Rate,
    Address,
    ClockEnd,
    /// An option of the Kafka client.
    Client,
}

/// The longest name of an application or instance: transactional ids stay below Kafka's limits.
pub const NAME_BYTES_MAX: usize = 100;

/// The longest topic name that Kafka accepts.
pub const TOPIC_BYTES_MAX: usize = 249;

/// The longest commit interval: a batch must end well within the transaction timeout of 10 s.
pub const COMMIT_INTERVAL_MS_MAX: u64 = 5_000;

/// The longest patience: shorter than the 60 s that the group allows between two polls.
pub const COMMIT_PATIENCE_MS_MAX: u64 = 50_000;

/// The longest time between two snapshots: an erased customer must be in none of them after a day.
pub const SNAPSHOT_INTERVAL_MS_MAX: u64 = 12 * 3_600_000;

/// Most stores; a store has a 16-bit index.
pub const STORES_MAX: usize = 10_000;

const _: () = assert!(STORES_MAX <= u16::MAX as usize);

/// Choices of `log.level`.
pub const LOG_LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

/// Choices of `log.format`.
pub const LOG_FORMATS: &[&str] = &["auto", "text", "json"];

/// Digits after the point of a decimal setting: deadlines stay exact in 128 bits.
pub const DECIMAL_DIGITS_MAX: u8 = 4;

/// One in the unit of [`Kind::Decimal`] bounds.
pub const ONE: u64 = 10u64.pow(DECIMAL_DIGITS_MAX as u32);

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// All keys, in the order of the reference.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("application", Kind::Name, "retention-signals"),
    Key { path: "instance", kind: Kind::Name, default: KeyDefault::HostName },
    key("workers", count("threads", 1, 64), "1"),
    key("state_dir", Kind::Path, "state"),
    key("key", Kind::Choice(&["customer_id", "store_id/customer_id"]), "customer_id"),

    key("topics.orders", Kind::Topic, "orders"),
    key("topics.returns", Kind::Topic, "returns"),
    key("topics.erasures", Kind::Topic, "erasures"),
    key("topics.signals", Kind::Topic, "retention.signals"),
    key("topics.customers", Kind::Topic, "retention.customers"),
    key("topics.dead_letters", Kind::Topic, "retention.dead-letters"),
    key("topics.changelog", Kind::Topic, "retention.changelog"),
    Key { path: "topics.registry", kind: Kind::Topic, default: KeyDefault::Nothing },
    Key { path: "registry.file", kind: Kind::Path, default: KeyDefault::Nothing },

    Key { path: "shop.currency", kind: Kind::Currency, default: KeyDefault::Required },
    key("shop.time_zone", Kind::Zone, "UTC"),
    Key { path: "stores.<id>.currency", kind: Kind::Currency, default: KeyDefault::Required },
    key("stores.<id>.time_zone", Kind::Zone, "UTC"),
    Key { path: "rates.<code>", kind: Kind::Rate, default: KeyDefault::Nothing },

    key("clock.grace", duration(0, DAY), "1m"),
    key("clock.at_end", Kind::ClockEnd, "wall"),
    key("clock.skew", duration(0, 3_650 * DAY), "1h"),

    key("records.return_window", duration(DAY, 3_650 * DAY), "365d"),
    key("records.lateness", duration(0, 3_650 * DAY), "35d"),
    key("records.max_orders", count("orders", 10, 10_000), "1000"),
    key("records.max_bytes", Kind::SizeBytes { min: KIB, max: 16 * MIB }, "1MiB"),
    key("records.max_depth", count("levels", 4, 120), "32"),

    key("lapse.policy", Kind::Choice(&["cadence", "fixed"]), "cadence"),
    key("lapse.fixed.at_risk_days", days(), "30"),
    key("lapse.fixed.lapsed_days", days(), "60"),
    key("lapse.cadence.prior_gap_days", days(), "45"),
    key("lapse.cadence.prior_weight", decimal("gaps", 100, 1_000 * ONE), "2"),
    key("lapse.cadence.at_risk_factor", factor(), "1.5"),
    key("lapse.cadence.at_risk_days_min", days(), "14"),
    key("lapse.cadence.at_risk_days_max", days(), "180"),
    key("lapse.cadence.lapsed_factor", factor(), "3"),
    key("lapse.cadence.lapsed_days_min", days(), "30"),
    key("lapse.cadence.lapsed_days_max", days(), "365"),

    key("signals.frequency_fell", above_one(), "1.5"),
    key("signals.frequency_fell_rearm", above_one(), "1.25"),
    key("signals.frequency_rose", below_one(), "0.67"),
    key("signals.frequency_rose_rearm", below_one(), "0.8"),
    key("signals.order_value_fell", below_one(), "0.7"),
    key("signals.order_value_fell_rearm", below_one(), "0.85"),
    key("signals.order_value_rose", above_one(), "1.3"),
    key("signals.order_value_rose_rearm", above_one(), "1.15"),
    key("signals.return_rate_high", below_one(), "0.5"),
    key("signals.return_rate_high_rearm", below_one(), "0.4"),
    key("signals.earlier_min", count("gaps or orders", 1, 100), "3"),
    key("signals.return_rate_orders_min", count("orders", 1, 1_000), "3"),

    key("commit.interval", duration(10, COMMIT_INTERVAL_MS_MAX), "100ms"),
    key("commit.backlog_interval", duration(10, COMMIT_INTERVAL_MS_MAX), "1s"),
    key("commit.patience", duration(SECOND, COMMIT_PATIENCE_MS_MAX), "30s"),

    key("snapshots.interval", duration(SECOND, SNAPSHOT_INTERVAL_MS_MAX), "5m"),

    key("dead_letters.max_share", decimal("share", 0, ONE), "0.05"),
    key("dead_letters.window", count("records", 1_000, 100_000), "10000"),

    Key { path: "erasure.secret_file", kind: Kind::Path, default: KeyDefault::Nothing },

    key("http.listen", Kind::Address, "127.0.0.1:9464"),
    Key { path: "http.token_file", kind: Kind::Path, default: KeyDefault::Nothing },

    key("log.level", Kind::Choice(LOG_LEVELS), "info"),
    key("log.format", Kind::Choice(LOG_FORMATS), "auto"),

    Key { path: "kafka.bootstrap.servers", kind: Kind::Client, default: KeyDefault::Required },
    Key { path: "kafka.<name>", kind: Kind::Client, default: KeyDefault::Nothing },
];

const fn key(path: &'static str, kind: Kind, default: &'static str) -> Key {
    Key { path, kind, default: KeyDefault::Value(default) }
}

const fn duration(min: u64, max: u64) -> Kind {
    Kind::DurationMillis { min, max }
}

const fn count(unit: &'static str, min: u64, max: u64) -> Kind {
    Kind::Count { unit, min, max }
}

const fn decimal(unit: &'static str, min: u64, max: u64) -> Kind {
    Kind::Decimal { unit, min, max }
}

const fn days() -> Kind {
    decimal("days", ONE / 100, 3_650 * ONE)
}

const fn factor() -> Kind {
    decimal("factor", ONE / 10, 100 * ONE)
}

const fn above_one() -> Kind {
    decimal("ratio", ONE, 100 * ONE)
}

const fn below_one() -> Kind {
    decimal("ratio", ONE / 100, ONE)
}

impl Kind {
    /// The unit, as the reference names it.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Topic => "topic",
            Self::Path => "path",
            Self::Choice(_) => "choice",
            Self::DurationMillis { .. } => "duration",
            Self::SizeBytes { .. } => "size",
            Self::Count { unit, .. } | Self::Decimal { unit, .. } => unit,
            Self::Currency => "currency",
            Self::Zone => "time zone",
            Self::Rate => "rate",
            Self::Address => "address",
            Self::ClockEnd => "choice or instant",
            Self::Client => "librdkafka",
        }
    }

    /// The bounds, as the reference and the messages name them.
    pub fn bounds(self) -> String {
        match self {
            Self::Name => format!("1 to {NAME_BYTES_MAX} of `A-Z a-z 0-9 . _ -`"),
            Self::Topic => format!("1 to {TOPIC_BYTES_MAX} of `A-Z a-z 0-9 . _ -`"),
            Self::Path => "a path".to_owned(),
            Self::Choice(choices) => {
                choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ")
            }
            Self::DurationMillis { min, max } => {
                format!("`{}` to `{}`", format_duration(min), format_duration(max))
            }
            Self::SizeBytes { min, max } => format!("`{}` to `{}`", format_size(min), format_size(max)),
            Self::Count { min, max, .. } => format!("{min} to {max}"),
            Self::Decimal { min, max, .. } => format!("{} to {}", decimal_text(min), decimal_text(max)),
            Self::Currency => "an ISO 4217 code".to_owned(),
            Self::Zone => "an IANA name".to_owned(),
            Self::Rate => "above 0".to_owned(),
            Self::Address => "an IP address and a port".to_owned(),
            Self::ClockEnd => "`wall`, `stay`, an RFC 3339 instant".to_owned(),
            Self::Client => "the client's".to_owned(),
        }
    }
}

/// A bound of [`Kind::Decimal`] as it would be written.
fn decimal_text(ten_thousandths: u64) -> String {
    crate::domain::values::number::Decimal::new(ten_thousandths, DECIMAL_DIGITS_MAX)
        .expect("four digits")
        .to_string()
}
