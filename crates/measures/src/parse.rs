//! Reads the figures of a node in the text format of metrics.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::batch::{Batch, Measured};

/// How many containers one node may report. Kubernetes plans for 110 pods a node, and for 300,000 containers a cluster.
const CONTAINERS_MAX: usize = 20_000;

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// A line is not a sample; its number, from 1.
    Line(usize),
    /// It has more containers than a node can have.
    TooMany,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ParseError::Line(number) => write!(f, "line {number} is not a sample of a metric"),
            ParseError::TooMany => write!(f, "there are figures of more than {CONTAINERS_MAX} containers"),
        }
    }
}

impl std::error::Error for ParseError {}

/// A sample of one of the metrics that matter.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
    at: Timestamp,
}

impl Batch {
    /// Reads the text of `/metrics/resource`. Samples without a time were measured at `now`.
    ///
    /// # Errors
    /// The first line that is not a sample, and too many containers.
    pub fn parse(text: &str, now: Timestamp) -> Result<Batch, ParseError> {
        let mut node = Measured::default();
        let mut pods: HashMap<(String, String), HashMap<String, Measured>> = HashMap::new();
        let mut containers = 0;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = ParseError::Line(index + 1);
            let sample = sample(line, now).ok_or(wrong.clone())?;
            let Some(set) = setter(sample.name) else { continue };
            if sample.name.starts_with("node_") {
                set(&mut node, &sample);
                continue;
            }
            let [container, namespace, pod] =
                labels(sample.labels, ["container", "namespace", "pod"]).ok_or(wrong)?;
            let pod = pods.entry((namespace, pod)).or_default();
            if !pod.contains_key(&container) {
                containers += 1;
                if containers > CONTAINERS_MAX {
                    return Err(ParseError::TooMany);
                }
            }
            set(pod.entry(container).or_default(), &sample);
        }
        pods.retain(|_, containers| containers.values().all(Measured::is_complete));
        Ok(Batch { node: Some(node).filter(Measured::is_complete), pods })
    }
}

/// What a sample of this metric sets; `None` if it does not matter.
fn setter(name: &str) -> Option<fn(&mut Measured, &Sample<'_>)> {
    match name {
        "node_cpu_usage_seconds_total" | "container_cpu_usage_seconds_total" => Some(|measured, sample| {
            measured.cpu_nanos = nanos(sample.value);
            // The time of this one, for a rate that is right.
            measured.at = sample.at;
        }),
        "node_memory_working_set_bytes" | "container_memory_working_set_bytes" => {
            Some(|measured, sample| measured.memory_bytes = sample.value as u64)
        }
        "container_start_time_seconds" => Some(|measured, sample| {
            let nanos = i128::from(nanos(sample.value));
            measured.started = Timestamp::from_nanosecond(nanos).unwrap_or_default();
        }),
        _ => None,
    }
}

/// Seconds as nanoseconds; a negative number is none.
fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

/// `NAME{LABELS} VALUE [MILLISECONDS]`; `None` if it is not of that form, or if the value is not a finite number.
fn sample(line: &str, now: Timestamp) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => {
            let end = end_of_labels(inner)?;
            (&inner[..end], &inner[end + 1..])
        }
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let value: f64 = words.next()?.parse().ok()?;
    let at = match words.next() {
        Some(millis) => Timestamp::from_millisecond(millis.parse().ok()?).ok()?,
        None => now,
    };
    (words.next().is_none() && value.is_finite()).then_some(Sample { name, labels, value, at })
}

/// Where the brace is that closes the labels: not one within a label's value.
fn end_of_labels(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// The values of these labels. The names of pods, namespaces and containers have no characters that would be escaped.
fn labels<const N: usize>(text: &str, names: [&str; N]) -> Option<[String; N]> {
    let mut values = [const { String::new() }; N];
    for (name, value) in names.iter().zip(&mut values) {
        let label = text.split(',').find_map(|label| label.trim().strip_prefix(name)?.strip_prefix('='))?;
        let found = label.strip_prefix('"')?.strip_suffix('"')?;
        if found.is_empty() || found.contains(['"', '\\']) {
            return None;
        }
        found.clone_into(value);
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn parse(text: &str) -> Result<Batch, ParseError> {
        Batch::parse(text, now())
    }

    /// The three figures of a container.
    fn container(name: &str, pod: &str, cpu: f64, memory: u64) -> String {
        let labels = format!("{{container=\"{name}\",namespace=\"d\",pod=\"{pod}\"}}");
        format!(
            "container_cpu_usage_seconds_total{labels} {cpu} 1800000001500\n\
             container_memory_working_set_bytes{labels} {memory} 1800000001700\n\
             container_start_time_seconds{labels} 1.79999999e+09 1800000001500\n"
        )
    }

    #[test]
    fn figures_are_read_with_their_time() {
        let text = format!(
            "# HELP x y\n# TYPE x counter\nnode_cpu_usage_seconds_total 2.5 1800000000250\n\
             node_memory_working_set_bytes 1e3 1800000000250\nother{{a=\"}}\"}} 1\nresource_scrape_error 0\n{}",
            container("a", "web", 1.5, 7)
        );
        let batch = parse(&text).unwrap();
        let node = batch.node.unwrap();
        assert_eq!(
            (node.cpu_nanos, node.memory_bytes, node.at.as_millisecond()),
            (2_500_000_000, 1000, 1_800_000_000_250)
        );
        let one = batch.pods[&("d".to_owned(), "web".to_owned())]["a"];
        assert_eq!(
            (one.cpu_nanos, one.memory_bytes, one.at.as_millisecond()),
            (1_500_000_000, 7, 1_800_000_001_500)
        );
        assert_eq!(one.started.as_second(), 1_799_999_990);
        let without_time = parse("node_cpu_usage_seconds_total 1\nnode_memory_working_set_bytes 1").unwrap();
        assert_eq!(without_time.node.unwrap().at, now());
    }

    #[test]
    fn incomplete_subjects_are_left_out() {
        let text =
            container("a", "web", 1.0, 7) + &container("b", "web", 0.0, 7) + &container("a", "db", 1.0, 7);
        let batch = parse(&text).unwrap();
        assert_eq!(batch.pods.keys().collect::<Vec<_>>(), [&("d".to_owned(), "db".to_owned())]);
        assert_eq!(parse("node_cpu_usage_seconds_total 1").unwrap().node, None);
        assert_eq!(parse("").unwrap(), Batch::default());
    }

    #[test]
    fn what_is_not_a_sample_is_refused() {
        for text in [
            "node_cpu_usage_seconds_total",
            "node_cpu_usage_seconds_total x",
            "node_cpu_usage_seconds_total NaN",
            "node_cpu_usage_seconds_total 1 x",
            "node_cpu_usage_seconds_total 1 2 3",
            "container_cpu_usage_seconds_total{container=\"a\" 1",
            "container_cpu_usage_seconds_total{container=\"a\",pod=\"p\"} 1",
            "container_cpu_usage_seconds_total{container=\"\",namespace=\"n\",pod=\"p\"} 1",
            "container_cpu_usage_seconds_total{container=\"a\\\"\",namespace=\"n\",pod=\"p\"} 1",
        ] {
            assert_eq!(parse(text), Err(ParseError::Line(1)), "{text}");
        }
        let many: String = (0..=CONTAINERS_MAX).map(|n| container("a", &format!("p{n}"), 1.0, 1)).collect();
        assert_eq!(parse(&many), Err(ParseError::TooMany));
    }

    #[test]
    fn no_number_is_too_large() {
        let labels = "{container=\"a\",namespace=\"n\",pod=\"p\"}";
        let text = format!(
            "container_cpu_usage_seconds_total{labels} 1e300\ncontainer_memory_working_set_bytes{labels} 1e300\n\
             container_start_time_seconds{labels} 1e300\nnode_cpu_usage_seconds_total -1\nnode_memory_working_set_bytes -1"
        );
        let batch = parse(&text).unwrap();
        assert_eq!(batch.node, None);
        let one = batch.pods[&("n".to_owned(), "p".to_owned())]["a"];
        assert_eq!((one.cpu_nanos, one.memory_bytes), (u64::MAX, u64::MAX));
    }
}
