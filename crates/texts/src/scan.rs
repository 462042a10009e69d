//! Finds the values in a text.

use memchr::memchr2;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start as usize..self.end as usize]
    }
}

/// The values of a text, and the digest of everything else.
pub(crate) struct Scan {
    pub(crate) values: Vec<Span>,
    pub(crate) form: u64,
}

/// Scans a text. Values are the strings, numbers and literals of JSON, but not the names of members. A text that is no
/// JSON has whatever looks like that.
pub(crate) fn scan(text: &[u8], seed: u64) -> Scan {
    let mut scan = Scan { values: Vec::with_capacity(text.len() / 24), form: seed };
    let (mut at, mut behind_value) = (0, 0);
    while let Some(byte) = text.get(at) {
        let end = match byte {
            b'"' => string_end(text, at),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => word_end(text, at),
            _ => {
                at += 1;
                continue;
            }
        };
        let is_value = *byte != b'"' || text.get(end) != Some(&b':');
        if let (true, Ok(start), Ok(end)) = (is_value, u32::try_from(at), u32::try_from(end)) {
            scan.form = xxh3_64_with_seed(&text[behind_value..at], scan.form);
            scan.values.push(Span { start, end });
            behind_value = end as usize;
        }
        at = end;
    }
    scan.form = xxh3_64_with_seed(&text[behind_value..], scan.form);
    scan
}

/// The position behind the string that begins here.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// The position behind the number or literal that begins here.
fn word_end(text: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b'"' | b' ' | b'\n');
    text[start..].iter().position(ends).map_or(text.len(), |length| start + length)
}
