//! Puts every mutant of a list into the sources at once, each behind a number that the environment names.
//!
//! `cargo mutants` builds the package anew for each of its mutants, which takes minutes each time. Here a place that has mutants asks
//! [`SWITCH`] which one is active, so that one build tries all of them (mutant schemata: Untch, Offutt, Harrold 1993).
//!
//! ```text
//! a < b     (match crate::mutants::at(7) { 7 => (a <= b), 8 => (a > b), _ => (a < b) })
//! fn f() {  fn f() { match crate::mutants::at(9) { 9 => { return 0; } _ => {} }
//! A => 1,   A if crate::mutants::at(10) != 10 => 1,
//! ```
//!
//! What does not compile so is found by compiling, and left out by `mutants/run`. Places in `const` items, and deleted fields, are left out
//! too: `mutants/run` names how many.
//!
//! Usage: `MUTANTS.json TREE SKIPPED CONST`: the list of `cargo mutants --list --json`, the tree to change, numbers of mutants to leave
//! out, and names of functions that must stay `const`. Prints a line for each mutant: number, place (0 if it is left out), name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::{env, fs};

use serde_json::Value;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The module that every place asks. A place is known by the number of its first mutant.
const SWITCH: &str = r#"//! Which mutant is active, and which places were reached.
use std::env::var;
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
static ACTIVE: LazyLock<usize> = LazyLock::new(|| var("MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0));
static REACHED: LazyLock<Option<String>> = LazyLock::new(|| var("MUTANTS_REACHED").ok());
static SEEN: [AtomicBool; 1 << 16] = [const { AtomicBool::new(false) }; 1 << 16];
pub fn at(place: usize) -> usize {
    if let Some(path) = &*REACHED && !SEEN[place].swap(true, Ordering::Relaxed) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(format!("{place}\n").as_bytes())).expect("a file for places");
    }
    *ACTIVE
}
"#;

/// Line and column, both from 1 on.
type Spot = (usize, usize);

struct Mutant {
    number: usize,
    start: Spot,
    end: Spot,
    genre: String,
    replacement: String,
    /// The number of the first mutant of its place; 0 while it has none.
    place: usize,
}

/// A piece of text that changes.
struct Edit {
    start: usize,
    end: usize,
    by: By,
}

enum By {
    /// The text goes, and this comes.
    Text(String),
    /// The text stays one of several, each with the number of its mutant.
    Choice(Vec<(usize, String)>),
}

/// Looks for the places of mutants in one file.
struct Search<'s> {
    text: &'s str,
    /// Offsets at which lines begin.
    lines: Vec<usize>,
    mutants: &'s mut [Mutant],
    by_start: HashMap<Spot, Vec<usize>>,
    edits: Vec<Edit>,
    stays_const: &'s BTreeSet<String>,
    is_const: bool,
}

fn at(place: usize) -> String {
    format!("crate::mutants::at({place})")
}

fn spot(place: proc_macro2::LineColumn) -> Spot {
    (place.line, place.column + 1)
}

impl Search<'_> {
    fn offset(&self, (line, column): Spot) -> usize {
        let start = self.lines[line - 1];
        let rest = &self.text[start..];
        start + rest.char_indices().nth(column - 1).map_or(rest.len(), |(index, _)| index)
    }

    fn range(&self, span: proc_macro2::Span) -> (usize, usize) {
        (self.offset(spot(span.start())), self.offset(spot(span.end())))
    }

    /// The mutants of a genre that begin here and end at `end`, if that is given; they make one place.
    fn take(&mut self, start: Spot, end: Option<Spot>, genre: &str) -> Vec<(usize, String)> {
        let mut taken = Vec::new();
        if self.is_const {
            return taken;
        }
        let mut place = 0;
        for &index in self.by_start.get(&start).into_iter().flatten() {
            let mutant = &mut self.mutants[index];
            if mutant.place == 0 && mutant.genre == genre && end.is_none_or(|end| end == mutant.end) {
                place = if place == 0 { mutant.number } else { place };
                mutant.place = place;
                taken.push((mutant.number, mutant.replacement.clone()));
            }
        }
        taken
    }

    fn spanned(&mut self, span: proc_macro2::Span, genre: &str) -> Vec<(usize, String)> {
        self.take(spot(span.start()), Some(spot(span.end())), genre)
    }

    /// An operator: the whole expression is written once for each mutant.
    fn operator(&mut self, whole: proc_macro2::Span, operator: proc_macro2::Span, genre: &str) {
        let mutants = self.spanned(operator, genre);
        if mutants.is_empty() {
            return;
        }
        let ((start, end), (from, to)) = (self.range(whole), self.range(operator));
        let (before, after) = (&self.text[start..from], &self.text[to..end]);
        let choices =
            mutants.into_iter().map(|(number, by)| (number, format!("{before}{by}{after}"))).collect();
        self.edits.push(Edit { start, end, by: By::Choice(choices) });
    }

    fn insert(&mut self, at: usize, text: String) {
        self.edits.push(Edit { start: at, end: at, by: By::Text(text) });
    }

    /// A function that returns at once. It is no longer `const`, unless it must be.
    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let outer = self.is_const;
        if let Some(token) = &signature.constness {
            self.is_const |= self.stays_const.contains(&signature.ident.to_string());
            if !self.is_const {
                let (start, end) = self.range(token.span);
                self.edits.push(Edit { start, end, by: By::Text(String::new()) });
            }
        }
        let mut mutants = Vec::new();
        let first = body.stmts.first().map(|statement| spot(statement.span().start()));
        for start in [Some(spot(body.span().start())), first].into_iter().flatten() {
            mutants.extend(self.take(start, None, "FnValue"));
        }
        if let Some((place, _)) = mutants.first() {
            let returns: String =
                mutants.iter().map(|(number, by)| format!("\n{number} => {{ return {by}; }}")).collect();
            let (start, _) = self.range(body.span());
            self.insert(start + 1, format!(" match {} {{{returns}\n _ => {{}} }}\n", at(*place)));
        }
        visit::visit_block(self, body);
        self.is_const = outer;
    }
}

/// Whether it binds names, which a copy in parentheses would hide.
fn binds(expression: &syn::Expr) -> bool {
    struct Bindings(bool);
    impl<'ast> Visit<'ast> for Bindings {
        fn visit_expr_let(&mut self, _: &'ast syn::ExprLet) {
            self.0 = true;
        }
        fn visit_expr_closure(&mut self, _: &'ast syn::ExprClosure) {}
        fn visit_block(&mut self, _: &'ast syn::Block) {}
    }
    let mut bindings = Bindings(false);
    bindings.visit_expr(expression);
    bindings.0
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, &function.block);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !module.attrs.iter().any(|attribute| attribute.path().is_ident("cfg")) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_expr(&mut self, expression: &'ast syn::Expr) {
        match expression {
            syn::Expr::Binary(binary) if !binds(expression) => {
                self.operator(expression.span(), binary.op.span(), "BinaryOperator");
            }
            syn::Expr::Unary(unary) => self.operator(expression.span(), unary.op.span(), "UnaryOperator"),
            _ => {}
        }
        visit::visit_expr(self, expression);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| &**guard);
        if let Some(guard) = guard.filter(|guard| !binds(guard)) {
            let choices = self.spanned(guard.span(), "MatchArmGuard");
            let (start, end) = self.range(guard.span());
            if !choices.is_empty() {
                self.edits.push(Edit { start, end, by: By::Choice(choices) });
            }
            for (number, _) in self.take(spot(arm.span().start()), None, "MatchArm") {
                self.insert(start, format!("\n/*{number}*/ {} != {number} && (", at(number)));
                self.insert(end, ")".to_owned());
            }
        } else if guard.is_none() {
            let (_, end) = self.range(arm.pat.span());
            for (number, _) in self.take(spot(arm.span().start()), None, "MatchArm") {
                self.insert(end, format!("\n/*{number}*/ if {} != {number} ", at(number)));
            }
        }
        guard.into_iter().for_each(|guard| self.visit_expr(guard));
        self.visit_expr(&arm.body);
    }
}

/// Writes text from `start` to `end` with the edits that lie in it, which are in the order of their starts, the longer ones first.
fn write(text: &str, edits: &[Edit], start: usize, end: usize, out: &mut String) {
    let (mut at_byte, mut index) = (start, 0);
    while let Some(edit) = edits.get(index) {
        out.push_str(&text[at_byte..edit.start]);
        at_byte = edit.end;
        index += 1;
        match &edit.by {
            By::Text(by) => out.push_str(by),
            By::Choice(choices) => {
                let inner = edits[index..]
                    .iter()
                    .take_while(|inner| inner.start < edit.end && inner.end <= edit.end)
                    .count();
                out.push_str(&format!("(match {} {{", at(choices[0].0)));
                for (number, by) in choices {
                    out.push_str(&format!("\n{number} => ({by}),"));
                }
                out.push_str("\n_ => (");
                write(text, &edits[index..index + inner], edit.start, edit.end, out);
                out.push_str(") })");
                index += inner;
            }
        }
    }
    out.push_str(&text[at_byte..end]);
}

/// Changes a file, and gives its mutants their places.
fn change(text: &str, mutants: &mut [Mutant], stays_const: &BTreeSet<String>) -> String {
    let syntax = syn::parse_file(text).expect("a source that compiles");
    let lines = [0].into_iter().chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect();
    let mut by_start: HashMap<Spot, Vec<usize>> = HashMap::new();
    for (index, mutant) in mutants.iter().enumerate() {
        by_start.entry(mutant.start).or_default().push(index);
    }
    let mut search =
        Search { text, lines, mutants, by_start, edits: Vec::new(), stays_const, is_const: false };
    search.visit_file(&syntax);
    let mut edits = search.edits;
    edits.sort_by_key(|edit| (edit.start, std::cmp::Reverse(edit.end)));
    let mut out = String::new();
    write(text, &edits, 0, text.len(), &mut out);
    out
}

fn words(path: &str) -> BTreeSet<String> {
    fs::read_to_string(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [list, tree, skipped, stays_const] = &arguments[..] else {
        panic!("give MUTANTS.json TREE SKIPPED CONST");
    };
    let list: Value = serde_json::from_str(&fs::read_to_string(list).expect("a list")).expect("JSON");
    let (skipped, stays_const) = (words(skipped), words(stays_const));
    let mut files: BTreeMap<&str, Vec<Mutant>> = BTreeMap::new();
    let mut names = Vec::new();
    for (number, mutant) in (1..).zip(list.as_array().expect("a list of mutants")) {
        let text = |name: &str| mutant[name].as_str().expect("a text");
        names.push((number, text("name")));
        if !skipped.contains(&number.to_string()) {
            let place =
                |end: &str, what: &str| mutant["span"][end][what].as_u64().expect("a number") as usize;
            let spot = |end: &str| (place(end, "line"), place(end, "column"));
            let (genre, replacement) = (text("genre").to_owned(), text("replacement").to_owned());
            let mutant =
                Mutant { number, start: spot("start"), end: spot("end"), genre, replacement, place: 0 };
            files.entry(text("file")).or_default().push(mutant);
        }
    }
    let mut places = BTreeMap::new();
    for (file, mutants) in &mut files {
        let path = format!("{tree}/{file}");
        let changed = change(&fs::read_to_string(&path).expect("a source"), mutants, &stays_const);
        fs::write(&path, changed).expect("written");
        places.extend(mutants.iter().map(|mutant| (mutant.number, mutant.place)));
    }
    let library = format!("{tree}/src/lib.rs");
    let text = fs::read_to_string(&library).expect("a library");
    // What a mutant makes unused, or computes at compile time, is of no interest.
    let lints = "#![allow(warnings, arithmetic_overflow, unconditional_panic, overflowing_literals, unconditional_recursion)]";
    let docs_end =
        text.lines().take_while(|line| line.starts_with("//!")).map(|line| line.len() + 1).sum::<usize>();
    let (docs, rest) = text.split_at(docs_end);
    fs::write(library, format!("{docs}{lints}\npub mod mutants;\n{rest}")).expect("written");
    fs::write(format!("{tree}/src/mutants.rs"), SWITCH).expect("written");
    for (number, name) in names {
        println!("{number}\t{}\t{name}", places.get(&number).copied().unwrap_or(0));
    }
}
