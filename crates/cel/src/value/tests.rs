//! Objects as values, through their schemas.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Value, equal};
use crate::{
    Activation, Evaluated, EvaluationError, Field, ListKind, Meter, ObjectShape, Program, Shape, ShapeKind,
    Type, Variables, check, kubernetes, kubernetes_with_patches, parse,
};

fn shape(kind: ShapeKind) -> Arc<Shape> {
    Arc::new(Shape { kind, max_elements: None, min_serialized_size: 1 })
}

fn scalar(kind: Type) -> Arc<Shape> {
    shape(ShapeKind::Scalar(kind))
}

fn list(items: Arc<Shape>, list: ListKind) -> Arc<Shape> {
    shape(ShapeKind::List { items, list })
}

fn object_shape(name: &str, fields: Vec<(&str, &str, Arc<Shape>)>) -> Arc<Shape> {
    let fields: BTreeMap<Box<str>, Field> = fields
        .into_iter()
        .map(|(name, json, shape)| (name.into(), Field { name: json.into(), required: false, shape }))
        .collect();
    shape(ShapeKind::Object(Arc::new(ObjectShape { name: name.into(), fields })))
}

fn pairs() -> Arc<Shape> {
    object_shape(
        "object.pairs.@idx",
        vec![
            ("k1", "k1", scalar(Type::String)),
            ("k2", "k2", scalar(Type::String)),
            ("v", "v", scalar(Type::Int)),
        ],
    )
}

/// Of an object with a field of each kind.
fn everything() -> Arc<Shape> {
    let keys: Arc<[Box<str>]> = Arc::from(["k1".into(), "k2".into()]);
    object_shape(
        "object",
        vec![
            ("str", "str", scalar(Type::String)),
            ("int", "int", scalar(Type::Int)),
            ("num", "num", scalar(Type::Double)),
            ("time", "time", scalar(Type::Timestamp)),
            ("date", "date", scalar(Type::Timestamp)),
            ("span", "span", scalar(Type::Duration)),
            ("raw", "raw", scalar(Type::Bytes)),
            ("port", "port", shape(ShapeKind::Dynamic)),
            ("any", "any", shape(ShapeKind::Dynamic)),
            ("a__dash__b", "a-b", scalar(Type::String)),
            ("__namespace__", "namespace", scalar(Type::String)),
            ("atomic", "atomic", list(scalar(Type::Int), ListKind::Atomic)),
            ("set", "set", list(scalar(Type::Int), ListKind::Set)),
            ("pairs", "pairs", list(pairs(), ListKind::Map { keys })),
            ("map", "map", shape(ShapeKind::Map { values: scalar(Type::Int) })),
        ],
    )
}

const EVERYTHING: &str = r#"{
    "str": "s", "int": 3, "num": 3, "time": "2011-08-18T19:03:37.010000000+01:00", "date": "2020-02-29",
    "span": "5m30s", "raw": "AGFi", "port": "http", "any": {"x": [1, 1.5, null]}, "a-b": "dash", "namespace": "n",
    "atomic": [1, 2, 2], "set": [1, 2, 3], "map": {"a": 1, "b": 2}, "undeclared": true,
    "pairs": [{"k1": "a", "k2": "b", "v": 1}, {"k1": "c", "k2": "d", "v": 2}]
}"#;

/// The outcome of an expression on two objects of this schema, `self` and `other`.
fn outcome(text: &str, other: &str) -> String {
    let shape = everything();
    let env = kubernetes().with_shape("self", &shape).with_shape("other", &shape);
    let program = Program::new(&check(parse(text).unwrap(), &env).unwrap()).unwrap();
    let (object, other) =
        (object::json::parse(EVERYTHING.as_bytes()).unwrap(), object::json::parse(other.as_bytes()).unwrap());
    let variables = Variables::default()
        .with("self", Value::of_tree(&object, Some(&shape)).unwrap())
        .with("other", Value::of_tree(&other, Some(&shape)).unwrap());
    match program.evaluate(&variables, 1_000_000).result {
        Ok(value) => value.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn fields_are_read_through_their_schema() {
    for (text, expected) in [
        ("self.str + 's'", "ss"),
        ("self.int + 1", "4"),
        ("self.num / 2.0", "1.5"),
        ("type(self.num) == double", "true"),
        ("self.time == timestamp('2011-08-18T18:03:37.01Z')", "true"),
        ("self.date == timestamp('2020-02-29T00:00:00Z')", "true"),
        ("self.span == duration('330s')", "true"),
        ("self.raw == b'\\x00ab'", "true"),
        ("self.port == 'http' && type(self.port) == string", "true"),
        ("self.any.x[1] == 1.5 && self.any.x[2] == null", "true"),
        ("self.a__dash__b", "dash"),
        ("self.__namespace__", "n"),
        ("self.map.all(k, self.map[k] > 0) && 'a' in self.map", "true"),
        ("has(self.map.c) || has(other.str)", "false"),
        ("other.str", "no such key: str"),
        ("other.map.a == 1", "no such key: map"),
        ("self.map['c'] == 1", "no such key: c"),
        ("self.?str.orValue('') + other.?str.orValue('-')", "s-"),
        ("self.atomic.map(x, x * 2)", "[2, 4, 4]"),
        ("other.int == 1", "invalid data, expected int"),
        ("dyn(self).exists(name, name == 'a__dash__b')", "true"),
        ("dyn(self).exists(name, name == 'undeclared')", "false"),
    ] {
        assert_eq!(outcome(text, r#"{"int": "x", "str": null}"#), expected, "{text}");
    }
}

#[test]
fn durations_can_have_words() {
    for (text, expected) in [
        ("3 weeks", "1814400s"),
        ("1 day", "86400s"),
        ("22 ns", "0.000000022s"),
        ("5MIN", "300s"),
        ("2h3m", "7380s"),
        ("1 day and 2 hours", "93600s"),
    ] {
        let other = format!(r#"{{"span": "{text}"}}"#);
        assert_eq!(outcome("string(other.span)", &other), expected, "{text}");
    }
    for text in ["3 years", "99999999 weeks", "7", ""] {
        let other = format!(r#"{{"span": "{text}"}}"#);
        assert!(outcome("string(other.span)", &other).starts_with("Invalid duration"), "{text}");
    }
}

#[test]
fn lists_are_compared_as_their_schema_says() {
    let other = r#"{"atomic": [2, 1, 2], "set": [3, 1, 2],
        "pairs": [{"k1": "c", "k2": "d", "v": 2}, {"k1": "a", "k2": "b", "v": 1}]}"#;
    for (text, expected) in [
        ("self.atomic == other.atomic", "false"),
        ("self.set == other.set", "true"),
        ("self.set == [3, 2, 1]", "true"),
        ("[3, 2, 1] == self.set", "false"),
        ("self.set == [1, 2, 4]", "false"),
        ("self.set == [1, 2, 2]", "false"),
        ("self.pairs == other.pairs", "true"),
        ("self.pairs != other.pairs", "false"),
        ("self == self", "true"),
        ("self == other", "false"),
    ] {
        assert_eq!(outcome(text, other), expected, "{text}");
    }
    let changed = r#"{"pairs": [{"k1": "c", "k2": "d", "v": 3}, {"k1": "a", "k2": "b", "v": 1}]}"#;
    assert_eq!(outcome("self.pairs == other.pairs", changed), "false");
}

#[test]
fn lists_are_joined_as_their_schema_says() {
    let other = r#"{"atomic": [1], "set": [4, 3],
        "pairs": [{"k1": "e", "k2": "f", "v": 9}, {"k1": "c", "k2": "d", "v": 8}]}"#;
    for (text, expected) in [
        ("self.atomic + other.atomic", "[1, 2, 2, 1]"),
        ("self.set + other.set", "[1, 2, 3, 4]"),
        ("self.set + other.set == [4, 3, 2, 1]", "true"),
        ("(self.set + other.set) + [5, 1]", "[1, 2, 3, 4, 5]"),
        ("(self.pairs + other.pairs).map(p, p.v)", "[1, 8, 9]"),
        ("(self.pairs + other.pairs)[1].k1", "c"),
    ] {
        assert_eq!(outcome(text, other), expected, "{text}");
    }
}

#[test]
fn objects_compare_what_they_do_not_declare() {
    let shape = everything();
    let of = |text: &str| object::json::parse(text.as_bytes()).unwrap();
    let (one, same, other) = (of(r#"{"u": [1]}"#), of(r#"{"u": [1]}"#), of(r#"{"u": [2]}"#));
    let value = |tree| Value::of_tree(tree, Some(&shape)).unwrap();
    let mut meter = Meter::new(100);
    assert_eq!(equal(&value(&one), &value(&same), &mut meter), Ok(true));
    assert_eq!(equal(&value(&one), &value(&other), &mut meter), Ok(false));
}

/// Variables that are computed when they are first used.
struct Composed {
    program: Program,
    computed: std::cell::OnceCell<Evaluated<'static>>,
}

impl Activation<'static> for Composed {
    fn variable(&self, _: &str) -> Option<Evaluated<'static>> {
        None
    }

    fn member(&self, variable: &str, field: &str, meter: &mut Meter<'_>) -> Option<Evaluated<'static>> {
        assert_eq!((variable, field), ("variables", "total"));
        let compute = || self.program.evaluate_with(&Variables::default(), meter);
        Some(self.computed.get_or_init(compute).clone())
    }
}

#[test]
fn composed_variables_are_computed_once() {
    let total = scalar(Type::Int);
    let variables = object_shape("kubernetes.variables", vec![("total", "total", total)]);
    let env = kubernetes().with_shape("variables", &variables);
    let program = |text: &str| Program::new(&check(parse(text).unwrap(), &env).unwrap()).unwrap();
    let composed = Composed { program: program("[1, 2].map(x, x * 2).sum()"), computed: Default::default() };
    let of_total = composed.program.evaluate(&Variables::default(), 1_000).cost;
    let text = "variables.total > 1 && variables.total == 6 && has(variables.total)";
    let outcome = program(text).evaluate(&composed, 1_000);
    assert_eq!(outcome.result.unwrap().as_bool(), Some(true));
    // Two selections, two comparisons, and a test.
    assert_eq!(outcome.cost, of_total + 2 * 2 + 2 + 1);
    let unused = Composed { program: program("1 / 0"), computed: Default::default() };
    assert_eq!(program("true || variables.total == 1").evaluate(&unused, 1_000).cost, 0);
}

#[test]
fn patches_become_objects() {
    let env = kubernetes_with_patches();
    let of = |text: &str| {
        let program = Program::new(&check(parse(text).unwrap(), &env).unwrap()).unwrap();
        program.evaluate(&Variables::default(), 1_000_000).result.unwrap()
    };
    let patch = of(
        "Object{spec: Object.spec{replicas: 3, ?paused: optional.none(), at: duration('90s'), tags: ['a']}}",
    );
    let mut meter = Meter::new(1_000);
    assert_eq!(patch.check_message_names(&mut meter), Ok(()));
    assert_eq!(
        patch.to_tree(&mut meter).unwrap(),
        object::value!({"spec": {"replicas": 3, "at": "90s", "tags": ["a"]}})
    );
    let wrong = of("Object{spec: Object.status{}}").check_message_names(&mut meter);
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "unexpected type name \"Object.status\", expected \"Object.spec\", which matches field name path from root Object type"
    );
    let patches = of(
        "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('x/~y'), value: {'b': [dyn(1.5), dyn(true)]}}]",
    );
    assert_eq!(
        patches.to_tree(&mut meter).unwrap(),
        object::value!([{"op": "add", "path": "/a/x~1~0y", "value": {"b": [1.5, true]}}])
    );
    assert!(of("{1: 2}").to_tree(&mut meter).is_err());
}

#[test]
fn small_values_that_are_long_to_compare_are_refused() {
    let text = (0..60).fold("[1]".to_owned(), |text, _| format!("{text}.map(x, dyn([x, x]))"));
    let program = |text: &str| Program::new(&check(parse(text).unwrap(), &kubernetes()).unwrap()).unwrap();
    let outcome = program(&format!("({text}) == ({text})")).evaluate(&Variables::default(), 10_000);
    assert_eq!(outcome.result.unwrap_err(), EvaluationError::MemoryLimit);
    let outcome = program(&text).evaluate(&Variables::default(), 10_000);
    let mut meter = Meter::new(10_000);
    let value = outcome.result.unwrap();
    assert_eq!(value.to_tree(&mut meter).unwrap_err(), EvaluationError::MemoryLimit);
    assert!(value.to_string().ends_with("..."));
}

#[test]
fn budgets_and_deadlines_end_an_evaluation() {
    let program = |text: &str| Program::new(&check(parse(text).unwrap(), &kubernetes()).unwrap()).unwrap();
    let variables = Variables::default();
    let many = program("lists.range(1000).all(x, lists.range(1000).all(y, x + y >= 0)) || true");
    let outcome = many.evaluate(&variables, 10_000);
    assert_eq!(outcome.result.unwrap_err(), EvaluationError::CostLimit);
    assert!(outcome.cost < 11_200, "{}", outcome.cost);
    let looks = std::cell::Cell::new(0);
    let interrupted = || {
        looks.set(looks.get() + 1);
        looks.get() == 3
    };
    let mut meter = Meter::new(u64::MAX).with_interrupt(&interrupted);
    assert_eq!(many.evaluate_with(&variables, &mut meter).unwrap_err(), EvaluationError::Interrupted);
    assert_eq!(looks.get(), 3);
    for text in [
        "lists.range(100).map(x, 'aaaaaaaaaa').join().replace('', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'.replace('b', 'cccccccccc'))
            .replace('c', 'dddddddddddddddddddddddddddddddddddddddddddddddddd')",
        "[lists.range(1000)].map(x, lists.range(1000).map(i, x)).flatten().flatten()",
        "lists.range(9223372036854775807)",
        "lists.range(100).map(x, '%s%s%s%s%s%s%s%s'.format([dyn(lists.range(1000)), dyn(1), dyn(2), dyn(3), dyn(4), dyn(5), dyn(6), dyn(7)])).map(s, s.replace('', s))",
    ] {
        let error = program(text).evaluate(&variables, 20_000).result.unwrap_err();
        assert!(error.is_final(), "{text}: {error}");
    }
}

#[test]
fn the_deepest_expressions_fit_on_a_stack() {
    // As deep as the parser accepts.
    let deep = |open: &str, inner: &str, close: &str| {
        let texts = (1..500).map(|depth| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth)));
        texts.take_while(|text| parse(text).is_ok()).last().unwrap()
    };
    for text in [
        deep("[x, ", "1", "][1]"),
        deep("size([", "x", "])"),
        deep("!", "(x == 1)", ""),
        deep("[1].map(i, x + ", "i", ")[0]"),
        deep("{'a': ", "x", "}.a"),
        deep("(x > 0 ? ", "x", " : 0)"),
    ] {
        let env = kubernetes().with_variable("x", Type::Dyn);
        let Ok(checked) = check(parse(&text).unwrap(), &env) else { continue };
        let program = Program::new(&checked).unwrap();
        let outcome = program.evaluate(&Variables::default().with("x", 1), 10_000_000);
        assert!(outcome.result.is_ok() || outcome.result.is_err_and(|error| !error.is_final()), "{text}");
    }
}
