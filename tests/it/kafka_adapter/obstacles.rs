//! What keeps a client from the brokers is named, with what to do: each of these reads "not connected" to the client.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use libtest_mimic::Trial;
use retention_signals::exit::Exit;
use std::sync::Arc;

use super::layout::{expect_failure, run_check};
use super::settings;
use crate::kafka::{self, Client, KafkaNode};

pub fn trials() -> Vec<Trial> {
    let sockets: [(&str, fn() -> Result<()>); 4] = [
        ("an_unknown_host", unknown_host),
        ("a_web_server", web_server),
        ("tls_against_plain_text", tls_against_plain_text),
        ("a_silent_listener", silent_listener),
    ];
    let mut trials: Vec<Trial> = sockets
        .map(|(name, trial)| Trial::test(format!("kafka_adapter::obstacle::{name}"), move || Ok(trial()?)))
        .into();
    trials.push(kafka::on_shared_node(
        "kafka_adapter::obstacle::plain_text_against_tls",
        plain_text_against_tls,
    ));
    trials
}

fn expect(address: &str, lines: &[&str], exit: Exit, said: &[&str]) -> Result<()> {
    let settings = Arc::new(settings(&Client::new(address), "shop", "one", lines)?);
    expect_failure(run_check(&settings, Duration::ZERO).1, exit, said)
}

fn unknown_host() -> Result<()> {
    let said = ["no.such.host.invalid:9092", "the host is unknown", "kafka.bootstrap.servers"];
    expect("no.such.host.invalid:9092", &[], Exit::Unavailable, &said)
}

fn web_server() -> Result<()> {
    let address = listen(Some(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))?;
    expect(&address, &[], Exit::Unavailable, &[&address, "does not speak Kafka, but HTTP"])
}

/// What a listener with TLS answers to anything else: an alert.
fn tls_against_plain_text() -> Result<()> {
    let address = listen(Some(&[21, 3, 3, 0, 2, 2, 80]))?;
    expect(&address, &[], Exit::Configuration, &[&address, "speaks TLS", "set it to ssl"])
}

fn silent_listener() -> Result<()> {
    let address = listen(None)?;
    expect(&address, &[], Exit::Unavailable, &[&address, "does not answer"])
}

fn plain_text_against_tls(node: &KafkaNode) -> Result<()> {
    let address = node.client().bootstrap_servers();
    let said = [address, "speaks plain text", "kafka.security.protocol is ssl"];
    expect(address, &["kafka.security.protocol=ssl"], Exit::Configuration, &said)
}

/// A listener that answers whatever it gets so, or not at all; it ends with the test run.
fn listen(answer: Option<&'static [u8]>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Some(answer) = answer else {
                kept.push(stream);
                continue;
            };
            thread::spawn(move || {
                // The other side may be gone already.
                let _ = stream.read(&mut [0; 1_024]).and_then(|_| stream.write_all(answer));
            });
        }
    });
    Ok(address)
}
