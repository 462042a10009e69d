//! Validation of custom resources, with upstream's rules and messages (`kube-openapi/pkg/validation`), and with its
//! tolerance: a value that an update leaves as it was is not refused by a rule that it broke before.

use schema::ListType;

use super::found::{Found, NOWHERE};
use super::node::{Additional, Count, Junctors, Node, Text};
use super::number;
use crate::field::{Error, ErrorKind, Errors, Path};
use crate::{Map, Value, json};

/// How many pairs of a value and a schema one validation may compare. Schemas inside of `allOf` and its like see the
/// same values again and again.
const STEPS_MAX: usize = 4_000_000;

/// Validates a value; `old` is its present state, if there is one. `place` is the path of the value in the object, in
/// front of paths that begin at the value.
pub(super) fn value(node: &Node, value: &Value, old: Option<&Value>, place: &str) -> Errors {
    let mut validator = Validator { steps: 0 };
    let found = validator.correlated(node, value, old, &Path::root(""));
    let mut errors = found.errors;
    if validator.steps > STEPS_MAX {
        errors.push(Error::invalid(
            &NOWHERE,
            "",
            format!("the object is too large for its schema: more than {STEPS_MAX} comparisons"),
        ));
    }
    if place.is_empty() { errors } else { errors.into_iter().map(|error| below(error, place)).collect() }
}

fn below(mut error: Error, place: &str) -> Error {
    error.path = match error.path.as_str() {
        "" => place.to_owned(),
        "<nil>" => place.to_owned(),
        path => format!("{place}.{path}"),
    };
    error
}

struct Validator {
    steps: usize,
}

impl Validator {
    /// A value that may have an old state: what has not changed is not refused.
    fn correlated(&mut self, node: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>) -> Found {
        let mut found = self.value(node, value, old, path);
        if !found.errors.is_empty() && old == Some(value) {
            found.errors = Errors::new();
        }
        found
    }

    fn value(&mut self, node: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>) -> Found {
        let mut found = Found::default();
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return found;
        }
        check_type(node, value, path, &mut found);
        if value.is_null() {
            check_allowed(node, value, path, &mut found);
            return found;
        }
        if let Some(junctors) = &node.junctors {
            self.junctors(junctors, value, old, path, &mut found);
        }
        match value {
            Value::String(text) => check_text(node, text, path, &mut found),
            Value::Int(_) | Value::Float(_) => number::check(node, value, path, &mut found),
            Value::List(items) => self.list(node, items, old, path, &mut found),
            _ => {}
        }
        check_allowed(node, value, path, &mut found);
        if let Value::Map(map) = value {
            self.map(node, map, old, path, &mut found);
        }
        found.matches += 2;
        found
    }

    fn list(
        &mut self,
        node: &Node,
        items: &[Value],
        old: Option<&Value>,
        path: &Path<'_>,
        found: &mut Found,
    ) {
        if let Some(inner) = &node.items {
            let old = OldItems::of(node, old);
            for (index, item) in items.iter().enumerate() {
                found.add(self.correlated(inner, item, old.find(node, item), &path.index(index)));
            }
        }
        let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if let Some(min) = node.items_count.min.filter(|min| count < *min) {
            found.invalid(path, count, &format!("have at least {min} items"));
        }
        if let Some(max) = node.items_count.max.filter(|max| count > *max) {
            found.errors.push_with(|| Error::too_many(path, items.len(), usize::try_from(max).unwrap_or(0)));
        }
        found.matches += 1;
    }

    fn map(&mut self, node: &Node, map: &Map, old: Option<&Value>, path: &Path<'_>, found: &mut Found) {
        let Count { min, max } = node.members_count;
        let count = i64::try_from(map.len()).unwrap_or(i64::MAX);
        if let Some(min) = min.filter(|min| count < *min) {
            found.invalid(path, count, &format!("have at least {min} properties"));
        }
        if let Some(max) = max.filter(|max| count > *max) {
            found.errors.push_with(|| Error::too_many(path, map.len(), usize::try_from(max).unwrap_or(0)));
        }
        let old = old.and_then(Value::as_map);
        for (name, value) in map.iter() {
            let here = path.child(name);
            match (node.property(name), &node.additional) {
                (Some(inner), _) => {
                    // Every object is converted to the version of its request, so these never show a change.
                    let is_meta = path.is_bare() && matches!(name, "apiVersion" | "kind");
                    let old = old.and_then(|old| old.get(name)).filter(|_| !is_meta);
                    found.add(self.correlated(inner, value, old, &here));
                }
                (None, Additional::Of(inner)) => {
                    let old = old.and_then(|old| old.get(name));
                    found.add(self.correlated(inner, value, old, &here));
                }
                (None, Additional::None) => found.errors.push_with(|| {
                    Error::invalid(path, name, format!("{here} in body is a forbidden property"))
                }),
                (None, Additional::Any) => {}
            }
        }
        for name in &node.required {
            if !map.contains_key(name) {
                found.errors.required(&path.child(name), "");
            }
        }
    }

    fn junctors(
        &mut self,
        junctors: &Junctors,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        found: &mut Found,
    ) {
        let shown = || path.to_string();
        if !junctors.any.is_empty() {
            match self.first_valid(&junctors.any, value, old, path) {
                Ok(valid) => found.add(valid),
                Err(best) => {
                    found.nowhere(format!("{:?} must validate at least one schema (anyOf)", shown()));
                    found.add(best);
                }
            }
        }
        if !junctors.one.is_empty() {
            self.one_of(&junctors.one, value, old, path, found);
        }
        if !junctors.all.is_empty() {
            let mut valid = 0;
            for node in &junctors.all {
                let inner = self.value(node, value, old, path);
                valid += usize::from(inner.errors.is_empty());
                found.add(inner);
            }
            if valid != junctors.all.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                found.nowhere(format!("{:?} must validate all the schemas (allOf){none}", shown()));
            }
        }
        if let Some(not) = &junctors.not
            && self.value(not, value, old, path).errors.is_empty()
        {
            found.nowhere(format!("{:?} must not validate the schema (not)", shown()));
        }
        found.matches += 1;
    }

    /// What the first schema found that the value satisfies, or the one that fits best.
    fn first_valid(
        &mut self,
        nodes: &[Node],
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
    ) -> Result<Found, Found> {
        let mut best: Option<Found> = None;
        for node in nodes {
            let found = self.value(node, value, old, path);
            if found.errors.is_empty() {
                return Ok(found);
            }
            if best.as_ref().is_none_or(|best| found.matches > best.matches) {
                best = Some(found);
            }
        }
        Err(best.unwrap_or_default())
    }

    fn one_of(
        &mut self,
        nodes: &[Node],
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        found: &mut Found,
    ) {
        let (mut valid, mut first, mut best) = (0, None, None::<Found>);
        for node in nodes {
            let inner = self.value(node, value, old, path);
            if inner.errors.is_empty() {
                valid += 1;
                first.get_or_insert(inner);
            } else if best.as_ref().is_none_or(|best| inner.matches > best.matches) {
                best = Some(inner);
            }
        }
        let shown = path.to_string();
        match valid {
            1 => found.add(first.unwrap_or_default()),
            0 => {
                found.nowhere(format!(
                    "{shown:?} must validate one and only one schema (oneOf). Found none valid"
                ));
                found.add(best.unwrap_or_default());
            }
            valid => found.nowhere(format!(
                "{shown:?} must validate one and only one schema (oneOf). Found {valid} valid alternatives"
            )),
        }
    }
}

/// The items of a list's old state by their keys; lists whose items have no keys are not correlated.
struct OldItems<'a> {
    by_key: std::collections::HashMap<Vec<u8>, &'a Value>,
}

impl<'a> OldItems<'a> {
    fn of(node: &Node, old: Option<&'a Value>) -> OldItems<'a> {
        let items = match old {
            Some(Value::List(items)) if node.list_type == ListType::Map => items.as_slice(),
            _ => &[],
        };
        OldItems { by_key: items.iter().map(|item| (key_of(node, item), item)).collect() }
    }

    fn find(&self, node: &Node, item: &Value) -> Option<&'a Value> {
        if self.by_key.is_empty() { None } else { self.by_key.get(&key_of(node, item)).copied() }
    }
}

fn key_of(node: &Node, item: &Value) -> Vec<u8> {
    json::to_vec(&Value::from(node.keys.iter().map(|key| item.get(key).clone()).collect::<Vec<_>>()))
}

/// The type and the format of a value, as upstream infers them from the decoded value.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Int(_) => ("integer", "int64"),
        Value::Float(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::List(_) => ("array", ""),
        Value::Map(_) => ("object", ""),
    }
}

fn check_type(node: &Node, value: &Value, path: &Path<'_>, found: &mut Found) {
    let types = node.types;
    if types.is_any() && node.format.is_none() {
        return;
    }
    let (kind, format) = type_of(value);
    if value.is_null() {
        if !types.is_any() && !node.nullable {
            found.wrong_type(&types.shown(), kind, path);
        }
        return;
    }
    let is_integral = kind == "number" && number::is_integral(value) && types.has("integer");
    let fits = types.has(kind) || is_integral || kind == "integer" && types.has("number");
    let is_sequence = matches!(value, Value::String(_) | Value::List(_));
    if let Some(wanted) = &node.format {
        if !is_sequence && !fits && format != &**wanted {
            return found.wrong_type(wanted, format, path);
        }
        // The format decides about these.
        if is_sequence && !types.has("number") && !types.has("integer") {
            found.matches += 1;
            return;
        }
    }
    if fits {
        found.matches += 1;
    } else {
        found.wrong_type(&types.shown(), kind, path);
    }
}

fn check_text(node: &Node, text: &str, path: &Path<'_>, found: &mut Found) {
    if let Some(Text { length, pattern }) = node.text.as_deref() {
        let count = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(max) = length.max.filter(|max| count() > *max) {
            found.errors.push_with(|| Error::too_long(path, usize::try_from(max).unwrap_or(0)));
        } else if let Some(min) = length.min.filter(|min| count() < *min) {
            found.invalid(path, text, &format!("be at least {min} chars long"));
        } else if let Some((pattern, _)) = pattern.as_ref().filter(|(_, compiled)| !compiled.is_match(text)) {
            found.invalid(path, text, &format!("match '{pattern}'"));
        }
    }
    let format = node.string_format.zip(node.format.as_deref());
    if let Some((_, name)) = format.filter(|(format, _)| !format.matches(text)) {
        found.errors.push_with(|| {
            let detail = format!("{path} in body must be of type {name}: {text:?}");
            Error::new(ErrorKind::TypeInvalid, path, text, detail)
        });
    }
    found.matches += 1;
}

fn check_allowed(node: &Node, value: &Value, path: &Path<'_>, found: &mut Found) {
    let is_same = |allowed: &Value| match (allowed, value) {
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            allowed == value || allowed.as_f64() == value.as_f64()
        }
        _ => allowed == value,
    };
    if node.allowed.is_empty() || node.allowed.iter().any(is_same) {
        return;
    }
    let shown = |value: &Value| match value {
        Value::String(text) => text.to_string(),
        other => String::from_utf8_lossy(&json::to_vec(other)).into_owned(),
    };
    found.errors.push_with(|| {
        let shown: Vec<String> = node.allowed.iter().map(shown).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        Error::not_supported(path, value.clone(), &shown)
    });
}
