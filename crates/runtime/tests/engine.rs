//! The embedded engine with real containers. Needs root and `/bin/busybox`, linked statically.
//!
//! The test program is its own shim and, for adoption, its own agent: it has a custom `main` that checks the first
//! argument before anything else.

#![expect(clippy::unwrap_used, reason = "all of this is tests, but none of them is a #[test] function")]

#[path = "engine/adoption.rs"]
mod adoption;
#[path = "engine/hostile.rs"]
mod hostile;
#[path = "engine/isolation.rs"]
mod isolation;
#[path = "engine/lifecycle.rs"]
mod lifecycle;
#[path = "engine/streams.rs"]
mod streams;
#[path = "engine/support.rs"]
mod support;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(mode) if mode == runtime::shim::ARGUMENT => std::process::exit(runtime::shim::main(args)),
        Some(mode) if mode == adoption::AGENT_ARGUMENT => adoption::agent(args),
        _ => {}
    }
    hostile::become_careless();
    let all: [(&str, Vec<Trial>); 5] = [
        ("lifecycle", lifecycle::trials()),
        ("isolation", isolation::trials()),
        ("hostile", hostile::trials()),
        ("streams", streams::trials()),
        ("adoption", adoption::trials()),
    ];
    let trials = all.into_iter().flat_map(|(_, trials)| trials).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
