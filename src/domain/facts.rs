//! The facts of one customer: a function of ledger, summary, clock and settings.

use super::customer::{Customer, Summary};
use super::event::{Goods, Record};
use super::ids::ShopIndex;
use super::ledger::{Attribution, Ledger, LoneRefund, Order, OrderFigures};
use super::rhythm::KeptRun;
use super::settings::{Settings, Shop};
use super::signal::{ActiveKind, CustomerType, Profile, State};
use super::time::Time;
use super::window::{Block, Blocks, YEAR, end_of, first_window};

/// The facts of one customer at one clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    pub blocks: Blocks,
    pub kept: KeptRun,
    pub deadlines: Option<Deadlines>,
    /// When something next leaves a window.
    pub next_end: Option<Time>,
    /// When something next leaves the year, which the return rate looks at.
    pub year_end: Option<Time>,
}

/// What one customer adds to the sums over customers at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    pub blocks: Blocks,
    /// When time alone changes that next: something leaves a window.
    pub next_end: Option<Time>,
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

    /// The facts as a profile.
    pub fn profile(&self, shop: ShopIndex, goods: Goods, as_of: Time, settings: &Settings) -> Profile {
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
            blocks: self.blocks,
        }
    }
}

impl Standing {
    /// The blocks as they were before `record`, which has only added an order to the ledger: cheaper than to derive them. The
    /// ledger and its attribution are those after the record, and this standing is that of the instant `at`.
    pub fn blocks_without(
        &self,
        record: &Record,
        ledger: &Ledger,
        attribution: &Attribution,
        at: Time,
    ) -> Blocks {
        let mut blocks = self.blocks;
        let Record::Order(added) = record else { unreachable!("only an order adds one") };
        let mut orders = ledger.orders.iter().zip(&attribution.orders);
        let (order, figures) = orders.find(|(order, _)| order.id == added.id).expect("it was added");
        if !order.test {
            let (block, first) = (order_block(figures), first_window(order.placed_at, at));
            blocks[0].remove(&block);
            blocks[first..].iter_mut().for_each(|window| window.remove(&block));
        }
        blocks
    }
}

impl Customer {
    /// The facts at `clock`. Leaves the attribution that they rest on in `attribution`.
    pub fn facts(
        &self,
        shop: &Shop,
        settings: &Settings,
        clock: Time,
        attribution: &mut Attribution,
    ) -> Facts {
        attribution.derive(&self.ledger, shop, settings.return_window);
        let mut account = Account::new(&self.summary, clock);
        let mut kept = self.summary.kept;
        for (order, figures) in counted_orders(&self.ledger, attribution) {
            account.add_at(order.placed_at, &order_block(figures));
            if figures.kept {
                kept.push(order.placed_at, order.id, figures.net(), shop.zone.day(order.placed_at));
            }
        }
        attribution.lone.iter().for_each(|lone| account.add_at(lone.at, &lone_block(lone)));
        let deadlines = (kept.count > 0).then(|| {
            let patience = kept.days.patience(&settings.lapse);
            Deadlines {
                at_risk: kept.last_at.plus(patience.at_risk),
                lapsed: kept.last_at.plus(patience.lapsed),
            }
        });
        let (next_end, year_end) = (account.next_end(), account.year_end());
        Facts { blocks: account.blocks(), kept, deadlines, next_end, year_end }
    }

    /// What the customer adds to sums at `at`, which may lie before the last record: all that came later is in every window.
    /// `attribution` must be that of this ledger.
    pub fn standing(&self, at: Time, attribution: &Attribution) -> Standing {
        let mut account = Account::new(&self.summary, at);
        for (order, figures) in counted_orders(&self.ledger, attribution) {
            account.add_at(order.placed_at, &order_block(figures));
        }
        attribution.lone.iter().for_each(|lone| account.add_at(lone.at, &lone_block(lone)));
        Standing { blocks: account.blocks(), next_end: account.next_end() }
    }
}

/// The orders that figures are made of, and what became of them.
fn counted_orders<'a>(
    ledger: &'a Ledger,
    attribution: &'a Attribution,
) -> impl Iterator<Item = (&'a Order, &'a OrderFigures)> {
    ledger.orders.iter().zip(&attribution.orders).filter(|(order, _)| !order.test)
}

/// Gathers what lies in the windows at one instant: entries by the smallest window that they lie in, summed up once at the end.
struct Account {
    at: Time,
    by_window: [Block; 5],
    /// The time of the oldest entry of each.
    oldest: [Time; 5],
}

impl Account {
    fn new(summary: &Summary, at: Time) -> Self {
        let mut by_window = [Block::default(); 5];
        by_window[4] = summary.block;
        Self { at, by_window, oldest: [Time::MAX; 5] }
    }

    fn add_at(&mut self, time: Time, block: &Block) {
        let first = first_window(time, self.at);
        self.by_window[first].add(block);
        self.oldest[first] = self.oldest[first].min(time);
    }

    fn blocks(&self) -> Blocks {
        let [_, month, quarter, year, older] = self.by_window;
        let mut blocks = [older, month, quarter, year];
        let (all_time, windows) = blocks.split_at_mut(1);
        windows[1].add(&month);
        windows[2].add(&quarter);
        windows[2].add(&month);
        all_time[0].add(&windows[2]);
        blocks
    }

    fn next_end(&self) -> Option<Time> {
        let in_windows = (1..=YEAR).filter(|window| self.oldest[*window] < Time::MAX);
        in_windows.map(|window| end_of(self.oldest[window], window)).min()
    }

    fn year_end(&self) -> Option<Time> {
        let oldest = self.oldest[1..=YEAR].iter().min().copied();
        oldest.filter(|time| *time < Time::MAX).map(|time| end_of(time, YEAR))
    }
}

/// What one order adds to the figures of its time.
pub fn order_block(figures: &OrderFigures) -> Block {
    Block {
        placed: 1,
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
