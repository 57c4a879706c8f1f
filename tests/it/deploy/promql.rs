//! Finds the metrics in a query, or in any text that holds queries, with what stands around them.

use libtest_mimic::{Failed, Trial};

/// This program's, the process's, and recorded ones.
const PREFIXES: [&str; 3] = ["retention_", "process_", "job:"];

/// One use of a metric.
#[derive(Debug, PartialEq, Clone)]
pub struct Use {
    pub name: String,
    /// Label, operator, value.
    pub selectors: Vec<(String, String, String)>,
    /// The function that is applied to it directly.
    pub function: String,
    /// What stands in the brackets behind it.
    pub range: String,
}

/// The metrics of this program, the process's, and recorded ones.
pub fn uses(text: &str) -> Vec<Use> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut end = 0;
    while end < bytes.len() {
        let start = end;
        while end < bytes.len() && is_name(bytes[end]) {
            end += 1;
        }
        let name = &text[start..end];
        let is_metric = |prefix: &&str| name.starts_with(*prefix) && name != *prefix;
        if PREFIXES.iter().any(is_metric) {
            let (selectors, range) = behind(&text[end..]);
            found.push(Use { name: name.to_owned(), selectors, function: function(&text[..start]), range });
        }
        end = end.max(start + 1);
        while !text.is_char_boundary(end) {
            end += 1;
        }
    }
    found
}

/// `f` for what ends with `f(`.
fn function(before: &str) -> String {
    let Some(before) = before.trim_end().strip_suffix('(') else {
        return String::new();
    };
    let start =
        before.rfind(|letter: char| !letter.is_alphanumeric() && letter != '_').map_or(0, |at| at + 1);
    before[start..].to_owned()
}

fn behind(text: &str) -> (Vec<(String, String, String)>, String) {
    let (selectors, rest) = match text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        Some((inside, rest)) => (inside.split(',').filter_map(selector).collect(), rest),
        None => (Vec::new(), text),
    };
    let range = rest.strip_prefix('[').and_then(|text| text.split_once(']')).map(|(range, _)| range);
    (selectors, range.unwrap_or_default().to_owned())
}

fn selector(text: &str) -> Option<(String, String, String)> {
    let (label, rest) = text.split_at(text.find(['=', '!'])?);
    let (operator, value) = rest.split_at(rest.find('"')?);
    Some((label.trim().to_owned(), operator.to_owned(), value.trim().trim_matches('"').to_owned()))
}

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("deploy: metrics are found in a query", found_in_a_query)]
}

fn found_in_a_query() -> Result<(), Failed> {
    let selectors = |pairs: &[(&str, &str, &str)]| {
        let owned = |(label, operator, value): &(&str, &str, &str)| {
            ((*label).to_owned(), (*operator).to_owned(), (*value).to_owned())
        };
        pairs.iter().map(owned).collect::<Vec<_>>()
    };
    let found = uses(
        r#"sum by (le) (rate(retention_a_bucket{job=~"$job",le="2.5"}[5m])) / job:retention_b:ratio > up – process_c"#,
    );
    let expected = [
        ("retention_a_bucket", selectors(&[("job", "=~", "$job"), ("le", "=", "2.5")]), "rate", "5m"),
        ("job:retention_b:ratio", selectors(&[]), "", ""),
        ("process_c", selectors(&[]), "", ""),
    ]
    .map(|(name, selectors, function, range)| Use {
        name: name.to_owned(),
        selectors,
        function: function.to_owned(),
        range: range.to_owned(),
    });
    assert_eq!(found, expected);
    Ok(())
}
