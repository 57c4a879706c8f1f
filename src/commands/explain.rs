//! `explain`: what a running instance knows of a customer, asked over HTTP and printed in words.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use ureq::http::StatusCode;

use crate::commands::cli::{CommonArguments, ExplainArguments};
use crate::commands::instance;
use crate::config::{HttpSettings, Secret};
use crate::exit::{Exit, Failure};

/// A profile has some 2 KiB.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Asks the instance and returns the text to print.
///
/// # Errors
/// The instance cannot be reached or cannot answer ([`Exit::Unavailable`]), refuses ([`Exit::Permission`]), or knows no
/// such customer ([`Exit::Data`]).
pub fn run(common: &CommonArguments, arguments: &ExplainArguments) -> Result<String, Failure> {
    let HttpSettings { listen, token } = instance::http_settings(common, "explain")?;
    let address = instance::reachable(arguments.address.unwrap_or(listen));
    let (status, body) = ask(address, &arguments.customer, token.as_ref()).map_err(|error| {
        let message = format!(
            "no answer from {address}: {error}; is the service running there? --address names another"
        );
        Failure::message(Exit::Unavailable, message)
    })?;
    if status != StatusCode::OK {
        return Err(refusal(status, &body, &arguments.customer));
    }
    if arguments.json {
        return Ok(format!("{body}\n"));
    }
    let body: Value = serde_json::from_str(&body).map_err(|error| {
        let message =
            format!("{address} did not answer as this service does: {error}; --address names another");
        Failure::message(Exit::Unavailable, message)
    })?;
    Ok(in_words(&body))
}

fn ask(
    address: SocketAddr,
    customer: &str,
    token: Option<&Secret>,
) -> Result<(StatusCode, String), ureq::Error> {
    let url = format!("http://{address}/v1/customers/{}?explain", percent_encoded(customer));
    let mut request = instance::agent().get(url);
    if let Some(token) = token {
        request = request.header("authorization", [b"Bearer ", token.expose()].concat());
    }
    let mut response = request.call()?;
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    Ok((response.status(), body))
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string");
        }
    }
    encoded
}

fn refusal(status: StatusCode, body: &str, customer: &str) -> Failure {
    let body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let reason = body["error"].as_str().unwrap_or("it gives no reason").to_owned();
    let partition = &body["partition"];
    match status.as_u16() {
        401 => Failure::message(
            Exit::Permission,
            "the instance wants its token; set http.token_file to the same file",
        ),
        403 => Failure::message(Exit::Permission, reason),
        404 => Failure::message(
            Exit::Data,
            format!(
                "no customer {customer:?} (partition {partition}); keys are compared as they stand in the records"
            ),
        ),
        421 => Failure::message(
            Exit::Unavailable,
            format!("another instance owns partition {partition}; ask that one with --address"),
        ),
        code => Failure::message(Exit::Unavailable, format!("the instance answered {code}: {reason}")),
    }
}

fn in_words(body: &Value) -> String {
    let customer = &body["customer"];
    let mut text = format!(
        "customer {}, partition {}, batch {}, clock {}{}\n\n",
        plain(&customer["customer_id"]),
        body["partition"],
        body["batch"],
        plain(&body["clock"]),
        staleness(&body["staleness_seconds"]),
    );
    text.push_str(&state(customer));
    text.push_str(&rhythm(customer));
    text.push_str(&figures(customer));
    text.push_str(&reasons(&body["explanation"]));
    text
}

fn staleness(seconds: &Value) -> String {
    match seconds.as_f64() {
        Some(seconds) if seconds >= 0.05 => format!(", {seconds:.1} s behind its inputs"),
        Some(_) | None => ", caught up".to_owned(),
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

/// What facts and signals follow from; empty if the instance does not say it.
fn reasons(explanation: &Value) -> String {
    let Value::Object(parameters) = &explanation["policy"]["parameters"] else { return String::new() };
    let mut text = format!("\npolicy {}", plain(&explanation["policy"]["name"]));
    for (name, value) in parameters {
        let number = value.as_f64().map_or_else(|| plain(value), |number| number.to_string());
        write!(text, ", {name} {number}").expect("writing to a string");
    }
    let deadlines = &explanation["deadlines"];
    if deadlines.is_object() {
        let [at_risk, lapsed] = ["at_risk", "lapsed"].map(|name| plain(&deadlines[name]));
        write!(text, "\ndeadlines at_risk {at_risk}, lapsed {lapsed}").expect("writing to a string");
    }
    let emitted = &explanation["emitted"];
    write!(text, "\nemitted so far: state {}", plain(&emitted["state"])).expect("writing to a string");
    for name in ["at_risk", "lapsed"] {
        let open = &emitted[name];
        if open.is_object() {
            write!(text, ", open {name} {}", plain(&open["id"])).expect("writing to a string");
        }
    }
    let next = &explanation["next"];
    match next.is_object() {
        true => writeln!(text, "\nnext instant {} ({})", plain(&next["at"]), plain(&next["change"])),
        false => writeln!(text, "\nthe clock alone changes nothing more"),
    }
    .expect("writing to a string");
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
