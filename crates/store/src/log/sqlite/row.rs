//! One row of the log, with its checksum.
//!
//! The checksum (XXH3, 64 bits) covers everything in the row, and `chain`, the sum of the checksums of all rows that
//! were ever written before it. So no row can change, or disappear between two others, unnoticed; rows that compaction
//! removes are accounted for in the [`State`](super::state::State).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Row, Transaction, params};
use texts::Text;
use xxhash_rust::xxh3::Xxh3;

use super::{integer, revision_from};
use crate::disk::LogError;
use crate::log::Record;
use crate::{KeyValue, LeaseId, Revision};

/// The columns of a row, as [`Stored::read`] takes them.
pub(super) const COLUMNS: &str = "revision, create_revision, version, lease, checksum, chain, key, value";
const INSERT: &str =
    "INSERT INTO log (revision, create_revision, version, lease, checksum, chain, key, value)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// A row's content, without its position.
pub(super) struct Fields<'a> {
    revision: Revision,
    create_revision: Revision,
    version: u64,
    lease: i64,
    key: &'a [u8],
    /// None: the key was deleted.
    value: Option<Cow<'a, [u8]>>,
}

impl<'a> Fields<'a> {
    /// The row of a put or deletion; `None` for leases, which have a separate table.
    pub(super) fn of(record: &'a Record) -> Option<Fields<'a>> {
        match record {
            Record::Put(kv) => Some(Fields {
                revision: kv.mod_revision,
                create_revision: kv.create_revision,
                version: kv.version,
                lease: kv.lease.map_or(0, |lease| lease.0),
                key: &kv.key,
                value: Some(kv.value.to_cow()),
            }),
            Record::Delete { key, revision } => Some(Fields {
                revision: *revision,
                create_revision: Revision(0),
                version: 0,
                lease: 0,
                key,
                value: None,
            }),
            Record::GrantLease { .. } | Record::RevokeLease { .. } => None,
        }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The checksum of the row behind `chain`.
    pub(super) fn checksum(&self, chain: u64) -> u64 {
        let mut header = [0; 49];
        let numbers = [
            chain,
            self.revision.0,
            self.create_revision.0,
            self.version,
            self.lease.cast_unsigned(),
            self.key.len() as u64,
        ];
        for (bytes, number) in header.chunks_exact_mut(8).zip(numbers) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        header[48] = u8::from(self.value.is_some());
        let mut hash = Xxh3::new();
        hash.update(&header);
        hash.update(self.key);
        hash.update(self.value.as_deref().unwrap_or_default());
        hash.digest()
    }

    /// Appends the row behind `chain`; returns its checksum, and roughly how many pages that dirties.
    pub(super) fn insert(&self, transaction: &Transaction<'_>, chain: u64) -> Result<(u64, usize), LogError> {
        let checksum = self.checksum(chain);
        transaction.prepare_cached(INSERT)?.execute(params![
            integer(self.revision.0),
            integer(self.create_revision.0),
            integer(self.version),
            self.lease,
            checksum.cast_signed(),
            chain.cast_signed(),
            self.key,
            self.value.as_deref(),
        ])?;
        Ok((checksum, 1 + self.value.as_ref().map_or(0, |value| value.len() / super::PAGE_BYTES)))
    }
}

/// An intact row.
pub(super) struct Stored {
    pub(super) record: Record,
    pub(super) checksum: u64,
    /// The sum of the checksums before it.
    pub(super) chain: u64,
}

impl Stored {
    /// Reads a row; `None` if its content does not match its checksum or has the wrong types.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Stored>> {
        let number = |column| row.get_ref(column).map(|value| value.as_i64().ok());
        let blob = |column| row.get_ref(column).map(|value| value.as_blob_or_null().ok());
        let numbers = (number(0)?, number(1)?, number(2)?, number(3)?, number(4)?, number(5)?);
        let (Some(revision), Some(create), Some(version), Some(lease), Some(checksum), Some(chain)) = numbers
        else {
            return Ok(None);
        };
        let (Some(Some(key)), Some(value)) = (blob(6)?, blob(7)?) else { return Ok(None) };
        let fields = Fields {
            revision: revision_from(revision),
            create_revision: revision_from(create),
            version: version.unsigned_abs(),
            lease,
            key,
            value: value.map(Cow::Borrowed),
        };
        let (checksum, chain) = (checksum.cast_unsigned(), chain.cast_unsigned());
        if fields.checksum(chain) != checksum {
            return Ok(None);
        }
        let key = Bytes::copy_from_slice(key);
        let record = match value {
            None => Record::Delete { key, revision: fields.revision },
            Some(value) => Record::Put(Arc::new(KeyValue {
                key,
                value: Text::compact(value),
                create_revision: fields.create_revision,
                mod_revision: fields.revision,
                version: fields.version,
                lease: (lease != 0).then_some(LeaseId(lease)),
            })),
        };
        Ok(Some(Stored { record, checksum, chain }))
    }
}
