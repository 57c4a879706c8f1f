//! Which group a customer belongs to: by the hash of a name and the customer's key, so the same in every run and on every machine.

use super::rule::{Every, HoldoutShare, Variant, Variants};
use crate::domain::values::time::Span;

/// XXH3-64 as the settings hand it over.
pub type Hash = fn(&[u8]) -> u64;

impl Variants {
    /// The variant of a customer: the first whose running sum of weights exceeds the customer's number.
    pub fn of(&self, customer_key: &[u8], hash: Hash) -> &Variant {
        let mut rest = self.number(customer_key, hash);
        for variant in &self.list {
            match rest.checked_sub(u64::from(variant.weight)) {
                Some(more) => rest = more,
                None => return variant,
            }
        }
        unreachable!("the number lies below the sum of the weights")
    }

    /// Below the sum of the weights.
    fn number(&self, customer_key: &[u8], hash: Hash) -> u64 {
        let sum: u64 = self.list.iter().map(|variant| u64::from(variant.weight)).sum();
        named_hash(&self.split, customer_key, hash) % sum
    }
}

impl HoldoutShare {
    /// Whether every rule withholds from this customer.
    pub fn holds_out(self, customer_key: &[u8], hash: Hash) -> bool {
        self.0 > 0 && holdout_number(customer_key, hash) < u64::from(self.0)
    }
}

fn holdout_number(customer_key: &[u8], hash: Hash) -> u64 {
    named_hash("holdout", customer_key, hash) % 10_000
}

impl Every {
    /// The customer's own period, in whole days.
    pub fn period(&self, rule_name: &str, customer_key: &[u8], hash: Hash) -> Span {
        let choices = u64::from(self.days_max - self.days_min) + 1;
        let more = if choices == 1 { 0 } else { named_hash(rule_name, customer_key, hash) % choices };
        Span::days(i64::from(self.days_min) + more as i64)
    }
}

/// How much later than the date a customer comes: below `spread`.
pub fn spread(spread: Span, rule_name: &str, customer_key: &[u8], hash: Hash) -> Span {
    match u64::try_from(spread.as_millis()) {
        Ok(millis @ 1..) => Span::from_millis((named_hash(rule_name, customer_key, hash) % millis) as i64),
        Ok(0) | Err(_) => Span::ZERO,
    }
}

/// The hash of a name, a zero and a customer's key.
fn named_hash(name: &str, customer_key: &[u8], hash: Hash) -> u64 {
    hash(&[name.as_bytes(), b"\0", customer_key].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rules::rule::Anchor;
    use crate::wire::hash::hash;

    #[test]
    fn a_variant_follows_from_the_hash() {
        let variant = |(name, weight, holdout): (&str, u32, bool)| Variant {
            name: name.into(),
            weight,
            holdout,
            say: None,
        };
        let list = [("percent", 45, false), ("credit", 45, false), ("control", 10, true)].map(variant);
        let variants = Variants { split: "win-back".into(), list: list.into() };
        for (key, number, name) in [
            ("c-1042", 33, "percent"),
            ("c-2077", 6, "percent"),
            ("c-3310", 25, "percent"),
            ("c-0002", 90, "control"),
            ("c-0003", 57, "credit"),
            ("c-0004", 45, "credit"),
        ] {
            assert_eq!(variants.number(key.as_bytes(), hash), number, "{key}");
            assert_eq!(&*variants.of(key.as_bytes(), hash).name, name, "{key}");
        }
    }

    #[test]
    fn a_share_of_the_customers_is_held_out() {
        for (key, number) in [("c-1042", 2_025), ("c-2077", 4_665), ("c-3310", 2_483)] {
            assert_eq!(holdout_number(key.as_bytes(), hash), number, "{key}");
            let holds_out = |share| HoldoutShare(share).holds_out(key.as_bytes(), hash);
            assert_eq!([0, number as u16, number as u16 + 1].map(holds_out), [false, false, true], "{key}");
        }
    }

    #[test]
    fn a_range_of_days_and_a_spread_give_each_customer_its_own() {
        let every = |days_min, days_max| Every { days_min, days_max, from: Anchor::LastOrder };
        for (key, days) in [("c-1042", 21), ("c-2077", 18), ("c-3310", 21)] {
            let period = |range: Every| range.period("news", key.as_bytes(), hash);
            assert_eq!([every(14, 21), every(5, 5)].map(period), [Span::days(days), Span::days(5)], "{key}");
        }
        let hours = Span::from_millis(6 * 3_600_000);
        for (key, millis) in [("c-1042", 16_924_911), ("c-2077", 17_389_179)] {
            assert_eq!(spread(hours, "black-friday", key.as_bytes(), hash), Span::from_millis(millis));
            assert_eq!(spread(Span::ZERO, "black-friday", key.as_bytes(), hash), Span::ZERO);
        }
    }
}
