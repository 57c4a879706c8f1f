//! How numbers are written in a file: `1,234.50` and `1.234,50` are the same amount in two countries.

use std::borrow::Cow;

use super::millionths::{Fault, Millionths};

/// The marks in numbers, as the map names them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NumberForm {
    pub(super) decimal: char,
    pub(super) group: Option<char>,
    /// What may stand before or behind an amount: `$`, `EUR`.
    pub(super) signs: Vec<String>,
    /// Whether `(5.00)` is −5.00.
    pub(super) parentheses: bool,
}

impl Default for NumberForm {
    fn default() -> Self {
        Self { decimal: '.', group: None, signs: Vec::new(), parentheses: false }
    }
}

impl NumberForm {
    /// Reads a number that is not empty.
    pub(super) fn read(&self, text: &str) -> Result<Millionths, Fault> {
        if self.is_plain() {
            return Millionths::parse(text);
        }
        let plain = self.plain(text).ok_or(Fault::Form)?;
        Millionths::parse(&plain)
    }

    /// Whether a text has the decimal mark of the form.
    pub(super) fn has_decimals(&self, text: &str) -> bool {
        text.contains(self.decimal)
    }

    fn is_plain(&self) -> bool {
        self.decimal == '.' && self.group.is_none() && self.signs.is_empty() && !self.parentheses
    }

    /// The number with a point and a minus, and nothing else besides digits.
    fn plain(&self, text: &str) -> Option<String> {
        let (inner, mut is_negative) = match text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some(inner) if self.parentheses => (inner.trim(), true),
            Some(_) | None => (text, false),
        };
        let (inner, minus) = without_minus(inner);
        let inner = self.without_sign(inner.trim());
        let (inner, minus_behind) = without_minus(inner);
        if u8::from(minus) + u8::from(minus_behind) + u8::from(is_negative) > 1 {
            return None;
        }
        is_negative |= minus | minus_behind;
        let (whole, fraction) = match inner.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (inner, None),
        };
        let whole = self.without_groups(whole)?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(&whole) || !fraction.is_none_or(is_number) {
            return None;
        }
        let sign = if is_negative { "-" } else { "" };
        Some(match fraction {
            Some(fraction) => format!("{sign}{whole}.{fraction}"),
            None => format!("{sign}{whole}"),
        })
    }

    fn without_sign<'t>(&self, text: &'t str) -> &'t str {
        let strip = |sign: &String| {
            text.strip_prefix(sign.as_str()).or_else(|| text.strip_suffix(sign.as_str())).map(str::trim)
        };
        // The longest: `US$` before `$`.
        let stripped = self.signs.iter().filter_map(|sign| Some((sign.len(), strip(sign)?)));
        stripped.max_by_key(|(length, _)| *length).map_or(text, |(_, rest)| rest)
    }

    /// Marks stand between groups of exactly three digits, or the number means something else.
    fn without_groups<'t>(&self, whole: &'t str) -> Option<Cow<'t, str>> {
        let is_mark = |character: char| match self.group {
            // Blanks between digits are mostly those that do not break.
            Some(' ') => matches!(character, ' ' | '\u{a0}' | '\u{202f}'),
            group => group == Some(character),
        };
        if !whole.contains(is_mark) {
            return Some(Cow::Borrowed(whole));
        }
        let mut groups = whole.split(is_mark);
        let first = groups.next()?;
        let is_sound = (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3);
        is_sound.then(|| Cow::Owned(whole.split(is_mark).collect()))
    }
}

fn without_minus(text: &str) -> (&str, bool) {
    // Spreadsheets write the typographic one too.
    match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (rest, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(decimal: char, group: Option<char>, signs: &[&str], parentheses: bool) -> NumberForm {
        NumberForm {
            decimal,
            group,
            signs: signs.iter().map(|sign| (*sign).to_owned()).collect(),
            parentheses,
        }
    }

    #[test]
    fn marks_mean_what_the_map_says() {
        let german = form(',', Some('.'), &["€", "EUR"], false);
        let american = form('.', Some(','), &["$", "US$"], true);
        let swiss = form('.', Some('\''), &[], false);
        let french = form(',', Some(' '), &["€"], false);
        for (form, text, plain) in [
            (&german, "1.234,50", Some("1234.50")),
            (&german, "-1.234.567,5", Some("-1234567.5")),
            (&german, "3,333", Some("3.333")),
            (&german, "19,99 €", Some("19.99")),
            (&german, "EUR 19,99", Some("19.99")),
            (&german, "10.00.0", None),
            (&german, "1.23,5", None),
            (&german, "1,234.50", None),
            (&german, "1234,50", Some("1234.50")),
            (&german, "$5", None),
            (&american, "$1,234.50", Some("1234.50")),
            (&american, "-$5.00", Some("-5.00")),
            (&american, "$-5.00", Some("-5.00")),
            (&american, "US$5", Some("5")),
            (&american, "($5.00)", Some("-5.00")),
            (&american, "(-5)", None),
            (&american, "--5", None),
            (&american, "12,34", None),
            (&american, "1 234", None),
            (&american, "\u{2212}5", Some("-5")),
            (&swiss, "1'234.50", Some("1234.50")),
            (&french, "1\u{202f}234,50\u{a0}€", Some("1234.50")),
        ] {
            assert_eq!(form.plain(text).as_deref(), plain, "{text}");
        }
        assert_eq!(form('.', None, &[], false).read("(5)"), Err(Fault::Form));
    }
}
