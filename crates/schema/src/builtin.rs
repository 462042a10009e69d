//! Lookups in the built-in table.

mod resources;

use crate::generated::{KINDS, TYPES, meta_v1};
use crate::{ResourceDef, TypeDef, TypeRef};

/// One kind of one group version.
#[derive(Debug)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The type.
    pub ty: &'static TypeDef,
}

/// Constructor for the generated table.
pub(crate) const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    ty: &'static TypeDef,
) -> Kind {
    Kind { group, version, kind, ty }
}

/// Kinds of `meta/v1` that upstream registers in every group version.
static EVERYWHERE: [(&str, &TypeDef); 7] = [
    ("CreateOptions", &meta_v1::CreateOptions),
    ("DeleteOptions", &meta_v1::DeleteOptions),
    ("GetOptions", &meta_v1::GetOptions),
    ("ListOptions", &meta_v1::ListOptions),
    ("PatchOptions", &meta_v1::PatchOptions),
    ("UpdateOptions", &meta_v1::UpdateOptions),
    ("WatchEvent", &meta_v1::WatchEvent),
];

/// Kinds of `meta/v1` that upstream registers in the core group's `v1` ("unversioned" kinds).
static UNVERSIONED: [(&str, &TypeDef); 5] = [
    ("APIGroup", &meta_v1::APIGroup),
    ("APIGroupList", &meta_v1::APIGroupList),
    ("APIResourceList", &meta_v1::APIResourceList),
    ("APIVersions", &meta_v1::APIVersions),
    ("Status", &meta_v1::Status),
];

/// Every type of the table, in the order of the names.
pub fn types() -> &'static [&'static TypeDef] {
    &TYPES
}

/// Every kind of the table, lists included, in the order of group, version and kind.
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

/// The type with this OpenAPI name.
///
/// ```
/// let pod = schema::type_by_name("io.k8s.api.core.v1.Pod").unwrap();
/// assert_eq!(pod.field("spec").unwrap().number, 2);
/// ```
pub fn type_by_name(name: &str) -> Option<TypeRef> {
    let index = TYPES.binary_search_by(|ty| ty.name.as_ref().cmp(name)).ok()?;
    Some(TypeRef::Static(TYPES[index]))
}

/// The type of a kind: of a resource, of a list, of a body without a resource such as `Scale`, or one of the kinds that
/// every group version has (such as `DeleteOptions`).
///
/// ```
/// let options = schema::type_by_gvk("apps", "v1", "DeleteOptions").unwrap();
/// assert_eq!(options.name, "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
/// assert!(schema::type_by_gvk("apps", "v1", "Pod").is_none());
/// ```
pub fn type_by_gvk(group: &str, version: &str, kind: &str) -> Option<TypeRef> {
    let key = (group, version, kind);
    if let Ok(index) = KINDS.binary_search_by(|other| (other.group, other.version, other.kind).cmp(&key)) {
        return Some(TypeRef::Static(KINDS[index].ty));
    }
    let find = |list: &'static [(&str, &'static TypeDef)]| list.iter().find(|(name, _)| *name == kind);
    let unversioned = || if group.is_empty() && version == "v1" { find(&UNVERSIONED) } else { None };
    find(&EVERYWHERE).or_else(unversioned).map(|(_, ty)| TypeRef::Static(ty))
}

/// Every built-in resource that is served by default, in the order of group, version and plural name.
pub fn resources() -> &'static [ResourceDef] {
    &resources::RESOURCES
}

/// The built-in resource with this plural name.
///
/// ```
/// let deployments = schema::resource("apps", "v1", "deployments").unwrap();
/// assert_eq!(deployments.short_names[0], "deploy");
/// assert_eq!(deployments.subresource("scale").unwrap().kind, "Scale");
/// ```
pub fn resource(group: &str, version: &str, plural: &str) -> Option<&'static ResourceDef> {
    let key = (group, version, plural);
    let found = resources().binary_search_by(|other| {
        (other.group.as_ref(), other.version.as_ref(), other.plural.as_ref()).cmp(&key)
    });
    found.ok().map(|index| &resources()[index])
}
