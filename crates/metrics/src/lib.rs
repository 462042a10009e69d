//! What a process measures of itself.
//!
//! Each component has a struct of its metrics, named as upstream names them. It is made where the component is
//! wired, registers itself with the process's one [`Exposition`], and is passed in. The exposition is written in the
//! two formats that scrapers of Prometheus ask for.
//!
//! ```
//! use metrics::{Counter, Exposition};
//!
//! struct Metrics { decisions: Counter }
//!
//! let exposition = Exposition::default();
//! let metrics = exposition.with(|registry| {
//!     let decisions = Counter::default();
//!     registry.register("decisions", "Decisions made", decisions.clone());
//!     Metrics { decisions }
//! });
//! metrics.decisions.inc();
//! assert!(exposition.text().contains("\ndecisions_total 1\n"));
//! ```
//!
//! This crate must not know any component.

use std::fmt::Write;
use std::sync::Arc;

use parking_lot::RwLock;

mod process;
#[cfg(test)]
mod tests;

pub use prometheus_client::collector::Collector;
pub use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
pub use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
pub use prometheus_client::registry::Registry;

pub use process::Process;

/// The `Content-Type` of [`Exposition::text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The `Content-Type` of [`Exposition::open_metrics`].
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A family of histograms, which differ by their labels.
pub type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Everything that a process measures. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Exposition(Arc<RwLock<Registry>>);

impl Exposition {
    /// Lets a component register its metrics.
    pub fn with<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.write())
    }

    /// Everything in the OpenMetrics text format.
    pub fn open_metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.read())
            .expect("writing to a string does not fail");
        text
    }

    /// Everything in Prometheus' own text format, version 0.0.4.
    pub fn text(&self) -> String {
        older_text(&self.open_metrics())
    }
}

/// Turns OpenMetrics into the older format. They differ in how counters are declared, whose samples are called
/// `NAME_total` in both, and in what the older one does not know: units and the end.
fn older_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    let lines: Vec<&str> = open_metrics.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if let Some(declared) = line.strip_prefix("# HELP ") {
            let (name, help) = declared.split_once(' ').unwrap_or((declared, ""));
            // The type follows its help.
            let is_counter =
                lines.get(index + 1).is_some_and(|next| *next == format!("# TYPE {name} counter"));
            let _ = writeln!(text, "# HELP {name}{} {help}", if is_counter { "_total" } else { "" });
        } else if let Some(name) =
            line.strip_prefix("# TYPE ").and_then(|declared| declared.strip_suffix(" counter"))
        {
            let _ = writeln!(text, "# TYPE {name}_total counter");
        } else if *line != "# EOF" && !line.starts_with("# UNIT ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
