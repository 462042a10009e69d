//! Names of fields as identifiers (`k8s.io/apiserver/pkg/cel/escaping.go`).

use crate::words::is_word;

/// The identifier for a field: `a-b` is `a__dash__b`, `namespace` is `__namespace__`. `None` if there is none, so that
/// expressions cannot refer to the field.
///
/// ```
/// assert_eq!(cel::escape("a.b").as_deref(), Some("a__dot__b"));
/// assert_eq!(cel::escape("1a"), None);
/// ```
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Some(escaped) = escape_reserved(name) {
        return Some(escaped);
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let (length, replacement) = match first {
            '_' if rest.starts_with("__") => (2, "__underscores__"),
            '.' => (1, "__dot__"),
            '-' => (1, "__dash__"),
            '/' => (1, "__slash__"),
            '_' | '0'..='9' | 'a'..='z' | 'A'..='Z' => (1, rest.get(..1)?),
            _ => return None,
        };
        escaped.push_str(replacement);
        rest = rest.get(length..)?;
    }
    Some(escaped)
}

/// The identifier for a field whose name is a word of the language.
pub(crate) fn escape_reserved(name: &str) -> Option<String> {
    is_word(name).then(|| format!("__{name}__"))
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn names_are_escaped_as_upstream() {
        for (name, escaped) in [
            ("a", Some("a")),
            ("a1_b", Some("a1_b")),
            ("_if", Some("_if")),
            ("if", Some("__if__")),
            ("has", Some("has")),
            ("namespace", Some("__namespace__")),
            ("a.a", Some("a__dot__a")),
            ("a-a", Some("a__dash__a")),
            ("a/a", Some("a__slash__a")),
            ("a__a", Some("a__underscores__a")),
            ("a___a", Some("a__underscores___a")),
            ("a____a", Some("a__underscores____underscores__a")),
            ("a__dot__a", Some("a__underscores__dot__underscores__a")),
            ("a$a", None),
            ("a@a", None),
            ("1a", None),
            ("", None),
            ("\u{e4}", None),
        ] {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
        }
    }
}
