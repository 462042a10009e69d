//! Defaults of volumes.

use object::Value;

use super::image::pull_policy;
use super::{each, fill, round_resources, within};

/// Read and write for the owner, read for everyone else.
const FILE_MODE: i32 = 0o644;

pub(super) fn default_volume(volume: &mut Value) {
    let has_source = volume.entries().any(|(name, source)| name != "name" && !source.is_null());
    if !has_source {
        volume.set("emptyDir", Value::map());
    }
    within(volume, "hostPath", |source| source.set_default("type", ""));
    within(volume, "image", |source| {
        let policy = pull_policy(source.str_at("reference"));
        fill(source, "pullPolicy", policy);
    });
    for name in ["secret", "configMap"] {
        within(volume, name, |source| source.set_default("defaultMode", FILE_MODE));
    }
    within(volume, "downwardAPI", |source| {
        source.set_default("defaultMode", FILE_MODE);
        each(source, "items", default_downward_api_file);
    });
    within(volume, "projected", |source| {
        source.set_default("defaultMode", FILE_MODE);
        each(source, "sources", default_projection);
    });
    within(volume, "ephemeral", |source| {
        within(source, "volumeClaimTemplate", |template| within(template, "spec", default_claim_spec));
    });
    default_network_volume(volume);
}

fn default_projection(source: &mut Value) {
    within(source, "downwardAPI", |projection| each(projection, "items", default_downward_api_file));
    within(source, "serviceAccountToken", |token| token.set_default("expirationSeconds", 3600));
}

fn default_downward_api_file(file: &mut Value) {
    within(file, "fieldRef", |field| fill(field, "apiVersion", "v1"));
}

/// Sources of network volumes, which pods and persistent volumes share.
pub(super) fn default_network_volume(volume: &mut Value) {
    within(volume, "iscsi", |source| fill(source, "iscsiInterface", "default"));
    within(volume, "rbd", |source| {
        fill(source, "pool", "rbd");
        fill(source, "user", "admin");
        fill(source, "keyring", "/etc/ceph/keyring");
    });
    within(volume, "azureDisk", |source| {
        source.set_default("cachingMode", "ReadWrite");
        source.set_default("fsType", "ext4");
        source.set_default("readOnly", false);
        source.set_default("kind", "Shared");
    });
    within(volume, "scaleIO", |source| {
        fill(source, "storageMode", "ThinProvisioned");
        fill(source, "fsType", "xfs");
    });
}

pub(super) fn default_claim_spec(spec: &mut Value) {
    spec.set_default("volumeMode", "Filesystem");
    within(spec, "resources", |resources| {
        round_resources(resources, "limits");
        round_resources(resources, "requests");
    });
}
