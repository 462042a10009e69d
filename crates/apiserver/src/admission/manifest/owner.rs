//! The plugins whose objects can be in files.

use crate::admission::Accepted;

const CONFIGURATION: &str = "apiserver.config.k8s.io/v1";

/// A plugin that reads manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    MutatingWebhooks,
    ValidatingWebhooks,
    MutatingPolicies,
    ValidatingPolicies,
}

impl Owner {
    /// All of them.
    const ALL: [Owner; 4] = [
        Owner::MutatingWebhooks,
        Owner::ValidatingWebhooks,
        Owner::MutatingPolicies,
        Owner::ValidatingPolicies,
    ];

    /// The one with this plugin's name.
    pub fn named(plugin: &str) -> Option<Owner> {
        Owner::ALL.into_iter().find(|owner| owner.plugin() == plugin)
    }

    /// The plugin's name.
    pub fn plugin(self) -> &'static str {
        match self {
            Owner::MutatingWebhooks => "MutatingAdmissionWebhook",
            Owner::ValidatingWebhooks => "ValidatingAdmissionWebhook",
            Owner::MutatingPolicies => "MutatingAdmissionPolicy",
            Owner::ValidatingPolicies => "ValidatingAdmissionPolicy",
        }
    }

    /// The kind of its objects.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Owner::MutatingWebhooks => "MutatingWebhookConfiguration",
            Owner::ValidatingWebhooks => "ValidatingWebhookConfiguration",
            Owner::MutatingPolicies => "MutatingAdmissionPolicy",
            Owner::ValidatingPolicies => "ValidatingAdmissionPolicy",
        }
    }

    /// The kind of what puts them in force, if there is one.
    pub(super) fn binding_kind(self) -> Option<&'static str> {
        match self {
            Owner::MutatingWebhooks | Owner::ValidatingWebhooks => None,
            Owner::MutatingPolicies => Some("MutatingAdmissionPolicyBinding"),
            Owner::ValidatingPolicies => Some("ValidatingAdmissionPolicyBinding"),
        }
    }

    /// The resource of a kind.
    pub(super) fn plural(kind: &str) -> &'static str {
        match kind {
            "MutatingWebhookConfiguration" => "mutatingwebhookconfigurations",
            "ValidatingWebhookConfiguration" => "validatingwebhookconfigurations",
            "MutatingAdmissionPolicy" => "mutatingadmissionpolicies",
            "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
            "MutatingAdmissionPolicyBinding" => "mutatingadmissionpolicybindings",
            _ => "validatingadmissionpolicybindings",
        }
    }

    /// The document that configures the plugin, and its fields.
    pub(super) fn document(self) -> (Accepted, &'static [&'static str]) {
        let (kind, members): (_, &[_]) = match self {
            Owner::MutatingWebhooks | Owner::ValidatingWebhooks => {
                ("WebhookAdmissionConfiguration", &["kubeConfigFile", "staticManifestsDir"])
            }
            Owner::MutatingPolicies => ("MutatingAdmissionPolicyConfiguration", &["staticManifestsDir"]),
            Owner::ValidatingPolicies => ("ValidatingAdmissionPolicyConfiguration", &["staticManifestsDir"]),
        };
        (Accepted { shown: (CONFIGURATION, kind), others: &[] }, members)
    }
}
