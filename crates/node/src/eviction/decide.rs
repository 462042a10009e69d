//! Decides from measurements which conditions are true, and what must be reclaimed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::pressure::{EvictionConfig, Pressure, Pressures, Signal, Threshold};

/// The capacity of a resource, and the available amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    pub(crate) available: i64,
    pub(crate) capacity: i64,
}

/// The measurements. A signal that could not be measured is missing.
pub(crate) type Observations = BTreeMap<Signal, Observation>;

/// State that is kept from one decision to the next.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Thresholds that are crossed, and since when.
    since: Vec<(Threshold, Timestamp)>,
    /// Thresholds for which something was reclaimed, and that are not satisfied yet.
    met: Vec<Threshold>,
    /// When conditions were measured last.
    observed: BTreeMap<Pressure, Timestamp>,
}

/// The action.
#[derive(Debug, PartialEq)]
pub(super) struct Decision {
    /// The conditions that are true.
    pub(super) pressures: Pressures,
    /// The threshold for which something is reclaimed.
    pub(super) reclaim: Option<Threshold>,
}

/// Decides.
pub(super) fn decide(
    config: &EvictionConfig,
    state: &mut State,
    observations: &Observations,
    now: Timestamp,
) -> Decision {
    let crossed: Vec<Threshold> = config
        .thresholds
        .iter()
        .filter(|threshold| {
            // Once something is reclaimed for a threshold, its minimum is added.
            is_crossed(threshold, observations, false)
                || (state.met.contains(threshold) && is_crossed(threshold, observations, true))
        })
        .cloned()
        .collect();
    let since = |threshold: &Threshold| {
        let known = state.since.iter().find(|(known, _)| known == threshold);
        known.map_or(now, |(_, at)| *at)
    };
    let since: Vec<_> = crossed.iter().map(|threshold| (threshold.clone(), since(threshold))).collect();
    for threshold in &crossed {
        state.observed.insert(threshold.signal.pressure(), now);
    }
    let transition = SignedDuration::try_from(config.pressure_transition).unwrap_or(SignedDuration::MAX);
    // The current measurement counts, however short the period.
    state.observed.retain(|_, at| *at == now || now.duration_since(*at) < transition);
    let pressures: BTreeSet<Pressure> = state.observed.keys().copied().collect();
    let is_due =
        |(threshold, at): &&(Threshold, Timestamp)| now.duration_since(*at).unsigned_abs() >= threshold.grace;
    let met: Vec<Threshold> = since.iter().filter(is_due).map(|(threshold, _)| threshold.clone()).collect();
    // Memory comes first: without it nothing works.
    let reclaim = met.iter().min_by_key(|threshold| threshold.signal != Signal::MemoryAvailable).cloned();
    (state.since, state.met) = (since, met);
    Decision { pressures, reclaim }
}

/// Whether no threshold is crossed, including the amounts to reclaim in addition.
pub(super) fn is_satisfied(config: &EvictionConfig, observations: &Observations) -> bool {
    !config.thresholds.iter().any(|threshold| is_crossed(threshold, observations, true))
}

fn is_crossed(threshold: &Threshold, observations: &Observations, with_minimum: bool) -> bool {
    let Some(seen) = observations.get(&threshold.signal) else { return false };
    let more = threshold.reclaim_min.filter(|_| with_minimum).map_or(0, |more| more.of(seen.capacity));
    threshold.value.of(seen.capacity) + more > seen.available
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pressure::EvictionFlags;

    fn config(hard: &[&str], soft: &[&str], grace: &[&str], reclaim: &[&str]) -> EvictionConfig {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (hard, soft, grace, reclaim) = (list(hard), list(soft), list(grace), list(reclaim));
        EvictionConfig::parse(&EvictionFlags {
            hard: Some(&hard),
            soft: &soft,
            soft_grace: &grace,
            minimum_reclaim: &reclaim,
            pod_grace_seconds_max: 0,
            pressure_transition: "5m",
        })
        .unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn seen(signals: &[(Signal, i64)]) -> Observations {
        let observation = |available| Observation { available, capacity: 1000 };
        signals.iter().map(|(signal, available)| (*signal, observation(*available))).collect()
    }

    const DISK: Signal = Signal::NodeFsAvailable;
    const MEMORY: Signal = Signal::MemoryAvailable;

    fn step(
        config: &EvictionConfig,
        state: &mut State,
        seen: &Observations,
        second: i64,
    ) -> (Vec<Pressure>, Option<Signal>) {
        let decision = decide(config, state, seen, at(second));
        (decision.pressures.into_iter().collect(), decision.reclaim.map(|threshold| threshold.signal))
    }

    #[test]
    fn a_condition_stays_for_its_period() {
        let config = config(&["nodefs.available<10%"], &[], &[], &[]);
        let mut state = State::default();
        let mut step = |available, second| step(&config, &mut state, &seen(&[(DISK, available)]), second);
        assert_eq!(step(100, 0), (vec![], None));
        assert_eq!(step(99, 10), (vec![Pressure::Disk], Some(DISK)));
        assert_eq!(step(500, 20), (vec![Pressure::Disk], None));
        assert_eq!(step(500, 309), (vec![Pressure::Disk], None));
        assert_eq!(step(500, 310), (vec![], None));
    }

    #[test]
    fn a_soft_threshold_has_time() {
        let config = config(&[], &["memory.available<500"], &["memory.available=30s"], &[]);
        let mut state = State::default();
        let mut step = |available, second| step(&config, &mut state, &seen(&[(MEMORY, available)]), second);
        assert_eq!(step(400, 0), (vec![Pressure::Memory], None));
        assert_eq!(step(400, 29), (vec![Pressure::Memory], None));
        assert_eq!(step(400, 30), (vec![Pressure::Memory], Some(MEMORY)));
        assert_eq!(step(600, 40), (vec![Pressure::Memory], None));
        // It starts again.
        assert_eq!(step(400, 50), (vec![Pressure::Memory], None));
    }

    #[test]
    fn a_minimum_is_reclaimed_and_memory_comes_first() {
        let config =
            config(&["nodefs.available<100", "memory.available<100"], &[], &[], &["nodefs.available=50"]);
        let mut state = State::default();
        let mut step = |disk, memory| step(&config, &mut state, &seen(&[(DISK, disk), (MEMORY, memory)]), 0);
        assert_eq!(step(120, 200).1, None, "the minimum counts only once something is reclaimed");
        assert_eq!(step(90, 90).1, Some(MEMORY));
        assert_eq!(step(120, 200).1, Some(DISK));
        assert_eq!(step(150, 200).1, None);
        assert!(
            is_satisfied(&config, &seen(&[(DISK, 150)])) && !is_satisfied(&config, &seen(&[(DISK, 149)]))
        );
        assert_eq!(step(500, 500), (vec![Pressure::Memory, Pressure::Disk], None));
    }
}
