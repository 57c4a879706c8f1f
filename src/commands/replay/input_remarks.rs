//! What looks wrong with the inputs as a whole although each record is sound: most often the export, or the map, is not what it seems.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Datelike};
use chrono_tz::Tz;

use super::replay_run::{Observer, ReplayRun};
use crate::config::Config;
use crate::domain::settings::Shops;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::money::Currency;
use crate::domain::values::time::Time;
use crate::history::files::History;
use crate::wire::hash::hash;
use crate::wire::remark::InputRemark;

/// What systems write where there is no customer, in small letters.
const NO_CUSTOMER: [&str; 17] = [
    "0",
    "0.0",
    "-1",
    "null",
    "(null)",
    "nan",
    "none",
    "nil",
    "n/a",
    "na",
    "\\n",
    "-",
    "undefined",
    "unknown",
    "guest",
    "anonymous",
    "00000000-0000-0000-0000-000000000000",
];

/// So few times may all lie on the first of a month.
const TIMES_MIN: u64 = 3;

/// The remarks of one replay.
pub(crate) struct InputRemarks {
    customers: CustomerRemarks,
    times: TimeRemarks,
    whole_amounts: u64,
    hashed_without_secret: u64,
    currency: Currency,
}

impl InputRemarks {
    /// Looks at everything that was applied.
    pub(crate) fn new<O: Observer>(run: &ReplayRun<'_, O>, config: &Config, history: &History) -> Self {
        let amounts = history.amounts();
        let shops = &config.settings.shops;
        let currency = shops.get(ShopIndex(0)).currency;
        let is_whole = !amounts.has_decimals && currency.digits() > 0;
        Self {
            customers: CustomerRemarks::new(|| run.customer_keys(), shops),
            times: run.times,
            whole_amounts: if is_whole { amounts.whole } else { 0 },
            hashed_without_secret: history.hashed_without_secret,
            currency,
        }
    }

    /// By [`InputRemark::index`].
    pub(crate) fn counts(&self) -> [u64; InputRemark::ALL.len()] {
        InputRemark::ALL.map(|remark| self.count(remark))
    }

    /// Each remark that is made: what it is about, and what helps.
    pub(crate) fn paragraphs(&self) -> Vec<Vec<String>> {
        let made = InputRemark::ALL.into_iter().filter(|remark| self.count(*remark) > 0);
        made.map(|remark| vec![self.what(remark), help(remark).to_owned()]).collect()
    }

    fn count(&self, remark: InputRemark) -> u64 {
        match remark {
            InputRemark::NoCustomer => self.customers.none.len() as u64,
            InputRemark::DecimalCustomer => self.customers.decimal,
            InputRemark::CutCustomer => self.customers.cut,
            InputRemark::SimilarCustomer => self.customers.similar,
            InputRemark::WholeAmounts => self.whole_amounts,
            InputRemark::FirstOfMonth => self.times.mostly(self.times.on_the_first, TIMES_MIN),
            InputRemark::Before2000 => self.times.mostly(self.times.before_2000, 1),
            InputRemark::HashedWithoutSecret => self.hashed_without_secret,
        }
    }

    fn what(&self, remark: InputRemark) -> String {
        let count = self.count(remark);
        match remark {
            InputRemark::NoCustomer => {
                let ids: Vec<&str> = self.customers.none.iter().map(String::as_str).collect();
                format!("customer ids that stand for no customer in most systems: {}", ids.join(", "))
            }
            InputRemark::DecimalCustomer => {
                format!("{count} customer ids are written such as 17850.0 beside 17850, and count as others")
            }
            InputRemark::CutCustomer => {
                format!("{count} customer ids are written such as 6.61808E+12: a spreadsheet has cut them")
            }
            InputRemark::SimilarCustomer => {
                format!("{count} customer ids differ in blanks or in capitals only, and count as others")
            }
            InputRemark::WholeAmounts => {
                format!("all {count} amounts have no digits after the point, which {} has", self.currency)
            }
            InputRemark::FirstOfMonth => {
                format!("{count} of {} times lie on the first of a month", self.times.all)
            }
            InputRemark::Before2000 => {
                format!("{count} of {} times lie before the year 2000", self.times.all)
            }
            InputRemark::HashedWithoutSecret => format!(
                "hashed identities of this run do not equal those of the intake: {count} source records were hashed without its secret"
            ),
        }
    }
}

const fn help(remark: InputRemark) -> &'static str {
    match remark {
        InputRemark::NoCustomer => "name them as customer.guests in the map, or leave customer_id out",
        InputRemark::DecimalCustomer => "customer.whole_numbers = true in the map reads both as one",
        InputRemark::CutCustomer => "export the column as text: different customers have become one",
        InputRemark::SimilarCustomer => "customer.ignore_case = true in the map reads them as one",
        InputRemark::WholeAmounts => {
            "if they are in cents, money.minor_units = true in the map, or divide them"
        }
        InputRemark::FirstOfMonth => "day and month may be swapped: look at time.format of the map",
        InputRemark::HashedWithoutSecret => {
            "give the intake's configuration with --config, or --set intake.secret_file=FILE"
        }
        InputRemark::Before2000 => "the unit of times may be another: look at time.format of the map",
    }
}

/// What is odd about the ids of customers.
#[derive(Default)]
struct CustomerRemarks {
    none: BTreeSet<String>,
    decimal: u64,
    cut: u64,
    similar: u64,
}

impl CustomerRemarks {
    fn new<'k, K: Iterator<Item = &'k [u8]>>(keys: impl Fn() -> K, shops: &Shops) -> Self {
        let mut remarks = Self::default();
        let mut folded = Vec::new();
        // Hashes of what stands before the point.
        let mut decimal = HashSet::new();
        for key in keys() {
            let (store, id) = parts(key, shops);
            if is_no_customer(id) {
                remarks.none.insert(id.to_owned());
            }
            remarks.cut += u64::from(is_cut(id));
            decimal.extend(whole_part(id).map(|whole| hash([store, whole].concat().as_bytes())));
            folded.push(folded_hash(store, id));
        }
        folded.sort_unstable();
        let alike = folded.chunk_by(|one, other| one == other).filter(|equal| equal.len() > 1);
        remarks.similar = alike.map(|equal| equal.len() as u64).sum();
        if !decimal.is_empty() {
            let beside = keys().filter(|key| {
                let (store, id) = parts(key, shops);
                decimal.contains(&hash([store, id].concat().as_bytes()))
            });
            remarks.decimal = beside.count() as u64;
        }
        remarks
    }
}

/// The store of a key, with its slash, and the customer's id.
fn parts<'k>(key: &'k [u8], shops: &Shops) -> (&'k str, &'k str) {
    let key = std::str::from_utf8(key).expect("it was made of ids");
    match shops {
        Shops::One(_) => ("", key),
        Shops::ByStore(_) => key.split_at(key.find('/').map_or(0, |slash| slash + 1)),
    }
}

fn is_no_customer(id: &str) -> bool {
    NO_CUSTOMER.iter().any(|none| none.eq_ignore_ascii_case(id.trim()))
}

/// `6.61808E+12`.
fn is_cut(id: &str) -> bool {
    let Some((number, exponent)) = id.trim().split_once(['e', 'E']) else { return false };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, "0"));
    whole.len() == 1
        && is_digits(whole)
        && is_digits(fraction)
        && exponent.strip_prefix('+').is_some_and(is_digits)
}

/// `17850` of `17850.0`.
fn whole_part(id: &str) -> Option<&str> {
    let (whole, fraction) = id.split_once('.')?;
    let is_whole = !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
    (is_whole && !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0')).then_some(whole)
}

fn folded_hash(store: &str, id: &str) -> u64 {
    let is_plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase() && !byte.is_ascii_whitespace();
    if store.is_empty() && id.bytes().all(is_plain) {
        return hash(id.as_bytes());
    }
    let folded: String = id.split_whitespace().flat_map(str::chars).flat_map(char::to_lowercase).collect();
    hash([store, &folded].concat().as_bytes())
}

/// Where the times of records lie.
#[derive(Clone, Copy)]
pub(crate) struct TimeRemarks {
    zone: Tz,
    all: u64,
    on_the_first: u64,
    before_2000: u64,
}

impl TimeRemarks {
    pub(crate) fn new(config: &Config) -> Self {
        let zone = config.effective().find(|(path, ..)| path == "shop.time_zone");
        let zone = zone.and_then(|(_, zone, _)| zone.parse().ok()).unwrap_or(Tz::UTC);
        Self { zone, all: 0, on_the_first: 0, before_2000: 0 }
    }

    pub(crate) fn add(&mut self, time: Time) {
        self.all += 1;
        let utc = DateTime::from_timestamp_millis(time.as_millis()).expect("times lie before the year 9999");
        self.before_2000 += u64::from(utc.year() < 2000);
        // Only two days of a month are the first somewhere on earth, or may be.
        let may_be_first = utc.day() <= 2 || utc.day() >= 28;
        self.on_the_first += u64::from(may_be_first && utc.with_timezone(&self.zone).day() == 1);
    }

    /// A count, if it is more than half of all, and these are enough.
    const fn mostly(&self, count: u64, all_min: u64) -> u64 {
        if self.all >= all_min && count * 2 > self.all { count } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_ids_are_told() {
        for (id, expected) in [
            ("0", (true, false, None)),
            ("Null", (true, false, None)),
            ("\\N", (true, false, None)),
            ("10", (false, false, None)),
            ("6.61808E+12", (false, true, None)),
            ("6E+12", (false, true, None)),
            ("1e5", (false, false, None)),
            ("17850.0", (false, false, Some("17850"))),
            ("17850.5", (false, false, None)),
        ] {
            assert_eq!((is_no_customer(id), is_cut(id), whole_part(id)), expected, "{id}");
        }
        assert_eq!(folded_hash("", "Ada@X "), folded_hash("", "ada@x"));
        assert_ne!(folded_hash("a/", "x"), folded_hash("b/", "x"));
    }
}
