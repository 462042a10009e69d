//! JSON text, as Go's `encoding/json` and `sigs.k8s.io/json` read and write it.
//!
//! [`parse`] does not know types. A request is read by [`decode::decode_json`](crate::decode::decode_json), which knows
//! them.

use std::cell::Cell;

use bytes::{BufMut, Bytes};

use crate::Value;

mod measure;
mod parse;
mod write;

pub use measure::{check, is_within};
pub(crate) use parse::{Hint, parse_hinted};
pub use write::write_string;

/// The maximum nesting; deeper text is refused. Far more than any API type has, and far less than a thread's stack
/// allows.
pub const DEPTH_MAX: usize = 512;

/// How many bytes each thread keeps for text that it is about to write.
const DRAFT_BYTES_MAX: usize = 64 << 10;

/// Why text is not JSON, with Go's messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text ends in the middle of a value.
    #[error("unexpected end of JSON input")]
    UnexpectedEnd,
    /// A character that is not allowed at its position.
    #[error("invalid character {} {context}", quoted(*.character))]
    InvalidCharacter {
        /// The character
        character: char,
        /// What was being read
        context: &'static str,
        /// Its position, in bytes
        offset: usize,
    },
    /// Nesting beyond [`DEPTH_MAX`].
    #[error("exceeded max depth")]
    TooDeep,
    /// A number beyond the range of a double.
    #[error("json: cannot unmarshal number {0} into Go value of type float64")]
    NumberRange(Box<str>),
}

/// A character as Go's syntax errors quote it.
fn quoted(character: char) -> String {
    match character {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        '\\' => r"'\\'".to_owned(),
        '\n' => r"'\n'".to_owned(),
        '\r' => r"'\r'".to_owned(),
        '\t' => r"'\t'".to_owned(),
        c if c < ' ' || c == '\x7f' => format!("'\\x{:02x}'", c as u32),
        c => format!("'{c}'"),
    }
}

/// Parses one JSON document. The last of duplicate keys counts. Invalid UTF-8 becomes U+FFFD, as in Go.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let mut value = parse_hinted(text, Hint::NONE)?;
    value.drop_duplicates();
    Ok(value)
}

/// The text of a value, without spaces and without a line end.
pub fn to_bytes(value: &Value) -> Bytes {
    with_text(value, Bytes::copy_from_slice)
}

/// As [`to_bytes`], as a `Vec`.
pub fn to_vec(value: &Value) -> Vec<u8> {
    with_text(value, <[u8]>::to_vec)
}

/// Gives the text of a value to `keep`. It stands where there was room for it already, so that what is kept of it takes no
/// byte more than it needs.
pub fn with_text<T>(value: &Value, keep: impl FnOnce(&[u8]) -> T) -> T {
    thread_local! {
        static DRAFT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut draft = DRAFT.take();
    draft.clear();
    write::write_value(value, &mut draft);
    let kept = keep(&draft);
    draft.truncate(DRAFT_BYTES_MAX);
    draft.shrink_to(DRAFT_BYTES_MAX);
    DRAFT.set(draft);
    kept
}

/// Appends the text of a value.
pub fn to_writer(value: &Value, out: &mut impl BufMut) {
    write::write_value(value, out);
}

#[cfg(test)]
pub(crate) mod tests;
