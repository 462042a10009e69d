//! YAML text, as `sigs.k8s.io/yaml` reads and writes it: on the way to JSON, with the scalars of YAML 1.1 that
//! go-yaml knows (`yes`, `on`, `0644`), and back with sorted keys in block style.

use std::fmt;
use std::str::Utf8Error;

use crate::{Value, quote};

mod read;
mod scalar;
mod write;

/// How many findings of strict validation are kept, as upstream.
pub const STRICT_ERRORS_MAX: usize = 100;

/// Why text is not a YAML document, or cannot be expressed in JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// It is not YAML.
    #[error("error converting YAML to JSON: yaml: line {line}: {problem}")]
    Syntax {
        /// The line, from 1
        line: usize,
        /// The reason
        problem: String,
    },
    /// A body is one document.
    #[error("error converting YAML to JSON: yaml: line {line}: only one document is allowed")]
    SecondDocument {
        /// The line where the second one begins, from 1
        line: usize,
    },
    /// It is not UTF-8.
    #[error("error converting YAML to JSON: yaml: {problem}")]
    Encoding {
        /// The reason
        problem: &'static str,
    },
    /// Nesting beyond the parser's limit, which is less than [`json::DEPTH_MAX`](crate::json::DEPTH_MAX).
    #[error("error converting YAML to JSON: yaml: exceeded max depth")]
    TooDeep,
    /// Aliases that would make the document much larger than its text.
    #[error("error converting YAML to JSON: yaml: document contains excessive aliasing")]
    ExcessiveAliasing,
}

/// Keys that came twice in one mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DuplicateKeys {
    /// Line (from 1) and key
    pub keys: Vec<(usize, String)>,
}

impl DuplicateKeys {
    /// A line for each, as warnings show them.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(|(line, key)| format!("line {line}: key {} already set in map", quote(key)))
    }
}

impl fmt::Display for DuplicateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error converting YAML to JSON: yaml: unmarshal errors:")?;
        self.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Parses one document. Of duplicate keys the last counts.
///
/// ```
/// let pod = object::yaml::parse(b"metadata:\n  name: web\nreplicas: 0x10\npaused: yes\n")?;
/// assert_eq!(pod, object::value!({"metadata": {"name": "web"}, "replicas": 16, "paused": true}));
/// # Ok::<(), object::yaml::YamlError>(())
/// ```
pub fn parse(text: &[u8]) -> Result<Value, YamlError> {
    Ok(parse_reporting(text)?.0)
}

/// Like [`parse`], and reports duplicate keys.
pub fn parse_reporting(text: &[u8]) -> Result<(Value, Option<DuplicateKeys>), YamlError> {
    let text =
        std::str::from_utf8(text).map_err(|error| YamlError::Encoding { problem: octets(text, error) })?;
    let (value, duplicates) = read::read(text)?;
    Ok((value, Some(duplicates).filter(|duplicates| !duplicates.keys.is_empty())))
}

/// What go-yaml says of a sequence that is not UTF-8.
fn octets(text: &[u8], error: Utf8Error) -> &'static str {
    let sequence = &text[error.valid_up_to()..];
    let width = match sequence.first() {
        Some(0xC0..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF7) => 4,
        _ => return "invalid leading UTF-8 octet",
    };
    match sequence.get(1..width) {
        None => "incomplete UTF-8 octet sequence",
        Some(rest) if rest.iter().any(|octet| octet & 0xC0 != 0x80) => "invalid trailing UTF-8 octet",
        // A surrogate, or beyond the last character.
        Some(_) if matches!(sequence[0], 0xED | 0xF4..) => "invalid Unicode character",
        Some(_) => "invalid length of a UTF-8 sequence",
    }
}

/// The text of a value: keys sorted as go-yaml sorts them, lists as far left as their key, long text folded.
///
/// ```
/// let text = object::yaml::to_string(&object::value!({"b": ["1", 2], "a": {"c": null, "d": []}}));
/// assert_eq!(text, "a:\n  c: null\n  d: []\nb:\n- \"1\"\n- 2\n");
/// ```
pub fn to_string(value: &Value) -> String {
    write::write(value)
}

#[cfg(test)]
mod tests;
