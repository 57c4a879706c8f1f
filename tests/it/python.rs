//! Python with packages from PyPI, in environments of their own in the target folder, made on first use.
//!
//! A trial names a file of requirements and gets a Python that has them. Without Python 3.9 or later and its `venv`, or without the
//! packages, it is reported as ignored, with the reason; with `RETENTION_REQUIRE_PYTHON=1` it fails instead.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::{Completion, Failed, Trial};

use crate::fetched;
use crate::process::run_to_end;

const REQUIRE_VARIABLE: &str = "RETENTION_REQUIRE_PYTHON";

const PATIENCE: Duration = Duration::from_secs(30);
/// Some hundred megabytes from a near registry.
const FETCH_PATIENCE: Duration = Duration::from_secs(600);

/// A trial with the packages of a file of requirements, a path from the top folder.
pub fn trial(
    name: &str,
    requirements: &'static str,
    test: impl FnOnce(&Path) -> Result<()> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match interpreter(requirements) {
        Ok(python) => {
            test(&python).map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
        }
        Err(error) if is_required() => Err(Failed::from(format!("{REQUIRE_VARIABLE} is set, and {error:#}"))),
        Err(error) => {
            let reason = format!("{error:#}");
            Ok(Completion::ignored_with(reason.lines().next().unwrap_or_default()))
        }
    })
}

/// Whether trials fail without it.
pub fn is_required() -> bool {
    env::var_os(REQUIRE_VARIABLE).is_some()
}

/// The interpreter of an environment that holds these packages.
pub fn interpreter(requirements: &str) -> Result<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join(requirements);
    let asked = fs::read_to_string(&requirements)?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("python3");
    command.arg("--version");
    let version = run_to_end("python3", command, folder.path(), PATIENCE)
        .context("no Python (Debian: apt-get install python3-venv)")?;
    let owner = requirements.parent().and_then(Path::file_name).context("requirements lie in a folder")?;
    let name = format!("python-{}", owner.to_string_lossy());
    let environment = fetched::once(&name, &(version + &asked), |into| {
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(into);
        run_to_end("venv", command, folder.path(), FETCH_PATIENCE)
            .context("no venv in Python (Debian: apt-get install python3-venv)")?;
        let mut command = Command::new(into.join("bin/python"));
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        command.arg(&requirements);
        run_to_end("pip", command, folder.path(), FETCH_PATIENCE)
            .with_context(|| format!("fetch the packages of {}", requirements.display()))?;
        Ok(())
    })?;
    Ok(environment.join("bin/python"))
}
