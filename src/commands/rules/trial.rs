//! `rules try`: what rules would have done with a shop's history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::arguments::TryArguments;
use super::outcomes;
use crate::commands::cli::CommonArguments;
use crate::commands::numbers::grouped;
use crate::commands::progress::Progress;
use crate::commands::shop_history::{Observer, ShopHistory};
use crate::domain::daily_count::outcomes::RuleOutcomes;
use crate::domain::engine::Engine;
use crate::domain::engine::as_of::AsOf;
use crate::domain::rules::counts::Unfired;
use crate::domain::signals::rule::RuleAction;
use crate::domain::signals::signal::Signal;
use crate::domain::values::time::{Span, Time};
use crate::exit::{Exit, Failure};
use crate::wire::encode::{RecordContext, SignalEncoder, time_text};
use crate::wire::hash;

/// Applies the history and gives the text to print.
///
/// # Errors
/// The files cannot be read or written, or there are no rules.
pub(super) fn run(common: &CommonArguments, arguments: &TryArguments) -> Result<String, Failure> {
    let progress = Progress::new();
    let history =
        ShopHistory::read(&super::with_files(common, &arguments.rules)?, &arguments.files, &progress)?;
    let Some(rules) = history.settings().rules.clone() else {
        let message =
            "there are no rules to try; name files of rules by --rules, or a settings file by --config";
        return Err(Failure::message(Exit::Configuration, message));
    };
    let names: Vec<String> = rules.set().rules().iter().map(|rule| rule.name.to_string()).collect();
    let mut tallies = Tallies {
        encoder: SignalEncoder::new(&history.settings().shops),
        by_rule: names.iter().map(|name| (name.clone(), Tally::default())).collect(),
        names,
        outcomes: RuleOutcomes::default(),
        no_room: 0,
        out: arguments.out.as_deref().map(|out| create(out, arguments.force)).transpose()?,
        line: Vec::new(),
        failed: None,
    };
    let (first, last) = history.span();
    let until = arguments.until.unwrap_or(last).max(last).plus(Span::from_millis(1));
    progress.applying(history.events());
    history.apply(history.settings().lapse.clone(), &[until], &progress, &mut tallies);
    progress.end();
    tallies.finish(arguments.out.as_deref())?;
    let head = format!(
        "rules tried on {} records, {} to {}\n",
        grouped(history.events().into()),
        date(first),
        date(until.just_before())
    );
    let off: Vec<&str> =
        rules.set().rules().iter().filter(|rule| !rule.enabled).map(|rule| &*rule.name).collect();
    let off = match &off[..] {
        [] => String::new(),
        names => {
            format!("\nswitched off (enabled = false), so that they fire nothing: {}\n", names.join(", "))
        }
    };
    Ok(head + &tallies.text() + &off + &history.refused_text())
}

fn create(out: &Path, force: bool) -> Result<BufWriter<File>, Failure> {
    let file = if force { File::create(out) } else { File::create_new(out) };
    file.map(BufWriter::new).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            let out = out.display();
            let message = format!("{out} exists already; choose another file, or replace it with --force");
            return Failure::message(Exit::Usage, message);
        }
        unwritable(out, &error)
    })
}

fn unwritable(out: &Path, error: &io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::PermissionDenied { Exit::Permission } else { Exit::Data };
    Failure::message(exit, format!("cannot write {}: {error}", out.display()))
}

/// What the rules did so far.
struct Tallies {
    encoder: SignalEncoder,
    by_rule: BTreeMap<String, Tally>,
    /// In the order of the set.
    names: Vec<String>,
    /// At the end, of all stores.
    outcomes: RuleOutcomes,
    /// Triggers that found as many firings planned as may be.
    no_room: u64,
    out: Option<BufWriter<File>>,
    line: Vec<u8>,
    /// The first line that could not be written.
    failed: Option<io::Error>,
}

/// What one rule did.
#[derive(Default)]
struct Tally {
    fired: u64,
    withheld: u64,
    unfired: Unfired,
    /// By the hash of the key.
    customers: BTreeSet<u64>,
    variants: BTreeMap<String, u64>,
    span: Option<(Time, Time)>,
    /// Fired, by week.
    weeks: BTreeMap<i64, u64>,
}

impl Observer for Tallies {
    /// At the end.
    fn stop(&mut self, engine: &mut Engine, at: Time) {
        let stores = engine.counted(AsOf::midnight(at), 0);
        stores.iter().for_each(|store| self.outcomes.merge(&store.rules));
        let counts = engine.take_rule_counts();
        self.no_room = counts.no_room;
        for (name, unfired) in self.names.iter().zip(counts.unfired) {
            self.by_rule.entry(name.clone()).or_default().unfired = unfired;
        }
    }

    fn emitted(&mut self, key: &[u8], signal: &Signal, record: Option<&RecordContext<'_>>) {
        let Some(rule) = signal.kind.rule() else { return };
        let tally = self.by_rule.entry(rule.rule.to_string()).or_default();
        match rule.action {
            RuleAction::Fired => {
                tally.fired += 1;
                *tally.weeks.entry(week(signal.occurred_at)).or_default() += 1;
            }
            RuleAction::Withheld => tally.withheld += 1,
            RuleAction::Planned | RuleAction::Cancelled => return,
        }
        if signal.customer.is_some() {
            tally.customers.insert(hash::hash(key));
        }
        if let Some(variant) = &rule.variant {
            *tally.variants.entry(variant.to_string()).or_default() += 1;
        }
        let (first, _) = tally.span.unwrap_or((signal.occurred_at, signal.occurred_at));
        tally.span = Some((first, signal.occurred_at));
        if let Some(out) = &mut self.out {
            self.line.clear();
            self.encoder.encode(key, signal, record, &mut self.line);
            self.line.push(b'\n');
            if let Err(error) = out.write_all(&self.line) {
                self.failed.get_or_insert(error);
            }
        }
    }
}

impl Tallies {
    fn finish(&mut self, out: Option<&Path>) -> Result<(), Failure> {
        let flushed = self.out.as_mut().map_or(Ok(()), |file| file.flush());
        match (self.failed.take().map_or(flushed, Err), out) {
            (Err(error), Some(out)) => Err(unwritable(out, &error)),
            (Ok(()), _) | (Err(_), None) => Ok(()),
        }
    }

    fn text(&self) -> String {
        let mut rows = vec![
            [
                "rule",
                "fired",
                "withheld",
                "customers",
                "if said no",
                "cool-down",
                "capped",
                "cancelled",
                "first",
                "last",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        for (name, tally) in &self.by_rule {
            let (first, last) = tally
                .span
                .map_or_else(|| ("-".to_owned(), "-".to_owned()), |(first, last)| (date(first), date(last)));
            let Unfired { refused, cooling, capped, cancelled } = tally.unfired;
            let customers = tally.customers.len() as u64;
            let numbers = [tally.fired, tally.withheld, customers, refused, cooling, capped, cancelled];
            let numbers = numbers.map(|number| grouped(number.into()));
            rows.push([[name.clone()].as_slice(), &numbers, &[first, last]].concat());
        }
        let mut text = format!("\n{}", table(&rows));
        for (name, tally) in self.by_rule.iter().filter(|(_, tally)| !tally.variants.is_empty()) {
            let variants: Vec<String> = tally
                .variants
                .iter()
                .map(|(variant, count)| format!("{variant} {}", grouped((*count).into())))
                .collect();
            writeln!(text, "\n{name}: {}", variants.join(", ")).expect("a String takes all");
        }
        if self.no_room > 0 {
            let dropped = grouped(self.no_room.into());
            writeln!(
                text,
                "\ntriggers dropped, as 16 firings of the customer were planned, or 8 for goods: {dropped}"
            )
            .expect("a String takes all");
        }
        text + &self.weeks() + &outcomes::text(&self.outcomes)
    }

    /// A row a week with a firing.
    fn weeks(&self) -> String {
        let weeks: BTreeSet<i64> =
            self.by_rule.values().flat_map(|tally| tally.weeks.keys().copied()).collect();
        if weeks.is_empty() {
            return String::new();
        }
        let head = ["week from".to_owned()].into_iter().chain(self.by_rule.keys().cloned());
        let mut rows: Vec<Vec<String>> = vec![head.collect()];
        for week in weeks {
            let count = |tally: &Tally| grouped(tally.weeks.get(&week).copied().unwrap_or_default().into());
            let begin = Time::MIN.plus(Span::days(7 * week - 3));
            rows.push([date(begin)].into_iter().chain(self.by_rule.values().map(count)).collect());
        }
        format!("\nfired by week\n{}", table(&rows))
    }
}

/// Rows of equal length: the first column to the left, the others to the right.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// Weeks since the one of 1970-01-01; they begin on Mondays (UTC).
fn week(time: Time) -> i64 {
    (time.as_millis() / Span::DAY.as_millis() + 3) / 7
}

fn date(time: Time) -> String {
    String::from_utf8_lossy(&time_text(time)[..10]).into_owned()
}
