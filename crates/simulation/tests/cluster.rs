//! A whole cluster from one seed: the API server, all controllers, the scheduler and hollow nodes under a workload and
//! faults, followed by a quiet period and final checks.
//!
//! Each run is a separate process (`replay`), so that only the seed makes a difference. `SEED=7 cargo test -p
//! simulation --test cluster` runs one seed, `IRONHULL_SEEDS=100` the first hundred, and `LOG=FILE` keeps the whole
//! journal of a run: `docs/find-a-bug-by-seed.md`.

#![allow(clippy::unwrap_used, reason = "all of this is tests, but none of them is a #[test] function")]

#[path = "cluster/batch.rs"]
mod batch;
#[path = "cluster/broken.rs"]
mod broken;
#[path = "cluster/components.rs"]
mod components;
#[path = "cluster/counts.rs"]
mod counts;
#[path = "cluster/deeds.rs"]
mod deeds;
#[path = "cluster/entropy.rs"]
mod entropy;
#[path = "cluster/invariants.rs"]
mod invariants;
#[path = "cluster/model.rs"]
mod model;
#[path = "cluster/peace.rs"]
mod peace;
#[path = "cluster/promises.rs"]
mod promises;
#[path = "cluster/replay.rs"]
mod replay;
#[path = "cluster/scenario.rs"]
mod scenario;
#[path = "cluster/spread.rs"]
mod spread;
#[path = "cluster/workload.rs"]
mod workload;

use libtest_mimic::{Arguments, Failed, Trial};
use scenario::Scenario;

/// How many seeds every run of all tests takes.
const SEEDS: u64 = 6;

fn main() {
    if replay::was_asked() {
        return;
    }
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (variable("SEED"), variable("IRONHULL_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, many) => 1..1 + many.unwrap_or(SEEDS),
    };
    let mut trials: Vec<Trial> =
        seeds.map(|seed| Trial::test(format!("seed_{seed}"), move || holds(seed))).collect();
    trials.push(Trial::test("a_seed_replays_exactly", a_seed_replays_exactly));
    trials.push(Trial::test("a_forgotten_event_is_found", a_forgotten_event_is_found));
    trials.push(Trial::test("each_rule_can_break", broken::each_rule_can_break));
    trials.push(Trial::test("pods_are_spread", spread::pods_are_spread));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn holds(seed: u64) -> Result<(), Failed> {
    replay::run(&Scenario::new(seed)).map(drop).map_err(Failed::from)
}

/// The same seed gives the same writes at the same moments, to the last byte.
fn a_seed_replays_exactly() -> Result<(), Failed> {
    let (one, two) = (replay::run(&Scenario::new(1))?, replay::run(&Scenario::new(1))?);
    assert_eq!(one, two);
    assert_ne!(one, replay::run(&Scenario::new(2))?);
    Ok(())
}

/// Controllers that never receive some events are detected, and by nothing else.
fn a_forgotten_event_is_found() -> Result<(), Failed> {
    let forgetful = |seed| Scenario { forgets: Some("pods".to_owned()), ..Scenario::new(seed) };
    // Sometimes missed events do not matter.
    let found = (1..=SEEDS).find_map(|seed| Some((seed, replay::run(&forgetful(seed)).err()?)));
    let (seed, report) = found.expect("controllers that miss events leave something undone");
    assert!(report.contains(&format!("seed {seed}: ")), "{report}");
    replay::run(&Scenario::new(seed))?;
    Ok(())
}
