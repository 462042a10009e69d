//! The usage of claims (`pkg/kubelet/metrics/collectors/volume_stats.go`).

use metrics::{EncodeLabelSet, Family, Gauge, Register, Registry};

use crate::machine::Space;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Claim {
    namespace: String,
    persistentvolumeclaim: String,
}

/// The metrics of claims.
pub(crate) struct ClaimMetrics {
    /// Capacity, available and used bytes; the same of inodes.
    families: [Family<Claim, Gauge>; 6],
}

impl ClaimMetrics {
    pub(super) fn register(registry: &mut Registry) -> ClaimMetrics {
        let volume = registry.sub_registry_with_prefix("kubelet_volume_stats");
        ClaimMetrics {
            families: [
                volume.add("capacity_bytes", "Capacity of the volume in bytes"),
                volume.add("available_bytes", "Number of bytes that the volume has left"),
                volume.add("used_bytes", "Number of bytes in use on the volume"),
                volume.add("inodes", "Number of inodes of the volume"),
                volume.add("inodes_free", "Number of inodes that the volume has left"),
                volume.add("inodes_used", "Number of inodes in use on the volume"),
            ],
        }
    }

    /// What was just measured; what is not known is not shown.
    pub(crate) fn set(&self, namespace: &str, name: &str, space: &Space) {
        let claim = Claim { namespace: namespace.to_owned(), persistentvolumeclaim: name.to_owned() };
        let bytes = Some([space.bytes.capacity, space.bytes.available, space.bytes.used]);
        let inodes = space.inodes.map(|inodes| [inodes.capacity, inodes.available, inodes.used]);
        for (families, values) in self.families.chunks(3).zip([bytes, inodes]) {
            for (position, family) in families.iter().enumerate() {
                match values.map(|values| values[position]) {
                    Some(value) => {
                        family.get_or_create(&claim).set(i64::try_from(value).unwrap_or(i64::MAX));
                    }
                    None => drop(family.remove(&claim)),
                }
            }
        }
    }

    /// Forgets the claims that no longer count.
    pub(crate) fn retain(&self, keep: impl Fn(&str, &str) -> bool) {
        for family in &self.families {
            family.retain(|claim| keep(&claim.namespace, &claim.persistentvolumeclaim));
        }
    }
}
