//! `erase`: writes the request to forget one customer to the input of erasures.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use serde::Serialize;

use crate::commands::cli::time;
use crate::config::Config;
use crate::domain::settings::Shops;
use crate::domain::values::time::Time;
use crate::exit::{Exit, Failure, output_closed};
use crate::formats::native::{Decoder, Limits};
use crate::kafka::{self, Appended, Appender, KafkaSettings, Role, host_wall_clock};
use crate::topic::{Input, Topic};
use crate::wire::encode::time_text;
use crate::wire::hash;

/// A record of the topic of erasures.
#[derive(Serialize)]
struct Erasure<'a> {
    customer_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_id: Option<&'a str>,
    requested_at: &'a str,
}

/// Arguments of `erase`.
#[derive(Args, Clone, Debug)]
pub struct EraseArguments {
    /// The customer key: as in the record keys, so store_id/customer_id where keys have that form
    #[arg(value_name = "KEY")]
    pub customer: String,

    /// When the customer asked (RFC 3339, with offset): records up to then are refused; default: now
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub requested_at: Option<Time>,

    /// Writes without a question; needed where there is no terminal to ask on
    #[arg(long)]
    pub yes: bool,
}

/// Asks, writes the record, and reports where it lies.
///
/// # Errors
/// The key is not one of a customer here, the question was not answered with yes, or Kafka cannot be reached or refuses.
pub fn run(config: &Config, arguments: &EraseArguments, output: &mut impl Write) -> Result<(), Failure> {
    let now = Time::from_millis(host_wall_clock()()).expect("the present lies between 1970 and 9999");
    let requested_at = arguments.requested_at.unwrap_or(now);
    if requested_at > now.plus(config.clock.skew) {
        let message = "--requested-at lies in the future: the service would refuse the request";
        return Err(Failure::message(Exit::Usage, message));
    }
    let key = arguments.customer.as_str();
    let value = erasure(config, key, requested_at)?;
    let topic = Topic::Input(Input::Erasures);
    let settings = KafkaSettings::new(config);
    let name = settings.topic_name(topic);
    let explained = |failure| kafka::explain(&settings, &settings.required(&Role::Eraser), failure);
    let appender = Appender::open(&settings, topic, config.commit.patience).map_err(explained)?;
    let partition = hash::partition(key.as_bytes(), appender.partitions());
    let requested_at = text(requested_at);
    if !arguments.yes {
        confirm(&format!(
            "Erase customer {key:?}, as requested at {requested_at}? State and profile go, records up to then are refused, and \
             nothing brings them back. The record goes to {name}, partition {partition}. [y/N] "
        ))?;
    }
    let Appended { partition, offset } =
        appender.append(partition, key.as_bytes(), &value).map_err(explained)?;
    writeln!(output, "written to {name}, partition {partition}, offset {offset}; requested at {requested_at}")
        .or_else(output_closed)
}

/// The record, after the decoder of the service has accepted it.
fn erasure(config: &Config, key: &str, requested_at: Time) -> Result<Vec<u8>, Failure> {
    let shops = &config.settings.shops;
    let (store_id, customer_id) = match shops {
        Shops::One(_) => (None, key),
        Shops::ByStore(_) => key.split_once('/').map_or((None, key), |(store, id)| (Some(store), id)),
    };
    let requested_at = text(requested_at);
    let record = Erasure { customer_id, store_id, requested_at: &requested_at };
    let value = serde_json::to_vec(&record).expect("texts are JSON");
    let bounds = config.record_bounds;
    let limits = Limits { bytes_max: bounds.bytes_max, depth_max: bounds.depth_max };
    Decoder::new(shops.clone(), limits).decode(Input::Erasures, Some(key.as_bytes()), Some(&value)).map_err(
        |refusal| {
            let message = format!("the service would refuse this customer key: {}", refusal.detail);
            Failure::message(Exit::Usage, message)
        },
    )?;
    Ok(value)
}

fn confirm(question: &str) -> Result<(), Failure> {
    let refused = |message| Err(Failure::message(Exit::Usage, message));
    if !std::io::stdin().is_terminal() {
        return refused("an erasure cannot be taken back; there is no terminal to ask on, so give --yes");
    }
    eprint!("{question}");
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(_) if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) => Ok(()),
        Ok(_) | Err(_) => refused("nothing was written: the answer was not yes"),
    }
}

fn text(time: Time) -> String {
    String::from_utf8(time_text(time).to_vec()).expect("digits and marks")
}
