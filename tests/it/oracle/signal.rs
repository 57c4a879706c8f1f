//! The emitted state of a customer, and the signals that are emitted when facts differ from it.

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::config::{Settings, ShopSettings};
use super::facts::{Block, KeptOrder, Life, Name};
use super::figures::Figures;
use super::number::{days_json, money_json, ratio_json, time_json};
use super::ratios::{self, Armed};
use super::record::{Body, Record, Return};
use super::segments::Segment;

#[derive(Clone, Debug, Default)]
pub struct Told {
    pub name: Name,
    first_order: bool,
    second_order: bool,
    at_risk: Option<Standing>,
    lapsed: Option<Standing>,
    armed: Armed,
    pub segment: Option<&'static str>,
    /// How many tiers the customer has reached.
    pub tier: usize,
}

/// An `at_risk` or `lapsed` signal that was emitted and not retracted.
#[derive(Clone, Copy, Debug)]
struct Standing {
    deadline: i64,
    id: u128,
}

/// A customer as the facts have it.
pub struct View<'a> {
    pub key: &'a str,
    pub customer_id: &'a str,
    pub settings: &'a Settings,
    pub shop: &'a ShopSettings,
    pub figures: &'a Figures,
    pub life: &'a Life,
    pub clock: i64,
}

/// The common cause of signals that are emitted together, and their common fields.
pub struct Occasion<'a> {
    pub view: &'a View<'a>,
    store_id: Option<&'a str>,
    occurred_at: i64,
    cause: Value,
    before: Name,
    after: Name,
    pub said: Vec<Value>,
}

impl<'a> Occasion<'a> {
    fn by_record(view: &'a View<'a>, record: &'a Record, before: Name) -> Occasion<'a> {
        let (kind, id, version) = match &record.body {
            Body::Order(order) => ("order", &order.id, Some(order.version)),
            Body::Cancellation(gone) => ("cancellation", &gone.order_id, None),
            Body::Return(goods) => ("return", &goods.id, None),
            Body::Erasure => unreachable!("an erasure causes no signal"),
        };
        Occasion {
            view,
            store_id: record.store_id.as_deref(),
            occurred_at: record.time,
            cause: json!({"kind": kind, "id": id, "version": version, "at": time_json(Some(record.time))}),
            before,
            after: view.life.name_at(view.clock),
            said: Vec::new(),
        }
    }

    fn by_clock(view: &'a View<'a>, kind: &str, before: Name) -> Occasion<'a> {
        let at = time_json(Some(view.clock));
        Occasion {
            view,
            store_id: view.shop.store_id.as_deref(),
            occurred_at: view.clock,
            cause: json!({"kind": kind, "id": null, "version": null, "at": at}),
            before,
            after: view.life.name_at(view.clock),
            said: Vec::new(),
        }
    }

    /// Says one signal and gives its id.
    pub fn say(&mut self, name: &str, cause: &[u8], data: Value) -> u128 {
        let mut bytes = Vec::new();
        for part in [self.view.key.as_bytes(), name.as_bytes(), cause] {
            bytes.extend((part.len() as u32).to_le_bytes());
            bytes.extend(part);
        }
        let id = xxh3_128(&bytes);
        self.said.push(json!({
            "id": hex(id),
            "type": name,
            "customer_id": self.view.customer_id,
            "store_id": self.store_id,
            "occurred_at": time_json(Some(self.occurred_at)),
            "state": {"before": self.before.text(), "after": self.after.text()},
            "policy": {"name": self.view.settings.lapse.name(), "version": self.view.settings.policy_version},
            "cause": self.cause,
            "data": data,
        }));
        id
    }

    fn say_silence(&mut self, name: Name, deadline: i64, cause: &[u8]) -> Standing {
        let last_order_at = self.view.life.last_order_at().expect("silence follows a kept order");
        let data = json!({
            "deadline": time_json(Some(deadline)),
            "last_order_at": time_json(Some(last_order_at)),
            "silence_days": days_json(deadline - last_order_at),
            "expected_gap_days": ratio_json(self.view.life.expected_gap_days),
        });
        Standing { deadline, id: self.say(name.text(), cause, data) }
    }
}

impl Told {
    /// Compares the emitted state with the facts after a record that changed the ledger. `first`: of its
    /// identity; `cancelled`: emit `order_cancelled` for its order.
    pub fn hear_record(
        &mut self,
        view: &View<'_>,
        record: &Record,
        first: bool,
        cancelled: bool,
    ) -> Vec<Value> {
        let mut occasion = Occasion::by_record(view, record, self.name);
        let digest = record.digest();
        match &record.body {
            Body::Order(order) if cancelled => say_cancelled(&mut occasion, &order.id, order.id_hash),
            Body::Cancellation(gone) if cancelled => {
                say_cancelled(&mut occasion, &gone.order_id, gone.order_hash);
            }
            Body::Return(goods) if first => say_returned(&mut occasion, goods),
            Body::Order(_) | Body::Cancellation(_) | Body::Return(_) | Body::Erasure => {}
        }
        match occasion.after {
            Name::Prospect => {
                if self.name != Name::Prospect {
                    occasion.say("became_prospect", &tagged(b'r', &digest.to_le_bytes()), json!({}));
                    *self = Told::default();
                }
            }
            Name::Active | Name::AtRisk | Name::Lapsed => {
                self.say_orders(&mut occasion, digest);
                self.say_return_to_life(&mut occasion, digest);
                self.say_new_silence(&mut occasion, digest);
            }
        }
        self.name = occasion.after;
        let cause = tagged(b'r', &digest.to_le_bytes());
        ratios::check_life(&mut self.armed, &mut occasion, &cause);
        ratios::check_return_rate(&mut self.armed, &mut occasion, &cause);
        let first_order = occasion.said.iter().any(|signal| signal["type"] == "first_order");
        self.say_segment(&mut occasion, first_order, &cause);
        self.say_tier(&mut occasion, &cause);
        occasion.said
    }

    /// The clock stands at an instant at which silence may lead to another segment.
    pub fn hear_boundary(&mut self, view: &View<'_>) -> Vec<Value> {
        let mut occasion = Occasion::by_clock(view, "boundary", self.name);
        let cause = tagged(b'd', &view.clock.to_le_bytes());
        self.say_segment(&mut occasion, false, &cause);
        occasion.said
    }

    /// The clock stands at a lifecycle deadline.
    pub fn hear_deadline(&mut self, view: &View<'_>) -> Vec<Value> {
        let mut occasion = Occasion::by_clock(view, "deadline", self.name);
        let cause = tagged(b'd', &view.clock.to_le_bytes());
        let standing = occasion.say_silence(occasion.after, view.clock, &cause);
        self.stand(occasion.after, standing);
        self.name = occasion.after;
        occasion.said
    }

    /// The clock stands at an instant at which something leaves a window.
    pub fn hear_expiry(&mut self, view: &View<'_>) -> Vec<Value> {
        let mut occasion = Occasion::by_clock(view, "expiry", self.name);
        let cause = tagged(b'e', &view.clock.to_le_bytes());
        ratios::check_return_rate(&mut self.armed, &mut occasion, &cause);
        self.say_tier(&mut occasion, &cause);
        occasion.said
    }

    /// Another tier is said, unless the customer has no kept order any more.
    fn say_tier(&mut self, occasion: &mut Occasion<'_>, cause: &[u8]) {
        let view = occasion.view;
        let Some(tiers) = &view.settings.tiers else { return };
        if view.life.kept.is_empty() {
            self.tier = 0;
            return;
        }
        let before = self.tier;
        self.tier = tiers.reached(before, view.figures, view.shop, view.clock);
        if self.tier != before {
            let net = money_json(tiers.net(view.figures, view.clock), &view.shop.currency);
            let data = json!({"before": tiers.name(before), "after": tiers.name(self.tier), "net": net});
            occasion.say("tier_changed", cause, data);
        }
    }

    /// Another name is said, a first one only together with the first order.
    fn say_segment(&mut self, occasion: &mut Occasion<'_>, first_order: bool, cause: &[u8]) {
        let view = occasion.view;
        let basis = view.life.segment_basis(view.shop, view.settings);
        let segment = basis.map(|(cuts, bought)| (Segment::of(cuts, bought, view.clock), bought.last_at));
        let name = segment.as_ref().map(|(segment, _)| segment.name);
        let is_new = name != self.segment && (self.segment.is_some() || first_order);
        if let Some((segment, last_at)) = segment
            && is_new
        {
            let data = segment.change(self.segment, days_json(view.clock - last_at));
            occasion.say("segment_changed", cause, data);
        }
        self.segment = name;
    }

    fn say_orders(&mut self, occasion: &mut Occasion<'_>, digest: u64) {
        let cause = tagged(b'r', &digest.to_le_bytes());
        let kept = &occasion.view.life.kept;
        let currency = &occasion.view.shop.currency;
        let worth =
            |order: &KeptOrder| json!({"value": money_json(order.net, currency), "currency": currency});
        if !self.first_order {
            occasion.say("first_order", &cause, worth(&kept[0]));
            self.first_order = true;
        }
        if kept.len() >= 2 && !self.second_order {
            occasion.say("second_order", &cause, worth(&kept[1]));
            self.second_order = true;
        }
    }

    /// Lapsed or at risk no more: by an order, or because the signal should not have been emitted.
    fn say_return_to_life(&mut self, occasion: &mut Occasion<'_>, digest: u64) {
        let kept = &occasion.view.life.kept;
        let last_at = kept[kept.len() - 1].placed_at;
        let days_away = match kept.len() {
            1 => Value::Null,
            count => days_json(last_at - kept[count - 2].placed_at),
        };
        let data = json!({"days_away": days_away});
        let by_record = tagged(b'r', &digest.to_le_bytes());
        if self.name == Name::Lapsed && occasion.after != Name::Lapsed {
            let lapsed = self.lapsed.take().expect("a told lapse stands");
            if last_at >= lapsed.deadline {
                occasion.say("won_back", &by_record, data.clone());
                self.at_risk = None;
            } else {
                say_retracted(occasion, lapsed, Name::Lapsed, digest);
            }
        }
        if occasion.after == Name::Active
            && let Some(at_risk) = self.at_risk.take()
        {
            if last_at >= at_risk.deadline {
                occasion.say("recovered", &by_record, data);
            } else {
                say_retracted(occasion, at_risk, Name::AtRisk, digest);
            }
        }
    }

    fn say_new_silence(&mut self, occasion: &mut Occasion<'_>, digest: u64) {
        let deadlines = occasion.view.life.deadlines().expect("there is a kept order");
        let deadline = match occasion.after {
            Name::AtRisk => deadlines.at_risk_at,
            Name::Lapsed => deadlines.lapsed_at,
            Name::Prospect | Name::Active => return,
        };
        if occasion.after != self.name {
            let cause = tagged(b'q', &[deadline.to_le_bytes(), digest.to_le_bytes()].concat());
            let standing = occasion.say_silence(occasion.after, deadline, &cause);
            self.stand(occasion.after, standing);
        }
    }

    fn stand(&mut self, name: Name, standing: Standing) {
        match name {
            Name::AtRisk => self.at_risk = Some(standing),
            Name::Lapsed => self.lapsed = Some(standing),
            Name::Prospect | Name::Active => unreachable!("only silence stands"),
        }
    }
}

/// `order_cancelled`, with what is known now.
fn say_cancelled(occasion: &mut Occasion<'_>, order_id: &str, order_hash: u64) {
    let (view, currency) = (occasion.view, &occasion.view.shop.currency);
    let order = view.figures.order((order_hash, 0));
    let data = json!({
        "value": order.map(|order| money_json(order.cancelled(), currency)),
        "net": money_json(Block::of(view.figures, None, view.clock).net(), currency),
        "order_id": order_id,
    });
    occasion.say("order_cancelled", &tagged(b'o', &order_hash.to_le_bytes()), data);
}

/// `order_returned`, with what is known now; nothing of a return that touches a test order.
fn say_returned(occasion: &mut Occasion<'_>, goods: &Return) {
    let (view, currency) = (occasion.view, &occasion.view.shop.currency);
    let own = view.figures.goods_returned((goods.id_hash, 0)).expect("the return is in the ledger");
    if own.ignored {
        return;
    }
    let order = own.order.and_then(|identity| view.figures.order(identity));
    let data = json!({
        "refund": money_json(view.shop.convert(goods.refund, &goods.currency), currency),
        "order_id": goods.order.as_ref().map(|named| &named.id),
        "order_placed_at": time_json(order.map(|order| order.placed_at)),
        "order_kept": order.map(|order| order.is_kept()),
        "days_since_order": order.map(|order| days_json(goods.returned_at - order.placed_at)),
    });
    occasion.say("order_returned", &tagged(b'u', &goods.id_hash.to_le_bytes()), data);
}

fn say_retracted(occasion: &mut Occasion<'_>, standing: Standing, name: Name, digest: u64) {
    let cause = tagged(b'x', &[&standing.id.to_be_bytes()[..], &digest.to_le_bytes()[..]].concat());
    let data = json!({"retracts": hex(standing.id), "retracted_type": name.text()});
    occasion.say("lapse_retracted", &cause, data);
}

fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag][..], bytes].concat()
}

fn hex(id: u128) -> String {
    format!("{id:032x}")
}
