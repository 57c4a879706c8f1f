//! As much of Rust's grammar as it takes to see what a file names: tokens, test items, and trees of paths.

use std::collections::BTreeSet;

use libtest_mimic::Failed;

/// What a file's code names, its tests aside.
#[derive(Default)]
pub struct Code {
    /// Paths into this crate, without the crate, and dependencies.
    pub named: BTreeSet<Vec<String>>,
    /// Modules of std.
    pub of_std: BTreeSet<String>,
    /// Modules in files of their own that are compiled for tests only.
    pub test_modules: Vec<Vec<String>>,
}

impl Code {
    /// Reads the tokens of the file that is `module`.
    pub fn read(module: &[String], tokens: &[String], dependencies: &BTreeSet<String>) -> Self {
        let mut code = Self::default();
        let tokens = code.without_tests(module, tokens);
        for at in 0..tokens.len() {
            let follows_path = at > 0 && tokens[at - 1] == "::";
            if follows_path || tokens.get(at + 1).is_none_or(|next| next != "::") {
                continue;
            }
            let root = tokens[at].as_str();
            let (base, rest) = match root {
                // The program names its library as others would.
                "crate" | "retention_signals" => (Vec::new(), at + 2),
                "super" => {
                    let ups =
                        (0..).take_while(|up| tokens.get(at + 2 * up).is_some_and(|word| word == "super"));
                    let ups = ups.count();
                    (module[..module.len().saturating_sub(ups)].to_vec(), at + 2 * ups)
                }
                "std" => {
                    let mut paths = Vec::new();
                    tree(&tokens, at + 2, Vec::new(), &mut paths);
                    code.of_std.extend(paths.into_iter().filter_map(|path| path.into_iter().next()));
                    continue;
                }
                _ if dependencies.contains(root) => {
                    code.named.insert(vec![root.to_owned()]);
                    continue;
                }
                _ => continue,
            };
            let mut paths = Vec::new();
            tree(&tokens, rest, base, &mut paths);
            code.named.extend(paths);
        }
        code
    }

    /// The tokens without items behind `#[cfg(test)]`.
    fn without_tests(&mut self, module: &[String], tokens: &[String]) -> Vec<String> {
        const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
        let mut kept = Vec::with_capacity(tokens.len());
        let mut at = 0;
        while at < tokens.len() {
            if !tokens[at..].iter().take(MARK.len()).eq(MARK) {
                kept.push(tokens[at].clone());
                at += 1;
                continue;
            }
            at += MARK.len();
            let end = end_of_item(tokens, at);
            if let [.., keyword, name, semicolon] = &tokens[at..end]
                && keyword == "mod"
                && semicolon == ";"
            {
                self.test_modules.push([module, std::slice::from_ref(name)].concat());
            }
            at = end;
        }
        kept
    }
}

/// Behind the semicolon or the closing brace that ends the item.
fn end_of_item(tokens: &[String], start: usize) -> usize {
    let is_use = tokens[start..].iter().take(4).any(|token| token == "use");
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token == ";" || (token == "}" && !is_use)) {
            return at + 1;
        }
    }
    tokens.len()
}

/// Collects the paths of a tree such as `a::{b, c::d}`, which begins at a token; returns where it ends.
fn tree(tokens: &[String], mut at: usize, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = tree(tokens, at, path.clone(), paths);
                    // Behind a name there may be `as` and another name.
                    while tokens.get(at).is_some_and(|token| token != "," && token != "}") {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                return at + 1;
            }
            Some(name) if is_name(name) => {
                if name != "self" {
                    path.push(name.to_owned());
                }
                at += 1;
            }
            Some(_) | None => break,
        }
        if tokens.get(at).is_none_or(|token| token != "::") {
            break;
        }
        at += 1;
    }
    paths.push(path);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// The words and signs of a text, without comments and without what stands in quotes.
pub fn tokens(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let starts_with = |at: usize, sign: &str| letters[at..].iter().copied().take(sign.len()).eq(sign.chars());
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        let letter = letters[at];
        if starts_with(at, "//") {
            at += letters[at..].iter().take_while(|letter| **letter != '\n').count();
        } else if let Some(behind) = behind_raw_string(&letters, at) {
            at = behind;
        } else if letter == '"' {
            at += 1;
            while letters.get(at).is_some_and(|letter| *letter != '"') {
                at += 1 + usize::from(letters[at] == '\\');
            }
            at += 1;
        } else if letter == '\'' {
            at = behind_quote(&letters, at);
        } else if letter.is_alphanumeric() || letter == '_' {
            let word: String = letters[at..]
                .iter()
                .take_while(|letter| letter.is_alphanumeric() || **letter == '_')
                .collect();
            at += word.chars().count();
            tokens.push(word);
        } else if starts_with(at, "::") {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !letter.is_whitespace() {
                tokens.push(letter.to_string());
            }
            at += 1;
        }
    }
    tokens
}

/// Behind `r"…"` or `r#"…"#`, where one begins.
fn behind_raw_string(letters: &[char], at: usize) -> Option<usize> {
    let follows_word = at > 0 && (letters[at - 1].is_alphanumeric() || letters[at - 1] == '_');
    if letters[at] != 'r' || (follows_word && letters[at - 1] != 'b') {
        return None;
    }
    let marks = letters[at + 1..].iter().take_while(|letter| **letter == '#').count();
    let mut at = at + 1 + marks;
    if letters.get(at) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', marks)).collect();
    at += 1;
    while at < letters.len() && !letters[at..].starts_with(&end) {
        at += 1;
    }
    Some(at + end.len())
}

/// Behind a character in quotes, or behind the quote of a lifetime.
fn behind_quote(letters: &[char], at: usize) -> usize {
    if letters.get(at + 1) == Some(&'\\') {
        let length = letters[at + 3..].iter().take_while(|letter| **letter != '\'').count();
        at + 4 + length
    } else if letters.get(at + 2) == Some(&'\'') {
        at + 3
    } else {
        at + 1
    }
}

/// The reading itself: groups, renames, comments, quotes, lifetimes, and tests that are left out.
pub fn names_are_read_out_of_code() -> Result<(), Failed> {
    let text = r##"
        use crate::wire::{self, hash::{Hash, id as other}};
        use super::super::store;
        // crate::comment
        #[cfg(test)]
        mod tests;
        #[cfg(test)]
        mod more { use serde::Serialize; use crate::kafka; }
        #[cfg(test)]
        use crate::{a, b};
        fn f<'a>(text: &'a str) -> std::time::Duration { "crate::no"; r#"serde::no"#; '"'; rdkafka::send(text) }
    "##;
    let module = ["stream", "worker", "turn"].map(str::to_owned);
    let dependencies = ["rdkafka", "serde"].map(str::to_owned).into();
    let code = Code::read(&module, &tokens(text), &dependencies);
    let named: Vec<String> = code.named.iter().map(|path| path.join("::")).collect();
    assert_eq!(named, ["rdkafka", "stream::store", "wire", "wire::hash::Hash", "wire::hash::id"]);
    assert_eq!(code.of_std, BTreeSet::from(["time".to_owned()]));
    assert_eq!(code.test_modules, [["stream", "worker", "turn", "tests"].map(str::to_owned).to_vec()]);
    Ok(())
}
