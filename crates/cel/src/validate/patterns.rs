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
        let valid = valid && !has_wrong_repetitions(pattern);
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

/// The most repetitions, those within each other multiplied. As in Go.
const REPETITIONS_MAX: u64 = 1_000;

/// Whether Go refuses repetitions that our engine takes: a repeated one as in `a**`, which other engines give a meaning of
/// its own, and more than a thousand, as `(a{100}){100}` has.
pub(crate) fn has_wrong_repetitions(pattern: &str) -> bool {
    let mut rest = pattern;
    let mut repeated = false;
    // How often the last part can be repeated, and for each open bracket the most of what is in it so far.
    let (mut last, mut open) = (1, vec![1]);
    while let Some(first) = rest.chars().next() {
        let behind = &rest[first.len_utf8()..];
        let operator = match first {
            '*' | '+' | '?' => Some((1, behind)),
            '{' => bounds(behind),
            _ => None,
        };
        if let Some((times, behind)) = operator {
            last *= times;
            if repeated || last > REPETITIONS_MAX {
                return true;
            }
            // The question mark of a lazy repetition.
            rest = behind.strip_prefix('?').unwrap_or(behind);
        } else {
            last = match first {
                ')' if open.len() > 1 => open.pop().unwrap_or(1),
                _ => 1,
            };
            rest = behind_part(first, behind, &mut open);
        }
        repeated = operator.is_some();
        if let Some(most) = open.last_mut() {
            *most = last.max(*most);
        }
    }
    false
}

/// What is behind a part that is no repetition.
fn behind_part<'t>(first: char, behind: &'t str, open: &mut Vec<u64>) -> &'t str {
    match first {
        '\\' => behind_escape(behind),
        '[' => behind_class(behind),
        '(' => {
            open.push(1);
            // What stands behind an opening bracket, as in `(?i)`, repeats nothing.
            behind.strip_prefix('?').unwrap_or(behind)
        }
        _ => behind,
    }
}

/// The largest number of `3}`, `3,}` or `3,5}`, and what is behind.
fn bounds(text: &str) -> Option<(u64, &str)> {
    let (bounds, behind) = text.split_once('}')?;
    let (least, most) = bounds.split_once(',').unwrap_or((bounds, bounds));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if least.is_empty() || !digits(least) || !digits(most) {
        return None;
    }
    let times = if most.is_empty() { least } else { most };
    // What is too long for a number is too much.
    Some((
        times.parse::<u64>().map_or(u64::from(u32::MAX), |times| times.clamp(1, u64::from(u32::MAX))),
        behind,
    ))
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
    use super::has_wrong_repetitions;

    #[test]
    fn only_wrong_repetitions_are_found() {
        for pattern in [
            "a**",
            "a++",
            "a?*",
            "a{2}{3}",
            "a*?+",
            "(a)+{2}",
            "[a]+*",
            "\\p{Greek}*+",
            "a{2,}*",
            "a???",
            "a{1001}",
            "a{99999999999999999999}",
            "a{1,1001}",
            "(a{100}){11}",
            "((ba{10}c){10}|d){11}",
            "(a{100}b{3}){11}",
        ] {
            assert!(has_wrong_repetitions(pattern), "{pattern}");
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
            ")))",
            "a{1000}b{1000}",
            "(a{100}){10}",
            "(a{100})b{11}",
            "(a{0}){1000}",
        ] {
            assert!(!has_wrong_repetitions(pattern), "{pattern}");
        }
    }
}
