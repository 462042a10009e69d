//! References of pods and volumes to other objects.

use object::{Value, Versioned};

/// Static pods have this annotation; they may need nothing from the API.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// The kinds of objects that pods need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Pod,
    Secret,
    ConfigMap,
    Claim,
    Volume,
    ResourceClaim,
    ServiceAccount,
    Attachment,
    Slice,
    CertificateRequest,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
}

impl Reference {
    pub(super) fn new(kind: Kind, namespace: &str, name: &str) -> Reference {
        Reference { kind, namespace: namespace.into(), name: name.into() }
    }
}

/// The node of a pod, and what the pod needs; `None` if it is on no node.
pub(super) fn of_pod(pod: &Versioned) -> Option<(String, Vec<Reference>)> {
    let value = pod.value();
    let spec = value.get("spec");
    let node = spec.str_at("nodeName");
    if node.is_empty() {
        return None;
    }
    let namespace = pod.namespace();
    let mut references = vec![Reference::new(Kind::Pod, namespace, pod.name())];
    if value.at_path(&["metadata", "annotations", MIRROR_ANNOTATION]).is_null() {
        visit(&value, pod.name(), &mut |kind: Kind, name: &str| {
            if !name.is_empty() {
                references.push(Reference::new(kind, namespace, name));
            }
        });
    }
    references.sort_by(|one, other| {
        (one.kind as u8, &one.namespace, &one.name).cmp(&(other.kind as u8, &other.namespace, &other.name))
    });
    references.dedup();
    Some((node.to_owned(), references))
}

/// Whether a pod names a secret, wherever pods can.
pub(crate) fn names_secret(pod: &Value) -> bool {
    let mut found = false;
    visit(pod, "", &mut |kind: Kind, name: &str| found |= kind == Kind::Secret && !name.is_empty());
    found
}

/// Shows `add` every object that a pod of this name needs. Names that are left out are shown as empty ones.
fn visit(pod: &Value, name: &str, add: &mut impl FnMut(Kind, &str)) {
    let spec = pod.get("spec");
    add(Kind::ServiceAccount, spec.str_at("serviceAccountName"));
    spec.get("imagePullSecrets").items().for_each(|secret| add(Kind::Secret, secret.str_at("name")));
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        spec.get(list).items().for_each(|container| of_container(container, add));
    }
    for volume in spec.get("volumes").items() {
        of_volume(volume, name, add);
    }
    of_claims(pod, add);
}

fn of_container(container: &Value, add: &mut impl FnMut(Kind, &str)) {
    for source in container.get("envFrom").items() {
        add(Kind::Secret, source.get("secretRef").str_at("name"));
        add(Kind::ConfigMap, source.get("configMapRef").str_at("name"));
    }
    for variable in container.get("env").items() {
        add(Kind::Secret, variable.at("valueFrom.secretKeyRef").str_at("name"));
        add(Kind::ConfigMap, variable.at("valueFrom.configMapKeyRef").str_at("name"));
    }
}

fn of_volume(volume: &Value, pod: &str, add: &mut impl FnMut(Kind, &str)) {
    add(Kind::Secret, volume.get("secret").str_at("secretName"));
    add(Kind::ConfigMap, volume.get("configMap").str_at("name"));
    add(Kind::Claim, volume.get("persistentVolumeClaim").str_at("claimName"));
    if !volume.get("ephemeral").is_null() {
        add(Kind::Claim, &format!("{pod}-{}", volume.str_at("name")));
    }
    for source in volume.at("projected.sources").items() {
        add(Kind::Secret, source.get("secret").str_at("name"));
        add(Kind::ConfigMap, source.get("configMap").str_at("name"));
    }
    add(Kind::Secret, volume.get("azureFile").str_at("secretName"));
    add(Kind::Secret, volume.at("csi.nodePublishSecretRef").str_at("name"));
    for source in ["cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"] {
        add(Kind::Secret, volume.get(source).get("secretRef").str_at("name"));
    }
}

/// Claims of devices: by their own name, or by the name generated from a template.
fn of_claims(pod: &Value, add: &mut impl FnMut(Kind, &str)) {
    for claim in pod.at("spec.resourceClaims").items() {
        add(Kind::ResourceClaim, claim.str_at("resourceClaimName"));
        if !claim.str_at("resourceClaimTemplateName").is_empty() {
            let mut made = pod.at("status.resourceClaimStatuses").items();
            let made = made.find(|status| status.str_at("name") == claim.str_at("name"));
            made.into_iter().for_each(|status| add(Kind::ResourceClaim, status.str_at("resourceClaimName")));
        }
    }
    add(Kind::ResourceClaim, pod.at("status.extendedResourceClaimStatus").str_at("resourceClaimName"));
}

/// The claim that a volume is bound to, and the secrets that a node needs to use the volume; `None` if it is not
/// bound.
pub(super) fn of_persistent_volume(volume: &Versioned) -> Option<(Reference, Vec<Reference>)> {
    let value = volume.value();
    let spec = value.get("spec");
    let claim = spec.get("claimRef");
    if claim.is_null() {
        return None;
    }
    let home = claim.str_at("namespace");
    let mut secrets = Vec::new();
    let mut add = |secret: &Value, namespace: &str| {
        let (name, own) = (secret.str_at("name"), secret.str_at("namespace"));
        if !name.is_empty() {
            secrets.push(Reference::new(Kind::Secret, if own.is_empty() { namespace } else { own }, name));
        }
    };
    for member in ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
        add(spec.get("csi").get(member), "");
    }
    for source in ["cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"] {
        add(spec.get(source).get("secretRef"), home);
    }
    let azure = spec.get("azureFile");
    if !azure.str_at("secretName").is_empty() {
        let own = azure.str_at("secretNamespace");
        let namespace = if own.is_empty() { home } else { own };
        secrets.push(Reference::new(Kind::Secret, namespace, azure.str_at("secretName")));
    }
    Some((Reference::new(Kind::Claim, home, claim.str_at("name")), secrets))
}
