//! Volumes of pods.

use object::field::Errors;
use object::{Value, names};

use super::container::validate_pull_policy;
use super::items::{validate_downward_file, validate_key_to_path};
use super::mounts::Volumes;
use super::network_volumes::validate_network_source;
use super::paths::{file_mode, path_without_backsteps};
use super::projected::validate_projected;
use crate::NameRule;
use crate::validation::field::Field;
use crate::validation::metadata::{validate_annotations, validate_labels};
use crate::validation::persistent_volume_claim::validate_claim_spec;

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// The sources that a volume can have, in upstream's order: the field, and the name by which errors call the
/// source's own fields where that differs.
const SOURCES: [(&str, &str); 30] = [
    ("emptyDir", ""),
    ("hostPath", ""),
    ("gitRepo", ""),
    ("gcePersistentDisk", "persistentDisk"),
    ("awsElasticBlockStore", ""),
    ("secret", ""),
    ("nfs", ""),
    ("iscsi", ""),
    ("glusterfs", ""),
    ("flocker", ""),
    ("persistentVolumeClaim", ""),
    ("rbd", ""),
    ("cinder", ""),
    ("cephfs", ""),
    ("quobyte", ""),
    ("downwardAPI", ""),
    ("fc", ""),
    ("flexVolume", ""),
    ("configMap", ""),
    ("azureFile", ""),
    ("vsphereVolume", ""),
    ("photonPersistentDisk", ""),
    ("portworxVolume", ""),
    ("azureDisk", ""),
    ("storageos", ""),
    ("projected", ""),
    ("scaleIO", ""),
    ("csi", ""),
    ("ephemeral", ""),
    ("image", ""),
];

/// Checks the volumes of a pod and returns the valid ones. `pod` is the name of the pod, empty in a template.
pub(super) fn validate_volumes<'a>(
    errors: &mut Errors,
    volumes: &Field<'a, '_>,
    pod: &str,
    is_pod: bool,
) -> Volumes<'a> {
    let created = |name: &str| {
        !pod.is_empty()
            && volumes.value.items().any(|volume| {
                !volume.get("ephemeral").is_null() && format!("{pod}-{}", volume.str_at("name")) == name
            })
    };
    let mut valid = Volumes::new();
    for volume in volumes.items() {
        let before = errors.len();
        validate_source(errors, &volume, pod, is_pod);
        let name = volume.child("name");
        name.check_required(errors, names::is_dns1123_label);
        if valid.contains_key(name.text()) {
            name.duplicate(errors);
        }
        if errors.len() == before {
            valid.insert(name.text(), volume.value);
        }
        let claim = volume.child("persistentVolumeClaim");
        let claim_name = claim.child("claimName");
        if claim.is_set() && created(claim_name.text()) {
            claim_name.invalid(errors, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    valid
}

fn validate_source(errors: &mut Errors, volume: &Field<'_, '_>, pod: &str, is_pod: bool) {
    let mut is_first = true;
    for (name, shown) in SOURCES {
        let source = volume.child(name);
        if !source.is_set() {
            continue;
        }
        if !is_first {
            source.forbidden(errors, "may not specify more than 1 volume type");
            continue;
        }
        is_first = false;
        let source = match shown {
            "" => source,
            shown => source.named(volume.path.child(shown)),
        };
        match name {
            "emptyDir" => {
                let limit = source.child("sizeLimit");
                if limit.quantity().sign() < 0 {
                    limit.forbidden(errors, "SizeLimit field must be a valid resource quantity");
                }
                let mode = source.child("mode");
                if !(0..=0o1777).contains(&mode.number()) {
                    mode.invalid(errors, "must be a number between 0 and 01777 (octal), both inclusive");
                }
            }
            "hostPath" => validate_host_path(errors, &source),
            "secret" => validate_keyed(errors, &source, "secretName"),
            "configMap" => validate_keyed(errors, &source, "name"),
            "persistentVolumeClaim" => source.child("claimName").check_present(errors),
            "downwardAPI" => {
                file_mode(errors, &source.child("defaultMode"));
                for file in source.child("items").items() {
                    // The path of these errors lacks the items upstream, too.
                    validate_downward_file(errors, &file.named(source.path));
                }
            }
            "projected" => validate_projected(errors, &source),
            "ephemeral" => validate_ephemeral(errors, volume, &source, pod),
            "image" => {
                if is_pod {
                    source.child("reference").check_present(errors);
                }
                validate_pull_policy(errors, &source.child("pullPolicy"));
            }
            _ => validate_network_source(errors, volume, name, &source),
        }
    }
    if is_first {
        volume.required(errors, "must specify a volume type");
    }
}

pub(in crate::validation) fn validate_host_path(errors: &mut Errors, source: &Field<'_, '_>) {
    let path = source.child("path");
    if path.is_empty() {
        return path.required(errors, "");
    }
    path_without_backsteps(errors, &path);
    source.child("type").check_known(errors, &HOST_PATH_TYPES);
}

fn validate_keyed(errors: &mut Errors, source: &Field<'_, '_>, name: &str) {
    source.child(name).check_present(errors);
    file_mode(errors, &source.child("defaultMode"));
    source.child("items").items().for_each(|item| validate_key_to_path(errors, &item));
}

/// A claim that is made for the pod, under a name that follows from the pod's and the volume's.
fn validate_ephemeral(errors: &mut Errors, volume: &Field<'_, '_>, source: &Field<'_, '_>, pod: &str) {
    let template = source.child("volumeClaimTemplate");
    if !template.is_set() {
        template.required(errors, "");
    } else {
        let metadata = template.child("metadata");
        let (notes, labels) = (metadata.child("annotations"), metadata.child("labels"));
        validate_annotations(notes.value, &notes.path, errors);
        validate_labels(labels.value, &labels.path, errors);
        for (name, value) in metadata.value.entries().filter(|(_, value)| !value.is_empty()) {
            if !matches!(name, "annotations" | "labels") && *value != Value::Null {
                errors.forbidden(&metadata.path.child(name), "cannot be set");
            }
        }
        validate_claim_spec(errors, &template.child("spec"), false);
    }
    let name = volume.child("name");
    if !pod.is_empty() && !name.is_empty() {
        let claim = format!("{pod}-{}", name.text());
        for message in NameRule::Subdomain.check(&claim, false) {
            name.invalid(errors, format!("PVC name {}: {message}", object::quote(&claim)));
        }
    }
}
