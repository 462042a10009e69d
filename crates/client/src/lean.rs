//! Lean views: the fields that components keep of numerous objects.
//!
//! A typed `Pod` takes 20 KB, six times its JSON, most of it for fields that nothing in this process reads: probes,
//! environments, image digests, managed fields. A lean view holds the fields that controllers, scheduler and network
//! read. It is decoded directly from the canonical JSON, without a tree or a typed struct in between; all other fields
//! are skipped. What the pods of one template have in common is kept once, and so are strings that many objects hold.
//!
//! A lean view is a [`Form`](crate::Form) of its kind, so that `Informers::get::<LeanPod>()` returns an informer of it,
//! and its fields have the names of the whole object's. It is read-only: it is no [`Object`](crate::Object) and cannot be
//! serialized, so it can never be written back without the fields that it left out. To write, read the whole object
//! first, or send a patch.
//!
//! ```
//! use client::LeanPod;
//! let pod: LeanPod = serde_json::from_str(
//!     r#"{"metadata": {"name": "web", "managedFields": [{"manager": "kubectl"}]},
//!         "spec": {"nodeName": "node-1", "containers": [{"name": "a", "image": "web:1", "env": [{"name": "X"}]}]},
//!         "status": {"phase": "Running"}}"#,
//! )?;
//! assert_eq!(pod.metadata.name(), "web");
//! assert_eq!(semantics::pods::node_name(&pod), "node-1");
//! # Ok::<(), serde_json::Error>(())
//! ```

/// Implements what every lean view is, for a struct with [`LeanMeta`]: the form of that kind which informers keep.
macro_rules! lean {
    ($view:ty, $($kind:tt)*) => {
        impl k8s_openapi::Resource for $view {
            const API_VERSION: &'static str = <k8s_openapi::api::$($kind)* as k8s_openapi::Resource>::API_VERSION;
            const GROUP: &'static str = <k8s_openapi::api::$($kind)* as k8s_openapi::Resource>::GROUP;
            const KIND: &'static str = <k8s_openapi::api::$($kind)* as k8s_openapi::Resource>::KIND;
            const VERSION: &'static str = <k8s_openapi::api::$($kind)* as k8s_openapi::Resource>::VERSION;
            const URL_PATH_SEGMENT: &'static str =
                <k8s_openapi::api::$($kind)* as k8s_openapi::Resource>::URL_PATH_SEGMENT;
            type Scope = <k8s_openapi::api::$($kind)* as k8s_openapi::Resource>::Scope;
        }

        impl $crate::Identified for $view {
            fn namespace(&self) -> &str {
                self.metadata.namespace()
            }

            fn name(&self) -> &str {
                self.metadata.name()
            }

            fn uid(&self) -> &str {
                self.metadata.uid.as_str()
            }

            fn resource_version(&self) -> u64 {
                self.metadata.resource_version
            }

            fn is_deleting(&self) -> bool {
                self.metadata.deletion_timestamp.is_some()
            }

            fn key(&self) -> object::ObjectKey {
                self.metadata.key.clone()
            }
        }

        impl $crate::Form for $view {
            fn read(version: &object::Versioned) -> Result<$view, object::VersionedError> {
                let mut view: $view = version.decode()?;
                view.metadata.share(version);
                Ok(view)
            }

            fn meta(&self) -> &dyn semantics::View {
                &self.metadata
            }

            fn labels(&self) -> &dyn object::Labels {
                &self.metadata.labels
            }

            fn owners(&self) -> &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference] {
                &self.metadata.owner_references
            }
        }
    };
}
use lean;

mod extract;
mod kin;
mod meta;
mod pod;
mod resources;
mod selecting;
mod status;
#[cfg(test)]
mod tests;

pub use extract::Extract;
pub use kin::{Kin, Owners, Ownership};
pub use meta::{LeanMeta, PartialObject};
pub use pod::{
    LeanAffinity, LeanClaim, LeanContainer, LeanEphemeral, LeanPod, LeanPodSpec, LeanPort, LeanRestartRule,
    LeanTemplate, LeanToleration, LeanVolume,
};
pub use resources::LeanResources;
pub use selecting::SelectsPods;
pub(crate) use selecting::read as read_selector;
pub use status::{
    LeanCondition, LeanContainerState, LeanContainerStatus, LeanPodStatus, LeanRunning, LeanTerminated, Said,
};
