//! One served resource of one group version.

use std::sync::Arc;

use kinds::Strategy;
use object::{Status, TypeMeta, Value, Versioned};
use schema::{ResourceDef, Scope, TypeRef};

use super::{Conversion, Shared};
use crate::cache::Collection;
use crate::errors::internal;

/// A served resource of one group version, built-in or custom: an entry of the catalogue.
pub struct Endpoint {
    /// The facts.
    pub def: Shared<ResourceDef>,
    /// The kind's strategy.
    pub strategy: Shared<dyn Strategy>,
    /// The served `apiVersion` and `kind`.
    pub type_meta: Arc<TypeMeta>,
    /// The objects; `None` for resources that are only created (reviews) and for virtual ones.
    pub collection: Option<Arc<Collection>>,
    /// The conversion between stored and served objects, if there are objects whose served version is not the stored one.
    pub conversion: Option<Conversion>,
    /// Whether the definition of the resource is being deleted: nothing can be created any more.
    pub terminating: bool,
}

impl Endpoint {
    /// The served `apiVersion`.
    pub fn api_version(&self) -> &str {
        &self.type_meta.api_version
    }

    /// Whether the resource was defined at run time.
    pub fn is_custom(&self) -> bool {
        matches!(self.def.ty, TypeRef::Shared(_))
    }

    /// Whether objects live in namespaces.
    pub fn namespaced(&self) -> bool {
        self.def.scope == Scope::Namespaced
    }

    /// Whether a subresource is a scale, as autoscalers use it, instead of the object.
    pub fn is_scale(&self, subresource: &str) -> bool {
        let part = self.def.subresource(subresource).filter(|part| part.name == "scale");
        part.is_some_and(|part| part.group == "autoscaling" && part.kind == "Scale")
    }

    /// The collection of a stored resource.
    ///
    /// # Errors
    /// 405 for resources that are not stored.
    pub fn stored(&self, action: &str) -> Result<&Arc<Collection>, Status> {
        self.collection
            .as_ref()
            .ok_or_else(|| Status::method_not_supported(&self.def.group, &self.def.plural, action))
    }

    /// 404 for one object.
    pub(crate) fn not_found(&self, name: &str) -> Status {
        Status::not_found(&self.def.group, &self.def.plural, name)
    }

    /// 409 for one object.
    pub(crate) fn conflict(&self, name: &str, why: &str) -> Status {
        Status::conflict(&self.def.group, &self.def.plural, name, why)
    }

    /// A stored version as this endpoint serves it.
    ///
    /// # Errors
    /// Errors of the conversion. Without a conversion, and with a built-in one, this neither waits nor fails.
    pub async fn present(&self, version: &Versioned) -> Result<Versioned, Status> {
        match self.is_served(version.api_version()) {
            true => Ok(version.clone()),
            false => self.versioned(&self.served_value(version).await?),
        }
    }

    /// Whether objects of this version are served as they are stored.
    fn is_served(&self, api_version: &str) -> bool {
        match &self.conversion {
            None => true,
            Some(_) => self.is_custom() && api_version == self.api_version(),
        }
    }

    /// Stored versions as this endpoint serves them.
    ///
    /// # Errors
    /// As [`Endpoint::present`].
    pub async fn present_all(&self, versions: Vec<Versioned>) -> Result<Vec<Versioned>, Status> {
        let Some(conversion) = &self.conversion else { return Ok(versions) };
        let others = versions.iter().filter(|version| !self.is_served(version.api_version()));
        let objects: Vec<Value> = others.map(Versioned::value).collect();
        if objects.is_empty() {
            return Ok(versions);
        }
        let mut converted = conversion.to_served(objects, self.api_version()).await?.into_iter();
        let present = |version: Versioned| match self.is_served(version.api_version()) {
            true => Ok(version),
            false => self.versioned(&self.settled(converted.next().ok_or_else(lost)?)),
        };
        versions.into_iter().map(present).collect()
    }

    /// An object that is not stored, in the form this endpoint serves.
    ///
    /// # Errors
    /// As [`Endpoint::present`].
    pub async fn present_value(&self, object: Value) -> Result<Value, Status> {
        match &self.conversion {
            Some(conversion) if !self.is_served(object.str_at("apiVersion")) => {
                Ok(self.settled(one(conversion.to_served(vec![object], self.api_version()).await?)?))
            }
            _ => Ok(object),
        }
    }

    /// The tree of a stored version, in the form this endpoint serves.
    ///
    /// # Errors
    /// As [`Endpoint::present`].
    pub async fn served_value(&self, version: &Versioned) -> Result<Value, Status> {
        self.present_value(version.value()).await
    }

    /// A served object in the form that is stored.
    ///
    /// # Errors
    /// As [`Endpoint::present`].
    pub async fn stored_value(&self, object: Value) -> Result<Value, Status> {
        let (Some(conversion), Some(collection)) = (&self.conversion, &self.collection) else {
            return Ok(object);
        };
        let stored = &collection.type_meta().api_version;
        match self.is_custom() && object.str_at("apiVersion") == &**stored {
            true => Ok(object),
            false => one(conversion.to_stored(vec![object], stored).await?),
        }
    }

    /// A converted object of a custom resource, with the fields and the defaults of the schema of this version.
    fn settled(&self, object: Value) -> Value {
        if !self.is_custom() {
            return object;
        }
        let mut object = match object::decode::decode_value(object.clone(), &self.def.ty) {
            Ok(decoded) => decoded.value,
            Err(_) => object,
        };
        self.strategy.default(&mut object);
        object
    }

    fn versioned(&self, object: &Value) -> Result<Versioned, Status> {
        // Selectors were matched against the stored version; a served one has no fields.
        Versioned::from_value(Arc::clone(&self.type_meta), object, object::FieldValues::default())
            .map_err(|error| internal(&error))
    }
}

/// The one object of a conversion of one object.
fn one(objects: Vec<Value>) -> Result<Value, Status> {
    objects.into_iter().next().ok_or_else(lost)
}

fn lost() -> Status {
    Status::internal_error("a conversion lost its object")
}
