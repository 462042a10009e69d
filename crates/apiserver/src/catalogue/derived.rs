//! Data derived from a generation, computed on first use.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Catalogue;

/// Something that is made of a generation and kept until a later one is asked about.
pub struct Derived<T>(Mutex<Option<(u64, Arc<T>)>>);

impl<T> Default for Derived<T> {
    fn default() -> Derived<T> {
        Derived(Mutex::default())
    }
}

impl<T> Derived<T> {
    /// What belongs to this generation, or to a later one that somebody else asked about meanwhile. `make` is given what
    /// was made of an earlier one, to take over whatever did not change.
    pub fn get(&self, catalogue: &Catalogue, make: impl FnOnce(&Catalogue, Option<&T>) -> T) -> Arc<T> {
        let mut kept = self.0.lock();
        let earlier = match &*kept {
            Some((generation, made)) if *generation >= catalogue.generation() => return Arc::clone(made),
            Some((_, earlier)) => Some(earlier.as_ref()),
            None => None,
        };
        let made = Arc::new(make(catalogue, earlier));
        *kept = Some((catalogue.generation(), Arc::clone(&made)));
        made
    }
}
