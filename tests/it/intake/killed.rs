//! A shop of Shopify webhooks, two instances of the intake and two of the service, killed at random.
//!
//! ```text
//!  RETENTION_INTAKE_KILLS=50 RETENTION_INTAKE_ORDERS=100000 cargo test --test it -- intake::killed --nocapture
//!  RETENTION_INTAKE_SEED=0x… for the same plan
//! ```

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use libtest_mimic::Trial;

use super::raw::RawShop;
use super::replayed::{Compared, Replayed};
use super::webhooks::{Deliveries, Webhooks};
use crate::kafka::{self, KafkaNode};
use crate::kills::fleet::COMMIT_STEPS;
use crate::live::PATIENCE;
use crate::live::shop::time_text;
use crate::service::ServiceProcess;

const KILLS: &str = "RETENTION_INTAKE_KILLS";
const ORDERS: &str = "RETENTION_INTAKE_ORDERS";
const SEED: &str = "RETENTION_INTAKE_SEED";
const KILLS_DEFAULT: u64 = 6;
const ORDERS_DEFAULT: u64 = 1_500;

pub fn trials() -> Vec<Trial> {
    vec![kafka::on_shared_node("intake::killed", killed)]
}

fn number(name: &str, default: u64) -> Result<u64> {
    match env::var(name) {
        Ok(text) if text.starts_with("0x") => {
            u64::from_str_radix(&text[2..], 16).with_context(|| format!("{name}={text}"))
        }
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

/// A process that is to die, and how.
struct Mortal {
    command: &'static str,
    instance: &'static str,
    process: ServiceProcess,
    dies_at: Instant,
}

/// Each webhook passes once, whatever dies: profiles are those of a replay of the same file, each id is there once, the emitted state is that
/// of the facts, and signals are those of the replay once retracted alarms are taken out.
fn killed(node: &KafkaNode) -> Result<()> {
    let (kills, seed) = (number(KILLS, KILLS_DEFAULT)?, number(SEED, 0x5eed_2201)?);
    let mut rng = Rng::with_seed(seed);
    eprintln!("{SEED}={seed:#x}");
    let shop = RawShop::open_shopify(node, 4, 3)?;
    let orders = number(ORDERS, ORDERS_DEFAULT)?;
    let patience = PATIENCE * u32::try_from(1 + orders / 5_000)?;
    let webhooks = Webhooks::random(seed, orders, 300, Deliveries::AsShopifyDoes);
    shop.append_deliveries(&webhooks)?;
    let mut died = 0;
    let mut mortals = Vec::new();
    for (command, instance) in [("intake", "one"), ("intake", "two"), ("run", "one"), ("run", "two")] {
        mortals.push(born(&shop, command, instance, &mut rng)?);
    }
    while died < kills && !(shop.is_passed_on()? && shop.native.is_read_to_the_end()?) {
        for index in 0..mortals.len() {
            let mortal = &mortals[index];
            let ended = mortal.process.ends_within(Duration::from_millis(5)).is_some();
            if !ended && Instant::now() < mortal.dies_at {
                continue;
            }
            let Mortal { command, instance, process, .. } = mortals.swap_remove(index);
            let exit = process.kill()?;
            ensure!(
                exit.code().is_none(),
                "{command} {instance} ended with {:?}\n{}",
                exit.code(),
                exit.stderr
            );
            died += 1;
            mortals.push(born(&shop, command, instance, &mut rng)?);
        }
    }
    drop(mortals);
    let intake = ServiceProcess::start_command(&shop.hurried("three"), &["intake", "--from-beginning"])?;
    let last = run_settings(&shop, "three").set(&["clock", "at_end"], time_text(webhooks.end));
    let service = ServiceProcess::start(&last)?;
    shop.wait_until_passed_on_within(&[&intake], patience)?;
    shop.native.wait_until_idle(&[&service], patience)?;
    intake.terminate(PATIENCE)?.expect_clean();
    service.terminate(PATIENCE)?.expect_clean();
    shop.check_headers()?;
    let replayed = Replayed::of(&shop, &webhooks, &last)?;
    replayed.check_profiles(&shop).with_context(|| format!("{SEED}={seed:#x}"))?;
    let compared = replayed.check_signals(&shop, &webhooks).with_context(|| format!("{SEED}={seed:#x}"))?;
    let Compared { signals, moved_alarms } = compared;
    let webhooks = webhooks.deliveries.len();
    eprintln!(
        "{webhooks} webhooks, {died} killed, {signals} signals compared, {moved_alarms} alarms of late records"
    );
    Ok(())
}

fn run_settings(shop: &RawShop, instance: &str) -> crate::service::ServiceSettings {
    // Records of partitions of the raw topic come in any order, so they may be as late as the history is long.
    shop.hurried(instance).set(&["clock", "at_end"], "stay").set(&["records", "lateness"], "400d")
}

fn born(shop: &RawShop, command: &'static str, instance: &'static str, rng: &mut Rng) -> Result<Mortal> {
    let mut settings = match command {
        "run" => run_settings(shop, instance),
        _ => shop.hurried(instance),
    };
    if rng.bool() {
        let step = COMMIT_STEPS[rng.usize(..COMMIT_STEPS.len())];
        settings = settings.environment("RETENTION_KILL_AT", &format!("{step:?}:{}", rng.u32(1..=12)));
    }
    let arguments: &[&str] = if command == "intake" { &["intake", "--from-beginning"] } else { &["run"] };
    let process = ServiceProcess::start_command(&settings, arguments)?;
    let dies_at = Instant::now() + Duration::from_millis(rng.u64(300..4_000));
    Ok(Mortal { command, instance, process, dies_at })
}
