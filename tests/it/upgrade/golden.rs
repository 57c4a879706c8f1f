//! Ids that were published stay: the hashes of the example records as version 1 computed them.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use retention_signals::config::{self, Purpose, Sources};
use retention_signals::domain::signals::signal::RecordDigest;
use retention_signals::formats::native::{Decoder, Limits, Subject};
use retention_signals::topic::Input;
use retention_signals::wire::hash::hash;
use serde_json::Value;

const GOLDEN: &str = include_str!("../../data/state-v1/golden-wire.jsonl");

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("upgrade::version_1::digests_stay", || {
        digests_stay().map_err(|error| format!("{error:#}").into())
    })]
}

fn digests_stay() -> Result<()> {
    let text = "[shop]\ncurrency = \"EUR\"\n[rates]\nUSD = \"0.92\"\nJPY = \"0.005\"\nKWD = \"2.97\"\n";
    let sources = Sources {
        host_name: Some("host".to_owned()),
        file_text: Some(text.to_owned()),
        ..Sources::default()
    };
    let config = config::load(&sources, Purpose::Offline)?;
    let decoder = Decoder::new(config.settings.shops.clone(), Limits::default());
    let mut compared = 0;
    for line in GOLDEN.lines() {
        let line: Value = serde_json::from_str(line)?;
        let Some(digest) = line["digest"].as_str() else { continue };
        let input = match line["topic"].as_str() {
            Some("orders") => Input::Orders,
            Some("returns") => Input::Returns,
            _ => continue,
        };
        let text = |name: &str| line[name].as_str().map(str::as_bytes);
        let event = decoder
            .decode(input, text("key"), text("value"))
            .map_err(|refusal| anyhow::anyhow!("{line}: {refusal:?}"))?;
        let Subject::Customer(customer) = &event.subject else { continue };
        ensure!(format!("{:016x}", customer.key.hash) == line["key_hash"], "{line}");
        ensure!(format!("{:016x}", RecordDigest::of(&customer.record, hash).0) == digest, "{line}");
        compared += 1;
    }
    ensure!(compared > 30, "{compared} records were compared");
    Ok(())
}
