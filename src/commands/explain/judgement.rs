//! How a policy comes to its deadlines, with the numbers of one customer put in.

use chrono::DateTime;
use serde_json::Value;

use super::words::plain;

const HOUR_MS: i64 = 3_600_000;

/// The policy, its formula, and both deadlines; what silence has to do with it without a kept order.
pub(super) fn of_policy(explanation: &Value) -> String {
    let policy = &explanation["policy"];
    let mut text = format!("\npolicy {} ({})\n", plain(&policy["name"]), plain(&policy["version"]));
    let (history, deadlines) = (&explanation["history"], &explanation["deadlines"]);
    if !history.is_object() {
        text.push_str("  no order was kept, so no silence is judged\n");
        return text;
    }
    let parameters = &policy["parameters"];
    let formula = match policy["name"].as_str() {
        Some("cadence") => cadence(parameters, history),
        Some("model") => model(parameters, history, &explanation["judged_by"], deadlines),
        Some(_) | None => format!(
            "at risk after {} days of silence, lapsed after {}",
            number(&parameters["at_risk_days"]),
            number(&parameters["lapsed_days"])
        ),
    };
    text.push_str(&format!("  {formula}\n"));
    if deadlines.is_object() {
        let [at_risk, lapsed] = ["at_risk", "lapsed"].map(|name| plain(&deadlines[name]));
        text.push_str(&format!(
            "  after the last kept order, {}: at risk from {at_risk}, lapsed from {lapsed}\n",
            plain(&history["last_order_at"])
        ));
    }
    text
}

fn cadence(parameters: &Value, history: &Value) -> String {
    let of = |name: &str| parameters[name].as_f64().unwrap_or_default();
    let (prior, weight) = (of("prior_gap_days"), of("prior_weight"));
    let (gaps, span) =
        (history["gaps"].as_f64().unwrap_or_default(), history["span_days"].as_f64().unwrap_or_default());
    let expected = (span + weight * prior) / (gaps + weight);
    let bounded = |name: &str| {
        let [low, high] = ["min", "max"].map(|bound| of(&format!("{name}_days_{bound}")));
        let days = expected * of(&format!("{name}_factor"));
        let bound = match days {
            days if days < low => format!(", but no less than {low}"),
            days if days > high => format!(", but no more than {high}"),
            _ => String::new(),
        };
        format!("× {} = {}{bound} days", of(&format!("{name}_factor")), rounded(days))
    };
    format!(
        "expected gap ({span} + {weight} · {prior}) / ({gaps} + {weight}) = {} days; at risk {}; lapsed {}",
        rounded(expected),
        bounded("at_risk"),
        bounded("lapsed")
    )
}

fn model(parameters: &Value, history: &Value, judged_by: &Value, deadlines: &Value) -> String {
    let of_new = judged_by["of_new_customer"].as_f64().unwrap_or_default();
    let last = millis(&history["last_order_at"]);
    let reached = |name: &str| {
        let share = parameters[format!("{name}_share")].as_f64().unwrap_or_default();
        let hours = last.zip(millis(&deadlines[name])).map(|(last, deadline)| (deadline - last) / HOUR_MS);
        let hours = hours.map_or_else(|| "-".to_owned(), |hours| hours.to_string());
        format!("× {share} = {:.4}, reached {hours} h after the last order", of_new * share)
    };
    format!(
        "model {}, for silences since {}: a new customer orders within {} days with probability {of_new:.4}; at risk below that {}; lapsed \
         below that {}",
        plain(&judged_by["version"]),
        plain(&judged_by["effective_at"]),
        number(&parameters["horizon_days"]),
        reached("at_risk"),
        reached("lapsed")
    )
}

fn millis(value: &Value) -> Option<i64> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|time| time.timestamp_millis())
}

fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| plain(value), |number| number.to_string())
}

/// At most three decimals.
fn rounded(days: f64) -> f64 {
    (days * 1_000.0).round() / 1_000.0
}
