//! `explain`: what a running instance knows of a customer, asked over HTTP and told in words.

use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::commands::cli::{self, CommonArguments, ExplainArguments};
use crate::config::{HttpSettings, Purpose, Secret};
use crate::exit::{Exit, Failure};

/// The server answers within 5 s or not at all.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A profile has some 2 KiB.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Asks and gives the text to print.
///
/// # Errors
/// The instance cannot be reached or cannot answer ([`Exit::Unavailable`]), refuses ([`Exit::Permission`]), or knows no
/// such customer ([`Exit::Data`]).
pub fn run(common: &CommonArguments, arguments: &ExplainArguments) -> Result<String, Failure> {
    let mut sources = common.sources()?;
    // Only [http] matters here; whoever asks the demo has no file.
    sources.fallbacks.push(("shop.currency", "EUR".to_owned(), "explain"));
    let HttpSettings { listen, token } = cli::load(&sources, Purpose::Offline)?.http;
    let address = reachable(arguments.address.unwrap_or(listen));
    let answer = ask(address, &arguments.customer, token.as_ref()).map_err(|error| {
        let message = format!(
            "no answer from {address}: {error}; is the service running there? --address names another"
        );
        Failure::message(Exit::Unavailable, message)
    })?;
    let (status, body) = split_answer(&answer).ok_or_else(|| {
        Failure::message(
            Exit::Unavailable,
            format!("{address} did not answer as this service does; --address names another"),
        )
    })?;
    if status != 200 {
        return Err(refusal(status, body, &arguments.customer));
    }
    if arguments.json {
        return Ok(format!("{body}\n"));
    }
    let body: Value = serde_json::from_str(body).map_err(|error| {
        Failure::message(Exit::Unavailable, format!("{address} answered no JSON: {error}"))
    })?;
    Ok(in_words(&body))
}

/// An address that is listened on is not always one that can be asked.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr, customer: &str, token: Option<&Secret>) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, WAIT_MAX)?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    let mut request = format!(
        "GET /v1/customers/{} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n",
        percent_encoded(customer)
    )
    .into_bytes();
    if let Some(token) = token {
        request.extend_from_slice(b"authorization: Bearer ");
        request.extend_from_slice(token.expose());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
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

/// Status and body. Our server sends bodies whole, with their length, never in chunks.
fn split_answer(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body))
}

fn refusal(status: u16, body: &str, customer: &str) -> Failure {
    let body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let reason = body["error"].as_str().unwrap_or("it gives no reason").to_owned();
    let partition = &body["partition"];
    match status {
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
        _ => Failure::message(Exit::Unavailable, format!("the instance answered {status}: {reason}")),
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
    let mut text = format!("  {} purchase days", customer["purchase_days"]);
    if !customer["mean_gap_days"].is_null() {
        write!(text, ", {} days apart on average", customer["mean_gap_days"]).expect("writing to a string");
    }
    if !customer["expected_gap_days"].is_null() {
        write!(text, "; the next order is expected after {} days", customer["expected_gap_days"])
            .expect("writing to a string");
    }
    text.push('\n');
    if !customer["customer_type"].is_null() {
        writeln!(text, "  customer type {}", plain(&customer["customer_type"])).expect("writing to a string");
    }
    text
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

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
