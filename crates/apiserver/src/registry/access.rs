//! Reading and writing of the cluster by admission plugins and hooks.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value, Versioned};
use schema::{GroupResource, TypeRef};
use tokio::time::Instant;

use super::{Answer, AnswerBody, Endpoint, Expected, Own, Registry, api_version};
use crate::admission::{
    AllRounds, GroupVersionKind, GroupVersionResource, Objects, Reader, Served, Shape, Shapes, Takings,
    Warnings, Writer,
};
use crate::errors::from_cache;
use crate::options::{DeleteOptions, FieldValidation, WriteOptions};
use crate::overload::REQUEST_WITHIN;

/// The user name of the server's own writes.
const FIELD_MANAGER: &str = "kube-apiserver";

/// The cluster as the server itself sees it during one request. Writes during a dry run are dry runs.
pub(crate) struct Server<'a> {
    registry: &'a Registry,
    dry_run: bool,
    deadline: Instant,
    warnings: Warnings,
    takings: Takings,
    rounds: AllRounds,
}

impl<'a> Server<'a> {
    /// The cluster during a request.
    pub(crate) fn new(registry: &'a Registry, dry_run: bool) -> Server<'a> {
        let (warnings, takings, rounds) = Default::default();
        let deadline = Instant::now() + REQUEST_WITHIN;
        Server { registry, dry_run, deadline, warnings, takings, rounds }
    }

    /// The same until this time.
    pub(crate) fn until(self, deadline: Instant) -> Server<'a> {
        Server { deadline, ..self }
    }

    /// Warnings of plugins to the client.
    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// What plugins have taken for the request.
    pub(crate) fn takings(&self) -> &Takings {
        &self.takings
    }

    /// What webhooks have done with the request.
    pub(crate) fn rounds(&self) -> &AllRounds {
        &self.rounds
    }

    /// The endpoint of a shape.
    fn endpoint_of(&self, shape: &Shape) -> Result<Arc<Endpoint>, Status> {
        let resource = shape.resource();
        let found =
            self.endpoint(GroupResource::new(resource.group, resource.plural), Some(resource.version));
        found.ok_or_else(|| Status::not_found(resource.group, resource.plural, ""))
    }

    /// The endpoint of a resource in this version, or in any.
    fn endpoint(&self, resource: GroupResource<'_>, version: Option<&str>) -> Option<Arc<Endpoint>> {
        let catalogue = self.registry.catalogue.load();
        match version {
            Some(version) => catalogue.endpoint(resource.group, version, resource.plural).cloned(),
            None => catalogue.of_resource(resource).cloned(),
        }
    }

    fn writable(&self, resource: GroupResource<'_>, object: &Value) -> Result<Arc<Endpoint>, Status> {
        let version = object.str_at("apiVersion").rsplit('/').next().unwrap_or_default();
        let endpoint = self.endpoint(resource, Some(version));
        endpoint.ok_or_else(|| Status::not_found(resource.group, resource.plural, ""))
    }

    async fn replace(
        &self,
        resource: GroupResource<'_>,
        subresource: &str,
        object: Value,
    ) -> Result<Value, Status> {
        let endpoint = self.writable(resource, &object)?;
        let namespace = object.str_at("metadata.namespace").to_owned();
        let name = object.str_at("metadata.name").to_owned();
        let own = self.own();
        value_of(self.registry.update(&endpoint, &own.call(&namespace, &name, subresource), object).await?)
    }

    /// A write of the server itself as a part of the request.
    fn own(&self) -> Own {
        let options = WriteOptions {
            dry_run: self.dry_run,
            field_manager: FIELD_MANAGER.to_owned(),
            ..WriteOptions::default()
        };
        Own::new(&self.registry.clock, options).until(self.deadline)
    }
}

#[async_trait]
impl Reader for Server<'_> {
    fn get(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Versioned> {
        self.endpoint(resource, None)?.collection.as_ref()?.get(namespace, name)
    }

    fn all(&self, resource: GroupResource<'_>) -> Objects {
        let endpoint = self.endpoint(resource, None);
        let collection = endpoint.as_ref().and_then(|endpoint| endpoint.collection.as_ref());
        collection.map(|collection| collection.objects()).unwrap_or_default()
    }

    fn in_namespace(&self, resource: GroupResource<'_>, namespace: &str) -> Vec<Versioned> {
        let endpoint = self.endpoint(resource, None);
        let collection = endpoint.as_ref().and_then(|endpoint| endpoint.collection.as_ref());
        collection.map(|collection| collection.in_namespace(namespace)).unwrap_or_default()
    }

    async fn catch_up(&self) -> Result<(), Status> {
        self.registry.hub.catch_up().await.map(drop).map_err(from_cache)
    }
}

#[async_trait]
impl Writer for Server<'_> {
    async fn create(&self, resource: GroupResource<'_>, object: Value) -> Result<Value, Status> {
        let endpoint = self.writable(resource, &object)?;
        let (own, namespace) = (self.own(), object.str_at("metadata.namespace").to_owned());
        value_of(self.registry.create(&endpoint, &own.call(&namespace, "", ""), object).await?)
    }

    async fn update(&self, resource: GroupResource<'_>, object: Value) -> Result<Value, Status> {
        self.replace(resource, "", object).await
    }

    async fn update_status(&self, resource: GroupResource<'_>, object: Value) -> Result<Value, Status> {
        self.replace(resource, "status", object).await
    }

    async fn delete(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Result<(), Status> {
        let endpoint = self.endpoint(resource, None);
        let endpoint = endpoint.ok_or_else(|| Status::not_found(resource.group, resource.plural, name))?;
        let own = self.own();
        let call = own.call(namespace, name, "");
        self.registry.delete(&endpoint, &call, &DeleteOptions::default()).await.map(drop)
    }
}

#[async_trait]
impl Shapes for Server<'_> {
    fn equivalents(&self, resource: GroupVersionResource<'_>, subresource: &str) -> Vec<Shape> {
        let catalogue = self.registry.catalogue.load();
        let Some(own) = catalogue.endpoint(resource.group, resource.version, resource.plural) else {
            return Vec::new();
        };
        let shows_the_same = |other: &&Arc<Endpoint>| match (&own.collection, &other.collection) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            _ => other.def.group == own.def.group && other.def.plural == own.def.plural,
        };
        catalogue.endpoints().filter(shows_the_same).filter_map(|other| shape(other, subresource)).collect()
    }

    fn of_kind(&self, kind: GroupVersionKind<'_>) -> Option<Served> {
        let catalogue = self.registry.catalogue.load();
        let is_it = |endpoint: &&Arc<Endpoint>| {
            let def = &endpoint.def;
            def.kind == kind.kind && def.group == kind.group && def.version == kind.version
        };
        let found = catalogue.endpoints().find(is_it)?;
        let is_namespaced = found.def.scope == schema::Scope::Namespaced;
        Some(Served { shape: shape(found, "")?, is_namespaced })
    }

    fn type_of(&self, shape: &Shape, subresource: &str) -> Option<TypeRef> {
        let (endpoint, kind) = (self.endpoint_of(shape).ok()?, shape.kind());
        // A part without a type in the table is a connection, whose options are of a built-in type.
        match endpoint.def.subresource(subresource) {
            None => Some(endpoint.def.ty.clone()),
            Some(part) => {
                part.ty.clone().or_else(|| schema::type_by_gvk(kind.group, kind.version, kind.kind))
            }
        }
    }

    async fn present(&self, object: Value, shape: &Shape) -> Result<Value, Status> {
        self.endpoint_of(shape)?.present_value(object).await
    }

    async fn convert(&self, object: Value, from: &Shape, to: &Shape) -> Result<Value, Status> {
        if from.kind() == to.kind() {
            return Ok(object);
        }
        let (from, to) = (self.endpoint_of(from)?, self.endpoint_of(to)?);
        to.present_value(from.stored_value(object).await?).await
    }

    fn complete(&self, object: Value, shape: &Shape, subresource: &str) -> Result<Value, Status> {
        let (endpoint, kind) = (self.endpoint_of(shape)?, shape.kind());
        let ty = self.type_of(shape, subresource);
        let ty = ty.ok_or_else(|| Status::internal_error(format!("unknown kind {}", kind.kind)))?;
        let api_version = api_version(kind.group, kind.version);
        let expected = Expected { api_version: api_version.into(), kind: kind.kind, ty: &ty };
        let mut object = expected.check(object, FieldValidation::Ignore)?.value;
        if kind.kind == endpoint.def.kind && kind.group == endpoint.def.group {
            endpoint.strategy.default(&mut object);
        }
        Ok(object)
    }
}

/// A resource with the kind of its objects, or of one of its subresources if it has that.
fn shape(endpoint: &Endpoint, subresource: &str) -> Option<Shape> {
    let def = &endpoint.def;
    let kind = match (subresource, def.subresource(subresource)) {
        ("", _) => GroupVersionKind { group: &def.group, version: &def.version, kind: &def.kind },
        (_, part) => {
            let part = part?;
            GroupVersionKind { group: &part.group, version: &part.version, kind: &part.kind }
        }
    };
    let resource = GroupVersionResource { group: &def.group, version: &def.version, plural: &def.plural };
    Some(Shape::of(resource, kind))
}

fn value_of(answer: Answer) -> Result<Value, Status> {
    match answer.body {
        AnswerBody::Version(version) => Ok(version.value()),
        AnswerBody::Value(value) => Ok(value),
        _ => Err(Status::internal_error("a write did not answer with an object")),
    }
}
