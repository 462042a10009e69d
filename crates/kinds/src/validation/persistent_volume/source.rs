//! What a PersistentVolume consists of. Most sources are those of pods' volumes; a few name their secrets with a namespace,
//! because the volume has none.

use object::field::Errors;
use object::{Value, names};

use crate::validation::field::Field;
use crate::validation::pod::{
    ISCSI_NAME_TOO_LONG, is_iscsi_name_too_long, path_without_backsteps, validate_csi_driver_name,
    validate_host_path, validate_iscsi_initiator, validate_iscsi_target, validate_network_source,
};

/// The sources, in upstream's order.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// The members of a spec that say what the volume consists of.
pub(super) fn of(spec: &Value) -> Value {
    let mut found = Value::map();
    for name in SOURCES.into_iter().filter(|name| !spec.get(name).is_null()) {
        found.set(name, spec.get(name).clone());
    }
    found
}

/// Checks that there is one source, and the source. `volume` is the volume's name.
pub(super) fn validate(errors: &mut Errors, spec: &Field<'_, '_>, volume: &str) {
    let mut is_first = true;
    for name in SOURCES {
        let source = spec.child(name);
        if !source.is_set() {
            continue;
        }
        // Upstream lets this one stand beside others.
        if !is_first && name != "flexVolume" {
            let shown = if name == "cephfs" { "cephFS" } else { name };
            errors.forbidden(&spec.path.child(shown), "may not specify more than 1 volume type");
            continue;
        }
        is_first = false;
        match name {
            "hostPath" => validate_host_path(errors, &source),
            "gcePersistentDisk" => {
                let source = source.named(spec.path.child("persistentDisk"));
                validate_network_source(errors, spec, name, &source);
            }
            "iscsi" => validate_iscsi(errors, &source, volume),
            "local" => validate_local(errors, spec, &source),
            "csi" => validate_csi(errors, &source),
            _ => {
                validate_network_source(errors, spec, name, &source);
                validate_namespaces(errors, name, &source);
            }
        }
    }
    if is_first {
        spec.required(errors, "must specify a volume type");
    }
}

/// Checks the namespaces that sources of pods do not have.
fn validate_namespaces(errors: &mut Errors, name: &str, source: &Field<'_, '_>) {
    match name {
        "glusterfs" => {
            let namespace = source.child("endpointsNamespace");
            match namespace.value.as_str() {
                None => {}
                Some("") => {
                    let why = "if the endpointnamespace is set, it must be a valid namespace name";
                    namespace.invalid(errors, why);
                }
                Some(_) => namespace.check(errors, names::is_dns1123_label),
            }
        }
        "cinder" | "storageos" => {
            let secret = source.child("secretRef");
            if secret.is_set() {
                secret.child("namespace").check_present(errors);
            }
        }
        "azureFile" => {
            let namespace = source.child("secretNamespace");
            if namespace.is_set() {
                namespace.check_present(errors);
            }
        }
        _ => {}
    }
}

fn validate_iscsi(errors: &mut Errors, source: &Field<'_, '_>, volume: &str) {
    let (portal, initiator) = (source.child("targetPortal"), source.child("initiatorName"));
    portal.check_present(errors);
    if initiator.is_set() && is_iscsi_name_too_long(volume, portal.text()) {
        // The path is upstream's.
        portal.named(source.path.child("targetportal")).invalid(errors, ISCSI_NAME_TOO_LONG);
    }
    validate_iscsi_target(errors, source);
    let secret = source.child("secretRef");
    if secret.is_set() {
        secret.child("name").check_present(errors);
    }
    if initiator.is_set() {
        validate_iscsi_initiator(errors, source);
    }
}

fn validate_local(errors: &mut Errors, spec: &Field<'_, '_>, source: &Field<'_, '_>) {
    let path = source.child("path");
    path.check_present(errors);
    path_without_backsteps(errors, &path);
    let affinity = spec.child("nodeAffinity");
    if !affinity.is_set() {
        affinity.required(errors, "Local volume requires node affinity");
    }
}

fn validate_csi(errors: &mut Errors, source: &Field<'_, '_>) {
    validate_csi_driver_name(errors, &source.child("driver"));
    source.child("volumeHandle").check_present(errors);
    let secrets = [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ];
    for name in secrets {
        let secret = source.child(name);
        if secret.is_set() {
            secret.child("name").check_required(errors, names::is_dns1123_subdomain);
            secret.child("namespace").check_required(errors, names::is_dns1123_label);
        }
    }
}
