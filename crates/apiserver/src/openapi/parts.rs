//! The document of version 2, which is one for the whole API, in parts: the built-in resources, and the custom ones of
//! each group version. A part is made once and stays compressed, so that another definition costs its own part only.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::{Value, value};

use super::definitions::{Definitions, Version};
use super::generation::{built_in_names, resources, v2_document};
use super::packed::Packed;
use super::{Document, gnostic, operations, v2};
use crate::catalogue::{Catalogue, GroupVersion};

/// The sections of the document that resources have a part in.
const SECTIONS: [&str; 3] = ["paths", "definitions", "parameters"];

/// The document of one generation.
pub(super) struct V2 {
    built_in: Arc<BuiltIn>,
    parts: Vec<Arc<Part>>,
    pub(super) json: Document,
    pub(super) protobuf: Document,
}

/// The part of the built-in resources.
struct BuiltIn {
    /// The JSON text, cut where the [`SECTIONS`] end, with the section that ends there.
    json: Vec<(Packed, Option<&'static str>)>,
    protobuf: Packed,
    /// The names in each of the [`SECTIONS`].
    names: BTreeMap<&'static str, BTreeSet<Box<str>>>,
}

/// The part of the custom resources of a group version.
struct Part {
    version: Arc<GroupVersion>,
    /// The paths of the group itself are in it.
    has_group: bool,
    /// What it adds to the text of each of the sections that only this part has members of.
    json: BTreeMap<&'static str, Packed>,
    protobuf: Packed,
    /// Members of sections that other parts may have too, such as parameters.
    common: Value,
}

impl V2 {
    /// The document of a generation, with the parts of an earlier one that did not change.
    pub(super) fn new(catalogue: &Catalogue, earlier: Option<&V2>) -> V2 {
        let built_in = match earlier {
            Some(earlier) => Arc::clone(&earlier.built_in),
            None => Arc::new(BuiltIn::new()),
        };
        let texts = LazyCell::new(openapi::Descriptions::load);
        let mut known: BTreeMap<(*const GroupVersion, bool), &Arc<Part>> = BTreeMap::new();
        for part in earlier.into_iter().flat_map(|earlier| &earlier.parts) {
            known.insert((Arc::as_ptr(&part.version), part.has_group), part);
        }
        let (mut parts, mut groups) = (Vec::new(), BTreeSet::new());
        for version in catalogue.group_versions().iter().filter(|version| is_custom(version)) {
            let has_group = groups.insert(version.group());
            let part = known.get(&(Arc::as_ptr(version), has_group)).map_or_else(
                || Arc::new(Part::new(version, has_group, &built_in, &texts)),
                |part| Arc::clone(part),
            );
            parts.push(part);
        }
        let (json, protobuf) = built_in.with(&parts);
        V2 { built_in, parts, json, protobuf }
    }
}

fn is_custom(version: &GroupVersion) -> bool {
    version.endpoints().iter().any(|endpoint| endpoint.is_custom())
}

impl BuiltIn {
    fn new() -> BuiltIn {
        let document = v2_document(schema::resources());
        let (text, ends) = text_of(&document);
        let (mut json, mut from) = (Vec::new(), 0);
        for (end, section) in ends {
            json.push((Packed::new(&text[from..end]), Some(section)));
            from = end;
        }
        json.push((Packed::new(&text[from..]), None));
        let names = SECTIONS
            .map(|section| (section, document.get(section).entries().map(|(name, _)| name.into()).collect()));
        BuiltIn { json, protobuf: Packed::new(&gnostic::encode(&document)), names: names.into() }
    }

    fn knows(&self, section: &str, name: &str) -> bool {
        self.names.get(section).is_some_and(|names| names.contains(name))
    }

    /// Both forms with more parts. In protobuf the messages are concatenated, and readers merge their fields.
    fn with(&self, parts: &[Arc<Part>]) -> (Document, Document) {
        let mut common = Value::map();
        for part in parts {
            for (section, members) in part.common.entries() {
                for (name, member) in members.entries() {
                    common.entry(section.to_owned()).set(name.to_owned(), member.clone());
                }
            }
        }
        let shared: BTreeMap<&str, Packed> =
            SECTIONS.map(|section| (section, Packed::new(&members(common.get(section))))).into();
        let mut json: Vec<&Packed> = Vec::new();
        for (text, section) in &self.json {
            json.push(text);
            let Some(section) = section else { continue };
            json.extend(parts.iter().filter_map(|part| part.json.get(section)));
            json.extend(shared.get(section));
        }
        let shared = Packed::new(&gnostic::encode(&common));
        let protobuf = std::iter::once(&self.protobuf).chain(parts.iter().map(|part| &part.protobuf));
        (Document::joined(json.into_iter()), Document::joined(protobuf.chain([&shared])))
    }
}

impl Part {
    fn new(
        version: &Arc<GroupVersion>,
        has_group: bool,
        built_in: &BuiltIn,
        texts: &openapi::Descriptions,
    ) -> Part {
        let (names, defs) = (built_in_names(), resources(version));
        let (group, name) = (version.group(), version.version());
        let mut all = operations::of_group_version(group, name, &defs, texts);
        if has_group {
            all.push(operations::of_group(group));
        }
        let definitions = Definitions::new(Version::V2, texts, &names).with_custom(&defs);
        let whole = v2::document(&all, definitions);
        let (mut own, mut common) = (Value::map(), Value::map());
        for section in SECTIONS {
            for (member, content) in whole.get(section).entries() {
                if built_in.knows(section, member) {
                    continue;
                }
                let is_own = section == "paths" || is_of(content, group, name);
                let part = if is_own { &mut own } else { &mut common };
                part.entry(section).set(member.to_owned(), content.clone());
            }
        }
        let json = ["paths", "definitions"].map(|section| (section, Packed::new(&members(own.get(section)))));
        Part {
            version: Arc::clone(version),
            has_group,
            json: json.into(),
            protobuf: Packed::new(&gnostic::encode(&own)),
            common,
        }
    }
}

/// Whether a definition is of a kind of this group version alone.
fn is_of(definition: &Value, group: &str, version: &str) -> bool {
    let mut kinds = definition.get("x-kubernetes-group-version-kind").items();
    kinds.next().is_some_and(|kind| kind.str_at("group") == group && kind.str_at("version") == version)
        && kinds.next().is_none()
}

/// Members as they stand behind others of an object.
fn members(object: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, member) in object.entries() {
        text.push(b',');
        object::json::to_writer(&value!(name), &mut text);
        text.push(b':');
        object::json::to_writer(member, &mut text);
    }
    text
}

/// The JSON text of a document, with the ends of the [`SECTIONS`] in it, the first first.
fn text_of(document: &Value) -> (Vec<u8>, Vec<(usize, &'static str)>) {
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    for (index, (name, member)) in document.entries().enumerate() {
        text.push(if index == 0 { b'{' } else { b',' });
        object::json::to_writer(&Value::from(name), &mut text);
        text.push(b':');
        object::json::to_writer(member, &mut text);
        if let Some(section) = SECTIONS.iter().find(|section| **section == name) {
            ends.push((text.len() - 1, *section));
        }
    }
    text.push(b'}');
    debug_assert!(
        ends.len() == SECTIONS.len() && ends.iter().all(|(end, _)| text[*end] == b'}'),
        "every section is an object of the document"
    );
    (text, ends)
}
