//! Maps whose keys are small numbers or hashes already.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

/// A map by slots or label keys. Nobody outside this process chooses them, so the hash need not be a strong one.
pub(super) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Spreads a number over all bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct NumberHasher(u64);

/// 2^64 divided by the golden ratio: neighbours end up far from each other.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        // A table takes its place from the low bits and a tag from the high ones.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(SPREAD);
    }
}

/// A label of the pods of a namespace, or of pods anywhere, as a number. Different labels may have the same number:
/// what is found by it must be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LabelKey(u64);

impl LabelKey {
    pub(super) fn new(namespace: Option<&str>, key: &str, value: &str) -> LabelKey {
        let mut hasher = DefaultHasher::new();
        (namespace, key, value).hash(&mut hasher);
        LabelKey(hasher.finish())
    }
}
