//! Points and tiers, from kept orders and from the net value of a year.

use super::config::ShopSettings;
use super::facts::Block;
use super::figures::Figures;
use super::number::{Ratio, currency_digits, ten_to};
use super::ratios::RETURN_RATE_DAYS;

/// What a point is earned by; numbers are decimal strings.
#[derive(Clone, Debug)]
pub enum Points {
    PerOrder { factor: i128 },
    PerAmount { amount: String, factor: i128 },
}

/// Tiers from the lowest on, each with the amount from which on it is reached, and the share of it that keeps it.
#[derive(Clone, Debug)]
pub struct Tiers {
    pub amounts: Vec<(String, String)>,
    pub keep: String,
}

impl Points {
    /// Of kept orders that are worth this in minor units.
    pub fn of(&self, orders: usize, net: i128, currency: &str) -> i128 {
        match self {
            Points::PerOrder { factor } => orders as i128 * factor,
            Points::PerAmount { amount, factor } => {
                let units = Ratio::new(net, ten_to(currency_digits(currency)));
                units.divided_by(Ratio::from_decimal(amount)).expect("above zero").floor() * factor
            }
        }
    }
}

impl Tiers {
    /// How many tiers a customer has reached who had reached `before`: one more for each amount that is reached, one less for each whose
    /// share is not.
    pub fn reached(&self, before: usize, figures: &Figures, shop: &ShopSettings, clock: i64) -> usize {
        let net = self.net(figures, clock);
        let has = |amount: &str, share: Ratio| {
            let units = Ratio::new(net, ten_to(currency_digits(&shop.currency)));
            units >= Ratio::from_decimal(amount) * share
        };
        let up = self.amounts.iter().filter(|(_, amount)| has(amount, Ratio::whole(1))).count();
        let kept = self.amounts[..before]
            .iter()
            .filter(|(_, amount)| has(amount, Ratio::from_decimal(&self.keep)))
            .count();
        up.max(kept)
    }

    /// Of the last 365 days, in minor units.
    pub fn net(&self, figures: &Figures, clock: i64) -> i128 {
        Block::of(figures, Some(RETURN_RATE_DAYS), clock).net()
    }

    /// The name of the highest of so many.
    pub fn name(&self, reached: usize) -> Option<&str> {
        reached.checked_sub(1).map(|index| self.amounts[index].0.as_str())
    }
}
