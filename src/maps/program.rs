//! A program of jq: parsed, rewritten, compiled.

use std::collections::BTreeSet;

use jaq_core::compile::{TermId, Undefined};
use jaq_core::load::parse::{Def, Parser, Term};
use jaq_core::load::{Arena, File, Lexer, Loader, span};
use jaq_core::native::{Fun, run};
use jaq_core::{Compiler, Filter, Lut};

use super::rewrite::Found;
use super::run::Kind;
use super::{SKIP_REASONS_MAX, arithmetic, filters};
use crate::config::suggest;

/// What the main program calls; no program can write the name.
const PROGRAM: &str = "program";

/// Definitions of jq's library whose filters are not there: they read the machine, print, end the process, compute with floats, or
/// bring a regex engine.
const LEFT_OUT: [&str; 29] = [
    "stderr",
    "debug",
    "halt",
    "halt_error",
    "logb",
    "significand",
    "pow10",
    "drem",
    "nexttoward",
    "scalb",
    "gamma",
    "capture_of_match",
    "test",
    "scan_",
    "match",
    "capture",
    "splits",
    "sub",
    "gsub",
    "scan",
    "todate",
    "fromdate",
    "@html",
    "@htmld",
    "@uri",
    "@urid",
    "@base64",
    "@base64d",
    "input",
];

/// Definitions of jq that jaq does not have.
const MORE: &str = "def IN(s): any(s == .; .); def IN(source; s): any(source == s; .);";

/// Filters of the library that are replaced or left out.
const REPLACED: [&str; 5] = ["halt", "tobytes", "range", "fromjson", "tojson"];

/// A compiled program and what stands in it.
pub(super) struct Program {
    filter: Filter<Kind>,
    skip_reasons: Vec<String>,
    literals: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Program {
    /// Compiles the text of a program that begins at a line of a file.
    pub(super) fn compile(text: &str, origin: &str, first_line: usize) -> Result<Self, String> {
        let place = |part: &str| place(text, part, origin, first_line);
        let mut term = parse(text, &place)?;
        let mut found = Found::default();
        found.term(&mut term);
        if found.skip_reasons.len() > SKIP_REASONS_MAX {
            let count = found.skip_reasons.len();
            return Err(format!("{origin}: {count} reasons to skip; a map may have {SKIP_REASONS_MAX}"));
        }
        let library = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).filter(is_there);
        let more = jaq_core::load::parse(MORE, |parser| parser.defs()).expect("definitions of jq");
        let mut definitions: Vec<Def<&str>> = library.chain(more).collect();
        let mut of_library = Found::default();
        definitions.iter_mut().for_each(|definition| of_library.definition(definition));
        let known: BTreeSet<String> = of_library.names.iter().cloned().collect();
        definitions.push(Def { name: PROGRAM, args: Vec::new(), body: term });
        let arena = Arena::default();
        let filter = link(&arena, definitions).map_err(|undefined| {
            let faults: Vec<String> = undefined
                .iter()
                .map(|(name, kind)| {
                    let hint = suggest::nearest(name, known.iter().map(String::as_str).chain(filters::NAMES));
                    let hint = hint.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                    format!("{}: there is no {kind} {name}{hint}", place(name))
                })
                .collect();
            faults.join("\n")
        })?;
        Ok(Self { filter, skip_reasons: found.skip_reasons, literals: found.literals, names: found.names })
    }

    pub(super) fn lut(&self) -> &Lut<Kind> {
        &self.filter.lut
    }

    pub(super) fn entry(&self) -> TermId {
        self.filter.id
    }

    pub(super) fn skip_reasons(&self) -> &[String] {
        &self.skip_reasons
    }

    /// Adds a reason that the program does not name itself.
    pub(super) fn add_skip_reason(&mut self, reason: &str) {
        self.skip_reasons.push(reason.to_owned());
    }

    /// Whether a text stands in the program as it is, so that it holds no data.
    pub(super) fn has_literal(&self, text: &str) -> bool {
        self.literals.contains(text)
    }

    pub(super) fn uses_meta(&self) -> bool {
        self.names.contains("$meta")
    }

    pub(super) fn uses_hashed(&self) -> bool {
        self.names.contains("hashed")
    }
}

/// Whether a definition of the library may be called.
fn is_there(definition: &Def<&'static str>) -> bool {
    let is_split_by_regex = (definition.name, definition.args.len()) == ("split", 2);
    !LEFT_OUT.contains(&definition.name) && !is_split_by_regex
}

fn parse<'t>(text: &'t str, place: &dyn Fn(&str) -> String) -> Result<Term<&'t str>, String> {
    let tokens = Lexer::new(text).lex().map_err(|errors| {
        let faults: Vec<String> = errors
            .iter()
            .map(|(expected, found)| format!("{}: expected {}", place(found), expected.as_str()))
            .collect();
        faults.join("\n")
    })?;
    Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| {
        let faults: Vec<String> = errors
            .iter()
            .map(|(expected, found)| {
                let (at, found) = match found {
                    Some(token) => (token.0, format!("{:?}", first_word(token.0))),
                    None => (&text[text.len()..], "the end".to_owned()),
                };
                let expected = match expected.as_str() {
                    "nothing" => "an operator or the end",
                    expected => expected,
                };
                format!("{}: expected {expected}, found {found}", place(at))
            })
            .collect();
        faults.join("\n")
    })
}

/// A token of brackets holds all that is between them.
fn first_word(token: &str) -> &str {
    let token = token.lines().next().unwrap_or_default();
    token.char_indices().nth(24).map_or(token, |(end, _)| &token[..end])
}

fn link<'t>(
    arena: &'t Arena,
    definitions: Vec<Def<&'t str>>,
) -> Result<Filter<Kind>, Vec<(&'t str, String)>> {
    let main = File { code: PROGRAM, path: () };
    let modules = Loader::new(definitions).load(arena, main).expect("one call");
    let library = jaq_core::funs::<Kind>().chain(jaq_std::base_funs()).chain(jaq_json::funs());
    let library = library.filter(|(name, ..): &Fun<Kind>| !REPLACED.contains(name));
    let ours = arithmetic::funs().into_iter().chain(filters::funs()).map(run::<Kind>);
    let compiler = Compiler::default().with_funs(library.chain(ours)).with_global_vars(["$options", "$meta"]);
    compiler.compile(modules).map_err(|errors| {
        errors
            .into_iter()
            .flat_map(|(_, errors)| errors)
            .map(|(name, undefined)| {
                let kind = if let Undefined::Filter(arguments) = undefined {
                    match arguments {
                        0 => "filter".to_owned(),
                        1 => "filter with one argument named".to_owned(),
                        more => format!("filter with {more} arguments named"),
                    }
                } else {
                    undefined.as_str().to_owned()
                };
                (name, kind)
            })
            .collect()
    })
}

/// Where a part of the program stands: file, line, column.
fn place(text: &str, part: &str, origin: &str, first_line: usize) -> String {
    let start = span(text, part).start;
    let before = &text[..start];
    let line = first_line + before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{origin}:{line}:{column}")
}
