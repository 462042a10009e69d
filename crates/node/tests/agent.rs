//! The agent over the embedded engine, with real containers, against an API server over an in-memory store. Needs root and
//! `/bin/busybox`, linked statically.
//!
//! The test program is its own shim: it has a custom `main` that checks the first argument first.

#![expect(clippy::unwrap_used, reason = "all of this is tests, but none of them is a #[test] function")]

#[path = "agent/api.rs"]
mod api;
#[path = "agent/bounds.rs"]
mod bounds;
#[path = "agent/pods.rs"]
mod pods;
#[path = "agent/support.rs"]
mod support;

use libtest_mimic::Arguments;

fn main() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|mode| mode == runtime::shim::ARGUMENT) {
        std::process::exit(runtime::shim::main(args));
    }
    let trials = pods::trials().into_iter().chain(api::trials()).chain(bounds::trials()).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
