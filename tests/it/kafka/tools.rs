//! Kafka's own command-line tools, many runs in one Java process: a start takes a second, a run then some ten milliseconds.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::jars::Kafka;
use crate::process::tail;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/Tools.java");

/// The running process. It ends with its standard input, and so with the test run.
#[derive(Debug)]
pub struct Tools {
    child: Child,
    commands: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    errors: std::path::PathBuf,
}

impl Tools {
    pub(super) fn start(kafka: &Kafka, folder: &Path) -> Result<Tools> {
        let errors = folder.join("tools.stderr");
        let mut child = Command::new(&kafka.java)
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.xml").display()))
            .args(["-cp", &kafka.class_path, SOURCE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .spawn()?;
        let commands = child.stdin.take().context("piped")?;
        let output = BufReader::new(child.stdout.take().context("piped")?).lines();
        Ok(Tools { child, commands, output, errors })
    }

    /// Runs a tool to its end and returns what it printed.
    pub fn run(&mut self, class: &str, arguments: &[&str]) -> Result<String> {
        let line = [&[class], arguments].concat().join("\t");
        writeln!(self.commands, "{line}")?;
        self.commands.flush()?;
        let mut printed = String::new();
        for line in self.output.by_ref() {
            match line?.as_str() {
                "DONE" => return Ok(printed),
                line => printed = printed + line + "\n",
            }
        }
        let errors = std::fs::read_to_string(&self.errors)?;
        bail!("{class} {arguments:?} failed (a JDK is needed):\n{printed}{}", tail(&errors, 20))
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        // It may have ended by itself; the test's outcome stands.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
