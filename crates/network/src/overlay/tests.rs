//! Nodes as network namespaces on a common bridge, with pods, real packets and an API server in memory.

mod backends;
mod env;
mod forgery;
mod vxlan;
mod wire;
