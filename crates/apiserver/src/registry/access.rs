//! Reading and writing of the cluster by admission plugins and hooks.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value, Versioned};
use schema::GroupResource;

use super::{Answer, AnswerBody, Call, Endpoint, Registry};
use crate::admission::{Objects, Reader, Takings, Warnings, Writer};
use crate::errors::from_cache;
use crate::options::{DeleteOptions, WriteOptions};
use crate::user::User;

/// The user name of the server's own writes.
const FIELD_MANAGER: &str = "kube-apiserver";

/// The cluster as the server itself sees it during one request. Writes during a dry run are dry runs.
pub(crate) struct Server<'a> {
    registry: &'a Registry,
    dry_run: bool,
    warnings: Warnings,
    takings: Takings,
}

impl<'a> Server<'a> {
    /// The cluster during a request.
    pub(crate) fn new(registry: &'a Registry, dry_run: bool) -> Server<'a> {
        Server { registry, dry_run, warnings: Warnings::default(), takings: Takings::default() }
    }

    /// Warnings of plugins to the client.
    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// What plugins have taken for the request.
    pub(crate) fn takings(&self) -> &Takings {
        &self.takings
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
        let (user, options, uid) = (User::server(), self.options(), self.registry.clock.uid());
        let namespace = object.str_at("metadata.namespace").to_owned();
        let name = object.str_at("metadata.name").to_owned();
        let call = Call {
            user: &user,
            namespace: &namespace,
            name: &name,
            subresource,
            options: &options,
            uid: &uid,
        };
        value_of(self.registry.update(&endpoint, &call, object).await?)
    }

    fn options(&self) -> WriteOptions {
        WriteOptions {
            dry_run: self.dry_run,
            field_manager: FIELD_MANAGER.to_owned(),
            ..WriteOptions::default()
        }
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
        let (user, options, uid) = (User::server(), self.options(), self.registry.clock.uid());
        let namespace = object.str_at("metadata.namespace").to_owned();
        let call = Call {
            user: &user,
            namespace: &namespace,
            name: "",
            subresource: "",
            options: &options,
            uid: &uid,
        };
        value_of(self.registry.create(&endpoint, &call, object).await?)
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
        let (user, options, uid) = (User::server(), self.options(), self.registry.clock.uid());
        let call = Call { user: &user, namespace, name, subresource: "", options: &options, uid: &uid };
        self.registry.delete(&endpoint, &call, &DeleteOptions::default()).await.map(drop)
    }
}

fn value_of(answer: Answer) -> Result<Value, Status> {
    match answer.body {
        AnswerBody::Version(version) => Ok(version.value()),
        AnswerBody::Value(value) => Ok(value),
        _ => Err(Status::internal_error("a write did not answer with an object")),
    }
}
