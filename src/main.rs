//! Arguments → configuration → logging → run → exit code; no logic.

use std::io::{self, Write};
use std::process::ExitCode;

use retention_signals::commands::acls::{self, AclsCommand};
use retention_signals::commands::check;
use retention_signals::commands::cli::{self, Arguments, Command, Parsed};
use retention_signals::commands::dead_letters;
use retention_signals::commands::demo;
use retention_signals::commands::erase;
use retention_signals::commands::explain;
use retention_signals::commands::healthcheck;
use retention_signals::commands::intake::{self, IntakeArguments, IntakeCommand};
use retention_signals::commands::manual;
use retention_signals::commands::maps;
use retention_signals::commands::registry;
use retention_signals::commands::replay;
use retention_signals::commands::report;
use retention_signals::commands::rules;
use retention_signals::commands::run;
use retention_signals::commands::topics;
use retention_signals::commands::{backtest, fit};
use retention_signals::config::{LogSettings, Purpose};
use retention_signals::exit::{Failure, output_closed};
use retention_signals::observe::telemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Parsed::Arguments(arguments)) => {
            let errors = errors_of(&arguments);
            exit_code(execute(*arguments), errors)
        }
        Ok(Parsed::Text(text)) => exit_code(print(&text), Errors::Printed),
        Err(failure) => exit_code(Err(failure), Errors::Printed),
    }
}

/// Where the last error goes.
enum Errors {
    /// For a person who has typed a command.
    Printed,
    /// The last line of a service's log, in its format even if the configuration cannot be read as a whole.
    Logged(LogSettings),
}

fn errors_of(arguments: &Arguments) -> Errors {
    match arguments.command {
        Command::Run(_) | Command::Intake(IntakeArguments { command: None, .. }) => {
            Errors::Logged(arguments.common.log_settings())
        }
        Command::Intake(IntakeArguments { command: Some(IntakeCommand::Load(_)), .. })
        | Command::Demo(_)
        | Command::Check(_)
        | Command::Topics(_)
        | Command::DeadLetters(_)
        | Command::Backtest(_)
        | Command::Fit(_)
        | Command::Registry(_)
        | Command::Replay(_)
        | Command::Report(_)
        | Command::Maps(_)
        | Command::Rules(_)
        | Command::Explain(_)
        | Command::Erase(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Acls(_)
        | Command::Healthcheck(_) => Errors::Printed,
    }
}

fn exit_code(ended: Result<(), Failure>, errors: Errors) -> ExitCode {
    let Err(failure) = ended else { return ExitCode::SUCCESS };
    match errors {
        Errors::Printed => eprintln!("error: {failure}"),
        Errors::Logged(settings) => telemetry::log_failure(settings, &failure),
    }
    ExitCode::from(failure.exit.code())
}

fn execute(arguments: Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    match arguments.command {
        Command::Run(arguments) => {
            let mut sources = common.sources()?;
            sources.assignments.extend(arguments.listen.map(|address| format!("http.listen={address}")));
            let config = cli::load(&sources, Purpose::Kafka)?;
            run::run(&config, &arguments)
        }
        Command::Intake(IntakeArguments { command: Some(IntakeCommand::Load(arguments)), .. }) => {
            print(&intake::load::run(&common.load(Purpose::Kafka)?, &arguments)?)
        }
        Command::Intake(arguments) => {
            let mut sources = common.sources()?;
            sources.fallbacks.push(("http.listen", intake::LISTEN.to_owned(), "intake"));
            sources.assignments.extend(arguments.listen.map(|address| format!("http.listen={address}")));
            let config = cli::load(&sources, Purpose::Kafka)?;
            intake::run(&config, &arguments)
        }
        Command::Demo(arguments) => demo::run(common, &arguments),
        Command::Check(arguments) => {
            let config = common.load(Purpose::Kafka)?;
            check::run(&config, &arguments, &mut io::stdout())
        }
        Command::Topics(command) => {
            let config = common.load(Purpose::Kafka)?;
            topics::run(&config, &command, &mut io::stdout())
        }
        Command::DeadLetters(command) => {
            let config = common.load(Purpose::Kafka)?;
            dead_letters::run(&config, &command, &mut io::stdout())
        }
        Command::Acls(AclsCommand::Print(arguments)) => print(&acls::run(common, &arguments)?),
        Command::Backtest(arguments) => print(&backtest::run(common, &arguments)?),
        Command::Fit(arguments) => print(&fit::run(common, &arguments)?),
        Command::Registry(command) => print(&registry::run(common, &command)?),
        Command::Replay(arguments) => print(&replay::run(common, &arguments)?),
        Command::Report(arguments) => print(&report::run(common, &arguments)?),
        Command::Rules(command) => rules::run(common, &command, &mut io::stdout()),
        Command::Maps(command) => maps::run(common, &command, &mut io::stdout()),
        Command::Explain(arguments) => print(&explain::run(common, &arguments)?),
        Command::Erase(arguments) => {
            let config = common.load(Purpose::Kafka)?;
            erase::run(&config, &arguments, &mut io::stdout())
        }
        Command::Completions(arguments) => write(&manual::completions(&arguments)),
        Command::Man(arguments) => write(&manual::man(&arguments)?),
        Command::Healthcheck(arguments) => print(&healthcheck::run(common, &arguments)?),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    write(text.as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    io::stdout().write_all(bytes).or_else(output_closed)
}
