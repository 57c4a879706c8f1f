//! The parsers of AsyncAPI's and OpenAPI's communities find no fault in the documents. They come by npm, into the target folder.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::{Completion, Failed, Trial};

use crate::fetched;
use crate::process::run_to_end;

const REQUIRE_VARIABLE: &str = "RETENTION_REQUIRE_NPM";
const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../../documents/package.json")),
    ("package-lock.json", include_str!("../../documents/package-lock.json")),
    ("check.mjs", include_str!("../../documents/check.mjs")),
];

const FETCH_PATIENCE: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(120);

pub fn trials() -> Vec<Trial> {
    vec![Trial::ignorable_test("documents: AsyncAPI and OpenAPI parse", || match tools() {
        Ok(tools) => {
            parse(&tools).map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
        }
        Err(error) if env::var_os(REQUIRE_VARIABLE).is_some() => {
            Err(Failed::from(format!("{REQUIRE_VARIABLE} is set, and {error:#}")))
        }
        Err(error) => {
            Ok(Completion::ignored_with(format!("{error:#}").lines().next().unwrap_or_default().to_owned()))
        }
    })]
}

/// The folder with the parsers.
fn tools() -> Result<std::path::PathBuf> {
    let request = FILES.map(|(_, content)| content).concat();
    fetched::once("documents", &request, |into| {
        for (name, content) in FILES {
            fs::write(into.join(name), content)?;
        }
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("npm");
        // No package's own scripts: what is wanted are files.
        command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(into);
        run_to_end("npm", command, folder.path(), FETCH_PATIENCE)
            .context("no parsers by npm (Debian: apt-get install nodejs npm)")?;
        Ok(())
    })
}

fn parse(tools: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("node");
    command.arg(tools.join("check.mjs")).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"));
    let output = run_to_end("node", command, folder.path(), PATIENCE)?;
    anyhow::ensure!(output.contains("channels: orders returns"), "{output}");
    Ok(())
}
