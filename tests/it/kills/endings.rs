//! SIGTERM in every phase of a process, and starts that fail: each ends at once, with its code.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use super::PATIENCE;
use crate::process::Signal;
use crate::service::{Exit, ServiceProcess, ServiceSettings};

/// Far less than the patience with brokers that do not answer, which is 30 s by default.
const AT_ONCE: Duration = Duration::from_secs(15);

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("kills::a_port_in_use_is_told_before_the_brokers_are_asked", || Ok(port_in_use()?)),
        Trial::test("kills::sigterm_while_topics_are_examined", || Ok(while_topics_are_examined()?)),
    ]
}

/// A socket that takes connections and never answers, as a broker that hangs.
fn silent_broker() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?.to_string();
    Ok((listener, address))
}

fn ended_at_once(service: ServiceProcess) -> Result<Exit> {
    service.wait_for_end(AT_ONCE).context("it must not wait for its brokers")
}

fn port_in_use() -> Result<()> {
    let (_broker, address) = silent_broker()?;
    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?;
    let settings = ServiceSettings::new(&address, "shop", "one").set(&["http", "listen"], port.to_string());
    let refused = ended_at_once(ServiceProcess::start(&settings)?)?;
    refused.expect_code(78);
    ensure!(refused.stderr.contains("in use by another process"), "{}", refused.stderr);
    Ok(())
}

/// Brokers that do not answer are asked for as long as the patience lasts, by a thread that nobody can interrupt.
fn while_topics_are_examined() -> Result<()> {
    let (_broker, address) = silent_broker()?;
    let service = ServiceProcess::start(&ServiceSettings::new(&address, "shop", "one"))?;
    service.wait_until("asking its brokers", PATIENCE, |service| Ok(service.has_logged("serving HTTP")))?;
    service.signal(Signal::Terminate);
    ended_at_once(service)?.expect_clean();
    Ok(())
}
