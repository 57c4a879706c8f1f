//! A condition: an expression, and the flat program that it is evaluated by.

use std::cmp::Ordering;

use super::fields::{Field, Value};
use crate::domain::values::number::{Decimal, Ratio};
use crate::domain::values::time::Span;

/// A condition on a customer or a trigger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// None: always true.
    expression: Option<Expression>,
    steps: Box<[Step]>,
}

/// What a condition is made of. Lists of `And` and `Or` hold at least two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expression {
    Or(Vec<Self>),
    And(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

/// A question about one field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Test {
    /// Of a yes/no field.
    Is(Field),
    IsNull(Field),
    IsNotNull(Field),
    Compare(Field, Comparison, Literal),
    In(Field, Vec<Literal>),
}

/// How a field is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// What a field is compared with, of the type of the field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Literal {
    Number {
        is_negative: bool,
        magnitude: Decimal,
    },
    /// Not negative.
    Duration(Span),
    Text(Box<str>),
}

/// One step of a program. Its only register holds whether the last question was answered with yes.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Ask(Test),
    Negate,
    /// Goes on at this step unless the register holds.
    SkipUnless(usize),
    /// Goes on at this step if the register holds.
    SkipIf(usize),
}

// === impl Condition ===

impl Condition {
    /// The condition that always holds.
    pub fn always() -> Self {
        Self { expression: None, steps: Box::default() }
    }

    pub fn new(expression: Expression) -> Self {
        let mut steps = Vec::new();
        compile(&expression, &mut steps);
        Self { expression: Some(expression), steps: steps.into() }
    }

    /// Whether it was left out and so always holds.
    pub const fn is_always(&self) -> bool {
        self.expression.is_none()
    }

    /// Whether it holds for these values. `value` gives each field a value of the field's type, or null.
    pub fn holds<'v>(&self, value: impl Fn(Field) -> Value<'v>) -> bool {
        let (mut holds, mut at) = (true, 0);
        while let Some(step) = self.steps.get(at) {
            at += 1;
            match step {
                Step::Ask(test) => holds = test.holds(&value),
                Step::Negate => holds = !holds,
                Step::SkipUnless(target) if !holds => at = *target,
                Step::SkipIf(target) if holds => at = *target,
                Step::SkipUnless(_) | Step::SkipIf(_) => {}
            }
        }
        holds
    }

    /// Why it does not hold: the first part of it that is false, and the field that it asks for, if it asks for one alone. None if it holds.
    pub fn first_false<'v>(&self, value: impl Fn(Field) -> Value<'v>) -> Option<(String, Option<Field>)> {
        let expression = self.expression.as_ref().filter(|_| !self.holds(&value))?;
        let part =
            expression.first_false(&|expression: &Expression| Self::new(expression.clone()).holds(&value));
        Some((part.to_string(), part.only_field()))
    }

    /// The questions, in the order of the text.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        self.steps.iter().filter_map(|step| match step {
            Step::Ask(test) => Some(test),
            Step::Negate | Step::SkipUnless(_) | Step::SkipIf(_) => None,
        })
    }

    /// The fields that are asked for, in the order of the text.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.tests().map(Test::field)
    }
}

/// Appends the steps whose register holds, behind the last one, what the expression says.
fn compile(expression: &Expression, steps: &mut Vec<Step>) {
    let mut list = |parts: &[Expression], skip: fn(usize) -> Step| {
        let mut skips = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                skips.push(steps.len());
                steps.push(skip(0));
            }
            compile(part, steps);
        }
        let end = steps.len();
        skips.into_iter().for_each(|at| steps[at] = skip(end));
    };
    match expression {
        Expression::Or(parts) => list(parts, Step::SkipIf),
        Expression::And(parts) => list(parts, Step::SkipUnless),
        Expression::Not(inner) => {
            compile(inner, steps);
            steps.push(Step::Negate);
        }
        Expression::Test(test) => steps.push(Step::Ask(test.clone())),
    }
}

/// As a rule would have it; the condition that always holds is `true`.
impl std::fmt::Display for Condition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.expression {
            None => formatter.write_str("true"),
            Some(expression) => expression.fmt(formatter),
        }
    }
}

// === impl Expression ===

impl Expression {
    /// Of `and`, the first part that does not hold; of all others the whole.
    fn first_false(&self, holds: &dyn Fn(&Self) -> bool) -> &Self {
        match self {
            Self::And(parts) => {
                parts.iter().find(|part| !holds(part)).map_or(self, |part| part.first_false(holds))
            }
            Self::Or(_) | Self::Not(_) | Self::Test(_) => self,
        }
    }

    fn only_field(&self) -> Option<Field> {
        match self {
            Self::Test(test) => Some(test.field()),
            Self::Not(inner) => inner.only_field(),
            Self::And(_) | Self::Or(_) => None,
        }
    }
}

impl std::fmt::Display for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |formatter: &mut std::fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    write!(formatter, " {word} ")?;
                }
                match part {
                    // `and` binds the closer, and a list within a list of its own kind is another expression.
                    Self::Or(_) => write!(formatter, "({part})")?,
                    Self::And(_) if word == "and" => write!(formatter, "({part})")?,
                    Self::And(_) | Self::Not(_) | Self::Test(_) => part.fmt(formatter)?,
                }
            }
            Ok(())
        };
        match self {
            Self::Or(parts) => list(formatter, parts, "or"),
            Self::And(parts) => list(formatter, parts, "and"),
            Self::Not(inner) => match **inner {
                Self::Or(_) | Self::And(_) => write!(formatter, "not ({inner})"),
                Self::Not(_) | Self::Test(_) => write!(formatter, "not {inner}"),
            },
            Self::Test(test) => test.fmt(formatter),
        }
    }
}

// === impl Test ===

impl Test {
    pub const fn field(&self) -> Field {
        match self {
            Self::Is(field)
            | Self::IsNull(field)
            | Self::IsNotNull(field)
            | Self::Compare(field, ..)
            | Self::In(field, _) => *field,
        }
    }

    /// The answer for a value.
    pub fn holds<'v>(&self, value: impl Fn(Field) -> Value<'v>) -> bool {
        match self {
            Self::Is(field) => value(*field) == Value::Flag(true),
            Self::IsNull(field) => value(*field) == Value::Null,
            Self::IsNotNull(field) => value(*field) != Value::Null,
            Self::Compare(field, comparison, literal) => {
                literal.compare(value(*field)).is_some_and(|ordering| comparison.holds(ordering))
            }
            Self::In(field, literals) => {
                let value = value(*field);
                literals.iter().any(|literal| literal.compare(value) == Some(Ordering::Equal))
            }
        }
    }
}

impl std::fmt::Display for Test {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(field) => field.fmt(formatter),
            Self::IsNull(field) => write!(formatter, "{field} is null"),
            Self::IsNotNull(field) => write!(formatter, "{field} is not null"),
            Self::Compare(field, comparison, literal) => {
                write!(formatter, "{field} {} {literal}", comparison.sign())
            }
            Self::In(field, literals) => {
                write!(formatter, "{field} in [")?;
                for (index, literal) in literals.iter().enumerate() {
                    write!(formatter, "{}{literal}", if index > 0 { ", " } else { "" })?;
                }
                formatter.write_str("]")
            }
        }
    }
}

// === impl Comparison ===

impl Comparison {
    pub const ALL: [Self; 6] =
        [Self::Equal, Self::NotEqual, Self::Less, Self::AtMost, Self::Greater, Self::AtLeast];

    /// As conditions write it.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    /// Whether it holds for a value that lies on this side of the literal.
    pub const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

// === impl Literal ===

impl Literal {
    /// On which side of the literal a value lies; none for null.
    fn compare(&self, value: Value<'_>) -> Option<Ordering> {
        match (value, self) {
            (Value::Text(text), Self::Text(literal)) => Some(text.cmp(literal)),
            (Value::Number(number), Self::Number { .. } | Self::Duration(_)) => {
                Some(number.compare(self.ratio()?))
            }
            (Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_), _) => None,
        }
    }

    /// A number, or days of 24 hours.
    fn ratio(&self) -> Option<Ratio> {
        match self {
            Self::Number { is_negative, magnitude } => {
                let sign = if *is_negative { -1 } else { 1 };
                Ratio::new(sign * magnitude.numerator(), magnitude.denominator())
            }
            Self::Duration(span) => Ratio::new(span.as_millis(), Span::DAY.as_millis()),
            Self::Text(_) => None,
        }
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number { is_negative, magnitude } => {
                write!(formatter, "{}{magnitude}", if *is_negative { "-" } else { "" })
            }
            Self::Duration(span) => {
                let millis = span.as_millis();
                let (unit, scale) =
                    DURATION_UNITS.into_iter().find(|(_, scale)| millis % scale == 0).expect("milliseconds");
                write!(formatter, "{}{unit}", millis / scale)
            }
            Self::Text(text) => write!(formatter, "\"{text}\""),
        }
    }
}

/// Units of durations, the largest first, in milliseconds.
pub(super) const DURATION_UNITS: [(&str, i64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
