//! Pages. The work for a page grows with the page, not with the collection: it begins at the key where the previous
//! page ended, and stops one object after its own last.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use object::{Status, Versioned};
use store::{RangeRequest, Revision, Store};

use super::Filter;
use crate::cache::{Collection, Snapshot};
use crate::errors::{from_cache, from_store};

#[cfg(test)]
mod tests;

/// How many objects of the past are read from the store at once.
const PAST_OBJECTS: usize = 500;

/// The requested part of a collection.
pub(super) struct Page<'a> {
    pub(super) filter: &'a Filter,
    /// The key of the last object of the previous page.
    pub(super) after: Option<Arc<str>>,
    /// How many objects; 0 for all.
    pub(super) limit: usize,
    /// Whether to count all objects from this page on.
    pub(super) counts: bool,
}

/// A page.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) items: Vec<Versioned>,
    /// The key of the last object, if there are more behind it.
    pub(super) last: Option<Arc<str>>,
    /// The number of objects in the filter's namespace from this page on, if it was counted.
    pub(super) total: Option<usize>,
    /// How many objects were examined.
    pub(super) looked_at: usize,
}

impl Taken {
    /// Adds an object that the filter selects; returns false if there is no space for it.
    fn add(&mut self, key: &Arc<str>, object: Versioned, limit: usize) -> bool {
        if limit > 0 && self.items.len() == limit {
            return false;
        }
        self.items.push(object);
        self.last = Some(Arc::clone(key));
        true
    }

    /// There was space for all.
    fn complete(self) -> Taken {
        Taken { last: None, ..self }
    }
}

impl Page<'_> {
    /// The objects after the previous page, of the filter's namespace.
    fn range<'s>(
        &self,
        objects: &'s OrdMap<Arc<str>, Versioned>,
    ) -> impl Iterator<Item = (&'s Arc<str>, &'s Versioned)> + use<'s> {
        let prefix = self.filter.prefix();
        let start: Bound<Arc<str>> = match &self.after {
            Some(key) if **key >= *prefix => Bound::Excluded(Arc::clone(key)),
            _ => Bound::Included(Arc::from(prefix.as_str())),
        };
        objects.range((start, Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(&prefix))
    }

    /// The page from memory.
    pub(super) fn take(&self, snapshot: &Snapshot) -> Taken {
        let total = self.counts.then(|| match self.after {
            None => snapshot.count(&self.filter.namespace),
            Some(_) => self.range(&snapshot.objects).count(),
        });
        let mut taken = Taken { total, ..Taken::default() };
        for (key, object) in self.range(&snapshot.objects) {
            taken.looked_at += 1;
            if self.filter.matches(object) && !taken.add(key, object.clone(), self.limit) {
                return taken;
            }
        }
        taken.complete()
    }

    /// The page of the collection as it was at a revision, from the store's history.
    ///
    /// # Errors
    /// The store's errors: 410 if the revision is compacted.
    pub(super) async fn take_past(
        &self,
        collection: &Collection,
        store: &dyn Store,
        revision: u64,
    ) -> Result<Taken, Status> {
        let prefix = collection.prefix();
        let range = RangeRequest::prefix(format!("{prefix}{}", self.filter.prefix())).at(Revision(revision));
        // A token of another namespace begins no earlier than the filter's.
        let after = self.after.as_ref().filter(|after| ***after >= *self.filter.prefix());
        let mut request = match after {
            Some(after) => range.after(format!("{prefix}{after}")),
            None => range,
        };
        if self.counts {
            request = request.counted();
        }
        // One more item shows whether there are more.
        let at_once = if self.limit > 0 { PAST_OBJECTS.min(self.limit + 1) } else { PAST_OBJECTS };
        request = request.limit(at_once);
        let mut taken = Taken::default();
        loop {
            let found = store.range(request.clone()).await.map_err(from_store)?;
            taken.total = taken.total.or(found.count);
            for kv in &found.kvs {
                taken.looked_at += 1;
                let object = collection.decode(kv).map_err(from_cache)?;
                let key = Arc::from(object.key().to_string());
                if self.filter.matches(&object) && !taken.add(&key, object, self.limit) {
                    return Ok(taken);
                }
            }
            let Some(last) = found.kvs.last().filter(|_| found.more) else { return Ok(taken.complete()) };
            request = RangeRequest { counted: false, ..request }.after(last.key.clone());
        }
    }
}
