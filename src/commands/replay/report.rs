//! What a replay came to, for people.

use std::fmt::Write as _;

use super::arguments::ReplayArguments;
use super::input_remarks::InputRemarks;
use super::remarks::Remarks;
use super::results;
use crate::commands::numbers::{grouped, hundredths, money, none, percent};
use crate::config::{Config, Origin};
use crate::domain::engine::shop_totals::{ShopTotals, WindowTotals};
use crate::domain::signals::kind::SignalType;
use crate::domain::signals::signal::State;
use crate::domain::values::money::{Currency, ShopAmount};
use crate::domain::values::number::Ratio;
use crate::domain::values::time::Time;
use crate::history::counts::FileCounts;
use crate::wire::encode::{Summary, TruncatedCounts, time_text};
use crate::wire::reason::Reason;

/// Everything that the report is about.
pub(crate) struct Report<'a> {
    pub(crate) arguments: &'a ReplayArguments,
    pub(crate) config: &'a Config,
    pub(crate) summary: &'a Summary,
    pub(crate) erasures: u64,
    pub(super) remarks: &'a Remarks,
    pub(super) input_remarks: &'a InputRemarks,
    /// How many cut points of segments were computed; none if they are the registry's, and without segments.
    pub(super) computed_cuts: Option<usize>,
    pub(crate) last_event_at: Option<Time>,
    /// Where it stands at the end.
    pub(crate) clock: Option<Time>,
    pub(crate) files: &'a [FileCounts],
}

/// A label and a value for each of the windows of [`COLUMNS`].
type Row = (String, [String; 4]);

/// Windows by their index in the figures, and what they are called.
const COLUMNS: [(usize, &str); 4] = [(0, "all time"), (3, "365 days"), (2, "90 days"), (1, "30 days")];

impl Report<'_> {
    /// The whole text, ending in a newline.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.head(&mut out);
        self.events(&mut out);
        self.customers(&mut out);
        self.figures(&mut out);
        self.signals(&mut out);
        out
    }

    fn head(&self, out: &mut String) {
        let arguments = self.arguments;
        let inputs =
            [&arguments.files.orders, &arguments.files.others.returns, &arguments.files.others.erasures];
        let names: Vec<String> =
            inputs.into_iter().flatten().map(|path| path.display().to_string()).collect();
        let seconds = self.summary.elapsed.as_secs_f64();
        let per_second = (self.summary.records as f64 / seconds.max(0.001)) as u64;
        line(out, "replayed", &names.join(", "));
        let records = grouped(self.summary.records.into());
        let speed = format!("{records} records in {seconds:.2} s, {} a second", grouped(per_second.into()));
        line(out, "", &speed);
        let folder = arguments.out.display();
        line(out, "results", &format!("{folder}: {}", results::NAMES.join(", ")));
        for (path, value, origin) in self.config.effective() {
            if let (Origin::Fallback(by), "shop.currency" | "shop.time_zone") = (origin, path.as_str()) {
                line(out, &path, &format!("{value} ({by}; --set {path}=... changes it)"));
            }
        }
    }

    fn events(&self, out: &mut String) {
        let events = &self.summary.events;
        let mut counts = vec![
            (events.orders, "orders"),
            (events.cancellations, "cancellations"),
            (events.returns, "returns"),
        ];
        if self.erasures > 0 {
            counts.push((self.erasures, "erasures"));
        }
        counts.push((events.duplicates, "duplicates"));
        let counts = counts.iter().map(|(count, name)| format!("{name} {}", grouped((*count).into())));
        line(out, "events", &counts.collect::<Vec<_>>().join(", "));
        self.files.iter().for_each(|file| read(out, file));
        self.refused(out);
        self.worth_a_look(out);
        if let Some(clock) = self.clock {
            let mut text = written(clock);
            if let (Some(last), Some(until)) = (self.last_event_at, self.arguments.until)
                && until < last
            {
                text.push_str(", the last event; --until lies before it and changes nothing");
            }
            line(out, "clock", &text);
        }
        if self.config.segments.is_some() {
            let text = match self.computed_cuts {
                Some(count) => format!("by {count} computed cut points; a registry would go before them"),
                None => "by the cut points of registry.file".to_owned(),
            };
            line(out, "segments", &text);
        }
    }

    fn refused(&self, out: &mut String) {
        let counts =
            Reason::ALL.iter().map(|reason| (reason.name(), self.summary.dead_letters[reason.index()]));
        let counts: Vec<(&str, u64)> = counts.filter(|(_, count)| *count > 0).collect();
        let total = self.summary.refused();
        if total == 0 {
            return;
        }
        let reasons: Vec<String> =
            counts.iter().map(|(name, count)| format!("{name} {}", grouped((*count).into()))).collect();
        let records = self.summary.records;
        line(out, "refused", &format!("{}: {}", grouped(total.into()), reasons.join(", ")));
        if !self.summary.unusable_share_is_at_most(self.config.dead_letters.share_max) {
            let share = percent(Ratio::new(self.summary.unusable(), records));
            line(out, "", &format!("that is {share} of the records: look into dead-letters.jsonl"));
        }
    }

    fn worth_a_look(&self, out: &mut String) {
        let paragraphs = self.input_remarks.paragraphs().into_iter().chain(self.remarks.paragraphs());
        for (index, paragraph) in paragraphs.enumerate() {
            let mut lines = paragraph.iter();
            if let Some(what) = lines.next() {
                line(out, if index == 0 { "worth a look" } else { "" }, what);
            }
            lines.for_each(|text| line(out, "", &format!("  {text}")));
        }
    }

    fn customers(&self, out: &mut String) {
        let figures = || self.summary.shops.iter().map(|(_, figures, _)| figures);
        out.push('\n');
        let total: u64 = figures().map(ShopTotals::total).sum();
        line(out, "customers", &grouped(total.into()));
        for state in State::ALL {
            let count: u64 = figures().map(|figures| figures.customers_of(state)).sum();
            line(out, &format!("  {}", state.name()), &format!("{:>12}", grouped(count.into())));
        }
        let TruncatedCounts { customers, orders } = self.summary.truncated;
        if orders > 0 {
            let text = format!(
                "{} customers have more than records.max_orders; {} of their orders left the windows early",
                grouped(customers.into()),
                grouped(orders.into()),
            );
            line(out, "truncated", &text);
            line(
                out,
                "",
                "figures of windows are lower bounds; --set records.max_orders=... raises the limit",
            );
        }
        for (currency, _, guests) in &self.summary.shops {
            if guests.orders + guests.returns > 0 {
                let text = format!(
                    "orders {} of {} {currency}, returns {} of {} {currency}; not in the figures below",
                    grouped(guests.orders.into()),
                    money(guests.gross.into(), *currency),
                    grouped(guests.returns.into()),
                    money(guests.refunded.into(), *currency),
                );
                line(out, "guests", &text);
            }
        }
    }

    fn figures(&self, out: &mut String) {
        let header = ("".to_owned(), COLUMNS.map(|(_, name)| name.to_owned()));
        let mut rows = vec![header];
        self.counts(&mut rows);
        for (currency, figures, _) in &self.summary.shops {
            money_rows(&mut rows, *currency, figures);
        }
        let label_width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..COLUMNS.len())
            .map(|column| rows.iter().map(|(_, cells)| cells[column].len()).max().unwrap_or_default())
            .collect();
        out.push('\n');
        for (label, cells) in &rows {
            write!(out, "{label:label_width$}").expect("in memory");
            for (cell, width) in cells.iter().zip(&widths) {
                write!(out, "   {cell:>width$}").expect("in memory");
            }
            out.push('\n');
        }
    }

    fn counts(&self, rows: &mut Vec<Row>) {
        let sum = |window: usize, figure: fn(&WindowTotals) -> u64| -> u64 {
            self.summary.shops.iter().map(|(_, figures, _)| figure(&figures.windows[window])).sum()
        };
        let mut count = |label: &str, figure: fn(&WindowTotals) -> u64| {
            rows.push((label.to_owned(), COLUMNS.map(|(window, _)| grouped(sum(window, figure).into()))));
        };
        count("customers with orders", |figures| figures.customers_placed);
        count("orders placed", |figures| figures.placed);
        count("orders kept", |figures| figures.kept);
        let mut ratio = |label: &str,
                         write: fn(Option<Ratio>) -> String,
                         dividend: fn(&WindowTotals) -> u64,
                         divisor: fn(&WindowTotals) -> u64| {
            let cells =
                COLUMNS.map(|(window, _)| write(Ratio::new(sum(window, dividend), sum(window, divisor))));
            rows.push((label.to_owned(), cells));
        };
        ratio("repeat purchase rate, placed", percent, |of| of.repeat_placed, |of| of.customers_placed);
        ratio("repeat purchase rate, kept", percent, |of| of.repeat_kept, |of| of.customers_kept);
        ratio("purchase frequency, placed", hundredths, |of| of.placed, |of| of.customers_placed);
        ratio("purchase frequency, kept", hundredths, |of| of.kept, |of| of.customers_kept);
    }

    fn signals(&self, out: &mut String) {
        out.push('\n');
        let total: u64 = self.summary.signals.iter().sum();
        line(out, "signals", &grouped(total.into()));
        for (name, count) in
            SignalType::NAMES.iter().zip(self.summary.signals).filter(|(_, count)| *count > 0)
        {
            line(out, &format!("  {name}"), &format!("{:>12}", grouped(count.into())));
        }
    }
}

/// What a file came to.
fn read(out: &mut String, file: &FileCounts) {
    let records = grouped(file.records.into());
    let counts = match file.lines {
        Some(lines) => format!("lines {}, documents {records}", grouped(lines.into())),
        None => format!("records {records}"),
    };
    line(out, "read", &format!("{}: {counts}", file.file));
    if let Some(map) = &file.map {
        let found = if file.is_found { ", found by the columns" } else { "" };
        line(out, "", &format!("by the map {map}{found}"));
    }
    for (name, count) in &file.skipped {
        line(out, "skipped", &format!("{name} {}", grouped((*count).into())));
    }
    if file.repeated > 0 {
        let count = grouped(file.repeated.into());
        let what = match file.lines {
            Some(_) => "documents that an earlier file has too count once",
            None => "records that are passed over again count once",
        };
        line(out, "repeated", &format!("{count} {what}"));
    }
    if file.left_out > 0 {
        let count = grouped(file.left_out.into());
        line(out, "left out", &format!("{count} documents with lines that cannot be read"));
    }
}

fn money_rows(rows: &mut Vec<Row>, currency: Currency, figures: &ShopTotals) {
    let mut sum = |label: &str, figure: fn(&WindowTotals) -> ShopAmount| {
        let cells = COLUMNS.map(|(window, _)| money(figure(&figures.windows[window]).into(), currency));
        rows.push((format!("{label} {currency}"), cells));
    };
    sum("gross", |of| of.gross);
    sum("refunded", |of| of.refunded);
    sum("cancelled", |of| of.cancelled);
    sum("net", WindowTotals::net);
    let mut mean =
        |label: &str, dividend: fn(&WindowTotals) -> ShopAmount, divisor: fn(&WindowTotals) -> u64| {
            let cells = COLUMNS.map(|(window, _)| {
                let of = &figures.windows[window];
                let mean = Ratio::new(dividend(of), divisor(of)).map(|mean| mean.scaled_half_even(1));
                mean.map_or_else(none, |mean| money(mean, currency))
            });
            rows.push((label.replace("{}", &currency.to_string()), cells));
        };
    mean("average order value {}, gross", |of| of.gross, |of| of.placed);
    mean("average order value {}, net", WindowTotals::net, |of| of.kept);
    mean("customer value {}, gross", |of| of.gross, |of| of.customers_placed);
    mean("customer value {}, net", WindowTotals::net, |of| of.customers_kept);
}

fn line(out: &mut String, label: &str, text: &str) {
    writeln!(out, "{label:<18}  {text}").expect("in memory");
}

fn written(time: Time) -> String {
    String::from_utf8(time_text(time).to_vec()).expect("digits and marks")
}
