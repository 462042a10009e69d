//! Texts of which many are alike, such as the JSON of pods.
//!
//! The pods of a Deployment, the versions of one object and the events of one reason have the same members in the same
//! order, and most of their values are equal. So one of them is kept whole, as a [model](model::Model), and the others
//! keep the values that are different there, which is about a tenth of the text.
//!
//! A text is looked up by everything in it except its values (`scan`). The first of its form is kept whole; the second
//! becomes a model (`models`), because a text that nothing else resembles would only cost more as one. A model goes with
//! the last text that needs it.
//!
//! Nothing here depends on what a text means: any bytes come back as they were.
//!
//! ```
//! use texts::Text;
//! let pod = |name: &str| format!(r#"{{"metadata":{{"name":"{name}"}},"spec":"{}"}}"#, "x".repeat(300)).into_bytes();
//! let [_, _, third] = ["a", "b", "c"].map(|name| Text::compact(&pod(name)));
//! assert_eq!(third.to_bytes(), pod("c"));
//! assert!(third.own_len() < 10);
//! ```

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

mod model;
mod models;
mod scan;
#[cfg(test)]
mod tests;

use model::{Chunks, Model};

/// The shortest text that is compared with others.
const LEN_MIN: usize = 256;

/// An immutable text. Cheap to clone.
#[derive(Clone, Default)]
pub struct Text(Arc<Kept>);

#[derive(Default)]
struct Kept {
    /// The text; if it has a model, [what is different](Model::difference) from that.
    own: Box<[u8]>,
    model: Option<Arc<Model>>,
    len: usize,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(model) = self.model.take() {
            models::release(model);
        }
    }
}

impl Text {
    /// A text that is kept as its differences from one like it, if there is one.
    pub fn compact(text: &[u8]) -> Text {
        let compacted = if text.len() < LEN_MIN { None } else { models::compact(text) };
        match compacted {
            Some((model, own)) => Text(Arc::new(Kept { own, model: Some(model), len: text.len() })),
            None => Text::whole(text.into()),
        }
    }

    fn whole(text: Box<[u8]>) -> Text {
        Text(Arc::new(Kept { len: text.len(), own: text, model: None }))
    }

    /// How long it is.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// How many bytes it keeps alone.
    pub fn own_len(&self) -> usize {
        self.0.own.len()
    }

    /// Its parts, in their order; none is empty.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        match &self.0.model {
            Some(model) => Chunks::of(model, &self.0.own),
            None => Chunks::whole(&self.0.own),
        }
    }

    /// All of it, put together now unless it is kept whole.
    pub fn to_cow(&self) -> Cow<'_, [u8]> {
        match &self.0.model {
            None => Cow::Borrowed(&self.0.own),
            Some(_) => Cow::Owned(self.to_vec()),
        }
    }

    /// A copy of all of it.
    pub fn to_bytes(&self) -> Bytes {
        self.to_vec().into()
    }

    fn to_vec(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.len());
        self.chunks().for_each(|chunk| text.extend_from_slice(chunk));
        text
    }

    /// The byte at a position.
    pub fn byte(&self, at: usize) -> Option<u8> {
        let mut before = 0;
        self.chunks().find_map(|chunk| {
            let byte = chunk.get(at.wrapping_sub(before)).copied();
            before += chunk.len();
            byte
        })
    }

    /// Whether this is the same text in memory. Others may be equal.
    pub fn is(&self, other: &Text) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.is(other) || self.len() == other.len() && self.to_cow() == other.to_cow()
    }
}

impl Eq for Text {}

impl<B: AsRef<[u8]> + ?Sized> PartialEq<B> for Text {
    fn eq(&self, other: &B) -> bool {
        *self.to_cow() == *other.as_ref()
    }
}

/// Only the size: texts may be secret.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl From<Bytes> for Text {
    fn from(text: Bytes) -> Text {
        Text::whole(Vec::from(text).into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(text: Vec<u8>) -> Text {
        Text::whole(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        text.into_bytes().into()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::whole(text.as_bytes().into())
    }
}
