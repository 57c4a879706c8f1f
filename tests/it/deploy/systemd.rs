//! The systemd unit, held against systemd's own tools where they are, and against the program.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Completion, Failed, Trial};
use retention_signals::config::{self, Purpose, Sources};
use retention_signals::exit::Exit;

const NAME: &str = "retention-signals.service";
const PROGRAM: &str = "/usr/local/bin/retention-signals";

/// Tenths: systemd calls up to 2.0 well protected.
const EXPOSURE_MAX: &str = "20";

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("deploy: the systemd unit fits the program", unit),
        Trial::ignorable_test("deploy: systemd accepts the unit", systemd_accepts),
    ]
}

fn text() -> Result<String, Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(NAME);
    let text = fs::read_to_string(path)?;
    for line in text.lines() {
        let is_known = line.is_empty()
            || line.starts_with('#')
            || (line.starts_with('[') && line.ends_with(']'))
            || line.split_once('=').is_some_and(|(key, _)| key.chars().all(char::is_alphanumeric));
        assert!(is_known, "{line:?} is no line of a unit");
    }
    Ok(text)
}

fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn unit() -> Result<(), Failed> {
    let text = text()?;
    assert_eq!(values(&text, "ExecStart"), [format!("{PROGRAM} run")]);
    // What stays wrong however often it is tried.
    let hopeless = [Exit::Usage, Exit::Data, Exit::Permission, Exit::Configuration];
    let expected = hopeless.map(|exit| exit.code().to_string()).join(" ");
    assert_eq!(values(&text, "RestartPreventExitStatus"), [expected]);
    // The variables are settings of the program, the password's too.
    let password = tempfile::NamedTempFile::new()?;
    fs::write(password.path(), "hunter2")?;
    let optional = text.replace("#Environment=", "Environment=");
    let environment = values(&optional, "Environment");
    assert_eq!(environment.len(), 3);
    let sources = Sources {
        file_text: Some(
            "shop.currency = \"EUR\"\n[kafka]\n\"bootstrap.servers\" = \"kafka:9092\"".to_owned(),
        ),
        environment: environment
            .iter()
            .filter_map(|variable| variable.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.replace("%S", "/var/lib")))
            .map(|(name, value)| {
                (name, value.replace("%d/kafka-password", &password.path().to_string_lossy()))
            })
            .collect(),
        host_name: Some("shop-1".to_owned()),
        ..Sources::default()
    };
    let config = config::load(&sources, Purpose::Kafka).map_err(|error| error.to_string())?;
    assert_eq!(config.state_dir, Path::new("/var/lib/retention-signals"));
    Ok(())
}

fn systemd_accepts() -> Result<Completion, Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(NAME);
    fs::write(&path, text()?.replace(PROGRAM, env!("CARGO_BIN_EXE_retention-signals")))?;
    let unit = path.to_string_lossy();
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    for arguments in
        [&["verify", "--man=no", &unit][..], &["security", "--no-pager", "--offline=yes", &threshold, &unit]]
    {
        let output = match Command::new("systemd-analyze").args(arguments).output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Completion::ignored_with("systemd-analyze is not installed"));
            }
            output => output?,
        };
        let complaints = String::from_utf8_lossy(&output.stderr);
        // It ends well with unknown keys.
        assert!(
            output.status.success() && complaints.is_empty(),
            "{complaints}{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(Completion::Completed)
}
