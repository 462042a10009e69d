//! A log that keeps nothing, for in-memory stores.

use super::{Log, Record, Sink};
use crate::Revision;
use crate::damage::Damage;
use crate::disk::LogError;

/// Accepts everything and forgets it.
pub(crate) struct DiscardLog;

impl Log for DiscardLog {
    fn append_batch(&mut self, _records: &[Record]) -> Result<(), LogError> {
        Ok(())
    }

    fn compacted(&mut self) -> Result<Revision, LogError> {
        Ok(Revision::EMPTY)
    }

    fn scan(&mut self, _sink: &mut Sink<'_>) -> Result<Damage, LogError> {
        Ok(Damage::default())
    }

    fn compact(&mut self, _compacted: Revision, _superseded: &[Revision]) -> Result<bool, LogError> {
        Ok(false)
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}
