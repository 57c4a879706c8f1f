//! `explain`: what is known of a customer and why, in words: by a running instance, asked over HTTP, or from files.

pub mod arguments;
mod files;
mod judgement;
mod words;

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use ureq::http::StatusCode;

use crate::commands::cli::CommonArguments;
use crate::commands::instance;
use crate::config::{HttpSettings, Secret};
use crate::exit::{Exit, Failure};

use arguments::ExplainArguments;
use words::in_words;

/// A profile has some 2 KiB, and each record that is held some 200 B.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Asks the instance, or reads the files, and returns the text to print.
///
/// # Errors
/// A file cannot be used; the instance cannot be reached or cannot answer ([`Exit::Unavailable`]), refuses ([`Exit::Permission`]), or knows no
/// such customer ([`Exit::Data`]).
pub fn run(common: &CommonArguments, arguments: &ExplainArguments) -> Result<String, Failure> {
    if !arguments.orders.is_empty() {
        return files::run(common, arguments);
    }
    if arguments.others.is_any() {
        let message = "--orders is missing: with files, it names those of the orders; without any, a running instance is asked";
        return Err(Failure::message(Exit::Usage, message));
    }
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
