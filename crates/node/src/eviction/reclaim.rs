//! Reclaims unused resources: dead containers, and images that no container uses
//! (`pkg/kubelet/images/image_gc_manager.go`).

use std::collections::{BTreeMap, BTreeSet};

use cri::{ContainerFilter, ContainerState, Image, ImageSpec};
use jiff::{SignedDuration, Timestamp};

use super::signals::Space;
use crate::label;
use crate::pod::PodInfo;
use crate::pods::Pods;
use crate::shared::Shared;

/// An image that was found more recently stays: it may just have been pulled for a container.
const IMAGE_AGE_MIN: SignedDuration = SignedDuration::from_mins(2);

/// How much to free of a disk that is full to the high mark, in percent; `None` if it is not.
pub(super) fn bytes_to_free(space: &Space, high_percent: u8, low_percent: u8) -> Option<u64> {
    let (available, capacity) = (i128::from(space.bytes.available), i128::from(space.bytes.capacity));
    if capacity == 0 || high_percent >= 100 {
        return None;
    }
    let used_percent = 100 - available * 100 / capacity;
    if used_percent < i128::from(high_percent) {
        return None;
    }
    u64::try_from(capacity * i128::from(100 - low_percent.min(100)) / 100 - available).ok()
}

/// Removes the containers, with their logs, of finished and unknown pods.
pub(super) async fn dead_containers(shared: &Shared, pods: &Pods) {
    let filter = ContainerFilter { state: Some(ContainerState::Exited), ..ContainerFilter::default() };
    let Ok(dead) = shared.runtime.list_containers(&filter).await else { return };
    for container in dead {
        let uid = container.labels.get(label::POD_UID).map(String::as_str).unwrap_or_default();
        if !pods.is_cleaned_up(uid) {
            continue;
        }
        let log = shared.runtime.container_status(&container.id).await.map(|status| status.log_path);
        if let Err(error) = shared.runtime.remove_container(&container.id).await {
            tracing::warn!(
                container = container.id,
                error = error.full_message(),
                "cannot remove a container"
            );
            continue;
        }
        if let Ok(log) = log {
            // Containers that cannot be removed now are removed with the pod.
            let _ = shared.trees.run(move || crate::logs::remove_all(log.as_ref())).await;
        }
    }
}

/// When an image was first seen, and when it was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Age {
    first_seen: Timestamp,
    used: Option<Timestamp>,
}

/// Remembers how long images have not been used.
#[derive(Debug, Default)]
pub(super) struct ImageAges(BTreeMap<String, Age>);

impl ImageAges {
    /// Records the existing images, and which are used.
    pub(super) async fn look(&mut self, shared: &Shared, pods: &[PodInfo]) {
        let Ok(images) = shared.images.service().list_images(&Default::default()).await else { return };
        let Ok(used) = used_images(shared, pods).await else { return };
        self.note(&images, &used, shared.clock.now());
    }

    fn note(&mut self, images: &[Image], used: &BTreeSet<String>, now: Timestamp) {
        let known = std::mem::take(&mut self.0);
        let age = |image: &Image| {
            let mut age = known.get(&image.id).copied().unwrap_or(Age { first_seen: now, used: None });
            if is_used(image, used) {
                age.used = Some(now);
            }
            (image.id.clone(), age)
        };
        self.0 = images.iter().filter(|image| !image.pinned).map(age).collect();
    }

    /// IDs of unused images, those unused for longest first.
    fn unused(&self, now: Timestamp) -> Vec<String> {
        let is_old = |age: &Age| now.duration_since(age.first_seen) >= IMAGE_AGE_MIN;
        let mut unused: Vec<_> =
            self.0.iter().filter(|(_, age)| age.used != Some(now) && is_old(age)).collect();
        unused.sort_by_key(|(_, age)| (age.used, age.first_seen));
        unused.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// Removes unused images until this many bytes are free, or all of them. Returns their reported size in bytes.
    pub(super) async fn free(&mut self, shared: &Shared, wanted: Option<u64>) -> u64 {
        let Ok(images) = shared.images.service().list_images(&Default::default()).await else { return 0 };
        let mut freed = 0;
        let now = shared.clock.now();
        for id in self.unused(now) {
            if wanted.is_some_and(|wanted| freed >= wanted) {
                break;
            }
            let spec = ImageSpec::from(id.as_str());
            match shared.images.service().remove_image(&spec).await {
                Ok(()) => {
                    tracing::info!(image = id, "removed an unused image");
                    freed += images.iter().find(|image| image.id == id).map_or(0, |image| image.size);
                    self.0.remove(&id);
                }
                Err(error) => {
                    tracing::warn!(image = id, error = error.full_message(), "cannot remove an image");
                }
            }
        }
        freed
    }
}

fn is_used(image: &Image, used: &BTreeSet<String>) -> bool {
    std::iter::once(&image.id)
        .chain(&image.repo_tags)
        .chain(&image.repo_digests)
        .any(|name| used.contains(name))
}

/// Names and IDs of the images of all containers, dead ones included, and of volumes.
async fn used_images(shared: &Shared, pods: &[PodInfo]) -> Result<BTreeSet<String>, cri::CriError> {
    let mut used = BTreeSet::new();
    for container in shared.runtime.list_containers(&ContainerFilter::default()).await? {
        used.extend([container.image_id, container.image_ref, container.image.image]);
    }
    let volumes = pods.iter().flat_map(|pod| pod.spec().volumes.iter().flatten());
    let references = volumes.filter_map(|volume| volume.image.as_ref()?.reference.clone());
    // Images of containers that are about to start must stay.
    let waiting = pods.iter().flat_map(|pod| &pod.containers);
    for name in references.chain(waiting.filter_map(|container| container.spec.image.clone())) {
        if let Ok(Some(image)) = shared.images.service().image_status(&ImageSpec::from(name.as_str())).await {
            used.insert(image.id);
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::super::decide::Observation;
    use super::*;

    #[test]
    fn a_disk_is_freed_from_the_high_mark_to_the_low_one() {
        let of = |available| {
            let space = Space { bytes: Observation { available, capacity: 1000 }, inodes: None };
            bytes_to_free(&space, 85, 80)
        };
        assert_eq!([of(500), of(160), of(150), of(0)], [None, None, Some(50), Some(200)]);
        let empty = Space { bytes: Observation { available: 0, capacity: 0 }, inodes: None };
        assert_eq!(bytes_to_free(&empty, 85, 80), None);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let at = |minutes: i64| Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap();
        let image = |id: &str, pinned| Image {
            id: id.into(),
            pinned,
            repo_tags: vec![format!("{id}:1")],
            ..Image::default()
        };
        let images =
            [image("never", false), image("long", false), image("now", false), image("pinned", true)];
        let mut ages = ImageAges::default();
        let used = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ages.note(&images, &used(&["long:1", "now"]), at(0));
        assert!(ages.unused(at(1)).is_empty(), "all are new");
        let fresh = [&images[..], &[image("fresh", false)]].concat();
        ages.note(&fresh, &used(&["now"]), at(10));
        assert_eq!(ages.unused(at(10)), ["never", "long"]);
        ages.note(&fresh[1..], &used(&[]), at(20));
        assert_eq!(ages.unused(at(20)), ["fresh", "long", "now"]);
    }
}
