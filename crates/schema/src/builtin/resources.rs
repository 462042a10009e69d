//! The resources that a default server has, and their subresources.
//!
//! Upstream has no single table of these facts; they follow its storage wiring (`pkg/registry/*/rest`) and its
//! discovery documents.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::type_by_gvk;
use crate::Scope::{Cluster, Namespaced};
use crate::Verb::{Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch};
use crate::{ResourceDef, Scope, SubresourceDef, Verb};

/// Every resource, in the order of group, version and plural name.
pub(super) static RESOURCES: LazyLock<Vec<ResourceDef>> = LazyLock::new(|| {
    let mut resources = Vec::new();
    for (group, version, rows) in GROUP_VERSIONS {
        resources.extend(rows.iter().map(|row| row.resource(group, version)));
    }
    resources
});

const ALL: &[Verb] = &[Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch];
/// All verbs except the deletion of a whole collection.
const EACH: &[Verb] = &[Create, Delete, Get, List, Patch, Update, Watch];
const READ: &[Verb] = &[Get, List];
const CREATE: &[Verb] = &[Create];
/// The verbs of a part of an object.
const PART: &[Verb] = &[Get, Patch, Update];
const STREAM: &[Verb] = &[Create, Get];
/// Every HTTP method.
const PROXY: &[Verb] = &[Create, Delete, Get, Patch, Update];

/// One resource, in short.
struct Row {
    kind: &'static str,
    plural: &'static str,
    /// The kind in small letters, unless it is named.
    singular: Option<&'static str>,
    scope: Scope,
    verbs: &'static [Verb],
    short_names: &'static [&'static str],
    category: Option<&'static str>,
    parts: &'static [Part],
}

/// One subresource, in short.
#[derive(Clone, Copy)]
struct Part {
    name: &'static str,
    verbs: &'static [Verb],
    body: Body,
}

/// The kind that a subresource reads and writes.
#[derive(Clone, Copy)]
enum Body {
    /// The resource's own kind.
    Own,
    /// Text or a stream; discovery shows this kind of the resource's group version.
    Stream(&'static str),
    /// The resource's own kind in discovery, but text on the wire.
    Text,
    /// A kind of another group version.
    Other(&'static str, &'static str, &'static str),
}

const fn part(name: &'static str, verbs: &'static [Verb], body: Body) -> Part {
    Part { name, verbs, body }
}

const APPROVAL: Part = part("approval", PART, Body::Own);
const ATTACH: Part = part("attach", STREAM, Body::Stream("PodAttachOptions"));
const BINDING: Part = part("binding", CREATE, Body::Other("", "v1", "Binding"));
const EPHEMERAL_CONTAINERS: Part = part("ephemeralcontainers", PART, Body::Own);
const EVICTION: Part = part("eviction", CREATE, Body::Other("policy", "v1", "Eviction"));
const EXEC: Part = part("exec", STREAM, Body::Stream("PodExecOptions"));
const FINALIZE: Part = part("finalize", &[Update], Body::Own);
const LOG: Part = part("log", &[Get], Body::Text);
const NODE_PROXY: Part = part("proxy", PROXY, Body::Stream("NodeProxyOptions"));
const POD_PROXY: Part = part("proxy", PROXY, Body::Stream("PodProxyOptions"));
const PORT_FORWARD: Part = part("portforward", STREAM, Body::Stream("PodPortForwardOptions"));
const RESIZE: Part = part("resize", PART, Body::Own);
const SCALE: Part = part("scale", PART, Body::Other("autoscaling", "v1", "Scale"));
const SERVICE_PROXY: Part = part("proxy", PROXY, Body::Stream("ServiceProxyOptions"));
const STATUS: Part = part("status", PART, Body::Own);
const TOKEN: Part = part("token", CREATE, Body::Other("authentication.k8s.io", "v1", "TokenRequest"));

const fn row(kind: &'static str, plural: &'static str, scope: Scope) -> Row {
    Row { kind, plural, singular: None, scope, verbs: ALL, short_names: &[], category: None, parts: &[] }
}

impl Row {
    const fn verbs(self, verbs: &'static [Verb]) -> Row {
        Row { verbs, ..self }
    }

    const fn singular(self, singular: &'static str) -> Row {
        Row { singular: Some(singular), ..self }
    }

    const fn short(self, short_names: &'static [&'static str]) -> Row {
        Row { short_names, ..self }
    }

    const fn category(self, category: &'static str) -> Row {
        Row { category: Some(category), ..self }
    }

    const fn with(self, parts: &'static [Part]) -> Row {
        Row { parts, ..self }
    }

    fn resource(&self, group: &'static str, version: &'static str) -> ResourceDef {
        let listed = self.verbs.contains(&List);
        ResourceDef {
            group: group.into(),
            version: version.into(),
            kind: self.kind.into(),
            plural: self.plural.into(),
            singular: self.singular.map_or_else(|| self.kind.to_lowercase().into(), Cow::Borrowed),
            list_kind: if listed { format!("{}List", self.kind).into() } else { Cow::Borrowed("") },
            scope: self.scope,
            verbs: self.verbs.into(),
            short_names: self.short_names.iter().copied().map(Cow::Borrowed).collect(),
            categories: self.category.into_iter().map(Cow::Borrowed).collect(),
            subresources: self.parts.iter().map(|part| part.subresource(group, version, self.kind)).collect(),
            ty: type_by_gvk(group, version, self.kind).expect("the table has the kind of every resource"),
        }
    }
}

impl Part {
    fn subresource(&self, group: &'static str, version: &'static str, owner: &'static str) -> SubresourceDef {
        let (group, version, kind) = match self.body {
            Body::Own | Body::Text => (group, version, owner),
            Body::Stream(kind) => (group, version, kind),
            Body::Other(group, version, kind) => (group, version, kind),
        };
        SubresourceDef {
            name: self.name.into(),
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            verbs: self.verbs.into(),
            ty: match self.body {
                Body::Own | Body::Other(..) => type_by_gvk(group, version, kind),
                Body::Stream(_) | Body::Text => None,
            },
        }
    }
}

/// The rows of each group version.
#[rustfmt::skip]
static GROUP_VERSIONS: &[(&str, &str, &[Row])] = &[
    ("", "v1", &[
        row("Binding", "bindings", Namespaced).verbs(CREATE),
        row("ComponentStatus", "componentstatuses", Cluster).verbs(READ).short(&["cs"]),
        row("ConfigMap", "configmaps", Namespaced).short(&["cm"]),
        row("Endpoints", "endpoints", Namespaced).short(&["ep"]),
        row("Event", "events", Namespaced).short(&["ev"]),
        row("LimitRange", "limitranges", Namespaced).short(&["limits"]),
        row("Namespace", "namespaces", Cluster).verbs(EACH).short(&["ns"]).with(&[FINALIZE, STATUS]),
        row("Node", "nodes", Cluster).short(&["no"]).with(&[NODE_PROXY, STATUS]),
        row("PersistentVolumeClaim", "persistentvolumeclaims", Namespaced).short(&["pvc"]).with(&[STATUS]),
        row("PersistentVolume", "persistentvolumes", Cluster).short(&["pv"]).with(&[STATUS]),
        row("Pod", "pods", Namespaced).short(&["po"]).category("all").with(&[ATTACH, BINDING, EPHEMERAL_CONTAINERS, EVICTION, EXEC, LOG, PORT_FORWARD, POD_PROXY, RESIZE, STATUS]),
        row("PodTemplate", "podtemplates", Namespaced),
        row("ReplicationController", "replicationcontrollers", Namespaced).short(&["rc"]).category("all").with(&[SCALE, STATUS]),
        row("ResourceQuota", "resourcequotas", Namespaced).short(&["quota"]).with(&[STATUS]),
        row("Secret", "secrets", Namespaced),
        row("ServiceAccount", "serviceaccounts", Namespaced).short(&["sa"]).with(&[TOKEN]),
        row("Service", "services", Namespaced).short(&["svc"]).category("all").with(&[SERVICE_PROXY, STATUS]),
    ]),
    ("admissionregistration.k8s.io", "v1", &[
        row("MutatingAdmissionPolicy", "mutatingadmissionpolicies", Cluster).category("api-extensions"),
        row("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", Cluster).category("api-extensions"),
        row("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", Cluster).category("api-extensions"),
        row("ValidatingAdmissionPolicy", "validatingadmissionpolicies", Cluster).category("api-extensions").with(&[STATUS]),
        row("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", Cluster).category("api-extensions"),
        row("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", Cluster).category("api-extensions"),
    ]),
    ("apiextensions.k8s.io", "v1", &[
        row("CustomResourceDefinition", "customresourcedefinitions", Cluster).short(&["crd", "crds"]).category("api-extensions").with(&[STATUS]),
    ]),
    ("apiregistration.k8s.io", "v1", &[
        row("APIService", "apiservices", Cluster).category("api-extensions").with(&[STATUS]),
    ]),
    ("apps", "v1", &[
        row("ControllerRevision", "controllerrevisions", Namespaced),
        row("DaemonSet", "daemonsets", Namespaced).short(&["ds"]).category("all").with(&[STATUS]),
        row("Deployment", "deployments", Namespaced).short(&["deploy"]).category("all").with(&[SCALE, STATUS]),
        row("ReplicaSet", "replicasets", Namespaced).short(&["rs"]).category("all").with(&[SCALE, STATUS]),
        row("StatefulSet", "statefulsets", Namespaced).short(&["sts"]).category("all").with(&[SCALE, STATUS]),
    ]),
    ("authentication.k8s.io", "v1", &[
        row("SelfSubjectReview", "selfsubjectreviews", Cluster).verbs(CREATE),
        row("TokenReview", "tokenreviews", Cluster).verbs(CREATE),
    ]),
    ("authorization.k8s.io", "v1", &[
        row("LocalSubjectAccessReview", "localsubjectaccessreviews", Namespaced).verbs(CREATE),
        row("SelfSubjectAccessReview", "selfsubjectaccessreviews", Cluster).verbs(CREATE),
        row("SelfSubjectRulesReview", "selfsubjectrulesreviews", Cluster).verbs(CREATE),
        row("SubjectAccessReview", "subjectaccessreviews", Cluster).verbs(CREATE),
    ]),
    ("autoscaling", "v1", &[
        row("HorizontalPodAutoscaler", "horizontalpodautoscalers", Namespaced).short(&["hpa"]).category("all").with(&[STATUS]),
    ]),
    ("autoscaling", "v2", &[
        row("HorizontalPodAutoscaler", "horizontalpodautoscalers", Namespaced).short(&["hpa"]).category("all").with(&[STATUS]),
    ]),
    ("batch", "v1", &[
        row("CronJob", "cronjobs", Namespaced).short(&["cj"]).category("all").with(&[STATUS]),
        row("Job", "jobs", Namespaced).category("all").with(&[STATUS]),
    ]),
    ("certificates.k8s.io", "v1", &[
        row("CertificateSigningRequest", "certificatesigningrequests", Cluster).short(&["csr"]).with(&[APPROVAL, STATUS]),
        row("ClusterTrustBundle", "clustertrustbundles", Cluster),
        row("PodCertificateRequest", "podcertificaterequests", Namespaced).with(&[STATUS]),
    ]),
    ("coordination.k8s.io", "v1", &[
        row("Lease", "leases", Namespaced),
    ]),
    ("discovery.k8s.io", "v1", &[
        row("EndpointSlice", "endpointslices", Namespaced),
    ]),
    ("events.k8s.io", "v1", &[
        row("Event", "events", Namespaced).short(&["ev"]),
    ]),
    ("flowcontrol.apiserver.k8s.io", "v1", &[
        row("FlowSchema", "flowschemas", Cluster).with(&[STATUS]),
        row("PriorityLevelConfiguration", "prioritylevelconfigurations", Cluster).with(&[STATUS]),
    ]),
    // Those of upstream's metrics-server, which is a server of its own there.
    ("metrics.k8s.io", "v1beta1", &[
        row("NodeMetrics", "nodes", Cluster).singular("").verbs(READ),
        row("PodMetrics", "pods", Namespaced).singular("").verbs(READ),
    ]),
    ("networking.k8s.io", "v1", &[
        row("IngressClass", "ingressclasses", Cluster),
        row("Ingress", "ingresses", Namespaced).short(&["ing"]).with(&[STATUS]),
        row("IPAddress", "ipaddresses", Cluster).short(&["ip"]),
        row("NetworkPolicy", "networkpolicies", Namespaced).short(&["netpol"]),
        row("ServiceCIDR", "servicecidrs", Cluster).with(&[STATUS]),
    ]),
    ("node.k8s.io", "v1", &[
        row("RuntimeClass", "runtimeclasses", Cluster),
    ]),
    ("policy", "v1", &[
        row("PodDisruptionBudget", "poddisruptionbudgets", Namespaced).short(&["pdb"]).with(&[STATUS]),
    ]),
    ("rbac.authorization.k8s.io", "v1", &[
        row("ClusterRoleBinding", "clusterrolebindings", Cluster),
        row("ClusterRole", "clusterroles", Cluster),
        row("RoleBinding", "rolebindings", Namespaced),
        row("Role", "roles", Namespaced),
    ]),
    ("resource.k8s.io", "v1", &[
        row("DeviceClass", "deviceclasses", Cluster),
        row("DeviceTaintRule", "devicetaintrules", Cluster).with(&[STATUS]),
        row("ResourceClaim", "resourceclaims", Namespaced).with(&[STATUS]),
        row("ResourceClaimTemplate", "resourceclaimtemplates", Namespaced),
        row("ResourceSlice", "resourceslices", Cluster),
    ]),
    ("scheduling.k8s.io", "v1", &[
        row("PriorityClass", "priorityclasses", Cluster).short(&["pc"]),
    ]),
    ("storage.k8s.io", "v1", &[
        row("CSIDriver", "csidrivers", Cluster),
        row("CSINode", "csinodes", Cluster),
        row("CSIStorageCapacity", "csistoragecapacities", Namespaced),
        row("StorageClass", "storageclasses", Cluster).short(&["sc"]),
        row("VolumeAttachment", "volumeattachments", Cluster).with(&[STATUS]),
        row("VolumeAttributesClass", "volumeattributesclasses", Cluster).short(&["vac"]),
    ]),
    ("storagemigration.k8s.io", "v1", &[
        row("StorageVersionMigration", "storageversionmigrations", Cluster).with(&[STATUS]),
    ]),
];
