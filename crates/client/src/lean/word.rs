//! Strings and maps of strings in little memory.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use semantics::{Field, View};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::shared::Table;

/// A text that many objects have alike, kept once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(Arc<str>);

fn words() -> &'static Table<str> {
    static TABLE: Table<str> = Table::new();
    &TABLE
}

impl Default for Word {
    fn default() -> Word {
        Word::from("")
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Word {
        Word(words().part(text, Arc::from))
    }
}

impl Deref for Word {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word::from(text))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Word, E> {
                Ok(Word::default())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl View for Word {
    fn as_field(&self) -> Field<'_> {
        if self.is_empty() { Field::Absent } else { Field::Text(self) }
    }
}

/// A map of texts, such as labels or amounts, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pairs(Box<[(Word, Word)]>);

impl Pairs {
    /// The pairs, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.binary_search_by(|(found, _)| (**found).cmp(key)).ok().map(|index| &*self.0[index].1)
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(Word, Word)> = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                pairs.sort();
                Ok(Pairs(pairs.into_boxed_slice()))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Pairs, E> {
                Ok(Pairs::default())
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

impl View for Pairs {
    fn as_field(&self) -> Field<'_> {
        if self.is_empty() { Field::Absent } else { Field::Object(self) }
    }

    fn field(&self, name: &str) -> Field<'_> {
        self.get(name).map_or(Field::Absent, Field::Text)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        self.iter().for_each(|(name, value)| visit(name, Field::Text(value)));
    }
}

impl object::Labels for Pairs {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_are_one_and_pairs_are_sorted() {
        assert!(Arc::ptr_eq(&Word::from("Ready").0, &Word::from("Ready").0));
        assert_ne!(Word::from("Ready"), Word::from("ready"));
        assert_eq!(Word::default(), Word::from(""));
        let pairs: Pairs = serde_json::from_str(r#"{"memory": "1Gi", "cpu": "1"}"#).unwrap();
        assert_eq!((pairs.get("cpu"), pairs.get("x")), (Some("1"), None));
        assert_eq!(pairs.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["cpu", "memory"]);
    }
}
