//! The facts of one customer: a function of ledger, summary, clock and settings.

use super::customer::{Customer, Summary};
use super::event::Goods;
use super::ids::{OrderHash, ShopIndex};
use super::ledger::{Attribution, Ledger, LoneRefund, Order, OrderFigures};
use super::rhythm::{KeptOrder, KeptRun};
use super::settings::{Settings, Shop};
use super::signal::{ActiveKind, CustomerType, Profile, State};
use super::time::Time;
use super::window::{Block, Blocks, WINDOWS, YEAR, end_of, first_window};

/// The facts of one customer at one clock, but for the windows within the year.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    pub all_time: Block,
    /// Of the last 365 days, which the return rate looks at.
    pub year: Block,
    /// When something next leaves the year.
    pub year_end: Option<Time>,
    pub kept: KeptRun,
    pub deadlines: Option<Deadlines>,
}

/// What lies in the windows of one customer at one instant, and so what the customer adds to the sums over customers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    pub blocks: Blocks,
    /// By window: the time of the oldest entry of which it is the smallest one.
    oldest: [Time; 4],
}

/// An order that was added to a ledger of which nothing was taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Added {
    /// What it adds to the figures of its time.
    pub block: Block,
    /// The smallest window that it lies in.
    pub first_window: usize,
}

/// When silence makes a customer at risk, and lapsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlines {
    pub at_risk: Time,
    pub lapsed: Time,
}

impl Facts {
    pub fn state(&self, clock: Time) -> State {
        match self.deadlines {
            None => State::Prospect,
            Some(deadlines) if clock >= deadlines.lapsed => State::Lapsed,
            Some(deadlines) if clock >= deadlines.at_risk => State::AtRisk,
            Some(_) => State::Active,
        }
    }

    /// The state that silence leads to from `state`, and when.
    pub fn next(&self, state: State) -> Option<(State, Time)> {
        let deadlines = self.deadlines?;
        match state {
            State::Active => Some((State::AtRisk, deadlines.at_risk)),
            State::AtRisk => Some((State::Lapsed, deadlines.lapsed)),
            State::Prospect | State::Lapsed => None,
        }
    }

    fn customer_type(&self, goods: Goods) -> Option<CustomerType> {
        let varied = match goods {
            Goods::Unknown | Goods::Varied => true,
            Goods::One(_) => false,
        };
        match self.kept.count {
            0 => None,
            1 => Some(CustomerType::OneTime),
            2.. if self.kept.days.is_regular() => Some(CustomerType::Recurring),
            3.. if varied => Some(CustomerType::Repeat),
            2.. => Some(CustomerType::Returning),
        }
    }

    /// The facts as a profile. `blocks` are those of `as_of`.
    pub fn profile(
        &self,
        shop: ShopIndex,
        goods: Goods,
        as_of: Time,
        blocks: Blocks,
        settings: &Settings,
    ) -> Profile {
        let state = self.state(as_of);
        let (is_customer, kept) = (self.kept.count > 0, &self.kept);
        let active_kind = if kept.count == 1 { ActiveKind::New } else { ActiveKind::Established };
        let since = self.deadlines.map(|deadlines| match state {
            State::Prospect | State::Active => kept.last_at,
            State::AtRisk => deadlines.at_risk,
            State::Lapsed => deadlines.lapsed,
        });
        Profile {
            shop,
            as_of,
            state,
            kind: (state == State::Active).then_some(active_kind),
            since,
            customer_type: self.customer_type(goods),
            next: self.next(state),
            first_order_at: is_customer.then_some(kept.first_at),
            last_order_at: is_customer.then_some(kept.last_at),
            purchase_days: kept.days.count,
            mean_gap: kept.days.mean_gap(),
            expected_gap: kept.days.expected_gap(&settings.lapse).filter(|_| is_customer),
            blocks,
        }
    }
}

impl Standing {
    /// Orders lie in the order of time, so those in a window are the last ones: one sum from the newest to the oldest passes all
    /// of them. `attribution` must be that of the ledger.
    fn new(summary: &Summary, ledger: &Ledger, attribution: &Attribution, at: Time) -> Self {
        let mut standing = Self { blocks: Blocks::default(), oldest: [Time::MAX; 4] };
        let mut entries = ledger.orders.iter().zip(&attribution.orders).rev().peekable();
        let mut sum = Block::default();
        for window in 1..=YEAR {
            let begin = begin_of(window, at);
            while let Some((order, figures)) =
                entries.next_if(|(order, _)| order.placed_at.as_millis() > begin)
            {
                add_order(&mut sum, figures, attribution.is_untouched);
                if figures.placed {
                    standing.oldest[window] = order.placed_at;
                }
            }
            standing.blocks[window] = sum;
        }
        for (_, figures) in entries {
            add_order(&mut sum, figures, attribution.is_untouched);
        }
        standing.blocks[0] = sum;
        standing.blocks[0].add(&summary.block);
        for lone in &attribution.lone {
            standing.add_lone(lone, at);
        }
        standing
    }

    fn add_lone(&mut self, lone: &LoneRefund, at: Time) {
        let (block, first) = (lone_block(lone), first_window(lone.at, at));
        self.blocks[0].add(&block);
        self.blocks[first..].iter_mut().for_each(|window| window.add(&block));
        if let Some(oldest) = self.oldest.get_mut(first) {
            *oldest = lone.at.min(*oldest);
        }
    }

    /// When time alone changes it next: something leaves a window.
    pub fn next_end(&self) -> Option<Time> {
        let in_windows = (1..=YEAR).filter(|window| self.oldest[*window] < Time::MAX);
        in_windows.map(|window| end_of(self.oldest[window], window)).min()
    }

    /// Whether what lies in the year is the same at `clock`, which must not be earlier.
    pub fn year_lasts_until(&self, clock: Time) -> bool {
        self.year_end().is_none_or(|end| end > clock)
    }

    /// When something next leaves the year.
    fn year_end(&self) -> Option<Time> {
        let oldest = self.oldest[1..].iter().min().copied();
        oldest.filter(|time| *time < Time::MAX).map(|time| end_of(time, YEAR))
    }

    /// The blocks as they were before an order was added: cheaper than to derive them.
    pub fn blocks_without(&self, added: &Added) -> Blocks {
        let mut blocks = self.blocks;
        blocks[0].remove(&added.block);
        blocks[added.first_window..].iter_mut().for_each(|window| window.remove(&added.block));
        blocks
    }
}

/// Of the oldest orders of a ledger those that count for the rhythm. `attribution` must be that of the ledger.
pub fn kept_orders(
    orders: &[Order],
    attribution: &Attribution,
) -> impl DoubleEndedIterator<Item = KeptOrder> + Clone {
    let kept = orders.iter().zip(&attribution.orders).filter(|(_, figures)| figures.kept);
    kept.map(|(order, figures)| KeptOrder { placed_at: order.placed_at, id: order.id, net: figures.net() })
}

/// Of what lies in a window at `at` this is just before the earliest time, in milliseconds.
fn begin_of(window: usize, at: Time) -> i64 {
    at.as_millis() - WINDOWS[window - 1].1.as_millis()
}

impl Customer {
    /// The facts at the instant of `standing`, or at any later one for which its year lasts. `attribution` must be that of this
    /// ledger.
    pub fn facts(
        &self,
        shop: &Shop,
        settings: &Settings,
        standing: &Standing,
        attribution: &Attribution,
    ) -> Facts {
        let mut facts = Facts {
            all_time: standing.blocks[0],
            year: standing.blocks[YEAR],
            year_end: standing.year_end(),
            kept: self.summary.kept,
            deadlines: None,
        };
        facts.kept.extend(kept_orders(&self.ledger.orders, attribution), &shop.zone);
        if facts.kept.count > 0 {
            let patience = facts.kept.days.patience(&settings.lapse);
            let last_at = facts.kept.last_at;
            facts.deadlines = Some(Deadlines {
                at_risk: last_at.plus(patience.at_risk),
                lapsed: last_at.plus(patience.lapsed),
            });
        }
        facts
    }

    /// What the customer adds to sums at `at`, which may lie before the last record: all that came later is in every window.
    /// `attribution` must be that of this ledger.
    pub fn standing(&self, at: Time, attribution: &Attribution) -> Standing {
        Standing::new(&self.summary, &self.ledger, attribution, at)
    }

    /// What an order that was just added adds to sums at `at`. `attribution` must be that of this ledger.
    pub fn added(&self, id: OrderHash, at: Time, attribution: &Attribution) -> Added {
        // From the end, where orders are added.
        let index = self.ledger.orders.iter().rposition(|order| order.id == id).expect("it was added");
        let first_window = first_window(self.ledger.orders[index].placed_at, at);
        Added { block: order_block(&attribution.orders[index]), first_window }
    }
}

/// Adds one order to the figures of its time.
fn add_order(sum: &mut Block, figures: &OrderFigures, is_untouched: bool) {
    if is_untouched {
        // The usual case: all else is zero.
        sum.placed += u32::from(figures.placed);
        sum.kept += u32::from(figures.kept);
        sum.gross += figures.value;
    } else {
        sum.add(&order_block(figures));
    }
}

/// What one order adds to the figures of its time.
pub fn order_block(figures: &OrderFigures) -> Block {
    Block {
        placed: u32::from(figures.placed),
        kept: u32::from(figures.kept),
        returned_orders: u32::from(figures.returned),
        gross: figures.value,
        refunded: figures.refunded,
        cancelled: figures.cancelled,
        unattributed: 0,
        excess: figures.excess,
    }
}

/// What a refund without an order adds to the figures of its time.
pub fn lone_block(lone: &LoneRefund) -> Block {
    Block { refunded: lone.amount, unattributed: lone.amount, ..Block::default() }
}
