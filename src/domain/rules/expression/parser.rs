//! From the text of a condition to an expression, by recursive descent.
//!
//! ```text
//! or      = and { "or" and }
//! and     = not { "and" not }
//! not     = "not" not | "(" or ")" | test
//! test    = field                                      of a yes/no field
//!         | field "is" [ "not" ] "null"
//!         | field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) literal
//!         | field "in" "[" literal { "," literal } "]"
//! literal = number | duration | text                   of the field's type
//! ```

use super::condition::{Comparison, Condition, DURATION_UNITS, Expression, Literal, Test};
use super::fields::{Field, FieldType};
use super::lexer::{Token, tokens};
use crate::domain::signals::kind::SignalType;
use crate::domain::values::number::Decimal;
use crate::domain::values::time::Span;

/// The most characters of a condition.
pub const LENGTH_MAX: usize = 1_000;

/// How deep brackets and `not` may be nested.
pub const DEPTH_MAX: usize = 16;

/// The longest duration in a condition.
const DURATION_MAX: Span = Span::days(36_500);

/// What is wrong with a condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpressionError {
    /// Where, in characters from 1 on.
    pub position: usize,
    /// A sentence without its end.
    pub message: String,
    /// A word that is not known, and those that are.
    pub unknown: Option<(String, Vec<String>)>,
}

impl ExpressionError {
    pub(super) fn new(position: usize, message: impl Into<String>) -> Self {
        Self { position, message: message.into(), unknown: None }
    }
}

/// What a condition may ask for.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'s> {
    /// The facts of a customer, when a rule is due. A rule on a product may ask for its SKU.
    Customer { has_sku: bool, tiers: &'s [String] },
    /// The trigger alone, when it happens: data of a signal, or a SKU.
    Trigger { signal: Option<SignalType>, has_sku: bool, tiers: &'s [String] },
}

/// Reads a condition.
///
/// # Errors
/// The text is no expression, or it asks for something that is not known or not of this type.
pub fn parse(text: &str, scope: Scope<'_>) -> Result<Condition, ExpressionError> {
    if text.chars().count() > LENGTH_MAX {
        let message = format!("a condition has at most {LENGTH_MAX} characters; split the rule into two");
        return Err(ExpressionError::new(LENGTH_MAX + 1, message));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, scope };
    let expression = parser.or()?;
    match parser.peek() {
        (_, Token::End) => Ok(Condition::new(expression)),
        (position, token) => {
            let message = format!("found {token} where \"and\", \"or\" or the end is expected");
            Err(ExpressionError::new(position, message))
        }
    }
}

/// A position in the tokens of a text.
struct Parser<'t> {
    tokens: Vec<(usize, Token<'t>)>,
    at: usize,
    depth: usize,
    scope: Scope<'t>,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> (usize, Token<'t>) {
        self.tokens[self.at]
    }

    /// The next token; the end stays the next one for ever.
    fn take(&mut self) -> (usize, Token<'t>) {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Takes the next token if it is this one.
    fn takes(&mut self, token: Token<'_>) -> bool {
        let is_next = self.peek().1 == token;
        if is_next {
            self.take();
        }
        is_next
    }

    fn expect(&mut self, token: Token<'_>) -> Result<(), ExpressionError> {
        let (position, found) = self.peek();
        if self.takes(token) {
            return Ok(());
        }
        Err(ExpressionError::new(position, format!("found {found} where {token} is expected")))
    }

    fn or(&mut self) -> Result<Expression, ExpressionError> {
        let mut parts = vec![self.and()?];
        while self.takes(Token::Word("or")) {
            parts.push(self.and()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Or(parts) })
    }

    fn and(&mut self) -> Result<Expression, ExpressionError> {
        let mut parts = vec![self.not()?];
        while self.takes(Token::Word("and")) {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::And(parts) })
    }

    fn not(&mut self) -> Result<Expression, ExpressionError> {
        let (position, token) = self.peek();
        let is_not = token == Token::Word("not");
        if !is_not && token != Token::Sign("(") {
            return self.test().map(Expression::Test);
        }
        self.take();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("brackets and \"not\" are nested more than {DEPTH_MAX} deep");
            return Err(ExpressionError::new(position, message));
        }
        let inner = if is_not {
            Expression::Not(Box::new(self.not()?))
        } else {
            let inner = self.or()?;
            self.expect(Token::Sign(")"))?;
            inner
        };
        self.depth -= 1;
        Ok(inner)
    }

    fn test(&mut self) -> Result<Test, ExpressionError> {
        let (position, token) = self.take();
        let Token::Word(name) = token else {
            let message = format!("found {token} where a field is expected, such as state or all_time.net");
            return Err(ExpressionError::new(position, message));
        };
        let field = self.scope.field(name).map_err(|error| ExpressionError { position, ..error })?;
        if self.takes(Token::Word("is")) {
            let is_not = self.takes(Token::Word("not"));
            self.expect(Token::Word("null"))?;
            return Ok(if is_not { Test::IsNotNull(field) } else { Test::IsNull(field) });
        }
        let (position, token) = self.peek();
        let comparison = Comparison::ALL.into_iter().find(|known| token == Token::Sign(known.sign()));
        let is_in = token == Token::Word("in");
        let is_flag = field.field_type() == FieldType::Flag;
        if is_flag && (is_in || comparison.is_some()) {
            let message = format!("{field} is yes or no: write {field} or not {field}");
            return Err(ExpressionError::new(position, message));
        }
        if is_in {
            self.take();
            return Ok(Test::In(field, self.list(field)?));
        }
        let Some(comparison) = comparison else {
            return if is_flag { Ok(Test::Is(field)) } else { Err(self.no_comparison(field)) };
        };
        if field.field_type() == FieldType::Text
            && !matches!(comparison, Comparison::Equal | Comparison::NotEqual)
        {
            let message = format!("{field} is a text: it is compared by =, != and in");
            return Err(ExpressionError::new(position, message));
        }
        self.take();
        Ok(Test::Compare(field, comparison, self.literal(field)?))
    }

    fn no_comparison(&self, field: Field) -> ExpressionError {
        let (position, token) = self.peek();
        let message = format!(
            "found {token} behind {field} where a comparison is expected: =, !=, <, <=, >, >=, in or is null"
        );
        ExpressionError::new(position, message)
    }

    fn list(&mut self, field: Field) -> Result<Vec<Literal>, ExpressionError> {
        self.expect(Token::Sign("["))?;
        let mut literals = vec![self.literal(field)?];
        while self.takes(Token::Sign(",")) {
            literals.push(self.literal(field)?);
        }
        self.expect(Token::Sign("]"))?;
        Ok(literals)
    }

    /// A literal of the field's type.
    fn literal(&mut self, field: Field) -> Result<Literal, ExpressionError> {
        let (position, token) = self.take();
        let wrong = |expected: &str| {
            let message = format!("found {token} where {field} is compared with {expected}");
            ExpressionError::new(position, message)
        };
        match (field.field_type(), token) {
            (FieldType::Text, Token::Text(text)) => {
                self.scope.check_word(field, text).map_err(|error| ExpressionError { position, ..error })?;
                Ok(Literal::Text(text.into()))
            }
            (FieldType::Text, _) => Err(wrong("a text in double quotes")),
            (FieldType::Days, Token::Number(text)) => duration(text)
                .ok_or_else(|| wrong("a duration: a whole number and d, h, m, s or ms, such as 30d")),
            (FieldType::Days, _) => Err(wrong("a duration, such as 30d")),
            (FieldType::Number, Token::Number(text)) => number(text)
                .ok_or_else(|| wrong("a number: digits with at most one point and 9 digits behind it")),
            (FieldType::Number, _) => Err(wrong("a number, such as 2 or 0.05")),
            (FieldType::Money, Token::Number(text)) => {
                number(text).ok_or_else(|| wrong("an amount in the shop's currency, such as 500.00"))
            }
            (FieldType::Money, _) => Err(wrong("an amount in the shop's currency, such as 500.00")),
            (FieldType::Flag, _) => Err(wrong("nothing")),
        }
    }
}

// === impl Scope ===

impl Scope<'_> {
    /// The field of a name. Positions of errors are the caller's.
    fn field(self, name: &str) -> Result<Field, ExpressionError> {
        if let Some(field) = self.fields().find(|field| field.to_string() == name) {
            return Ok(field);
        }
        let elsewhere = match self {
            Self::Customer { .. } if name.starts_with("trigger.") => {
                Some("is known only when the trigger happens: ask for it in `when`, not in `if`")
            }
            Self::Trigger { signal: None, .. } if name.starts_with("trigger.") => {
                Some("is data of a signal, and this rule is not triggered by one")
            }
            Self::Trigger { .. } if Field::of_customers().any(|field| field.to_string() == name) => {
                Some("is a fact of the customer: ask for it in `if`; `when` looks at the trigger alone")
            }
            Self::Customer { .. } | Self::Trigger { .. } if name == "sku" => {
                Some("is known only to rules on a product")
            }
            Self::Customer { .. } | Self::Trigger { .. } => None,
        };
        Err(match elsewhere {
            Some(reason) => ExpressionError::new(0, format!("{name} {reason}")),
            None => ExpressionError {
                unknown: Some((name.to_owned(), self.fields().map(|field| field.to_string()).collect())),
                ..ExpressionError::new(0, format!("{name} is no field"))
            },
        })
    }

    /// All that may be asked for.
    fn fields(self) -> Box<dyn Iterator<Item = Field>> {
        match self {
            Self::Customer { has_sku, .. } => {
                Box::new(Field::of_customers().chain(has_sku.then_some(Field::Sku)))
            }
            Self::Trigger { signal, has_sku, .. } => {
                let data = signal.into_iter().flat_map(Field::of_trigger);
                Box::new(data.chain(has_sku.then_some(Field::Sku)))
            }
        }
    }

    /// A word that the field never has would make the condition false for ever.
    fn check_word(self, field: Field, word: &str) -> Result<(), ExpressionError> {
        let (Self::Customer { tiers, .. } | Self::Trigger { tiers, .. }) = self;
        let words = match field.is_tier() {
            true => (!tiers.is_empty()).then(|| tiers.to_vec()),
            false => field.words().map(|words| words.into_iter().map(str::to_owned).collect()),
        };
        let Some(words) = words.filter(|words: &Vec<String>| !words.iter().any(|known| known == word)) else {
            return Ok(());
        };
        let message = format!("{field} is never {word:?}; it is one of {}", words.join(", "));
        Err(ExpressionError { unknown: Some((word.to_owned(), words)), ..ExpressionError::new(0, message) })
    }
}

// === literals ===

fn number(text: &str) -> Option<Literal> {
    let magnitude = Decimal::parse(text.strip_prefix('-').unwrap_or(text))?;
    // Zero has no sign.
    let is_negative = text.starts_with('-') && magnitude.numerator() != 0;
    Some(Literal::Number { is_negative, magnitude })
}

fn duration(text: &str) -> Option<Literal> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let (_, scale) = DURATION_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let span = Span::from_millis(digits.parse::<i64>().ok()?.checked_mul(scale)?);
    (span <= DURATION_MAX).then_some(Literal::Duration(span))
}

#[cfg(test)]
mod tests;
