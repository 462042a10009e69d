//! Lean views: the fields that components keep of numerous objects.
//!
//! A typed `Pod` takes 20 KB, six times its JSON, most of it for fields that nothing in this process reads: probes,
//! environments, image digests, managed fields. A lean view holds the fields that controllers, scheduler and network
//! read. It is decoded directly from the canonical JSON, without a tree or a typed struct in between; all other fields
//! are skipped. What the pods of one template have in common is kept once, and so are strings that many objects hold.
//!
//! A lean view is a separate [`Object`](crate::Object), so that `Informers::get::<LeanPod>()` returns an informer of
//! it, and its fields have the names of the whole object's. It is read-only: it cannot be serialized, so it can never
//! be written back without the fields that it left out. To write, read the whole object first, or send a patch.
//!
//! ```
//! use client::LeanPod;
//! let pod: LeanPod = serde_json::from_str(
//!     r#"{"metadata": {"name": "web", "managedFields": [{"manager": "kubectl"}]},
//!         "spec": {"nodeName": "node-1", "containers": [{"name": "a", "image": "web:1", "env": [{"name": "X"}]}]},
//!         "status": {"phase": "Running"}}"#,
//! )?;
//! assert_eq!(pod.metadata.name.as_deref(), Some("web"));
//! assert_eq!(semantics::pods::node_name(&pod), "node-1");
//! assert!(pod.metadata.managed_fields.is_none());
//! assert!(serde_json::to_string(&pod).is_err());
//! # Ok::<(), serde_json::Error>(())
//! ```

mod kin;
mod meta;
mod pod;
mod selecting;
mod shared;
#[cfg(test)]
mod tests;
mod word;

pub use kin::{Kin, Owners};
pub use meta::PartialObject;
pub use pod::{
    LeanAffinity, LeanCondition, LeanContainer, LeanContainerStatus, LeanPod, LeanPodIp, LeanPodSpec,
    LeanPodStatus, LeanPort, LeanResources, LeanTemplate, LeanToleration,
};
pub use selecting::SelectsPods;
pub(crate) use selecting::read as read_selector;
pub use shared::Shared;
pub use word::{Pairs, Word};
