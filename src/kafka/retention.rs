//! How long the inputs keep their records: what the service's lag is compared with.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::debug;

use super::admin::Admin;
use super::layout::Look;
use super::settings::KafkaSettings;
use crate::topic::{Input, PerInput, Topic};

/// One question.
const WITHIN: Duration = Duration::from_secs(5);

/// By input; none where records are kept for ever, or the brokers do not say. The service works without the right to ask.
pub fn input_retention(settings: &KafkaSettings, patience: Duration) -> PerInput<Option<Duration>> {
    let admin = Admin::create(settings)
        .inspect_err(|error| debug!(%error, "retention of the inputs not asked for"))
        .ok();
    PerInput::from_fn(|input: Input| {
        let look = Look { settings, admin: admin.as_ref()?, patience };
        let topic = settings.topic_name(Topic::Input(input));
        let what = format!("read the settings of topic {topic}");
        look.patiently(&what, || look.admin.topic_settings(&[topic], WITHIN))
            .inspect_err(|error| debug!(%error, "retention of an input not known"))
            .ok()?
            .first()
            .and_then(retention)
    })
}

fn retention(settings: &BTreeMap<String, String>) -> Option<Duration> {
    let deletes = settings.get("cleanup.policy")?.split(',').any(|policy| policy.trim() == "delete");
    // −1 is Kafka's word for ever.
    let millis = settings.get("retention.ms")?.parse().ok().filter(|millis| *millis > 0)?;
    deletes.then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_topics_that_delete_by_time_have_a_retention() {
        for (policy, millis, expected) in [
            ("delete", "604800000", Some(Duration::from_secs(604_800))),
            ("compact,delete", "1000", Some(Duration::from_secs(1))),
            ("delete", "-1", None),
            ("compact", "1000", None),
        ] {
            let settings = [("cleanup.policy", policy), ("retention.ms", millis)];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            assert_eq!(retention(&settings), expected, "{policy} {millis}");
        }
        assert_eq!(retention(&BTreeMap::new()), None);
    }
}
