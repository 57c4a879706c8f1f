//! A map file: TOML around a jq program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::envelope::Envelope;
use super::or_list;
use crate::config::suggest;

/// Options of a map by name, as a user gives them.
pub type Options = BTreeMap<String, String>;

/// What a map reads.
#[derive(Clone, PartialEq, Debug)]
pub enum InputFormat {
    Json,
    /// Documents of a CSV file. The settings are those of the section `[input]`, read by the CSV reader.
    Csv(toml::Table),
}

/// A map file as it is written.
#[derive(Debug)]
pub(super) struct MapFile {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) input: InputFormat,
    pub(super) envelopes: Vec<Envelope>,
    pub(super) options: BTreeMap<String, MapOption>,
    pub(super) fixtures: Option<Fixtures>,
    pub(super) program: String,
    /// The line of the file on which the program begins.
    pub(super) program_line: usize,
}

/// One option of a map.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct MapOption {
    /// What it decides, in a sentence.
    #[serde(default)]
    pub(super) about: String,
    /// Without choices it is a free text.
    #[serde(default)]
    pub(super) choices: Vec<String>,
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) required: bool,
}

/// Records of which the right result is known.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixtures {
    /// Beside the map file.
    pub(super) file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    #[serde(default)]
    about: String,
    input: toml::Table,
    #[serde(default)]
    options: BTreeMap<String, MapOption>,
    fixtures: Option<Fixtures>,
    program: String,
}

impl MapFile {
    pub(super) fn parse(text: &str, origin: &str) -> Result<Self, String> {
        let raw = raw(text).map_err(|error| format!("{origin}: {error}"))?;
        let (input, envelopes) = input(raw.input).map_err(|problem| format!("{origin}: {problem}"))?;
        for (name, option) in &raw.options {
            if option.required && option.default.is_some() {
                return Err(format!("{origin}: options.{name} is required and has a default; leave one out"));
            }
            let is_choice = |default: &String| option.choices.is_empty() || option.choices.contains(default);
            if let Some(default) = option.default.as_ref().filter(|default| !is_choice(default)) {
                return Err(format!(
                    "{origin}: options.{name}: the default {default:?} is none of the choices"
                ));
            }
        }
        Ok(Self {
            name: raw.name,
            about: raw.about,
            input,
            envelopes,
            options: raw.options,
            fixtures: raw.fixtures,
            program_line: line_of_program(text, &raw.program),
            program: raw.program,
        })
    }

    /// The value of each option: as given, else its default.
    pub(super) fn chosen(&self, given: &Options) -> Result<BTreeMap<String, Option<String>>, String> {
        for (name, value) in given {
            let Some(option) = self.options.get(name) else {
                let names = self.options.keys().map(String::as_str);
                let hint = match suggest::nearest(name, names.clone()) {
                    Some(near) => format!("did you mean {near}?"),
                    None if self.options.is_empty() => "it has none".to_owned(),
                    None => format!("it has {}", or_list(names)),
                };
                return Err(format!("the map {} has no option {name:?}; {hint}", self.name));
            };
            if !option.choices.is_empty() && !option.choices.contains(value) {
                let choices = option.choices.iter().map(String::as_str);
                let hint = suggest::nearest(value, choices.clone())
                    .map_or_else(String::new, |near| format!(", did you mean {near}?"));
                return Err(format!(
                    "option {name} of the map {} is {}, not {value:?}{hint}",
                    self.name,
                    or_list(choices)
                ));
            }
        }
        let missing =
            self.options.iter().find(|(name, option)| option.required && !given.contains_key(*name));
        if let Some((name, option)) = missing {
            let about = if option.about.is_empty() { "" } else { ": " };
            return Err(format!("the map {} needs the option {name}{about}{}", self.name, option.about));
        }
        let value = |(name, option): (&String, &MapOption)| {
            (name.clone(), given.get(name).cloned().or_else(|| option.default.clone()))
        };
        Ok(self.options.iter().map(value).collect())
    }
}

/// A program that stands last in the file belongs to the section before it, as TOML has it, and is meant for the whole.
fn raw(text: &str) -> Result<Raw, toml::de::Error> {
    let mut table: toml::Table = toml::from_str(text)?;
    if !table.contains_key("program")
        && let Some(program) = take_program(&mut table)
    {
        table.insert("program".to_owned(), program);
        return table.try_into();
    }
    // From the text, so that errors show the line.
    toml::from_str(text)
}

fn take_program(table: &mut toml::Table) -> Option<toml::Value> {
    table.iter_mut().find_map(|(_, value)| {
        let section = value.as_table_mut()?;
        let program =
            section.get("program").is_some_and(toml::Value::is_str).then(|| section.remove("program"));
        program.flatten().or_else(|| take_program(section))
    })
}

fn input(mut table: toml::Table) -> Result<(InputFormat, Vec<Envelope>), String> {
    let format = table.remove("format");
    match format.as_ref().and_then(toml::Value::as_str) {
        Some("csv") => Ok((InputFormat::Csv(table), Vec::new())),
        Some("json") => {
            let envelopes = match table.remove("unwrap") {
                None => Vec::new(),
                Some(toml::Value::Array(names)) => {
                    names.iter().map(envelope).collect::<Result<Vec<_>, String>>()?
                }
                Some(_) => {
                    return Err("input.unwrap is a list, such as [\"confluent\", \"connect\"]".to_owned());
                }
            };
            match table.keys().next() {
                Some(key) => {
                    Err(format!("input.{key} is no setting of the format json; it has unwrap alone"))
                }
                None => Ok((InputFormat::Json, envelopes)),
            }
        }
        Some(other) => Err(format!("input.format is \"json\" or \"csv\", not {other:?}")),
        None => Err("give input.format: \"json\" or \"csv\"".to_owned()),
    }
}

fn envelope(value: &toml::Value) -> Result<Envelope, String> {
    let name = value.as_str().unwrap_or_default();
    Envelope::ALL.into_iter().find(|envelope| envelope.name() == name).ok_or_else(|| {
        let names = || Envelope::ALL.into_iter().map(Envelope::name);
        let hint = suggest::nearest(name, names())
            .map_or_else(String::new, |near| format!(", did you mean {near}?"));
        format!("input.unwrap: {} is none of {}{hint}", value, or_list(names()))
    })
}

/// The line on which a program begins that stands in the file as it is; of one with escapes, the line of its key.
fn line_of_program(text: &str, program: &str) -> usize {
    let key = text.find("\nprogram").map_or(0, |at| at + 1);
    let start = text[key..].find(program).filter(|_| !program.is_empty()).map_or(key, |at| key + at);
    text[..start].bytes().filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "[input]\nformat = \"json\"\nunwrap = [\"connect\"]\n[options.money]\nchoices = [\"goods\", \"paid\"]\n\
        default = \"goods\"\n[options.zone]\nrequired = true\nabout = \"where the shop is\"\n";

    fn file(more: &str) -> Result<MapFile, String> {
        MapFile::parse(&format!("name = \"m\"\nprogram = '''\n.\n'''\n{REST}{more}"), "m.toml")
    }

    fn options(given: &[(&str, &str)]) -> Options {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_are_checked_and_have_defaults() {
        let file = file("").expect("a map");
        assert_eq!(file.program_line, 3);
        let last = "name = \"m\"\n[input]\nformat = \"json\"\n[fixtures]\nfile = \"f\"\nprogram = '.a'";
        assert_eq!(MapFile::parse(last, "m.toml").expect("a map").program, ".a");
        let chosen = file.chosen(&options(&[("zone", "UTC")])).expect("complete");
        let text = |name: &str| chosen[name].as_deref();
        assert_eq!((text("money"), text("zone")), (Some("goods"), Some("UTC")));
        for (given, expected) in [
            (&[("zone", "UTC"), ("mony", "paid")][..], "no option \"mony\"; did you mean money?"),
            (&[("zone", "UTC"), ("money", "payed")], "goods or paid, not \"payed\", did you mean paid?"),
            (&[], "needs the option zone: where the shop is"),
        ] {
            let problem = file.chosen(&options(given)).expect_err(expected);
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_wrong_file_says_what_would_be_right() {
        for (text, expected) in [
            ("name = \"m\"\nprogram = \".\"\n[input]\nformat = \"xml\"", "\"json\" or \"csv\", not \"xml\""),
            ("name = \"m\"\nprogram = \".\"\n[input]", "give input.format"),
            (
                "name = \"m\"\nprogram = \".\"\n[input]\nformat = \"json\"\nunwrap = [\"conect\"]",
                "did you mean connect?",
            ),
            (
                "name = \"m\"\nprogram = \".\"\n[input]\nformat = \"json\"\ndelimiter = \";\"",
                "input.delimiter is no setting",
            ),
            ("name = \"m\"\n[input]\nformat = \"json\"", "missing field `program`"),
            ("name = \"m\"\nprogramme = \".\"\n[input]\nformat = \"json\"", "unknown field `programme`"),
        ] {
            let problem = MapFile::parse(text, "m.toml").expect_err(text);
            assert!(problem.starts_with("m.toml: ") && problem.contains(expected), "{problem}");
        }
        let problem = file("[options.a]\nchoices = [\"b\"]\ndefault = \"c\"\n").expect_err("a wrong default");
        assert!(problem.contains("the default \"c\" is none of the choices"), "{problem}");
    }
}
