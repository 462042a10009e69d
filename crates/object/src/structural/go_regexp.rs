//! Regular expressions as Go's `regexp` reads them, in the syntax of the crate `regex`.
//!
//! Most of the syntax is the same. What only one of the two takes, or takes in another way, is decided here: look-around and
//! other Perl syntax, braces that repeat nothing, octal and `\Q...\E`, ASCII classes, sets within sets, stacked and numerous
//! repetitions. Errors are those of Go, which clients see.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most repetitions, those within each other multiplied.
const REPETITIONS_MAX: u64 = 1_000;
/// How long names of classes are, at most.
const NAME_BYTES_MAX: usize = 64;
const NAMED_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// A pattern of Go in the syntax of the crate `regex`.
///
/// # Errors
/// What Go says of one that it does not take.
pub fn from_go(pattern: &str) -> Result<String, String> {
    let mut reader = Reader { whole: pattern, rest: pattern, out: String::with_capacity(pattern.len() + 8) };
    reader.read().map_err(|Wrong(what, part)| format!("error parsing regexp: {what}: `{part}`"))?;
    Ok(reader.out)
}

/// Go's name of a mistake, and the part of the pattern that has it.
struct Wrong<'t>(&'static str, &'t str);

struct Reader<'t> {
    whole: &'t str,
    rest: &'t str,
    out: String,
}

/// What can be repeated: nothing at the begin of a group, otherwise the last part, which has repetitions itself.
#[derive(Clone, Copy)]
struct Last {
    is_part: bool,
    times: u64,
    /// The most times of any part of the group so far.
    most: u64,
}

const NOTHING: Last = Last { is_part: false, times: 1, most: 1 };

impl Last {
    fn part(self, times: u64) -> Last {
        Last { is_part: true, times, most: self.most.max(times) }
    }
}

impl<'t> Reader<'t> {
    fn read(&mut self) -> Result<(), Wrong<'t>> {
        let (mut last, mut open) = (NOTHING, Vec::new());
        // Where the repetition before this place begins.
        let mut repeated = None;
        while let Some(first) = self.rest.chars().next() {
            let (at, was_repeated) = (self.rest, repeated.take());
            match first {
                '*' | '+' | '?' => {
                    self.rest = &at[1..];
                    last = self.repeat(at, 1, last, was_repeated)?;
                    repeated = Some(was_repeated.unwrap_or(at));
                }
                '{' => match bounds(at) {
                    Some((least, most, behind)) => {
                        self.rest = behind;
                        let is_wrong = [least, most.unwrap_or(0)].into_iter().any(|n| n > REPETITIONS_MAX)
                            || most.is_some_and(|most| most < least);
                        if is_wrong {
                            return Err(Wrong("invalid repeat count", self.since(at)));
                        }
                        last = self.repeat(at, most.unwrap_or(least).max(1), last, was_repeated)?;
                        repeated = Some(was_repeated.unwrap_or(at));
                    }
                    None => {
                        self.literal();
                        last = last.part(1);
                    }
                },
                '(' => {
                    open.push(last);
                    match self.group()? {
                        true => last = NOTHING,
                        // Flags for what follows are no group.
                        false => last = open.pop().unwrap_or(NOTHING),
                    }
                }
                ')' => {
                    let outer: Last = open.pop().ok_or(Wrong("unexpected )", self.whole))?;
                    self.copy(1);
                    last = outer.part(last.most);
                }
                '|' => {
                    self.copy(1);
                    last = Last { is_part: false, ..last };
                }
                '[' => {
                    self.class()?;
                    last = last.part(1);
                }
                '\\' => {
                    self.escape()?;
                    last = last.part(1);
                }
                '^' | '$' | '.' => {
                    self.copy(1);
                    last = last.part(1);
                }
                _ => {
                    self.literal();
                    last = last.part(1);
                }
            }
        }
        if open.is_empty() { Ok(()) } else { Err(Wrong("missing closing )", self.whole)) }
    }

    /// What was read since a place.
    fn since(&self, at: &'t str) -> &'t str {
        &at[..at.len() - self.rest.len()]
    }

    fn copy(&mut self, bytes: usize) {
        let (part, behind) = self.rest.split_at(bytes);
        self.out.push_str(part);
        self.rest = behind;
    }

    /// A character that stands for itself.
    fn literal(&mut self) {
        if let Some(character) = self.next() {
            push_literal(&mut self.out, character);
        }
    }

    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        Some(character)
    }

    /// A repetition that begins at a place, so often; `before`: where one begins that it follows.
    fn repeat(
        &mut self,
        at: &'t str,
        times: u64,
        last: Last,
        before: Option<&'t str>,
    ) -> Result<Last, Wrong<'t>> {
        self.rest = self.rest.strip_prefix('?').unwrap_or(self.rest);
        if let Some(before) = before {
            return Err(Wrong("invalid nested repetition operator", self.since(before)));
        }
        let operator = self.since(at);
        if !last.is_part {
            return Err(Wrong("missing argument to repetition operator", operator));
        }
        let times = last.times.saturating_mul(times);
        if times > REPETITIONS_MAX {
            return Err(Wrong("invalid repeat count", operator));
        }
        self.out.push_str(operator);
        Ok(last.part(times))
    }

    /// The begin of a group, or flags; whether it is a group.
    fn group(&mut self) -> Result<bool, Wrong<'t>> {
        let at = self.rest;
        let Some(inside) = at.strip_prefix("(?") else {
            self.copy(1);
            return Ok(true);
        };
        let name = inside.strip_prefix("P<").or_else(|| inside.strip_prefix('<'));
        if let Some(name) = name.filter(|name| !name.starts_with(['=', '!'])) {
            let (name, behind) = name.split_once('>').ok_or(Wrong("invalid named capture", at))?;
            self.rest = behind;
            if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                return Err(Wrong("invalid named capture", self.since(at)));
            }
            // Nobody asks for what it captures.
            self.out.push('(');
            return Ok(true);
        }
        self.rest = inside;
        let (mut is_negative, mut has_flag) = (false, false);
        while let Some(flag) = self.next() {
            match flag {
                'i' | 'm' | 's' | 'U' => has_flag = true,
                '-' if !is_negative => (is_negative, has_flag) = (true, false),
                ':' | ')' if has_flag || !is_negative => {
                    let text = self.since(at);
                    // Ours has no group without flags that ends at once.
                    if text != "(?)" {
                        self.out.push_str(text);
                    }
                    return Ok(flag == ':');
                }
                _ => break,
            }
        }
        Err(Wrong("invalid or unsupported Perl syntax", self.since(at)))
    }

    /// An escape sequence outside of a class.
    fn escape(&mut self) -> Result<(), Wrong<'t>> {
        let at = self.rest;
        match at[1..].chars().next() {
            Some('A' | 'z') => self.copy(2),
            Some(letter @ ('b' | 'B')) => {
                self.rest = &at[2..];
                self.out.push_str(if letter == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
            }
            Some('Q') => {
                let (text, behind) = at[2..].split_once("\\E").unwrap_or((&at[2..], ""));
                self.rest = behind;
                // In a group, so that what repeats the last character does so.
                text.chars().for_each(|character| push_literal(&mut self.out, character));
            }
            _ => self.member(false)?,
        }
        Ok(())
    }

    /// A class of characters, or one character, behind a backslash.
    fn member(&mut self, in_class: bool) -> Result<(), Wrong<'t>> {
        let at = self.rest;
        if let Some(letter @ ('d' | 'D' | 'w' | 'W' | 's' | 'S')) = at[1..].chars().next() {
            self.rest = &at[2..];
            push_ascii(letter, in_class, &mut self.out);
            return Ok(());
        }
        if at[1..].starts_with(['p', 'P']) {
            return self.unicode();
        }
        let character = self.character()?;
        push_literal(&mut self.out, character);
        Ok(())
    }

    /// `\pN`, `\p{Greek}`, `\P{^Greek}`
    fn unicode(&mut self) -> Result<(), Wrong<'t>> {
        let at = self.rest;
        let wrong = "invalid character class range";
        self.rest = &at[2..];
        let name = match self.next() {
            Some('{') => {
                let (name, behind) = self.rest.split_once('}').ok_or(Wrong(wrong, at))?;
                self.rest = behind;
                name
            }
            Some(character) => &at[2..2 + character.len_utf8()],
            None => return Err(Wrong("invalid escape sequence", at)),
        };
        let (name, is_inverse) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
        let letter = if at[1..].starts_with('P') == is_inverse { 'p' } else { 'P' };
        let translated = format!("\\{letter}{{{name}}}");
        if !is_unicode_class(name) {
            return Err(Wrong(wrong, self.since(at)));
        }
        self.out.push_str(&translated);
        Ok(())
    }

    /// One character behind a backslash.
    fn character(&mut self) -> Result<char, Wrong<'t>> {
        let at = self.rest;
        self.rest = &at[1..];
        let Some(escaped) = self.next() else {
            return Err(Wrong("trailing backslash at end of expression", ""));
        };
        let octal = |text: &str| text.starts_with(|c: char| matches!(c, '0'..='7'));
        let found = match escaped {
            '0' => self.octal(0),
            '1'..='7' if octal(self.rest) => self.octal(escaped.to_digit(8).unwrap_or(0)),
            'x' => self.hexadecimal(),
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => Some(other),
            _ => None,
        };
        found.ok_or_else(|| Wrong("invalid escape sequence", self.since(at)))
    }

    /// Up to two more digits.
    fn octal(&mut self, mut number: u32) -> Option<char> {
        for _ in 0..2 {
            let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else { break };
            number = number * 8 + digit;
            self.rest = &self.rest[1..];
        }
        char::from_u32(number)
    }

    /// `41`, `{1F600}`
    fn hexadecimal(&mut self) -> Option<char> {
        if !self.rest.starts_with('{') {
            let digits = [self.next()?, self.next()?].map(|digit| digit.to_digit(16));
            return char::from_u32(digits[0]? * 16 + digits[1]?);
        }
        self.next();
        let mut number = None;
        loop {
            match self.next()? {
                '}' => return char::from_u32(number?),
                digit => {
                    number = Some(number.unwrap_or(0) * 16 + digit.to_digit(16)?);
                    number.filter(|number| *number <= u32::from(char::MAX))?;
                }
            }
        }
    }

    /// A class in brackets.
    fn class(&mut self) -> Result<(), Wrong<'t>> {
        let at = self.rest;
        self.copy(1);
        if self.rest.starts_with('^') {
            self.copy(1);
        }
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if let Some(name) = named_class(self.rest) {
                let known = name.strip_prefix('^').unwrap_or(name);
                if !NAMED_CLASSES.contains(&known) {
                    return Err(Wrong("invalid character class range", &self.rest[..name.len() + 4]));
                }
                self.copy(name.len() + 4);
                continue;
            }
            if self.rest.starts_with('\\')
                && self.rest[1..].starts_with(['d', 'D', 'w', 'W', 's', 'S', 'p', 'P'])
            {
                self.member(true)?;
                continue;
            }
            self.range(at)?;
        }
        self.copy(1);
        Ok(())
    }

    /// A character of a class, or a range.
    fn range(&mut self, class: &'t str) -> Result<(), Wrong<'t>> {
        let at = self.rest;
        let low = self.of_class(class)?;
        push_literal(&mut self.out, low);
        let Some(behind) = self.rest.strip_prefix('-').filter(|behind| !behind.starts_with(']')) else {
            return Ok(());
        };
        self.rest = behind;
        let high = self.of_class(class)?;
        if high < low {
            return Err(Wrong("invalid character class range", self.since(at)));
        }
        self.out.push('-');
        push_literal(&mut self.out, high);
        Ok(())
    }

    fn of_class(&mut self, class: &'t str) -> Result<char, Wrong<'t>> {
        match self.rest.chars().next() {
            None => Err(Wrong("missing closing ]", class)),
            Some('\\') => self.character(),
            Some(character) => {
                self.next();
                Ok(character)
            }
        }
    }
}

/// The name in `[:name:]`. What is longer than any name is not looked at for its end.
fn named_class(at: &str) -> Option<&str> {
    let inside = at.strip_prefix("[:")?;
    let end = inside.bytes().take(NAME_BYTES_MAX).position(|byte| byte == b':')?;
    inside[end..].starts_with(":]").then(|| &inside[..end])
}

/// Whether Unicode has a class, or a script, of this name. Those that are found are few, and remembered.
fn is_unicode_class(name: &str) -> bool {
    static KNOWN: Mutex<BTreeSet<Box<str>>> = Mutex::new(BTreeSet::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_name = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if !is_name || known().contains(name) {
        return is_name;
    }
    let is_known = regex::Regex::new(&format!("\\p{{{name}}}")).is_ok();
    if is_known {
        known().insert(name.into());
    }
    is_known
}

/// The numbers of `{3}`, `{3,}` or `{3,5}`, and what is behind; none for anything else, which stands for itself.
fn bounds(at: &str) -> Option<(u64, Option<u64>, &str)> {
    let inside = at.strip_prefix('{')?;
    let end = inside.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b','))?;
    let behind = inside[end..].strip_prefix('}')?;
    let inside = &inside[..end];
    let number = |text: &str| {
        let is_number = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        // What is too long for a number is too much.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match inside.split_once(',') {
        None => number(inside).map(|times| (times, Some(times), behind)),
        Some((least, "")) => number(least).map(|least| (least, None, behind)),
        Some((least, most)) => {
            number(least).zip(number(most)).map(|(least, most)| (least, Some(most), behind))
        }
    }
}

fn push_literal(out: &mut String, character: char) {
    // Ours gives `\<` and `\>` a meaning of their own.
    if (character.is_ascii_punctuation() && !matches!(character, '<' | '>')) || character == ' ' {
        out.push('\\');
    }
    out.push(character);
}

/// `\d` and the like, which mean ASCII characters.
fn push_ascii(letter: char, in_class: bool, out: &mut String) {
    let inside = match letter.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        _ => r"\t\n\f\r\x20",
    };
    match (in_class, letter.is_ascii_uppercase()) {
        (true, false) => out.push_str(inside),
        (_, true) => out.extend(["[^", inside, "]"]),
        (false, false) => out.extend(["[", inside, "]"]),
    }
}

#[cfg(test)]
mod tests;
