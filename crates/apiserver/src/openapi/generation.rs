//! The documents of one generation of the catalogue, from which those of the next generation are derived.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::{Value, value};
use schema::ResourceDef;

use super::definitions::{Definitions, Version};
use super::operations::{self, Operation};
use super::{Document, v2, v3};
use crate::catalogue::{Catalogue, GroupVersion};

/// The group versions of the built-in table, which options and events of watches belong to.
pub(super) fn built_in_names() -> Vec<(&'static str, &'static str)> {
    let names: BTreeSet<_> = schema::resources().iter().map(|def| (&*def.group, &*def.version)).collect();
    names.into_iter().collect()
}

pub(super) fn resources(version: &GroupVersion) -> Vec<&ResourceDef> {
    version.endpoints().iter().map(|endpoint| &*endpoint.def).collect()
}

/// The name of a group version's document of version 3.
fn name_of(version: &GroupVersion) -> String {
    match version.group() {
        "" => format!("api/{}", version.version()),
        group => format!("apis/{group}/{}", version.version()),
    }
}

/// The operations that belong to no group version, with the names of the documents that hold them: they depend only on
/// the names of the groups.
fn operations_beside(catalogue: &Catalogue) -> BTreeMap<String, Operation<'static>> {
    let plain = operations::plain_paths().into_iter().map(|(name, operation)| (name.to_owned(), operation));
    let groups =
        catalogue.group_versions().iter().map(|version| version.group()).filter(|group| !group.is_empty());
    plain.chain(groups.map(|group| (format!("apis/{group}"), operations::of_group(group)))).collect()
}

/// The documents of version 3 by name, and their index.
pub(super) struct V3 {
    pub(super) index: Document,
    pub(super) documents: BTreeMap<String, Arc<Document>>,
    versions: Vec<Arc<GroupVersion>>,
}

impl V3 {
    /// The documents of a generation, reusing those of an earlier one whose group versions did not change.
    pub(super) fn new(catalogue: &Catalogue, earlier: Option<&V3>) -> V3 {
        let texts = LazyCell::new(openapi::Descriptions::load);
        let names = built_in_names();
        let kept = |name: &str| earlier.and_then(|earlier| earlier.documents.get(name)).cloned();
        let make = |operations: &[Operation<'_>], defs: &[&ResourceDef]| {
            let definitions = Definitions::new(Version::V3, &texts, &names).with_custom(defs);
            Arc::new(Document::of(&v3::document(operations, definitions)))
        };
        let mut documents = BTreeMap::new();
        for (name, operation) in operations_beside(catalogue) {
            let document = kept(&name).unwrap_or_else(|| make(&[operation], &[]));
            documents.insert(name, document);
        }
        let is_known = |version: &Arc<GroupVersion>| {
            earlier.is_some_and(|earlier| earlier.versions.iter().any(|known| Arc::ptr_eq(known, version)))
        };
        for version in catalogue.group_versions() {
            let name = name_of(version);
            let document = kept(&name).filter(|_| is_known(version)).unwrap_or_else(|| {
                let defs = resources(version);
                make(&operations::of_group_version(version.group(), version.version(), &defs, &texts), &defs)
            });
            documents.insert(name, document);
        }
        let mut paths = Value::map();
        for (name, document) in &documents {
            let url = format!("/openapi/v3/{name}?hash={}", document.hash);
            paths.set(name.clone(), value!({"serverRelativeURL": url}));
        }
        let index = Document::of(&value!({"paths": paths}));
        V3 { index, documents, versions: catalogue.group_versions().to_vec() }
    }
}

/// The document of version 2 of built-in resources.
pub(super) fn v2_document(resources: &'static [ResourceDef]) -> Value {
    let texts = openapi::Descriptions::load();
    let names = built_in_names();
    let mut all: Vec<Operation<'_>> =
        operations::plain_paths().into_iter().map(|(_, operation)| operation).collect();
    for (group, version) in &names {
        let is_it = |def: &&ResourceDef| def.group == *group && def.version == *version;
        let defs: Vec<&ResourceDef> = resources.iter().filter(is_it).collect();
        all.extend(operations::of_group_version(group, version, &defs, &texts));
    }
    let groups: BTreeSet<&str> =
        names.iter().map(|(group, _)| *group).filter(|group| !group.is_empty()).collect();
    all.extend(groups.into_iter().map(operations::of_group));
    v2::document(&all, Definitions::new(Version::V2, &texts, &names))
}
