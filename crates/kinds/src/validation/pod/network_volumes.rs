//! Volumes from storage systems.

use object::field::{Error, Errors};
use object::names;

use super::paths::descending_path;
use crate::NameRule;
use crate::validation::field::Field;

const CSI_DRIVER_NAME_MAX: usize = 63;
const ISCSI_NAME_BYTES_MAX: usize = 64;

/// Checks the source of a volume. `name` is the field that holds it.
pub(in crate::validation) fn validate_network_source(
    errors: &mut Errors,
    volume: &Field<'_, '_>,
    name: &str,
    source: &Field<'_, '_>,
) {
    let required: &[&str] = match name {
        "gitRepo" => &["repository"],
        "gcePersistentDisk" => &["pdName"],
        "awsElasticBlockStore" | "cinder" | "portworxVolume" => &["volumeID"],
        "nfs" => &["server", "path"],
        "glusterfs" => &["endpoints", "path"],
        "rbd" => &["monitors", "image"],
        "cephfs" => &["monitors"],
        "flexVolume" => &["driver"],
        "azureFile" => &["secretName", "shareName"],
        "vsphereVolume" => &["volumePath"],
        "photonPersistentDisk" => &["pdID"],
        "azureDisk" => &["diskName", "diskURI"],
        "scaleIO" => &["gateway", "system", "volumeName"],
        _ => &[],
    };
    for field in required {
        source.child(field).check_present(errors);
    }
    match name {
        "gitRepo" => descending_path(errors, &source.child("directory")),
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            validate_partition(errors, &source.child("partition"))
        }
        "nfs" => {
            let path = source.child("path");
            if !path.text().starts_with('/') {
                path.invalid(errors, "must be an absolute path");
            }
        }
        "iscsi" => validate_iscsi(errors, volume, source),
        "flocker" => validate_flocker(errors, source),
        "cinder" | "storageos" => {
            if name == "storageos" {
                source.child("volumeName").check_required(errors, names::is_dns1123_label);
                source.child("volumeNamespace").check_set(errors, names::is_dns1123_label);
            }
            let secret = source.child("secretRef");
            if secret.is_set() {
                secret.child("name").check_present(errors);
            }
        }
        "quobyte" => validate_quobyte(errors, source),
        "fc" => validate_fibre_channel(errors, source),
        "flexVolume" => validate_flex_options(errors, &source.child("options")),
        "azureDisk" => validate_azure_disk(errors, source),
        "csi" => validate_csi(errors, source),
        _ => {}
    }
}

fn validate_partition(errors: &mut Errors, partition: &Field<'_, '_>) {
    if !(0..=255).contains(&partition.number()) {
        partition.invalid(errors, "must be between 0 and 255, inclusive");
    }
}

fn validate_iscsi(errors: &mut Errors, volume: &Field<'_, '_>, source: &Field<'_, '_>) {
    let portal = source.child("targetPortal");
    portal.check_present(errors);
    validate_iscsi_target(errors, source);
    let initiator = source.child("initiatorName");
    if initiator.is_set() {
        validate_iscsi_initiator(errors, source);
        let name = volume.child("name");
        if is_iscsi_name_too_long(name.text(), portal.text()) {
            name.invalid(errors, ISCSI_NAME_TOO_LONG);
        }
    }
}

/// Whether a node cannot name its session, which it does after the volume and the portal.
pub(in crate::validation) fn is_iscsi_name_too_long(volume: &str, portal: &str) -> bool {
    volume.len() + 1 + portal.len() > ISCSI_NAME_BYTES_MAX
}

pub(in crate::validation) const ISCSI_NAME_TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must \
    be under 64 characters if iscsi.initiatorName is specified.";

/// Checks what is mounted, and who authenticates.
pub(in crate::validation) fn validate_iscsi_target(errors: &mut Errors, source: &Field<'_, '_>) {
    let iqn = source.child("iqn");
    match iqn.text() {
        "" => iqn.required(errors, ""),
        _ => validate_iscsi_name(errors, &iqn),
    }
    source.child("lun").check_number(errors, |lun| names::is_in_range(lun, 0, 255));
    let authenticates =
        source.child("chapAuthDiscovery").is_true() || source.child("chapAuthSession").is_true();
    let secret = source.child("secretRef");
    if authenticates && !secret.is_set() {
        secret.required(errors, "");
    }
}

/// Checks the name by which nodes present themselves.
pub(in crate::validation) fn validate_iscsi_initiator(errors: &mut Errors, source: &Field<'_, '_>) {
    let initiator = source.child("initiatorName");
    validate_iscsi_name(errors, &initiator.named(source.path.child("initiatorname")));
}

/// An iSCSI qualified name, EUI-64 or NAA identifier (RFC 3720, RFC 3980).
fn validate_iscsi_name(errors: &mut Errors, name: &Field<'_, '_>) {
    let text = name.text();
    let hex = |digits: &str, lengths: &[usize]| {
        lengths.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let valid = match text.get(..3) {
        Some("iqn") => is_iqn(text),
        Some("eui") => text.strip_prefix("eui.").is_some_and(|id| hex(id, &[16])),
        Some("naa") => text.strip_prefix("naa.").is_some_and(|id| hex(id, &[16, 32])),
        _ => return name.invalid(errors, "must be valid format starting with iqn, eui, or naa"),
    };
    if !valid {
        name.invalid(errors, "must be valid format");
    }
}

/// `iqn.2001-04.com.example:storage.disk1`
fn is_iqn(name: &str) -> bool {
    let mut parts = name.splitn(3, '.');
    let (Some("iqn"), Some(date), Some(authority)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let (authority, rest) = authority.split_once(':').unwrap_or((authority, ""));
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    let is_date = date.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2));
    let is_domain = authority.split('.').count() >= 2
        && authority
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    is_date && is_domain && !rest.contains(' ')
}

fn validate_flocker(errors: &mut Errors, source: &Field<'_, '_>) {
    let (name, id) = (source.child("datasetName"), source.child("datasetUUID"));
    match (name.is_empty(), id.is_empty()) {
        (true, true) => source.required(errors, "one of datasetName and datasetUUID is required"),
        (false, false) => {
            let why = "datasetName and datasetUUID can not be specified simultaneously";
            errors.invalid(&source.path, "resource", why);
        }
        _ => {}
    }
    if name.text().contains('/') {
        name.invalid(errors, "must not contain '/'");
    }
}

fn validate_quobyte(errors: &mut Errors, source: &Field<'_, '_>) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let (registry, tenant) = (source.child("registry"), source.child("tenant"));
    if registry.is_empty() {
        registry.required(errors, PAIRS);
    } else if tenant.text().len() >= 65 {
        tenant.required(errors, "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in registry.text().split(',').filter(|pair| !pair.contains(':')) {
            registry.invalid(errors, PAIRS);
        }
    }
    source.child("volume").check_present(errors);
}

fn validate_fibre_channel(errors: &mut Errors, source: &Field<'_, '_>) {
    let (targets, ids, lun) = (source.child("targetWWNs"), source.child("wwids"), source.child("lun"));
    if targets.is_empty() && ids.is_empty() {
        targets.required(errors, "must specify either targetWWNs or wwids, but not both");
    }
    if !targets.is_empty() && !ids.is_empty() {
        targets.invalid(errors, "targetWWNs and wwids can not be specified simultaneously");
    }
    if !targets.is_empty() {
        match lun.is_set() {
            false => lun.required(errors, "lun is required if targetWWNs is specified"),
            true => lun.check_number(errors, |lun| names::is_in_range(lun, 0, 255)),
        }
    }
}

fn validate_flex_options(errors: &mut Errors, options: &Field<'_, '_>) {
    for (key, option) in options.entries() {
        let namespace = key.split_once('/').map_or(key, |(namespace, _)| namespace).to_lowercase();
        let reserved = ["kubernetes.io", "k8s.io"];
        if reserved.iter().any(|name| format!(".{namespace}").ends_with(&format!(".{name}"))) {
            errors.invalid(&option.path, key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn validate_azure_disk(errors: &mut Errors, source: &Field<'_, '_>) {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    source.child("cachingMode").check_known(errors, &["None", "ReadOnly", "ReadWrite"]);
    let (kind, uri) = (source.child("kind"), source.child("diskURI"));
    kind.check_known(errors, &["Dedicated", "Managed", "Shared"]);
    match kind.text() {
        "Managed" if !uri.text().starts_with("/subscriptions/") => uri.not_supported(errors, &[MANAGED]),
        "" | "Managed" => {}
        _ if !uri.text().starts_with("https://") => uri.not_supported(errors, &[BLOB]),
        _ => {}
    }
}

/// Checks the name of a driver, which has no fixed case.
pub(in crate::validation) fn validate_csi_driver_name(errors: &mut Errors, driver: &Field<'_, '_>) {
    driver.check_present(errors);
    if driver.text().len() > CSI_DRIVER_NAME_MAX {
        errors.push(Error::too_long(&driver.path, CSI_DRIVER_NAME_MAX));
    }
    driver.check(errors, |name| names::is_dns1123_subdomain(&name.to_lowercase()));
}

fn validate_csi(errors: &mut Errors, source: &Field<'_, '_>) {
    validate_csi_driver_name(errors, &source.child("driver"));
    let secret = source.child("nodePublishSecretRef");
    if !secret.is_set() {
        return;
    }
    let name = secret.child("name");
    match name.text() {
        "" => name.required(errors, ""),
        _ => {
            name.named(source.path.child("name")).check(errors, |name| NameRule::Subdomain.check(name, false))
        }
    }
}
