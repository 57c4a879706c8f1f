//! The facts of one customer: a function of ledger, summary, clock and settings.

use super::customer::{Customer, Summary};
use super::event::{Goods, Record};
use super::ids::ShopIndex;
use super::ledger::{Attribution, Ledger, LoneRefund, OrderFigures};
use super::rhythm::KeptRun;
use super::settings::{Settings, Shop};
use super::signal::{ActiveKind, CustomerType, Profile, State};
use super::time::Time;
use super::window::{Block, Blocks, first_window, next_expiry};

/// The facts of one customer at one clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    pub blocks: Blocks,
    pub kept: KeptRun,
    pub deadlines: Option<Deadlines>,
    /// When something next leaves a window.
    pub next_expiry: Option<Time>,
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

    /// The figures as they were before `record`, which has only added an order to the ledger: cheaper than to derive them. The
    /// ledger and its attribution are those after the record, and the facts those at `clock`.
    pub fn blocks_without(
        &self,
        record: &Record,
        ledger: &Ledger,
        attribution: &Attribution,
        clock: Time,
    ) -> Blocks {
        let mut blocks = self.blocks;
        let Record::Order(added) = record else { unreachable!("only an order adds one") };
        let mut orders = ledger.orders.iter().zip(&attribution.orders);
        let (order, figures) = orders.find(|(order, _)| order.id == added.id).expect("it was added");
        if !order.test {
            let (block, first) = (order_block(figures), first_window(order.placed_at, clock));
            blocks[0].remove(&block);
            blocks[first..].iter_mut().for_each(|window| window.remove(&block));
        }
        blocks
    }

    /// The figures as they were just before `instant`, at which these facts are: what leaves a window then was still in it. The
    /// ledger and its attribution are those of the facts.
    pub fn blocks_before(&self, ledger: &Ledger, attribution: &Attribution, instant: Time) -> Blocks {
        let mut blocks = self.blocks;
        let before = instant.just_before();
        let mut add_back = |time: Time, block: &dyn Fn() -> Block| {
            let (first, first_now) = (first_window(time, before), first_window(time, instant));
            for window in &mut blocks[first..first_now] {
                window.add(&block());
            }
        };
        let orders = ledger.orders.iter().zip(&attribution.orders).filter(|(order, _)| !order.test);
        orders.for_each(|(order, figures)| add_back(order.placed_at, &|| order_block(figures)));
        attribution.lone.iter().for_each(|lone| add_back(lone.at, &|| lone_block(lone)));
        blocks
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
        for (order, figures) in
            self.ledger.orders.iter().zip(&attribution.orders).filter(|(order, _)| !order.test)
        {
            account.add_at(order.placed_at, &order_block(figures));
            if figures.kept {
                account.kept.push(order.placed_at, order.id, figures.net(), shop.zone.day(order.placed_at));
            }
        }
        for lone in &attribution.lone {
            account.add_at(lone.at, &lone_block(lone));
        }
        account.close(settings)
    }
}

/// Gathers facts: entries by the smallest window that they lie in, summed up once at the end.
struct Account {
    clock: Time,
    by_window: [Block; 5],
    kept: KeptRun,
    next_expiry: Option<Time>,
}

impl Account {
    fn new(summary: &Summary, clock: Time) -> Self {
        let mut by_window = [Block::default(); 5];
        by_window[4] = summary.block;
        Self { clock, by_window, kept: summary.kept, next_expiry: None }
    }

    fn add_at(&mut self, time: Time, block: &Block) {
        let first = first_window(time, self.clock);
        self.by_window[first].add(block);
        if let Some(expiry) = next_expiry(time, first) {
            self.next_expiry = Some(self.next_expiry.map_or(expiry, |earliest| earliest.min(expiry)));
        }
    }

    fn close(self, settings: &Settings) -> Facts {
        let [_, month, quarter, year, older] = self.by_window;
        let mut blocks = [older, month, quarter, year];
        let (all_time, windows) = blocks.split_at_mut(1);
        windows[1].add(&month);
        windows[2].add(&quarter);
        windows[2].add(&month);
        all_time[0].add(&windows[2]);
        let deadlines = (self.kept.count > 0).then(|| {
            let patience = self.kept.days.patience(&settings.lapse);
            Deadlines {
                at_risk: self.kept.last_at.plus(patience.at_risk),
                lapsed: self.kept.last_at.plus(patience.lapsed),
            }
        });
        Facts { blocks, kept: self.kept, deadlines, next_expiry: self.next_expiry }
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
