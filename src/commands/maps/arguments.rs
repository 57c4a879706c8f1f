//! What can be asked of `maps`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::commands::cli::MAPS_CODES;

/// Commands about maps.
#[derive(Subcommand, Clone, Debug)]
pub enum MapsCommand {
    /// Lists the maps that ship
    #[command(after_long_help = MAPS_CODES)]
    List,
    /// Prints a map that ships as a file, to be copied and changed
    #[command(after_long_help = MAPS_CODES)]
    Show(ShowArguments),
    /// Prints what a map makes of each record or document of a file: input records, or why it is passed over or refused. Writes nothing
    #[command(after_long_help = MAPS_CODES)]
    Try(TryArguments),
    /// Runs the fixtures of maps: records of which the right result is known
    #[command(after_long_help = MAPS_CODES)]
    Test(TestArguments),
}

/// Arguments of `maps show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// Its name, as `maps list` prints it
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Arguments of `maps try`.
#[derive(Args, Clone, Debug)]
pub struct TryArguments {
    /// The name of a map that ships, or a map file
    #[arg(value_name = "MAP")]
    pub map: String,

    /// JSON Lines, one JSON value, an array, or a page such as {"orders": […]}; for a map of CSV files, such a file; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Sets an option of the map, such as money=paid. May be given again
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = pair)]
    pub options: Vec<(String, String)>,

    /// A header that every record is given, such as X-Shopify-Topic=orders/create. May be given again
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    pub headers: Vec<(String, String)>,

    /// A file that a map of CSV files joins to documents, such as orders=orders.csv. May be given again
    #[arg(long = "with", value_name = "NAME=FILE", value_parser = pair)]
    pub with: Vec<(String, String)>,

    /// Prints JSON Lines instead of text
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `maps test`.
#[derive(Args, Clone, Debug)]
pub struct TestArguments {
    /// Names of maps that ship, or map files; default: all that ship
    #[arg(value_name = "MAP")]
    pub maps: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("give a name and a value, such as money=paid".to_owned()),
    }
}
