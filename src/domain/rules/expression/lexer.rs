//! The words, literals and signs of an expression.

use super::parser::ExpressionError;

/// A piece of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token<'t> {
    /// A field or a word of the language.
    Word(&'t str),
    /// Digits, perhaps a point, and perhaps a unit: `-12.50`, `30d`.
    Number(&'t str),
    /// What stands between quotes.
    Text(&'t str),
    /// A comparison, a bracket or a comma.
    Sign(&'static str),
    End,
}

/// The longest first, so that `<=` is not read as `<`.
const SIGNS: [&str; 11] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ","];

/// How other languages write what this one has.
const FOREIGN: [(&str, &str); 6] = [
    ("==", "write = to compare"),
    ("<>", "write != to compare"),
    ("&&", "write and"),
    ("||", "write or"),
    ("!", "write not"),
    ("'", "write texts in double quotes, such as \"active\""),
];

/// The tokens of a text with their positions, counted in characters from 1 on; the last one is [`Token::End`].
pub fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, ExpressionError> {
    let mut tokens = Vec::new();
    let (mut rest, mut position) = (text, 1);
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        // Blanks take a byte each.
        position += rest.len() - trimmed.len();
        rest = trimmed;
        let (token, length) = next(rest).map_err(|message| ExpressionError::new(position, message))?;
        tokens.push((position, token));
        if token == Token::End {
            return Ok(tokens);
        }
        position += rest[..length].chars().count();
        rest = &rest[length..];
    }
}

/// The first token and its length in bytes.
fn next(rest: &str) -> Result<(Token<'_>, usize), String> {
    let Some(first) = rest.chars().next() else { return Ok((Token::End, 0)) };
    if let Some(text) = rest.strip_prefix('"') {
        let end = text.find('"').ok_or("the text that begins here has no closing quote")?;
        return Ok((Token::Text(&text[..end]), end + 2));
    }
    let is_inner = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.');
    let length = |text: &str| text.find(|letter| !is_inner(letter)).unwrap_or(text.len());
    if first.is_ascii_alphabetic() || first == '_' {
        let end = length(rest);
        return Ok((Token::Word(&rest[..end]), end));
    }
    let digits = rest.strip_prefix('-').unwrap_or(rest);
    if digits.starts_with(|letter: char| letter.is_ascii_digit()) {
        let end = rest.len() - digits.len() + length(digits);
        return Ok((Token::Number(&rest[..end]), end));
    }
    if let Some((_, advice)) =
        FOREIGN.iter().find(|(sign, _)| rest.starts_with(sign) && !rest.starts_with("!="))
    {
        return Err((*advice).to_owned());
    }
    match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => Err(format!("{first:?} has no meaning here")),
    }
}

/// As a message names it.
impl std::fmt::Display for Token<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(text) | Self::Number(text) => formatter.write_str(text),
            // It may hold anything but quotes, and a message is one line.
            Self::Text(text) => write!(formatter, "\"{}\"", text.escape_debug()),
            Self::Sign(sign) => formatter.write_str(sign),
            Self::End => formatter.write_str("the end"),
        }
    }
}
