//! Records of the changelog into the state that is being restored.

use crate::domain::values::ids::CustomerKey;
use crate::stream::broker::{BrokerError, RecordBatch};
use crate::wire::changelog::{self, StateRecord};

use super::unusable::{unusable, unusable_state};
use super::{Work, local};

impl Work {
    pub(super) fn read(&mut self, batch: &impl RecordBatch) -> Result<(), BrokerError> {
        for index in 0..batch.len() {
            self.restore.look_ahead(index, batch.len(), |index| changelog::customer_of(batch.get(index).key));
            let record = batch.get(index);
            let hash = self.request.rules.settings.hash;
            self.newest_ms = self.newest_ms.max(record.timestamp_ms.unwrap_or(i64::MIN));
            let read = changelog::decode(record.key, record.value).map_err(|error| unusable(&error))?;
            match read {
                StateRecord::Customer { key, packed: Some(packed) } => self
                    .restore
                    .customer(CustomerKey { bytes: key, hash: hash(key) }, &packed)
                    .map_err(|error| unusable_state(&error))?,
                StateRecord::Customer { key, packed: None } => {
                    self.restore.remove_customer(CustomerKey { bytes: key, hash: hash(key) });
                }
                StateRecord::Marker { hash, requested_at: Some(requested_at) } => {
                    self.restore.marker(hash, requested_at);
                }
                StateRecord::Marker { hash, requested_at: None } => self.restore.remove_marker(hash),
                StateRecord::Seal(seal) => {
                    self.seal = Some(local::seal(seal, self.seal.as_ref(), self.used));
                }
            }
            self.records += 1;
            self.records_unreported += 1;
        }
        Ok(())
    }
}
