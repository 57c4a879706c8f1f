//! The messages for a changelog that cannot be used.

use crate::domain::engine::restore::RestoreError;
use crate::domain::store::packed::NEWEST_SECTION;
use crate::exit::Exit;
use crate::stream::broker::BrokerError;
use crate::wire::changelog::StateError;

pub(super) fn unusable(error: &StateError) -> BrokerError {
    BrokerError::stop(Exit::Configuration, error.to_string())
}

pub(super) fn unusable_state(error: &RestoreError) -> BrokerError {
    BrokerError::stop(Exit::Configuration, why_unusable(error))
}

/// What is wrong with a customer's state, and what to do.
pub fn why_unusable(error: &RestoreError) -> String {
    match error {
        RestoreError::Corrupt => "a customer in the changelog is not readable".to_owned(),
        RestoreError::NewerSection { tag } => format!(
            "the changelog was written by a newer version of retention-signals (a customer has section {tag}; this program knows up \
             to {NEWEST_SECTION}): start that version again; docs/OPERATING.md, Upgrading, says what else can be done"
        ),
        RestoreError::UnknownShop => {
            "the changelog holds a customer of a store that is not configured: put it back under `stores`"
                .to_owned()
        }
        RestoreError::UnknownCurrency { found, shop } => format!(
            "state is kept in {found}, but the shop's currency is {shop} and there is no rate for {found}: put `shop.currency`, or the \
             store's, back as it was, or {found} under `rates`"
        ),
    }
}
