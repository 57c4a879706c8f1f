//! Options that pass through to the Kafka client.

use super::secret::Secret;

/// Client options by librdkafka name, those refused that would break a guarantee.
#[derive(Clone, Default, Debug)]
pub struct KafkaOptions {
    pub(super) options: Vec<KafkaOption>,
}

#[derive(Clone, Debug)]
pub(super) struct KafkaOption {
    pub(super) name: String,
    pub(super) value: KafkaValue,
    pub(super) client: Client,
}

#[derive(Clone, Debug)]
pub(super) enum KafkaValue {
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
    /// `bootstrap.servers`, if set. A configuration for `run`, `check` and `topics` always has it.
    pub fn bootstrap_servers(&self) -> Option<&str> {
        self.options.iter().find(|option| option.name == "bootstrap.servers").map(KafkaOption::text)
    }

    /// Names and values for a consumer. Secrets are in the clear: pass them on, print none.
    pub fn for_consumers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of(Client::Consumer)
    }

    /// Names and values for a producer. Secrets are in the clear: pass them on, print none.
    pub fn for_producers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of(Client::Producer)
    }

    /// Names and values for a client that only asks about topics. Secrets are in the clear.
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
