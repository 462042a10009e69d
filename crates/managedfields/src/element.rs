//! One step of the path to a field.

use std::cmp::Ordering;
use std::fmt;

use object::{Key, Value, json};

/// One step of the path to a field: the name of a member, or which item of a list it is.
#[derive(Clone, Debug)]
pub enum Element {
    /// A member of an object or map.
    Field(Key),
    /// The item of an associative list with these values of its keys, in the order of their names.
    Key(Vec<(Key, Value)>),
    /// The item of a set.
    Value(Value),
    /// The item at this position.
    Index(i64),
}

/// Why a text cannot be read as an element.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// The text lacks the letter of its kind and a colon.
    #[error("{0:?} does not begin with a kind and a colon, such as f:")]
    NoKind(String),
    /// The kind is unknown.
    #[error("{0:?} is of no known kind (f, k, v or i)")]
    UnknownKind(String),
    /// What follows the colon does not fit the kind.
    #[error("{text:?} is not valid: {reason}")]
    Invalid {
        /// The whole text.
        text: String,
        /// What is wrong.
        reason: String,
    },
}

impl Element {
    /// Reads the form in `fieldsV1`: `f:NAME`, `k:{KEYS}`, `v:VALUE` or `i:POSITION`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Element, ElementError> {
        let Some((kind, content)) = text.split_once(':').filter(|(kind, _)| kind.len() == 1) else {
            return Err(ElementError::NoKind(text.to_owned()));
        };
        let invalid = |reason: String| ElementError::Invalid { text: text.to_owned(), reason };
        let value = || json::parse(content.as_bytes()).map_err(|error| invalid(error.to_string()));
        match kind {
            "f" => Ok(Element::field(content)),
            "v" => Ok(Element::Value(value()?)),
            "k" => match value()? {
                Value::Map(keys) => {
                    let keys = keys.iter().map(|(key, value)| (Key::from(key.to_owned()), value.clone()));
                    Ok(Element::keys(keys.collect()))
                }
                _ => Err(invalid("the keys must be an object".to_owned())),
            },
            "i" => content.parse().map(Element::Index).map_err(|error| invalid(error.to_string())),
            _ => Err(ElementError::UnknownKind(text.to_owned())),
        }
    }

    /// The item with these values of its keys.
    pub fn keys(mut keys: Vec<(Key, Value)>) -> Element {
        keys.sort_by(|(a, _), (b, _)| a.cmp(b));
        Element::Key(keys)
    }

    /// The member of an object with this name.
    pub fn field(name: &str) -> Element {
        Element::Field(match schema::field_name(name) {
            Some(known) => Key::from(known.name),
            None => Key::from(name.to_owned()),
        })
    }

    /// Whether a step of a pattern stands for it: the name of a member, or `*` for any element.
    pub(crate) fn matches(&self, step: &str) -> bool {
        step == "*" || matches!(self, Element::Field(name) if name.as_str() == step)
    }

    /// The form in `fieldsV1`.
    pub fn encode(&self) -> Key {
        Key::from(match self {
            Element::Field(name) => match schema::field_name(name.as_str()) {
                Some(known) => return Key::from(known.tagged),
                None => format!("f:{name}"),
            },
            Element::Key(keys) => encode_keys(keys),
            Element::Value(value) => format!("v:{}", text(value)),
            Element::Index(index) => format!("i:{index}"),
        })
    }
}

fn encode_keys(keys: &[(Key, Value)]) -> String {
    let mut text = Vec::with_capacity(64);
    text.extend_from_slice(b"k:{");
    for (position, (key, value)) in keys.iter().enumerate() {
        if position > 0 {
            text.push(b',');
        }
        json::write_string(key.as_str(), &mut text);
        text.push(b':');
        json::with_text(value, |value| text.extend_from_slice(value));
    }
    text.push(b'}');
    String::from_utf8(text).expect("JSON is UTF-8")
}

fn text(value: &Value) -> String {
    String::from_utf8(json::to_vec(value)).expect("JSON is UTF-8")
}

/// As messages show it: `.name`, `[name="nginx"]`, `[="a"]` or `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(f, ".{name}"),
            Element::Key(keys) => {
                f.write_str("[")?;
                for (position, (key, value)) in keys.iter().enumerate() {
                    let comma = if position == 0 { "" } else { "," };
                    write!(f, "{comma}{key}={}", text(value))?;
                }
                f.write_str("]")
            }
            Element::Value(value) => write!(f, "[={}]", text(value)),
            Element::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element {}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Element) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of elements in `fieldsV1`.
impl Ord for Element {
    fn cmp(&self, other: &Element) -> Ordering {
        match (self, other) {
            (Element::Field(a), Element::Field(b)) => a.cmp(b),
            (Element::Key(a), Element::Key(b)) => compare_lists(a, b, |(key, value), (other_key, other)| {
                key.cmp(other_key).then_with(|| compare_values(value, other))
            }),
            (Element::Value(a), Element::Value(b)) => compare_values(a, b),
            (Element::Index(a), Element::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl Element {
    fn rank(&self) -> u8 {
        match self {
            Element::Field(_) => 0,
            Element::Key(_) => 1,
            Element::Value(_) => 2,
            Element::Index(_) => 3,
        }
    }
}

fn compare_lists<T>(a: &[T], b: &[T], compare: impl Fn(&T, &T) -> Ordering) -> Ordering {
    let first = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
    first.unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Numbers by their size, then strings, truth values, lists, maps and `null`.
fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            let number = |value: &Value| value.as_f64().unwrap_or_default();
            number(a).total_cmp(&number(b))
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => compare_lists(a, b, compare_values),
        (Value::Map(a), Value::Map(b)) => {
            let sorted = |map: &object::Map| {
                let mut members: Vec<(String, Value)> =
                    map.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                members
            };
            compare_lists(&sorted(a), &sorted(b), |(key, value), (other_key, other)| {
                key.cmp(other_key).then_with(|| compare_values(value, other))
            })
        }
        _ => rank_of_value(a).cmp(&rank_of_value(b)),
    }
}

fn rank_of_value(value: &Value) -> u8 {
    match value {
        Value::Int(_) | Value::Float(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::List(_) => 3,
        Value::Map(_) => 4,
        Value::Null => 5,
    }
}
