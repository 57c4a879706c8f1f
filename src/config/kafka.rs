//! Options that pass through to the Kafka client.

use super::kafka_names::{ACCEPTED, REFUSED_OPTIONS, SECRET_OPTIONS};
use super::layers::{Path, Raw, environment_name};
use super::reader::Reader;
use super::secret::Secret;
use super::suggest;

/// Client options by librdkafka name, without those that would break a guarantee.
#[derive(Clone, Default, Debug)]
pub struct KafkaOptions {
    options: Vec<KafkaOption>,
}

#[derive(Clone, Debug)]
struct KafkaOption {
    name: String,
    value: KafkaValue,
    client: Client,
}

#[derive(Clone, Debug)]
enum KafkaValue {
    Plain(String),
    Secret(Secret),
}

/// Which clients know an option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Client {
    Consumer,
    Producer,
    Both,
}

impl KafkaOptions {
    /// `bootstrap.servers`, if set. A configuration for Kafka always has it.
    pub fn bootstrap_servers(&self) -> Option<&str> {
        self.get("bootstrap.servers")
    }

    /// The value of an option, if set. Secrets are in the clear: pass them on, print none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|option| option.name == name).map(KafkaOption::text)
    }

    /// Names and values for a consumer. Secrets are in the clear: pass them on, print none.
    pub fn for_consumers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of(Client::Consumer)
    }

    /// Names and values for a producer. Secrets are in the clear: pass them on, print none.
    pub fn for_producers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of(Client::Producer)
    }

    /// Names and values for a client that neither reads nor writes records. Secrets are in the clear.
    pub fn for_admins(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of(Client::Both)
    }

    fn of(&self, client: Client) -> impl Iterator<Item = (&str, &str)> {
        self.options
            .iter()
            .filter(move |option| option.client == client || option.client == Client::Both)
            .map(|option| (option.name.as_str(), option.text()))
    }
}

impl KafkaOption {
    fn text(&self) -> &str {
        match &self.value {
            KafkaValue::Plain(text) => text,
            KafkaValue::Secret(secret) => {
                std::str::from_utf8(secret.expose()).expect("checked when it was read")
            }
        }
    }
}

/// The names of all options that pass through.
pub fn accepted_options() -> impl Iterator<Item = &'static str> {
    ACCEPTED.iter().map(|(name, _)| *name)
}

/// Reads `[kafka]`.
pub(super) fn read(reader: &mut Reader<'_>) -> KafkaOptions {
    let names = reader.layers.names_below("kafka");
    let mut options = Vec::new();
    for name in &names {
        let path = Path::client(name);
        match read_option(reader, name) {
            Ok(option) => options.push(option),
            Err(message) => reader.refuse(path, message),
        }
    }
    for (index, option) in options.iter().enumerate() {
        if options[..index].iter().any(|other| other.name == option.name) {
            let message = format!("is set both by itself and by {}.file; keep one", option.name);
            reader.refuse(Path::client(&option.name), message);
        }
    }
    KafkaOptions { options }
}

/// Whether an option must not be printed.
pub(super) fn is_secret(name: &str) -> bool {
    SECRET_OPTIONS.contains(&name)
}

/// What to do with a secret that was written in the open.
pub(super) fn secret_misplaced(name: &str) -> String {
    format!(
        "a secret belongs neither here nor in an argument; name a file that holds it in kafka.{name}.file, or set {}",
        environment_name(&format!("kafka.{name}"))
    )
}

fn read_option(reader: &Reader<'_>, name: &str) -> Result<KafkaOption, String> {
    let entry = reader.layers.get(&Path::client(name)).expect("it was listed");
    let from_file = name.strip_suffix(".file").filter(|name| is_secret(name));
    let known = from_file.unwrap_or(name);
    let client = client(known)?;
    let value = match (&entry.value, from_file) {
        (Raw::Other(what), _) => return Err(format!("is {what}; give one value")),
        (Raw::Scalar(text), None) if text.is_empty() => {
            return Err("is empty; give a value or leave the key out".to_owned());
        }
        (Raw::Scalar(text), None) => KafkaValue::Plain(text.clone()),
        (Raw::Scalar(path), Some(_)) => KafkaValue::Secret(Secret::from_file(path.as_ref())?),
        (Raw::Secret(secret), _) => KafkaValue::Secret(secret.clone()),
    };
    if let KafkaValue::Secret(secret) = &value
        && std::str::from_utf8(secret.expose()).is_err()
    {
        return Err("is not UTF-8 text".to_owned());
    }
    Ok(KafkaOption { name: known.to_owned(), value, client })
}

fn client(name: &str) -> Result<Client, String> {
    if let Ok(index) = ACCEPTED.binary_search_by_key(&name, |(accepted, _)| accepted) {
        return Ok(ACCEPTED[index].1);
    }
    if let Some((_, reason)) = REFUSED_OPTIONS.iter().find(|(names, _)| names.contains(&name)) {
        return Err(format!("cannot be set: {reason}"));
    }
    let near = suggest::nearest(name, ACCEPTED.iter().map(|(name, _)| *name));
    Err(match near {
        Some(near) => format!("unknown option of the Kafka client; did you mean kafka.{near}?"),
        None => "unknown option of the Kafka client".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_disjoint() {
        assert!(ACCEPTED.is_sorted_by(|left, right| left.0 < right.0));
        let refused: Vec<&str> = REFUSED_OPTIONS.iter().flat_map(|(names, _)| *names).copied().collect();
        assert!(refused.iter().all(|name| !ACCEPTED.iter().any(|(accepted, _)| accepted == name)));
        assert!(SECRET_OPTIONS.iter().all(|name| client(name).is_ok()));
    }
}
