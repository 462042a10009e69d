//! Informers, recorders and candidates on the real API server over an in-memory store, under a paused clock. The faults
//! between them and the server come from the simulation.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod events;
mod informer;
mod leader;
