//! Whether a partition is in history, and up to where.

use crate::config::{HistoryRules, HistorySignals};
use crate::domain::values::time::Time;
use crate::fault::{self, Mutation};
use crate::formats::native::ID_BYTES_MAX;
use crate::stream::broker::Position;
use crate::stream::partition::RunningHistory;
use crate::topic::PerInput;
use crate::wire::changelog::Seal;

/// What a record of the changelog takes beside the packed customer, at most.
pub const KEY_AND_FRAME_BYTES: usize = 2 * ID_BYTES_MAX + 64;

/// The history of a partition, and from when on signals of time alone are published. Without a seal the partition is assigned for the
/// first time, and its history goes up to the present ends of its inputs; later the seal shows both.
pub fn of(
    seal: Option<&Seal>,
    ends: &PerInput<Position>,
    rules: &HistoryRules,
    shop_now: Time,
) -> (Option<RunningHistory>, Option<Time>) {
    let history = |ends, records| RunningHistory { ends, records, held_back: 0 };
    match (seal, rules.signals) {
        (Some(seal), _) => {
            let sealed = seal.history.map(|sealed| {
                let taken_anew = fault::is(Mutation::TakeHistoryEndsAnew);
                let ends = if taken_anew { *ends } else { PerInput(sealed.ends.0.map(Position)) };
                history(ends, sealed.records)
            });
            (sealed, seal.signals_from)
        }
        (None, HistorySignals::Publish) => (None, None),
        (None, HistorySignals::HoldBack) => (Some(history(*ends, 0)), rules.signals_from.or(Some(shop_now))),
    }
}
