//! Admission: plugins that change or refuse a request after its user was authorized.
//!
//! Plugins run in upstream's order; each sees the object after defaulting, and the previous object. They read other
//! objects through a [`Reader`] and write them through a [`Writer`], both provided by the caller: this module must not
//! know how requests are served or where objects are kept, and must not use the registry.

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

mod access;
mod attributes;
mod certificates;
mod chain;
mod claim_resize;
mod conditions;
pub mod configuration;
mod decisions;
mod declared_features;
mod default_class;
mod document;
mod expression;
mod gate;
mod ingress_class;
mod lazy;
mod limit_ranger;
mod manifest;
mod matching;
mod namespace_lifecycle;
mod node_restriction;
mod node_taint;
mod optional;
mod pod_priority;
mod pod_resize;
pub mod pod_security;
mod policy;
pub mod resource_quota;
mod rounds;
mod runtime_class;
mod selection;
mod service_account;
mod shape;
mod storage_class;
mod takings;
#[cfg(test)]
mod tests;
mod toleration_seconds;
mod topology_labels;
mod warnings;
mod webhook;

pub use access::{Objects, Reader, Served, Shapes, Writer};
pub use attributes::{Attributes, Operation, Options};
pub use certificates::Certificates;
pub use chain::Chain;
pub use claim_resize::ClaimResize;
pub(crate) use decisions::Judge;
pub use declared_features::DeclaredFeatures;
pub use document::{Accepted, DocumentError};
pub(crate) use gate::Gate;
pub use ingress_class::DefaultIngressClass;
pub use limit_ranger::LimitRanger;
pub use manifest::{Directories, ManifestError, Refusal};
pub(crate) use manifest::{ManifestMetrics, Manifests};
pub use namespace_lifecycle::NamespaceLifecycle;
pub use node_restriction::NodeRestriction;
pub use node_taint::TaintNodesByCondition;
pub use optional::{
    AlwaysPullImages, DenyServiceExternalIps, EventRateLimit, ExtendedResourceToleration,
    LimitPodHardAntiAffinityTopology, NamespaceAutoProvision, NamespaceExists, OwnerReferences,
    PodNodeSelector, PodTolerationRestriction,
};
pub use pod_priority::PodPriority;
pub use pod_resize::PodResize;
pub use pod_security::PodSecurity;
pub use policy::{MutatingPolicies, ValidatingPolicies};
pub use resource_quota::ResourceQuota;
pub use rounds::{AllRounds, Rounds};
pub use runtime_class::RuntimeClass;
pub use selection::Selection;
pub use service_account::ServiceAccountAdmission;
pub use shape::{GroupVersionKind, GroupVersionResource, Shape};
pub use storage_class::DefaultStorageClass;
pub use takings::{Taking, Takings};
pub use toleration_seconds::DefaultTolerationSeconds;
pub(crate) use topology_labels::TOPOLOGY_LABELS;
pub use topology_labels::TopologyLabels;
pub use warnings::Warnings;
pub(crate) use webhook::{Client as WebhookClient, Post, WebhookMetrics};
pub use webhook::{MutatingWebhooks, ValidatingWebhooks, Webhooks};

/// The resources that are only questions (KEP-5793).
const QUESTIONS: [GroupResource<'static>; 6] = [
    GroupResource::new("authentication.k8s.io", "selfsubjectreviews"),
    GroupResource::new("authentication.k8s.io", "tokenreviews"),
    GroupResource::new("authorization.k8s.io", "localsubjectaccessreviews"),
    GroupResource::new("authorization.k8s.io", "selfsubjectaccessreviews"),
    GroupResource::new("authorization.k8s.io", "selfsubjectrulesreviews"),
    GroupResource::new("authorization.k8s.io", "subjectaccessreviews"),
];

/// Whether a request is one of the questions of authentication and authorization, which webhooks must be able to ask in
/// order to answer, and without which nobody could do anything.
fn is_question(what: &Attributes<'_>) -> bool {
    QUESTIONS.contains(&what.group_resource())
}

/// Whether a request is about a webhook configuration or a policy, which the webhooks of the API are not asked about: nobody
/// is kept from removing a webhook that refuses everything. Those that come from files are asked all the same.
fn is_exempt_from_webhooks(what: &Attributes<'_>) -> bool {
    what.kind.group == "admissionregistration.k8s.io"
        && matches!(
            what.kind.kind,
            "MutatingWebhookConfiguration"
                | "ValidatingWebhookConfiguration"
                | "MutatingAdmissionPolicy"
                | "MutatingAdmissionPolicyBinding"
                | "ValidatingAdmissionPolicy"
                | "ValidatingAdmissionPolicyBinding"
        )
}

/// The resources that the policies of the API do not apply to, lest a policy keeps itself from being changed. They do apply
/// to the configurations of webhooks.
const POLICIES: [GroupResource<'static>; 4] = [
    GroupResource::new("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    GroupResource::new("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    GroupResource::new("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    GroupResource::new("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
];

/// Whether a request is about a policy or a binding.
fn is_exempt_from_policies(what: &Attributes<'_>) -> bool {
    POLICIES.contains(&what.group_resource())
}

/// An admission plugin.
///
/// `object` is null for deletions and `old` for creations. For a subresource with its own kind (`scale`, `binding`),
/// both are of that kind; for a connection, `object` is its options, such as `PodExecOptions`.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// May change the object; may refuse.
    async fn admit(&self, _what: &Attributes<'_>, _object: &mut Value, _old: &Value) -> Result<(), Status> {
        Ok(())
    }

    /// May refuse, after all changes were made.
    async fn validate(&self, _what: &Attributes<'_>, _object: &Value, _old: &Value) -> Result<(), Status> {
        Ok(())
    }

    /// Whether the plugin should see the object again if a later one, or it itself, may have changed it. Its `admit` must then not
    /// change anything that is already correct.
    fn wants_reinvocation(&self) -> bool {
        false
    }

    /// Whether the plugin may change fields that earlier ones have decided about. Built-in plugins do not: each fills
    /// in only its own fields. Webhooks may change anything. The object is copied for a plugin that says so.
    fn unsettles(&self, _what: &Attributes<'_>) -> bool {
        false
    }
}
