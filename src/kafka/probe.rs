//! Why no broker can be used: looks at each address of `bootstrap.servers` as a stranger would. The client only reports that it is
//! not connected, whatever the reason.
//!
//! ```text
//!  name ─► address ─► connection ─► SaslHandshake in plain text ─► Kafka: does it want a log-in, by which mechanisms?
//!                                                               └► something else: does it answer a TLS hello?
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::config::KafkaOptions;
use crate::exit::Exit;

/// The longest that a connection, or an answer, is waited for.
const WITHIN: Duration = Duration::from_secs(2);
/// Of many addresses only the first are looked at.
const SERVERS_MAX: usize = 3;
const PORT_DEFAULT: u16 = 9_092;
/// An answer to a handshake holds some names.
const ANSWER_BYTES_MAX: usize = 4_096;
/// In the request, and in its answer.
const CORRELATION: [u8; 4] = *b"look";
const ILLEGAL_SASL_STATE: i16 = 34;

/// What stands in the way, and how the program ends for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Obstacle {
    pub exit: Exit,
    pub sentence: String,
}

/// What is found at an address.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Listener {
    UnknownHost,
    Refused,
    Unreachable(ErrorKind),
    /// It takes connections and says nothing.
    Silent,
    Tls,
    /// It says something, or closes the connection.
    Foreign {
        is_http: bool,
    },
    Plain(LogIn),
}

/// Whether a listener wants a log-in.
#[derive(Clone, PartialEq, Eq, Debug)]
enum LogIn {
    None,
    /// By one of these mechanisms.
    Sasl(Vec<String>),
}

/// What the configuration asks for.
struct Wanted<'a> {
    protocol: &'a str,
    tls: bool,
    /// The mechanism of the log-in, if there is one.
    mechanism: Option<&'a str>,
}

/// What keeps the client from the brokers, if that shows at every address.
pub(super) fn look(options: &KafkaOptions) -> Option<Obstacle> {
    let wanted = Wanted::of(options);
    let servers = options.bootstrap_servers()?.split(',').map(str::trim).filter(|server| !server.is_empty());
    // One address that fits is enough for the client: what it then fails at is not to be seen from here.
    let obstacles: Option<Vec<Obstacle>> =
        servers.take(SERVERS_MAX).map(|server| wanted.obstacle(server, &listener(server))).collect();
    let obstacles = obstacles?;
    let sentences: Vec<&str> = obstacles.iter().map(|obstacle| obstacle.sentence.as_str()).collect();
    Some(Obstacle { exit: obstacles.first()?.exit, sentence: sentences.join("; ") })
}

impl<'a> Wanted<'a> {
    fn of(options: &'a KafkaOptions) -> Self {
        let protocol = options.get("security.protocol").unwrap_or("plaintext");
        let is = |part: &str| protocol.to_ascii_lowercase().contains(part);
        let mechanism = options.get("sasl.mechanism").or(options.get("sasl.mechanisms")).unwrap_or("GSSAPI");
        Self { protocol, tls: is("ssl"), mechanism: is("sasl").then_some(mechanism) }
    }

    /// None if what is there is what the configuration asks for, as far as that shows.
    fn obstacle(&self, server: &str, listener: &Listener) -> Option<Obstacle> {
        let Self { protocol, tls, mechanism } = *self;
        let away = |what: String| Some(Obstacle { exit: Exit::Unavailable, sentence: what });
        let wrong = |what: String| Some(Obstacle { exit: Exit::Configuration, sentence: what });
        match listener {
            Listener::UnknownHost => away(format!(
                "cannot reach Kafka at {server}: the host is unknown; correct kafka.bootstrap.servers, or this machine's name service"
            )),
            Listener::Refused => away(format!(
                "cannot reach Kafka at {server}: connection refused; is the broker running, and is that its port for clients?"
            )),
            Listener::Unreachable(kind) => away(format!(
                "cannot reach Kafka at {server}: {kind}; does a firewall or a wrong address keep the connection from it?"
            )),
            Listener::Silent => away(format!(
                "{server} takes connections but does not answer: the broker stands still, or another program listens there"
            )),
            Listener::Foreign { is_http } => away(format!(
                "what listens at {server} does not speak Kafka{}: set kafka.bootstrap.servers to the broker's port for clients",
                if *is_http { ", but HTTP" } else { "" }
            )),
            Listener::Tls if tls => None,
            Listener::Tls => wrong(format!(
                "{server} speaks TLS, but kafka.security.protocol is {protocol}: set it to {}, or use the port of a listener without \
                 TLS",
                if mechanism.is_some() { "sasl_ssl" } else { "ssl, or to sasl_ssl if clients log in" }
            )),
            Listener::Plain(_) if tls => wrong(format!(
                "{server} speaks plain text, but kafka.security.protocol is {protocol}: use the port of its listener with TLS, or set \
                 kafka.security.protocol to {}",
                if mechanism.is_some() { "sasl_plaintext" } else { "plaintext" }
            )),
            Listener::Plain(log_in) => self.obstacle_to_log_in(server, log_in),
        }
    }

    fn obstacle_to_log_in(&self, server: &str, log_in: &LogIn) -> Option<Obstacle> {
        let sentence = match (log_in, self.mechanism) {
            (LogIn::None, None) => return None,
            (LogIn::None, Some(_)) => format!(
                "{server} takes no log-in (SASL), but kafka.security.protocol is {}: use the port of its listener with SASL, or set \
                 kafka.security.protocol to plaintext",
                self.protocol
            ),
            (LogIn::Sasl(offered), None) => format!(
                "{server} wants a log-in (SASL by {}), but kafka.security.protocol is {}: set it to sasl_plaintext, and \
                 kafka.sasl.mechanism, kafka.sasl.username and kafka.sasl.password.file",
                offered.join(" or "),
                self.protocol
            ),
            (LogIn::Sasl(offered), Some(mechanism)) => {
                if offered.iter().any(|offered| offered.eq_ignore_ascii_case(mechanism)) {
                    return None;
                }
                format!(
                    "{server} takes log-ins (SASL) by {}, but kafka.sasl.mechanism is {mechanism}: set it to one of those",
                    offered.join(" or ")
                )
            }
        };
        Some(Obstacle { exit: Exit::Configuration, sentence })
    }
}

/// What listens at a server's address.
fn listener(server: &str) -> Listener {
    let Some(addresses) = addresses(server) else { return Listener::UnknownHost };
    let mut failed = ErrorKind::NotFound;
    for address in addresses {
        match ask(address, &sasl_handshake()) {
            Ok(answer) => return answered(address, &answer),
            Err(error) => failed = error.kind(),
        }
    }
    if failed == ErrorKind::ConnectionRefused { Listener::Refused } else { Listener::Unreachable(failed) }
}

fn answered(address: SocketAddr, answer: &Answer) -> Listener {
    if let Some(log_in) = log_in(&answer.bytes) {
        return Listener::Plain(log_in);
    }
    if is_tls(&answer.bytes) || ask(address, &TLS_HELLO).is_ok_and(|answer| is_tls(&answer.bytes)) {
        return Listener::Tls;
    }
    let http = ask(address, b"GET / HTTP/1.0\r\n\r\n");
    let is_http = http.as_ref().is_ok_and(|answer| answer.bytes.starts_with(b"HTTP/"));
    let is_silent = answer.is_silent() && http.is_ok_and(|answer| answer.is_silent());
    if is_silent { Listener::Silent } else { Listener::Foreign { is_http } }
}

/// None if the name is unknown.
fn addresses(server: &str) -> Option<Vec<SocketAddr>> {
    let server = server.rsplit_once("://").map_or(server, |(_, server)| server);
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let found = if has_port { server.to_socket_addrs() } else { (server, PORT_DEFAULT).to_socket_addrs() };
    found.ok().map(Iterator::collect).filter(|addresses: &Vec<SocketAddr>| !addresses.is_empty())
}

/// What came back on a connection.
struct Answer {
    bytes: Vec<u8>,
    has_closed: bool,
}

impl Answer {
    fn is_silent(&self) -> bool {
        self.bytes.is_empty() && !self.has_closed
    }
}

/// Sends some bytes on a connection of its own, and takes what comes back at once.
///
/// # Errors
/// There is no connection.
fn ask(address: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_write_timeout(Some(WITHIN))?;
    let mut bytes = vec![0; ANSWER_BYTES_MAX];
    let read = stream.write_all(request).and_then(|()| stream.read(&mut bytes));
    let is_waiting = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    let (len, has_closed) = match read {
        Ok(len) => (len, len == 0),
        Err(error) => (0, !is_waiting(&error)),
    };
    bytes.truncate(len);
    Ok(Answer { bytes, has_closed })
}

/// A request that every listener of a broker answers before a log-in: one with SASL by its mechanisms, because it knows none of this
/// name, and one without by an error.
fn sasl_handshake() -> Vec<u8> {
    let mut request = Vec::new();
    request.extend_from_slice(&17_i16.to_be_bytes());
    request.extend_from_slice(&1_i16.to_be_bytes());
    request.extend_from_slice(&CORRELATION);
    // No client id.
    request.extend_from_slice(&(-1_i16).to_be_bytes());
    put_text(&mut request, "WHICH");
    let mut framed = i32::try_from(request.len()).expect("a few bytes").to_be_bytes().to_vec();
    framed.append(&mut request);
    framed
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&i16::try_from(text.len()).expect("a few bytes").to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What a broker's answer to the handshake says; none if it is no such answer.
fn log_in(answer: &[u8]) -> Option<LogIn> {
    let answer = answer.get(4..)?.strip_prefix(&CORRELATION)?;
    let (error, mut rest) = answer.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*error) == ILLEGAL_SASL_STATE {
        return Some(LogIn::None);
    }
    let (count, names) = rest.split_first_chunk::<4>()?;
    rest = names;
    let mut mechanisms = Vec::new();
    for _ in 0..i32::from_be_bytes(*count).clamp(0, 100) {
        let (len, text) = rest.split_first_chunk::<2>()?;
        let len = usize::try_from(i16::from_be_bytes(*len)).ok()?;
        mechanisms.push(String::from_utf8_lossy(text.get(..len)?).into_owned());
        rest = &text[len..];
    }
    Some(LogIn::Sasl(mechanisms))
}

/// The beginning of a TLS connection; nothing goes on from the answer. TLS 1.2 with ciphers that most servers know.
const TLS_HELLO: [u8; 56] = {
    let mut hello = [0; 56];
    // A handshake record, a client's hello in it, of version 1.2; the random bytes are zeros.
    let head = [22, 3, 1, 0, 51, 1, 0, 0, 47, 3, 3];
    let tail = [0, 0, 8, 0xc0, 0x2f, 0xc0, 0x30, 0, 0x9c, 0, 0x2f, 1, 0];
    let mut index = 0;
    while index < head.len() {
        hello[index] = head[index];
        index += 1;
    }
    index = 0;
    while index < tail.len() {
        hello[head.len() + 32 + index] = tail[index];
        index += 1;
    }
    hello
};

/// Whether this begins with a handshake or an alert of TLS.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [21 | 22, 3, 0..=4, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(protocol: &str) -> Wanted<'_> {
        Wanted {
            protocol,
            tls: protocol.contains("ssl"),
            mechanism: protocol.contains("sasl").then_some("PLAIN"),
        }
    }

    #[test]
    fn each_obstacle_has_its_own_sentence() {
        let scram =
            || Listener::Plain(LogIn::Sasl(vec!["SCRAM-SHA-256".to_owned(), "SCRAM-SHA-512".to_owned()]));
        let plain = || Listener::Plain(LogIn::None);
        let mut sentences = Vec::new();
        for (listener, protocol, expected) in [
            (Listener::UnknownHost, "plaintext", "the host is unknown"),
            (Listener::Refused, "plaintext", "connection refused"),
            (Listener::Unreachable(ErrorKind::TimedOut), "plaintext", "firewall"),
            (Listener::Silent, "ssl", "does not answer"),
            (Listener::Foreign { is_http: true }, "plaintext", "does not speak Kafka, but HTTP"),
            (Listener::Foreign { is_http: false }, "ssl", "does not speak Kafka:"),
            (Listener::Tls, "plaintext", "set it to ssl, or to sasl_ssl"),
            (Listener::Tls, "sasl_plaintext", "set it to sasl_ssl, or"),
            (plain(), "ssl", "speaks plain text"),
            (scram(), "sasl_ssl", "to sasl_plaintext"),
            (scram(), "plaintext", "SASL by SCRAM-SHA-256 or SCRAM-SHA-512"),
            (scram(), "sasl_plaintext", "kafka.sasl.mechanism is PLAIN"),
            (plain(), "sasl_plaintext", "takes no log-in"),
        ] {
            let obstacle = wanted(protocol).obstacle("kafka:9092", &listener).expect(expected);
            assert!(obstacle.sentence.contains(expected), "{listener:?}, {protocol}: {obstacle:?}");
            sentences.push(obstacle.sentence);
        }
        sentences.sort();
        sentences.dedup();
        assert_eq!(sentences.len(), 13, "{sentences:?}");
        let plain_log_in = Listener::Plain(LogIn::Sasl(vec!["PLAIN".to_owned()]));
        for (listener, protocol) in [
            (plain(), "plaintext"),
            (Listener::Tls, "ssl"),
            (Listener::Tls, "sasl_ssl"),
            (plain_log_in, "sasl_plaintext"),
        ] {
            assert_eq!(wanted(protocol).obstacle("kafka:9092", &listener), None, "{listener:?}");
        }
    }

    #[test]
    fn answers_are_read() {
        let answer = |error: i16, names: &[&str]| {
            let mut answer = vec![0, 0, 0, 99];
            answer.extend_from_slice(&CORRELATION);
            answer.extend_from_slice(&error.to_be_bytes());
            answer.extend_from_slice(&i32::try_from(names.len()).expect("few").to_be_bytes());
            names.iter().for_each(|name| put_text(&mut answer, name));
            answer
        };
        assert_eq!(log_in(&answer(ILLEGAL_SASL_STATE, &[])), Some(LogIn::None));
        let names = ["PLAIN", "SCRAM-SHA-512"];
        let both = LogIn::Sasl(names.map(str::to_owned).to_vec());
        let whole = answer(33, &names);
        assert_eq!(log_in(&whole), Some(both));
        assert_eq!(log_in(&whole[..whole.len() - 1]), None);
        assert_eq!(log_in(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None);
    }

    #[test]
    fn addresses_have_a_port() {
        for (server, expected) in [
            ("127.0.0.1:1234", "127.0.0.1:1234"),
            ("SSL://127.0.0.1:1234", "127.0.0.1:1234"),
            ("127.0.0.1", "127.0.0.1:9092"),
            ("[::1]:1234", "[::1]:1234"),
        ] {
            let found = addresses(server).expect("no name service is needed");
            assert_eq!(found, [expected.parse().expect("an address")], "{server}");
        }
        assert_eq!(addresses("no.such.host.invalid:9092"), None);
    }
}
