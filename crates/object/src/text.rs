//! Texts as Go writes them, where messages of the API must match byte for byte.

use crate::Value;
use std::fmt::Write;

/// Quotes as Go's `%q` does (`strconv.Quote`).
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        quote_char(&mut out, c);
    }
    out.push('"');
    out
}

fn quote_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        ' '..='~' => out.push(c),
        c if (c as u32) < 0x80 => push(out, format_args!("\\x{:02x}", c as u32)),
        // Rust escapes here exactly what Unicode calls unprintable, as Go does.
        c if c.is_alphanumeric() || c.escape_debug().len() == 1 => out.push(c),
        c if (c as u32) < 0x10000 => push(out, format_args!("\\u{:04x}", c as u32)),
        c => push(out, format_args!("\\U{:08x}", c as u32)),
    }
}

/// Writes a value as compact JSON in the way of Go's `json.Marshal`: `<`, `>`, `&` and the line separators
/// U+2028 and U+2029 are escaped; members keep their order.
pub(crate) fn marshal(value: &Value) -> String {
    let mut out = String::new();
    marshal_into(&mut out, value);
    out
}

fn marshal_into(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => push(out, format_args!("{b}")),
        Value::Int(i) => push(out, format_args!("{i}")),
        Value::Float(x) => push(out, format_args!("{x}")),
        Value::String(s) => marshal_string(out, s),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                marshal_into(out, item);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, (key, member)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                marshal_string(out, key);
                out.push(':');
                marshal_into(out, member);
            }
            out.push('}');
        }
    }
}

fn marshal_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                push(out, format_args!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn push(out: &mut String, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn quotes_as_go_does() {
        for (text, quoted) in [
            ("web", r#""web""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\n\t\x01\x7f", r#""\n\t\x01\x7f""#),
            ("größe ☃", "\"größe ☃\""),
            ("\u{200b}\u{10ffff}", r#""\u200b\U0010ffff""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }

    #[test]
    fn marshals_as_go_does() {
        let value = value!({"a": [1, null, true, "x<y&z\n"], "b": {"c": 1.5}});
        assert_eq!(marshal(&value), r#"{"a":[1,null,true,"x\u003cy\u0026z\n"],"b":{"c":1.5}}"#);
    }
}
