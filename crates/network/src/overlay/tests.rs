//! Nodes as network namespaces on a common bridge, with pods, real packets and an in-memory API server.

mod backends;
mod env;
mod forgery;
mod vxlan;
mod wire;
