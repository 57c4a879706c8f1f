//! `completions` and `man`: what shells and `man` need, made from the definition of the arguments.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};

use crate::commands::cli::Arguments;
use crate::exit::{Exit, Failure};

const NAME: &str = "retention-signals";

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArguments {
    /// The shell that is to read the script
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArguments {
    /// Folder for a page of each command; made if it is not there. Default: the main page goes to standard output
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The script for a shell.
pub fn completions(arguments: &CompletionsArguments) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), NAME, &mut script);
    script
}

/// The page of the program; or, with a folder, a page for each command, written there.
///
/// # Errors
/// The folder cannot be written.
pub fn man(arguments: &ManArguments) -> Result<Vec<u8>, Failure> {
    let mut command = Arguments::command();
    command.build();
    let Some(folder) = &arguments.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).expect("memory takes any text");
        return Ok(page);
    };
    write_pages(command, folder).map_err(|error| {
        let is_refused = error.kind() == std::io::ErrorKind::PermissionDenied;
        let exit = if is_refused { Exit::Permission } else { Exit::Configuration };
        Failure::message(exit, format!("cannot write to {}: {error}", folder.display()))
    })?;
    Ok(Vec::new())
}

fn write_pages(command: clap::Command, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}
