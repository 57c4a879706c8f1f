//! A signal as a line that people can read.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::signals::kind::{SignalType, Tone};

/// A signal as a subscriber reads it from the topic.
#[derive(Deserialize, Debug)]
pub struct SignalRecord {
    #[serde(rename = "type")]
    pub signal_type: String,
    /// None of a guest's.
    customer_id: Option<String>,
    occurred_at: String,
    data: Value,
}

/// Whether lines carry colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paint {
    Colours,
    Plain,
}

impl Paint {
    /// The text between the codes of a colour.
    pub fn with(self, code: &str, text: &str) -> String {
        match self {
            Self::Colours => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

pub const GREEN: &str = "32";
pub const YELLOW: &str = "33";
pub const RED: &str = "31";
pub const CYAN: &str = "36";
pub const BOLD: &str = "1";
pub const DIM: &str = "2";

impl SignalRecord {
    /// None for what is no signal.
    pub fn parse(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// What it is about: its type, or the rule that fired.
    pub fn subject(&self) -> &str {
        self.data["rule"].as_str().unwrap_or(&self.signal_type)
    }

    /// Date, type, customer, and the data as the table of signal types shows it. All money is in `currency`.
    pub fn line(&self, currency: &str, paint: Paint) -> String {
        let date = self.occurred_at.get(..10).unwrap_or_default();
        let entry = SignalType::of_name(&self.signal_type).map(SignalType::entry);
        let tone = entry.map_or(Tone::Neutral, |entry| entry.tone);
        let signal_type = format!("{:<16}", self.signal_type);
        format!(
            "{}  {}  {:<22}  {}",
            paint.with(DIM, date),
            paint.with(colour(tone), &signal_type),
            self.customer_id.as_deref().unwrap_or("a guest"),
            entry.map_or_else(String::new, |entry| self.detail(entry.line, currency))
        )
    }

    /// The parts of the type's line of which all fields have a value.
    fn detail(&self, line: &str, currency: &str) -> String {
        let parts = line.split(", ").filter_map(|part| self.part(part, currency));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// One part with the values in their places; none if one of them is null.
    fn part(&self, part: &str, currency: &str) -> Option<String> {
        let mut pieces = part.split('{');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (place, rest) = piece.split_once('}')?;
            match place {
                "currency" => text.push_str(currency),
                _ => text.push_str(&self.value(place)?),
            }
            text.push_str(rest);
        }
        Some(text)
    }

    /// A field of the data, in the form that the line asks for.
    fn value(&self, place: &str) -> Option<String> {
        let (name, form) = place.split_once(':').unwrap_or((place, "text"));
        let value = &self.data[name];
        match form {
            "number" => Some(format!("{:.0}", value.as_f64()?)),
            "percent" => Some(format!("{:.0} %", value.as_f64()? * 100.0)),
            "days" => match value.as_f64()?.round() {
                1.0 => Some("1 day".to_owned()),
                days => Some(format!("{days} days")),
            },
            _ => value.as_str().map(str::to_owned),
        }
    }
}

const fn colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => GREEN,
        Tone::Warning => YELLOW,
        Tone::Bad => RED,
        Tone::Neutral => CYAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(signal_type: &str, data: &str, line: &str) {
        let value = format!(
            r#"{{"id":"00","type":"{signal_type}","customer_id":"ada-birch-17","occurred_at":"2026-03-14T12:00:00.000Z","data":{data}}}"#
        );
        let signal = SignalRecord::parse(value.as_bytes()).expect("a signal");
        assert_eq!(signal.line("EUR", Paint::Plain), format!("2026-03-14  {line}"));
    }

    #[test]
    fn every_type_reads_well() {
        check(
            "first_order",
            r#"{"value":"42.10","currency":"EUR"}"#,
            "first_order       ada-birch-17            42.10 EUR",
        );
        check(
            "lapsed",
            r#"{"silence_days":63.2,"expected_gap_days":21}"#,
            "lapsed            ada-birch-17            silent for 63 days, expected after 21",
        );
        check(
            "at_risk",
            r#"{"silence_days":30,"expected_gap_days":null}"#,
            "at_risk           ada-birch-17            silent for 30 days",
        );
        check("won_back", r#"{"days_away":93.4}"#, "won_back          ada-birch-17            away 93 days");
        check(
            "lapse_retracted",
            r#"{"retracts":"00","retracted_type":"at_risk"}"#,
            "lapse_retracted   ada-birch-17            not at_risk: an order came late",
        );
        check(
            "frequency_fell",
            r#"{"ratio":2,"recent":18,"earlier":9}"#,
            "frequency_fell    ada-birch-17            every 18 days, was every 9 days",
        );
        check(
            "order_value_rose",
            r#"{"ratio":2,"recent":"80.00","earlier":"40.00"}"#,
            "order_value_rose  ada-birch-17            80.00 EUR an order, was 40.00",
        );
        check(
            "return_rate_high",
            r#"{"ratio":0.625,"refunded":"50.00","gross":"80.00","placed_orders":3}"#,
            "return_rate_high  ada-birch-17            50.00 EUR sent back, 62 % of 80.00",
        );
        check(
            "return_rate_high",
            r#"{"ratio":null,"refunded":"50.00","gross":"0.00","placed_orders":3}"#,
            "return_rate_high  ada-birch-17            50.00 EUR sent back",
        );
        check(
            "order_returned",
            r#"{"refund":"12.00","days_since_order":1.2}"#,
            "order_returned    ada-birch-17            12.00 EUR, after 1 day",
        );
        check(
            "order_returned",
            r#"{"refund":"12.00","days_since_order":null}"#,
            "order_returned    ada-birch-17            12.00 EUR",
        );
    }

    #[test]
    fn what_is_no_signal_is_none() {
        assert!(SignalRecord::parse(b"{}").is_none());
        assert!(SignalRecord::parse(b"\xff").is_none());
    }
}
