//! Text formatted as in Go, for messages of the API that must match byte for byte.

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

/// Prints a value as Go's `%v` does: `map[a:1 b:[x y]]`, with the keys sorted.
pub(crate) fn print(value: &Value) -> String {
    let joined = |texts: Vec<String>| texts.join(" ");
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) => x.to_string(),
        Value::String(s) => s.to_string(),
        Value::List(items) => format!("[{}]", joined(items.iter().map(print).collect())),
        Value::Map(map) => {
            let mut entries: Vec<(&str, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            let entries = entries.into_iter().map(|(key, value)| format!("{key}:{}", print(value)));
            format!("map[{}]", joined(entries.collect()))
        }
    }
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
    fn prints_as_go_does() {
        let value = value!({"b": [1, null, true, "x y"], "a": {"c": 1.5}});
        assert_eq!(print(&value), "map[a:map[c:1.5] b:[1 <nil> true x y]]");
    }
}
