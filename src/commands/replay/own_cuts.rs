//! Cut points that a replay computes itself, where the registry holds none: as the daily count of a service does, at midnights (UTC).

use std::sync::Arc;

use crate::config::{Config, SegmentSettings};
use crate::domain::engine::Engine;
use crate::domain::engine::as_of::AsOf;
use crate::domain::segments::published::PublishedCuts;
use crate::domain::settings::Settings;
use crate::domain::signals::signal::State;
use crate::domain::values::ids::ShopIndex;
use crate::domain::values::time::Time;
use crate::stream::combiner::cuts::{due_record, is_refreshed};

/// See the module.
pub(crate) struct OwnCuts {
    rules: SegmentSettings,
    settings: Arc<Settings>,
    published: Vec<PublishedCuts>,
    /// By shop.
    has_first: Vec<bool>,
}

impl OwnCuts {
    /// None without segments, and where the registry holds cut points.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let rules = config.segments?;
        let is_given = config.settings.segments.as_ref().is_some_and(|cuts| !cuts.is_empty());
        (!is_given).then(|| Self {
            rules,
            settings: Arc::new(config.settings.clone()),
            published: Vec::new(),
            has_first: vec![false; config.settings.shops.len()],
        })
    }

    /// How many were computed.
    pub(crate) fn count(&self) -> usize {
        self.published.len()
    }

    /// The clock stands at a midnight, and all that happened before is applied.
    pub(crate) fn midnight(&mut self, engine: &mut Engine, at: Time) {
        let is_refresh = is_refreshed(self.rules.refresh, at);
        let lacks_first = |shop: ShopIndex| {
            let figures = engine.settled_figures(shop);
            let states = [State::Active, State::AtRisk, State::Lapsed];
            !self.has_first[usize::from(shop.0)]
                && states.iter().any(|state| figures.customers_of(*state) > 0)
        };
        if !is_refresh && !self.settings.shops.indexes().any(lacks_first) {
            return;
        }
        let counts = engine.counted(AsOf::midnight(at), 0);
        let known = self.published.len();
        for (shop, count) in self.settings.shops.indexes().zip(&counts) {
            let has_first = &mut self.has_first[usize::from(shop.0)];
            let record = due_record(&self.rules, &self.settings, shop, count, *has_first);
            *has_first |= record.is_some();
            let for_shop = self.settings.shops.store_id(shop).map(|_| shop);
            self.published.extend(record.map(|record| record.published(for_shop).expect("computed here")));
        }
        if self.published.len() > known {
            self.settings = Arc::new(self.settings.with_cuts(&self.published));
            engine.use_settings(Arc::clone(&self.settings));
            engine.reschedule(usize::MAX);
        }
    }
}
