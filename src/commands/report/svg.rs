//! Charts as SVG, each drawn twice: for a desk, and for a telephone, where the same text would be too small to read. Styles show one.
//!
//! Colours are classes, so that the page's style may choose them for light, dark and paper. All arithmetic is on integers, so that the same
//! figures give the same bytes.

use super::html::{escape, put};

/// Values over the same places, one line or one part of each bar.
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    /// None where there is no value.
    pub(crate) values: Vec<Option<i64>>,
}

pub(crate) enum Kind {
    Lines,
    /// Parts stand on each other.
    Bars,
}

/// A chart with an axis of values from zero on.
pub(crate) struct Chart<'a> {
    /// What it shows, for those who cannot see it.
    pub(crate) label: &'a str,
    pub(crate) kind: Kind,
    pub(crate) places: &'a [String],
    pub(crate) series: Vec<Series<'a>>,
    /// How a value is written.
    pub(crate) write: &'a dyn Fn(i64) -> String,
}

/// As many as the style has; more series begin anew.
const COLOURS: usize = 6;

struct Size {
    class: &'static str,
    width: i64,
    height: i64,
    left: i64,
    labels_max: usize,
}

const SIZES: [Size; 2] = [
    Size { class: "wide", width: 720, height: 260, left: 84, labels_max: 9 },
    Size { class: "narrow", width: 340, height: 230, left: 74, labels_max: 4 },
];

const TOP: i64 = 12;
const BOTTOM: i64 = 28;
const RIGHT: i64 = 14;

impl Chart<'_> {
    /// Both drawings, with a legend if there are several series.
    pub(crate) fn html(&self) -> String {
        let mut out = String::new();
        SIZES.iter().for_each(|size| self.draw(&mut out, size));
        if self.series.len() > 1 {
            out.push_str("<ul class=\"legend\">");
            for (index, series) in self.series.iter().enumerate() {
                let index = index % COLOURS;
                let sample = match self.kind {
                    Kind::Lines => format!("<path class=\"line s{index}\" d=\"M1 6H27\"/>"),
                    Kind::Bars => {
                        format!("<rect class=\"bar s{index}\" x=\"7\" width=\"14\" height=\"12\"/>")
                    }
                };
                let name = escape(series.name);
                put(
                    &mut out,
                    format_args!(
                        "<li><svg class=\"sample\" viewBox=\"0 0 28 12\" aria-hidden=\"true\">{sample}</svg>{name}</li>"
                    ),
                );
            }
            out.push_str("</ul>\n");
        }
        out
    }

    fn draw(&self, out: &mut String, size: &Size) {
        let Size { class, width, height, left, labels_max } = *size;
        let label = escape(self.label);
        put(
            out,
            format_args!(
                "<svg class=\"chart {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n"
            ),
        );
        let step = nice_step(self.greatest());
        let ceiling = (self.greatest().div_euclid(step) + i64::from(self.greatest().rem_euclid(step) > 0))
            .max(1)
            * step;
        let floor_y = height - BOTTOM;
        let y = |value: i64| floor_y - scaled(value.max(0), floor_y - TOP, ceiling);
        let mut tick = 0;
        while tick <= ceiling {
            let (at, text) = (y(tick), escape(&(self.write)(tick)));
            put(
                out,
                format_args!(
                    "<path class=\"grid\" d=\"M{left} {at}H{}\"/><text class=\"value\" x=\"{}\" y=\"{}\">{text}</text>\n",
                    width - RIGHT,
                    left - 8,
                    at + 4
                ),
            );
            tick += step;
        }
        let places = self.places.len().max(1) as i64;
        let span = width - RIGHT - left;
        let x = |index: usize| match self.kind {
            Kind::Lines => left + scaled(index as i64, span, (places - 1).max(1)),
            Kind::Bars => left + scaled(2 * index as i64 + 1, span, 2 * places),
        };
        let every = self.places.len().div_ceil(labels_max).max(1);
        let labelled = self.places.iter().enumerate().rev().step_by(every);
        for (index, place) in labelled {
            let anchor = if matches!(self.kind, Kind::Lines) && index + 1 == self.places.len() {
                "end"
            } else {
                "middle"
            };
            put(
                out,
                format_args!(
                    "<text class=\"place\" text-anchor=\"{anchor}\" x=\"{}\" y=\"{}\">{}</text>\n",
                    x(index),
                    height - 8,
                    escape(place)
                ),
            );
        }
        match self.kind {
            Kind::Lines => self.lines(out, x, y),
            Kind::Bars => self.bars(out, x, y, (span * 7 / (places * 10)).max(2)),
        }
        out.push_str("</svg>\n");
    }

    fn lines(&self, out: &mut String, x: impl Fn(usize) -> i64, y: impl Fn(i64) -> i64) {
        for (number, series) in self.series.iter().enumerate() {
            let number = number % COLOURS;
            let mut path = String::new();
            let mut is_drawing = false;
            for (index, value) in series.values.iter().enumerate() {
                if let Some(value) = value {
                    let command = if is_drawing { 'L' } else { 'M' };
                    put(&mut path, format_args!("{command}{} {}", x(index), y(*value)));
                }
                is_drawing = value.is_some();
            }
            put(out, format_args!("<path class=\"line s{number}\" d=\"{path}\"/>\n"));
            // More points than these would hide the line.
            if series.values.len() <= 26 {
                for (index, value) in series.values.iter().enumerate() {
                    if let Some(value) = value {
                        let title = self.title(index, series.name, *value);
                        put(
                            out,
                            format_args!(
                                "<circle class=\"point s{number}\" cx=\"{}\" cy=\"{}\" r=\"3\">{title}</circle>\n",
                                x(index),
                                y(*value)
                            ),
                        );
                    }
                }
            }
        }
    }

    fn bars(&self, out: &mut String, x: impl Fn(usize) -> i64, y: impl Fn(i64) -> i64, width: i64) {
        for index in 0..self.places.len() {
            let mut below = 0;
            for (number, series) in self.series.iter().enumerate() {
                let value = series.values[index].unwrap_or(0).max(0);
                let (from, to) = (y(below), y(below + value));
                below += value;
                if from > to {
                    let title = self.title(index, series.name, value);
                    put(
                        out,
                        format_args!(
                            "<rect class=\"bar s{number}\" x=\"{}\" y=\"{to}\" width=\"{width}\" height=\"{}\">{title}</rect>\n",
                            x(index) - width / 2,
                            from - to
                        ),
                    );
                }
            }
        }
    }

    fn title(&self, index: usize, name: &str, value: i64) -> String {
        format!(
            "<title>{}, {}: {}</title>",
            escape(&self.places[index]),
            escape(name),
            escape(&(self.write)(value))
        )
    }

    /// The greatest value, or the highest bar.
    fn greatest(&self) -> i64 {
        let of_place = |index: usize| {
            let values = self.series.iter().filter_map(|series| series.values.get(index).copied().flatten());
            match self.kind {
                Kind::Lines => values.max().unwrap_or(0),
                Kind::Bars => values.map(|value| value.max(0)).sum(),
            }
        };
        (0..self.places.len()).map(of_place).max().unwrap_or(0).max(1)
    }
}

/// Shares by row and column, the darker the greater.
pub(crate) struct HeatMap<'a> {
    pub(crate) label: &'a str,
    pub(crate) columns: Vec<String>,
    /// Name, and in each column the share in millionths, if there is one.
    pub(crate) rows: Vec<(String, Vec<Option<i64>>)>,
}

/// Steps of colour, of which the greatest share has the darkest.
const HEAT_STEPS: i64 = 10;

struct HeatSize {
    class: &'static str,
    width: i64,
    left: i64,
    /// Whether a cell has room for its number.
    has_numbers: bool,
}

const HEAT_SIZES: [HeatSize; 2] = [
    HeatSize { class: "wide", width: 720, left: 74, has_numbers: true },
    HeatSize { class: "narrow", width: 340, left: 62, has_numbers: false },
];

const HEAT_TOP: i64 = 22;
const HEAT_ROW: i64 = 24;

impl HeatMap<'_> {
    /// Both drawings.
    pub(crate) fn html(&self) -> String {
        let mut out = String::new();
        HEAT_SIZES.iter().for_each(|size| self.draw(&mut out, size));
        out
    }

    fn draw(&self, out: &mut String, size: &HeatSize) {
        let HeatSize { class, width, left, .. } = *size;
        let height = HEAT_TOP + 2 + HEAT_ROW * self.rows.len() as i64;
        let label = escape(self.label);
        put(
            out,
            format_args!(
                "<svg class=\"chart {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n"
            ),
        );
        for (column, name) in self.columns.iter().enumerate() {
            let (from, to) = self.column(size, column);
            let (x, name) = ((from + to) / 2, escape(name));
            put(
                out,
                format_args!(
                    "<text class=\"place\" text-anchor=\"middle\" x=\"{x}\" y=\"14\">{name}</text>\n"
                ),
            );
        }
        let greatest = self.rows.iter().flat_map(|(_, shares)| shares.iter().flatten()).max();
        let greatest = greatest.copied().unwrap_or(0).max(1);
        for (row, (name, shares)) in self.rows.iter().enumerate() {
            let y = HEAT_TOP + HEAT_ROW * row as i64;
            let (x, text_y, escaped) = (left - 8, y + 16, escape(name));
            put(out, format_args!("<text class=\"value\" x=\"{x}\" y=\"{text_y}\">{escaped}</text>\n"));
            for (column, share) in shares.iter().enumerate() {
                if let Some(share) = share {
                    let step = scaled(*share, HEAT_STEPS, greatest).clamp(0, HEAT_STEPS);
                    self.cell(out, size, (name, y, column), (*share, step));
                }
            }
        }
        out.push_str("</svg>\n");
    }

    fn cell(
        &self,
        out: &mut String,
        size: &HeatSize,
        (name, y, column): (&str, i64, usize),
        (share, step): (i64, i64),
    ) {
        let (from, to) = self.column(size, column);
        let (percent, age) = (whole_percent(share), &self.columns[column]);
        let title = escape(&format!("{name}, month {age}: {percent} %"));
        let (width, height) = (to - from - 2, HEAT_ROW - 2);
        put(
            out,
            format_args!(
                "<rect class=\"heat h{step}\" x=\"{from}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"><title>{title}</title></rect>\n"
            ),
        );
        if size.has_numbers {
            let (x, y) = ((from + to) / 2 - 1, y + 15);
            put(
                out,
                format_args!(
                    "<text class=\"cell\" text-anchor=\"middle\" x=\"{x}\" y=\"{y}\">{percent}</text>\n"
                ),
            );
        }
    }

    /// From where to where a column reaches.
    fn column(&self, size: &HeatSize, column: usize) -> (i64, i64) {
        let columns = self.columns.len().max(1) as i64;
        let x = |column: i64| size.left + scaled(column, size.width - size.left, columns);
        (x(column as i64), x(column as i64 + 1))
    }
}

/// A share in millionths as a whole percentage.
fn whole_percent(millionths: i64) -> i64 {
    (millionths + 5_000) / 10_000
}

/// `value · length / whole`, rounded.
fn scaled(value: i64, length: i64, whole: i64) -> i64 {
    let (value, length, whole) = (i128::from(value), i128::from(length), i128::from(whole.max(1)));
    i64::try_from((2 * value * length + whole) / (2 * whole)).unwrap_or(length as i64)
}

/// 1, 2 or 5 times a power of ten, of which two to five fit below a value.
fn nice_step(greatest: i64) -> i64 {
    let mut power = 1;
    loop {
        for step in [power, 2 * power, 5 * power] {
            if greatest / step <= 5 {
                return step;
            }
        }
        power *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_steps() {
        for (greatest, step) in [(1, 1), (5, 1), (6, 2), (12, 5), (26, 5), (99, 20), (1_234_567, 500_000)] {
            assert_eq!(nice_step(greatest), step, "{greatest}");
        }
        assert_eq!((scaled(1, 100, 3), scaled(2, 100, 3), scaled(0, 100, 0)), (33, 67, 0));
    }

    #[test]
    fn bars_stand_on_each_other_and_lines_have_gaps() {
        let places = ["2025-01".to_owned(), "2025-02".to_owned(), "2025-03".to_owned()];
        let series = |name, values: [Option<i64>; 3]| Series { name, values: values.to_vec() };
        let chart = |kind| Chart {
            label: "A \"chart\"",
            kind,
            places: &places,
            series: vec![series("new", [Some(1), None, Some(3)]), series("old", [Some(2), Some(2), Some(2)])],
            write: &|value| value.to_string(),
        };
        let bars = chart(Kind::Bars).html();
        assert_eq!(bars.matches("<rect class=\"bar s1\"").count(), 2 * 3 + 1);
        assert!(
            bars.contains("aria-label=\"A &quot;chart&quot;\"")
                && bars.contains("<title>2025-03, new: 3</title>")
        );
        let lines = chart(Kind::Lines).html();
        let first =
            lines.split("line s0\" d=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a line");
        assert_eq!(first.matches('M').count(), 2);
    }
}
