//! Regular expressions that are written out.

use std::collections::HashMap;

use regex::RegexBuilder;

/// The sizes that a compiled regular expression is tried with, in bytes, ascending.
const PATTERN_BYTES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// How large all regular expressions of one expression may be together, in bytes.
const PATTERNS_BYTES_MAX: usize = 16 << 20;

/// The regular expressions that were compiled.
#[derive(Default)]
pub(super) struct Patterns {
    /// Whether they are valid.
    known: HashMap<Box<str>, bool>,
    bytes: usize,
}

impl Patterns {
    pub(super) fn is_valid(&mut self, pattern: &str) -> bool {
        if let Some(known) = self.known.get(pattern) {
            return *known;
        }
        let left = PATTERNS_BYTES_MAX - self.bytes;
        let (valid, spent) = compile(pattern, left);
        self.bytes += spent.min(left);
        self.known.insert(pattern.into(), valid);
        valid
    }
}

/// Whether a regular expression compiles, and the size with which it was tried last.
fn compile(pattern: &str, bytes_max: usize) -> (bool, usize) {
    let Ok(translated) = object::structural::from_go(pattern) else { return (false, 0) };
    let mut tried = PATTERN_BYTES[0];
    for size in PATTERN_BYTES.into_iter().filter(|size| *size <= bytes_max) {
        tried = size;
        match RegexBuilder::new(&translated).size_limit(size).build() {
            Ok(_) => return (true, size),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(_) => break,
        }
    }
    (false, tried)
}
