//! The metadata of an object, without reading the rest of it.

use object::{Value, Versioned, json, value};

use crate::negotiate::MetaVersion;
use crate::table;

/// An object's metadata alone, as [`table::metadata_of`] shows it.
pub(super) fn metadata(item: &Versioned, version: MetaVersion) -> Value {
    let text = item.json();
    match member(&text, b"metadata").map(json::parse) {
        Some(Ok(metadata)) => value!({
            "kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata
        }),
        // Whatever is not found this way is looked for in the whole object.
        _ => table::metadata_of(&item.value(), version),
    }
}

/// The text of a member of an object that is known to be valid JSON without blanks; `None` if it has none of that name.
fn member<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = text.strip_prefix(b"{")?;
    loop {
        let key = rest.get(..value_len(rest)?)?;
        rest = rest.get(key.len()..)?.strip_prefix(b":")?;
        let (value, behind) = rest.split_at_checked(value_len(rest)?)?;
        if key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")) == Some(name) {
            return Some(value);
        }
        rest = behind.strip_prefix(b",")?;
    }
}

/// The length of the value at the beginning of a text; `None` if it does not end.
fn value_len(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        match text.get(at)? {
            b'"' => {
                at += 1 + string_len(text.get(at + 1..)?)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return text.iter().position(|byte| matches!(byte, b',' | b'}' | b']')),
            _ => {}
        }
        at += 1;
    }
}

/// How many bytes a string has behind its first quote, with its last one.
fn string_len(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        // What is escaped ends no string.
        at += 2;
        text.get(at..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object::{FieldValues, TypeMeta};

    use super::*;

    #[test]
    fn the_metadata_is_that_of_the_whole_object() {
        let objects = [
            r#"{"metadata":{"name":"a"}}"#,
            r#"{"kind":"Pod","metadata":{"name":"a","labels":{"a":"}\"{","b":"\\"}}}"#,
            r#"{"spec":{"metadata":{"name":"b"},"list":[1,[2,{"a":"]"}],"x"]},"metadata":{"name":"a"}}"#,
            r#"{"a":true,"b":null,"c":-1.5,"d":"metadata","\"metadata":{},"metadata":{"name":"a"}}"#,
            r#"{"metadata":{"name":"a","finalizers":["x"],"annotations":{"u":"\u0001í"}},"status":{}}"#,
        ];
        let type_meta = TypeMeta::new("v1", "Pod");
        for text in objects {
            let object = json::parse(text.as_bytes()).unwrap();
            let fields = FieldValues::default();
            let item = Versioned::from_value(Arc::clone(&type_meta), &object, fields).unwrap();
            let whole = table::metadata_of(&object, MetaVersion::V1);
            assert_eq!(metadata(&item, MetaVersion::V1), whole);
            let expected = json::to_vec(object.get("metadata"));
            assert_eq!(member(&item.json(), b"metadata"), Some(&*expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_or_broken_is_not_found() {
        for text in [
            "{}",
            "[]",
            "",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{\"a\":{}",
            "{\"a\":1}",
            "{\"a\":{\"metadata\":1}}",
            "{\"a\":]}",
        ] {
            assert_eq!(member(text.as_bytes(), b"metadata"), None, "{text}");
        }
    }
}
