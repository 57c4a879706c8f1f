//! `healthcheck`: asks a probe of a running instance, for what can start a program but cannot ask over HTTP.

use std::net::SocketAddr;

use clap::Args;
use ureq::http::StatusCode;

use crate::commands::cli::CommonArguments;
use crate::commands::instance;
use crate::exit::{Exit, Failure};

/// A reason for each partition that is being restored.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

const CODES: &str = "Exit codes:\n  0   it is alive, or ready\n  1   it is not, or does not answer\n  64  wrong arguments\n  70  a bug\n  78  wrong configuration";

/// Arguments of `healthcheck`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = CODES)]
pub struct HealthcheckArguments {
    /// Address of the instance; default: http.listen
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Asks whether it is ready: every owned partition is restored
    #[arg(long)]
    pub ready: bool,
}

/// Asks the instance and returns the text to print.
///
/// # Errors
/// [`Exit::Unhealthy`] with the instance's reasons, or with why it gave no answer.
pub fn run(common: &CommonArguments, arguments: &HealthcheckArguments) -> Result<String, Failure> {
    let listen = match arguments.listen {
        Some(listen) => listen,
        None => instance::http_settings(common, "healthcheck")?.listen,
    };
    let address = instance::reachable(listen);
    let probe = if arguments.ready { "readyz" } else { "livez" };
    let url = format!("http://{address}/{probe}");
    let (status, body) = ask(&url).map_err(|error| {
        let message = format!(
            "no answer from {url}: {error}; is the service running there? --listen names another address"
        );
        Failure::message(Exit::Unhealthy, message)
    })?;
    if status == StatusCode::OK {
        return Ok(body);
    }
    Err(Failure::message(Exit::Unhealthy, format!("{url} answers {}: {}", status.as_u16(), body.trim_end())))
}

fn ask(url: &str) -> Result<(StatusCode, String), ureq::Error> {
    let mut response = instance::agent().get(url).call()?;
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    Ok((response.status(), body))
}
