//! The configuration.
//!
//! ```text
//!  TOML ⏎ --- ⏎ environment, a variable a line ⏎ --- ⏎ assignments, one a line
//! ```

use retention_signals::config::{Config, Origin, Purpose, Sources, load};
use retention_signals::domain::values::ids::ShopIndex;

use super::Verdict;

/// A text that no generated configuration holds by chance.
const PASSWORD: &str = "swordfish-4711";

const PASSWORD_VARIABLE: &str = "RETENTION_KAFKA__SASL_PASSWORD";

/// What cannot be used is explained by lines that name a place; what can be used is the same once it is printed and read again;
/// a password is never shown, wherever it was written.
pub fn configuration(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    if may_name_a_device(text) {
        return Verdict::Refused;
    }
    let sources = sources(text);
    if !text.contains(PASSWORD) {
        passwords_are_not_shown(&sources);
    }
    match load(&sources, Purpose::Offline) {
        Ok(config) => {
            let is_for_kafka = config.kafka.bootstrap_servers().is_some();
            assert_eq!(load(&sources, Purpose::Kafka).is_ok(), is_for_kafka);
            check_printed(&config);
            Verdict::Accepted
        }
        Err(error) => {
            check_problems(&error.problems(), &error.to_string(), &sources);
            Verdict::Refused
        }
    }
}

/// Files of secrets are read; a terminal or an endless device must not be.
fn may_name_a_device(text: &str) -> bool {
    let set = || text.lines().filter(|line| !line.starts_with('#'));
    set().any(|line| line.contains("file")) && set().any(|line| line.contains(['/', '\\']))
}

fn sources(text: &str) -> Sources {
    let mut parts = text.splitn(3, "\n---\n");
    let file_text = parts.next().map(str::to_owned);
    let variables = parts.next().unwrap_or_default().lines();
    let variables = variables.filter_map(|line| line.split_once('='));
    let assignments = parts.next().unwrap_or_default().lines();
    Sources {
        file_name: Some("shop.toml".to_owned()),
        file_text,
        rule_files: Vec::new(),
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        assignments: assignments.map(str::to_owned).collect(),
        fallbacks: Vec::new(),
        host_name: Some("host".to_owned()),
    }
}

fn check_problems(problems: &[String], message: &str, sources: &Sources) {
    assert!(!problems.is_empty());
    let text = sources.file_text.as_deref().unwrap_or_default();
    let lines = 1 + text.bytes().filter(|byte| *byte == b'\n').count();
    for (index, problem) in problems.iter().enumerate() {
        assert!(problem.contains(": "), "no place is named: {problem:?}");
        assert!(!problem.contains(char::is_control), "a problem is one line: {problem:?}");
        assert!(!problems[..index].contains(problem), "said twice: {problem:?}");
        assert!(message.contains(problem), "{problem:?} is missing in {message:?}");
        let line = problem.strip_prefix("line ").and_then(|rest| rest.split_once(':'));
        if let Some(Ok(line)) = line.map(|(number, _)| number.parse::<usize>()) {
            assert!((1..=lines).contains(&line), "{problem:?}");
        }
    }
}

/// Everything that was set, as one file.
fn check_printed(config: &Config) {
    let mut printed = String::new();
    for (path, value, origin) in config.effective() {
        if *origin == Origin::Default {
            continue;
        }
        // What is not shown cannot be read again, and of rules only their version is; Rust escapes more in a store's id than TOML does.
        if value == "(redacted)" || path == "rule" || path.contains('\\') {
            return;
        }
        printed.push_str(&format!("{path} = {}\n", toml::Value::String(value)));
    }
    let sources = sources(&printed);
    let again = load(&sources, Purpose::Offline).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    let settings = |config: &Config| -> Vec<(String, String)> {
        config.effective().map(|(path, value, _)| (path, value)).collect()
    };
    assert_eq!(settings(config), settings(&again));
    assert_eq!(format!("{config:?}"), format!("{again:?}"));
    assert_eq!(config.topics, again.topics);
    assert_eq!(config.commit, again.commit);
    assert_eq!(config.settings.thresholds, again.settings.thresholds);
    assert_eq!(config.settings.lapse.id(ShopIndex(0), None), again.settings.lapse.id(ShopIndex(0), None));
}

/// In the environment, where it may be; in the file and in an argument, where it may not.
fn passwords_are_not_shown(sources: &Sources) {
    let mut environment = sources.clone();
    environment.environment.insert(PASSWORD_VARIABLE.to_owned(), PASSWORD.to_owned());
    match load(&environment, Purpose::Offline) {
        Ok(config) => {
            assert_eq!(config.kafka.get("sasl.password"), Some(PASSWORD));
            hides_the_password(&format!("{config:?}"));
            config.effective().for_each(|(_, value, _)| hides_the_password(&value));
            hides_the_password(&format!("{:?} {:?}", config.kafka, config.http));
        }
        Err(error) => hides_the_password(&format!("{error} {error:?}")),
    }
    let mut file = sources.clone();
    let line = format!("\n[kafka]\n\"sasl.password\" = \"{PASSWORD}\"\n");
    file.file_text = Some(sources.file_text.clone().unwrap_or_default() + &line);
    let mut argument = sources.clone();
    argument.assignments.push(format!("kafka.sasl.password={PASSWORD}"));
    for sources in [file, argument] {
        match load(&sources, Purpose::Offline) {
            Ok(_) => panic!("a password in the open was accepted"),
            Err(error) => hides_the_password(&format!("{error} {error:?}")),
        }
    }
}

fn hides_the_password(text: &str) {
    assert!(!text.contains(PASSWORD), "{text}");
}
