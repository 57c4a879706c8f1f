//! Where settings come from, gathered once by `main` and given to [`load`](super::load).

use std::collections::BTreeMap;
use std::path::Path;

use super::layers::ENVIRONMENT_PREFIX;

/// The raw input of the configuration. An empty one gives the defaults.
#[derive(Clone, Default, Debug)]
pub struct Sources {
    /// What messages call the file.
    pub file_name: Option<String>,
    /// TOML.
    pub file_text: Option<String>,
    /// Names and texts of files of rules, beside those that `rules.files` names.
    pub rule_files: Vec<(&'static str, String)>,
    /// Variables by name; those of others are passed over.
    pub environment: BTreeMap<String, String>,
    /// `KEY=VALUE`, the strongest; later ones win.
    pub assignments: Vec<String>,
    /// Key, value and the name of the command that assumes it where the user sets nothing.
    pub fallbacks: Vec<(&'static str, String, &'static str)>,
    pub host_name: Option<String>,
}

impl Sources {
    /// Reads the file, the environment and the host name of this process.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_process(file: Option<&Path>, assignments: Vec<String>) -> std::io::Result<Self> {
        let file_text = match file {
            Some(path) => Some(std::fs::read_to_string(path)?),
            None => None,
        };
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        Ok(Self {
            file_name: file.map(|path| path.display().to_string()),
            file_text,
            rule_files: Vec::new(),
            environment,
            assignments,
            fallbacks: Vec::new(),
            host_name: host_name(),
        })
    }
}

/// The host name as Linux knows it, or as the shell does.
fn host_name() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
}
