//! The daily count as a worker takes it: a slice between two batches, and its shares as records of the next one.

use std::sync::Arc;

use tracing::warn;

use super::context::Context;
use super::transaction::Transaction;
use crate::domain::settings::Shops;
use crate::domain::values::ids::ShopIndex;
use crate::stream::broker::Broker;
use crate::stream::partition::day_count::{CountOutcome, CountProgress, CountedDay};
use crate::topic::Partition;
use crate::wire::shares::{DayMarker, DayOutcome, Share, day_text};

/// Customers that are counted between two batches, of all partitions of a worker together: some 30 ms.
const CUSTOMERS_A_TURN: usize = 20_000;
/// After so many of them the time is looked at.
const CUSTOMERS_A_LOOK: usize = 1_000;
/// A slice may take this part of the time between two commits.
const SHARE_OF_INTERVAL: u32 = 4;

/// Begins the counts that are due, takes a slice of one, and opens a part in the batch for each that is done. Whether there is more to
/// count.
pub(super) fn count_days<B: Broker>(ctx: &mut Context<'_, B>, transaction: &mut Transaction) -> bool {
    if !ctx.rules.counts_days {
        return false;
    }
    let clocks = ctx.broker.clocks();
    let shop_now = ctx.rules.shop_time.at(clocks.wall_ms);
    let until = clocks.monotonic.plus(ctx.rules.commit.interval / SHARE_OF_INTERVAL);
    let settings = Arc::clone(&ctx.rules.settings);
    let (mut counted, mut is_counting) = (Vec::new(), false);
    let mut customers_left = CUSTOMERS_A_TURN;
    let broker = &ctx.broker;
    for (partition, running) in ctx.partitions.running_mut_all() {
        let Some(day_count) = &mut running.day_count else { continue };
        let mut progress = day_count.begin(&running.engine, &settings, shop_now);
        while progress == CountProgress::Counting && customers_left > 0 && broker.now() < until {
            customers_left -= CUSTOMERS_A_LOOK;
            progress = day_count.count(&running.engine, CUSTOMERS_A_LOOK);
        }
        match progress {
            CountProgress::Nothing => {}
            CountProgress::Counting => is_counting = true,
            CountProgress::Counted => counted.push(partition),
        }
    }
    for partition in counted {
        transaction.open_part(ctx, partition);
    }
    is_counting
}

/// A partition's shares of a day and the marker behind them, as keys and values. A day of which a share does not fit into a record is
/// skipped.
pub(super) fn records(
    day: &CountedDay,
    partition: Partition,
    shops: &Shops,
    record_bytes_max: usize,
) -> Vec<(String, Vec<u8>)> {
    let CountedDay { tick, outcome } = day;
    let marker = |outcome| {
        let marker = DayMarker { partition: partition.0, day: *tick, outcome };
        (marker.key(), marker.to_json())
    };
    let counts = match outcome {
        CountOutcome::Counted(counts) => counts,
        CountOutcome::Skipped => return vec![marker(DayOutcome::Skipped)],
    };
    let (mut records, mut stores) = (Vec::new(), Vec::new());
    for (index, count) in (0..).zip(counts).filter(|(_, count)| count.totals.total() > 0) {
        let store_id: Option<Box<str>> = shops.store_id(ShopIndex(index)).map(Into::into);
        stores.push(store_id.clone());
        let share = Share { partition: partition.0, store_id, count: count.clone() };
        records.push((share.key(), share.to_json()));
    }
    let fits = |(key, value): &(String, Vec<u8>)| key.len() + value.len() <= record_bytes_max;
    if !records.iter().all(fits) {
        let day = day_text(*tick);
        warn!(
            partition = partition.0,
            day,
            record_bytes_max,
            "a share does not fit into a record, so the day is skipped; raise max.message.bytes"
        );
        return vec![marker(DayOutcome::Skipped)];
    }
    records.push(marker(DayOutcome::Counted { stores }));
    records
}
