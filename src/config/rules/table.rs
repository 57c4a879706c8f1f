//! A table of a rules file: its keys one by one, each with its place, and what is wrong with them.

use toml::de::{DeTable, DeValue};

use super::super::layers::{Origin, Path};
use super::super::problem::{Problem, Problems};
use super::super::suggest;

/// A file with rules.
pub(in crate::config) struct RulesFile {
    /// None: the settings file itself.
    pub(in crate::config) name: Option<String>,
    pub(in crate::config) text: String,
}

impl RulesFile {
    pub(super) fn origin(&self, offset: usize) -> Origin {
        let line = 1 + self.text[..offset].bytes().filter(|byte| *byte == b'\n').count();
        match &self.name {
            None => Origin::File { line },
            Some(file) => Origin::OtherFile { file: file.clone(), line },
        }
    }
}

/// A table, where it stands, and the list that its problems go to.
pub(super) struct Table<'r, 'p> {
    pub(super) file: &'r RulesFile,
    /// Sections and names, for messages.
    path: Vec<String>,
    /// Where it begins, as a byte offset.
    begin: usize,
    table: &'r DeTable<'r>,
    problems: &'p mut Problems,
}

impl<'r, 'p> Table<'r, 'p> {
    pub(super) fn new(
        file: &'r RulesFile,
        path: &[&str],
        begin: usize,
        table: &'r DeTable<'r>,
        problems: &'p mut Problems,
    ) -> Self {
        Self { file, path: path.iter().map(|name| (*name).to_owned()).collect(), begin, table, problems }
    }

    /// Calls it so from now on.
    pub(super) fn rename(&mut self, path: &[&str]) {
        self.path = path.iter().map(|name| (*name).to_owned()).collect();
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Every key with its value and its place.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'r str, &'r DeValue<'r>, usize)> + use<'r> {
        self.table.iter().map(|(name, value)| (name.get_ref().as_ref(), value.get_ref(), name.span().start))
    }

    /// A table below this one.
    pub(super) fn below(&mut self, name: &str, begin: usize, table: &'r DeTable<'r>) -> Table<'r, '_> {
        let path = self.path.iter().cloned().chain([name.to_owned()]).collect();
        Table { file: self.file, path, begin, table, problems: self.problems }
    }

    /// The value of a key that may be left out.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&'r DeValue<'r>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.table.get(key)?;
        parse(value.get_ref()).map_err(|message| self.refuse(key, message)).ok()
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &str,
        why: &str,
        parse: impl FnOnce(&'r DeValue<'r>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.refuse(key, format!("is not set; {why}"));
        }
        self.optional(key, parse)
    }

    /// Refuses keys that are not of this table.
    pub(super) fn check_keys(&mut self, known: &[&str]) {
        for (name, _, _) in self.entries().filter(|(name, ..)| !known.contains(name)) {
            let hint = match suggest::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the keys here are {}", known.join(", ")),
            };
            self.refuse(name, format!("unknown key; {hint}"));
        }
    }

    /// A problem with the value of a key, or with its absence.
    pub(super) fn refuse(&mut self, key: &str, message: String) {
        let offset = self.table.get_key_value(key).map_or(self.begin, |(name, _)| name.span().start);
        let path: Vec<&str> = self.path.iter().map(String::as_str).chain([key]).collect();
        self.problems.add(Problem::of(Path::below(&path), self.file.origin(offset), message));
    }

    /// A problem with the table as a whole.
    pub(super) fn refuse_whole(&mut self, message: String) {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        self.problems.add(Problem::of(Path::below(&path), self.file.origin(self.begin), message));
    }
}
