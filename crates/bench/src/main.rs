//! Measures a release build of Ironhull: each figure next to its budget.
//!
//! `cargo xtask bench` builds the program and runs this. Everything is measured from outside, on a separate test host
//! (namespaces for network, mounts and processes), over real connections, against the same disk. If a budget is
//! relative to etcd, Debian's etcd is measured in the same run with the same load, and the ratio counts: absolute
//! figures from a shared machine say little.
//!
//! - `connection`, `load`: the cheap HTTP/2 client, and closed loops of many of them.
//! - `cluster`, `process`: the server under test on its host, and the kernel's figures for its processes.
//! - `traffic`, `sandboxes`: a small server and its clients in the network namespaces of pods.
//! - `writes`, `roles`, `memory`, `reads`, `lists`, `fanout`, `patches`, `custom`, `webhook`, `startup`, `node`, `paths`,
//!   `names`, `policies`, `overlay`: the measurements.
//! - `figures`: the table.

mod cluster;
mod connection;
mod custom;
mod etcd;
mod fanout;
mod figures;
mod lists;
mod load;
mod memory;
mod names;
mod node;
mod overlay;
mod patches;
mod paths;
mod pods;
mod policies;
mod process;
mod reads;
mod roles;
mod sandboxes;
mod startup;
mod traffic;
mod webhook;
mod writes;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nix::sched::{CloneFlags, setns};
use testbed::Host;

use crate::figures::Figures;

/// The measurements, in the order in which they run.
const NAMES: [&str; 17] = [
    "size", "start", "writes", "roles", "memory", "reads", "lists", "fanout", "patches", "custom", "webhook",
    "pods", "services", "paths", "names", "policies", "overlay",
];

/// Measures a release build of Ironhull.
#[derive(Debug, Parser)]
struct Flags {
    /// The program to measure.
    #[arg(long)]
    program: PathBuf,
    /// An image archive with a program that stays; its name is `docker.io/ironhull/sample-web:1`.
    #[arg(long)]
    image: PathBuf,
    /// Where the figures go as JSON.
    #[arg(long)]
    json: PathBuf,
    /// What to measure; everything by default.
    names: Vec<String>,
}

/// The common context of the measurements.
struct Bench {
    program: PathBuf,
    image: PathBuf,
    host: Arc<Host>,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    for name in &flags.names {
        ensure!(
            NAMES.contains(&name.as_str()),
            "there is no measurement {name:?}; there are {}",
            NAMES.join(", ")
        );
    }
    warn_if_busy();
    let host = Arc::new(Host::new().context("cannot make a test host")?);
    // Before any other thread runs, so that all of them live in the host's network.
    let network = std::fs::File::open(host.network_namespace())?;
    setns(network, CloneFlags::CLONE_NEWNET).context("cannot enter the test host's network")?;
    // One thread: the load generator should leave the other cores to the program under test.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench = Bench { program: flags.program, image: flags.image, host };
    let mut figures = Figures::default();
    let result = runtime.block_on(bench.run(&flags.names, &mut figures));
    // The figures from before a failure are worth showing too.
    figures.print();
    figures.write_json(&flags.json).with_context(|| format!("cannot write {}", flags.json.display()))?;
    result
}

/// Warns if other programs will affect the measurements; processor times and ratios are valid even then.
fn warn_if_busy() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
    if load > 1.0 {
        eprintln!("this machine is busy (load {load}): rates are lower and times longer than on an idle one");
    }
}

impl Bench {
    async fn run(&self, names: &[String], figures: &mut Figures) -> Result<()> {
        for name in NAMES {
            if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
                continue;
            }
            eprintln!("measuring {name}");
            let measured = match name {
                "size" => startup::size(self, figures),
                "start" => startup::measure(self, figures).await,
                "writes" => writes::measure(self, figures).await,
                "roles" => roles::measure(self, figures).await,
                "memory" => memory::measure(self, figures).await,
                "reads" => reads::measure(self, figures).await,
                "lists" => lists::measure(self, figures).await,
                "fanout" => fanout::measure(self, figures).await,
                "patches" => patches::measure(self, figures).await,
                "custom" => custom::measure(self, figures).await,
                "webhook" => webhook::measure(self, figures).await,
                "pods" => node::pods(self, figures).await,
                "paths" => paths::measure(self, figures).await,
                "names" => names::measure(self, figures).await,
                "policies" => policies::measure(self, figures).await,
                "overlay" => overlay::measure(self, figures).await,
                _ => node::services(self, figures).await,
            };
            measured.with_context(|| format!("measuring {name}"))?;
        }
        Ok(())
    }
}
