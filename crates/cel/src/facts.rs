//! Tables of facts for tests. An entry is a text, each line after `> `, and what holds of it; a blank line ends it.

use std::sync::Arc;

use crate::{Field, Function, ListKind, ObjectShape, Overload, Shape, ShapeKind, Type};

/// An entry: the text, and the lines after it.
pub(crate) type Fact<'t> = (String, Vec<&'t str>);

/// The entries of a table. Lines that begin with `#` say where they are from.
pub(crate) fn entries(table: &str) -> Vec<Fact<'_>> {
    let blocks = table.split("\n\n").filter(|block| block.contains("> "));
    blocks
        .map(|block| {
            let lines = block.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            let (text, facts): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("> "));
            let text: Vec<&str> = text.iter().map(|line| &line[2..]).collect();
            (text.join("\n"), facts)
        })
        .collect()
}

/// A type as messages name it: `map(string, list(int))`. A name in a table that is no type of the language is an object's
/// if it begins with `object`, and otherwise one of a library.
pub(crate) fn type_named(text: &str) -> Type {
    let (name, params) = match text.trim().split_once('(') {
        Some((name, rest)) => (name, split(rest.strip_suffix(')').unwrap())),
        None => (text.trim(), Vec::new()),
    };
    let simple = [
        Type::Dyn,
        Type::Null,
        Type::Bool,
        Type::Int,
        Type::Uint,
        Type::Double,
        Type::String,
        Type::Bytes,
        Type::Timestamp,
        Type::Duration,
        Type::of_type(Type::Dyn),
    ];
    if let Some(kind) = simple.iter().find(|kind| kind.to_string() == name && params.is_empty()) {
        return kind.clone();
    }
    match (name, params.as_slice()) {
        ("list", [element]) => Type::list(element.clone()),
        ("map", [key, value]) => Type::map(key.clone(), value.clone()),
        ("type", [of]) => Type::of_type(of.clone()),
        (name, []) if name.starts_with("object") => Type::Object(name.into()),
        (name, []) if name.starts_with('$') => Type::param(&name[1..]),
        (name, params) => Type::Opaque(name.into(), params.into()),
    }
}

/// Types between commas.
fn split(text: &str) -> Vec<Type> {
    parts(text).iter().map(|part| type_named(part)).collect()
}

/// What is between commas that are not in brackets.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for character in text.chars() {
        depth += i32::from(matches!(character, '(' | '{')) - i32::from(matches!(character, ')' | '}'));
        if character == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(character);
        }
    }
    parts
}

/// Functions that expressions in tables use and the standard does not declare: of optional values, and those of macros with
/// two variables.
pub(crate) fn other_functions() -> Vec<Function> {
    let kind = type_named;
    let overload = |method: bool, id: &'static str, params: &[&str], result: &str| {
        let params: Vec<Type> = params.iter().map(|param| kind(param)).collect();
        Overload { id, method, params, result: kind(result) }
    };
    let opt = "optional_type($V)";
    let index = |id, container: &str, key: &str| overload(false, id, &[container, key], opt);
    vec![
        Function::new("optional.of", vec![overload(false, "optional_of", &["$V"], opt)]),
        Function::new(
            "optional.ofNonZeroValue",
            vec![overload(false, "optional_ofNonZeroValue", &["$V"], opt)],
        ),
        Function::new(
            "optional.unwrap",
            vec![overload(false, "optional_unwrap", &["list(optional_type($V))"], "list($V)")],
        ),
        Function::new(
            "unwrapOpt",
            vec![overload(true, "optional_unwrapOpt", &["list(optional_type($V))"], "list($V)")],
        ),
        Function::new("first", vec![overload(true, "list_first", &["list($V)"], opt)]),
        Function::new("last", vec![overload(true, "list_last", &["list($V)"], opt)]),
        Function::new("optional.none", vec![overload(false, "optional_none", &[], opt)]),
        Function::new("hasValue", vec![overload(true, "optional_hasValue", &[opt], "bool")]),
        Function::new("value", vec![overload(true, "optional_value", &[opt], "$V")]),
        Function::new("or", vec![overload(true, "optional_or_optional", &[opt, opt], opt)]),
        Function::new("orValue", vec![overload(true, "optional_orValue_value", &[opt, "$V"], "$V")]),
        Function::new(
            "_[?_]",
            vec![
                index("list_optindex_optional_int", "list($V)", "int"),
                index("optional_list_optindex_optional_int", "optional_type(list($V))", "int"),
                index("map_optindex_optional_value", "map($K, $V)", "$K"),
                index("optional_map_optindex_optional_value", "optional_type(map($K, $V))", "$K"),
            ],
        ),
        Function::new(
            "_[_]",
            vec![
                index("optional_list_index_int", "optional_type(list($V))", "int"),
                index("optional_map_index_value", "optional_type(map($K, $V))", "$K"),
            ],
        ),
        Function::new(
            "cel.@mapInsert",
            vec![
                overload(false, "cel_@mapInsert_map_key_value", &["map($K, $V)", "$K", "$V"], "map($K, $V)"),
                overload(false, "cel_@mapInsert_map_map", &["map($K, $V)", "map($K, $V)"], "map($K, $V)"),
            ],
        ),
    ]
}

/// The functions of libraries that the tables of costs call.
pub(crate) fn library_functions() -> Vec<Function> {
    let lines = include_str!("../facts/library-functions.txt").lines();
    lines
        .map(|line| {
            let (head, types) = line.split_once(" (").unwrap();
            let (params, result) = types.rsplit_once(") ").unwrap();
            let mut head = head.split(' ');
            let [style, name, id] = std::array::from_fn(|_| head.next().unwrap());
            let params = if params.is_empty() { Vec::new() } else { split(params) };
            let overload = Overload { id, method: style == "method", params, result: type_named(result) };
            Function::new(name, vec![overload])
        })
        .collect()
}

/// The name in JSON of a name in expressions.
fn json_name(name: &str) -> Box<str> {
    let inner = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    if let Some(word) = inner.filter(|word| crate::escape(word).as_deref() == Some(name)) {
        return word.into();
    }
    let pairs = [("__dot__", "."), ("__dash__", "-"), ("__slash__", "/"), ("__underscores__", "__")];
    pairs.iter().fold(name.to_owned(), |name, (escaped, plain)| name.replace(escaped, plain)).into()
}

/// A schema of a table: `{name: shape, ...}`, `list(shape)`, `set(shape)`, `keyed(key; shape)`, `map(shape)` or the name of a
/// type. An object is named by its place: `object.spec`.
pub(crate) fn shape(text: &str, name: &str) -> Arc<Shape> {
    let text = text.trim();
    let inside = |open: &str, close| text.strip_prefix(open)?.strip_suffix(close);
    let kind = if let Some(items) = inside("list(", ')') {
        ShapeKind::List { items: shape(items, &format!("{name}.@idx")), list: ListKind::Atomic }
    } else if let Some(items) = inside("set(", ')') {
        ShapeKind::List { items: shape(items, &format!("{name}.@idx")), list: ListKind::Set }
    } else if let Some(keyed) = inside("keyed(", ')') {
        let (key, items) = keyed.split_once(';').unwrap();
        let list = ListKind::Map { keys: [key.into()].into() };
        ShapeKind::List { items: shape(items, &format!("{name}.@idx")), list }
    } else if let Some(values) = inside("map(", ')') {
        ShapeKind::Map { values: shape(values, &format!("{name}.@elem")) }
    } else if let Some(fields) = inside("{", '}') {
        let fields = parts(fields).into_iter().filter_map(|field| {
            let (own, kind) = field.split_once(':')?;
            let shape = shape(kind, &format!("{name}.{}", own.trim()));
            Some((own.trim().into(), Field { name: json_name(own.trim()), required: false, shape }))
        });
        ShapeKind::Object(Arc::new(ObjectShape { name: name.into(), fields: fields.collect() }))
    } else if text == "dyn" {
        ShapeKind::Dynamic
    } else {
        ShapeKind::Scalar(type_named(text))
    };
    Arc::new(Shape { kind, max_elements: None, min_serialized_size: 2 })
}
