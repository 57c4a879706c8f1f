//! The combiner as a worker runs it: where it owns partition 0, and again a while after it has ended.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::Stop;
use super::context::Context;
use crate::observe::metrics::{BatchSummary, CombinerGauges};
use crate::stream::broker::{Broker, Moment};
use crate::stream::combiner::{CombinerEvent, CombinerRequest, Combining, Ended};
use crate::topic::{Output, Partition};
use crate::wire::shares::day_text;

/// The owner of this partition combines the shares of all.
const OWNS: Partition = Partition(0);
/// A combiner that has ended is followed by another one after this.
const PAUSE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub(super) enum CombinerSlot {
    /// Another worker combines, or no one does.
    #[default]
    Off,
    Running(Combining, CombinerGauges),
    /// Partition 0 has gone. Two combiners would read through one client, so the next one waits until this one has ended.
    Stopping(Combining),
    Ended {
        at: Moment,
    },
}

impl CombinerSlot {
    /// Starts and stops the combiner as partitions come and go, and reports what it has done.
    pub fn follow<B: Broker>(ctx: &mut Context<'_, B>) -> Result<(), Stop> {
        if !ctx.rules.counts_days {
            return Ok(());
        }
        let is_owner = ctx.partitions.contains(OWNS);
        let now = ctx.broker.now();
        let slot = std::mem::take(&mut ctx.combiner);
        ctx.combiner = match slot {
            Self::Off if is_owner => start(ctx)?,
            Self::Off => Self::Off,
            Self::Running(mut combining, gauges) if is_owner => match report(ctx, &mut combining, &gauges) {
                Ok(()) => Self::Running(combining, gauges),
                Err(Ended { failure }) => {
                    ctx.hub.metrics.on_combiner_failed(failure);
                    Self::Ended { at: now }
                }
            },
            Self::Running(combining, _) => {
                info!("another worker combines shares from now on");
                combining.cancel();
                Self::Stopping(combining)
            }
            Self::Stopping(mut combining) => {
                if has_ended(&mut combining) {
                    Self::Off
                } else {
                    Self::Stopping(combining)
                }
            }
            Self::Ended { at } if is_owner && now.since(at) < PAUSE => Self::Ended { at },
            Self::Ended { .. } => Self::Off,
        };
        Ok(())
    }
}

/// What it has reported meanwhile its successor will find committed.
fn has_ended(combining: &mut Combining) -> bool {
    loop {
        match combining.next_event() {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(Ended { .. }) => return true,
        }
    }
}

fn start<B: Broker>(ctx: &mut Context<'_, B>) -> Result<CombinerSlot, Stop> {
    let request = CombinerRequest {
        settings: Arc::clone(&ctx.rules.settings),
        segments: ctx.rules.published_segments,
        partitions: ctx.membership.partitions(),
        waker: ctx.broker.waker(),
    };
    let (combining, task) = request.start();
    ctx.broker.spawn("combiner", task)?;
    Ok(CombinerSlot::Running(combining, ctx.hub.metrics.begin_combining()))
}

fn report<B: Broker>(
    ctx: &Context<'_, B>,
    combining: &mut Combining,
    gauges: &CombinerGauges,
) -> Result<(), Ended> {
    while let Some(event) = combining.next_event()? {
        let metrics = ctx.hub.metrics;
        match event {
            CombinerEvent::Incomplete(days) => gauges.set_incomplete(&days),
            CombinerEvent::Figures(day) => gauges.show(&day),
            CombinerEvent::Published { day, records } => {
                info!(day = day_text(day), records, "shop metrics published");
                let mut summary = BatchSummary::default();
                summary.output_records[Output::ShopMetrics] = records as u64;
                metrics.on_batch(&summary, ctx.broker.clocks().wall_ms);
            }
            CombinerEvent::Dropped { day } => {
                warn!(day = day_text(day), "a partition has not counted the day, so it has no shop metrics");
                metrics.on_day_dropped(day);
            }
        }
    }
    Ok(())
}
