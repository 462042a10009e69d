//! Damage of a store's files: damaged records and missing acknowledged writes.

use std::collections::BTreeMap;
use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::Revision;

/// How many records or ranges a message names.
const NAMED_MAX: usize = 10;

/// A record that exists but differs from what was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DamagedRecord {
    /// Its revision.
    pub revision: Revision,
    /// Its key as far as it can be read; the key may be what is damaged.
    pub key: Option<String>,
}

/// All known damage of a store's files; empty if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Records that do not match their checksum, or whose content cannot be read.
    pub records: Vec<DamagedRecord>,
    /// Revisions, first and last, whose records are missing or cannot be read.
    pub gaps: Vec<(Revision, Revision)>,
    /// The total number of missing records, as far as it can be counted, without those of `tail`.
    pub missing: u64,
    /// Acknowledged writes, first and last, that are newer than everything in the store.
    pub tail: Option<(Revision, Revision)>,
    /// Other damage, in words.
    pub problems: Vec<String>,
}

impl Damage {
    /// Damage with only this problem.
    pub(crate) fn problem(text: impl Into<String>) -> Damage {
        Damage { problems: vec![text.into()], ..Damage::default() }
    }

    /// Whether there is no damage.
    pub fn is_empty(&self) -> bool {
        *self == Damage::default()
    }

    /// How many acknowledged writes are lost at least.
    pub fn lost(&self) -> u64 {
        let tail = self.tail.map_or(0, |(first, last)| last.0.saturating_sub(first.0) + 1);
        tail + self.missing.max(self.records.len() as u64)
    }

    /// Identifies exactly this damage: other damage has a different token. It is needed to accept the loss.
    pub fn token(&self) -> String {
        let digest = xxh3_64(format!("{self:?}").as_bytes());
        format!("{}-writes-{:08x}", self.lost(), digest >> 32)
    }

    /// Adds a gap; neighbouring ones become one.
    pub(crate) fn add_gap(&mut self, first: Revision, last: Revision) {
        match self.gaps.last_mut() {
            Some((_, end)) if end.next() == first => *end = last,
            _ => self.gaps.push((first, last)),
        }
    }

    /// The damaged records by the first part of their keys behind the root: pods, secrets.
    fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for key in self.records.iter().filter_map(|record| record.key.as_deref()) {
            let kind = key.split('/').filter(|part| !part.is_empty()).nth(1).unwrap_or("others");
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.problems.clone();
        if let Some((first, last)) = self.tail {
            let count = last.0 - first.0 + 1;
            parts
                .push(format!("the {count} newest acknowledged writes are missing ({})", range(first, last)));
        }
        if !self.records.is_empty() {
            let named = listed(self.records.iter().map(|record| match &record.key {
                Some(key) => format!("{key} (revision {})", record.revision),
                None => format!("revision {}", record.revision),
            }));
            let kinds = listed(self.kinds().into_iter().map(|(kind, count)| format!("{count} {kind}")));
            let kinds = if kinds.is_empty() { kinds } else { format!(", of them {kinds}") };
            parts.push(format!("{} records are damaged{kinds}: {named}", self.records.len()));
        }
        if self.missing > 0 {
            parts.push(format!("{} records are missing", self.missing));
        }
        if !self.gaps.is_empty() {
            let named = listed(self.gaps.iter().map(|(first, last)| range(*first, *last)));
            parts.push(format!("no record can be read at {named}"));
        }
        f.write_str(&parts.join("; "))
    }
}

fn range(first: Revision, last: Revision) -> String {
    if first == last { format!("revision {first}") } else { format!("revisions {first} to {last}") }
}

/// The first few of many, separated by commas.
fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(NAMED_MAX);
    let mut text = items.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_what_is_lost_and_the_token_only_that() {
        let record =
            |revision, key: &str| DamagedRecord { revision: Revision(revision), key: Some(key.to_owned()) };
        let damage = Damage {
            records: vec![record(7, "/registry/pods/a/b"), record(9, "/registry/secrets/a/c")],
            missing: 3,
            tail: Some((Revision(20), Revision(24))),
            ..Damage::default()
        };
        assert_eq!(
            damage.to_string(),
            "the 5 newest acknowledged writes are missing (revisions 20 to 24); 2 records are damaged, of them 1 pods, \
             1 secrets: /registry/pods/a/b (revision 7), /registry/secrets/a/c (revision 9); 3 records are missing"
        );
        assert!(damage.token().starts_with("8-writes-"), "{}", damage.token());
        let worse = Damage { missing: 4, ..damage.clone() };
        assert_ne!(worse.token(), damage.token());
        assert!(Damage::default().is_empty());
    }
}
