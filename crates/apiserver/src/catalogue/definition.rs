//! From the definition of a custom resource to its entries in the catalogue.

use std::borrow::Cow;
use std::sync::Arc;

use kinds::custom::{CustomResource, JsonPath, PrinterColumn};
use kinds::{ScalePaths, Strategy};
use object::structural::{CompileError, Structural};
use object::{TypeMeta, Value, value};
use rules::Rules;
use schema::Verb::{Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch};
use schema::{ResourceDef, Scope, SubresourceDef, Verb};

use super::{Conversion, Convert, Endpoint, api_version};
use crate::cache::{Collection, CollectionSpec, Meter};

/// The verbs of every custom resource.
const VERBS: &[Verb] = &[Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch];
/// The verbs of its status.
const PART: &[Verb] = &[Get, Patch, Update];
/// The verbs that discovery shows while the definition is deleted.
const TERMINATING: &[Verb] = &[Delete, DeleteCollection, Get, List, Watch];

/// The member of a schema that lists the fields by which objects can be selected.
pub(crate) const SELECTABLE: &str = "x-kubernetes-selectable-fields";

/// A resource that is defined at run time.
pub struct Definition {
    /// The API group, a DNS name of at least two labels.
    pub group: String,
    /// The plural name, as in URLs.
    pub plural: String,
    /// The singular name.
    pub singular: String,
    /// The kind.
    pub kind: String,
    /// The kind of its list.
    pub list_kind: String,
    /// Short names, as kubectl knows them.
    pub short_names: Vec<String>,
    /// Categories such as `all`.
    pub categories: Vec<String>,
    /// Namespaced or cluster-wide.
    pub scope: Scope,
    /// The versions.
    pub versions: Vec<Version>,
    /// The name of the version that is stored.
    pub stored_version: String,
    /// The converter between the versions; without it they differ only in their names.
    pub conversion: Option<Arc<dyn Convert>>,
    /// Whether the definition is being deleted: nothing can be created any more.
    pub terminating: bool,
}

/// A version of a [`Definition`].
pub struct Version {
    /// The name, for example `v1beta1`.
    pub name: String,
    /// Whether it is served.
    pub served: bool,
    /// The OpenAPI v3 schema of a whole object.
    pub schema: Value,
    /// Whether `status` is a subresource.
    pub has_status: bool,
    /// The columns of its table after the name; the age if there are none.
    pub columns: Vec<PrinterColumn>,
    /// The fields that field selectors may name.
    pub selectable: Vec<JsonPath>,
    /// Where objects keep what `scale` shows, if that is a subresource.
    pub scale: Option<ScalePaths>,
    /// The warning in the response to every request, if the version is deprecated.
    pub deprecation: Option<String>,
}

/// Why a definition cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// The name of a group, resource or version cannot be used in a path or in the store.
    #[error("{0:?} is not a valid name here")]
    Name(String),
    /// The stored version is not one of the versions.
    #[error("the stored version {0:?} is not defined")]
    StoredVersion(String),
    /// The schema of a version.
    #[error("schema of {version}")]
    Schema {
        /// The version.
        version: String,
        /// The error.
        source: CompileError,
    },
}

/// The entries that a definition adds to the server.
pub(super) struct Entries {
    pub(super) collection: Arc<Collection>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// The endpoint of the stored version, which need not be served.
    pub(super) stored: Arc<Endpoint>,
}

impl Definition {
    /// Compiles the definition. Its collection is measured by `meter`.
    ///
    /// # Errors
    /// Why it cannot be served.
    pub(super) fn entries(self, meter: Meter) -> Result<Entries, DefinitionError> {
        self.check_names()?;
        let mut strategies = Vec::new();
        for version in &self.versions {
            strategies.push(Arc::new(self.strategy(version)?));
        }
        let stored = self.versions.iter().position(|version| version.name == self.stored_version);
        let stored = stored.ok_or_else(|| DefinitionError::StoredVersion(self.stored_version.clone()))?;
        let stored_strategy = Arc::clone(&strategies[stored]);
        let amending: Vec<_> = self
            .versions
            .iter()
            .map(|one| api_version(&self.group, &one.name))
            .zip(strategies.clone())
            .collect();
        let collection = Collection::new(CollectionSpec {
            prefix: format!("/registry/{}/{}/", self.group, self.plural),
            type_meta: self.type_meta(&self.stored_version),
            fields: Box::new(move |object| stored_strategy.field_values(object)),
            leases: None,
            // By the rules of its own version: others may not know its fields.
            amend: Some(Box::new(move |object| {
                let own = object.str_at("apiVersion");
                let (_, rules) = amending.iter().find(|(name, _)| name == own).unwrap_or(&amending[stored]);
                rules.structural.amend(object)
            })),
        });
        let collection = Arc::new(collection.measured_by(meter));
        let all: Vec<Arc<Endpoint>> = self
            .versions
            .iter()
            .zip(strategies)
            .map(|(version, strategy)| {
                Arc::new(Endpoint {
                    def: Arc::new(self.resource(version, &strategy)).into(),
                    strategy: (strategy as Arc<dyn Strategy>).into(),
                    type_meta: self.type_meta(&version.name),
                    collection: Some(Arc::clone(&collection)),
                    conversion: Some(self.conversion()),
                    terminating: self.terminating,
                })
            })
            .collect();
        let stored = Arc::clone(&all[stored]);
        let served = all.into_iter().zip(&self.versions).filter(|(_, version)| version.served);
        Ok(Entries { endpoints: served.map(|(endpoint, _)| endpoint).collect(), collection, stored })
    }

    fn check_names(&self) -> Result<(), DefinitionError> {
        let is_label = |name: &str| object::names::is_dns1035_label(name).is_empty();
        let is_group =
            self.group.contains('.') && object::names::is_dns1123_subdomain(&self.group).is_empty();
        let labels = std::iter::once(&self.plural).chain(self.versions.iter().map(|version| &version.name));
        let wrong = labels.into_iter().find(|name| !is_label(name)).or((!is_group).then_some(&self.group));
        wrong.map_or(Ok(()), |name| Err(DefinitionError::Name(name.clone())))
    }

    fn type_meta(&self, version: &str) -> Arc<TypeMeta> {
        TypeMeta::new(&api_version(&self.group, version), &self.kind)
    }

    /// The type's name in OpenAPI: `com.example.v1.Widget`.
    fn type_name(&self, version: &str) -> String {
        let reversed: Vec<&str> = self.group.rsplit('.').collect();
        format!("{}.{version}.{}", reversed.join("."), self.kind)
    }

    fn strategy(&self, version: &Version) -> Result<CustomResource, DefinitionError> {
        let structural = Structural::compile(&self.type_name(&version.name), &published(version));
        let columns =
            if version.columns.is_empty() { vec![PrinterColumn::age()] } else { version.columns.clone() };
        let structural =
            structural.map_err(|source| DefinitionError::Schema { version: version.name.clone(), source })?;
        Ok(CustomResource {
            rules: structural.source().and_then(|text| Rules::of(&version.schema, text)),
            structural,
            has_status: version.has_status,
            columns,
            selectable: version.selectable.clone(),
            scale: version.scale.clone(),
            deprecation: version.deprecation.clone(),
        })
    }

    /// The conversion to each version, also to the stored one: older objects may be stored in another.
    fn conversion(&self) -> Conversion {
        let asked = self.conversion.as_ref().map(|converter| Conversion::Asked(Arc::clone(converter)));
        asked.unwrap_or(Conversion::Renamed)
    }

    fn resource(&self, version: &Version, strategy: &CustomResource) -> ResourceDef {
        let owned = |text: &str| Cow::Owned(text.to_owned());
        let status = version.has_status.then(|| SubresourceDef {
            name: Cow::Borrowed("status"),
            group: owned(&self.group),
            version: owned(&version.name),
            kind: owned(&self.kind),
            verbs: PART.into(),
            ty: Some(strategy.structural.ty().clone()),
        });
        let scale = version.scale.is_some().then(scale_def);
        ResourceDef {
            group: owned(&self.group),
            version: owned(&version.name),
            kind: owned(&self.kind),
            plural: owned(&self.plural),
            singular: owned(&self.singular),
            list_kind: owned(&self.list_kind),
            scope: self.scope,
            verbs: if self.terminating { TERMINATING } else { VERBS }.into(),
            short_names: self.short_names.iter().map(|name| owned(name)).collect(),
            categories: self.categories.iter().map(|name| owned(name)).collect(),
            subresources: status.into_iter().chain(scale).collect(),
            ty: strategy.structural.ty().clone(),
        }
    }
}

/// The schema as it is published: with the selectable fields, which are not part of it in the definition.
fn published(version: &Version) -> Cow<'_, Value> {
    if version.selectable.is_empty() {
        return Cow::Borrowed(&version.schema);
    }
    let fields = version.selectable.iter().map(|path| value!({"fieldPath": path.label()}));
    let mut schema = version.schema.clone();
    schema.set(SELECTABLE, fields.collect::<Vec<_>>());
    Cow::Owned(schema)
}

fn scale_def() -> SubresourceDef {
    SubresourceDef {
        name: Cow::Borrowed("scale"),
        group: Cow::Borrowed("autoscaling"),
        version: Cow::Borrowed("v1"),
        kind: Cow::Borrowed("Scale"),
        verbs: PART.into(),
        ty: schema::type_by_gvk("autoscaling", "v1", "Scale"),
    }
}
