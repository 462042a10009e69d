//! Samples with the times at which they were taken, in Prometheus' text format 0.0.4.

use std::fmt::Write;

use jiff::Timestamp;

/// A sample of a family: labels other than those of its subject, and the value.
pub(super) struct Sample {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
    /// `None` for the time of the scrape.
    pub(super) at: Option<Timestamp>,
}

/// The name, type and description of a family.
#[derive(Clone, Copy)]
pub(super) struct Heading {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) help: &'static str,
}

impl Heading {
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Heading {
        Heading { name, kind: "counter", help }
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Heading {
        Heading { name, kind: "gauge", help }
    }
}

/// A text that families are added to.
#[derive(Default)]
pub(super) struct Exposed(String);

impl Exposed {
    /// Adds a family, unless it has no samples.
    pub(super) fn add(&mut self, heading: Heading, samples: impl IntoIterator<Item = Sample>) {
        let Heading { name, kind, help } = heading;
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for Sample { mut labels, value, at } in samples {
            labels.sort_unstable_by_key(|(label, _)| *label);
            self.0.push_str(name);
            for (position, (label, text)) in labels.iter().enumerate() {
                let before = if position == 0 { '{' } else { ',' };
                let _ = write!(self.0, "{before}{label}=\"{}\"", escaped(text));
            }
            let end = if labels.is_empty() { " " } else { "} " };
            let _ = write!(self.0, "{end}{value}");
            match at {
                Some(at) => drop(writeln!(self.0, " {}", at.as_millisecond())),
                None => self.0.push('\n'),
            }
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_with_their_times() {
        let mut exposed = Exposed::default();
        let at = Timestamp::from_millisecond(1_800_000_000_001).unwrap();
        let labels = vec![("pod", "a\"b".to_owned()), ("container", "c".to_owned())];
        let sample = |labels, at| Sample { labels, value: 1.5, at };
        exposed.add(Heading::counter("a_total", "A."), [sample(labels, Some(at)), sample(Vec::new(), None)]);
        exposed.add(Heading::gauge("b", "B."), []);
        let expected = "# HELP a_total A.\n# TYPE a_total counter\n\
                        a_total{container=\"c\",pod=\"a\\\"b\"} 1.5 1800000000001\na_total 1.5\n";
        assert_eq!(exposed.into_text(), expected);
    }
}
