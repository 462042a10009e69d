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
        let valid = valid && !repeats_repetitions(pattern);
        self.known.insert(pattern.into(), valid);
        valid
    }
}

/// Whether a regular expression compiles, and the size with which it was tried last.
fn compile(pattern: &str, bytes_max: usize) -> (bool, usize) {
    let translated = object::structural::from_go(pattern);
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

/// Whether a repetition is repeated, as in `a**`. Go refuses that because other engines give it a meaning of its own; our
/// engine takes it for `(a*)*`.
fn repeats_repetitions(pattern: &str) -> bool {
    let mut rest = pattern;
    let mut repeated = false;
    while let Some(first) = rest.chars().next() {
        let behind = &rest[first.len_utf8()..];
        let operator = match first {
            '*' | '+' | '?' => Some(behind),
            '{' => behind_bounds(behind),
            _ => None,
        };
        if operator.is_some() && repeated {
            return true;
        }
        repeated = operator.is_some();
        rest = match (operator, first) {
            // The question mark of a lazy repetition.
            (Some(behind), _) => behind.strip_prefix('?').unwrap_or(behind),
            (None, '\\') => behind_escape(behind),
            (None, '[') => behind_class(behind),
            // What stands behind an opening bracket, as in `(?i)`, repeats nothing.
            (None, '(') => behind.strip_prefix('?').unwrap_or(behind),
            (None, _) => behind,
        };
    }
    false
}

/// What is behind `3}`, `3,}` or `3,5}`.
fn behind_bounds(text: &str) -> Option<&str> {
    let (bounds, behind) = text.split_once('}')?;
    let (least, most) = bounds.split_once(',').unwrap_or((bounds, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!least.is_empty() && digits(least) && digits(most)).then_some(behind)
}

/// What is behind an escape sequence, of which the backslash is passed.
fn behind_escape(text: &str) -> &str {
    if let Some(literal) = text.strip_prefix('Q') {
        return literal.split_once("\\E").map_or("", |(_, behind)| behind);
    }
    let braces = ["p{", "P{", "x{"].iter().find_map(|begin| text.strip_prefix(begin));
    if let Some((_, behind)) = braces.and_then(|inside| inside.split_once('}')) {
        return behind;
    }
    let mut characters = text.chars();
    characters.next();
    characters.as_str()
}

/// What is behind a class, of which the opening bracket is passed.
fn behind_class(text: &str) -> &str {
    let negated = text.strip_prefix('^').unwrap_or(text);
    // A closing bracket at the begin is a member.
    let mut rest = negated.strip_prefix(']').unwrap_or(negated);
    while let Some(first) = rest.chars().next() {
        let behind = &rest[first.len_utf8()..];
        rest = match first {
            ']' => return behind,
            '\\' => behind_escape(behind),
            '[' if behind.starts_with(':') => behind.split_once(":]").map_or(behind, |(_, behind)| behind),
            _ => behind,
        };
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::repeats_repetitions;

    #[test]
    fn only_repeated_repetitions_are_found() {
        for pattern in
            ["a**", "a++", "a?*", "a{2}{3}", "a*?+", "(a)+{2}", "[a]+*", "\\p{Greek}*+", "a{2,}*", "a???"]
        {
            assert!(repeats_repetitions(pattern), "{pattern}");
        }
        for pattern in [
            "",
            "a*b+c?",
            "a*?b+?c??",
            "(?i)a*",
            "(?:a*)*",
            "[*+]+",
            "[]*+]*",
            "[^]*+]*",
            "\\*\\*",
            "\\**",
            "a{b}*",
            "a{,2}*",
            "\\Q**\\E*",
            "[[:alpha:]*+]{2}",
            "\\x{41}+",
            "é*",
            "(",
            "[",
            "\\",
            "{",
        ] {
            assert!(!repeats_repetitions(pattern), "{pattern}");
        }
    }
}
