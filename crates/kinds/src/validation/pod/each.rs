//! All containers of a pod.

use crate::validation::field::Field;

/// Calls `visit` for each container of a pod spec, of every sort, in upstream's order.
pub(super) fn each_container(spec: &Field<'_, '_>, mut visit: impl FnMut(&Field<'_, '_>)) {
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        spec.child(name).items().for_each(|container| visit(&container));
    }
}
