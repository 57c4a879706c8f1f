//! Rules: `[rules]`, `[rules.caps.<name>]`, `[lives]` and `[[rule]]`, in the settings file and in those that `rules.files` names.
//!
//! They are lists and tables of their own kind, so they are not layered: the environment and flags name files.

mod hours;
mod rule;
mod say;
mod table;
mod tiers;
mod trigger;
mod values;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use rule::RULE_KEYS;
pub(super) use table::RulesFile;

use super::keys;
use super::layers::{Origin, Path};
use super::problem::{Problem, Problems};
use super::reader::Reader;
use crate::domain::rules::points::Points;
use crate::domain::rules::rule::{
    CAPS_MAX, Cap, HoldoutShare, ProductLife, RULES_MAX, Rule, RuleSet, RuleSetError, SKUS_WATCHED_MAX,
};
use crate::domain::rules::schedule::SendHours;
use crate::domain::rules::tiers::Tiers;
use crate::domain::values::number::Decimal;
use crate::wire::hash::hash;
use table::Table;

/// The sections that are read here, as far as they are no key of the table of keys.
pub(super) const SECTIONS: [&str; 4] = ["rules", "rule", "lives", "tiers"];

/// The sections that other files than the settings file may have.
const SECTIONS_OF_FILES: [&str; 3] = ["rules", "rule", "lives"];

/// What a shop does with what the service knows of its customers.
pub(super) struct Tactics {
    pub(super) rules: Option<Arc<RuleSet>>,
    pub(super) points: Option<Points>,
    pub(super) tiers: Option<Arc<Tiers>>,
}

/// What the rules of all files have in common.
struct Common {
    lives: Vec<ProductLife>,
    send: Option<SendHours>,
    caps: Vec<Cap>,
    /// The names of tiers; empty without tiers.
    tiers: Vec<String>,
    has_points: bool,
}

/// What `check --show` says of rules, and what tells instances with other rules apart.
pub(super) fn summary(rules: &RuleSet) -> String {
    let count = rules.rules().len();
    format!("{count} rule{}, version {}", if count == 1 { "" } else { "s" }, version(rules))
}

/// A hash of all that rules say: 16 hexadecimal digits.
pub fn version(rules: &RuleSet) -> String {
    format!("{:016x}", hash(format!("{rules:?}").as_bytes()))
}

/// Reads all of it; what is wrong is left out.
pub(super) fn read(reader: &mut Reader<'_>) -> Tactics {
    let holdout = reader.get(&keys::RULES_HOLDOUT);
    let (per, factor) = (reader.optional(&keys::POINTS_PER), reader.get(&keys::POINTS_FACTOR));
    let points = per.map(|per| Points { per, factor });
    let keep = reader.get(&keys::TIERS_KEEP);
    let files = read_files(reader);
    let mut tables = Vec::with_capacity(files.len());
    for file in &files {
        match DeTable::parse(&file.text) {
            Ok(table) => tables.push((file, table)),
            // Of the settings file this is known already.
            Err(error) if file.name.is_some() => {
                let origin = file.origin(error.span().map_or(0, |span| span.start));
                let message = format!("this is not TOML: {}", error.message().replace('\n', ", "));
                reader.problems.add(Problem::at(origin, message));
            }
            Err(_) => {}
        }
    }
    let tiers = tables.first().filter(|(file, _)| file.name.is_none()).and_then(|(file, table)| {
        tiers::read(&mut Table::new(file, &[], 0, table.get_ref(), reader.problems), keep)
    });
    let common = read_common(&tables, points.is_some(), tiers.as_ref(), reader.problems);
    let rules = read_rules(&tables, &common, reader.problems);
    let rules = set(rules, common.caps, holdout, reader.problems);
    Tactics { rules, points, tiers: tiers.map(Arc::new) }
}

/// None without rules.
fn set(rules: Vec<Rule>, caps: Vec<Cap>, holdout: Decimal, problems: &mut Problems) -> Option<Arc<RuleSet>> {
    if rules.is_empty() {
        return None;
    }
    let share = holdout.numerator() * 10_000 / holdout.denominator();
    let holdout = HoldoutShare(u16::try_from(share).expect("at most a half"));
    match RuleSet::new(rules, caps, holdout) {
        Ok(set) => Some(Arc::new(set)),
        Err(error) => {
            let (name, message) = match error {
                RuleSetError::SameName(name) => (name, "is the name of two rules".to_owned()),
                RuleSetError::SameId(one, other) => {
                    let message = format!("has the id of {one:?} by chance; give one of them another name");
                    (other, message)
                }
                RuleSetError::TooManySkus(count) => {
                    let message = format!(
                        "of all enabled rules on \"product\" together hold {count} SKUs; at most {SKUS_WATCHED_MAX} are watched"
                    );
                    problems.add(Problem::missing(Path::below(&["lives"]), message));
                    return None;
                }
            };
            problems.add(Problem::missing(Path::below(&["rule", &name]), message));
            None
        }
    }
}

/// The settings file, then the others.
fn read_files(reader: &mut Reader<'_>) -> Vec<RulesFile> {
    let text = reader.layers.file_text.clone();
    let mut files: Vec<RulesFile> = text.map(|text| RulesFile { name: None, text }).into_iter().collect();
    files.extend(
        reader
            .layers
            .rule_files
            .iter()
            .map(|(name, text)| RulesFile { name: Some((*name).to_owned()), text: text.clone() }),
    );
    for path in reader.optional(&keys::RULES_FILES).unwrap_or_default() {
        let name = path.display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => files.push(RulesFile { name: Some(name), text }),
            Err(error) => {
                reader.refuse(
                    Path::of(keys::RULES_FILES.key.path),
                    format!("cannot read {}: {error}", name.escape_debug()),
                );
            }
        }
    }
    files
}

/// Caps and lives may stand in every file, as long as no name has two meanings; the rest is for the settings file.
fn read_common(
    tables: &[(&RulesFile, Spanned<DeTable<'_>>)],
    has_points: bool,
    tiers: Option<&Tiers>,
    problems: &mut Problems,
) -> Common {
    let tiers = tiers.into_iter().flat_map(Tiers::names).map(str::to_owned).collect();
    let mut common = Common { lives: Vec::new(), send: None, caps: Vec::new(), tiers, has_points };
    for (file, table) in tables {
        let mut whole = Table::new(file, &[], 0, table.get_ref(), problems);
        if file.name.is_some() {
            whole.check_keys(&SECTIONS_OF_FILES);
        }
        if let Some(lives) = whole.optional("lives", trigger::lives) {
            for life in lives {
                add_life(&mut common.lives, life, &mut whole);
            }
        }
        if let Some((begin, section)) = section(&mut whole, "rules") {
            let mut rules = whole.below("rules", begin, section);
            let known: &[&str] =
                if file.name.is_none() { &["files", "holdout", "send", "caps"] } else { &["caps"] };
            rules.check_keys(known);
            if rules.has("send") && file.name.is_none() {
                common.send = hours::read(&mut rules);
            }
            if let Some((begin, caps)) = self::section(&mut rules, "caps") {
                read_caps(&mut rules.below("caps", begin, caps), &mut common.caps);
            }
        }
    }
    common.lives.sort_by_key(|life| life.sku_hash);
    common
}

/// A section below a table, with where it begins.
fn section<'r>(table: &mut Table<'r, '_>, name: &str) -> Option<(usize, &'r DeTable<'r>)> {
    let begin = table.entries().find(|(key, ..)| *key == name).map(|(.., offset)| offset)?;
    let section = table.optional(name, |value| match value {
        DeValue::Table(section) => Ok(section),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => Err(format!("is {}; it is a section: [{name}]", values::kind(value))),
    })?;
    Some((begin, section))
}

fn add_life(lives: &mut Vec<ProductLife>, life: ProductLife, whole: &mut Table<'_, '_>) {
    match lives.iter().find(|known| known.sku_hash == life.sku_hash) {
        Some(known) if *known == life => {}
        Some(known) => {
            whole.refuse("lives", format!("gives {:?} another life than an earlier file does", known.sku));
        }
        None => lives.push(life),
    }
}

fn read_caps(section: &mut Table<'_, '_>, caps: &mut Vec<Cap>) {
    for (name, value, begin) in section.entries().collect::<Vec<_>>() {
        let DeValue::Table(inner) = value else {
            section
                .refuse(name, format!("is {}; a cap is a section: [rules.caps.NAME]", values::kind(value)));
            continue;
        };
        let known_name = section.optional(name, |_| values::name(&DeValue::String(name.into())).map(|_| ()));
        let mut table = section.below(name, begin, inner);
        table.check_keys(&["max", "per"]);
        let max = table.required("max", "say how often, from 1 to 10", |value| values::count(value, 1, 10));
        let why = "say within which time, such as \"30d\"";
        let per =
            table.required("per", why, |value| values::duration(value, values::HOUR, 365 * values::DAY));
        let (Some(()), Some(max), Some(per)) = (known_name, max, per) else { continue };
        let max = u8::try_from(max).expect("at most 10");
        let cap = Cap { name: name.into(), hash: hash(name.as_bytes()), max, per };
        match caps.iter().find(|known| known.name == cap.name) {
            Some(known) if *known == cap => {}
            Some(_) => table.refuse_whole("is another cap than an earlier file has by this name".to_owned()),
            None if caps.len() == CAPS_MAX => {
                table.refuse_whole(format!("is one too many; there are at most {CAPS_MAX} caps"))
            }
            None => caps.push(cap),
        }
    }
}

fn read_rules(
    tables: &[(&RulesFile, Spanned<DeTable<'_>>)],
    common: &Common,
    problems: &mut Problems,
) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut places: BTreeMap<Box<str>, Origin> = BTreeMap::new();
    for (file, table) in tables {
        let mut whole = Table::new(file, &[], 0, table.get_ref(), problems);
        let items = whole.optional("rule", |value| Ok(values::list(value)?.collect::<Vec<_>>()));
        for item in items.into_iter().flatten() {
            let DeValue::Table(inner) = item else {
                whole.refuse("rule", format!("holds {}; a rule is a table: [[rule]]", values::kind(item)));
                continue;
            };
            let begin = inner.iter().map(|(name, _)| name.span().start).min().unwrap_or_default();
            let mut table = whole.below("rule", begin, inner);
            let Some(rule) = rule::read(&mut table, common) else { continue };
            if let Some(place) = places.get(&rule.name) {
                table
                    .refuse("name", format!("{:?} is the name of another rule ({place}) already", rule.name));
            } else if rules.len() == RULES_MAX {
                table.refuse_whole(format!("is one too many; there are at most {RULES_MAX} rules"));
            } else {
                places.insert(rule.name.clone(), file.origin(begin));
                rules.push(rule);
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests;
