//! Passes over a parsed program before it is compiled: what could grow without end pays for it, and the texts that stand in the program are
//! collected, because only they may stand in headers, labels and logs.

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

use super::arithmetic::{PLUS, SHALLOW, TIMES};

/// What a program holds.
#[derive(Default)]
pub(super) struct Found {
    /// The reasons in `{skip: "…"}`, in their order.
    pub(super) skip_reasons: Vec<String>,
    pub(super) literals: BTreeSet<String>,
    /// The filters that are called, and the variables.
    pub(super) names: BTreeSet<String>,
}

/// The variable that holds the right side of a rewritten `+=`.
const RIGHT: &str = "$right";

impl Found {
    /// Rewrites a definition.
    pub(super) fn definition(&mut self, definition: &mut Def<&str>) {
        self.term(&mut definition.body);
    }

    /// Rewrites a term and all below it.
    pub(super) fn term(&mut self, term: &mut Term<&str>) {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) => {}
            Term::Var(name) => {
                self.names.insert((*name).to_owned());
            }
            Term::Str(_, parts) => self.text(parts),
            Term::Arr(inner) => inner.iter_mut().for_each(|inner| self.term(inner)),
            Term::Obj(fields) => {
                for (key, value) in fields {
                    if let (Some("skip"), Some(value)) = (literal(key).as_deref(), value.as_ref()) {
                        self.skip_reasons(value);
                    }
                    self.term(key);
                    value.iter_mut().for_each(|value| self.term(value));
                }
            }
            Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::BinOp(left, operator, right) => {
                self.term(left);
                if let BinaryOp::Pipe(Some(pattern)) = operator {
                    self.pattern(pattern);
                }
                self.term(right);
            }
            Term::Fold(_, over, pattern, arguments) => {
                self.term(over);
                self.pattern(pattern);
                arguments.iter_mut().for_each(|argument| self.term(argument));
            }
            Term::TryCatch(tried, caught) => {
                self.term(tried);
                caught.iter_mut().for_each(|caught| self.term(caught));
            }
            Term::IfThenElse(branches, otherwise) => {
                for (condition, then) in branches {
                    self.term(condition);
                    self.term(then);
                }
                otherwise.iter_mut().for_each(|otherwise| self.term(otherwise));
            }
            Term::Def(definitions, rest) => {
                definitions.iter_mut().for_each(|definition| self.definition(definition));
                self.term(rest);
            }
            Term::Call(name, arguments) => {
                self.names.insert((*name).to_owned());
                arguments.iter_mut().for_each(|argument| self.term(argument));
            }
            Term::Path(of, path) => {
                self.term(of);
                self.path(path);
            }
        }
        let unpaid = std::mem::take(term);
        *term = paid(unpaid);
    }

    fn text(&mut self, parts: &mut [StrPart<&str, Term<&str>>]) {
        self.literals.extend(joined(parts));
        for part in parts {
            if let StrPart::Term(inner) = part {
                self.term(inner);
            }
        }
    }

    fn path(&mut self, path: &mut Path<Term<&str>>) {
        for (part, _) in &mut path.0 {
            match part {
                Part::Index(index) => self.term(index),
                Part::Range(from, to) => {
                    from.iter_mut().chain(to).for_each(|bound| self.term(bound));
                }
            }
        }
    }

    fn pattern(&mut self, pattern: &mut Pattern<&str>) {
        match pattern {
            Pattern::Var(_) => {}
            Pattern::Arr(inner) => inner.iter_mut().for_each(|inner| self.pattern(inner)),
            Pattern::Obj(fields) => {
                for (key, inner) in fields {
                    self.term(key);
                    self.pattern(inner);
                }
            }
        }
    }

    /// All texts in the value of `skip`: it may choose among several.
    fn skip_reasons(&mut self, value: &Term<&str>) {
        let mut inside = Self::default();
        inside.term(&mut value.clone());
        for reason in inside.literals {
            if !self.skip_reasons.contains(&reason) {
                self.skip_reasons.push(reason);
            }
        }
    }
}

/// Sums and products as calls of filters that pay, and new values looked at for their depth.
fn paid(term: Term<&str>) -> Term<&str> {
    if let Term::BinOp(left, operator, right) = term {
        return paid_operation(left, operator, right);
    }
    match &term {
        Term::Arr(Some(_)) => shallow(term),
        Term::Obj(fields) if !fields.is_empty() => shallow(term),
        Term::Arr(None)
        | Term::Obj(_)
        | Term::BinOp(..)
        | Term::Id
        | Term::Recurse
        | Term::Num(_)
        | Term::Str(..)
        | Term::Neg(_)
        | Term::Label(..)
        | Term::Break(_)
        | Term::Fold(..)
        | Term::TryCatch(..)
        | Term::IfThenElse(..)
        | Term::Def(..)
        | Term::Call(..)
        | Term::Var(_)
        | Term::Path(..) => term,
    }
}

fn paid_operation<'s>(
    left: Box<Term<&'s str>>,
    operator: BinaryOp<&'s str>,
    right: Box<Term<&'s str>>,
) -> Term<&'s str> {
    match operator {
        BinaryOp::Math(operator @ (Math::Add | Math::Mul)) => operation(operator, *left, *right),
        // `p += f` is `f as $right | p |= . + $right`.
        BinaryOp::UpdateMath(operator @ (Math::Add | Math::Mul)) => {
            let update = operation(operator, Term::Id, Term::Var(RIGHT));
            let update = Term::BinOp(left, BinaryOp::Update, Box::new(update));
            Term::BinOp(right, BinaryOp::Pipe(Some(Pattern::Var(RIGHT))), Box::new(shallow(update)))
        }
        BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateAlt => {
            shallow(Term::BinOp(left, operator, right))
        }
        BinaryOp::Pipe(_)
        | BinaryOp::Comma
        | BinaryOp::Alt
        | BinaryOp::Or
        | BinaryOp::And
        | BinaryOp::Math(Math::Sub | Math::Div | Math::Rem)
        | BinaryOp::UpdateMath(Math::Sub | Math::Div | Math::Rem)
        | BinaryOp::Cmp(_) => Term::BinOp(left, operator, right),
    }
}

fn operation<'s>(operator: Math, left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    Term::Call(if operator == Math::Add { PLUS } else { TIMES }, vec![left, right])
}

fn shallow(term: Term<&str>) -> Term<&str> {
    Term::BinOp(Box::new(term), BinaryOp::Pipe(None), Box::new(Term::Call(SHALLOW, Vec::new())))
}

fn literal(term: &Term<&str>) -> Option<String> {
    if let Term::Str(None, parts) = term { joined(parts) } else { None }
}

/// A text without anything computed in it.
fn joined(parts: &[StrPart<&str, Term<&str>>]) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(part) => text.push_str(part),
            StrPart::Char(character) => text.push(*character),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}
