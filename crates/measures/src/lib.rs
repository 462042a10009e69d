//! What nodes, pods and containers use, computed from what nodes measure: the arithmetic of upstream's metrics-server
//! (`pkg/scraper/client/resource/decode.go`, `pkg/storage`).
//!
//! A node serves cumulative figures at `/metrics/resource`. [`Batch::parse`] reads them; [`Samples`] keeps the last two of
//! each subject, and computes the processors used from their difference.
//!
//! ```
//! use measures::{Batch, Samples};
//! let text = |at: u32, seconds: u32| format!(
//!     "node_cpu_usage_seconds_total {seconds} {at}000\nnode_memory_working_set_bytes 400 {at}000\n"
//! );
//! let now = jiff::Timestamp::UNIX_EPOCH;
//! let mut samples = Samples::default();
//! samples.take(Batch::parse(&text(100, 5), now).unwrap(), 15);
//! assert!(samples.node().is_none(), "one sample has no rate");
//! samples.take(Batch::parse(&text(110, 10), now).unwrap(), 15);
//! let usage = samples.node().unwrap();
//! assert_eq!((usage.cpu_nanos, usage.memory_bytes, usage.window_nanos), (500_000_000, 400, 10_000_000_000));
//! ```
//!
//! This crate must not know where figures come from, nor how usage is served.

mod batch;
mod parse;
mod samples;

pub use batch::{Batch, Measured};
pub use parse::ParseError;
pub use samples::{PodUsage, Samples, Usage};
