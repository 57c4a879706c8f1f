//! Segments: scores from cut points, names from scores, and when silence alone changes them.

use serde_json::{Value, json};

use super::number::DAY_MS;

/// One record of the registry.
#[derive(Clone, Debug)]
pub struct Cuts {
    /// None: all stores that have none of their own.
    pub store_id: Option<String>,
    pub effective_ms: i64,
    pub published_ms: i64,
    /// What orders records of one instant, and what outputs name.
    pub version: String,
    pub r_days: [i64; 4],
    pub f: [i128; 4],
    pub money: Option<Money>,
}

/// Cuts in minor units, and the medians of the value matrix.
#[derive(Clone, Debug)]
pub struct Money {
    pub m: [i128; 4],
    pub f_median: i128,
    pub value_median: i128,
}

/// What a segment follows from.
#[derive(Clone, Copy, Debug)]
pub struct Bought {
    pub last_at: i64,
    /// Kept orders.
    pub orders: i128,
    /// Their net value.
    pub net: i128,
}

#[derive(Clone, Debug)]
pub struct Segment {
    pub name: &'static str,
    r: usize,
    f: usize,
    m: Option<usize>,
    matrix: Option<String>,
    cuts: String,
}

/// A row for each R from 1 on, with F from 1 to 5.
const NAMES: [[&str; 5]; 5] = [
    ["hibernating", "hibernating", "slipping", "slipping", "cant_lose"],
    ["hibernating", "hibernating", "slipping", "slipping", "cant_lose"],
    ["about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"],
    ["promising", "potential_loyalist", "potential_loyalist", "loyal", "loyal"],
    ["new", "potential_loyalist", "potential_loyalist", "champions", "champions"],
];

/// The record that counts for a last kept order: the store's own before others, then the latest.
pub fn in_force<'c>(cuts: &'c [Cuts], store_id: Option<&str>, last_at: i64) -> Option<&'c Cuts> {
    let latest = |of: Option<&str>| {
        let counting =
            cuts.iter().filter(|cuts| cuts.store_id.as_deref() == of && cuts.effective_ms <= last_at);
        counting.max_by_key(|cuts| (cuts.effective_ms, cuts.published_ms, cuts.version.clone()))
    };
    let own = store_id.and_then(|store| latest(Some(store)));
    own.or_else(|| latest(None))
}

impl Segment {
    pub fn of(cuts: &Cuts, bought: Bought, clock: i64) -> Segment {
        let silence = clock - bought.last_at;
        let passed =
            boundaries(cuts, bought.last_at).filter(|boundary| *boundary <= bought.last_at + silence);
        let r = 5 - passed.count();
        let score = |cuts: [i128; 4], value: i128| 1 + cuts.iter().filter(|cut| **cut < value).count();
        let f = score(cuts.f, bought.orders);
        Segment {
            name: NAMES[r - 1][f - 1],
            r,
            f,
            m: cuts.money.as_ref().map(|money| score(money.m, bought.net)),
            matrix: cuts.money.as_ref().map(|money| {
                let frequency = if bought.orders > money.f_median { "frequent" } else { "rare" };
                // A mean above the median, in whole minor units.
                let is_large = bought.net / bought.orders > money.value_median;
                format!("{frequency}_{}", if is_large { "large" } else { "small" })
            }),
            cuts: cuts.version.clone(),
        }
    }

    /// As in profiles.
    pub fn json(&self) -> Value {
        json!({"name": self.name, "r": self.r, "f": self.f, "m": self.m, "matrix": self.matrix, "cuts": self.cuts})
    }

    /// As in signals.
    pub fn change(&self, before: Option<&str>, silence_days: Value) -> Value {
        json!({
            "before": before, "after": self.name, "r": self.r, "f": self.f, "m": self.m, "matrix": self.matrix,
            "cuts": self.cuts, "silence_days": silence_days,
        })
    }
}

/// The instants from which on a silence has more whole days than a cut.
pub fn boundaries(cuts: &Cuts, last_at: i64) -> impl Iterator<Item = i64> + '_ {
    cuts.r_days.iter().map(move |days| last_at + (days + 1) * DAY_MS)
}
