use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::cost;
use super::sizes::{Place, Sizes};
use crate::facts::{entries, library_functions, other_functions, type_named};
use crate::{
    Checked, CostRange, Env, Field, Issues, ListKind, ObjectShape, Range, Shape, ShapeKind, SizeRange, Type,
    check, estimate, parse, standard,
};

fn checked(text: &str, env: &Env) -> Result<Checked, Issues> {
    check(parse(text)?, env)
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
        let checked = checked(&text, &env).unwrap_or_else(|issues| panic!("{text}
{issues}"));
        let got = cost(&checked, &Twelve);
        assert_eq!(got, wanted(&facts), "{text}");
    }
}
