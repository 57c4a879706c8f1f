//! Who may read customer data.
//!
//! On loopback, every local client; but a web page in a browser on this machine can reach the port too, under a name of
//! its own that it points here, so the request must name this machine. Beyond loopback, and wherever a token is
//! configured, only clients with the token.

use std::net::{IpAddr, SocketAddr};

use axum::http::{
    HeaderMap,
    header::{AUTHORIZATION, HOST},
};

use crate::config::Secret;

/// The rule for this listener.
#[derive(Clone)]
pub(super) enum Access {
    /// Requests that name this machine.
    Loopback,
    /// Requests with this token, kept as its hash: comparing hashes takes the same time wherever a guess is wrong.
    Token(blake3::Hash),
    /// None.
    Closed,
}

/// Why a request may not read customer data.
#[derive(Debug, PartialEq)]
pub(super) enum Denied {
    /// Another request may: with the right token.
    Unauthorized,
    /// No request may, here or under this name.
    Forbidden(&'static str),
}

impl Access {
    pub(super) fn new(address: SocketAddr, token: Option<&Secret>) -> Self {
        match token {
            Some(token) => Self::Token(blake3::hash(token.expose())),
            None if address.ip().is_loopback() => Self::Loopback,
            None => Self::Closed,
        }
    }

    /// A warning for the log at the start.
    pub(super) fn warning(&self) -> Option<&'static str> {
        match self {
            Self::Loopback | Self::Token(_) => None,
            Self::Closed => Some(
                "customer data is not served beyond loopback without http.token_file; metrics and probes are",
            ),
        }
    }

    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        match self {
            Self::Loopback if names_this_machine(headers) => Ok(()),
            Self::Loopback => Err(Denied::Forbidden("customer data is served to localhost only")),
            Self::Token(expected) => match bearer_token(headers) {
                Some(token) if blake3::hash(token) == *expected => Ok(()),
                Some(_) | None => Err(Denied::Unauthorized),
            },
            Self::Closed => {
                Err(Denied::Forbidden("customer data is not served on this address without http.token_file"))
            }
        }
    }
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &str, token: Option<&str>, headers: &[(&'static str, &str)]) -> Result<(), Denied> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header value"));
        }
        let secret = token.map(|token| Secret::new(token.as_bytes()));
        Access::new(listen.parse().expect("an address"), secret.as_ref()).check(&map)
    }

    #[test]
    fn loopback_answers_requests_that_name_this_machine() {
        for host in ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "127.0.0.1", "[::1]:9464", "[::1]"] {
            assert_eq!(check("127.0.0.1:9464", None, &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "shop.example",
            "shop.example:9464",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.evil:80",
            "",
        ] {
            let denied = check("127.0.0.1:9464", None, &[("host", host)]);
            assert!(matches!(denied, Err(Denied::Forbidden(_))), "{host}");
        }
        assert!(check("127.0.0.1:9464", None, &[]).is_err());
    }

    #[test]
    fn beyond_loopback_nothing_is_served_without_a_token() {
        let denied = check("0.0.0.0:9464", None, &[("host", "localhost"), ("authorization", "Bearer x")]);
        assert!(matches!(denied, Err(Denied::Forbidden(_))));
    }

    #[test]
    fn a_configured_token_is_asked_for_everywhere() {
        for listen in ["127.0.0.1:9464", "0.0.0.0:9464"] {
            let with = |authorization| check(listen, Some("s3cret"), &[("authorization", authorization)]);
            assert_eq!(with("Bearer s3cret"), Ok(()));
            assert_eq!(with("bearer s3cret"), Ok(()));
            for wrong in ["Bearer s3cre", "Bearer s3crett", "Bearer", "Bearer ", "Basic s3cret", "s3cret"] {
                assert_eq!(with(wrong), Err(Denied::Unauthorized), "{wrong}");
            }
            assert_eq!(check(listen, Some("s3cret"), &[("host", "localhost")]), Err(Denied::Unauthorized));
        }
    }
}
