//! Accepted records that are worth a look: counted, and some of them named.

use std::fmt::Write as _;

use crate::history::source::{Line, Source};
use crate::wire::remark::Remark;

/// How many records of a remark are named.
const EXAMPLES_MAX: usize = 3;

/// The remarks of one replay.
#[derive(Default)]
pub(crate) struct Remarks {
    /// By [`Remark::index`].
    pub(crate) counts: [u64; Remark::ALL.len()],
    examples: [Vec<Example>; Remark::ALL.len()],
    /// Returns without a customer whose customer was found by the order.
    customers_found: u64,
}

struct Example {
    file: String,
    line: u64,
}

impl Remarks {
    pub(crate) fn add(&mut self, remark: Remark, source: &Source, line: &Line) {
        self.counts[remark.index()] += 1;
        let examples = &mut self.examples[remark.index()];
        if examples.len() < EXAMPLES_MAX {
            examples.push(Example { file: source.file.clone(), line: line.number });
        }
    }

    /// A return that names an order but no customer.
    pub(crate) fn add_return_without_customer(&mut self, source: &Source, line: &Line, is_found: bool) {
        self.add(Remark::ReturnWithoutCustomer, source, line);
        self.customers_found += u64::from(is_found);
    }

    /// Each remark that was made, in lines: what it is about, what helps, and where the first records stand.
    pub(crate) fn paragraphs(&self) -> impl Iterator<Item = Vec<String>> {
        let made = Remark::ALL.into_iter().filter(|remark| self.counts[remark.index()] > 0);
        made.map(|remark| {
            let places = format!("see {}", places(&self.examples[remark.index()]));
            let help = help(remark).map(str::to_owned);
            [self.what(remark)].into_iter().chain(help).chain([places]).collect()
        })
    }

    fn what(&self, remark: Remark) -> String {
        let count = self.counts[remark.index()];
        match remark {
            Remark::Conflicting => format!(
                "{} an earlier one of the same id and version; {} replaced it, else the earlier one stands",
                records(count, "contradicts", "contradict"),
                self.counts[Remark::ConflictReplaced.index()]
            ),
            Remark::ConflictReplaced => format!(
                "{} the place of the earlier one that it contradicts",
                records(count, "has taken", "have taken")
            ),
            Remark::IneffectiveCancellation => format!(
                "{} an order further away than records.return_window and changes nothing",
                records(count, "cancels", "cancel")
            ),
            Remark::TestOrder => {
                format!("{} a test order, which counts in no figure", records(count, "is", "are"))
            }
            Remark::FoldedEarly => format!(
                "{} an order out of a full ledger (records.max_orders): it can no longer change",
                records(count, "has pushed", "have pushed")
            ),
            Remark::Folded => format!(
                "{} an order or return that has folded: too old to be edited",
                records(count, "changes", "change")
            ),
            Remark::TimeBefore2000 => {
                format!("{} a time before the year 2000", records(count, "has", "have"))
            }
            Remark::ReturnWithoutCustomer => format!(
                "{} an order but no customer: {} went to the customer of the order, {} to guests",
                records(count, "names", "name"),
                self.customers_found,
                count - self.customers_found
            ),
        }
    }
}

const fn help(remark: Remark) -> Option<&'static str> {
    match remark {
        Remark::Conflicting => Some("send each edition of an order with a version of its own"),
        Remark::TimeBefore2000 => {
            Some("a number counts milliseconds: multiply seconds by 1000, or write the time as text")
        }
        Remark::ReturnWithoutCustomer => {
            Some("on Kafka all of them would go to guests: send customer_id with each return")
        }
        Remark::ConflictReplaced
        | Remark::IneffectiveCancellation
        | Remark::TestOrder
        | Remark::FoldedEarly
        | Remark::Folded => None,
    }
}

fn records(count: u64, one: &str, several: &str) -> String {
    match count {
        1 => format!("1 record {one}"),
        _ => format!("{count} records {several}"),
    }
}

/// `orders.jsonl line 2, 7, 9`.
fn places(examples: &[Example]) -> String {
    let mut text = String::new();
    let mut file = None;
    for example in examples {
        let is_same = file.replace(&example.file) == Some(&example.file);
        let result = if is_same {
            write!(text, ", {}", example.line)
        } else {
            let separator = if text.is_empty() { "" } else { "; " };
            write!(text, "{separator}{} line {}", example.file, example.line)
        };
        result.expect("in memory");
    }
    text
}
