//! The real API server, mostly under a paused clock with faults from a seed: the foundation of component tests.
//!
//! | module | contents |
//! | --- | --- |
//! | [`Server`] | the API server over an in-memory store, which can be stopped and started again |
//! | [`Apart`] | a server in real time on a thread of its own |
//! | [`Faults`] | faults between a component and the server |
//! | [`Journal`] | all writes in order, with notes from the test |
//! | `gate` | the store behind a server that can be killed |
//!
//! Nothing here has its own thread: on a current-thread runtime with paused time, and with a seeded
//! [`Clock`](clock::Clock), one seed gives the same run each time ([`run`]). A test of one component starts a
//! [`Server`] and gives the component a [`client`](Server::client) of it; a simulation of the whole cluster is in
//! `tests/cluster.rs`. Components that need the machine are tested in real time ([`Server::start_in_real_time`]).
//!
//! This crate must not know controllers, the scheduler or nodes: their tests use it.

use std::future::Future;

use jiff::Timestamp;

mod acts;
mod apart;
mod connection;
mod faults;
mod gate;
mod journal;
mod running;
mod server;
#[cfg(test)]
mod tests;

pub use apart::Apart;
pub use apiserver::user::User;
pub use faults::{Faults, Forgotten, Rates};
pub use journal::{Change, Journal, LostWrite, Observer};
pub use server::{Server, admin, network, node};

/// The time at which every simulation begins.
pub fn start_time() -> Timestamp {
    // 2026-01-01T00:00:00Z.
    Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Runs a future to its end on a separate runtime: one thread, paused time, no input or output.
///
/// # Panics
/// If the runtime cannot be made, or where the future panics.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without input and output needs nothing of the system").block_on(future)
}
