//! Pieces of HTML. All text from elsewhere is escaped here.

use std::fmt::Write as _;

/// Text between tags or in an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters would make the page invalid.
            '\n' | '\t' => escaped.push(character),
            _ if character.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A table of which the first column names the row.
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(caption: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { caption: caption.to_owned(), head, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// In a box that scrolls where the table is wider than the page.
    pub(crate) fn html(&self) -> String {
        let caption = escape(&self.caption);
        // Only the table scrolls, so the caption is shown above it; readers of the table itself hear it there.
        let mut out = format!(
            "<p class=\"caption\" aria-hidden=\"true\">{caption}</p>\n\
             <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\"><table><caption>{caption}</caption><thead><tr>"
        );
        let kinds: Vec<&str> = (0..self.head.len()).map(|column| self.kind_of(column)).collect();
        for (name, kind) in self.head.iter().zip(&kinds) {
            put(&mut out, format_args!("<th scope=\"col\"{kind}>{}</th>", escape(name)));
        }
        out.push_str("</tr></thead><tbody>\n");
        for row in &self.rows {
            out.push_str("<tr>");
            for (index, (cell, kind)) in row.iter().zip(&kinds).enumerate() {
                let cell = escape(cell);
                match index {
                    0 => put(&mut out, format_args!("<th scope=\"row\"{kind}>{cell}</th>")),
                    _ => put(&mut out, format_args!("<td{kind}>{cell}</td>")),
                }
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
        out
    }

    /// Words stand on the left, numbers on the right, and so does the dash where a number is missing.
    fn kind_of(&self, column: usize) -> &'static str {
        let is_number = |cell: &String| {
            let begins = |first: char| first == '-' || first.is_ascii_digit();
            cell.is_empty() || cell == "–" || cell.starts_with(begins)
        };
        match column > 0 && self.rows.iter().filter_map(|row| row.get(column)).all(is_number) {
            true => "",
            false => " class=\"words\"",
        }
    }

    /// Folded away.
    pub(crate) fn details(&self) -> String {
        format!("<details><summary>The numbers as a table</summary>{}</details>\n", self.html())
    }
}

/// A chart with its caption and its table. `chart` is markup.
pub(crate) fn figure(caption: &str, chart: &str, table: &Table) -> String {
    format!("<figure><figcaption>{}</figcaption>\n{chart}{}</figure>\n", escape(caption), table.details())
}

/// A paragraph of plain text.
pub(crate) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// A quieter one, about how to read something.
pub(crate) fn hint(text: &str) -> String {
    format!("<p class=\"soft\">{}</p>\n", escape(text))
}

/// A part of the page. `lead` is the one sentence to take away; `body` is markup.
pub(crate) fn section(id: &str, title: &str, lead: &str, body: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\"><h2 id=\"{id}-title\">{}</h2>\n<p class=\"lead\">{}</p>\n{body}</section>\n",
        escape(title),
        escape(lead)
    )
}

pub(crate) fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("in memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<a href=\"x\">'&\u{1}\n"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\u{fffd}\n");
        let mut table = Table::new("A < B", &["<th>"]);
        table.row(["</td>".to_owned()]);
        assert!(!table.html().contains("</td>") && table.html().contains("A &lt; B"));
    }
}
