//! The served resources: every resource of every group version, as generations of an immutable catalogue.
//!
//! A [`Catalogue`] never changes. [`LiveCatalogue`] holds the current one behind a swap: a request takes what it needs
//! from it once and finishes on that, whatever is added or removed in the meantime. Generations share everything that
//! did not change, including whole group versions, so that data derived from a group version (discovery, OpenAPI) can
//! be kept for as long as it is the same one.
//!
//! This module knows facts, strategies, collections and conversions. It must not know HTTP or how an operation works.

use std::collections::HashMap;
use std::sync::Arc;

use schema::GroupResource;

mod builtin;
mod convert;
mod definition;
mod derived;
mod endpoint;
mod live;
mod shared;
mod storage;
#[cfg(test)]
mod tests;

pub use builtin::EVENTS;
pub use convert::{Conversion, Convert};
pub(crate) use definition::SELECTABLE;
pub use definition::{Definition, DefinitionError, Version};
pub use derived::Derived;
pub use endpoint::Endpoint;
/// Where a version that can be scaled has its numbers.
pub use kinds::ScalePaths;
pub use live::{CatalogueError, LiveCatalogue};
pub use shared::Shared;
pub(crate) use storage::storage_of;

/// One generation of the served resources.
#[derive(Default)]
pub struct Catalogue {
    generation: u64,
    /// In the order of group and version.
    group_versions: Vec<Arc<GroupVersion>>,
    /// The same endpoints by plural name, in that order.
    by_plural: HashMap<Box<str>, Vec<Arc<Endpoint>>>,
}

/// The resources of one version of a group; at least one.
pub struct GroupVersion {
    group: Box<str>,
    version: Box<str>,
    /// In the order of the plural names.
    endpoints: Vec<Arc<Endpoint>>,
}

impl GroupVersion {
    /// The group; empty for the core group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The resources, in the order of their plural names.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    fn position(&self, plural: &str) -> Result<usize, usize> {
        self.endpoints.binary_search_by(|endpoint| (*endpoint.def.plural).cmp(plural))
    }

    fn with(&self, endpoint: Arc<Endpoint>) -> GroupVersion {
        let mut endpoints = self.endpoints.clone();
        match self.position(&endpoint.def.plural) {
            Ok(at) => endpoints[at] = endpoint,
            Err(at) => endpoints.insert(at, endpoint),
        }
        GroupVersion { group: self.group.clone(), version: self.version.clone(), endpoints }
    }

    fn without(&self, plural: &str) -> GroupVersion {
        let keep = |endpoint: &&Arc<Endpoint>| endpoint.def.plural != plural;
        let endpoints = self.endpoints.iter().filter(keep).cloned().collect();
        GroupVersion { group: self.group.clone(), version: self.version.clone(), endpoints }
    }
}

impl Catalogue {
    /// How many generations came before this one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The group versions, in the order of group and version.
    pub fn group_versions(&self) -> &[Arc<GroupVersion>] {
        &self.group_versions
    }

    /// All endpoints, in the order of group, version and plural name.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.group_versions.iter().flat_map(|version| version.endpoints.iter())
    }

    /// The endpoint of a resource in the first version of its group that has it.
    pub fn of_resource(&self, resource: GroupResource<'_>) -> Option<&Arc<Endpoint>> {
        self.by_plural.get(resource.plural)?.iter().find(|endpoint| endpoint.def.group == resource.group)
    }

    /// The endpoint of a path.
    pub fn endpoint(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Endpoint>> {
        let mut endpoints = self.by_plural.get(plural)?.iter();
        endpoints.find(|endpoint| endpoint.def.version == version && endpoint.def.group == group)
    }

    /// The next generation, with these endpoints added to the current ones, replacing those with the same names.
    #[must_use]
    pub fn with(&self, endpoints: impl IntoIterator<Item = Arc<Endpoint>>) -> Catalogue {
        let mut next = self.next();
        for endpoint in endpoints {
            let (group, version) = (&*endpoint.def.group, &*endpoint.def.version);
            match next.position(group, version) {
                Ok(at) => next.group_versions[at] = Arc::new(next.group_versions[at].with(endpoint)),
                Err(at) => {
                    let (group, version) = (group.into(), version.into());
                    let first = GroupVersion { group, version, endpoints: vec![endpoint] };
                    next.group_versions.insert(at, Arc::new(first));
                }
            }
        }
        next.indexed()
    }

    /// The next generation, without any version of a resource.
    #[must_use]
    pub fn without(&self, group: &str, plural: &str) -> Catalogue {
        let mut next = self.next();
        for version in &mut next.group_versions {
            if &*version.group == group && version.position(plural).is_ok() {
                *version = Arc::new(version.without(plural));
            }
        }
        next.group_versions.retain(|version| !version.endpoints.is_empty());
        next.indexed()
    }

    fn next(&self) -> Catalogue {
        let group_versions = self.group_versions.clone();
        Catalogue { generation: self.generation + 1, group_versions, by_plural: HashMap::new() }
    }

    fn indexed(mut self) -> Catalogue {
        for endpoint in self.group_versions.iter().flat_map(|version| &version.endpoints) {
            let same = self.by_plural.entry((&*endpoint.def.plural).into()).or_default();
            same.push(Arc::clone(endpoint));
        }
        self
    }

    fn position(&self, group: &str, version: &str) -> Result<usize, usize> {
        self.group_versions.binary_search_by(|other| (&*other.group, &*other.version).cmp(&(group, version)))
    }
}

/// `v1` or `GROUP/VERSION`.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}
