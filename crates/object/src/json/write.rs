//! The writer.

use bytes::BufMut;

use crate::Value;

pub(super) fn write_value(value: &Value, out: &mut impl BufMut) {
    match value {
        Value::Null => out.put_slice(b"null"),
        Value::Bool(true) => out.put_slice(b"true"),
        Value::Bool(false) => out.put_slice(b"false"),
        Value::Int(number) => out.put_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::Float(number) => write_float(*number, out),
        Value::String(text) => write_string(text, out),
        Value::List(items) => {
            out.put_u8(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.put_u8(b',');
                }
                write_value(item, out);
            }
            out.put_u8(b']');
        }
        Value::Map(map) => {
            out.put_u8(b'{');
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.put_u8(b',');
                }
                write_string(key, out);
                out.put_u8(b':');
                write_value(value, out);
            }
            out.put_u8(b'}');
        }
    }
}

/// A double in Go's form: the shortest digits, an exponent only for the very small and the very large. Go refuses to
/// encode NaN and infinities; here they become `null`.
fn write_float(number: f64, out: &mut impl BufMut) {
    if !number.is_finite() {
        return out.put_slice(b"null");
    }
    if number == 0.0 {
        // Without a sign: what reads `-0` takes it for the integer, and would write `0` from then on.
        return out.put_slice(b"0");
    }
    let magnitude = number.abs();
    if !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
        out.put_slice(digits.as_bytes());
        out.put_slice(if exponent.starts_with('-') { b"e" } else { b"e+" });
        out.put_slice(exponent.as_bytes());
    } else {
        out.put_slice(format!("{number}").as_bytes());
    }
}

/// The encoding of each byte: 0 for itself, `u` for a `\u00XX` escape, `e` for a byte that begins U+2028 or U+2029 (or
/// another character), otherwise the letter after a backslash. `<`, `>` and `&` are escaped, because Go does.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x0c] = b'f';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'<' as usize] = b'u';
    table[b'>' as usize] = b'u';
    table[b'&' as usize] = b'u';
    table[0xe2] = b'e';
    table
};

/// Appends a string with its quotes.
pub fn write_string(text: &str, out: &mut impl BufMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.put_u8(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    let mut at = 0;
    while let Some(length) = bytes[at..].iter().position(|&byte| ESCAPES[byte as usize] != 0) {
        at += length;
        let byte = bytes[at];
        let (escape, length): ([u8; 6], usize) = match ESCAPES[byte as usize] {
            b'e' => match bytes.get(at + 1..at + 3) {
                Some([0x80, last @ (0xa8 | 0xa9)]) => {
                    ([b'\\', b'u', b'2', b'0', b'2', HEX[usize::from(last & 0xf)]], 3)
                }
                _ => {
                    at += 1;
                    continue;
                }
            },
            b'u' => ([b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]], 1),
            letter => {
                out.put_slice(&bytes[written..at]);
                out.put_slice(&[b'\\', letter]);
                at += 1;
                written = at;
                continue;
            }
        };
        out.put_slice(&bytes[written..at]);
        out.put_slice(&escape);
        at += length;
        written = at;
    }
    out.put_slice(&bytes[written..]);
    out.put_u8(b'"');
}
