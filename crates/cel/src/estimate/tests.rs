use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::cost;
use super::sizes::{Place, Sizes};
use crate::check::check_types;
use crate::facts::{entries, library_functions, other_functions, type_named};
use crate::{
    Checked, CostRange, Env, Field, Issues, ListKind, ObjectShape, Range, Shape, ShapeKind, SizeRange, Type,
    estimate, parse, standard,
};

fn checked(text: &str, env: &Env) -> Result<Checked, Issues> {
    check_types(parse(text)?, env)
}

/// The facts after `= `: the least and the greatest cost.
fn wanted(facts: &[&str]) -> CostRange {
    let line = facts.iter().find_map(|fact| fact.strip_prefix("= ")).unwrap();
    let (min, max) = line.split_once(' ').unwrap();
    Range { min: min.parse().unwrap(), max: max.parse().unwrap() }
}

/// Sizes by paths such as `input.@items`.
type Hints<'t> = HashMap<&'t str, u64>;

/// A shape of a type, with the sizes that are given for its parts.
fn shape(kind: &Type, path: &str, hints: &Hints<'_>) -> Arc<Shape> {
    let inner = |kind: &Type, step: &str| shape(kind, &format!("{path}.{step}"), hints);
    let kind = match kind {
        Type::List(element) => ShapeKind::List { items: inner(element, "@items"), list: ListKind::Atomic },
        Type::Map(entry) => ShapeKind::Map { values: inner(&entry.1, "@values") },
        Type::Object(name) => {
            let number = shape(&Type::Int, "", hints);
            let field = Field { name: "single_int32".into(), required: false, shape: number };
            let fields = BTreeMap::from([("single_int32".into(), field)]);
            ShapeKind::Object(Arc::new(ObjectShape { name: Arc::clone(name), fields }))
        }
        Type::Dyn => ShapeKind::Dynamic,
        scalar => ShapeKind::Scalar(scalar.clone()),
    };
    Arc::new(Shape { kind, max_elements: hints.get(path).copied(), min_serialized_size: 2 })
}

/// Sizes as upstream's test has them: what is given, and 12 for other bytes.
struct Given<'e> {
    env: &'e Env,
    keys: Option<u64>,
}

impl Sizes for Given<'_> {
    fn place_of(&self, name: &str) -> Place<'_> {
        self.env.place_of(name)
    }

    fn root(&self) -> Place<'_> {
        Place::Unknown
    }

    fn size(&self, place: Place<'_>, kind: &Type) -> Option<SizeRange> {
        let given = match place {
            Place::At(shape) => shape.max_elements,
            Place::Keys => self.keys,
            _ => None,
        };
        given.or((*kind == Type::Bytes).then_some(12)).map(Range::up_to)
    }
}

#[test]
fn costs_of_the_language_are_upstreams() {
    for (text, facts) in entries(include_str!("../../facts/costs.txt")) {
        let hints: Hints<'_> = facts
            .iter()
            .filter_map(|fact| fact.strip_prefix("~ ")?.split_once(' '))
            .map(|(path, size)| (path, size.parse().unwrap()))
            .collect();
        let mut env = Env::default().with_functions(standard()).with_functions(library_functions());
        for (name, kind) in facts.iter().filter_map(|fact| fact.strip_prefix(": ")?.split_once(' ')) {
            let kind = type_named(kind);
            let shape = shape(&kind, name, &hints);
            env = env.with_sizes(name, kind, &shape);
        }
        let checked = checked(&text, &env).unwrap_or_else(|issues| panic!("{text}\n{issues}"));
        let keys = hints.get("input.@keys").copied();
        let got = cost(&checked, &Given { env: &env, keys });
        assert_eq!(got, wanted(&facts), "{text}");
    }
}

/// Sizes as Kubernetes' test has them: 12 for whatever is a string or bytes.
struct Twelve;

impl Sizes for Twelve {
    fn place_of(&self, _name: &str) -> Place<'_> {
        Place::Unknown
    }

    fn root(&self) -> Place<'_> {
        Place::Unknown
    }

    fn size(&self, _place: Place<'_>, kind: &Type) -> Option<SizeRange> {
        matches!(kind, Type::String | Type::Bytes).then(|| Range::up_to(12))
    }
}

#[test]
fn costs_of_libraries_are_upstreams() {
    let env = Env::default()
        .with_functions(standard())
        .with_functions(other_functions())
        .with_functions(library_functions())
        .with_variable("authorizer", type_named("kubernetes.authorization.Authorizer"));
    for (text, facts) in entries(include_str!("../../facts/library-costs.txt")) {
        let checked = checked(&text, &env).unwrap_or_else(|issues| {
            panic!(
                "{text}
{issues}"
            )
        });
        let got = cost(&checked, &Twelve);
        assert_eq!(got, wanted(&facts), "{text}");
    }
}

/// The largest request.
const REQUEST: u64 = 3 << 20;

/// A schema as apiextensions-apiserver makes it of its name, with a limit on its outermost size.
fn schema(name: &str, limit: Option<u64>) -> Arc<Shape> {
    let inner = |prefix: &str| Some(schema(name.strip_prefix(prefix)?.strip_suffix(')')?, None));
    let scalar = |kind, max_elements, min_serialized_size| {
        (ShapeKind::Scalar(kind), max_elements, min_serialized_size)
    };
    let (kind, max_elements, min_serialized_size) = if let Some(items) = inner("list(") {
        let fit = (REQUEST - 2) / (items.min_serialized_size + 1);
        (ShapeKind::List { items, list: ListKind::Atomic }, limit.or(Some(fit)), 2)
    } else if let Some(values) = inner("map(") {
        let fit = (REQUEST - 2) / (values.min_serialized_size + 6);
        (ShapeKind::Map { values }, limit.or(Some(fit)), 2)
    } else {
        let text = Some(REQUEST - 2);
        match name {
            "number" => scalar(Type::Double, None, 1),
            "integer" => scalar(Type::Int, None, 1),
            "boolean" => scalar(Type::Bool, None, 4),
            "duration" => scalar(Type::Duration, Some(32), 3),
            "date" => scalar(Type::Timestamp, Some(12), 12),
            "date-time" => scalar(Type::Timestamp, Some(32), 21),
            "string" => scalar(Type::String, limit.map(|limit| limit * 4).or(text), 2),
            "bytes" => scalar(Type::Bytes, limit.or(text), 2),
            "int-or-string" => (ShapeKind::Dynamic, text, 1),
            other => panic!("{other}"),
        }
    };
    Arc::new(Shape { kind, max_elements, min_serialized_size })
}

#[test]
fn costs_of_rules_are_upstreams() {
    let base = Env::default().with_functions(standard()).with_functions(library_functions());
    for (text, facts) in entries(include_str!("../../facts/schema-costs.txt")) {
        let fact = |mark: &str| facts.iter().find_map(|fact| fact.strip_prefix(mark)).unwrap();
        let cost = |limit| {
            let schema = schema(fact(": "), limit);
            let env = base.clone().with_shape("self", &schema).with_shape("oldSelf", &schema);
            let checked = checked(&text, &env).unwrap_or_else(|issues| panic!("{text}\n{issues}"));
            estimate(&checked, &env).max
        };
        let compare = |got: u64, wanted: &str| match wanted {
            "-" => assert!(got > 10_000_000, "{text}: {got}"),
            number => assert_eq!(got.to_string(), number, "{text}"),
        };
        compare(cost(None), fact("= "));
        let (limit, limited) = fact("~ ").split_once(' ').unwrap();
        compare(cost(limit.parse().ok()), limited);
    }
}

#[test]
fn what_is_selected_of_a_result_is_taken_for_the_object() {
    // Upstream finds no place for the result of `filter`, and takes the field's for one of the object itself.
    let env = Env::default().with_functions(standard()).with_functions(library_functions());
    let item = |max| {
        let name = Arc::new(Shape {
            kind: ShapeKind::Scalar(Type::String),
            max_elements: Some(max),
            min_serialized_size: 2,
        });
        object("object.items", &[("name", name)])
    };
    let items = Arc::new(Shape {
        kind: ShapeKind::List { items: item(10), list: ListKind::Atomic },
        max_elements: Some(5),
        min_serialized_size: 2,
    });
    let env = env.with_shape("self", &object("object", &[("items", items)]));
    let max = |text: &str| estimate(&checked(text, &env).unwrap(), &env).max;
    assert_eq!(max("self.items[0].name.contains('abc')"), 5);
    assert!(max("self.items.filter(i, true)[0].name.contains('abc')") > 1_000_000_000);
}

fn object(name: &str, fields: &[(&str, Arc<Shape>)]) -> Arc<Shape> {
    let field = |name: &str, shape: &Arc<Shape>| Field {
        name: name.into(),
        required: false,
        shape: Arc::clone(shape),
    };
    let fields = fields.iter().map(|(name, shape)| ((*name).into(), field(name, shape))).collect();
    let kind = ShapeKind::Object(Arc::new(ObjectShape { name: name.into(), fields }));
    Arc::new(Shape { kind, max_elements: None, min_serialized_size: 2 })
}

#[test]
fn deep_expressions_are_estimated_on_an_ordinary_stack() {
    let env = Env::default().with_functions(standard());
    for (open, inner, close, times) in
        [("[0].exists(x, ", "true", ")", 190), ("(1 + ", "1", ")", 249), ("!(true && ", "true", ")", 190)]
    {
        let text = format!("{}{inner}{}", open.repeat(times), close.repeat(times));
        let checked = checked(&text, &env).unwrap_or_else(|issues| panic!("{open}: {issues}"));
        assert!(estimate(&checked, &env).max > 0);
    }
}
