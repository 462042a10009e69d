//! The rules of a whole schema, beside the values that they are about.

use std::sync::{Arc, Mutex, PoisonError};

use cel::{Shape, ShapeKind};
use object::{Value, json};

use crate::memory::{Kept, Spent};
use crate::rule::{self, Rule};
use crate::shape::{flag, name_inside, shape_of};

/// The keyword of rules.
pub(crate) const RULES: &str = "x-kubernetes-validations";

/// How much larger the types of a schema are than its text.
const SHAPE_TIMES: usize = 8;

/// The rules of a schema. They are compiled when an object is first validated: most definitions of a cluster are never used.
pub struct Rules {
    /// The schema as JSON.
    schema: Arc<str>,
    compiled: Kept<Option<Node>>,
    /// Held by who compiles them: others wait.
    compiling: Mutex<()>,
}

/// The rules of one value and of those inside of it.
pub(crate) struct Node {
    /// The type in the schema, which messages show instead of a value.
    pub(crate) kind: Box<str>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) items: Option<Box<Node>>,
    /// The keys of a list by which an item finds its earlier state.
    pub(crate) keys: Option<Box<[Box<str>]>>,
    pub(crate) members: Option<Box<Node>>,
    /// In the order of their names.
    pub(crate) properties: Box<[(Box<str>, Node)]>,
}

impl Rules {
    /// The rules of a definition's schema, given as JSON text; none if it has no rules.
    pub fn of(schema: &Value, text: &Arc<str>) -> Option<Rules> {
        let (compiled, compiling) = Default::default();
        has_rules(schema).then(|| Rules { schema: Arc::clone(text), compiled, compiling })
    }

    /// The rules, if they are compiled; none in them if the schema has none that can be read.
    pub(crate) fn known(&self) -> Option<Arc<Option<Node>>> {
        self.compiled.get()
    }

    pub(crate) fn root(&self) -> Arc<Option<Node>> {
        if let Some(known) = self.known() {
            return known;
        }
        let _turn = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.known() {
            return known;
        }
        let spent = Spent::default();
        let compile = || {
            let schema = json::parse(self.schema.as_bytes()).ok()?;
            node(&schema, shape_of(&schema, "selfType", true)?, &spent)
        };
        let compiled = compile();
        self.compiled.put(compiled, spent.bytes() + SHAPE_TIMES * self.schema.len())
    }
}

/// The rules of a value that may stand anywhere in an object.
pub(crate) fn of_value(schema: &Value) -> Option<Node> {
    if !has_rules(schema) {
        return None;
    }
    let shape = shape_of(schema, "selfType", flag(schema, "x-kubernetes-embedded-resource"))?;
    node(schema, shape, &Spent::default())
}

/// Whether a schema, or one inside of it, has rules.
fn has_rules(schema: &Value) -> bool {
    if schema.as_map().is_none() {
        return false;
    }
    !schema.get(RULES).is_empty()
        || has_rules(schema.get("items"))
        || has_rules(schema.get("additionalProperties"))
        || schema.get("properties").entries().any(|(_, property)| has_rules(property))
}

/// The rules of a value with this schema and shape; none if there are none.
fn node(schema: &Value, shape: Arc<Shape>, spent: &Spent) -> Option<Node> {
    if !has_rules(schema) {
        return None;
    }
    let inner = |schema: &Value, shape: &Arc<Shape>| node(schema, Arc::clone(shape), spent).map(Box::new);
    let (mut items, mut keys, mut members) = (None, None, None);
    let mut properties: Vec<(Box<str>, Node)> = Vec::new();
    match &shape.kind {
        ShapeKind::List { items: of_items, list } => {
            items = inner(schema.get("items"), of_items);
            if let cel::ListKind::Map { keys: of_list } = list {
                keys = Some(of_list.iter().cloned().collect());
            }
        }
        ShapeKind::Map { values } => members = inner(schema.get("additionalProperties"), values),
        ShapeKind::Object(object) => {
            for (name, property) in schema.get("properties").entries() {
                let known = cel::escape(name).and_then(|escaped| object.fields.get(&*escaped));
                let shape = match known {
                    Some(field) => Some(Arc::clone(&field.shape)),
                    // Expressions cannot name it, but it has rules of its own.
                    None => {
                        let embedded = flag(property, "x-kubernetes-embedded-resource");
                        shape_of(property, &name_inside(&object.name, name), embedded)
                    }
                };
                if let Some(node) = shape.and_then(|shape| node(property, shape, spent)) {
                    properties.push((Box::from(name), node));
                }
            }
            properties.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        ShapeKind::Scalar(_) | ShapeKind::Dynamic => {}
    }
    Some(Node {
        kind: schema.str_at("type").into(),
        rules: rule::compile(schema.get(RULES), schema, &shape, spent),
        shape,
        items,
        keys,
        members,
        properties: properties.into(),
    })
}

impl Node {
    /// The rules of a member, by its property.
    pub(crate) fn property(&self, name: &str) -> Option<&Node> {
        let at = self.properties.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.properties.get(at).map(|(_, node)| node)
    }
}
