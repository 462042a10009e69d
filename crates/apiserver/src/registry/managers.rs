//! What the managers of fields (KEP-555) depend on: the versions of a kind, and the fields that a path writes.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use managedfields::{Managers, Scope, Versions};
use object::{Status, Value, decode, json};
use schema::TypeRef;

use super::write::Part;
use super::{Endpoint, api_version};
use crate::catalogue::{Catalogue, LiveCatalogue};

/// How large all sets of an object may be together, as text in bytes. Nothing else bounds how many managers apply to it.
const MANAGED_BYTES_MAX: usize = 1 << 20;

/// An update of the object itself leaves its status alone.
static ALL_BUT_STATUS: LazyLock<Scope> = LazyLock::new(|| Scope::without(&[&["status"]]));

/// A kind whose fields have managers, as a path shows it.
pub(super) struct Managed<'a> {
    /// The version of the API in which the path names fields.
    pub api_version: Cow<'a, str>,
    /// The type of the kind in that version.
    pub ty: &'a TypeRef,
    /// The versions of the kind.
    pub versions: Box<dyn Versions + 'a>,
}

impl<'a> Managed<'a> {
    /// The kind at a path of a resource.
    pub(super) fn at(endpoint: &'a Endpoint, subresource: &str, catalogue: &LiveCatalogue) -> Managed<'a> {
        let scale = endpoint.def.subresource(subresource).filter(|part| endpoint.is_scale(&part.name));
        if let Some((part, ty)) = scale.and_then(|part| Some((part, part.ty.as_ref()?))) {
            let api_version = api_version(&part.group, &part.version);
            let versions = Box::new(One { api_version: api_version.clone(), ty });
            return Managed { api_version: api_version.into(), ty, versions };
        }
        Managed {
            api_version: endpoint.api_version().into(),
            ty: &endpoint.def.ty,
            versions: Box::new(Served { endpoint, catalogue: catalogue.present() }),
        }
    }

    /// The object before it is created: what Go's encoder writes of one without any value.
    pub(super) fn zero(&self) -> Value {
        let mut zero = object::value!({"apiVersion": &*self.api_version});
        decode::complete(&mut zero, self.ty);
        zero
    }
}

/// The fields that a part of an object has.
pub(super) fn scope(endpoint: &Endpoint, part: Part) -> Cow<'static, Scope> {
    match part {
        Part::Main if endpoint.def.subresource("status").is_some() => Cow::Borrowed(&ALL_BUT_STATUS),
        Part::Main => Cow::Borrowed(&Scope::Whole),
        Part::Status => {
            let mut kept: Vec<&[&str]> = vec![&["spec"]];
            kept.extend(endpoint.strategy.kept_by_status());
            Cow::Owned(Scope::without(&kept))
        }
        Part::Only(_, fields) => Cow::Owned(Scope::Within(fields)),
    }
}

/// Writes the managers into an object; returns whether they are few enough to be kept.
pub(super) fn write(managers: &Managers, object: &mut Value) -> bool {
    managers.write(object);
    let fits = json::check(object.at("metadata.managedFields"), MANAGED_BYTES_MAX);
    matches!(fits, Ok(true))
}

/// The answer to an apply that makes them too many.
pub(super) fn too_many() -> Status {
    Status::request_entity_too_large(&format!(
        "limit of the managed fields of an object is {MANAGED_BYTES_MAX}; apply with fewer field managers"
    ))
}

/// A kind with a single version.
struct One<'a> {
    api_version: String,
    ty: &'a TypeRef,
}

#[async_trait]
impl Versions for One<'_> {
    fn type_of(&self, api_version: &str) -> Option<TypeRef> {
        (api_version == self.api_version).then(|| self.ty.clone())
    }

    async fn convert(&self, object: &Value, _api_version: &str) -> Result<Value, String> {
        Ok(object.clone())
    }
}

/// The versions that a generation of the catalogue serves.
struct Served<'a> {
    endpoint: &'a Endpoint,
    catalogue: Arc<Catalogue>,
}

impl Served<'_> {
    /// The endpoint of another version of the same objects.
    fn other(&self, api_version: &str) -> Option<&Endpoint> {
        let ours = self.endpoint.collection.as_ref()?;
        let is_it = |other: &&Arc<Endpoint>| {
            other.api_version() == api_version
                && other.collection.as_ref().is_some_and(|theirs| Arc::ptr_eq(ours, theirs))
        };
        self.catalogue.endpoints().find(is_it).map(Arc::as_ref)
    }

    fn find(&self, api_version: &str) -> Option<&Endpoint> {
        let is_own = self.endpoint.api_version() == api_version;
        if is_own { Some(self.endpoint) } else { self.other(api_version) }
    }
}

#[async_trait]
impl Versions for Served<'_> {
    fn type_of(&self, api_version: &str) -> Option<TypeRef> {
        self.find(api_version).map(|endpoint| endpoint.def.ty.clone())
    }

    async fn convert(&self, object: &Value, api_version: &str) -> Result<Value, String> {
        let missing = || format!("version {api_version} is not served");
        let from = self.find(object.str_at("apiVersion")).ok_or_else(missing)?;
        let to = self.find(api_version).ok_or_else(missing)?;
        let stored = from.stored_value(object.clone()).await.map_err(|status| status.message)?;
        to.present_value(stored).await.map_err(|status| status.message)
    }
}
