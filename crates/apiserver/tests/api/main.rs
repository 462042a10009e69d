//! The API server as clients see it: requests through the whole path behind TLS, and some through TLS.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod admission;
mod apply;
mod aside;
mod bad_input;
mod certificates;
mod conformance;
mod custom;
mod definitions;
mod delete;
mod devices;
mod events;
mod evictions;
mod fields;
mod full_disk;
mod heavy;
mod hostile;
mod kinds;
mod kube_rs;
mod large_lists;
mod lists;
mod manifests;
mod meanwhile;
mod network;
mod operations;
mod patch;
mod patterns;
mod plugins;
mod policies;
mod protobuf;
mod quota;
mod reported;
mod requests;
mod rights;
mod schemathesis;
mod scopes;
mod services;
mod stalled;
mod support;
mod trees;
mod unreadable;
mod usage;
mod views;
mod warming;
mod watch;
mod watchers;
mod webhooks;
mod websocket;

#[global_allocator]
static METER: fuzz::Meter = fuzz::Meter;
