//! Data derived from a generation, computed on first use.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Catalogue;

/// Data that is computed from a generation and kept until a later one is queried.
pub struct Derived<T>(Mutex<Option<(u64, Arc<T>)>>);

impl<T> Default for Derived<T> {
    fn default() -> Derived<T> {
        Derived(Mutex::default())
    }
}

impl<T> Derived<T> {
    /// Whether the data of this generation is there, and nobody is making that of another one.
    pub fn is_made(&self, catalogue: &Catalogue) -> bool {
        let kept = self.0.try_lock();
        let made = kept.as_ref().and_then(|kept| kept.as_ref());
        made.is_some_and(|(generation, _)| *generation >= catalogue.generation())
    }

    /// The data of this generation, or of a later one that another caller has queried in the meantime. `make` gets the
    /// data of an earlier one, to reuse the parts that did not change.
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
