//! A whole cluster from one seed: the API server, all controllers, the scheduler and hollow nodes under a workload and under
//! faults; then peace, and what must be true.
//!
//! `SEED=7 cargo test -p simulation --test cluster -- seeds` replays one seed. `cargo xtask test-long simulation` runs many.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "cluster/components.rs"]
mod components;
#[path = "cluster/invariants.rs"]
mod invariants;
#[path = "cluster/model.rs"]
mod model;
#[path = "cluster/peace.rs"]
mod peace;
#[path = "cluster/scenario.rs"]
mod scenario;
#[path = "cluster/workload.rs"]
mod workload;

use scenario::Scenario;

/// How many seeds every run of all tests takes.
const SEEDS: u64 = 6;

/// Runs the seeds that the environment asks for: `SEED` one, `IRONHULL_SEEDS` so many, else a few.
#[test]
fn seeds_hold() {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (variable("SEED"), variable("IRONHULL_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, many) => 1..1 + many.unwrap_or(SEEDS),
    };
    for seed in seeds {
        let hash = Scenario::new(seed).check();
        println!("seed {seed}: {hash:016x}");
    }
}
