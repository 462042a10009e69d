//! The documents of one generation of the catalogue, from which those of the next generation are derived.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::{Value, value};
use schema::ResourceDef;

use super::definitions::{Definitions, Version};
use super::operations::{self, Operation};
use super::{Document, gnostic, v2, v3};
use crate::catalogue::{Catalogue, GroupVersion};

/// The group versions of the built-in table, which options and events of watches belong to.
fn built_in_names() -> Vec<(&'static str, &'static str)> {
    let names: BTreeSet<_> = schema::resources().iter().map(|def| (&*def.group, &*def.version)).collect();
    names.into_iter().collect()
}

fn resources(version: &GroupVersion) -> Vec<&ResourceDef> {
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

/// The sections of the document of version 2 that resources have a part in.
const SECTIONS: [&str; 3] = ["paths", "definitions", "parameters"];

/// The document of version 2 of the built-in resources, in both of its forms, ready to be extended.
struct BuiltIn {
    json: Document,
    protobuf: Document,
    /// The end of each of the [`SECTIONS`] in the JSON text.
    ends: [usize; 3],
    /// The names in each of the [`SECTIONS`].
    names: [BTreeSet<Box<str>>; 3],
}

/// The document of version 2 of one generation.
pub(super) struct V2 {
    built_in: Arc<BuiltIn>,
    /// Both forms with the custom resources, where there are any.
    extended: Option<(Document, Document)>,
}

impl V2 {
    /// The document of a generation: that of the built-in resources, which is made once, and behind it the custom ones.
    pub(super) fn new(catalogue: &Catalogue, earlier: Option<&V2>) -> V2 {
        let built_in = match earlier {
            Some(earlier) => Arc::clone(&earlier.built_in),
            None => Arc::new(BuiltIn::new()),
        };
        let is_extended = catalogue.endpoints().any(|endpoint| endpoint.is_custom());
        let extended = is_extended.then(|| built_in.with(&custom_part(catalogue, &built_in)));
        V2 { built_in, extended }
    }

    pub(super) fn json(&self) -> &Document {
        self.extended.as_ref().map_or(&self.built_in.json, |(json, _)| json)
    }

    pub(super) fn protobuf(&self) -> &Document {
        self.extended.as_ref().map_or(&self.built_in.protobuf, |(_, protobuf)| protobuf)
    }
}

impl BuiltIn {
    fn new() -> BuiltIn {
        let document = v2_document(schema::resources());
        let (text, ends) = text_of(&document);
        let names =
            SECTIONS.map(|section| document.get(section).entries().map(|(name, _)| name.into()).collect());
        BuiltIn {
            json: Document::new(&text),
            protobuf: Document::new(&gnostic::encode(&document)),
            ends,
            names,
        }
    }

    /// Both forms with more members in the sections. In protobuf the messages are concatenated, and readers merge their
    /// fields.
    fn with(&self, part: &Value) -> (Document, Document) {
        let unpack =
            |document: &Document| document.bytes().expect("what was compressed here can be unpacked");
        let packed = unpack(&self.json);
        let mut text = Vec::with_capacity(packed.len());
        let mut places: Vec<(usize, &str)> = self.ends.into_iter().zip(SECTIONS).collect();
        places.sort_unstable();
        let mut from = 0;
        for (end, section) in places {
            text.extend_from_slice(&packed[from..end]);
            for (name, member) in part.get(section).entries() {
                text.push(b',');
                object::json::to_writer(&Value::from(name), &mut text);
                text.push(b':');
                object::json::to_writer(member, &mut text);
            }
            from = end;
        }
        text.extend_from_slice(&packed[from..]);
        let protobuf = [unpack(&self.protobuf), gnostic::encode(part)].concat();
        (Document::new(&text), Document::new(&protobuf))
    }
}

/// The JSON text of a document, with the end of each of the [`SECTIONS`] in it.
fn text_of(document: &Value) -> (Vec<u8>, [usize; 3]) {
    let mut text = Vec::new();
    let mut ends = [0; 3];
    for (index, (name, member)) in document.entries().enumerate() {
        text.push(if index == 0 { b'{' } else { b',' });
        object::json::to_writer(&Value::from(name), &mut text);
        text.push(b':');
        object::json::to_writer(member, &mut text);
        if let Some(section) = SECTIONS.iter().position(|section| *section == name) {
            ends[section] = text.len() - 1;
        }
    }
    text.push(b'}');
    debug_assert!(
        ends.iter().all(|end| *end > 0 && text[*end] == b'}'),
        "every section is an object of the document"
    );
    (text, ends)
}

/// The members that custom resources add to the sections of the built-in document.
fn custom_part(catalogue: &Catalogue, built_in: &BuiltIn) -> Value {
    let texts = openapi::Descriptions::load();
    let names = built_in_names();
    let versions: Vec<_> = catalogue.group_versions().iter().filter(|version| is_custom(version)).collect();
    let defs: Vec<&ResourceDef> = versions.iter().flat_map(|version| resources(version)).collect();
    let groups: BTreeSet<&str> = versions.iter().map(|version| version.group()).collect();
    let mut all: Vec<Operation<'_>> = groups.into_iter().map(operations::of_group).collect();
    for version in &versions {
        let defs = resources(version);
        all.extend(operations::of_group_version(version.group(), version.version(), &defs, &texts));
    }
    let definitions = Definitions::new(Version::V2, &texts, &names).with_custom(&defs);
    let whole = v2::document(&all, definitions);
    let mut part = Value::map();
    for (section, known) in SECTIONS.into_iter().zip(&built_in.names) {
        let mut members = Value::map();
        for (name, member) in whole.get(section).entries().filter(|(name, _)| !known.contains(*name)) {
            members.set(name.to_owned(), member.clone());
        }
        part.set(section, members);
    }
    part
}

fn is_custom(version: &GroupVersion) -> bool {
    version.endpoints().iter().any(|endpoint| endpoint.is_custom())
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
