//! Strings and bytes, of objects or made by expressions.

use std::ops::Deref;
use std::sync::Arc;

/// A string of an object, or one that an expression made.
#[derive(Clone, Debug)]
pub struct Text<'v>(Part<'v, str>);

/// Bytes of a literal, or those that an expression made.
#[derive(Clone, Debug)]
pub struct Bytes<'v>(Part<'v, [u8]>);

#[derive(Debug)]
enum Part<'v, T: ?Sized> {
    Borrowed(&'v T),
    Shared(Arc<T>),
}

impl<T: ?Sized> Clone for Part<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Part::Borrowed(part) => Part::Borrowed(part),
            Part::Shared(part) => Part::Shared(Arc::clone(part)),
        }
    }
}

impl<T: ?Sized> Deref for Part<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Part::Borrowed(part) => part,
            Part::Shared(part) => part,
        }
    }
}

impl Text<'_> {
    /// The same as shared text.
    pub fn to_shared(&self) -> Arc<str> {
        match &self.0 {
            Part::Borrowed(text) => Arc::from(*text),
            Part::Shared(text) => Arc::clone(text),
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<'v> From<&'v str> for Text<'v> {
    fn from(text: &'v str) -> Self {
        Text(Part::Borrowed(text))
    }
}

impl From<Arc<str>> for Text<'_> {
    fn from(text: Arc<str>) -> Self {
        Text(Part::Shared(text))
    }
}

impl From<Vec<u8>> for Bytes<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(Part::Shared(bytes.into()))
    }
}

impl<'v> From<&'v [u8]> for Bytes<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Bytes(Part::Borrowed(bytes))
    }
}
