//! Keys of objects.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A key: borrowed where it is the name of a field of the table or of the program, owned otherwise.
#[derive(Clone)]
pub struct Key(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Owned(Box<str>),
}

impl Key {
    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(s) => s,
            Repr::Owned(s) => s,
        }
    }
}

impl From<&'static str> for Key {
    fn from(key: &'static str) -> Key {
        Key(Repr::Static(key))
    }
}

impl From<String> for Key {
    fn from(key: String) -> Key {
        Key(Repr::Owned(key.into_boxed_str()))
    }
}

impl From<Box<str>> for Key {
    fn from(key: Box<str>) -> Key {
        Key(Repr::Owned(key))
    }
}

impl From<&std::borrow::Cow<'static, str>> for Key {
    fn from(key: &std::borrow::Cow<'static, str>) -> Key {
        match key {
            std::borrow::Cow::Borrowed(key) => Key::from(*key),
            std::borrow::Cow::Owned(key) => Key::from(key.clone()),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
