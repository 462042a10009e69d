//! Rules over schemas, and their outcomes for objects.

use crate::facts::shape;
use crate::{Program, Value, Variables, compile, kubernetes};

/// What is wrong with a block of the table.
fn problems(block: &str) -> Vec<String> {
    let line = |start: &str| block.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    let shape = shape(line("schema "), "object");
    let tree = object::json::parse(line("object ").as_bytes()).unwrap();
    let env = kubernetes().with_shape("self", &shape);
    let outcome = |rule: &str| {
        let program = Program::new(&compile(rule, &env).map_err(|error| error.to_string())?);
        let variables = Variables::default()
            .with("self", Value::of_tree(&tree, Some(&shape)).map_err(|error| error.to_string())?);
        let result = program.map_err(|error| error.to_string())?.evaluate(&variables, 1_000_000).result;
        result.map_err(|error| error.to_string())
    };
    let mut problems = Vec::new();
    for line in block.lines() {
        let (is_so, outcome) = match (line.strip_prefix("+ "), line.strip_prefix("! ")) {
            (Some(rule), _) => {
                let outcome = outcome(rule);
                (outcome.as_ref().is_ok_and(|value| value.as_bool() == Some(true)), outcome)
            }
            (_, Some(fact)) => {
                let (error, rule) = fact.split_once(" | ").unwrap();
                let outcome = outcome(rule);
                (outcome.as_ref().is_err_and(|message| message.contains(error)), outcome)
            }
            _ => continue,
        };
        if !is_so {
            problems.push(format!("{line}\n  but {outcome:?}"));
        }
    }
    problems
}

#[test]
fn rules_over_schemas_have_upstreams_outcomes() {
    let table = include_str!("../../facts/rules-outcomes.txt");
    let blocks = table.split("\n\n").filter(|block| block.starts_with("schema "));
    let problems: Vec<String> = blocks.flat_map(problems).collect();
    assert!(problems.is_empty(), "{} rules:\n{}", problems.len(), problems.join("\n"));
}
