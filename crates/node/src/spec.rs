//! The engine's configurations, made from pods (upstream's `kuberuntime` and `kubelet_pods.go`).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use object::Quantity;
use volumes::VolumeError;

mod container;
mod dns;
mod env;
mod expand;
mod hosts;
mod mounts;
mod resources;
mod sandbox;
mod security;
mod service_env;

pub(crate) use container::{ContainerInput, container_config};
pub(crate) use dns::{HostResolver, dns_config};
pub(crate) use env::environment;
pub(crate) use hosts::hosts_file;
pub(crate) use mounts::{PodMounts, mounts};
pub(crate) use resources::{cgroup_parent, pod_resources};
pub(crate) use sandbox::{SandboxInput, sandbox_config};
pub(crate) use security::{apparmor_profile, check_container, check_non_root, check_sandbox, warning};
pub(crate) use service_env::service_environment;

/// Why a configuration cannot be made. The texts are shown with `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoSuchKey { key: String, kind: &'static str, namespace: String, name: String },
    #[error(transparent)]
    Downward(#[from] volumes::downward::DownwardError),
    #[error("container's runAsUser breaks non-root policy (pod: {pod:?}, container: {container})")]
    UserIsRoot { pod: String, container: String },
    #[error("container has runAsNonRoot and image will run as root (pod: {pod:?}, container: {container})")]
    ImageIsRoot { pod: String, container: String },
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root \
         (pod: {pod:?}, container: {container})"
    )]
    ImageUserIsName { user: String, pod: String, container: String },
    #[error("can't set `spec.hostUsers: false`, runtime does not support user namespaces")]
    NoUserNamespaces,
    #[error("can't set `spec.hostUsers: false`, RuntimeClass handler {0:?} does not support user namespaces")]
    NoUserNamespacesOfClass(String),
    #[error(
        "procMount Unmasked needs a user namespace (`spec.hostUsers: false`), which this node does not \
            support"
    )]
    Unmasked,
    #[error("{field} cannot be applied: {why} (pod: {pod:?}, container: {container})")]
    CannotApply { field: &'static str, why: &'static str, pod: String, container: String },
    #[error("no volume {volume:?} for the mount at {path}")]
    NoVolume { volume: String, path: String },
    #[error("failed to expand subPathExpr {0:?}")]
    SubPathExpr(String),
    #[error("target container {0:?} is not running")]
    NoTarget(String),
    #[error("write {path}")]
    File { path: String, source: std::io::Error },
}

/// An amount in a list of resources; `None` if it is missing or zero.
pub(crate) fn amount(list: Option<&BTreeMap<String, ApiQuantity>>, name: &str) -> Option<Quantity> {
    let quantity = Quantity::parse(&list?.get(name)?.0).ok()?;
    (!quantity.is_zero()).then_some(quantity)
}
