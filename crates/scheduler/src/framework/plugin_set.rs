//! Sets of plugins, by their positions in a profile.

/// A set of plugins of one profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginSet(u64);

impl PluginSet {
    /// Only the plugin at a place of the profile.
    pub fn of(plugin: usize) -> PluginSet {
        PluginSet(1 << plugin)
    }

    /// Adds the plugin at a place of the profile.
    pub fn insert(&mut self, plugin: usize) {
        self.0 |= 1 << plugin;
    }

    /// Adds another set.
    pub fn extend(&mut self, other: PluginSet) {
        self.0 |= other.0;
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn contains(self, plugin: usize) -> bool {
        self.0 & (1 << plugin) != 0
    }
}
