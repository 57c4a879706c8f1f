//! The facts about one customer: a function of the records, the clock and the configuration.

use serde_json::{Map, Value, json};

use super::config::{Settings, ShopSettings};
use super::figures::Figures;
use super::number::{DAY_MS, Ratio, local_day, money_json, money_mean_json, ratio_json, time_json};
use super::segments::{self, Bought, Cuts};

/// The trailing windows, in days.
pub const WINDOWS: [i64; 3] = [30, 90, 365];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Name {
    #[default]
    Prospect,
    Active,
    AtRisk,
    Lapsed,
}

impl Name {
    pub const ALL: [Name; 4] = [Name::Prospect, Name::Active, Name::AtRisk, Name::Lapsed];

    pub fn text(self) -> &'static str {
        match self {
            Name::Prospect => "prospect",
            Name::Active => "active",
            Name::AtRisk => "at_risk",
            Name::Lapsed => "lapsed",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct KeptOrder {
    pub placed_at: i64,
    pub net: i128,
}

/// The rhythm of a customer's kept orders and what silence will mean: what does not depend on the clock.
#[derive(Debug, Default)]
pub struct Life {
    /// By (time, id hash).
    pub kept: Vec<KeptOrder>,
    /// Whole days between neighbouring purchase days.
    pub gaps: Vec<i64>,
    pub purchase_days: usize,
    pub expected_gap_days: Option<Ratio>,
    deadlines: Option<Deadlines>,
}

#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    pub at_risk_at: i64,
    pub lapsed_at: i64,
}

impl Life {
    pub fn of(figures: &Figures, shop: &ShopSettings, settings: &Settings) -> Life {
        let kept = figures
            .orders
            .iter()
            .filter(|order| order.is_kept())
            .map(|order| KeptOrder { placed_at: order.placed_at, net: order.net() });
        let kept: Vec<KeptOrder> = kept.collect();
        let Some(last) = kept.last() else {
            return Life::default();
        };
        let mut days: Vec<i64> = Vec::new();
        for order in &kept {
            let day = local_day(order.placed_at, shop.time_zone);
            // Where a zone steps back over midnight a later order would have an earlier date: it counts on
            // the same.
            if days.last().is_none_or(|latest| *latest < day) {
                days.push(day);
            }
        }
        let gaps: Vec<i64> = days.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let silence = settings.lapse.silence(gaps.len(), gaps.iter().sum());
        let deadlines = Deadlines {
            at_risk_at: last.placed_at + silence.at_risk_ms,
            lapsed_at: last.placed_at + silence.lapsed_ms,
        };
        Life {
            purchase_days: days.len(),
            expected_gap_days: silence.expected_gap_days,
            deadlines: Some(deadlines),
            kept,
            gaps,
        }
    }

    pub fn name_at(&self, clock: i64) -> Name {
        match self.deadlines {
            None => Name::Prospect,
            Some(deadlines) if clock >= deadlines.lapsed_at => Name::Lapsed,
            Some(deadlines) if clock >= deadlines.at_risk_at => Name::AtRisk,
            Some(_) => Name::Active,
        }
    }

    /// The record of the registry that counts, and what the segment follows from; none without a kept order.
    pub fn segment_basis<'c>(
        &self,
        shop: &ShopSettings,
        settings: &'c Settings,
    ) -> Option<(&'c Cuts, Bought)> {
        let last_at = self.last_order_at()?;
        let cuts = segments::in_force(settings.segments.as_deref()?, shop.store_id.as_deref(), last_at)?;
        let (orders, net) = (self.kept.len() as i128, self.kept.iter().map(|order| order.net).sum());
        Some((cuts, Bought { last_at, orders, net }))
    }

    /// Of a customer with a kept order.
    pub fn deadlines(&self) -> Option<Deadlines> {
        self.deadlines
    }

    pub fn last_order_at(&self) -> Option<i64> {
        self.kept.last().map(|order| order.placed_at)
    }

    fn mean_gap_days(&self) -> Option<Ratio> {
        mean(&self.gaps.iter().map(|gap| i128::from(*gap)).collect::<Vec<i128>>())
    }

    /// Gaps of which the population coefficient of variation is at most a half.
    fn is_regular(&self) -> bool {
        let count = self.gaps.len() as i128;
        let sum: i128 = self.gaps.iter().map(|gap| i128::from(*gap)).sum();
        let squares: i128 = self.gaps.iter().map(|gap| i128::from(gap * gap)).sum();
        count >= 3 && 4 * (count * squares - sum * sum) <= sum * sum
    }

    fn customer_type(&self, goods: Option<(u64, u64)>) -> Option<&'static str> {
        let varied_or_unseen = goods.is_none_or(|(smallest, largest)| smallest != largest);
        match self.kept.len() {
            0 => None,
            1 => Some("one_time"),
            _ if self.is_regular() => Some("recurring"),
            3.. if varied_or_unseen => Some("repeat"),
            _ => Some("returning"),
        }
    }
}

pub fn mean(numbers: &[i128]) -> Option<Ratio> {
    Ratio::whole(numbers.iter().sum()).divided_by(Ratio::whole(numbers.len() as i128))
}

/// Sums over the orders and the refunds without order of a window, or of all time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Block {
    pub placed: u64,
    pub kept: u64,
    pub gross: i128,
    pub refunded: i128,
    pub cancelled: i128,
    pub unattributed: i128,
    pub excess: i128,
    pub returned_orders: u64,
}

impl Block {
    /// `window_days`: none for all time.
    pub fn of(figures: &Figures, window_days: Option<i64>, clock: i64) -> Block {
        let inside = |time: i64| match window_days {
            None => true,
            Some(days) => clock - days * DAY_MS < time && time <= clock,
        };
        let mut block = Block::default();
        for order in figures.orders.iter().filter(|order| order.is_placed() && inside(order.placed_at)) {
            block.placed += 1;
            block.kept += u64::from(order.is_kept());
            block.gross += order.value;
            block.refunded += order.refunded;
            block.cancelled += order.cancelled();
            block.excess += order.excess;
            block.returned_orders += u64::from(order.returns > 0);
        }
        for (_, refund) in figures.unattributed().filter(|(returned_at, _)| inside(*returned_at)) {
            block.refunded += refund;
            block.unattributed += refund;
        }
        block
    }

    pub fn net(&self) -> i128 {
        self.gross - self.refunded - self.cancelled
    }

    fn to_json(self, currency: &str) -> Value {
        json!({
            "placed": self.placed,
            "kept": self.kept,
            "gross": money_json(self.gross, currency),
            "refunded": money_json(self.refunded, currency),
            "cancelled": money_json(self.cancelled, currency),
            "unattributed": money_json(self.unattributed, currency),
            "net": money_json(self.net(), currency),
            "excess": money_json(self.excess, currency),
            "aov_gross": money_mean_json(self.gross, self.placed, currency),
            "aov_net": money_mean_json(self.net(), self.kept, currency),
            "came_back": self.kept > 1,
            "returned_orders": self.returned_orders,
        })
    }
}

/// The part of a profile that facts decide; the caller adds whose it is.
pub fn profile(
    figures: &Figures,
    life: &Life,
    goods: Option<(u64, u64)>,
    currency: &str,
    clock: i64,
) -> Map<String, Value> {
    let name = life.name_at(clock);
    let deadlines = life.deadlines();
    let (since, next) = match (name, deadlines) {
        (Name::Active, Some(deadlines)) => (life.last_order_at(), Some((Name::AtRisk, deadlines.at_risk_at))),
        (Name::AtRisk, Some(deadlines)) => {
            (Some(deadlines.at_risk_at), Some((Name::Lapsed, deadlines.lapsed_at)))
        }
        (Name::Lapsed, Some(deadlines)) => (Some(deadlines.lapsed_at), None),
        (Name::Prospect | Name::Active | Name::AtRisk | Name::Lapsed, _) => (None, None),
    };
    let kind = match name {
        Name::Active if life.kept.len() == 1 => Some("new"),
        Name::Active => Some("established"),
        Name::Prospect | Name::AtRisk | Name::Lapsed => None,
    };
    let windows = WINDOWS
        .iter()
        .map(|days| (format!("{days}d"), Block::of(figures, Some(*days), clock).to_json(currency)));
    let profile = json!({
        "as_of": time_json(Some(clock)),
        "currency": currency,
        "state": name.text(),
        "kind": kind,
        "since": time_json(since),
        "customer_type": life.customer_type(goods),
        "next": next.map(|(name, at)| json!({"state": name.text(), "at": time_json(Some(at))})),
        "first_order_at": time_json(life.kept.first().map(|order| order.placed_at)),
        "last_order_at": time_json(life.last_order_at()),
        "purchase_days": life.purchase_days,
        "mean_gap_days": ratio_json(life.mean_gap_days()),
        "expected_gap_days": ratio_json(life.expected_gap_days),
        "all_time": Block::of(figures, None, clock).to_json(currency),
        "windows": windows.collect::<Map<String, Value>>(),
    });
    let Value::Object(fields) = profile else { unreachable!("a profile is an object") };
    fields
}
