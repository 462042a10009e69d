//! Errors of single fields, and the paths that name them.
//!
//! The texts are part of the API: clients and tests match them. They follow
//! `k8s.io/apimachinery/pkg/util/validation/field`.
//!
//! ```
//! use object::field::{Error, Errors, Path};
//! let spec = Path::root("spec");
//! let mut errors = Errors::new();
//! errors.invalid(&spec.child("replicas"), -1, "must be greater than or equal to 0");
//! errors.required(&spec.child("containers").index(0).child("name"), "");
//! assert_eq!(
//!     errors.to_string(),
//!     "[spec.replicas: Invalid value: -1: must be greater than or equal to 0, \
//!      spec.containers[0].name: Required value]"
//! );
//! ```

use std::collections::HashSet;
use std::fmt;

use crate::text::quote;
use crate::{Value, json};

mod path;
#[cfg(test)]
mod tests;

pub use path::Path;

/// How many errors are reported; further ones are only counted.
pub const ERRORS_MAX: usize = 100;
/// The maximum length of a reported path, value or detail, in bytes.
const TOLD_BYTES_MAX: usize = 4 << 10;

/// The kind of a field error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A value that the field refers to does not exist.
    NotFound,
    /// The field must be set.
    Required,
    /// The value must be unique and is not.
    Duplicate,
    /// The value is malformed or out of bounds.
    Invalid,
    /// The value is not one of the known ones.
    NotSupported,
    /// The value is well-formed but must not stand here.
    Forbidden,
    /// The value is too long; it is left out of the message.
    TooLong,
    /// The value is too short; it is left out of the message.
    TooShort,
    /// A list has too many items.
    TooMany,
    /// A list has too few items.
    TooFew,
    /// The server failed, not the field.
    Internal,
    /// The value has a different type than the schema says.
    TypeInvalid,
}

impl ErrorKind {
    /// The machine-readable reason of a cause in a Status.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "FieldValueNotFound",
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::Invalid => "FieldValueInvalid",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooShort => "FieldValueTooShort",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::TooFew => "FieldValueTooFew",
            ErrorKind::Internal => "InternalError",
            ErrorKind::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    /// The words that begin the message.
    fn words(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "Not found",
            ErrorKind::Required => "Required value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::Invalid | ErrorKind::TypeInvalid => "Invalid value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooShort => "Too short",
            ErrorKind::TooMany => "Too many",
            ErrorKind::TooFew => "Too few",
            ErrorKind::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        use ErrorKind::{Forbidden, Internal, Required, TooLong, TooShort};
        !matches!(self, Required | Forbidden | TooLong | TooShort | Internal)
    }
}

/// One field error.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The path of the field, as text.
    pub path: String,
    /// The value that is wrong, as the message shows it; `None` leaves it out. Not the value itself, which may be large:
    /// a hundred errors may be about the same list.
    pub shown: Option<String>,
    /// More words; may be empty.
    pub detail: String,
}

impl Error {
    /// An error of any kind.
    pub fn new(
        kind: ErrorKind,
        path: &Path<'_>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Error {
        let (path, detail) = (shortened(path.to_string()), shortened(detail.into()));
        Error { kind, path, shown: kind.shows_value().then(|| shown(&value.into())), detail }
    }

    /// A malformed value.
    pub fn invalid(path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, path, value, detail)
    }

    /// A value of the wrong type.
    pub fn type_invalid(path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Error {
        Error::new(ErrorKind::TypeInvalid, path, value, detail)
    }

    /// A missing value.
    pub fn required(path: &Path<'_>, detail: impl Into<String>) -> Error {
        Error::new(ErrorKind::Required, path, "", detail)
    }

    /// A value that must not stand here.
    pub fn forbidden(path: &Path<'_>, detail: impl Into<String>) -> Error {
        Error::new(ErrorKind::Forbidden, path, "", detail)
    }

    /// A value that appears twice.
    pub fn duplicate(path: &Path<'_>, value: impl Into<Value>) -> Error {
        Error::new(ErrorKind::Duplicate, path, value, "")
    }

    /// A value that refers to nothing.
    pub fn not_found(path: &Path<'_>, value: impl Into<Value>) -> Error {
        Error::new(ErrorKind::NotFound, path, value, "")
    }

    /// A value that is not in `supported`, which the message lists in the given order (usually sorted, as upstream).
    pub fn not_supported(path: &Path<'_>, value: impl Into<Value>, supported: &[&str]) -> Error {
        let names: Vec<String> = supported.iter().map(|name| quote(name)).collect();
        let detail = match names.is_empty() {
            true => String::new(),
            false => format!("supported values: {}", names.join(", ")),
        };
        Error::new(ErrorKind::NotSupported, path, value, detail)
    }

    /// A value of more than `max` bytes.
    pub fn too_long(path: &Path<'_>, max: usize) -> Error {
        let detail = format!("may not be more than {}", counted(max, "byte"));
        Error::new(ErrorKind::TooLong, path, "<value omitted>", detail)
    }

    /// A value of more than `max` characters.
    pub fn too_long_characters(path: &Path<'_>, max: usize) -> Error {
        let detail = format!("may not be more than {}", counted(max, "character"));
        Error::new(ErrorKind::TooLong, path, "<value omitted>", detail)
    }

    /// A value of less than `min` characters.
    pub fn too_short(path: &Path<'_>, value: impl Into<Value>, min: usize) -> Error {
        Error::new(
            ErrorKind::TooShort,
            path,
            value,
            format!("must be at least {}", counted(min, "character")),
        )
    }

    /// A list of `actual` items, where `max` are allowed.
    pub fn too_many(path: &Path<'_>, actual: usize, max: usize) -> Error {
        let detail = format!("must have at most {}", counted(max, "item"));
        Error::new(ErrorKind::TooMany, path, count(actual), detail)
    }

    /// A list of `actual` items, where `min` are needed.
    pub fn too_few(path: &Path<'_>, actual: usize, min: usize) -> Error {
        let detail = format!("must have at least {}", counted(min, "item"));
        Error::new(ErrorKind::TooFew, path, count(actual), detail)
    }

    /// A failure of the server while it looked at the field.
    pub fn internal(path: &Path<'_>, detail: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, path, "", detail)
    }

    /// The same error without the value in its message.
    pub fn without_value(mut self) -> Error {
        self.shown = None;
        self
    }

    /// The same error with other words.
    pub fn with_detail(self, detail: impl Into<String>) -> Error {
        Error { detail: shortened(detail.into()), ..self }
    }

    /// The message without the path, as in a cause of a Status.
    pub fn body(&self) -> String {
        let mut text = String::from(self.kind.words());
        if let Some(value) = &self.shown {
            text.push_str(": ");
            text.push_str(value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

/// A value in a message.
fn shown(value: &Value) -> String {
    shortened(match value {
        Value::String(text) => quote(text),
        other => String::from_utf8_lossy(&json::to_vec(other)).into_owned(),
    })
}

/// A text that a client has made long, cut.
fn shortened(mut text: String) -> String {
    if text.len() > TOLD_BYTES_MAX {
        let len = text.len();
        text.truncate(text.floor_char_boundary(TOLD_BYTES_MAX));
        text.push_str(&format!("... ({len} bytes)"));
    }
    text
}

fn count(items: usize) -> Value {
    Value::Int(i64::try_from(items).unwrap_or(i64::MAX))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for Error {}

/// The field errors of one object, in the order in which they were found: [`ERRORS_MAX`] of them, and the number of
/// further ones. The methods for each kind create no text for errors that are only counted.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Errors {
    list: Vec<Error>,
    /// How many more there are.
    omitted: usize,
    tolerated: Vec<Error>,
}

impl Errors {
    /// None.
    pub fn new() -> Errors {
        Errors::default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are, duplicates and those that are only counted included.
    pub fn len(&self) -> usize {
        self.list.len() + self.omitted
    }

    /// How many are only counted.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// The reported errors.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.list.iter()
    }

    /// Adds one.
    pub fn push(&mut self, error: Error) {
        self.push_with(|| error);
    }

    /// Adds one, which is created only if it is reported.
    pub fn push_with(&mut self, error: impl FnOnce() -> Error) {
        match self.list.len() < ERRORS_MAX {
            true => self.list.push(error()),
            false => self.omitted += 1,
        }
    }

    /// Adds those of another list.
    pub fn append(&mut self, other: Errors) {
        self.extend(other.list);
        self.omitted += other.omitted;
        other.tolerated.into_iter().for_each(|error| self.tolerate(error));
    }

    /// Adds one that is not refused but told as a warning: the object had it before. It does not count.
    pub fn tolerate(&mut self, error: Error) {
        if self.tolerated.len() < ERRORS_MAX {
            self.tolerated.push(error);
        }
    }

    /// Those that are told as warnings.
    pub fn tolerated(&self) -> &[Error] {
        &self.tolerated
    }

    /// Adds [`Error::invalid`].
    pub fn invalid(&mut self, path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.push_with(|| Error::invalid(path, value, detail));
    }

    /// Adds one [`Error::invalid`] for each message, as the checks of [`names`](crate::names) give them.
    pub fn invalid_each<M: Into<String>>(
        &mut self,
        path: &Path<'_>,
        value: impl Into<Value>,
        messages: impl IntoIterator<Item = M>,
    ) {
        let value = value.into();
        for message in messages {
            self.push_with(|| Error::invalid(path, value.clone(), message));
        }
    }

    /// Adds [`Error::required`].
    pub fn required(&mut self, path: &Path<'_>, detail: impl Into<String>) {
        self.push_with(|| Error::required(path, detail));
    }

    /// Adds [`Error::forbidden`].
    pub fn forbidden(&mut self, path: &Path<'_>, detail: impl Into<String>) {
        self.push_with(|| Error::forbidden(path, detail));
    }

    /// Adds [`Error::duplicate`].
    pub fn duplicate(&mut self, path: &Path<'_>, value: impl Into<Value>) {
        self.push_with(|| Error::duplicate(path, value));
    }

    /// Adds [`Error::not_supported`].
    pub fn not_supported(&mut self, path: &Path<'_>, value: impl Into<Value>, supported: &[&str]) {
        self.push_with(|| Error::not_supported(path, value, supported));
    }

    /// `Ok` if there are none, otherwise all of them as an error.
    ///
    /// # Errors
    /// The list itself, where it is not empty.
    pub fn into_result(self) -> Result<(), Errors> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// A single error has no brackets; several are in brackets; equal messages appear once; the number of further errors
/// comes last.
impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut seen = HashSet::with_capacity(self.list.len());
        let mut messages: Vec<String> =
            self.list.iter().map(Error::to_string).filter(|message| seen.insert(message.clone())).collect();
        messages.extend(omitted_text(self.omitted));
        match messages.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

/// The text for errors that are only counted.
pub(crate) fn omitted_text(count: usize) -> Option<String> {
    (count > 0).then(|| format!("{} omitted", counted(count, "more error")))
}

impl std::error::Error for Errors {}

impl From<Error> for Errors {
    fn from(error: Error) -> Errors {
        Errors { list: vec![error], ..Errors::default() }
    }
}

impl FromIterator<Error> for Errors {
    fn from_iter<I: IntoIterator<Item = Error>>(iter: I) -> Errors {
        let mut errors = Errors::new();
        errors.extend(iter);
        errors
    }
}

impl Extend<Error> for Errors {
    fn extend<I: IntoIterator<Item = Error>>(&mut self, iter: I) {
        iter.into_iter().for_each(|error| self.push(error));
    }
}

impl IntoIterator for Errors {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}
