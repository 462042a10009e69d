//! Percent encoding, of paths and of queries.

use std::fmt::Write;

/// Decodes percent encoding. Invalid sequences are kept unchanged.
pub(super) fn decode(text: &str, plus_is_space: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                let digits = (ahead.next().and_then(hex), ahead.next().and_then(hex));
                if let (Some(high), Some(low)) = digits {
                    out.push(high << 4 | low);
                    bytes = ahead;
                } else {
                    out.push(b'%');
                }
            }
            other => out.push(other),
        }
    }
    out
}

/// A key or value of a query; `None` if it is not well encoded.
pub(super) fn decode_query(text: &str) -> Option<String> {
    is_well_encoded(text).then(|| String::from_utf8_lossy(&decode(text, true)).into_owned())
}

/// A part of a path; `None` if it is not well encoded.
pub(crate) fn decode_path(text: &str) -> Option<String> {
    is_well_encoded(text).then(|| String::from_utf8_lossy(&decode(text, false)).into_owned())
}

/// A path, encoded where it must be, as Go's `URL.EscapedPath` does.
pub(crate) fn encode_path(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn is_well_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || (is_hex(at + 1) && is_hex(at + 2)))
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_survives_bad_input() {
        for (text, query, path) in [
            ("a%2Fb+c", Some("a/b c"), Some("a/b+c")),
            ("%zz", None, None),
            ("%4", None, None),
            ("%", None, None),
            ("%ff", Some("\u{fffd}"), Some("\u{fffd}")),
        ] {
            assert_eq!(decode_query(text).as_deref(), query, "{text}");
            assert_eq!(decode_path(text).as_deref(), path, "{text}");
        }
        assert_eq!(decode("a%zz%", false), b"a%zz%");
        assert_eq!(encode_path(b"a/b?c#d e%\xff"), "a/b%3Fc%23d%20e%25%FF");
    }
}
