//! An explanation in words. What a running instance answers and what comes of files has the same form.

use std::fmt::Write as _;

use serde_json::Value;

use super::judgement;

/// The whole of it.
pub(super) fn in_words(body: &Value) -> String {
    let customer = &body["customer"];
    let mut text = format!("customer {}", plain(&customer["customer_id"]));
    if !body["partition"].is_null() {
        write!(text, ", partition {}, batch {}", body["partition"], body["batch"])
            .expect("writing to a string");
    }
    write!(text, ", clock {}", plain(&body["clock"])).expect("writing to a string");
    text.push_str(&staleness(&body["staleness_seconds"]));
    text.push_str("\n\n");
    text.push_str(&state(customer));
    text.push_str(&rhythm(customer));
    text.push_str(&figures(customer));
    let explanation = &body["explanation"];
    if explanation.is_object() {
        text.push_str(&records(explanation));
        text.push_str(&judgement::of_policy(explanation));
        text.push_str(&reasons(explanation));
        text.push_str(&outlook(customer));
        text.push_str(&tier(customer, explanation));
        text.push_str(&upcoming(explanation));
        text.push_str(&rules(explanation));
    }
    text
}

fn staleness(seconds: &Value) -> String {
    match seconds.as_f64() {
        Some(seconds) if seconds >= 0.05 => format!(", {seconds:.1} s behind its inputs"),
        Some(_) => ", caught up".to_owned(),
        None => String::new(),
    }
}

fn state(customer: &Value) -> String {
    let name = plain(&customer["state"]);
    let mut text = match (name.as_str(), customer["kind"].as_str()) {
        ("prospect", _) => return "prospect: no order was kept, so nothing is expected\n".to_owned(),
        ("active", Some(kind)) => {
            format!("active ({kind}) since the last kept order, {}\n", plain(&customer["since"]))
        }
        _ => format!(
            "{name} since {}: that long after the last kept order, {}\n",
            plain(&customer["since"]),
            plain(&customer["last_order_at"]),
        ),
    };
    let next = &customer["next"];
    if next.is_object() {
        let line =
            format!("  {} from {}, unless an order comes\n", plain(&next["state"]), plain(&next["at"]));
        text.push_str(&line);
    }
    text
}

fn rhythm(customer: &Value) -> String {
    let days = &customer["purchase_days"];
    let mut text = format!("  {days} purchase {}", plural(days));
    if !customer["mean_gap_days"].is_null() {
        write!(text, ", {} apart on average", in_days(&customer["mean_gap_days"]))
            .expect("writing to a string");
    }
    if !customer["expected_gap_days"].is_null() {
        write!(text, "; the next order is expected after {}", in_days(&customer["expected_gap_days"]))
            .expect("writing to a string");
    }
    text.push('\n');
    if !customer["customer_type"].is_null() {
        writeln!(text, "  customer type {}", plain(&customer["customer_type"])).expect("writing to a string");
    }
    text
}

fn in_days(days: &Value) -> String {
    format!("{days} {}", plural(days))
}

fn plural(days: &Value) -> &'static str {
    if *days == 1 { "day" } else { "days" }
}

fn figures(customer: &Value) -> String {
    let columns = ["placed", "kept", "returned_orders", "gross", "refunded", "cancelled", "net", "aov_net"];
    let mut text = format!("\n{:<10}", plain(&customer["currency"]));
    for column in columns {
        write!(text, "{column:>17}").expect("writing to a string");
    }
    text.push('\n');
    let blocks = ["30d", "90d", "365d"].map(|window| (window, &customer["windows"][window]));
    for (name, block) in blocks.into_iter().chain([("all time", &customer["all_time"])]) {
        write!(text, "{name:<10}").expect("writing to a string");
        for column in columns {
            write!(text, "{:>17}", plain(&block[column])).expect("writing to a string");
        }
        text.push('\n');
    }
    writeln!(text, "windows reach back from {}", plain(&customer["as_of"])).expect("writing to a string");
    text
}

/// Each record that is held one by one, and what it counts for.
fn records(explanation: &Value) -> String {
    let records = &explanation["records"];
    let currency = plain(&records["currency"]);
    let list = |name: &str| records[name].as_array().cloned().unwrap_or_default();
    let mut text = "\nrecords\n".to_owned();
    let mut line = |line: String| writeln!(text, "  {line}").expect("writing to a string");
    for order in list("orders") {
        let counts = plain(&order["counts"]);
        let why = match counts.as_str() {
            "kept" if order["refunded"].as_str().is_some_and(is_something) => {
                format!("kept: {} of it after refunds of {}", plain(&order["net"]), plain(&order["refunded"]))
            }
            "returned" => format!("not kept: {} refunded", plain(&order["refunded"])),
            "cancelled" => "not kept: cancelled".to_owned(),
            "test" => "does not count: a test order".to_owned(),
            "without_value" => "not kept: worth nothing".to_owned(),
            _ => counts.clone(),
        };
        line(format!(
            "{}  {:<20} {:>12} {currency}  {why}",
            plain(&order["placed_at"]),
            plain(&order["id"]),
            plain(&order["value"])
        ));
    }
    let remembered = &explanation["remembered"];
    if remembered["folded_orders"].as_u64().is_some_and(|count| count > 0) {
        line(format!(
            "{} older orders have folded into the sums of all time; the newest of them was placed at {}",
            remembered["folded_orders"],
            plain(&remembered["newest_folded_order_at"])
        ));
    }
    for returned in list("returns") {
        let order = plain(&returned["order"]);
        let against = match returned["counts"].as_str() {
            Some("named_order") => format!("of order {order}, which it names"),
            Some("fitting_order") => format!("of order {order}, the one that fits; it names none"),
            Some("named_order_missing") => {
                format!("names {order}, which is not known or too far apart: lowers the net value alone")
            }
            Some("test_order") => format!("does not count: names {order}, a test order"),
            Some(_) | None => "of no order: lowers the net value alone".to_owned(),
        };
        line(format!(
            "{}  {:<20} {:>12} {currency}  return {against}",
            plain(&returned["returned_at"]),
            plain(&returned["id"]),
            plain(&returned["refund"])
        ));
    }
    for cancellation in list("waiting_cancellations") {
        line(format!(
            "{}  {:<20} a cancellation that waits for its order",
            plain(&cancellation["cancelled_at"]),
            plain(&cancellation["order"])
        ));
    }
    let gaps = explanation["gaps_days"].as_array().cloned().unwrap_or_default();
    if !gaps.is_empty() {
        let gaps: Vec<String> = gaps.iter().map(Value::to_string).collect();
        line(format!("days between purchase days: {}", gaps.join(", ")));
    }
    text
}

fn is_something(amount: &str) -> bool {
    amount.bytes().any(|digit| matches!(digit, b'1'..=b'9'))
}

/// What was emitted, by which the next signals are decided.
fn reasons(explanation: &Value) -> String {
    let emitted = &explanation["emitted"];
    let mut text = format!("emitted so far: state {}", plain(&emitted["state"]));
    for name in ["at_risk", "lapsed"] {
        let open = &emitted[name];
        if open.is_object() {
            write!(text, ", open {name} {}", plain(&open["id"])).expect("writing to a string");
        }
    }
    text.push_str("\n  (signals themselves are not kept: they lie in the topic of signals)\n");
    text
}

/// Segment and model of the profile, where the shop has them.
fn outlook(customer: &Value) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string");
    let segment = &customer["segment"];
    if segment.is_object() {
        line(format!(
            "segment {}: recency {}, frequency {}, money {} of 5 by the cut points {}",
            plain(&segment["name"]),
            plain(&segment["r"]),
            plain(&segment["f"]),
            plain(&segment["m"]),
            plain(&segment["cuts"])
        ));
    }
    let model = &customer["model"];
    if model.is_object() {
        line(format!(
            "model {}: orders within 90 days with probability {}, expected orders in a year {}, worth {}",
            plain(&model["version"]),
            plain(&model["p_order_90d"]),
            plain(&model["expected_orders_365d"]),
            plain(&model["expected_value_365d"])
        ));
    }
    text
}

/// Points and tier, where the shop has them.
fn tier(customer: &Value, explanation: &Value) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string");
    if customer["points"].is_u64() {
        line(format!("points {}", customer["points"]));
    }
    let tier = &explanation["tier"];
    if tier.is_object() {
        let (from, next) = (&tier["kept_from"], &tier["next"]);
        let kept = if from.is_null() { String::new() } else { format!(", kept from {} on", plain(from)) };
        let next = match next.is_object() {
            true => format!("; {} from {} on", plain(&next["name"]), plain(&next["from"])),
            false => String::new(),
        };
        let net = plain(&tier["net"]);
        line(format!("tier {} by {net} in 365 days{kept}{next}", plain_or(&tier["name"], "none")));
        let change = &tier["change"];
        if change.is_object() {
            let (at, to) = (plain(&change["at"]), plain_or(&change["to"], "none"));
            line(format!("  tier {to} from {at}, if no record comes"));
        }
    }
    text
}

fn upcoming(explanation: &Value) -> String {
    let upcoming = explanation["upcoming"].as_array().cloned().unwrap_or_default();
    if upcoming.is_empty() {
        return "\nif no record comes, nothing more is emitted\n".to_owned();
    }
    let mut text = "\nif no record comes\n".to_owned();
    for instant in upcoming {
        let list = |name: &str| instant[name].as_array().cloned().unwrap_or_default();
        let mut signals: Vec<String> =
            list("signals").iter().map(plain).filter(|name| name != "rule").collect();
        signals.extend(
            list("rules")
                .iter()
                .map(|rule| format!("rule {} {}", plain(&rule["rule"]), plain(&rule["action"]))),
        );
        writeln!(text, "  {}  {}", plain(&instant["at"]), signals.join(", ")).expect("writing to a string");
    }
    text
}

fn plain_or(value: &Value, otherwise: &str) -> String {
    if value.is_null() { otherwise.to_owned() } else { plain(value) }
}

/// Where each rule stands.
fn rules(explanation: &Value) -> String {
    let rules = explanation["rules"].as_array().cloned().unwrap_or_default();
    if rules.is_empty() {
        return String::new();
    }
    let mut text = "\nrules\n".to_owned();
    for rule in rules {
        let parts: Vec<String> =
            [planned(&rule), fired(&rule), hindrance(&rule)].into_iter().flatten().collect();
        let what = match &*parts {
            [] => format!("waits for {}", plain(&rule["on"])),
            parts => parts.join("; "),
        };
        let held_out = if rule["action"] == "withheld" { " (held out: it would say withheld)" } else { "" };
        writeln!(text, "  {:<16} {what}{held_out}", plain(&rule["rule"])).expect("writing to a string");
    }
    text
}

fn planned(rule: &Value) -> Option<String> {
    let list = |name: &str| -> Vec<String> {
        rule[name].as_array().map(|values| values.iter().map(plain).collect()).unwrap_or_default()
    };
    let (planned, ends) = (list("planned"), list("cancel_on"));
    let turn = rule["next_turn"].as_str().map(|at| format!("next turn {at}"));
    match (planned.is_empty(), ends.is_empty()) {
        (true, _) => turn,
        (false, true) => Some(format!("planned for {}", planned.join(", "))),
        (false, false) => {
            Some(format!("planned for {}, unless {} comes", planned.join(", "), ends.join(" or ")))
        }
    }
}

fn fired(rule: &Value) -> Option<String> {
    let last = rule["last"]["at"].as_str()?;
    let variant = rule["variant"].as_str().map(|variant| format!(" as {variant}")).unwrap_or_default();
    let verb = if rule["action"] == "withheld" { "withheld" } else { "fired" };
    Some(format!("{verb} last at {last}{variant}"))
}

fn hindrance(rule: &Value) -> Option<String> {
    let detail = || plain(&rule["hindrance"]["detail"]);
    Some(match rule["hindrance"]["reason"].as_str()? {
        "switched_off" => "switched off".to_owned(),
        "fired_once" => "fires once for each customer".to_owned(),
        "cool_down" => format!("does not fire again {}", detail()),
        "condition" => format!("its `if` is false now: {}", detail()),
        _ => format!("its cap is reached: {}", detail()),
    })
}

/// A value as it is read.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
