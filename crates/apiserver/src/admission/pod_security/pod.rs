//! The inputs and the findings of checks.

use object::Value;

/// A pod, or the template of one.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
}

impl<'a> Pod<'a> {
    /// All containers: init containers first, ephemeral ones last.
    pub(super) fn containers(self) -> impl Iterator<Item = &'a Value> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| self.spec.get(list).items())
    }

    /// The names of the containers for which this is true.
    pub(super) fn names(self, is_bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers()
            .filter(|container| is_bad(container))
            .map(|container| container.str_at("name"))
            .collect()
    }

    pub(super) fn is_windows(self) -> bool {
        self.spec.str_at("os.name") == "windows"
    }

    /// Whether the pod has a user namespace.
    pub(super) fn has_own_users(self) -> bool {
        self.spec.get("hostUsers").as_bool() == Some(false)
    }
}

/// A violation.
pub(super) struct Finding {
    /// A short description.
    pub(super) reason: &'static str,
    /// Its location and values.
    pub(super) detail: String,
}
