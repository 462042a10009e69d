//! Objects with declared fields: those of a schema, and messages that expressions make.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Evaluated, Value};
use crate::escape::{escape, escape_reserved};
use crate::{EvaluationError, Field, Meter, ObjectShape};

/// An object with declared fields.
#[derive(Clone, Debug)]
pub struct Object<'v>(Repr<'v>);

#[derive(Clone)]
enum Repr<'v> {
    Tree { map: &'v object::Map, shape: &'v ObjectShape },
    Made(Arc<Message<'v>>),
}

impl fmt::Debug for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repr::Tree { map, .. } => f.debug_map().entries(map.iter()).finish(),
            Repr::Made(message) => message.fmt(f),
        }
    }
}

#[derive(Debug)]
struct Message<'v> {
    name: Arc<str>,
    fields: BTreeMap<Box<str>, Value<'v>>,
}

impl<'v> Object<'v> {
    /// An object of a tree.
    pub fn of_tree(map: &'v object::Map, shape: &'v ObjectShape) -> Object<'v> {
        Object(Repr::Tree { map, shape })
    }

    /// A message, with its type's name and its fields by their names in expressions.
    pub fn made(name: Arc<str>, fields: BTreeMap<Box<str>, Value<'v>>) -> Object<'v> {
        Object(Repr::Made(Arc::new(Message { name, fields })))
    }

    /// The name of the type of a message that an expression made.
    pub fn made_name(&self) -> Option<&Arc<str>> {
        match &self.0 {
            Repr::Tree { .. } => None,
            Repr::Made(message) => Some(&message.name),
        }
    }

    /// How many fields it has, declared or not.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Tree { map, .. } => map.len(),
            Repr::Made(message) => message.fields.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A field by its name in expressions; `None` where it is absent or null.
    pub fn field(&self, name: &str) -> Option<Evaluated<'v>> {
        match &self.0 {
            Repr::Tree { map, shape } => {
                // A word of the language finds its field too, where it is written in backquotes.
                let field =
                    shape.fields.get(name).or_else(|| shape.fields.get(escape_reserved(name)?.as_str()))?;
                let value = map.get(&field.name).filter(|value| !value.is_null())?;
                Some(Value::of_tree(value, Some(&field.shape)))
            }
            Repr::Made(message) => message.fields.get(name).map(|value| Ok(value.clone())),
        }
    }

    /// The fields that are there and declared, by their names in expressions.
    pub fn fields(&self) -> Vec<(Value<'v>, Evaluated<'v>)> {
        match &self.0 {
            Repr::Tree { map, shape } => map
                .iter()
                .filter_map(|(name, value)| {
                    let (name, field) = declared(shape, name)?;
                    Some((Value::string(name.as_ref()), Value::of_tree(value, Some(&field.shape))))
                })
                .collect(),
            Repr::Made(message) => message
                .fields
                .iter()
                .map(|(name, value)| (Value::string(name.as_ref()), Ok(value.clone())))
                .collect(),
        }
    }

    /// The fields of the tree that are not declared, by their names in JSON.
    pub(super) fn undeclared(&self) -> impl Iterator<Item = (&'v str, &'v object::Value)> + use<'_, 'v> {
        let (map, shape) = match &self.0 {
            Repr::Tree { map, shape } => (Some(*map), Some(*shape)),
            Repr::Made(_) => (None, None),
        };
        map.into_iter()
            .flat_map(object::Map::iter)
            .filter(move |(name, _)| shape.is_none_or(|shape| declared(shape, name).is_none()))
    }

    /// The whole tree, if it is one.
    pub(super) fn tree(&self) -> Option<&'v object::Map> {
        match &self.0 {
            Repr::Tree { map, .. } => Some(map),
            Repr::Made(_) => None,
        }
    }
}

impl<'v> Value<'v> {
    /// Whether each message in a patch is of the type that its place asks for: `Object.spec` under the field `spec`.
    ///
    /// # Errors
    /// Upstream's message for each one that is not, or the value exceeds the meter's bound.
    pub fn check_message_names(&self, meter: &mut Meter<'_>) -> Result<(), EvaluationError> {
        let Value::Object(object) = self else { return Ok(()) };
        let Some(root) = object.made_name() else { return Ok(()) };
        let mut problems = Vec::new();
        check_names(self, root, &mut problems, meter)?;
        if problems.is_empty() { Ok(()) } else { Err(EvaluationError::failed(problems.join("\n"))) }
    }
}

/// How many wrong names are told.
const PROBLEMS_MAX: usize = 20;

fn check_names(
    value: &Value<'_>,
    path: &str,
    problems: &mut Vec<String>,
    meter: &mut Meter<'_>,
) -> Result<(), EvaluationError> {
    meter.use_bytes(1 + path.len())?;
    match value {
        Value::Object(object) => {
            let Repr::Made(message) = &object.0 else { return Ok(()) };
            if *message.name != *path && problems.len() < PROBLEMS_MAX {
                problems.push(format!(
                    "unexpected type name {:?}, expected {path:?}, which matches field name path from root Object type",
                    message.name
                ));
            }
            for (name, value) in &message.fields {
                check_names(value, &format!("{path}.{name}"), problems, meter)?;
            }
        }
        Value::List(list) => {
            for item in list.made() {
                check_names(item, path, problems, meter)?;
            }
        }
        Value::Map(map) => {
            for item in map.made() {
                check_names(item, path, problems, meter)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The field of a JSON name, and its name in expressions.
fn declared<'n, 's>(shape: &'s ObjectShape, name: &'n str) -> Option<(Cow<'n, str>, &'s Field)> {
    if let Some(field) = shape.fields.get(name).filter(|field| *field.name == *name) {
        return Some((Cow::Borrowed(name), field));
    }
    let escaped = escape(name)?;
    let field = shape.fields.get(escaped.as_str())?;
    Some((Cow::Owned(escaped), field))
}
