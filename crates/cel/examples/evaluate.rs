//! What typical rules of policies take: microseconds for making a program and for each evaluation.
//!
//! `cargo run --release -p cel --example evaluate`

use std::hint::black_box;
use std::time::Duration;

use cel::{Program, Type, Value, Variables, compile, kubernetes};
use object::value;

/// How often each expression is evaluated.
const ROUNDS: u32 = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let container = |name: &str| {
        value!({
            "name": name, "image": "registry.example.com/team/application:v1.2.3",
            "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        })
    };
    let containers: Vec<object::Value> = ["a", "b", "c", "d"].into_iter().map(container).collect();
    let pod = value!({
        "metadata": {"name": "web-0", "namespace": "shop", "labels": {"app": "web", "team": "a"}},
        "spec": {"replicas": 3, "containers": containers},
    });
    let variables = Variables::default().with("object", Value::of_tree(&pod, None)?);
    let env = kubernetes().with_variable("object", Type::Dyn);
    println!("{:>12} {:>12} {:>8}", "compile µs", "evaluate µs", "cost");
    for text in [
        "object.spec.replicas <= 5",
        "has(object.metadata.labels) && 'team' in object.metadata.labels",
        "object.metadata.name.matches('^[a-z0-9-]+$')",
        "object.spec.containers.all(c, c.image.startsWith('registry.example.com/'))",
        "object.spec.containers.all(c, c.?securityContext.?allowPrivilegeEscalation.orValue(true) == false)",
        "object.spec.containers.map(c, quantity(c.resources.limits.memory)).all(q, q.isLessThan(quantity('1Gi')))",
    ] {
        let start = clock::Clock::system().now();
        let program = Program::new(&compile(text, &env)?)?;
        let compiled = micros(start);
        let start = clock::Clock::system().now();
        let mut cost = 0;
        for _ in 0..ROUNDS {
            let outcome = program.evaluate(&variables, 1_000_000);
            cost = outcome.cost;
            black_box(outcome.result?);
        }
        println!("{compiled:>12.1} {:>12.2} {cost:>8}  {text}", micros(start) / f64::from(ROUNDS));
    }
    Ok(())
}

/// The microseconds since a point in time.
fn micros(start: jiff::Timestamp) -> f64 {
    let elapsed: Duration = clock::Clock::system().now().duration_since(start).unsigned_abs();
    elapsed.as_secs_f64() * 1e6
}
