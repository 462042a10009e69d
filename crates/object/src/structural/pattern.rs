//! Regular expressions of definitions: Go's syntax, in an engine that runs in linear time, and of limited size.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

use super::go_regexp::from_go;

/// The sizes that a compiled pattern is tried with, in bytes, ascending.
const PATTERN_BYTES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// How large all patterns of one schema may be together, in bytes.
const PATTERNS_BYTES_MAX: usize = 16 << 20;

/// The patterns of one schema; equal ones are compiled once.
pub(super) struct Patterns {
    by_text: HashMap<Box<str>, Regex>,
    left: usize,
}

impl Patterns {
    pub(super) fn new() -> Patterns {
        Patterns { by_text: HashMap::new(), left: PATTERNS_BYTES_MAX }
    }

    /// The compiled pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn get(&mut self, pattern: &str) -> Result<Regex, String> {
        if let Some(known) = self.by_text.get(pattern) {
            return Ok(known.clone());
        }
        let (compiled, size) = compile(pattern)?;
        self.left = self
            .left
            .checked_sub(size)
            .ok_or_else(|| format!("the patterns of a schema exceed {PATTERNS_BYTES_MAX} bytes together"))?;
        self.by_text.insert(pattern.into(), compiled.clone());
        Ok(compiled)
    }
}

fn compile(pattern: &str) -> Result<(Regex, usize), String> {
    let translated = from_go(pattern)?;
    let mut failure = None;
    for size in PATTERN_BYTES {
        match RegexBuilder::new(&translated).size_limit(size).build() {
            Ok(compiled) => return Ok((compiled, size)),
            Err(error) => failure = Some(error),
        }
    }
    Err(match failure {
        Some(regex::Error::CompiledTooBig(limit)) => {
            format!("the compiled expression exceeds {limit} bytes")
        }
        Some(error) => format!("error parsing regexp: {error}"),
        None => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_of_a_schema_are_bounded_together() {
        let mut patterns = Patterns::new();
        assert!(patterns.get(r"(?:\pL{100}){10}").unwrap_err().contains("exceeds"));
        let refused = (1..2000usize).find_map(|count| patterns.get(&format!("^{count}.{{40}}$")).err());
        assert!(refused.is_some_and(|refused| refused.contains("together")));
    }
}
