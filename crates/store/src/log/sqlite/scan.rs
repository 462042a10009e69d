//! Reads everything, skipping unreadable parts, and accounts for every row.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row};

use super::row::{COLUMNS, Stored};
use super::state::lease_checksum;
use super::{SqliteLog, integer, revision_from};
use crate::damage::{Damage, DamagedRecord};
use crate::disk::LogError;
use crate::log::{Record, Sink};
use crate::{LeaseId, Revision};

/// How many problems of the database's structure are listed.
const PROBLEMS_MAX: i64 = 5;

/// The state of a scan.
struct Seen {
    damage: Damage,
    /// The last row that was read, damaged ones included.
    last: Revision,
    /// The sum of all checksums of rows up to the last, including removed ones; `None` if that is unknown.
    chain: Option<u64>,
    /// The sum of the checksums of the rows that were read.
    sum: u64,
    rows: u64,
}

impl SqliteLog {
    /// See [`Log::scan`](crate::log::Log::scan).
    pub(super) fn scan_all(&mut self, sink: &mut Sink<'_>) -> Result<Damage, LogError> {
        let mut seen = Seen { damage: Damage::default(), last: Revision(0), chain: None, sum: 0, rows: 0 };
        if let Some(header) = &self.header {
            seen.damage.problems.push(format!("the database's header is damaged: {header}"));
        }
        if !self.has_state {
            seen.damage.problems.push("the summary record is damaged".into());
        }
        self.scan_leases(&mut seen, sink)?;
        self.scan_rows(&mut seen, sink)?;
        self.account(&mut seen);
        self.check_structure(&mut seen);
        self.rows = seen.rows;
        Ok(seen.damage)
    }

    fn scan_leases(&self, seen: &mut Seen, sink: &mut Sink<'_>) -> Result<(), LogError> {
        let (mut count, mut sum) = (0, 0_u64);
        let read = self.read_leases(&mut |(lease, ttl, deadline)| {
            let checksum = lease_checksum(lease, ttl, deadline);
            (count, sum) = (count + 1, sum.wrapping_add(checksum));
            let deadline = Some(deadline).filter(|deadline| *deadline != 0);
            sink(Record::GrantLease { lease, ttl: Duration::from_secs(ttl), deadline })
        });
        match read {
            Ok(damaged) if damaged > 0 => {
                seen.damage.problems.push(format!("{damaged} leases are damaged"));
            }
            Ok(_) if self.has_state && (count, sum) != (self.state.leases, self.state.lease_sum) => {
                let missing = self.state.leases.saturating_sub(count);
                seen.damage.problems.push(format!("{missing} leases are missing"));
            }
            Ok(_) => {}
            Err(error) if is_of_reading(&error) => {
                seen.damage.problems.push("leases cannot be read".into());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Passes on every intact lease; returns how many are damaged.
    fn read_leases(
        &self,
        take: &mut dyn FnMut((LeaseId, u64, i64)) -> Result<(), LogError>,
    ) -> Result<u64, LogError> {
        let mut leases = self.connection.prepare("SELECT id, ttl_seconds, deadline, checksum FROM lease")?;
        let mut rows = leases.query([])?;
        let mut damaged = 0;
        while let Some(row) = rows.next()? {
            let read = |row: &Row<'_>| -> rusqlite::Result<(LeaseId, u64, i64, u64)> {
                let (ttl, checksum) = (row.get::<_, i64>(1)?, row.get::<_, i64>(3)?);
                Ok((LeaseId(row.get(0)?), ttl.unsigned_abs(), row.get(2)?, checksum.cast_unsigned()))
            };
            match read(row) {
                Ok((lease, ttl, deadline, checksum)) if checksum == lease_checksum(lease, ttl, deadline) => {
                    take((lease, ttl, deadline))?;
                }
                _ => damaged += 1,
            }
        }
        Ok(damaged)
    }

    fn scan_rows(&self, seen: &mut Seen, sink: &mut Sink<'_>) -> Result<(), LogError> {
        loop {
            match self.scan_from(seen, sink) {
                Ok(()) => return Ok(()),
                Err(error) if is_of_reading(&error) => {
                    if !self.step_over(seen, &error) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the rows after the last one that was seen.
    fn scan_from(&self, seen: &mut Seen, sink: &mut Sink<'_>) -> Result<(), LogError> {
        let query = format!("SELECT {COLUMNS} FROM log WHERE revision > ?1 ORDER BY revision");
        let mut log = self.connection.prepare_cached(&query)?;
        let mut rows = log.query([integer(seen.last.0)])?;
        while let Some(row) = rows.next()? {
            let revision = revision_from(row.get(0)?);
            if revision <= seen.last {
                seen.damage.problems.push(format!("records are out of order after revision {}", seen.last));
                return Ok(());
            }
            let stored = Stored::read(row)?;
            self.check_neighbours(seen, revision, stored.as_ref());
            match stored {
                Some(stored) => {
                    seen.sum = seen.sum.wrapping_add(stored.checksum);
                    seen.chain = Some(stored.chain.wrapping_add(stored.checksum));
                    sink(stored.record)?;
                }
                None => {
                    let key = row.get_ref(6).ok().and_then(|key| key.as_bytes().ok()).map(text_of);
                    seen.damage.records.push(DamagedRecord { revision, key });
                    seen.chain = None;
                }
            }
            seen.rows += 1;
            seen.last = revision;
        }
        Ok(())
    }

    /// After the compacted part every revision has a row, and each has the sum of all rows before it.
    fn check_neighbours(&self, seen: &mut Seen, revision: Revision, stored: Option<&Stored>) {
        if !self.has_state || revision <= self.state.compacted {
            return;
        }
        let before = seen.last.max(self.state.compacted);
        if revision > before.next() {
            seen.damage.add_gap(before.next(), Revision(revision.0 - 1));
        }
        let chain = match revision == self.state.through.next() {
            true => Some(self.state.chain),
            false => seen.chain.filter(|_| revision == seen.last.next()),
        };
        if let (Some(stored), Some(chain)) = (stored, chain)
            && stored.chain != chain
        {
            seen.damage.problems.push(format!("revision {revision} does not follow the records before it"));
        }
    }

    /// Continues after an unreadable part; returns whether there is anything.
    fn step_over(&self, seen: &mut Seen, error: &LogError) -> bool {
        let row = |columns: &str, after: Revision| {
            let query = format!("SELECT {columns} FROM log WHERE revision > ?1 ORDER BY revision LIMIT 1");
            let mut statement = self.connection.prepare_cached(&query)?;
            let read = |row: &Row<'_>| {
                let key = row.get_ref(1)?.as_bytes().map(text_of).ok();
                Ok((revision_from(row.get(0)?), key))
            };
            statement.query_row([integer(after.0)], read).optional()
        };
        // The row itself may be readable, but its value may be on an unreadable page.
        let next = row("revision, key", seen.last).or_else(|_| row("revision, NULL", seen.last));
        match next {
            Ok(Some((revision, key))) if revision > seen.last => {
                seen.damage.records.push(DamagedRecord { revision, key });
                (seen.last, seen.chain, seen.rows) = (revision, None, seen.rows + 1);
                return true;
            }
            Ok(_) => return false,
            Err(_) => {}
        }
        let readable = |after: u64| row("revision, NULL", Revision(after)).ok();
        let (mut low, mut step) = (seen.last.0, 1_u64);
        let mut found = loop {
            match readable(low.saturating_add(step)) {
                Some(found) => break found,
                None if step > 1 << 60 => {
                    let text = format!("nothing after revision {} can be read: {}", seen.last, cause(error));
                    seen.damage.problems.push(text);
                    return false;
                }
                None => (low, step) = (low + step, step * 2),
            }
        };
        // The first readable position is between the last failure and this.
        let mut high = low + step;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match readable(middle) {
                Some(nearer) => (high, found) = (middle, nearer),
                None => low = middle,
            }
        }
        let Some((revision, _)) = found else {
            seen.damage.problems.push(format!("nothing after revision {} can be read", seen.last));
            return false;
        };
        if revision.0 > seen.last.0 + 1 {
            seen.damage.add_gap(seen.last.next(), Revision(revision.0 - 1));
        }
        (seen.last, seen.chain) = (Revision(revision.0 - 1), None);
        true
    }

    /// Compares the read rows with the expected ones, and continues from there.
    fn account(&mut self, seen: &mut Seen) {
        let through = self.state.through;
        self.newest = seen.last.max(through);
        self.chain = match seen.last > through {
            true => seen.chain.unwrap_or_default(),
            false => self.state.chain,
        };
        if !self.has_state {
            return;
        }
        let known = seen.last.max(self.state.compacted);
        if known < through {
            seen.damage.add_gap(known.next(), through);
        }
        let expected = self.state.rows + (self.newest.0 - through.0);
        seen.damage.missing = expected.saturating_sub(seen.rows);
        let live = self.chain.wrapping_sub(self.state.removed);
        if seen.damage.is_empty() && (expected != seen.rows || live != seen.sum) {
            seen.damage.problems.push("records do not add up to what was written".into());
        }
    }

    /// Lets SQLite check pages without records for damage.
    fn check_structure(&self, seen: &mut Seen) {
        let check = || -> rusqlite::Result<Vec<String>> {
            let mut check = self.connection.prepare(&format!("PRAGMA quick_check({PROBLEMS_MAX})"))?;
            let found = check.query_map([], |row| row.get::<_, String>(0))?;
            found.collect()
        };
        match check() {
            Ok(found) => {
                let found = found
                    .into_iter()
                    .filter(|text| text != "ok")
                    .map(|text| format!("the database's structure is damaged ({})", text.replace('\n', " ")));
                seen.damage.problems.extend(found);
            }
            Err(error) => {
                seen.damage.problems.push(format!("the database's structure is damaged ({error})"));
            }
        }
    }
}

/// Whether a part of the database could not be read; other parts may be readable.
fn is_of_reading(error: &LogError) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, SystemIoFailure};
    let LogError::Database(error) = error else { return false };
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(DatabaseCorrupt | SystemIoFailure))
}

fn cause(error: &LogError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
