//! A signal as a line that people can read.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

/// A signal as a subscriber reads it from the topic.
#[derive(Deserialize, Debug)]
pub struct SignalRecord {
    #[serde(rename = "type")]
    pub signal_type: String,
    customer_id: String,
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

    /// Date, type, customer and what matters of the data. Money of ratios is in `currency`.
    pub fn line(&self, currency: &str, paint: Paint) -> String {
        let date = self.occurred_at.get(..10).unwrap_or_default();
        let signal_type = format!("{:<16}", self.signal_type);
        format!(
            "{}  {}  {:<22}  {}",
            paint.with(DIM, date),
            paint.with(colour(&self.signal_type), &signal_type),
            self.customer_id,
            self.detail(currency)
        )
    }

    fn detail(&self, currency: &str) -> String {
        match self.signal_type.as_str() {
            "first_order" | "second_order" => format!("{} {currency}", self.text("value")),
            "at_risk" | "lapsed" => {
                let mut detail = format!("silent for {}", self.days("silence_days"));
                if self.data["expected_gap_days"].is_number() {
                    let expected = self.data["expected_gap_days"].as_f64().unwrap_or_default();
                    let _ = write!(detail, ", expected after {expected:.0}");
                }
                detail
            }
            "recovered" | "won_back" => format!("away {}", self.days("days_away")),
            "lapse_retracted" => format!("not {}: an order came late", self.text("retracted_type")),
            "frequency_fell" | "frequency_rose" => {
                format!("every {}, was every {}", self.days("recent"), self.days("earlier"))
            }
            "order_value_fell" | "order_value_rose" => {
                format!("{} {currency} an order, was {}", self.text("recent"), self.text("earlier"))
            }
            "return_rate_high" => {
                let share = self.data["ratio"].as_f64().unwrap_or_default() * 100.0;
                format!("{share:.0} % of {} {currency} sent back", self.text("gross"))
            }
            "order_cancelled" => format!("{} {currency}", self.text("value")),
            "order_returned" if self.data["days_since_order"].is_number() => {
                format!("{} {currency}, after {}", self.text("refund"), self.days("days_since_order"))
            }
            "order_returned" => format!("{} {currency}", self.text("refund")),
            "became_prospect" => "no order is left that was kept".to_owned(),
            _ => String::new(),
        }
    }

    fn text(&self, name: &str) -> &str {
        self.data[name].as_str().unwrap_or("?")
    }

    fn days(&self, name: &str) -> String {
        let days = self.data[name].as_f64().unwrap_or_default().round();
        if days == 1.0 { "1 day".to_owned() } else { format!("{days} days") }
    }
}

fn colour(signal_type: &str) -> &'static str {
    match signal_type {
        "first_order" | "second_order" | "recovered" | "won_back" | "lapse_retracted" => GREEN,
        "at_risk" | "return_rate_high" | "frequency_fell" | "order_value_fell" => YELLOW,
        "lapsed" | "became_prospect" => RED,
        _ => CYAN,
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
            "return_rate_high  ada-birch-17            62 % of 80.00 EUR sent back",
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
