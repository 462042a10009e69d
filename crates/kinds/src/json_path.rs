//! JSON paths in definitions of custom resources, as `k8s.io/client-go/util/jsonpath` reads them.
//!
//! Members (`.spec.size`, `['a.b/c']`, `.a\.b`, `.*`), items (`[0]`, `[-1]`, `[*]`), slices (`[-1:]`, `[0:6:2]`), and items
//! that have a member (`[?(@.ready)]`), of a certain value (`[?(@.type=="Ready")]`, `[?(@.port>1024)]`), unions and descents
//! (`['a','b']`, `..a`). The cost of the latter two grows with each of them, so that a path which has some ends with
//! [`WORK_MAX`] values.

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
    EachMember,
    /// Negative from the end.
    Item(i64),
    EachItem,
    Slice(Slice),
    ItemsWith(Filter),
    /// The values of each path, one after another.
    Union(Vec<Vec<Step>>),
    /// The value and everything in it, as far as it has something in it.
    Descent,
}

/// At how many values a path with unions or descents looks.
const WORK_MAX: usize = 10_000;

/// Items from one to before another, both negative from the end, and of these the first of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: usize,
}

/// Items that have a value at a path, and how it compares with a given one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    path: Vec<Step>,
    compare: Option<(Comparison, Literal)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Literal {
    Quoted(String),
    /// A number, or a word.
    Plain(String),
}

impl JsonPath {
    /// Parses a path, which begins with a dot or a bracket.
    ///
    /// # Errors
    /// [`JsonPathError`] for anything else.
    pub fn parse(text: &str) -> Result<JsonPath, JsonPathError> {
        let refuse = || JsonPathError(text.to_owned());
        let rest = text.trim().trim_start_matches('{').trim_end_matches('}');
        if !rest.starts_with(['.', '[']) {
            return Err(refuse());
        }
        let label = rest.trim_start_matches('.').to_owned();
        let steps = steps(rest).ok_or_else(refuse)?;
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
        let is_wide = |step: &Step| matches!(step, Step::Union(_) | Step::Descent);
        match self.steps.iter().any(is_wide) {
            false => first(object, &self.steps),
            true => widely(object, &self.steps),
        }
    }
}

fn first<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match step {
        Step::Member(name) => first(value.as_map()?.get(name)?, rest),
        Step::EachMember => value.entries().find_map(|(_, member)| first(member, rest)),
        Step::Item(index) => {
            let items = value.as_list()?;
            first(items.get(place(*index, items.len())?)?, rest)
        }
        Step::EachItem => value.items().find_map(|item| first(item, rest)),
        Step::Slice(slice) => {
            let items = slice.of(value.as_list()?)?;
            items.iter().step_by(slice.step).find_map(|item| first(item, rest))
        }
        Step::ItemsWith(filter) => {
            value.items().filter(|item| filter.takes(item)).find_map(|item| first(item, rest))
        }
        Step::Union(_) | Step::Descent => widely(value, steps),
    }
}

/// The first value to which a path with unions or descents leads.
fn widely<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    let mut left = WORK_MAX;
    all(vec![value], steps, &mut left)?.first().copied()
}

/// All values to which a path leads from these, step by step; none if there is something else on the way than upstream
/// wants, or too much.
fn all<'v>(mut values: Vec<&'v Value>, steps: &[Step], left: &mut usize) -> Option<Vec<&'v Value>> {
    for step in steps {
        let mut next = Vec::new();
        if let Step::Union(paths) = step {
            for path in paths {
                next.extend(all(values.clone(), path, left)?);
            }
        } else {
            for value in values.into_iter().filter(|value| !value.is_null()) {
                *left = left.checked_sub(1)?;
                step.follow(value, &mut next, left)?;
            }
        }
        *left = left.checked_sub(next.len())?;
        values = next;
    }
    Some(values)
}

impl Step {
    /// Adds the values to which this step leads from one.
    fn follow<'v>(&self, value: &'v Value, next: &mut Vec<&'v Value>, left: &mut usize) -> Option<()> {
        match self {
            Step::Member(name) => next.extend(value.as_map().and_then(|map| map.get(name))),
            Step::EachMember => next.extend(value.entries().map(|(_, member)| member).chain(value.items())),
            Step::Item(index) => {
                let items = value.as_list()?;
                next.push(items.get(place(*index, items.len())?)?);
            }
            Step::EachItem => next.extend(value.as_list()?),
            Step::Slice(slice) => next.extend(slice.of(value.as_list()?)?.iter().step_by(slice.step)),
            Step::ItemsWith(filter) => {
                next.extend(value.as_list()?.iter().filter(|item| filter.takes(item)));
            }
            Step::Union(_) => {}
            Step::Descent => descend(value, next, left)?,
        }
        Some(())
    }
}

fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>, left: &mut usize) -> Option<()> {
    *left = left.checked_sub(1)?;
    if value.is_empty() || (value.as_map().is_none() && value.as_list().is_none()) {
        return Some(());
    }
    found.push(value);
    value
        .entries()
        .map(|(_, member)| member)
        .chain(value.items())
        .try_for_each(|inner| descend(inner, found, left))
}

/// The place in a list that an index means, which is negative from the end.
fn place(index: i64, len: usize) -> Option<usize> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { len.checked_sub(distance) } else { Some(distance) }
}

impl Slice {
    /// The items from start to end; none if one of them is outside of the list.
    fn of<'v>(&self, items: &'v [Value]) -> Option<&'v [Value]> {
        let start = self.start.map_or(Some(0), |start| place(start, items.len()))?;
        let end = self.end.map_or(Some(items.len()), |end| place(end, items.len()))?;
        items.get(start..end)
    }
}

impl Filter {
    fn takes(&self, item: &Value) -> bool {
        let Some(found) = first(item, &self.path) else { return false };
        let Some((comparison, literal)) = &self.compare else { return true };
        if found.is_null() {
            return false;
        }
        let order = match literal {
            Literal::Quoted(wanted) => text(found).as_str().cmp(wanted.as_str()),
            Literal::Plain(wanted) => match (found.as_f64(), wanted.parse::<f64>()) {
                (Some(number), Ok(wanted)) => number.total_cmp(&wanted),
                _ => text(found).as_str().cmp(wanted.as_str()),
            },
        };
        match comparison {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
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

/// The steps of a path; none if it is not one.
fn steps(mut rest: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix("..") {
            if behind.is_empty() || behind.starts_with('.') {
                return None;
            }
            steps.push(Step::Descent);
            // The name behind it has no dot of its own.
            let (step, behind) = if behind.starts_with('[') { bracket(behind)? } else { member(behind)? };
            steps.push(step);
            rest = behind;
            continue;
        }
        let (step, behind) = match rest.strip_prefix('.') {
            Some(behind) if behind.starts_with('[') => bracket(behind),
            Some(behind) => member(behind),
            None => bracket(rest),
        }?;
        steps.push(step);
        rest = behind;
    }
    Some(steps)
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
    let step = if name == "*" { Step::EachMember } else { Step::Member(name) };
    (end > 0).then(|| (step, &text[end..]))
}

fn bracket(text: &str) -> Option<(Step, &str)> {
    let inside = text.strip_prefix('[')?;
    if let Some((parts, behind)) = union(inside) {
        let path = |part: &str| steps(&format!("[{}]", part.trim_matches(' ')));
        return Some((Step::Union(parts.split(',').map(path).collect::<Option<_>>()?), behind));
    }
    if let Some(quoted) = inside.strip_prefix('\'') {
        let (name, behind) = quoted.split_once("']")?;
        return Some((Step::Member(name.replace("\\.", ".")), behind));
    }
    if let Some(inside) = inside.strip_prefix("?(") {
        let end = end_of_filter(inside)?;
        let (filter, behind) = (inside.get(..end)?, inside.get(end + 2..)?);
        return Some((Step::ItemsWith(filter_of(filter)?), behind));
    }
    let (index, behind) = inside.split_once(']')?;
    let step = match index {
        "*" => Step::EachItem,
        index if index.contains(':') => Step::Slice(slice(index)?),
        index => Step::Item(index.parse().ok()?),
    };
    Some((step, behind))
}

/// The paths of a union, and what is behind it. As upstream, commas and brackets in names count as well.
fn union(inside: &str) -> Option<(&str, &str)> {
    let (parts, behind) = inside.split_once(']')?;
    (parts.contains(',') && !parts.starts_with("?(")).then_some((parts, behind))
}

/// `start:end` or `start:end:step`, where each may be empty.
fn slice(text: &str) -> Option<Slice> {
    let mut parts = text.split(':');
    let mut bound = || match parts.next() {
        None | Some("") => Some(None),
        Some(number) => number.parse::<i64>().ok().map(Some),
    };
    let (start, end, step) = (bound()?, bound()?, bound()?);
    let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0)?;
    parts.next().is_none().then_some(Slice { start, end, step })
}

/// Where `)]` ends a filter; inside of quotation marks it does not.
fn end_of_filter(text: &str) -> Option<usize> {
    let mut quote = None;
    let ends = |at: usize| text.get(at..).is_some_and(|rest| rest.starts_with(")]"));
    text.char_indices().find_map(|(at, character)| {
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None if ends(at) => return Some(at),
            _ => {}
        }
        None
    })
}

/// `@.path`, or `@.path`, an operator and a value.
fn filter_of(text: &str) -> Option<Filter> {
    let is_operator = |character| matches!(character, '!' | '<' | '>' | '=');
    let (path, compare) = match text.find(is_operator) {
        None => (text, None),
        Some(at) => {
            let (path, rest) = text.split_at(at);
            let value = rest.trim_start_matches(is_operator);
            let comparison = match rest.strip_suffix(value)? {
                "==" => Comparison::Equal,
                "!=" => Comparison::NotEqual,
                "<" => Comparison::Less,
                "<=" => Comparison::LessOrEqual,
                ">" => Comparison::Greater,
                ">=" => Comparison::GreaterOrEqual,
                _ => return None,
            };
            let value = value.trim();
            let unquoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
            let literal = match unquoted {
                Some(text) => Literal::Quoted(text.to_owned()),
                None => Literal::Plain(value.to_owned()),
            };
            (path, Some((comparison, literal)))
        }
    };
    Some(Filter { path: steps(path.trim().strip_prefix('@')?)?, compare })
}
