//! Regular expressions of definitions: Go's syntax, in an engine that runs in linear time, and of limited size.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

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
    let translated = from_go(pattern);
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
        Some(error) => error.to_string(),
        None => String::new(),
    })
}

/// A pattern of Go's `regexp` in the syntax of the crate `regex`.
///
/// Go's `\d`, `\w`, `\s` and `\b` mean ASCII characters, and its classes know no set operations and no nesting.
pub fn from_go(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut characters = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let Some(escaped) = characters.next() else {
                    out.push('\\');
                    break;
                };
                escape(escaped, in_class, &mut out);
            }
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket in the first place is an ordinary character.
                if characters.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' if characters.peek() == Some(&':') => {
                // A named class, such as `[:alpha:]`, up to its end.
                out.push('[');
                for inner in characters.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '[' | '&' | '~' if in_class => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

fn escape(escaped: char, in_class: bool, out: &mut String) {
    let (inside, negated) = match escaped.to_ascii_lowercase() {
        'd' => ("0-9", escaped == 'D'),
        'w' => ("0-9A-Za-z_", escaped == 'W'),
        's' => (r"\t\n\f\r\x20", escaped == 'S'),
        _ => {
            match (escaped, in_class) {
                ('b' | 'B', false) => out.push_str(if escaped == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" }),
                _ => out.extend(['\\', escaped]),
            }
            return;
        }
    };
    match (in_class, negated) {
        (true, false) => out.push_str(inside),
        (_, true) => out.extend(["[^", inside, "]"]),
        (false, false) => out.extend(["[", inside, "]"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        let mut patterns = Patterns::new();
        for (pattern, good, bad) in [
            (r"^\d+$", "12", "\u{661}"),
            (r"^[\d.]+$", "1.2", "\u{661}"),
            (r"^[^\W]$", "a", "\u{e4}"),
            (r"^\S$", "\u{e4}", " "),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[[]$", "[", "]"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[[:alpha:]-]+$", "a-b", "1"),
            (r"\bx\b", "a x b", "axb"),
        ] {
            let compiled = patterns.get(pattern).unwrap();
            assert!(compiled.is_match(good), "{pattern} matches {good}");
            assert!(!compiled.is_match(bad), "{pattern} does not match {bad}");
        }
        assert!(patterns.get("(").is_err());
    }

    #[test]
    fn the_patterns_of_a_schema_are_bounded_together() {
        let mut patterns = Patterns::new();
        assert!(patterns.get(r"(?:\pL{100}){100}").unwrap_err().contains("exceeds"));
        let refused = (1..2000usize).find_map(|count| patterns.get(&format!("^{count}.{{40}}$")).err());
        assert!(refused.is_some_and(|refused| refused.contains("together")));
    }
}
