//! JSON paths in definitions of custom resources: the simple part of `k8s.io/client-go/util/jsonpath`.
//!
//! Members (`.spec.size`, `['a.b/c']`, `.a\.b`), items (`[0]`, `[-1]`, `[*]`), and items that have a member of a certain
//! value (`[?(@.type=="Ready")]`).

use object::{Value, json};

/// An invalid path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPathError(pub String);

impl std::fmt::Display for JsonPathError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a simple JSON path: {}", object::quote(&self.0))
    }
}

impl std::error::Error for JsonPathError {}

/// A path to values inside an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    label: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    /// Negative from the end.
    Item(i64),
    EachItem,
    /// Items whose member, by its names, is this text.
    ItemsWith(Vec<String>, String),
}

impl JsonPath {
    /// Parses a path, which begins with a dot or a bracket.
    ///
    /// # Errors
    /// [`JsonPathError`] for anything else.
    pub fn parse(text: &str) -> Result<JsonPath, JsonPathError> {
        let refuse = || JsonPathError(text.to_owned());
        let mut rest = text.trim().trim_start_matches('{').trim_end_matches('}');
        if !rest.starts_with(['.', '[']) {
            return Err(refuse());
        }
        let label = rest.trim_start_matches('.').to_owned();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, behind) = match rest.strip_prefix('.') {
                Some(behind) if behind.starts_with('[') => bracket(behind),
                Some(behind) => member(behind),
                None => bracket(rest),
            }
            .ok_or_else(refuse)?;
            steps.push(step);
            rest = behind;
        }
        Ok(JsonPath { label, steps })
    }

    /// The path of these nested members.
    pub(crate) fn of_names(names: &[&str]) -> JsonPath {
        JsonPath {
            label: names.join("."),
            steps: names.iter().map(|name| Step::Member((*name).to_owned())).collect(),
        }
    }

    /// The path without its first dot, as field selectors use it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The first value that the path leads to.
    pub fn first<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        first(object, &self.steps)
    }
}

fn first<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match step {
        Step::Member(name) => first(value.as_map()?.get(name)?, rest),
        Step::Item(index) => {
            let items = value.as_list()?;
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            let at = if *index < 0 { items.len().checked_sub(from_end)? } else { from_end };
            first(items.get(at)?, rest)
        }
        Step::EachItem => value.items().find_map(|item| first(item, rest)),
        Step::ItemsWith(names, wanted) => value.items().find_map(|item| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found = item.at_path(&names);
            (text(found) == *wanted && !found.is_null()).then(|| first(item, rest))?
        }),
    }
}

/// A value as text: strings unchanged, everything else as JSON.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.to_string(),
        other => String::from_utf8_lossy(&json::to_vec(other)).into_owned(),
    }
}

/// A member's name up to the next dot or bracket that is not escaped.
fn member(text: &str) -> Option<(Step, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    let end = loop {
        match characters.next() {
            None => break text.len(),
            Some((at, '.' | '[')) => break at,
            Some((_, '\\')) => name.push(characters.next()?.1),
            Some((_, character)) => name.push(character),
        }
    };
    (!name.is_empty()).then(|| (Step::Member(name), &text[end..]))
}

fn bracket(text: &str) -> Option<(Step, &str)> {
    let inside = text.strip_prefix('[')?;
    if let Some(quoted) = inside.strip_prefix('\'') {
        let (name, behind) = quoted.split_once("']")?;
        return Some((Step::Member(name.replace("\\.", ".")), behind));
    }
    if let Some(filter) = inside.strip_prefix("?(@.") {
        let (filter, behind) = filter.split_once(")]")?;
        let (names, wanted) = filter.split_once("==")?;
        let wanted = wanted.trim();
        let unquoted = ['"', '\''].iter().find_map(|q| wanted.strip_prefix(*q)?.strip_suffix(*q));
        let names = names.trim().split('.').map(str::to_owned).collect();
        return Some((Step::ItemsWith(names, unquoted.unwrap_or(wanted).to_owned()), behind));
    }
    let (index, behind) = inside.split_once(']')?;
    match index {
        "*" => Some((Step::EachItem, behind)),
        index => Some((Step::Item(index.parse().ok()?), behind)),
    }
}
