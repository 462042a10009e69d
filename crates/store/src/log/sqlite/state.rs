//! The summary row: the cluster that the database belongs to, and the checksums of removed rows.

use rusqlite::{Connection, Row, params};
use xxhash_rust::xxh3::xxh3_64;

use super::{integer, revision_from};
use crate::disk::LogError;
use crate::{LeaseId, Revision};

/// See the module. Changed with each compaction and each change of leases, in the same transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The identity of the cluster whose store this is.
    pub(super) cluster: u128,
    /// Earlier rows may be incomplete.
    pub(super) compacted: Revision,
    /// The newest revision when this row was written. Behind it no row is missing.
    pub(super) through: Revision,
    /// The sum of the checksums of all rows ever written up to `through`.
    pub(super) chain: u64,
    /// The sum of the checksums of all rows that were removed.
    pub(super) removed: u64,
    /// How many rows there were up to `through`.
    pub(super) rows: u64,
    /// How many leases there are.
    pub(super) leases: u64,
    /// The sum of their checksums.
    pub(super) lease_sum: u64,
    /// How often leases were granted, renewed or ended.
    pub(super) lease_changes: u64,
}

impl State {
    fn numbers(&self) -> [u64; 8] {
        [
            self.compacted.0,
            self.through.0,
            self.chain,
            self.removed,
            self.rows,
            self.leases,
            self.lease_sum,
            self.lease_changes,
        ]
    }

    fn checksum(&self) -> u64 {
        let mut bytes = self.cluster.to_le_bytes().to_vec();
        bytes.extend(self.numbers().iter().flat_map(|number| number.to_le_bytes()));
        xxh3_64(&bytes)
    }

    /// Writes the row.
    pub(super) fn write(&self, connection: &Connection) -> Result<(), LogError> {
        let [_, _, chain, removed, rows, leases, lease_sum, lease_changes] = self.numbers();
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO state (one, cluster, compacted, through, chain, removed, rows, leases,
                 lease_sum, lease_changes, checksum) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                self.cluster.to_le_bytes(),
                integer(self.compacted.0),
                integer(self.through.0),
                chain.cast_signed(),
                removed.cast_signed(),
                integer(rows),
                integer(leases),
                lease_sum.cast_signed(),
                integer(lease_changes),
                self.checksum().cast_signed(),
            ])?;
        Ok(())
    }

    /// Reads the row; `None` if it is missing or damaged.
    pub(super) fn read(connection: &Connection) -> Option<State> {
        let read = |row: &Row<'_>| -> rusqlite::Result<(State, u64)> {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            let state = State {
                cluster: u128::from_le_bytes(row.get(0)?),
                compacted: revision_from(row.get(1)?),
                through: revision_from(row.get(2)?),
                chain: number(3)?,
                removed: number(4)?,
                rows: number(5)?,
                leases: number(6)?,
                lease_sum: number(7)?,
                lease_changes: number(8)?,
            };
            Ok((state, number(9)?))
        };
        let query =
            "SELECT cluster, compacted, through, chain, removed, rows, leases, lease_sum, lease_changes,
                     checksum FROM state";
        let (state, checksum) = connection.query_row(query, [], read).ok()?;
        (state.checksum() == checksum).then_some(state)
    }
}

/// The checksum of a row of the table of leases.
pub(super) fn lease_checksum(lease: LeaseId, ttl_seconds: u64, deadline: i64) -> u64 {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&lease.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&ttl_seconds.to_le_bytes());
    bytes[16..].copy_from_slice(&deadline.to_le_bytes());
    xxh3_64(&bytes)
}
