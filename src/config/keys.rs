//! The table of every key: type, unit, default, bounds. `docs/CONFIGURATION.md` says what each means, row for row.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::text::{format_duration, format_size};
use super::{AtEnd, DeadLetterValues, HistorySignals, LogFormat, LogLevel, SegmentRefresh, values};
use crate::domain::rules::points::PointsPer;
use crate::domain::signals::ratio_signal::RatioSignal;
use crate::domain::values::money::{CURRENCY_DIGITS_MAX, Currency};
use crate::domain::values::number::Decimal;
use crate::domain::values::time::{Span, Time, Zone};

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
    /// One or more of them: a list, or one text with commas.
    Topics,
    /// One or more of them: a list, or one text with commas.
    Paths,
    /// A preset or a map file.
    Map,
    /// An option of a map, which says what it may be.
    Text,
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
    /// What gives a point.
    Points,
    Address,
    ClockEnd,
    Instant,
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

/// A key, and how its value is read.
pub(super) struct Setting<T> {
    pub(super) key: Key,
    pub(super) parse: Parse<T>,
}

/// Reads a value out of its text, within what the key takes.
type Parse<T> = fn(&str, Kind) -> Result<T, String>;

/// Names each setting, and lists the keys of all.
macro_rules! settings {
    ($($name:ident: $type:ty = $setting:expr;)+) => {
        $(pub(super) const $name: Setting<$type> = $setting;)+

        /// All keys, in the order of the reference.
        pub const KEYS: &[Key] = &[$($name.key),+];
    };
}

#[rustfmt::skip]
settings! {
    APPLICATION: String = setting("application", Kind::Name, "retention-signals", values::name);
    INSTANCE: String = without_default("instance", Kind::Name, KeyDefault::HostName, values::name);
    WORKERS: usize = setting("workers", count("threads", 1, 64), "1", values::count);
    STATE_DIR: PathBuf = setting("state_dir", Kind::Path, "state", values::path);
    KEY: KeyForm = setting("key", Kind::Choice(&["customer_id", "store_id/customer_id"]), "customer_id", values::key_form);

    TOPICS_ORDERS: String = topic("topics.orders", "orders");
    TOPICS_RETURNS: String = topic("topics.returns", "returns");
    TOPICS_ERASURES: String = topic("topics.erasures", "erasures");
    TOPICS_SIGNALS: String = topic("topics.signals", "retention.signals");
    TOPICS_CUSTOMERS: String = topic("topics.customers", "retention.customers");
    TOPICS_DEAD_LETTERS: String = topic("topics.dead_letters", "retention.dead-letters");
    TOPICS_CHANGELOG: String = topic("topics.changelog", "retention.changelog");
    TOPICS_SHARES: String = topic("topics.shares", "retention.shares");
    TOPICS_SHOP_METRICS: String = topic("topics.shop_metrics", "retention.shop-metrics");
    TOPICS_REGISTRY: String = without_default("topics.registry", Kind::Topic, KeyDefault::Nothing, values::topic);
    REGISTRY_FILE: PathBuf = without_default("registry.file", Kind::Path, KeyDefault::Nothing, values::path);

    SHOP_CURRENCY: Currency = without_default("shop.currency", Kind::Currency, KeyDefault::Required, values::currency);
    SHOP_TIME_ZONE: Zone = setting("shop.time_zone", Kind::Zone, "UTC", values::zone);
    STORES_CURRENCY: Currency = without_default("stores.<id>.currency", Kind::Currency, KeyDefault::Required, values::currency);
    STORES_TIME_ZONE: Zone = setting("stores.<id>.time_zone", Kind::Zone, "UTC", values::zone);
    RATES: Decimal = without_default("rates.<code>", Kind::Rate, KeyDefault::Nothing, values::rate);
    CURRENCIES: u8 = without_default("currencies.<code>", count("digits", 0, CURRENCY_DIGITS_MAX as u64), KeyDefault::Nothing, values::count);

    CLOCK_GRACE: Span = span("clock.grace", 0, DAY, "1m");
    CLOCK_AT_END: AtEnd = setting("clock.at_end", Kind::ClockEnd, "wall", values::clock_end);
    CLOCK_SKEW: Span = span("clock.skew", 0, 3_650 * DAY, "1h");

    RECORDS_RETURN_WINDOW: Span = span("records.return_window", DAY, 3_650 * DAY, "365d");
    RECORDS_LATENESS: Span = span("records.lateness", 0, 3_650 * DAY, "35d");
    RECORDS_MAX_ORDERS: usize = setting("records.max_orders", count("orders", 10, 10_000), "1000", values::count);
    RECORDS_MAX_BYTES: usize = setting("records.max_bytes", Kind::SizeBytes { min: KIB, max: 16 * MIB }, "1MiB", values::size);
    RECORDS_MAX_DEPTH: usize = setting("records.max_depth", count("levels", 4, 120), "32", values::count);

    LAPSE_POLICY: PolicyName = setting("lapse.policy", Kind::Choice(&["cadence", "fixed", "model"]), "cadence", values::policy);
    LAPSE_FIXED_AT_RISK_DAYS: Decimal = decimal("lapse.fixed.at_risk_days", days(), "30");
    LAPSE_FIXED_LAPSED_DAYS: Decimal = decimal("lapse.fixed.lapsed_days", days(), "60");
    LAPSE_CADENCE_PRIOR_GAP_DAYS: Decimal = decimal("lapse.cadence.prior_gap_days", days(), "45");
    LAPSE_CADENCE_PRIOR_WEIGHT: Decimal = decimal("lapse.cadence.prior_weight", bounds("gaps", 100, 1_000 * ONE), "2");
    LAPSE_CADENCE_AT_RISK_FACTOR: Decimal = decimal("lapse.cadence.at_risk_factor", factor(), "1.5");
    LAPSE_CADENCE_AT_RISK_DAYS_MIN: Decimal = decimal("lapse.cadence.at_risk_days_min", days(), "14");
    LAPSE_CADENCE_AT_RISK_DAYS_MAX: Decimal = decimal("lapse.cadence.at_risk_days_max", days(), "180");
    LAPSE_CADENCE_LAPSED_FACTOR: Decimal = decimal("lapse.cadence.lapsed_factor", factor(), "3");
    LAPSE_CADENCE_LAPSED_DAYS_MIN: Decimal = decimal("lapse.cadence.lapsed_days_min", days(), "30");
    LAPSE_CADENCE_LAPSED_DAYS_MAX: Decimal = decimal("lapse.cadence.lapsed_days_max", days(), "365");
    LAPSE_MODEL_HORIZON: Span = span("lapse.model.horizon", 7 * DAY, 365 * DAY, "90d");
    LAPSE_MODEL_AT_RISK_SHARE: Decimal = decimal("lapse.model.at_risk_share", share_of_new(), "0.75");
    LAPSE_MODEL_LAPSED_SHARE: Decimal = decimal("lapse.model.lapsed_share", share_of_new(), "0.4");
    LAPSE_MODEL_AT_RISK_DAYS_MIN: Decimal = decimal("lapse.model.at_risk_days_min", days(), "14");
    LAPSE_MODEL_AT_RISK_DAYS_MAX: Decimal = decimal("lapse.model.at_risk_days_max", days(), "180");
    LAPSE_MODEL_LAPSED_DAYS_MIN: Decimal = decimal("lapse.model.lapsed_days_min", days(), "30");
    LAPSE_MODEL_LAPSED_DAYS_MAX: Decimal = decimal("lapse.model.lapsed_days_max", days(), "365");

    SEGMENTS_ENABLED: bool = setting("segments.enabled", Kind::Choice(&["true", "false"]), "false", values::flag);
    SEGMENTS_CUSTOMERS_MIN: u64 = setting("segments.customers_min", count("customers", 20, 1_000_000), "100", values::count);
    SEGMENTS_REFRESH: SegmentRefresh = setting("segments.refresh", Kind::Choice(&["monthly", "weekly", "never"]), "monthly", values::segment_refresh);

    RULES_FILES: Vec<PathBuf> = without_default("rules.files", Kind::Paths, KeyDefault::Nothing, values::paths);
    RULES_HOLDOUT: Decimal = decimal("rules.holdout", bounds("share of customers", 0, ONE / 2), "0");
    POINTS_PER: PointsPer = without_default("points.per", Kind::Points, KeyDefault::Nothing, values::points_per);
    POINTS_FACTOR: u32 = setting("points.factor", count("points", 1, 10_000), "1", values::count);
    TIERS_KEEP: Decimal = decimal("tiers_keep", bounds("share of the amount", ONE / 10, ONE), "0.8");

    SIGNALS_FREQUENCY_FELL: Decimal = decimal("signals.frequency_fell", above_one(), "1.5");
    SIGNALS_FREQUENCY_FELL_REARM: Decimal = decimal("signals.frequency_fell_rearm", above_one(), "1.25");
    SIGNALS_FREQUENCY_ROSE: Decimal = decimal("signals.frequency_rose", below_one(), "0.67");
    SIGNALS_FREQUENCY_ROSE_REARM: Decimal = decimal("signals.frequency_rose_rearm", below_one(), "0.8");
    SIGNALS_ORDER_VALUE_FELL: Decimal = decimal("signals.order_value_fell", below_one(), "0.7");
    SIGNALS_ORDER_VALUE_FELL_REARM: Decimal = decimal("signals.order_value_fell_rearm", below_one(), "0.85");
    SIGNALS_ORDER_VALUE_ROSE: Decimal = decimal("signals.order_value_rose", above_one(), "1.3");
    SIGNALS_ORDER_VALUE_ROSE_REARM: Decimal = decimal("signals.order_value_rose_rearm", above_one(), "1.15");
    SIGNALS_RETURN_RATE_HIGH: Decimal = decimal("signals.return_rate_high", below_one(), "0.5");
    SIGNALS_RETURN_RATE_HIGH_REARM: Decimal = decimal("signals.return_rate_high_rearm", below_one(), "0.4");
    SIGNALS_EARLIER_MIN: u32 = setting("signals.earlier_min", count("gaps or orders", 1, 100), "3", values::count);
    SIGNALS_RETURN_RATE_ORDERS_MIN: u32 = setting("signals.return_rate_orders_min", count("orders", 1, 1_000), "3", values::count);
    SIGNALS_HISTORY: HistorySignals = setting("signals.history", Kind::Choice(&["hold_back", "publish"]), "hold_back", values::history_signals);
    SIGNALS_FROM: Time = without_default("signals.from", Kind::Instant, KeyDefault::Nothing, values::instant);

    COMMIT_INTERVAL: Duration = duration("commit.interval", 10, COMMIT_INTERVAL_MS_MAX, "100ms");
    COMMIT_BACKLOG_INTERVAL: Duration = duration("commit.backlog_interval", 10, COMMIT_INTERVAL_MS_MAX, "1s");
    COMMIT_PATIENCE: Duration = duration("commit.patience", SECOND, COMMIT_PATIENCE_MS_MAX, "30s");

    METRICS_SHARES: bool = setting("metrics.shares", Kind::Choice(&["true", "false"]), "false", values::flag);

    SNAPSHOTS_INTERVAL: Duration = duration("snapshots.interval", SECOND, SNAPSHOT_INTERVAL_MS_MAX, "5m");

    DEAD_LETTERS_MAX_SHARE: Decimal = decimal("dead_letters.max_share", bounds("share", 0, ONE), "0.05");
    DEAD_LETTERS_WINDOW: usize = setting("dead_letters.window", count("records", 1_000, 100_000), "10000", values::count);

    INTAKE_TOPICS: Vec<String> = without_default("intake.sources.<name>.topics", Kind::Topics, KeyDefault::Required, values::topics);
    INTAKE_MAP: String = without_default("intake.sources.<name>.map", Kind::Map, KeyDefault::Required, values::text);
    INTAKE_OPTIONS: String = without_default("intake.sources.<name>.options.<option>", Kind::Text, KeyDefault::Nothing, values::text);
    INTAKE_STORE: String = without_default("intake.sources.<name>.store", Kind::Text, KeyDefault::Nothing, values::text);
    INTAKE_SECRET_FILE: PathBuf = without_default("intake.secret_file", Kind::Path, KeyDefault::Nothing, values::path);
    INTAKE_DEAD_LETTER_VALUES: DeadLetterValues = setting("intake.dead_letter_values", Kind::Choice(&["keep", "drop"]), "keep", values::dead_letter_values);

    ERASURE_SECRET_FILE: PathBuf = without_default("erasure.secret_file", Kind::Path, KeyDefault::Nothing, values::path);

    HTTP_LISTEN: SocketAddr = setting("http.listen", Kind::Address, "127.0.0.1:9464", values::address);
    HTTP_TOKEN_FILE: PathBuf = without_default("http.token_file", Kind::Path, KeyDefault::Nothing, values::path);

    LOG_LEVEL: LogLevel = setting("log.level", Kind::Choice(LOG_LEVELS), "info", values::log_level);
    LOG_FORMAT: LogFormat = setting("log.format", Kind::Choice(LOG_FORMATS), "auto", values::log_format);

    KAFKA_BOOTSTRAP_SERVERS: String = without_default("kafka.bootstrap.servers", Kind::Client, KeyDefault::Required, values::client);
    KAFKA: String = without_default("kafka.<name>", Kind::Client, KeyDefault::Nothing, values::client);
}

/// Which customer keys records have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KeyForm {
    Customer,
    StoreAndCustomer,
}

/// The lapse policies by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PolicyName {
    Cadence,
    Fixed,
    Model,
}

const fn setting<T>(path: &'static str, kind: Kind, default: &'static str, parse: Parse<T>) -> Setting<T> {
    without_default(path, kind, KeyDefault::Value(default), parse)
}

const fn without_default<T>(
    path: &'static str,
    kind: Kind,
    default: KeyDefault,
    parse: Parse<T>,
) -> Setting<T> {
    Setting { key: Key { path, kind, default }, parse }
}

const fn topic(path: &'static str, default: &'static str) -> Setting<String> {
    setting(path, Kind::Topic, default, values::topic)
}

const fn duration(path: &'static str, min: u64, max: u64, default: &'static str) -> Setting<Duration> {
    setting(path, Kind::DurationMillis { min, max }, default, values::duration)
}

const fn span(path: &'static str, min: u64, max: u64, default: &'static str) -> Setting<Span> {
    setting(path, Kind::DurationMillis { min, max }, default, values::span)
}

const fn decimal(path: &'static str, kind: Kind, default: &'static str) -> Setting<Decimal> {
    setting(path, kind, default, values::decimal)
}

const fn count(unit: &'static str, min: u64, max: u64) -> Kind {
    Kind::Count { unit, min, max }
}

const fn bounds(unit: &'static str, min: u64, max: u64) -> Kind {
    Kind::Decimal { unit, min, max }
}

const fn days() -> Kind {
    bounds("days", ONE / 100, 3_650 * ONE)
}

const fn share_of_new() -> Kind {
    bounds("share of a new customer's probability", ONE / 100, 2 * ONE)
}

const fn factor() -> Kind {
    bounds("factor", ONE / 10, 100 * ONE)
}

const fn above_one() -> Kind {
    bounds("ratio", ONE, 100 * ONE)
}

const fn below_one() -> Kind {
    bounds("ratio", ONE / 100, ONE)
}

impl Kind {
    /// The unit, as the reference names it.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Topic => "topic",
            Self::Topics => "topics",
            Self::Paths => "paths",
            Self::Map => "map",
            Self::Text => "text",
            Self::Path => "path",
            Self::Choice(_) => "choice",
            Self::DurationMillis { .. } => "duration",
            Self::SizeBytes { .. } => "size",
            Self::Count { unit, .. } | Self::Decimal { unit, .. } => unit,
            Self::Currency => "currency",
            Self::Zone => "time zone",
            Self::Rate => "rate",
            Self::Points => "amount or choice",
            Self::Address => "address",
            Self::ClockEnd => "choice or instant",
            Self::Instant => "instant",
            Self::Client => "librdkafka",
        }
    }

    /// The least and the greatest number, in the unit of the kind; none for what is no number.
    pub(super) const fn limits(self) -> Option<RangeInclusive<u64>> {
        match self {
            Self::DurationMillis { min, max }
            | Self::SizeBytes { min, max }
            | Self::Count { min, max, .. }
            | Self::Decimal { min, max, .. } => Some(min..=max),
            Self::Name
            | Self::Topic
            | Self::Topics
            | Self::Paths
            | Self::Map
            | Self::Text
            | Self::Path
            | Self::Choice(_)
            | Self::Currency
            | Self::Zone
            | Self::Rate
            | Self::Points
            | Self::Address
            | Self::ClockEnd
            | Self::Instant
            | Self::Client => None,
        }
    }

    /// The bounds, as the reference and the messages name them.
    pub fn bounds(self) -> String {
        match self {
            Self::Name => format!("1 to {NAME_BYTES_MAX} of `A-Z a-z 0-9 . _ -`"),
            Self::Topic => format!("1 to {TOPIC_BYTES_MAX} of `A-Z a-z 0-9 . _ -`"),
            Self::Topics => "topic names".to_owned(),
            Self::Paths => "paths".to_owned(),
            Self::Map => "a preset or a path".to_owned(),
            Self::Text => "a text".to_owned(),
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
            Self::Currency => "an ISO 4217 code, or one of `[currencies]`".to_owned(),
            Self::Zone => "an IANA name".to_owned(),
            Self::Rate => "above 0".to_owned(),
            Self::Points => "an amount above 0, `order`".to_owned(),
            Self::Address => "an IP address and a port".to_owned(),
            Self::ClockEnd => "`wall`, `stay`, an RFC 3339 instant".to_owned(),
            Self::Instant => "an RFC 3339 instant".to_owned(),
            Self::Client => "the client's".to_owned(),
        }
    }
}

/// A bound of [`Kind::Decimal`] as it would be written.
fn decimal_text(ten_thousandths: u64) -> String {
    Decimal::new(ten_thousandths, DECIMAL_DIGITS_MAX).expect("four digits").to_string()
}

/// The key of the ratio at which a signal fires, and that of the ratio beyond which it is armed again.
pub fn thresholds(signal: RatioSignal) -> (&'static Setting<Decimal>, &'static Setting<Decimal>) {
    match signal {
        RatioSignal::FrequencyFell => (&SIGNALS_FREQUENCY_FELL, &SIGNALS_FREQUENCY_FELL_REARM),
        RatioSignal::FrequencyRose => (&SIGNALS_FREQUENCY_ROSE, &SIGNALS_FREQUENCY_ROSE_REARM),
        RatioSignal::OrderValueFell => (&SIGNALS_ORDER_VALUE_FELL, &SIGNALS_ORDER_VALUE_FELL_REARM),
        RatioSignal::OrderValueRose => (&SIGNALS_ORDER_VALUE_ROSE, &SIGNALS_ORDER_VALUE_ROSE_REARM),
        RatioSignal::ReturnRateHigh => (&SIGNALS_RETURN_RATE_HIGH, &SIGNALS_RETURN_RATE_HIGH_REARM),
    }
}
