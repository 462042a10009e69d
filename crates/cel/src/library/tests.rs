//! Declarations of libraries, by upstream's names.

use std::collections::BTreeSet;

use super::{functions, jsonpatch};
use crate::Function;
use crate::facts::library_functions;

/// Each overload in a line.
fn lines(functions: &[Function]) -> BTreeSet<String> {
    let line = |function: &Function| {
        let name = function.name;
        function
            .overloads
            .iter()
            .map(move |overload| {
                let params: Vec<String> = overload.params.iter().map(ToString::to_string).collect();
                let style = if overload.method { "method" } else { "global" };
                format!("{style} {name} {} ({}) {}", overload.id, params.join(", "), overload.result)
            })
            .collect::<Vec<_>>()
    };
    functions.iter().flat_map(line).collect()
}

#[test]
fn declarations_are_upstreams() {
    let ours = lines(&[functions(), jsonpatch::functions()].concat());
    let missing: Vec<String> = lines(&library_functions()).difference(&ours).cloned().collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_function_does_something() {
    for function in functions() {
        let is_planned = ["or", "orValue", "_[_]", "_?._", "_[?_]", "string"].contains(&function.name);
        assert!(
            is_planned || super::operation(function.name, None).is_some() || is_standard(&function),
            "{}",
            function.name
        );
    }
}

fn is_standard(function: &Function) -> bool {
    function
        .overloads
        .iter()
        .all(|overload| crate::functions::operation(function.name, overload.params.len()).is_some())
}
