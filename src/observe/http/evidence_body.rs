//! The part of `?explain` that names the records of a customer one by one, and what the clock will bring.

use std::collections::BTreeMap;

use serde::Serialize;

use super::status_body::instant;
use crate::domain::engine::evidence::{
    Evidence, JudgedBy, OrderEvidence, OrderStanding, ReturnEvidence, ReturnStanding, Upcoming,
};
use crate::domain::engine::tier_evidence::TierEvidence;
use crate::domain::values::money::{Currency, ShopAmount};
use crate::domain::values::time::Time;
use crate::wire::encode::money_text;

/// Ids of orders and returns by their hash, where they are known; the service keeps hashes only.
pub type Names = BTreeMap<u64, String>;

#[derive(Serialize)]
pub(super) struct RecordsBody {
    currency: String,
    orders: Vec<OrderBody>,
    returns: Vec<ReturnBody>,
    waiting_cancellations: Vec<CancellationBody>,
}

#[derive(Serialize)]
struct OrderBody {
    id: String,
    placed_at: String,
    version: u64,
    value: String,
    refunded: String,
    cancelled: String,
    net: String,
    counts: &'static str,
}

#[derive(Serialize)]
struct ReturnBody {
    id: String,
    returned_at: String,
    refund: String,
    order: Option<String>,
    counts: &'static str,
}

#[derive(Serialize)]
struct CancellationBody {
    order: String,
    cancelled_at: String,
}

#[derive(Serialize)]
pub(super) struct JudgedByBody {
    version: String,
    effective_at: String,
    of_new_customer: f64,
}

#[derive(Serialize)]
pub(super) struct UpcomingBody {
    at: String,
    signals: Vec<&'static str>,
    rules: Vec<UpcomingRuleBody>,
    state: &'static str,
}

#[derive(Serialize)]
pub(super) struct TierBody {
    name: Option<String>,
    net: String,
    kept_from: Option<String>,
    next: Option<NextTierBody>,
    change: Option<TierChangeBody>,
}

#[derive(Serialize)]
struct NextTierBody {
    name: String,
    from: String,
}

#[derive(Serialize)]
struct TierChangeBody {
    at: String,
    to: Option<String>,
}

#[derive(Serialize)]
struct UpcomingRuleBody {
    rule: String,
    action: &'static str,
}

pub(super) fn records(evidence: &Evidence, names: &Names) -> RecordsBody {
    let texts = Texts { currency: evidence.currency, names };
    let waiting = evidence.waiting_cancellations.iter();
    RecordsBody {
        currency: evidence.currency.to_string(),
        orders: evidence.orders.iter().map(|order| texts.order(order)).collect(),
        returns: evidence.returns.iter().map(|returned| texts.returned(returned)).collect(),
        waiting_cancellations: waiting
            .map(|(order, at)| CancellationBody { order: texts.id(order.0), cancelled_at: time(*at) })
            .collect(),
    }
}

pub(super) fn judged_by(judged_by: &JudgedBy) -> JudgedByBody {
    let JudgedBy { version, effective_at, of_new_customer } = judged_by;
    JudgedByBody {
        version: version.to_string(),
        effective_at: time(*effective_at),
        of_new_customer: of_new_customer.scaled_half_even(10_000) as f64 / 10_000.0,
    }
}

pub(super) fn upcoming(upcoming: &Upcoming) -> UpcomingBody {
    let Upcoming { at, signals, rules, state } = upcoming;
    let rules =
        rules.iter().map(|(rule, action)| UpcomingRuleBody { rule: rule.to_string(), action: action.name() });
    UpcomingBody { at: time(*at), signals: signals.clone(), rules: rules.collect(), state: state.name() }
}

pub(super) fn tier(tier: &TierEvidence, currency: Currency) -> TierBody {
    let TierEvidence { name, net, kept_from, next, change } = tier;
    let amount = |amount: ShopAmount| money_text(amount.minor(), currency);
    TierBody {
        name: name.as_deref().map(str::to_owned),
        net: amount(*net),
        kept_from: kept_from.map(amount),
        next: next
            .as_ref()
            .map(|(name, from)| NextTierBody { name: (**name).to_owned(), from: amount(*from) }),
        change: change
            .as_ref()
            .map(|(at, to)| TierChangeBody { at: time(*at), to: to.as_deref().map(str::to_owned) }),
    }
}

/// How ids and amounts are written.
struct Texts<'n> {
    currency: Currency,
    names: &'n Names,
}

impl Texts<'_> {
    fn id(&self, hash: u64) -> String {
        self.names.get(&hash).cloned().unwrap_or_else(|| format!("{hash:016x}"))
    }

    fn amount(&self, amount: ShopAmount) -> String {
        money_text(amount.minor(), self.currency)
    }

    fn order(&self, order: &OrderEvidence) -> OrderBody {
        let OrderEvidence { id, placed_at, version, value, refunded, cancelled, net, standing } = *order;
        OrderBody {
            id: self.id(id.0),
            placed_at: time(placed_at),
            version,
            value: self.amount(value),
            refunded: self.amount(refunded),
            cancelled: self.amount(cancelled),
            net: self.amount(net),
            counts: match standing {
                OrderStanding::Kept => "kept",
                OrderStanding::Test => "test",
                OrderStanding::Cancelled => "cancelled",
                OrderStanding::Returned => "returned",
                OrderStanding::WithoutValue => "without_value",
            },
        }
    }

    fn returned(&self, returned: &ReturnEvidence) -> ReturnBody {
        let ReturnEvidence { id, returned_at, refund, named, standing } = *returned;
        let (order, counts) = match standing {
            ReturnStanding::NamedOrder => (named, "named_order"),
            ReturnStanding::FittingOrder(order) => (Some(order), "fitting_order"),
            ReturnStanding::NamedOrderMissing => (named, "named_order_missing"),
            ReturnStanding::NoOrder => (None, "no_order"),
            ReturnStanding::TestOrder => (named, "test_order"),
        };
        ReturnBody {
            id: self.id(id.0),
            returned_at: time(returned_at),
            refund: self.amount(refund),
            order: order.map(|order| self.id(order.0)),
            counts,
        }
    }
}

fn time(time: Time) -> String {
    instant(time.as_millis())
}
