//! A reader of the UCI Online Retail file, independent of the service's own: invoice lines to orders and
//! returns.
//!
//! An invoice is all lines of its number, wherever they stand in the file. `C` before the number makes it a
//! cancellation document, which names no order: a return. `A` marks bad debt: neither.

use std::collections::HashMap;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use chrono::{LocalResult, NaiveDateTime, TimeZone};
use chrono_tz::Europe::London;
use csv::StringRecord;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::number::{Ratio, money_text, ten_to, time_text};
use super::{Input, Topic};

/// Prices have three decimals at most; sums are kept in millionths.
const PRICE_DIGITS: u32 = 6;

/// One invoice.
#[derive(Debug)]
pub struct Document {
    pub id: String,
    pub kind: Kind,
    pub customer_id: Option<String>,
    /// UTC milliseconds of the earliest line.
    pub time: i64,
    /// Pence.
    pub total: i128,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Order,
    Return,
}

#[derive(Debug)]
struct Line {
    sku: String,
    quantity: i64,
    unit_price: String,
}

/// The file beside the project, or in the folder that `RETENTION_DATA_DIR` names; the error says what is
/// missing.
pub fn path() -> Result<PathBuf, String> {
    let folder =
        env::var("RETENTION_DATA_DIR").unwrap_or(format!("{}/../shared/data", env!("CARGO_MANIFEST_DIR")));
    let path = PathBuf::from(folder).join("online_retail_2010-12_2011-12.csv.gz");
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("the Online Retail file is not at {}", path.display()))
    }
}

/// All invoices but bad debt, in the order of a replay.
pub fn documents(path: &Path) -> Vec<Document> {
    let file = File::open(path).expect("the file is there");
    let mut reader = csv::Reader::from_reader(GzDecoder::new(file));
    let mut invoices: HashMap<String, usize> = HashMap::new();
    let mut documents: Vec<Document> = Vec::new();
    let mut millionths: Vec<i128> = Vec::new();
    let mut row = StringRecord::new();
    while reader.read_record(&mut row).expect("the file is CSV in UTF-8") {
        let [id, sku, _, quantity, time, unit_price, customer_id, _] = columns(&row);
        let kind = match id.as_bytes()[0] {
            b'A' => continue,
            b'C' => Kind::Return,
            _ => Kind::Order,
        };
        let time = utc_ms(time);
        let customer_id = (!customer_id.is_empty()).then(|| customer_id.to_owned());
        let index = *invoices.entry(id.to_owned()).or_insert(documents.len());
        if index == documents.len() {
            documents.push(Document {
                id: id.to_owned(),
                kind,
                customer_id,
                time,
                total: 0,
                lines: Vec::new(),
            });
            millionths.push(0);
        } else {
            assert_eq!(documents[index].customer_id, customer_id, "invoice {id} has one customer");
        }
        let quantity: i64 = quantity.parse().expect("a quantity is a whole number");
        millionths[index] += i128::from(quantity) * price_millionths(unit_price);
        let document = &mut documents[index];
        document.time = time.min(document.time);
        document.lines.push(Line { sku: sku.to_owned(), quantity, unit_price: unit_price.to_owned() });
    }
    for (document, millionths) in documents.iter_mut().zip(millionths) {
        document.total = Ratio::new(millionths, ten_to(PRICE_DIGITS - 2)).round_half_even();
    }
    // Stable: at one time and kind the invoice whose first line comes first.
    documents.sort_by_key(|document| (document.time, document.kind));
    documents
}

impl Document {
    /// The document as a record of its topic.
    pub fn input(&self) -> Input {
        let time = time_text(self.time);
        let (topic, mut value) = match self.kind {
            Kind::Order => (
                Topic::Orders,
                json!({"order_id": self.id, "placed_at": time, "currency": "GBP", "total": money_text(self.total, "GBP")}),
            ),
            Kind::Return => (
                Topic::Returns,
                json!({"return_id": self.id, "returned_at": time, "currency": "GBP", "refund": money_text(-self.total, "GBP")}),
            ),
        };
        if let Some(customer_id) = &self.customer_id {
            value["customer_id"] = json!(customer_id);
        }
        value["items"] = self.lines.iter().map(|line| line.item(self.kind)).collect();
        Input::Record { topic, value }
    }
}

impl Line {
    fn item(&self, kind: Kind) -> Value {
        match kind {
            Kind::Order => json!({"sku": self.sku, "quantity": self.quantity, "unit_price": self.unit_price}),
            Kind::Return => json!({"sku": self.sku, "quantity": -self.quantity}),
        }
    }
}

fn columns(row: &StringRecord) -> [&str; 8] {
    let columns: Vec<&str> = row.iter().collect();
    columns.try_into().expect("the file has eight columns")
}

fn price_millionths(price: &str) -> i128 {
    let (whole, fraction) = price.split_once('.').unwrap_or((price, ""));
    assert!(fraction.len() <= PRICE_DIGITS as usize, "{price} is exact in millionths");
    let digits: i128 =
        format!("{whole}{fraction:0<width$}", width = PRICE_DIGITS as usize).parse().expect("a price");
    digits
}

/// What a clock in London showed, without seconds, as UTC: of two possible instants the earlier.
fn utc_ms(local: &str) -> i64 {
    let local = NaiveDateTime::parse_from_str(local, "%Y-%m-%dT%H:%M:%S").expect("a local time");
    match London.from_local_datetime(&local) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.timestamp_millis(),
        LocalResult::None => panic!("no shop sells at {local}, which London skipped"),
    }
}
