//! The meaning of the fields of Kubernetes objects: each rule once, for every form of an object.
//!
//! | module | defines |
//! | --- | --- |
//! | [`view`](View) | how a rule reads an object, whether a tree, a typed struct or a lean view |
//! | [`labels`](selector) | what a label selector of a spec selects |
//! | [`nodes`](NodeTerms) | on which nodes a pod may run according to `nodeSelector` and node affinity |
//! | [`taints`](Toleration) | which taints a toleration covers |
//! | [`requests`](pod_requests) | the total requests and limits of a pod |
//! | [`qos`](qos_class) | its quality of service class |
//! | [`quota`] | what objects use of the resources that quotas limit |
//! | [`pods`] | whether a pod has ended, is active, ready, available |
//! | [`endpoints`](EndpointState) | whether an endpoint is ready, serving or terminating |
//! | [`services`](ServiceKey) | how Services and EndpointSlices are identified |
//! | [`conditions`] | how conditions are found and set |
//! | [`owners`](controller_of) | which object controls another |
//!
//! A rule reads through [`View`], so that admission (trees), controllers (typed) and caches (lean views) run the same
//! code. Data for hot paths is read once into an owned form ([`object::Selector`], [`NodeTerms`], [`Toleration`],
//! [`Taint`]), which then matches without looking at the object.
//!
//! This crate makes no decisions about what to do, and knows no client, no storage and no HTTP.

mod amounts;
pub mod conditions;
mod endpoints;
mod labels;
mod nodes;
mod owners;
pub mod pods;
mod qos;
pub mod quota;
mod requests;
mod services;
mod taints;
#[cfg(test)]
mod tests;
mod view;

pub use amounts::Amounts;
pub use endpoints::EndpointState;
pub use labels::{LabelSelector, LabelSelectorRequirement, selector, try_selector};
pub use nodes::{NAME_FIELD, NodeSelectorTerm, NodeTerms, Weighted};
pub use owners::{Controller, controller_of};
pub use qos::{QosClass, qos_class};
pub use requests::{Amount, Options, container_totals, is_pod_level, pod_limits, pod_requests};
pub use services::ServiceKey;
pub use taints::{Effect, Taint, Toleration, taints, tolerations};
pub use view::{Field, View};
