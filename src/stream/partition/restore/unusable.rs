//! What a person is told when the changelog cannot be used.

use crate::domain::engine::restore::RestoreError;
use crate::exit::Exit;
use crate::stream::broker::BrokerError;
use crate::wire::changelog::StateError;

pub(super) fn unusable(error: &StateError) -> BrokerError {
    BrokerError::stop(Exit::Configuration, error.to_string())
}

pub(super) fn unusable_state(error: &RestoreError) -> BrokerError {
    let message = match error {
        RestoreError::Corrupt => "a customer in the changelog is not readable",
        RestoreError::UnknownShop => {
            "the changelog holds a customer of a store that is not configured: put it back under `stores`"
        }
        RestoreError::UnknownCurrency => {
            "the changelog holds an amount in a currency without a rate: put it back under `rates`"
        }
    };
    BrokerError::stop(Exit::Configuration, message)
}
