//! The values of literals. The lexer has checked their form.

/// `1`, `0x1`
pub(super) fn int(negative: bool, text: &str) -> Result<i64, &'static str> {
    let magnitude = magnitude(text).ok_or("invalid int literal")?;
    let value = i128::from(magnitude) * if negative { -1 } else { 1 };
    i64::try_from(value).map_err(|_| "invalid int literal")
}

/// `1u`, `0x1U`
pub(super) fn uint(text: &str) -> Result<u64, &'static str> {
    magnitude(text.trim_end_matches(['u', 'U'])).ok_or("invalid uint literal")
}

fn magnitude(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `1.5`, `1e3`, `.5`
pub(super) fn double(negative: bool, text: &str) -> Result<f64, &'static str> {
    let value: f64 = text.parse().map_err(|_| "invalid double literal")?;
    if value.is_infinite() {
        return Err("invalid double literal");
    }
    Ok(if negative { -value } else { value })
}

/// A string with its quotes and perhaps an `r`.
pub(super) fn string(quoted: &str) -> Result<String, &'static str> {
    String::from_utf8(unescape(quoted, Meaning::Text)?).map_err(|_| "invalid unicode code point")
}

/// Bytes with their quotes, without the `b`.
pub(super) fn bytes(quoted: &str) -> Result<Vec<u8>, &'static str> {
    unescape(quoted, Meaning::Bytes)
}

/// What escape sequences with a number stand for.
#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    /// A character.
    Text,
    /// One byte.
    Bytes,
}

fn unescape(quoted: &str, meaning: Meaning) -> Result<Vec<u8>, &'static str> {
    let lines = quoted.replace("\r\n", "\n").replace('\r', "\n");
    let raw = lines.starts_with(['r', 'R']);
    let inner = inside(lines.trim_start_matches(['r', 'R'])).ok_or("unable to unescape string")?;
    if raw || !inner.contains('\\') {
        return Ok(inner.into());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = escape(&rest[at + 1..], meaning, &mut out)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// What is between the quotes.
fn inside(quoted: &str) -> Option<&str> {
    for quotes in ["\"\"\"", "'''", "\"", "'"] {
        let inner = quoted.strip_prefix(quotes).and_then(|rest| rest.strip_suffix(quotes));
        if inner.is_some() {
            return inner;
        }
    }
    None
}

/// Writes what the escape sequence behind a backslash stands for, and returns what is behind it.
fn escape<'t>(text: &'t str, meaning: Meaning, out: &mut Vec<u8>) -> Result<&'t str, &'static str> {
    let wrong = "unable to unescape string";
    let first = text.chars().next().ok_or(wrong)?;
    let rest = &text[first.len_utf8()..];
    let (digits, radix) = match first {
        'x' | 'X' => (rest.get(..2), 16),
        'u' if meaning == Meaning::Text => (rest.get(..4), 16),
        'U' if meaning == Meaning::Text => (rest.get(..8), 16),
        '0'..='3' => (text.get(..3), 8),
        _ => {
            out.push(simple(first).ok_or(wrong)?);
            return Ok(rest);
        }
    };
    let digits = digits.ok_or(wrong)?;
    let value = u32::from_str_radix(digits, radix).map_err(|_| wrong)?;
    match meaning {
        Meaning::Bytes => out.push(u8::try_from(value).map_err(|_| wrong)?),
        Meaning::Text => {
            let character = char::from_u32(value).ok_or("invalid unicode code point")?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(if radix == 8 { &text[3..] } else { &rest[digits.len()..] })
}

fn simple(letter: char) -> Option<u8> {
    Some(match letter {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' | '\'' | '"' | '`' | '?' => u8::try_from(letter).ok()?,
        _ => return None,
    })
}
