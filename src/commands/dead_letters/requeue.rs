//! `dead-letters requeue`: writes the original records again, to their topic or another one, perhaps repaired. Without `--yes` it only
//! says what it would write.
//!
//! What is written to an input must be a record that this service accepts as it is, with its customer's key, and what is written to a raw
//! topic one that the source's map reads: what would be refused again is skipped and counted. The service recognises a record by its id, so one that is written twice counts once.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use super::raw::RawSources;
use super::repair::{self, Repair};
use super::{Origin, filter};
use crate::commands::dead_letters::RequeueArguments;
use crate::config::Config;
use crate::exit::{Exit, Failure, output_closed};
use crate::formats::NativeRecord;
use crate::formats::native::{Decoder, Limits};
use crate::kafka::{DeadLetterReader, KafkaSettings, Requeued, Requeuer, StoredLetter};
use crate::topic::{Input, Topic};

/// What became, or would become, of the dead letters.
#[derive(Default, PartialEq, Eq, Debug)]
struct Outcome {
    /// By topic.
    written: BTreeMap<String, u64>,
    /// By why.
    skipped: BTreeMap<String, u64>,
}

/// A record as it is to be written.
#[derive(PartialEq, Eq, Debug)]
struct Prepared {
    topic: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

pub(super) fn run(
    config: &Config,
    settings: &Arc<KafkaSettings>,
    reader: &DeadLetterReader,
    arguments: &RequeueArguments,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let plan = Plan::new(config, arguments)?;
    let mut writer = Writer { settings, patience: config.commit.patience, requeuer: None };
    let mut outcome = Outcome::default();
    reader.read(|letter| {
        let Some(origin) = Origin::of(&letter) else { return Ok(()) };
        if !filter::passes(&arguments.filter, &letter, &origin) {
            return Ok(());
        }
        match plan.prepare(&letter, &origin)? {
            Ok(prepared) => {
                if arguments.yes {
                    writer.write(&prepared, &letter, &origin, reader.topic())?;
                }
                *outcome.written.entry(prepared.topic).or_default() += 1;
            }
            Err(why) => *outcome.skipped.entry(why).or_default() += 1,
        }
        Ok(())
    })?;
    writer.finish()?;
    outcome.write(arguments.yes, output).or_else(output_closed)
}

/// What to do with each dead letter.
struct Plan<'a> {
    config: &'a Config,
    decoder: Decoder,
    raw: Option<RawSources>,
    to: Option<&'a str>,
    through: Option<&'a str>,
}

impl<'a> Plan<'a> {
    fn new(config: &'a Config, arguments: &'a RequeueArguments) -> Result<Self, Failure> {
        let limits =
            Limits { bytes_max: config.record_bounds.bytes_max, depth_max: config.record_bounds.depth_max };
        Ok(Self {
            config,
            decoder: Decoder::new(config.settings.shops.clone(), limits),
            raw: RawSources::load(config)?,
            to: arguments.to.as_deref(),
            through: arguments.through.as_deref(),
        })
    }

    /// The record to write, or why there is none.
    fn prepare(&self, letter: &StoredLetter, origin: &Origin) -> Result<Result<Prepared, String>, Failure> {
        if origin.is_cut {
            return Ok(Err("the dead letter holds only the beginning of the record".to_owned()));
        }
        let value = match (self.through, &letter.value) {
            (None, value) => value.clone(),
            (Some(_), None) => return Ok(Err("a null value, which no program repairs".to_owned())),
            (Some(program), Some(value)) => {
                let repaired = repair::run(program, value, origin);
                match repaired.map_err(|error| Failure::new(Exit::Unavailable, error))? {
                    Repair::Value(value) => Some(value),
                    Repair::Declined => return Ok(Err("the repair program has declined it".to_owned())),
                }
            }
        };
        let topic = self.to.unwrap_or(&origin.topic).to_owned();
        let inputs = &self.config.topics;
        let input = Input::ALL.into_iter().find(|input| inputs.name(Topic::Input(*input)) == topic);
        let key = match input {
            None => self.raw_key(&topic, letter, value.as_deref()),
            Some(input) => self.key(input, letter, value.as_deref()),
        };
        Ok(key.map(|key| Prepared { topic, key, value }))
    }

    /// The key of a record that is for a raw topic, or for one that is none of ours: what it had.
    fn raw_key(
        &self,
        topic: &str,
        letter: &StoredLetter,
        value: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, String> {
        let key = letter.key.as_deref();
        let refusal = self.raw.as_ref().and_then(|raw| raw.refusal(topic, key, value, &own_headers(letter)));
        match refusal {
            Some(refusal) => Err(refused_again(refusal.reason.name())),
            None => Ok(letter.key.clone()),
        }
    }

    /// The key that a record of an input must have: its customer's, or for a guest's what it had.
    fn key(
        &self,
        input: Input,
        letter: &StoredLetter,
        value: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, String> {
        let value = value.ok_or_else(|| refused_again("null_value"))?;
        let mut key = Vec::new();
        let event = self.decoder.decode_line(NativeRecord { input, value }, None, &mut key);
        let event = event.map_err(|refusal| refused_again(refusal.reason.name()))?;
        Ok(match event.customer_key() {
            Some(key) => Some(key.bytes.to_vec()),
            None => letter.key.clone(),
        })
    }
}

fn refused_again(reason: &str) -> String {
    format!("would be refused again ({reason})")
}

/// The headers that the record itself had.
fn own_headers(letter: &StoredLetter) -> Vec<(&str, &[u8])> {
    let own = letter.headers.iter().filter(|(name, _)| !name.starts_with("dlq_"));
    own.map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

/// Writes once something is to be written.
struct Writer<'a> {
    settings: &'a Arc<KafkaSettings>,
    patience: std::time::Duration,
    requeuer: Option<Requeuer>,
}

impl Writer<'_> {
    fn write(
        &mut self,
        prepared: &Prepared,
        letter: &StoredLetter,
        origin: &Origin,
        dead_letters: &str,
    ) -> Result<(), Failure> {
        let requeuer = match &mut self.requeuer {
            Some(requeuer) => requeuer,
            none => none.insert(Requeuer::open(self.settings, &[&prepared.topic], self.patience)?),
        };
        let place = format!("{dead_letters} {} {}", letter.partition, letter.offset);
        let mut headers = own_headers(letter);
        headers.push(("dlq_requeued_from", place.as_bytes()));
        headers.push(("dlq_requeued_reason", origin.reason.as_bytes()));
        requeuer.send(&Requeued {
            topic: &prepared.topic,
            key: prepared.key.as_deref(),
            value: prepared.value.as_deref(),
            headers: &headers,
        })
    }

    fn finish(&self) -> Result<(), Failure> {
        self.requeuer.as_ref().map_or(Ok(()), Requeuer::flush)
    }
}

impl Outcome {
    fn write(&self, is_written: bool, output: &mut impl Write) -> io::Result<()> {
        let what = if is_written { "written" } else { "to write" };
        for (topic, count) in &self.written {
            writeln!(output, "{what:8}  {count:>8}  to {topic}")?;
        }
        for (why, count) in &self.skipped {
            writeln!(output, "{:8}  {count:>8}  {why}", "skipped")?;
        }
        if self.written.is_empty() {
            return writeln!(output, "nothing to write");
        }
        if !is_written {
            writeln!(output, "nothing was written: add --yes to write them")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dead_letters::letter_of;
    use crate::config::{Purpose, Sources, load};

    fn arguments(to: Option<&str>, through: Option<&str>) -> RequeueArguments {
        RequeueArguments {
            to: to.map(str::to_owned),
            through: through.map(str::to_owned),
            ..RequeueArguments::default()
        }
    }

    /// The key and the value to write, or why there is none.
    fn check(arguments: &RequeueArguments, value: &str, expected: Result<(&str, &str), &str>) {
        let assignments = vec!["shop.currency=EUR".to_owned()];
        let sources = Sources { assignments, host_name: Some("host".to_owned()), ..Sources::default() };
        let config = load(&sources, Purpose::Offline).expect("valid");
        let mut letter = letter_of(
            0,
            1,
            &[
                ("dlq_reason", "key_mismatch"),
                ("dlq_topic", "orders"),
                ("dlq_partition", "2"),
                ("dlq_offset", "9"),
            ],
        );
        letter.value = Some(value.as_bytes().to_vec());
        let origin = Origin::of(&letter).expect("a dead letter");
        let prepared = Plan::new(&config, arguments)
            .expect("no maps")
            .prepare(&letter, &origin)
            .expect("there is a shell");
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.expect("not null")).expect("UTF-8");
        let found = prepared.map(|Prepared { key, value, .. }| (text(key), text(value)));
        assert_eq!(
            found,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned())).map_err(str::to_owned)
        );
    }

    #[test]
    fn a_record_gets_its_customers_key_and_must_be_usable() {
        let order = |customer: &str, currency: &str| {
            format!(
                r#"{{"order_id":"o1","customer_id":"{customer}","placed_at":"2024-05-01T00:00:00Z","currency":"{currency}","total":"1.00"}}"#
            )
        };
        let (good, bad) = (order("c2", "EUR"), order("c2", "EURO"));
        check(&arguments(None, None), &good, Ok(("c2", &good)));
        check(&arguments(None, None), &bad, Err("would be refused again (unknown_currency)"));
        check(&arguments(None, Some("sed s/EURO/EUR/")), &bad, Ok(("c2", &good)));
        check(
            &arguments(None, Some("sed s/EURO/EUR/ && exit 1")),
            &bad,
            Err("the repair program has declined it"),
        );
        // A topic that is none of the inputs takes anything, as it was.
        check(&arguments(Some("elsewhere"), None), &bad, Ok(("c1", &bad)));
    }

    #[test]
    fn a_dry_run_says_so() {
        let mut outcome = Outcome::default();
        outcome.written.insert("orders".to_owned(), 480);
        outcome.skipped.insert("the repair program has declined it".to_owned(), 3);
        let text = |outcome: &Outcome, is_written| {
            let mut text = Vec::new();
            outcome.write(is_written, &mut text).expect("memory");
            String::from_utf8(text).expect("UTF-8")
        };
        assert_eq!(
            text(&outcome, false),
            "to write       480  to orders\nskipped          3  the repair program has declined it\n\
             nothing was written: add --yes to write them\n"
        );
        assert!(text(&outcome, true).starts_with("written        480  to orders\n"));
        assert_eq!(text(&Outcome::default(), true), "nothing to write\n");
    }
}
