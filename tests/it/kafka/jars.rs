//! The jars of Apache Kafka: copied by Maven on first use, kept in the target folder.
//!
//! What is to be there is named by `tests/kafka/pom.xml` alone; the copy carries a stamp of that file, so a changed
//! pom is fetched again and everything else costs one small read.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::fetched;
use crate::process::run_to_end;

const POM: &str = include_str!("../../kafka/pom.xml");
const POM_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/pom.xml");

/// Apache Kafka 4 brokers are compiled for it.
const JAVA_VERSION_MIN: u32 = 17;

/// 54 MB in about 80 files; a few seconds from a near repository.
const FETCH_PATIENCE: Duration = Duration::from_secs(600);
const JAVA_VERSION_PATIENCE: Duration = Duration::from_secs(60);

/// What a node needs to be started.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// The `java` command.
    pub java: PathBuf,
    /// The argument of `-cp`.
    pub class_path: String,
}

/// Java and the jars of Kafka, fetched if they are not there yet; else the reason why there are none. Worked out
/// once in a test run.
pub fn kafka() -> Result<&'static Kafka, &'static str> {
    static KAFKA: LazyLock<Result<Kafka, String>> =
        LazyLock::new(|| find_or_fetch().map_err(|error| format!("{error:#}")));
    KAFKA.as_ref().map_err(String::as_str)
}

fn find_or_fetch() -> Result<Kafka> {
    let java = java_tool("java");
    check_java_version(&java)?;
    let libs = fetched::once("kafka-libs", POM, copy_dependencies)?;
    Ok(Kafka { java, class_path: format!("{}/*", libs.display()) })
}

/// A program that comes with Java.
pub fn java_tool(name: &str) -> PathBuf {
    match env::var_os("JAVA_HOME") {
        Some(home) => Path::new(&home).join("bin").join(name),
        None => PathBuf::from(name),
    }
}

fn check_java_version(java: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(java);
    command.args(["-Xshare:auto", "-version"]);
    let output = run_to_end("java", command, folder.path(), JAVA_VERSION_PATIENCE)
        .context("no Java to run Apache Kafka with")?;
    match java_version(&output) {
        Some(version) if version >= JAVA_VERSION_MIN => Ok(()),
        Some(version) => bail!("Java {version} is older than {JAVA_VERSION_MIN}, which Kafka needs"),
        None => bail!("`java -version` says no version: {output}"),
    }
}

/// The feature version in `openjdk version "17.0.15" 2025-04-15`.
fn java_version(output: &str) -> Option<u32> {
    let (_, rest) = output.split_once("version \"")?;
    let digits = rest.find(|character: char| !character.is_ascii_digit())?;
    rest[..digits].parse().ok()
}

fn copy_dependencies(into: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new("mvn");
    command
        .args(["-q", "-B", "-f", POM_PATH, "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", into.display()));
    run_to_end("mvn", command, folder.path(), FETCH_PATIENCE).context("fetch Apache Kafka with Maven")?;
    Ok(())
}
