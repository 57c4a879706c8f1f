//! A running instance, as other commands ask it over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ureq::Agent;

use crate::commands::cli::{self, CommonArguments};
use crate::config::{HttpSettings, Purpose};
use crate::exit::Failure;

/// The server answers within 5 s or not at all.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What the configuration says of HTTP. Nothing else of it matters to `command`, and a user who asks the demo has no file.
///
/// # Errors
/// The configuration cannot be used.
pub fn http_settings(common: &CommonArguments, command: &'static str) -> Result<HttpSettings, Failure> {
    let mut sources = common.sources()?;
    sources.fallbacks.push(("shop.currency", "EUR".to_owned(), command));
    Ok(cli::load(&sources, Purpose::Offline)?.http)
}

/// The address to ask: a server that listens on every interface is asked over loopback.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

/// A client that gives up in time. Requests go to the instance itself, whatever the environment says about proxies: one may hold
/// the token.
pub fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(WAIT_MAX))
        .build()
        .new_agent()
}
