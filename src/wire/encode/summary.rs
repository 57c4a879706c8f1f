//! What a replay read and what came of it, as one JSON object.

use std::time::Duration;

use super::{json, metrics};
use crate::domain::engine::shop_totals::{GuestTotals, ShopTotals};
use crate::domain::signals::kind::SignalType;
use crate::domain::signals::signal::State;
use crate::domain::values::money::Currency;
use crate::wire::reason::Reason;

/// How many records of each kind were accepted, guests' included, and how many said nothing new.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EventCounts {
    pub orders: u64,
    pub cancellations: u64,
    pub returns: u64,
    pub duplicates: u64,
}

/// Everything that `summary.json` tells.
#[derive(Clone, Debug)]
pub struct Summary {
    pub events: EventCounts,
    /// By [`Reason::index`].
    pub dead_letters: [u64; Reason::ALL.len()],
    /// By [`SignalType::NAMES`].
    pub signals: [u64; SignalType::NAMES.len()],
    /// Of all shops of a currency together; one entry a currency, sorted.
    pub shops: Vec<(Currency, ShopTotals, GuestTotals)>,
    pub elapsed: Duration,
    /// Records read, the refused ones too.
    pub records: u64,
}

/// Appends the summary.
pub fn encode(out: &mut Vec<u8>, summary: &Summary) {
    let figures: Vec<_> = summary.shops.iter().map(|(currency, figures, _)| (*currency, figures)).collect();
    let all_time: Vec<_> =
        figures.iter().map(|(currency, figures)| (*currency, &figures.windows[0])).collect();
    events(out, &summary.events);
    out.extend_from_slice(b",\"dead_letters\":");
    let reasons = Reason::ALL.iter().map(|reason| reason.name());
    counts(out, reasons.zip(summary.dead_letters).filter(|(_, count)| *count > 0));
    out.extend_from_slice(b",\"customers\":{\"total\":");
    json::integer(out, figures.iter().map(|(_, figures)| figures.total()).sum::<u64>());
    out.extend_from_slice(b",\"with_orders\":");
    json::integer(out, all_time.iter().map(|(_, figures)| figures.customers_placed).sum::<u64>());
    out.extend_from_slice(b",\"by_state\":");
    let customers_of = |state: State| figures.iter().map(|(_, figures)| figures.customers_of(state)).sum();
    counts(out, State::ALL.iter().map(|state| (state.name(), customers_of(*state))));
    out.extend_from_slice(b"},");
    metrics::rates(out, &all_time);
    out.push(b',');
    metrics::windows(out, &figures);
    out.extend_from_slice(b",\"signals\":");
    counts(out, SignalType::NAMES.into_iter().zip(summary.signals).filter(|(_, count)| *count > 0));
    guests(out, &summary.shops);
    speed(out, summary);
    out.extend_from_slice(b"}\n");
}

fn events(out: &mut Vec<u8>, events: &EventCounts) {
    out.extend_from_slice(b"{\"events\":");
    let named = [
        ("orders", events.orders),
        ("cancellations", events.cancellations),
        ("returns", events.returns),
        ("duplicates", events.duplicates),
    ];
    counts(out, named.into_iter());
}

fn counts<'n>(out: &mut Vec<u8>, counts: impl Iterator<Item = (&'n str, u64)>) {
    out.push(b'{');
    for (index, (name, count)) in counts.enumerate() {
        out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        json::integer(out, count);
    }
    out.push(b'}');
}

fn guests(out: &mut Vec<u8>, shops: &[(Currency, ShopTotals, GuestTotals)]) {
    out.extend_from_slice(b",\"guests\":{\"orders\":");
    json::integer(out, shops.iter().map(|(_, _, guests)| guests.orders).sum::<u64>());
    out.extend_from_slice(b",\"returns\":");
    json::integer(out, shops.iter().map(|(_, _, guests)| guests.returns).sum::<u64>());
    out.extend_from_slice(b",\"revenue\":{");
    for (index, (currency, _, guests)) in shops.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::currency(out, *currency);
        out.extend_from_slice(b":{\"gross\":");
        json::money(out, guests.gross, currency.digits());
        out.extend_from_slice(b",\"refunded\":");
        json::money(out, guests.refunded, currency.digits());
        out.extend_from_slice(b",\"net\":");
        json::money(out, guests.gross - guests.refunded, currency.digits());
        out.push(b'}');
    }
    out.extend_from_slice(b"}}");
}

fn speed(out: &mut Vec<u8>, summary: &Summary) {
    let millis = summary.elapsed.as_millis();
    let seconds = millis as f64 / 1_000.0;
    let per_second = u128::from(summary.records) * 1_000 / millis.max(1);
    out.extend_from_slice(format!(",\"seconds\":{seconds},\"events_per_second\":{per_second}").as_bytes());
}
