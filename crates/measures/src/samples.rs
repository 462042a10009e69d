//! The last two samples of each subject of a node, and the usage between them.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::batch::{Batch, Measured};

/// A container that started within one period gives a rate from its start on, if it has run for at least this long: over
/// less, the rate would not be accurate.
const FRESH_SECONDS_MIN: i64 = 10;

/// What a node or a container uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Processors, in billionths.
    pub cpu_nanos: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// When the newer sample was measured.
    pub at: Timestamp,
    /// The time between both samples, in nanoseconds.
    pub window_nanos: i64,
}

impl Usage {
    /// The usage between two samples; `None` if they do not follow one another.
    fn between(earlier: &Measured, last: &Measured) -> Option<Usage> {
        let window = last.at.as_nanosecond() - earlier.at.as_nanosecond();
        let window_nanos = i64::try_from(window).ok().filter(|window| *window > 0)?;
        if last.started < earlier.started {
            return None;
        }
        // Processor time that decreases belongs to another container.
        let cpu = last.cpu_nanos.checked_sub(earlier.cpu_nanos)?;
        let rate = u128::from(cpu) * 1_000_000_000 / window_nanos.unsigned_abs() as u128;
        Some(Usage {
            cpu_nanos: u64::try_from(rate).unwrap_or(u64::MAX),
            memory_bytes: last.memory_bytes,
            at: last.at,
            window_nanos,
        })
    }
}

/// What the containers of a pod use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUsage {
    /// By name, in the order of the names.
    pub containers: Vec<(String, Usage)>,
    /// The time and the window of the container that was measured first.
    pub at: Timestamp,
    /// In nanoseconds.
    pub window_nanos: i64,
}

/// The last two samples of a node and of its containers. It holds no more than two batches.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    last: Batch,
    /// Those before the last that belong to the same run of the subject.
    earlier: Batch,
}

impl Samples {
    /// Takes a batch that was measured after the others. Batches are `period_seconds` apart.
    pub fn take(&mut self, batch: Batch, period_seconds: u32) {
        let node = batch.node.and_then(|new| match self.last.node {
            Some(last) if last.at < new.at => Some(last),
            _ => self.earlier.node,
        });
        let mut pods = HashMap::with_capacity(batch.pods.len());
        for (key, containers) in &batch.pods {
            let (last, earlier) = (self.last.pods.get(key), self.earlier.pods.get(key));
            let before = |(name, new): (&String, &Measured)| {
                let (last, earlier) =
                    (last.and_then(|pod| pod.get(name)), earlier.and_then(|pod| pod.get(name)));
                Some((name.clone(), before(new, last, earlier, period_seconds)?))
            };
            let found: HashMap<_, _> = containers.iter().filter_map(before).collect();
            if !found.is_empty() {
                pods.insert(key.clone(), found);
            }
        }
        self.last = batch;
        self.earlier = Batch { node, pods };
    }

    /// What the node uses; `None` without two samples.
    pub fn node(&self) -> Option<Usage> {
        Usage::between(self.earlier.node.as_ref()?, self.last.node.as_ref()?)
    }

    /// What a pod uses; `None` unless there are two samples of each of its containers.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<PodUsage> {
        let key = (namespace.to_owned(), name.to_owned());
        let (last, earlier) = (self.last.pods.get(&key)?, self.earlier.pods.get(&key)?);
        let of = |(name, last): (&String, &Measured)| {
            Some((name.clone(), Usage::between(earlier.get(name)?, last)?))
        };
        let mut containers = last.iter().map(of).collect::<Option<Vec<_>>>()?;
        containers.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (_, first) = containers.iter().min_by_key(|(_, usage)| usage.at)?;
        let (at, window_nanos) = (first.at, first.window_nanos);
        Some(PodUsage { containers, at, window_nanos })
    }
}

/// The sample of a container before a new one, in the same run of it.
fn before(
    new: &Measured,
    last: Option<&Measured>,
    earlier: Option<&Measured>,
    period_seconds: u32,
) -> Option<Measured> {
    let age = new.at.as_nanosecond() - new.started.as_nanosecond();
    let seconds = |count: i64| i128::from(count) * 1_000_000_000;
    if age >= seconds(FRESH_SECONDS_MIN) && age < seconds(period_seconds.into()) {
        return Some(Measured { at: new.started, cpu_nanos: 0, ..*new });
    }
    let last = last.filter(|last| new.started < last.at)?;
    if last.at < new.at {
        return Some(*last);
    }
    // The same sample again, as engines that measure from time to time give it.
    earlier.filter(|earlier| earlier.at < new.at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// A sample at a time, of something that started at another, with its processor seconds.
    fn sample(started: i64, time: i64, cpu_seconds: u64) -> Measured {
        Measured {
            started: at(started),
            at: at(time),
            cpu_nanos: cpu_seconds * 1_000_000_000,
            memory_bytes: 9,
        }
    }

    fn batch(containers: &[(&str, Measured)]) -> Batch {
        let pod = containers.iter().map(|(name, measured)| ((*name).to_owned(), *measured)).collect();
        Batch { node: None, pods: HashMap::from([(("d".to_owned(), "web".to_owned()), pod)]) }
    }

    /// The usage of each container, in thousandths of a processor, after these batches; `None` if the pod has none.
    fn after(batches: &[&[(&str, Measured)]]) -> Option<Vec<(String, u64)>> {
        let mut samples = Samples::default();
        batches.iter().for_each(|containers| samples.take(batch(containers), 15));
        let usage = samples.pod("d", "web")?;
        Some(usage.containers.into_iter().map(|(name, usage)| (name, usage.cpu_nanos / 1_000_000)).collect())
    }

    #[test]
    fn two_samples_give_a_rate() {
        assert_eq!(after(&[&[("a", sample(0, 100, 10))]]), None);
        let found = after(&[&[("a", sample(0, 100, 10))], &[("a", sample(0, 116, 14))]]);
        assert_eq!(found, Some(vec![("a".into(), 250)]));
        let third = [("a", sample(0, 132, 30))];
        let found = after(&[&[("a", sample(0, 100, 10))], &[("a", sample(0, 116, 14))], &third]);
        assert_eq!(found, Some(vec![("a".into(), 1000)]));
    }

    #[test]
    fn a_sample_that_is_repeated_changes_nothing() {
        let (one, two) = ([("a", sample(0, 100, 10))], [("a", sample(0, 110, 15))]);
        assert_eq!(after(&[&one, &two, &two, &two]), Some(vec![("a".into(), 500)]));
        assert_eq!(after(&[&one, &one]), None);
    }

    #[test]
    fn a_pod_needs_two_samples_of_all_its_containers() {
        let one = [("a", sample(0, 100, 10))];
        let both = [("a", sample(0, 115, 25)), ("b", sample(50, 115, 1))];
        assert_eq!(after(&[&one, &both]), None);
        let later = [("a", sample(0, 130, 40)), ("b", sample(50, 130, 16))];
        assert_eq!(after(&[&one, &both, &later]), Some(vec![("a".into(), 1000), ("b".into(), 1000)]));
        // One that is gone does not count any more.
        assert_eq!(after(&[&one, &both, &[("a", sample(0, 130, 40))]]), Some(vec![("a".into(), 1000)]));
    }

    #[test]
    fn a_container_that_started_again_is_a_new_one() {
        let before = [("a", sample(0, 100, 50))];
        // It started after the last sample, too shortly before this one.
        assert_eq!(after(&[&before, &[("a", sample(108, 115, 7))]]), None);
        // Long enough ago: its rate counts from its start.
        assert_eq!(after(&[&before, &[("a", sample(105, 115, 5))]]), Some(vec![("a".into(), 500)]));
        // Nothing is negative, even if the start is not known.
        assert_eq!(after(&[&before, &[("a", sample(0, 115, 7))]]), None);
    }

    #[test]
    fn a_new_container_has_a_rate_from_its_start() {
        assert_eq!(after(&[&[("a", sample(88, 100, 6))]]), Some(vec![("a".into(), 500)]));
        assert_eq!(after(&[&[("a", sample(95, 100, 5))]]), None);
        assert_eq!(after(&[&[("a", sample(85, 100, 5))]]), None);
    }

    #[test]
    fn the_time_is_that_of_the_container_measured_first() {
        let mut samples = Samples::default();
        samples.take(batch(&[("a", sample(0, 100, 1)), ("b", sample(0, 101, 1))]), 15);
        samples.take(batch(&[("a", sample(0, 112, 1)), ("b", sample(0, 111, 1))]), 15);
        let usage = samples.pod("d", "web").unwrap();
        assert_eq!((usage.at, usage.window_nanos), (at(111), 10_000_000_000));
        assert_eq!(samples.pod("d", "db"), None);
        assert_eq!(samples.pod("e", "web"), None);
    }

    #[test]
    fn a_node_has_a_rate_too() {
        let batch = |node| Batch { node: Some(node), ..Batch::default() };
        let mut samples = Samples::default();
        samples.take(batch(sample(0, 100, 10)), 15);
        assert_eq!(samples.node(), None);
        samples.take(batch(sample(0, 110, 30)), 15);
        let usage = samples.node().unwrap();
        assert_eq!((usage.cpu_nanos, usage.memory_bytes, usage.at), (2_000_000_000, 9, at(110)));
        // After a restart of the machine its time starts anew.
        samples.take(batch(sample(0, 125, 1)), 15);
        assert_eq!(samples.node(), None);
        samples.take(batch(sample(0, 135, 2)), 15);
        assert_eq!(samples.node().unwrap().cpu_nanos, 100_000_000);
    }
}
