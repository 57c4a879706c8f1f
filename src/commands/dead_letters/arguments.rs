//! What can be asked of `dead-letters`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::commands::cli::{DEAD_LETTERS_CODES, time};
use crate::domain::values::time::Time;
use crate::wire::reason::Reason;

/// Commands about dead letters.
#[derive(Subcommand, Clone, Debug)]
pub enum DeadLettersCommand {
    /// Counts dead letters by reason and place, and lists the latest
    #[command(after_long_help = DEAD_LETTERS_CODES)]
    List(ListArguments),
    /// Shows one dead letter whole: its headers, its key and its value
    #[command(after_long_help = DEAD_LETTERS_CODES)]
    Show(ShowArguments),
    /// Writes the original records again, to their topic or another one; without --yes it only says what it would write
    #[command(after_long_help = DEAD_LETTERS_CODES)]
    Requeue(RequeueArguments),
}

/// Which dead letters.
#[derive(Args, Clone, Default, Debug)]
pub struct DeadLetterFilter {
    /// Only those refused for this reason, such as wrong_partition. May be given again
    #[arg(long = "reason", value_name = "REASON", value_parser = PossibleValuesParser::new(Reason::ALL.map(Reason::name)))]
    pub reasons: Vec<String>,

    /// Only records of this partition of their input
    #[arg(long, value_name = "NUMBER")]
    pub partition: Option<u32>,

    /// Only records of this input, by the topic's name
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,

    /// Only those refused at this instant or later (RFC 3339, with offset)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Time>,

    /// Only those refused before this instant
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Time>,
}

/// Arguments of `dead-letters list`.
#[derive(Args, Clone, Debug)]
pub struct ListArguments {
    #[command(flatten)]
    pub filter: DeadLetterFilter,

    /// The most dead letters to list one by one, the latest first
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub rows: usize,

    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `dead-letters show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// Partition of the dead-letter topic, as `list` shows it
    #[arg(value_name = "PARTITION")]
    pub partition: u32,

    /// Offset in it
    #[arg(value_name = "OFFSET")]
    pub offset: u64,

    /// Prints JSON, with key and value also in base64
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `dead-letters requeue`.
#[derive(Args, Clone, Default, Debug)]
pub struct RequeueArguments {
    #[command(flatten)]
    pub filter: DeadLetterFilter,

    /// Writes to this topic; default: to the one that each record came from
    #[arg(long, value_name = "TOPIC")]
    pub to: Option<String>,

    /// Sends each value through a program of the shell: the value on its standard input, the repaired one on its standard output.
    /// A record for which it ends with another code than 0 is skipped
    #[arg(long, value_name = "COMMAND")]
    pub through: Option<String>,

    /// Writes; without it nothing is written
    #[arg(long)]
    pub yes: bool,
}
