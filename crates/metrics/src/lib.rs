//! A process's metrics.
//!
//! Each component has a struct of its metrics, with upstream's names. It is created where the component is wired,
//! registers itself with the process's one [`Exposition`], and is passed in. The exposition is written in the two
//! formats that Prometheus scrapers ask for.
//!
//! ```
//! use metrics::{Counter, Exposition, Register};
//!
//! struct Metrics { decisions: Counter }
//!
//! let exposition = Exposition::default();
//! let metrics =
//!     exposition.with(|registry| Metrics { decisions: registry.add("decisions", "Decisions made") });
//! metrics.decisions.inc();
//! assert!(exposition.text().contains("\ndecisions_total 1\n"));
//! ```
//!
//! Deriving `EncodeLabelSet` needs the crate `prometheus-client` in addition to this one. This crate must not know any
//! component.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use parking_lot::RwLock;

mod family;
mod process;
mod register;
#[cfg(test)]
mod tests;

pub use prometheus_client::collector::Collector;
pub use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
pub use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
pub use prometheus_client::registry::Registry;

pub use family::{Family, Histograms};
pub use process::Process;
pub use register::Register;

/// The `Content-Type` of [`Exposition::text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The `Content-Type` of [`Exposition::open_metrics`].
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that a process measures. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Exposition(Arc<RwLock<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    registry: Registry,
    /// Counters whose samples are called as they are.
    without_total: BTreeSet<&'static str>,
}

impl Exposition {
    /// Lets a component register its metrics.
    pub fn with<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.write().registry)
    }

    /// In the older format this counter's name must not end in `_total`, like upstream's counters that are older than
    /// this convention.
    pub fn without_total(&self, counter: &'static str) {
        self.0.write().without_total.insert(counter);
    }

    /// Everything in the OpenMetrics text format.
    pub fn open_metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.read().registry)
            .expect("writing to a string does not fail");
        text
    }

    /// Everything in Prometheus' own text format, version 0.0.4.
    pub fn text(&self) -> String {
        older_text(&self.open_metrics(), &self.0.read().without_total)
    }
}

/// Turns OpenMetrics into the older format. They differ in how counters are declared, whose samples are called
/// `NAME_total` in both, and in units and the end marker, which the older one does not have.
fn older_text(open_metrics: &str, without_total: &BTreeSet<&'static str>) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    let mut lines = open_metrics.lines().peekable();
    // The counter whose samples are to be called as it is.
    let mut plain = None;
    while let Some(line) = lines.next() {
        if let Some(declared) = line.strip_prefix("# HELP ") {
            let (name, help) = declared.split_once(' ').unwrap_or((declared, ""));
            // The type follows its help.
            let is_counter = lines.peek().is_some_and(|next| *next == format!("# TYPE {name} counter"));
            plain = without_total.get(name).map(|name| format!("{name}_total"));
            let total = if is_counter && plain.is_none() { "_total" } else { "" };
            let _ = writeln!(text, "# HELP {name}{total} {help}");
        } else if let Some(name) =
            line.strip_prefix("# TYPE ").and_then(|declared| declared.strip_suffix(" counter"))
        {
            let _ = writeln!(text, "# TYPE {name}{} counter", if plain.is_none() { "_total" } else { "" });
        } else if let Some(sample) = plain.as_ref().and_then(|total| line.strip_prefix(total.as_str())) {
            let _ =
                writeln!(text, "{}{sample}", plain.as_deref().unwrap_or_default().trim_end_matches("_total"));
        } else if *line != *"# EOF" && !line.starts_with("# UNIT ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
