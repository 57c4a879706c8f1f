//! Connections that fail: the last reason, in few words. The clients try again by themselves and report every attempt, some ten a
//! second without brokers, so their reports are only kept here; the watch logs what they add up to.

use std::sync::Mutex;

use rdkafka::error::RDKafkaErrorCode;

/// Log lines of the client about one connection, by their facility: a failure, a request without an answer.
const OF_A_CONNECTION: &[&str] = &["FAIL", "REQTMOUT"];

/// Log lines about what follows: no producer id, no answer to heartbeats. The worker reports the partitions that it loses.
const CONSEQUENCES: &[&str] = &["GETPID", "SESSTMOUT"];

/// What the clients of one process have reported of their connections.
#[derive(Default, Debug)]
pub struct Troubles {
    last: Mutex<Option<String>>,
}

impl Troubles {
    /// Keeps the reason of a failed connection, in the client's words.
    pub fn note(&self, reason: &str) {
        if let Some(reason) = in_few_words(reason) {
            *self.last.lock().expect("no panic under this lock") = Some(reason);
        }
    }

    /// The last reason since this was last asked.
    pub fn take(&self) -> Option<String> {
        self.last.lock().expect("no panic under this lock").take()
    }
}

/// Whether an error that the client reports beside its calls is about a connection.
pub fn is_of_a_connection(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
        )
    )
}

/// Whether a log line of the client is about a connection.
pub fn is_logged_of_a_connection(facility: &str) -> bool {
    OF_A_CONNECTION.contains(&facility)
}

/// Whether a log line of the client says what follows from failed connections.
pub fn is_a_consequence(facility: &str) -> bool {
    CONSEQUENCES.contains(&facility)
}

/// `127.0.0.1:9092: connection refused`. None for a count of brokers that are down, which has no reason.
fn in_few_words(reason: &str) -> Option<String> {
    if reason.ends_with("brokers are down") {
        return None;
    }
    // How long it took, in which state of the client's.
    let reason = reason.split(" (after ").next().unwrap_or(reason);
    // `[thrd:127.0.0.1:9092/bootstrap]: 127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused`
    let reason = reason.rsplit_once("]: ").map_or(reason, |(_, reason)| reason);
    // `GroupCoordinator: 127.0.0.1:9092: Connect to ...`: the client's name for a broker that it needs for this.
    let reason = match reason.split_once(": ") {
        Some((name, rest)) if name.ends_with("Coordinator") => rest,
        Some(_) | None => reason,
    };
    if let Some((_, unresolved)) = reason.split_once("Failed to resolve '") {
        let (server, why) = unresolved.split_once("': ").unwrap_or((unresolved, "unknown host"));
        return Some(format!("{server}: host name cannot be resolved ({})", lowercase(why)));
    }
    let Some((broker, what)) = reason.split_once(": ") else { return Some(reason.to_owned()) };
    // `127.0.0.1:9092/bootstrap`, `sasl_ssl://kafka:9093/1`
    let server = broker.rsplit_once("://").map_or(broker, |(_, server)| server);
    let server = server.split('/').next().unwrap_or(server);
    let what = match what.strip_prefix("Connect to ").and_then(|rest| rest.split_once(" failed: ")) {
        Some((_, why)) => why,
        None => what,
    };
    Some(format!("{server}: {}", lowercase(what)))
}

/// With a small first letter, unless the second is a capital too: an abbreviation.
fn lowercase(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_server_and_what_happened() {
        for (reported, expected) in [
            (
                "127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)",
                Some("127.0.0.1:9092: connection refused"),
            ),
            (
                "GroupCoordinator: 127.0.0.1:9092: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)",
                Some("127.0.0.1:9092: connection refused"),
            ),
            (
                "[thrd:sasl_ssl://kafka:9093/1]: sasl_ssl://kafka:9093/1: Disconnected (after 2ms in state UP)",
                Some("kafka:9093: disconnected"),
            ),
            (
                "nohost:9092/bootstrap: Failed to resolve 'nohost:9092': Name or service not known (after 3ms in state CONNECT)",
                Some("nohost:9092: host name cannot be resolved (name or service not known)"),
            ),
            (
                "sasl_plaintext://k:1/bootstrap: SASL authentication error: Authentication failed (after 2ms in state AUTH_REQ)",
                Some("k:1: SASL authentication error: Authentication failed"),
            ),
            (
                "k:1/1: Timed out 0 in-flight, 1 retry-queued requests: disconnect",
                Some("k:1: timed out 0 in-flight, 1 retry-queued requests: disconnect"),
            ),
            ("1/1 brokers are down", None),
            ("something else", Some("something else")),
        ] {
            assert_eq!(in_few_words(reported).as_deref(), expected);
        }
    }

    #[test]
    fn a_reason_is_given_once() {
        let troubles = Troubles::default();
        troubles.note("k:1/1: Disconnected");
        troubles.note("2/2 brokers are down");
        assert_eq!(troubles.take().as_deref(), Some("k:1: disconnected"));
        assert_eq!(troubles.take(), None);
    }
}
