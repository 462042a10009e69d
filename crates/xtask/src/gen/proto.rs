//! Reads field numbers out of `generated.proto` files.

use std::collections::BTreeMap;

/// The field numbers of one file: message name, field name, number.
pub(crate) type Numbers = BTreeMap<String, BTreeMap<String, u32>>;

/// Reads every message of `text`. The files are machine-written: one field a line, no nested messages.
pub(crate) fn parse(text: &str) -> Numbers {
    let mut messages = Numbers::new();
    let mut current: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("message ") {
            let name = rest.trim_end_matches('{').trim().to_owned();
            messages.insert(name.clone(), BTreeMap::new());
            current = Some(name);
        } else if line == "}" {
            current = None;
        } else if let (Some(message), Some((field, number))) = (&current, field(line)) {
            messages.entry(message.clone()).or_default().insert(field, number);
        }
    }
    messages
}

/// `optional string name = 1;` and similar lines.
fn field(line: &str) -> Option<(String, u32)> {
    if line.starts_with("//") {
        return None;
    }
    let (left, right) = line.strip_suffix(';')?.split_once(" = ")?;
    let number = right.split(' ').next()?.parse().ok()?;
    Some((left.rsplit(' ').next()?.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_numbers() {
        let numbers = parse(
            "message A {\n  // x = 9;\n  optional string name = 1;\n\n  map<string, k8s.B> b = 12;\n}\nmessage C {\n}\n",
        );
        assert_eq!(numbers["A"]["name"], 1);
        assert_eq!(numbers["A"]["b"], 12);
        assert_eq!(numbers["A"].len(), 2);
        assert!(numbers["C"].is_empty());
    }
}
