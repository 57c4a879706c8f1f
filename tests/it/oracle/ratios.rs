//! The signals that compare two numbers: emitted once, and again only after the ratio has re-armed.

use serde_json::{Value, json};

use super::config::Bounds;
use super::facts::{Block, mean};
use super::number::{Ratio, money_json, ratio_json};
use super::signal::Occasion;

/// Window of `return_rate_high`, in days.
pub const RETURN_RATE_DAYS: i64 = 365;

/// Whether each signal may be emitted.
#[derive(Clone, Debug)]
pub struct Armed {
    frequency_fell: bool,
    frequency_rose: bool,
    order_value_fell: bool,
    order_value_rose: bool,
    return_rate_high: bool,
}

impl Default for Armed {
    fn default() -> Armed {
        Armed {
            frequency_fell: true,
            frequency_rose: true,
            order_value_fell: true,
            order_value_rose: true,
            return_rate_high: true,
        }
    }
}

/// `frequency_*` and `order_value_*`: the last three against those before them.
pub fn check_life(armed: &mut Armed, occasion: &mut Occasion<'_>, cause: &[u8]) {
    let (view, settings) = (occasion.view, occasion.view.settings);
    let gaps: Vec<i128> = view.life.gaps.iter().map(|gap| i128::from(*gap)).collect();
    if let Some(gaps) = Change::of(&gaps, settings.earlier_min) {
        let data = || gaps.data(Ratio::to_json);
        if rises(&mut armed.frequency_fell, gaps.ratio, settings.frequency_fell) {
            occasion.say("frequency_fell", cause, data());
        }
        if sinks(&mut armed.frequency_rose, gaps.ratio, settings.frequency_rose) {
            occasion.say("frequency_rose", cause, data());
        }
    }
    let values: Vec<i128> = view.life.kept.iter().map(|order| order.net).collect();
    if let Some(values) = Change::of(&values, settings.earlier_min) {
        let data = || values.data(|mean| money_json(mean.round_half_even(), &view.shop.currency));
        if sinks(&mut armed.order_value_fell, values.ratio, settings.order_value_fell) {
            occasion.say("order_value_fell", cause, data());
        }
        if rises(&mut armed.order_value_rose, values.ratio, settings.order_value_rose) {
            occasion.say("order_value_rose", cause, data());
        }
    }
}

/// `return_rate_high`, over the last 365 days at the clock.
pub fn check_return_rate(armed: &mut Armed, occasion: &mut Occasion<'_>, cause: &[u8]) {
    let view = occasion.view;
    let block = Block::of(view.figures, Some(RETURN_RATE_DAYS), view.clock);
    if block.placed < view.settings.return_rate_orders_min {
        return;
    }
    let bounds = view.settings.return_rate;
    let refunded = Ratio::whole(block.refunded);
    let gross = Ratio::whole(block.gross);
    if armed.return_rate_high {
        if block.refunded > 0 && refunded >= bounds.fire * gross {
            let data = json!({
                "ratio": ratio_json(refunded.divided_by(gross)),
                "refunded": money_json(block.refunded, &view.shop.currency),
                "gross": money_json(block.gross, &view.shop.currency),
                "placed_orders": block.placed,
            });
            occasion.say("return_rate_high", cause, data);
            armed.return_rate_high = false;
        }
    } else if refunded < bounds.rearm * gross {
        armed.return_rate_high = true;
    }
}

struct Change {
    recent: Ratio,
    earlier: Ratio,
    ratio: Ratio,
}

impl Change {
    /// None with too few numbers, all of which are positive.
    fn of(numbers: &[i128], earlier_min: usize) -> Option<Change> {
        if numbers.len() < earlier_min + 3 {
            return None;
        }
        let (earlier, recent) = numbers.split_at(numbers.len() - 3);
        let (earlier, recent) = (mean(earlier)?, mean(recent)?);
        Some(Change { recent, earlier, ratio: recent.divided_by(earlier)? })
    }

    fn data(&self, write: impl Fn(Ratio) -> Value) -> Value {
        json!({"ratio": self.ratio.to_json(), "recent": write(self.recent), "earlier": write(self.earlier)})
    }
}

/// Fires at or above a bound, is armed again below another.
fn rises(armed: &mut bool, ratio: Ratio, bounds: Bounds) -> bool {
    let fires = *armed && ratio >= bounds.fire;
    *armed = if *armed { !fires } else { ratio < bounds.rearm };
    fires
}

/// Fires at or below a bound, is armed again above another.
fn sinks(armed: &mut bool, ratio: Ratio, bounds: Bounds) -> bool {
    let fires = *armed && ratio <= bounds.fire;
    *armed = if *armed { !fires } else { ratio > bounds.rearm };
    fires
}
