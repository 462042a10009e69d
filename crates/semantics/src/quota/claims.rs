//! What claims of volumes and of devices use.

use object::Quantity;

use super::{ResourceList, number, one};
use crate::amounts::quantity;
use crate::{Field, View};

/// The API group of ResourceClaims.
pub(super) const DEVICE_GROUP: &str = "resource.k8s.io";
/// Behind the name of a StorageClass.
const OF_STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Behind the name of a DeviceClass.
const OF_DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
/// The older way to name the class of a claim.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const VOLUME_NAMES: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
/// How many devices a request for all devices is taken for: a claim cannot have more.
const DEVICES_MAX: i64 = 32;

pub(super) fn measures_volumes(name: &str) -> bool {
    let of_class = || name.split_once(OF_STORAGE_CLASS).map(|(_, of_class)| of_class);
    VOLUME_NAMES.contains(&name) || of_class().is_some_and(|name| VOLUME_NAMES.contains(&name))
}

pub(super) fn add_volumes(usage: &mut ResourceList, claim: &dyn View) {
    let class = class(claim);
    let storage = storage(claim);
    let amounts = [Some(one()), storage];
    for (name, amount) in VOLUME_NAMES.into_iter().zip(amounts) {
        let Some(amount) = amount else { continue };
        if !class.is_empty() {
            usage.set(format!("{class}{OF_STORAGE_CLASS}{name}"), amount.clone());
        }
        usage.set(name, amount);
    }
}

fn class(claim: &dyn View) -> &str {
    match claim.field("metadata").field("annotations").field(CLASS_ANNOTATION).as_text() {
        Some(class) => class,
        None => claim.field("spec").field("storageClassName").text(),
    }
}

/// The requested storage; while a volume shrinks back from a failed expansion, what is allocated. Whole bytes.
fn storage(claim: &dyn View) -> Option<Quantity> {
    let requested = quantity(claim.field("spec").field("resources").field("requests").field("storage"))?;
    let allocated = quantity(claim.field("status").field("allocatedResources").field("storage"));
    let larger = allocated.filter(|allocated| *allocated > requested).unwrap_or(requested);
    Some(larger.round_up(0))
}

pub(super) fn measures_devices(name: &str) -> bool {
    name.ends_with(OF_DEVICE_CLASS)
}

pub(super) fn add_devices(usage: &mut ResourceList, claim: &dyn View) {
    for request in claim.field("spec").field("devices").field("requests").items() {
        // The alternatives of a request may be of several classes: each is charged its largest.
        let mut largest = ResourceList::default();
        for alternative in request.field("firstAvailable").items() {
            let (name, count) = devices(alternative);
            if largest.get(&name).is_none_or(|known| *known < count) {
                largest.set(name, count);
            }
        }
        let exactly = request.field("exactly");
        if largest.is_empty() && !exactly.is_absent() {
            let (name, count) = devices(exactly);
            largest.set(name, count);
        }
        usage.add_all(&largest);
    }
}

fn devices(request: Field<'_>) -> (String, Quantity) {
    let count = match request.field("allocationMode").text() {
        "ExactCount" => request.field("count").as_integer().unwrap_or_default(),
        "All" => DEVICES_MAX,
        _ => 0,
    };
    (format!("{}{OF_DEVICE_CLASS}", request.field("deviceClassName").text()), number(count))
}
