//! The models of this process.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::model::Model;
use crate::scan::{Scan, scan};

/// Tables, each with its lock.
const SHARDS: usize = 16;
/// How many forms a table remembers that were seen once.
const SEEN: usize = 1024;
/// How many models of one form there are at most.
const MODELS_MAX: usize = 4;
/// A model is good if no more is different than this many bytes ...
const GOOD_BYTES: usize = 128;
/// ... and this part of the text.
const GOOD_PART: usize = 8;
/// The least bytes of a text for each of its values. With more values their places would take more than is saved.
const VALUE_BYTES: usize = 12;
/// The least number of models at which a table is swept.
const SWEEP_FROM: usize = 256;

struct Models {
    /// Differs between processes, so that nobody can foresee which forms have one digest.
    seed: u64,
    shards: [Mutex<Shard>; SHARDS],
}

struct Shard {
    /// By form. The one that was good last is the last.
    models: HashMap<u64, Vec<Arc<Model>>>,
    sweep_at: usize,
    /// Of forms that were seen, their digests, at places that these determine.
    seen: Box<[u32]>,
}

impl Default for Shard {
    fn default() -> Shard {
        Shard { models: HashMap::new(), sweep_at: SWEEP_FROM, seen: vec![0; SEEN].into() }
    }
}

static MODELS: LazyLock<Models> =
    LazyLock::new(|| Models { seed: RandomState::new().hash_one(0), shards: Default::default() });

impl Models {
    fn shard(&self, form: u64) -> &Mutex<Shard> {
        &self.shards[form as usize % SHARDS]
    }
}

/// The model of a text, and what is different from it; `None` if it is the first of its form, or has too many values.
pub(crate) fn compact(text: &[u8]) -> Option<(Arc<Model>, Box<[u8]>)> {
    let scan = scan(text, MODELS.seed);
    if scan.values.len() * VALUE_BYTES > text.len() {
        return None;
    }
    MODELS.shard(scan.form).lock().compact(text, scan)
}

/// Lets go of a model. If this was the last text that needed it, it leaves the table.
pub(crate) fn release(model: Arc<Model>) {
    // The table holds one, too. Of two texts that go at once both may find three: then it stays until the next sweep.
    if Arc::strong_count(&model) > 2 {
        return;
    }
    let mut shard = MODELS.shard(model.form()).lock();
    if Arc::strong_count(&model) > 2 {
        return;
    }
    if let Some(models) = shard.models.get_mut(&model.form()) {
        models.retain(|kept| !Arc::ptr_eq(kept, &model));
        if models.is_empty() {
            shard.models.remove(&model.form());
        }
    }
}

/// Whether a difference is about as small as those of texts that belong together.
fn is_good(own: &[u8], text: &[u8]) -> bool {
    own.len() <= GOOD_BYTES + text.len() / GOOD_PART
}

impl Shard {
    fn compact(&mut self, text: &[u8], scan: Scan) -> Option<(Arc<Model>, Box<[u8]>)> {
        let Some(models) = self.models.get_mut(&scan.form) else {
            return self.is_known(scan.form).then(|| self.add(text, scan));
        };
        let mut best: Option<(usize, Vec<u8>)> = None;
        for (at, model) in models.iter().enumerate().rev() {
            let Some(own) = model.difference(text, &scan.values) else { continue };
            let is_good = is_good(&own, text);
            if best.as_ref().is_none_or(|(_, found)| own.len() < found.len()) {
                best = Some((at, own));
            }
            if is_good {
                break;
            }
        }
        match best {
            Some((at, own)) if is_good(&own, text) || models.len() >= MODELS_MAX => {
                let last = models.len() - 1;
                models.swap(at, last);
                Some((Arc::clone(&models[last]), own.into()))
            }
            None if models.len() >= MODELS_MAX => None,
            _ => Some(self.add(text, scan)),
        }
    }

    /// Whether a form was seen before; notes that it was.
    fn is_known(&mut self, form: u64) -> bool {
        let (place, digest) = ((form >> 8) as usize % SEEN, (form >> 32) as u32);
        std::mem::replace(&mut self.seen[place], digest) == digest
    }

    fn add(&mut self, text: &[u8], scan: Scan) -> (Arc<Model>, Box<[u8]>) {
        if self.models.len() >= self.sweep_at {
            self.sweep();
        }
        let model = Arc::new(Model::new(text, scan));
        self.models.entry(model.form()).or_default().push(Arc::clone(&model));
        (model, Box::default())
    }

    /// Drops the models that no text needs.
    fn sweep(&mut self) {
        self.models.retain(|_, models| {
            models.retain(|model| Arc::strong_count(model) > 1);
            !models.is_empty()
        });
        self.models.shrink_to_fit();
        self.sweep_at = (self.models.len() * 2).max(SWEEP_FROM);
    }
}

/// How many models there are of a text's form.
#[cfg(test)]
pub(crate) fn count(text: &[u8]) -> usize {
    let form = scan(text, MODELS.seed).form;
    MODELS.shard(form).lock().models.get(&form).map_or(0, Vec::len)
}
