//! What the domain is configured with, already validated.

use std::sync::Arc;

use super::lapse::model::Model;
use super::lapse::{Cadence, LapsePolicies, LapsePolicy};
use super::rules::firing::Rulebook;
use super::rules::points::Points;
use super::rules::tiers::Tiers;
use super::segments::published::{CutsInForce, PublishedCuts};
use super::signals::ratio_signal::Thresholds;
use super::values::ids::ShopIndex;
use super::values::money::{Conversion, Currency, SentAmount, ShopAmount};
use super::values::time::{Span, Time, Zone};

/// Everything that facts and signals depend on beside the records and the clock.
#[derive(Clone)]
pub struct Settings {
    pub shops: Shops,
    /// R: how far apart an order and a return or cancellation of it may be.
    pub return_window: Span,
    /// L: how far behind the clock a record may come.
    pub lateness: Span,
    /// Orders (and returns) a customer's ledger holds at most; older ones fold early.
    pub orders_max: usize,
    pub lapse: LapsePolicies,
    /// The cut points of segments; none: there are no segments.
    pub segments: Option<Arc<CutsInForce>>,
    pub thresholds: Thresholds,
    /// The rules; none: there are no rules.
    pub rules: Option<Arc<Rulebook>>,
    /// None: there are no points.
    pub points: Option<Points>,
    /// None: there are no tiers.
    pub tiers: Option<Arc<Tiers>>,
    /// XXH3-64; injected because the domain depends on nothing.
    pub hash: fn(&[u8]) -> u64,
    /// Keyed hash (BLAKE3) of a customer key for erasure markers.
    pub erasure_hash: ErasureHash,
    /// The hash from before a secret was configured: its markers still hold. None without a secret.
    pub former_erasure_hash: Option<ErasureHash>,
}

impl Settings {
    /// The documented defaults around these shops.
    pub fn with_defaults(shops: Shops, hash: fn(&[u8]) -> u64, erasure_hash: ErasureHash) -> Self {
        Self {
            shops,
            return_window: Span::days(365),
            lateness: Span::days(35),
            orders_max: 1_000,
            lapse: LapsePolicies::new(LapsePolicy::Cadence(Cadence::default()), hash),
            segments: None,
            thresholds: Thresholds::default(),
            rules: None,
            points: None,
            tiers: None,
            hash,
            erasure_hash,
            former_erasure_hash: None,
        }
    }

    /// The same settings with these records of the registry. Only the policy `model` uses models, and only segments use cut points.
    pub fn with_registry(&self, models: Vec<Model>, cuts: &[PublishedCuts]) -> Self {
        Self { lapse: self.lapse.with_models(models), ..self.with_cuts(cuts) }
    }

    /// The same settings with these cut points.
    pub fn with_cuts(&self, cuts: &[PublishedCuts]) -> Self {
        let segments = self.segments.as_ref().map(|_| Arc::new(CutsInForce::new(cuts)));
        Self { segments, ..self.clone() }
    }

    /// Whether the same records of the registry count for every silence that has begun by `clock`.
    pub fn judges_same_until(&self, other: &Self, clock: Time) -> bool {
        let are_same_cuts = match (&self.segments, &other.segments) {
            (Some(mine), Some(theirs)) => mine.are_same_until(theirs, clock),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        are_same_cuts && self.lapse.models_are_same_until(&other.lapse, clock)
    }

    /// R + L: what is older than this before the clock can no longer change.
    pub fn ledger_horizon(&self) -> Span {
        self.return_window.plus(self.lateness)
    }
}

/// A keyed hash of a customer key under the erasure secret.
pub type ErasureHash = Arc<dyn Fn(&[u8]) -> [u8; 16] + Send + Sync>;

/// The shops whose records come in.
#[derive(Clone, Debug)]
pub enum Shops {
    /// The customer key is the customer id.
    One(Shop),
    /// The customer key is `store_id/customer_id`, split at the first `/`. Sorted by id.
    ByStore(Vec<(Box<str>, Shop)>),
}

impl Shops {
    /// The shop of a customer key; `None` if the key names a store that is not configured.
    pub fn of_key(&self, key: &[u8]) -> Option<ShopIndex> {
        match self {
            Self::One(_) => Some(ShopIndex(0)),
            Self::ByStore(stores) => {
                let end = key.iter().position(|byte| *byte == b'/')?;
                let index = stores.binary_search_by(|(id, _)| id.as_bytes().cmp(&key[..end])).ok()?;
                Some(ShopIndex(u16::try_from(index).expect("configuration bounds the number of stores")))
            }
        }
    }

    /// The currency of this code with its digits: as ISO 4217 has it, or as one of the shops does.
    pub fn with_digits(&self, currency: Currency) -> Option<Currency> {
        if currency.has_digits() {
            return Some(currency);
        }
        self.indexes().find_map(|index| self.get(index).accepted(currency))
    }

    pub fn get(&self, index: ShopIndex) -> &Shop {
        match self {
            Self::One(shop) => shop,
            Self::ByStore(stores) => &stores[usize::from(index.0)].1,
        }
    }

    /// The id of a store; `None` when there is only one shop and keys name none.
    pub fn store_id(&self, index: ShopIndex) -> Option<&str> {
        match self {
            Self::One(_) => None,
            Self::ByStore(stores) => Some(&stores[usize::from(index.0)].0),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::ByStore(stores) => stores.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every shop's index, in order.
    pub fn indexes(&self) -> impl Iterator<Item = ShopIndex> + use<> {
        (0..self.len())
            .map(|index| ShopIndex(u16::try_from(index).expect("configuration bounds the number of stores")))
    }
}

/// One shop's currency, calendar and rates.
#[derive(Clone, Debug)]
pub struct Shop {
    pub currency: Currency,
    /// Decides on which calendar date an order lies.
    pub zone: Zone,
    /// Other currencies that are accepted. Sorted by currency.
    pub conversions: Vec<Conversion>,
}

impl Shop {
    /// A shop that takes its own currency only, with the calendar of UTC.
    pub fn in_currency(currency: Currency) -> Self {
        Self { currency, zone: Zone::utc(), conversions: Vec::new() }
    }

    /// Whether amounts of this currency can be counted here.
    pub fn accepts(&self, currency: Currency) -> bool {
        self.accepted(currency).is_some()
    }

    /// The currency of this code with its digits, if its amounts can be counted here.
    pub fn accepted(&self, currency: Currency) -> Option<Currency> {
        if currency == self.currency {
            return Some(self.currency);
        }
        self.conversion(currency).map(|conversion| conversion.from)
    }

    /// An accepted amount in the shop's own minor units, rounded half even once.
    pub fn convert(&self, sent: SentAmount, currency: Currency) -> ShopAmount {
        if currency == self.currency {
            return ShopAmount(sent.minor());
        }
        self.conversion(currency).expect("only accepted currencies enter the domain").convert(sent)
    }

    fn conversion(&self, currency: Currency) -> Option<&Conversion> {
        let index = self.conversions.binary_search_by_key(&currency, |conversion| conversion.from).ok()?;
        Some(&self.conversions[index])
    }
}
