//! Informers, recorders and candidates on the real API server over a store in memory, under a paused clock. What goes wrong
//! between them and the server comes from the simulation.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod events;
mod informer;
mod leader;
