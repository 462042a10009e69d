//! Declarations of libraries, by upstream's names, and what checks of authorization ask.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    Attributes, Decision, Decisions, ServiceAccount, authorizer, authorizer_types, functions, jsonpatch,
    kubernetes, resource_check,
};
use crate::facts::library_functions;
use crate::{EvaluationError, Function, Program, Variables, compile};

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

#[test]
fn checks_ask_for_what_the_expression_says() {
    let env = kubernetes()
        .with_variable("authorizer", authorizer_types::authorizer())
        .with_variable("mine", authorizer_types::resource_check());
    let text = "authorizer.serviceAccount('n', 'a').group('apps').resource('deployments').subresource('status').namespace('x')
        .name('y').labelSelector('a=b').fieldSelector('c=d').check('update').errored() || mine.check('get').reason() == 'ok'";
    let program = Program::new(&compile(text, &env).unwrap()).unwrap();
    let decisions = Arc::new(Decisions::default());
    let own = Attributes { resource: "pods".into(), name: "p".into(), ..Attributes::default() };
    let variables = Variables::default()
        .with("authorizer", authorizer::authorizer(decisions.clone()))
        .with("mine", resource_check(decisions.clone(), own.clone()));
    let mut asked = Vec::new();
    let outcome = loop {
        let outcome = program.evaluate(&variables, 1_000_000);
        let Some(attributes) = decisions.take_pending() else { break outcome };
        assert_eq!(outcome.result.unwrap_err(), EvaluationError::Pending);
        asked.push(attributes.clone());
        decisions.insert(attributes, Decision { reason: "ok".into(), ..Decision::default() });
    };
    assert_eq!(outcome.result.unwrap().as_bool(), Some(true));
    assert!(outcome.cost > 700_000, "{}", outcome.cost);
    let first = Attributes {
        service_account: Some(ServiceAccount { namespace: "n".into(), name: "a".into() }),
        verb: "update".into(),
        path: None,
        group: "apps".into(),
        resource: "deployments".into(),
        subresource: "status".into(),
        namespace: "x".into(),
        name: "y".into(),
        field_selector: "c=d".into(),
        label_selector: "a=b".into(),
    };
    assert_eq!(asked, [first, Attributes { verb: "get".into(), ..own }]);
    // A third check is beyond what one expression may cost.
    let thrice = "mine.check('get').allowed() || mine.check('get').allowed() || mine.check('get').allowed()";
    let program = Program::new(&compile(thrice, &env).unwrap()).unwrap();
    assert_eq!(program.evaluate(&variables, 1_000_000).result.unwrap_err(), EvaluationError::CostLimit);
}
