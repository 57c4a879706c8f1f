//! Arguments: what can be asked of the program, and where its settings come from.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::commands::acls::{self, AclsCommand};
use crate::commands::backtest::arguments::BacktestArguments;
use crate::commands::dead_letters::DeadLettersCommand;
use crate::commands::demo::arguments::DemoArguments;
use crate::commands::erase::EraseArguments;
use crate::commands::explain::arguments::ExplainArguments;
use crate::commands::fit::FitArguments;
use crate::commands::healthcheck::HealthcheckArguments;
use crate::commands::intake::IntakeArguments;
use crate::commands::manual::{CompletionsArguments, ManArguments};
use crate::commands::maps::MapsCommand;
use crate::commands::registry::RegistryCommand;
use crate::commands::replay::arguments::ReplayArguments;
use crate::commands::report::arguments::ReportArguments;
use crate::commands::rules::arguments::RulesCommand;
use crate::config::{self, Config, ENVIRONMENT_CONFIG, LogSettings, Purpose, Sources};
use crate::domain::values::time::Time;
use crate::exit::{Exit, Failure};

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   healthcheck: the service is not alive, or not ready
  2   `topics plan`: topics are missing or wrong
  64  wrong arguments
  65  unusable input, or more dead letters than the limit
  69  Kafka or the service cannot be reached, or the outcome of the last commit is unknown
  70  a bug
  77  no permission
  78  wrong configuration or topic layout, or a transactional id that another process uses

Every setting can also be given by the environment: RETENTION_ and the key, sections joined by two underscores, such as
RETENTION_COMMIT__INTERVAL. A flag beats the environment, and that the file. docs/CONFIGURATION.md describes every key.";

/// The exit codes of one command.
macro_rules! exit_codes {
    ($done:literal $(, $code:literal)* $(,)?) => {
        concat!("Exit codes:\n  0   ", $done, "\n  64  wrong arguments" $(, "\n  ", $code)*, "\n  70  a bug")
    };
}

const RUN_CODES: &str = exit_codes!(
    "a signal ended it, and the outcome of the last commit is known",
    "65  more dead letters than dead_letters.max_share allows",
    "69  Kafka cannot be reached, or the outcome of the last commit is unknown",
    "77  no permission: a topic, the group, a transactional id, a file",
    "78  wrong configuration or topic layout, or a transactional id that another process uses",
);
const DEMO_CODES: &str =
    exit_codes!("it was interrupted, or its time is over", "78  wrong settings, or the port is in use");
const CHECK_CODES: &str = exit_codes!(
    "the service can start",
    "69  Kafka cannot be reached",
    "77  no permission",
    "78  wrong configuration or topic layout",
);
const TOPICS_CODES: &str = exit_codes!(
    "done; for plan: nothing is to do",
    "2   for plan: topics are missing or wrong",
    "69  Kafka cannot be reached",
    "77  no permission",
    "78  wrong configuration, or a topic that only its owner can change",
);
pub(super) const DEAD_LETTERS_CODES: &str = exit_codes!(
    "done",
    "65  no dead letter at that place",
    "69  Kafka cannot be reached",
    "77  no permission",
    "78  wrong configuration, or no such topic",
);
pub(super) const REGISTRY_CODES: &str = exit_codes!(
    "done",
    "65  no such record, or one that counts already",
    "69  Kafka cannot be reached",
    "77  no permission",
    "78  wrong configuration, or no registry",
);
const FIT_CODES: &str = exit_codes!(
    "the model is written",
    "65  unusable input, or something speaks against the model",
    "77  no permission to read or write a file",
    "78  wrong settings",
);
const BACKTEST_CODES: &str = exit_codes!(
    "the results are written",
    "65  unusable input, or a history that is too short",
    "77  no permission to read or write a file",
    "78  wrong settings",
);
const REPLAY_CODES: &str = exit_codes!(
    "the results are written",
    "65  unusable input",
    "77  no permission to read or write a file",
    "78  wrong settings",
);
const REPORT_CODES: &str = exit_codes!(
    "the page is written",
    "65  unusable input",
    "77  no permission to read or write a file",
    "78  wrong settings",
);
const EXPLAIN_CODES: &str = exit_codes!(
    "the customer was found",
    "65  no such customer",
    "69  the instance does not answer, or does not own the customer's partition",
    "77  the instance refuses: it wants its token",
    "78  wrong configuration",
);
const ERASE_CODES: &str = exit_codes!(
    "the record is written",
    "69  Kafka cannot be reached, or has not acknowledged the record: it may be there, and writing it again does no harm",
    "77  no permission",
    "78  wrong configuration, or no such topic",
);
pub(super) const LOAD_CODES: &str = exit_codes!(
    "the history is in the inputs",
    "65  unusable input: nothing is written",
    "69  Kafka cannot be reached, or has not said whether the history is written: the same command again finds out",
    "77  no permission",
    "78  wrong configuration, or `run` or `intake` has started already, or another history of the source is there: nothing is written",
);
pub(super) const MAPS_CODES: &str = exit_codes!(
    "done; for try and test: every record gave what it must",
    "65  a record was refused, or a fixture gave something else",
    "77  no permission to read a file",
    "78  no such map, or it is wrong",
);
pub(super) const RULES_CODES: &str =
    exit_codes!("the rules are right", "77  no permission to read a file", "78  wrong settings or rules");
pub(super) const TRY_CODES: &str = exit_codes!(
    "the rules were tried",
    "65  unusable input",
    "77  no permission to read or write a file",
    "78  wrong settings or rules, or no rules",
);
const MANUAL_CODES: &str =
    exit_codes!("done", "77  no permission to write", "78  the folder cannot be written");

/// Where options that every command takes stand in `--help`.
const SETTINGS: &str = "Settings";

const ABOUT: &str =
    "Keeps the retention state of every customer of a shop up to date from its orders and returns";

const LONG_ABOUT: &str = "\
Keeps the retention state of every customer of a shop up to date from its orders and returns.

Orders and returns are read from Kafka, or from files. What happens to a customer (a second order, a silence that
lasts too long, goods that come back) is published once, as a signal, with the customer's profile beside it.";

/// The arguments of the program.
#[derive(Parser, Debug)]
#[command(name = "retention-signals", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(flatten)]
    pub common: CommonArguments,
    #[command(subcommand)]
    pub command: Command,
}

/// Where settings come from; the same for every command.
#[derive(Args, Clone, Default, Debug)]
pub struct CommonArguments {
    /// Configuration file (TOML)
    #[arg(long, global = true, help_heading = SETTINGS, value_name = "FILE", env = ENVIRONMENT_CONFIG, hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// Sets one key, written as in the file: commit.interval=50ms. May be given again; secrets are refused
    #[arg(long = "set", global = true, help_heading = SETTINGS, value_name = "KEY=VALUE")]
    pub assignments: Vec<String>,

    /// The least severe log messages to write: log.level
    #[arg(long, global = true, help_heading = SETTINGS, value_name = "LEVEL",
        value_parser = PossibleValuesParser::new(config::LOG_LEVELS))]
    pub log_level: Option<String>,

    /// The form of log lines; auto is text on a terminal, JSON otherwise: log.format
    #[arg(long, global = true, help_heading = SETTINGS, value_name = "FORMAT",
        value_parser = PossibleValuesParser::new(config::LOG_FORMATS))]
    pub log_format: Option<String>,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Runs the service on Kafka until a signal ends it
    #[command(after_long_help = RUN_CODES)]
    Run(RunArguments),
    /// Reads a shop's own records from Kafka (webhooks, events), maps them, and writes them into the inputs of `run`, exactly once
    #[command(after_long_help = RUN_CODES)]
    Intake(IntakeArguments),
    /// Shows everything in one process: an in-process Kafka, a synthetic shop whose year passes in a minute, the live page.
    /// Reads no configuration file; --set changes settings, such as lapse.policy=fixed
    #[command(after_long_help = DEMO_CODES)]
    Demo(DemoArguments),
    /// Validates the configuration, the brokers, the topics and the permissions, step by step
    #[command(after_long_help = CHECK_CODES)]
    Check(CheckArguments),
    /// Shows which topics are missing or wrong, and creates those that are missing
    #[command(subcommand, after_long_help = TOPICS_CODES)]
    Topics(TopicsCommand),
    /// Lists the records that could not be used, shows one whole, and writes them again
    #[command(subcommand, after_long_help = DEAD_LETTERS_CODES)]
    DeadLetters(DeadLettersCommand),
    /// Prints the least rights that brokers must grant
    #[command(subcommand, after_long_help = acls::CODES)]
    Acls(AclsCommand),
    /// Tells from a shop's history whether its lapse policy would have been right, and which would have been better
    #[command(after_long_help = BACKTEST_CODES)]
    Backtest(BacktestArguments),
    /// Fits the model of the lapse policy `model` to a shop's history from files
    #[command(after_long_help = FIT_CODES)]
    Fit(FitArguments),
    /// Shows the models and cut points that workers read from the registry, and takes one back before it counts
    #[command(subcommand, after_long_help = REGISTRY_CODES)]
    Registry(RegistryCommand),
    /// Applies a shop's history from files, with the same engine as `run`, and writes what comes of it to files
    #[command(after_long_help = REPLAY_CODES)]
    Replay(ReplayArguments),
    /// Makes one page for a shop's owner from its history in files: where the shop stands, who comes back, who to look after
    #[command(after_long_help = REPORT_CODES)]
    Report(ReportArguments),
    /// Maps of what shops send: lists them, shows one, tries one on records, runs their fixtures
    #[command(subcommand, after_long_help = MAPS_CODES)]
    Maps(MapsCommand),
    /// Rules, by which customers get offers and the like: checks them, says each in a sentence, tries them on a history
    #[command(subcommand, after_long_help = RULES_CODES)]
    Rules(RulesCommand),
    /// Shows what is known of a customer and why it is in its state: by a running instance, or from files
    #[command(after_long_help = EXPLAIN_CODES)]
    Explain(ExplainArguments),
    /// Writes the request to forget a customer to the input of erasures
    #[command(after_long_help = ERASE_CODES)]
    Erase(EraseArguments),
    /// Prints the script with which a shell completes commands and options
    #[command(after_long_help = MANUAL_CODES)]
    Completions(CompletionsArguments),
    /// Prints the manual page, or writes one for each command
    #[command(after_long_help = MANUAL_CODES)]
    Man(ManArguments),
    /// Asks a running instance whether it is alive: exit code 0, else 1. For containers; orchestrators ask /livez themselves
    Healthcheck(HealthcheckArguments),
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// Address of metrics, probes, customers and the live page: http.listen
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Starts although the group's committed offsets differ from those in the changelog, and reads on from the group's.
    /// For after a deliberate reset of the group: records may be applied twice or passed over
    #[arg(long)]
    pub accept_offsets: bool,

    /// Passes over unusable records that were appended before this instant (RFC 3339, with offset): they become dead letters
    /// without counting towards dead_letters.max_share. For after the limit has stopped the service and the producer is mended;
    /// does nothing to later records
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub accept_dead_letters_before: Option<Time>,
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArguments {
    /// Prints every setting in force and where it comes from; secrets are redacted
    #[arg(long)]
    pub show: bool,
}

/// Commands about topics.
#[derive(Subcommand, Clone, Debug)]
pub enum TopicsCommand {
    /// Shows what `apply` would create, and what is there but wrong; changes nothing
    #[command(after_long_help = TOPICS_CODES)]
    Plan(TopicsArguments),
    /// Creates the topics that are missing; changes none that is there
    #[command(after_long_help = TOPICS_CODES)]
    Apply(TopicsArguments),
}

/// Arguments of `topics plan` and `topics apply`.
#[derive(Args, Clone, Debug)]
pub struct TopicsArguments {
    /// Partitions of each topic; default: as many as the inputs that are there have, else 12
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: Option<u32>,

    /// Copies of each partition; default: the cluster's
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub replication_factor: Option<u16>,
}

/// What the arguments come to.
#[derive(Debug)]
pub enum Parsed {
    Arguments(Box<Arguments>),
    /// Help or the version were asked for: the text for standard output.
    Text(String),
}

/// Reads arguments, the program's name first.
///
/// # Errors
/// [`Exit::Usage`] with what is wrong and how it would be right.
pub fn parse(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Parsed, Failure> {
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => Ok(Parsed::Arguments(Box::new(arguments))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Text(error.render().to_string()))
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::message(Exit::Usage, "a command is missing; --help lists them"))
        }
        Err(error) => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            Err(Failure::message(Exit::Usage, text.trim_end()))
        }
    }
}

impl CommonArguments {
    /// Everything that settings are read from: file, environment, flags.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sources(&self) -> Result<Sources, Failure> {
        Sources::of_process(self.config.as_deref(), self.assignments()).map_err(|error| {
            let exit = if error.kind() == io::ErrorKind::PermissionDenied {
                Exit::Permission
            } else {
                Exit::Configuration
            };
            let file = self.config.as_deref().unwrap_or_else(|| "".as_ref()).display();
            Failure::message(exit, format!("cannot read the configuration file {file}: {error}"))
        })
    }

    /// What the flags set.
    pub fn assignments(&self) -> Vec<String> {
        let mut assignments = self.assignments.clone();
        for (key, value) in [("log.level", &self.log_level), ("log.format", &self.log_format)] {
            assignments.extend(value.iter().map(|value| format!("{key}={value}")));
        }
        assignments
    }

    /// How to log, also where the configuration as a whole is wrong or its file cannot be read.
    pub fn log_settings(&self) -> LogSettings {
        let without_file = || Sources::of_process(None, self.assignments()).unwrap_or_default();
        config::log_settings(&self.sources().unwrap_or_else(|_| without_file()))
    }

    /// The validated configuration.
    ///
    /// # Errors
    /// The file cannot be read, or [`Exit::Configuration`] with everything that is wrong.
    pub fn load(&self, purpose: Purpose) -> Result<Config, Failure> {
        load(&self.sources()?, purpose)
    }
}

/// As [`CommonArguments::load`], for a command that adds sources of its own.
pub fn load(sources: &Sources, purpose: Purpose) -> Result<Config, Failure> {
    config::load(sources, purpose).map_err(|error| Failure::new(Exit::Configuration, error))
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).map(Duration::from_millis)
}

/// An instant on the command line.
pub(crate) fn time(text: &str) -> Result<Time, String> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        .and_then(|instant| Time::from_millis(instant.timestamp_millis()))
        .ok_or_else(|| {
            "give an instant of 1970 to 9999 with an offset, such as 2011-12-10T00:00:00Z".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn failure(arguments: &[&str]) -> Failure {
        parse(arguments).expect_err("wrong arguments")
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_names_its_exit_codes() {
        fn check(command: &clap::Command) {
            let help = command.get_after_long_help().or(command.get_after_help());
            let help = help.map(ToString::to_string).unwrap_or_default();
            for line in ["Exit codes:", "  0   ", "  64  ", "  70  "] {
                assert!(help.contains(line), "{}: {help:?} lacks {line:?}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    #[test]
    fn options_of_every_command_stand_apart_from_its_own() {
        let Ok(Parsed::Text(help)) = parse(["retention-signals", "replay", "--help"]) else {
            panic!("no help");
        };
        let place = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text} is not in {help}"));
        for own in ["--orders", "--returns", "--map", "--until", "--out", "--force", "--help"] {
            assert!(place(own) < place("Settings:"), "{help}");
        }
        for common in ["  --config", "  --set", "  --log-level", "  --log-format"] {
            assert!(place(common) > place("Settings:"), "{help}");
        }
    }

    #[test]
    fn help_and_version_are_texts() {
        for flag in ["--help", "-h", "--version", "help"] {
            match parse(["retention-signals", flag]) {
                Ok(Parsed::Text(text)) => assert!(text.contains("retention"), "{text}"),
                other => panic!("{flag}: {other:?}"),
            }
        }
    }

    #[test]
    fn wrong_arguments_exit_with_64() {
        for arguments in [
            &["retention-signals"][..],
            &["retention-signals", "chekc"],
            &["retention-signals", "check", "--log-level", "loud"],
            &["retention-signals", "explain"],
        ] {
            let failure = failure(arguments);
            assert_eq!(failure.exit.code(), 64, "{arguments:?}");
            assert!(!failure.to_string().starts_with("error"), "{failure}");
        }
    }

    #[test]
    fn log_flags_are_settings() {
        let common = CommonArguments {
            log_level: Some("debug".to_owned()),
            log_format: Some("json".to_owned()),
            assignments: vec!["shop.currency=EUR".to_owned(), "log.level=error".to_owned()],
            ..CommonArguments::default()
        };
        let config = common.load(Purpose::Offline).expect("valid");
        assert_eq!(config.log.level, config::LogLevel::Debug);
        assert_eq!(config.log.format, config::LogFormat::Json);
    }

    #[test]
    fn a_file_that_is_not_there_exits_with_78() {
        let common =
            CommonArguments { config: Some("/nowhere/shop.toml".into()), ..CommonArguments::default() };
        let failure = common.load(Purpose::Offline).expect_err("no file");
        assert_eq!(failure.exit.code(), 78);
        assert_eq!(
            failure.to_string(),
            "cannot read the configuration file /nowhere/shop.toml: No such file or directory (os error 2)"
        );
    }
}
