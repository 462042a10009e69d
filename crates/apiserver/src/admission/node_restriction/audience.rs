//! The audiences for which a node may request tokens of its pods' service accounts: those that a pod's volumes name.

use object::{Value, quote};
use schema::GroupResource;

use super::{NodeRestriction, need};
use crate::admission::Attributes;
use crate::authz::{self, Target};

/// The verb with which a role allows further audiences, with the audience as the resource.
const VERB: &str = "request-serviceaccounts-token-audience";

const CLAIMS: GroupResource<'static> = GroupResource::new("", "persistentvolumeclaims");
const VOLUMES: GroupResource<'static> = GroupResource::new("", "persistentvolumes");
const DRIVERS: GroupResource<'static> = GroupResource::new("storage.k8s.io", "csidrivers");

/// The CSI drivers that replaced the kubelet's in-tree volumes.
const SUCCESSORS: [(&str, &str); 7] = [
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("portworxVolume", "pxd.portworx.com"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
];

impl NodeRestriction {
    /// Whether the node may request a token of this pod's account for these audiences; none stands for the API server.
    pub(super) async fn check_audience(
        &self,
        what: &Attributes<'_>,
        request: &Value,
        pod: &Value,
    ) -> Result<(), String> {
        let audiences: Vec<&str> = request.at("spec.audiences").items().filter_map(Value::as_str).collect();
        need(audiences.len() <= 1, || "node may only request 0 or 1 audiences".to_owned())?;
        let audience = audiences.first().copied().unwrap_or_default();
        let is_referenced = references_audience(what, pod, audience)
            .map_err(|why| format!("error validating audience {}: {why}", quote(audience)))?;
        let target = Target::Resource {
            group: "",
            version: "v1",
            resource: audience,
            subresource: "",
            namespace: what.namespace,
            name: what.name,
        };
        let asked = authz::Attributes::new(what.user, VERB, target);
        need(is_referenced || self.authorizer.authorize(&asked).await.is_allowed(), || {
            format!(
                "audience {} not found in pod spec volume, {} is not authorized to request tokens for this audience",
                quote(audience),
                what.user.name
            )
        })
    }
}

/// Whether a volume of the pod needs tokens for the audience, itself or through its CSI driver. A volume whose driver
/// cannot be determined matters only if no other volume needs them.
fn references_audience(what: &Attributes<'_>, pod: &Value, audience: &str) -> Result<bool, String> {
    let mut unknown = Vec::new();
    for volume in pod.at("spec.volumes").items() {
        let mut tokens =
            volume.at("projected.sources").items().map(|source| source.get("serviceAccountToken"));
        if tokens.any(|token| !token.is_null() && token.str_at("audience") == audience) {
            return Ok(true);
        }
        let driver = driver_of_volume(what, pod, volume);
        match driver.and_then(|driver| driver_requests(what, driver.as_deref(), audience)) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(why) => unknown.push(why),
        }
    }
    match unknown.as_slice() {
        [] => Ok(false),
        [why] => Err(why.clone()),
        _ => Err(format!("[{}]", unknown.join(", "))),
    }
}

/// The name of the CSI driver of a pod's volume, directly or through a claim.
fn driver_of_volume(what: &Attributes<'_>, pod: &Value, volume: &Value) -> Result<Option<String>, String> {
    if !volume.at("ephemeral.volumeClaimTemplate").is_null() {
        let claim = format!("{}-{}", pod.str_at("metadata.name"), volume.str_at("name"));
        return driver_of_claim(what, &claim);
    }
    let claim = volume.get("persistentVolumeClaim");
    if !claim.is_null() {
        return driver_of_claim(what, claim.str_at("claimName"));
    }
    Ok(driver(volume))
}

fn driver_of_claim(what: &Attributes<'_>, name: &str) -> Result<Option<String>, String> {
    let claim = what.reader.get(CLAIMS, what.namespace, name);
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {} not found", quote(name)))?;
    let claim = claim.value();
    let name = claim.str_at("spec.volumeName");
    let volume =
        Some(name).filter(|name| !name.is_empty()).and_then(|name| what.reader.get(VOLUMES, "", name));
    let volume = volume.ok_or_else(|| format!("persistentvolume {} not found", quote(name)))?;
    Ok(driver(volume.value().get("spec")))
}

fn driver_requests(what: &Attributes<'_>, name: Option<&str>, audience: &str) -> Result<bool, String> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(false) };
    let driver = what.reader.get(DRIVERS, "", name);
    let driver = driver.ok_or_else(|| format!("csidriver.storage.k8s.io {} not found", quote(name)))?;
    let driver = driver.value();
    Ok(driver.at("spec.tokenRequests").items().any(|request| request.str_at("audience") == audience))
}

/// The CSI driver of a source of volumes, or the one that took over from it.
fn driver(source: &Value) -> Option<String> {
    let csi = source.get("csi");
    if !csi.is_null() {
        return Some(csi.str_at("driver").to_owned());
    }
    let (_, driver) = SUCCESSORS.iter().find(|(member, _)| !source.get(member).is_null())?;
    Some((*driver).to_owned())
}
