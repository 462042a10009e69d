//! What is made of a generation, when somebody first asks for it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Catalogue, LiveCatalogue};

/// Something that is made of the present generation and kept until there is another one.
pub struct Derived<T> {
    catalogue: Arc<LiveCatalogue>,
    kept: Mutex<Option<(u64, Arc<T>)>>,
}

impl<T> Derived<T> {
    /// Nothing made yet.
    pub fn new(catalogue: Arc<LiveCatalogue>) -> Derived<T> {
        Derived { catalogue, kept: Mutex::default() }
    }

    /// What belongs to the present generation. `make` is given what was made of an earlier one, to take over whatever
    /// did not change.
    pub fn get(&self, make: impl FnOnce(&Catalogue, Option<&T>) -> T) -> Arc<T> {
        let mut kept = self.kept.lock();
        let present = self.catalogue.present();
        match &*kept {
            Some((generation, made)) if *generation == present.generation() => Arc::clone(made),
            earlier => {
                let earlier = earlier.as_ref().map(|(_, made)| made.as_ref());
                let made = Arc::new(make(&present, earlier));
                *kept = Some((present.generation(), Arc::clone(&made)));
                made
            }
        }
    }
}
