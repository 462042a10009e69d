//! Maps of texts that many objects have alike, such as labels or amounts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Word, packed};
use crate::Labels;

/// A map of texts, sorted by key. Equal maps are kept once, in one allocation.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Pairs(Option<Word>);

impl Pairs {
    /// The pairs, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut texts = packed::texts(self.0.as_deref().unwrap_or_default());
        std::iter::from_fn(move || Some((texts.next()?, texts.next()?)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .take_while(|(found, _)| *found <= key)
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    }

    /// A map of these pairs. Of two with one key the later one counts.
    fn of(mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Pairs {
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut text = String::new();
        for (at, (key, value)) in pairs.iter().enumerate() {
            if pairs.get(at + 1).is_none_or(|(next, _)| next != key) {
                packed::push(&mut text, key);
                packed::push(&mut text, value);
            }
        }
        Pairs((!text.is_empty()).then(|| Word::from(&*text)))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Pairs {
        Pairs::of(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl Labels for Pairs {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)
    }
}

/// A text that is borrowed where the parser has it in one piece.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(text.into()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(text.to_owned().into()))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text("".into()))
            }
        }
        deserializer.deserialize_any(Borrowed)
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
                let mut pairs = Vec::new();
                while let Some((Text(key), Text(value))) = map.next_entry()? {
                    pairs.push((key, value));
                }
                Ok(Pairs::of(pairs))
            }
            fn visit_unit<E>(self) -> Result<Pairs, E> {
                Ok(Pairs::default())
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_shared() {
        let pairs: Pairs = serde_json::from_str(r#"{"memory": "1Gi", "cpu": "1", "a\u0062": null}"#).unwrap();
        assert_eq!((pairs.get("cpu"), pairs.get("memory"), pairs.get("x")), (Some("1"), Some("1Gi"), None));
        assert_eq!(pairs.iter().collect::<Vec<_>>(), [("ab", ""), ("cpu", "1"), ("memory", "1Gi")]);
        let same: Pairs =
            [("ab", ""), ("memory", "2Gi"), ("cpu", "1"), ("memory", "1Gi")].into_iter().collect();
        assert_eq!(pairs, same);
        assert_eq!(pairs.0.as_deref().map(str::as_ptr), same.0.as_deref().map(str::as_ptr));
        assert_eq!(format!("{pairs:?}"), r#"{"ab": "", "cpu": "1", "memory": "1Gi"}"#);
        assert_eq!(serde_json::to_string(&pairs).unwrap(), r#"{"ab":"","cpu":"1","memory":"1Gi"}"#);
        for empty in ["{}", "null"] {
            let empty: Pairs = serde_json::from_str(empty).unwrap();
            assert!(empty.is_empty() && empty == Pairs::default());
        }
        assert!(serde_json::from_str::<Pairs>(r#"{"a": 1}"#).is_err());
    }
}
