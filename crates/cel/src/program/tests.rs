//! Values, errors and costs of expressions, by tables of facts in `facts`.
//!
//! Lines of an entry: `: name type = expression` is a variable, `= expression` the value, `!` an error, with its text if it
//! is known, `$ number` the cost.

use std::sync::Arc;

use super::{Outcome, Program, Variables};
use crate::facts::{Fact, entries};
use crate::library::{self, Attributes, Authorizer, Decision};
use crate::{
    Env, EvaluationError, Meter, Type, Value, check, estimate, kubernetes, kubernetes_with_patches, parse,
};

/// Allows everything.
#[derive(Debug)]
struct Allow;

impl Authorizer for Allow {
    fn authorize(&self, _: &Attributes) -> Result<Decision, EvaluationError> {
        Ok(Decision { allowed: true, ..Decision::default() })
    }
}

/// A type as the tables name it.
fn kind(name: &str) -> Type {
    match name.split_once('(').map_or(name, |(head, _)| head) {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "null" => Type::Null,
        "list" => Type::list(kind(&name["list(".len()..name.len() - 1])),
        "map" => {
            let (key, value) = name["map(".len()..name.len() - 1].split_once(',').unwrap();
            Type::map(kind(key), kind(value))
        }
        "dyn" => Type::Dyn,
        other => panic!("{other} is not a type of the tables"),
    }
}

fn program(text: &str, env: &Env, folds: bool) -> Result<Program, String> {
    let ast = parse(text).map_err(|error| error.to_string())?;
    let checked = check(ast, env).map_err(|error| error.to_string())?;
    super::plan::plan(&checked, folds).map_err(|error| error.to_string())
}

fn constant(text: &str) -> Value<'static> {
    let program = program(text, &kubernetes(), true).unwrap_or_else(|error| panic!("{error}"));
    program.evaluate(&Variables::default(), u64::MAX).result.unwrap()
}

/// The environment and the variables of an entry.
fn variables(facts: &[&str]) -> (Env, Variables<'static>) {
    let mut env =
        kubernetes_with_patches().with_variable("authorizer", library::authorizer_types::authorizer());
    let mut variables = Variables::default().with("authorizer", library::authorizer(Arc::new(Allow)));
    for fact in facts.iter().filter_map(|fact| fact.strip_prefix(": ")) {
        let (declared, value) = match fact.split_once(" = ") {
            Some((declared, value)) => (declared, Some(value)),
            None => (fact, None),
        };
        let (name, of) = declared.split_once(' ').unwrap();
        env = env.with_variable(name, kind(of));
        if let Some(value) = value {
            variables = variables.with(name, constant(value));
        }
    }
    (env, variables)
}

/// What is wrong with an entry.
fn problem((text, facts): &Fact<'_>, folds: bool) -> Option<String> {
    let (env, variables) = variables(facts);
    let outcome = match program(text, &env, folds) {
        Ok(program) => program.evaluate(&variables, 100_000_000),
        // A constant that has no value is refused before.
        Err(error) if error.starts_with("program") || error.contains("argument") => {
            Outcome { result: Err(EvaluationError::failed(error)), cost: 0 }
        }
        Err(error) => return Some(error),
    };
    for fact in facts {
        let is_so = match fact.split_at(1) {
            ("=", value) => match (&outcome.result, constant(value)) {
                (Ok(Value::Double(value)), Value::Double(expected)) if expected.is_nan() => value.is_nan(),
                (Ok(value), expected) => {
                    value.runtime_type() == expected.runtime_type()
                        && crate::value::equal(value, &expected, &mut Meter::new(1 << 20)).unwrap()
                }
                (Err(_), _) => false,
            },
            ("!", message) => {
                outcome.result.as_ref().is_err_and(|error| error.to_string().contains(message.trim()))
            }
            ("$", cost) => outcome.cost == cost.trim().parse::<u64>().unwrap(),
            _ => true,
        };
        if !is_so {
            return Some(format!("{fact}\n  but {:?} at {}", outcome.result, outcome.cost));
        }
    }
    None
}

fn holds(table: &str, folds: bool) {
    let problems: Vec<String> = entries(table)
        .iter()
        .filter_map(|entry| problem(entry, folds).map(|problem| format!("> {}\n{problem}", entry.0)))
        .collect();
    assert!(problems.is_empty(), "{} entries:\n{}", problems.len(), problems.join("\n\n"));
}

macro_rules! tables {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            holds(include_str!(concat!("../../facts/spec/", stringify!($name), ".txt")), true);
        }
    )*};
}

mod spec {
    use super::holds;

    tables! {
        basic comparisons conversions fields fp_math integer_math lists logic macros macros2 optionals parse plumbing
        string string_ext timestamps
    }
}

#[test]
fn costs_are_those_of_the_language() {
    holds(include_str!("../../facts/costs_language.txt"), false);
}

#[test]
fn costs_are_those_of_kubernetes() {
    holds(include_str!("../../facts/costs_kubernetes.txt"), false);
}

#[test]
fn constants_are_folded() {
    holds(include_str!("../../facts/costs_folded.txt"), true);
}

#[test]
fn libraries_of_kubernetes_give_upstreams_values() {
    holds(include_str!("../../facts/library-values.txt"), true);
}

#[test]
fn strings_are_formatted_as_upstream() {
    holds(include_str!("../../facts/format.txt"), true);
}

#[test]
fn costs_are_at_most_what_is_estimated() {
    for table in
        [include_str!("../../facts/costs_language.txt"), include_str!("../../facts/costs_kubernetes.txt")]
    {
        for (text, facts) in entries(table) {
            let (env, variables) = variables(&facts);
            let checked = check(parse(&text).unwrap(), &env).unwrap();
            let estimated = estimate(&checked, &env);
            let program = super::plan::plan(&checked, false).unwrap();
            let cost = program.evaluate(&variables, u64::MAX).cost;
            // The least is too much in places, upstream as well: `'text'.includes('t')`.
            assert!(cost <= estimated.max, "{text}: {cost} is more than {estimated:?}");
        }
    }
}

#[test]
fn programs_and_their_values_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Program>();
    crosses::<Outcome<'_>>();
    crosses::<Variables<'_>>();
}

#[test]
fn work_that_costs_little_is_bounded() {
    let result = |text: &str| {
        let program = Program::new(&check(parse(text).unwrap(), &kubernetes()).unwrap()).unwrap();
        program.evaluate(&Variables::default(), 1_000_000).result
    };
    let long = "['aaaaaaaaaaaaaaaa'].map(a, a.replace('a', 'aaaaaaaaaaaaaaaa')).map(a, a.replace('a', 'aaaaaaaaaaaaaaaa'))\
                .map(a, a.replace('a', 'aaaaaaaaaaaaaaaa'))";
    let of_long = |check: &str| result(&format!("{long}.all(long, lists.range(2000).all(i, {check}))"));
    for check in [
        "!(long in {'a': 1})",
        "!(long in ['a', 'b'])",
        "!has({long: 1}.a)",
        "{'a': 1}[?long].orValue(0) == 0",
    ] {
        assert_eq!(of_long(check).unwrap_err(), EvaluationError::MemoryLimit, "{check}");
    }
    let list = format!("{long}.map(long, lists.range(100).map(i, long))");
    let compared = "[list[0].substring(1) + 'b'].all(other, lists.range(2000).all(i, !(other in list)))";
    assert_eq!(result(&format!("{list}.all(list, {compared})")).unwrap_err(), EvaluationError::MemoryLimit);
    // Every pattern is compiled once, and counts for its size.
    let patterns = |pattern: &str| result(&format!("lists.range(5000).all(i, !'b'.matches({pattern}))"));
    assert_eq!(patterns(r"'\\pL{40}' + string(i)").unwrap_err(), EvaluationError::MemoryLimit);
    assert_eq!(patterns("'a' + string(i % 10)").unwrap().as_bool(), Some(true));
}
