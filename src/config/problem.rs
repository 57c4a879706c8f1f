//! Everything that is wrong with the configuration, in one message.

use super::layers::{Origin, Path};

/// One thing to put right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    path: Option<Path>,
    origin: Option<Origin>,
    message: String,
}

impl Problem {
    /// About a value that was given.
    pub(super) fn of(path: Path, origin: Origin, message: String) -> Self {
        Self { path: Some(path), origin: Some(origin), message }
    }

    /// About a value that is missing.
    pub(super) fn missing(path: Path, message: String) -> Self {
        Self { path: Some(path), origin: None, message }
    }

    /// About a place that is no key.
    pub(super) fn at(origin: Origin, message: String) -> Self {
        Self { path: None, origin: Some(origin), message }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.path, &self.origin) {
            (Some(path), Some(origin)) => write!(formatter, "{path} ({origin}): ")?,
            (Some(path), None) => write!(formatter, "{path}: ")?,
            (None, Some(origin)) => write!(formatter, "{origin}: ")?,
            (None, None) => {}
        }
        formatter.write_str(&self.message)
    }
}

/// Problems in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// A key may be read more than once; it is complained about once.
    pub(super) fn add(&mut self, problem: Problem) {
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a problem about this key was found.
    pub(super) fn concern(&self, path: &Path) -> bool {
        self.list.iter().any(|problem| problem.path.as_ref() == Some(path))
    }
}

/// The configuration cannot be used. Its text lists every problem, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub struct ConfigError {
    file: Option<String>,
    problems: Problems,
}

impl ConfigError {
    pub(super) fn new(file: Option<String>, problems: Problems) -> Self {
        Self { file, problems }
    }

    /// The problems alone.
    pub fn problems(&self) -> Vec<String> {
        self.problems.list.iter().map(Problem::to_string).collect()
    }

    fn text(&self) -> String {
        let place = match &self.file {
            Some(file) => format!("the configuration in {file}"),
            None => "the configuration".to_owned(),
        };
        let problems = self.problems();
        match problems.as_slice() {
            [problem] => format!("{place} cannot be used: {problem}"),
            problems => {
                format!("{place} cannot be used, {} problems:\n  {}", problems.len(), problems.join("\n  "))
            }
        }
    }
}
