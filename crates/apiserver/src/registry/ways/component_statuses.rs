//! `componentstatuses`: the deprecated list of the control plane's parts. It is computed on each request.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value, Versioned, value};

use super::super::read::Filter;
use super::super::{Answer, AnswerBody, Listing};
use super::{At, Way};
use crate::errors::internal;
use crate::options::Query;

/// The name by which clients know the store.
const STORE: &str = "etcd-0";

pub(super) struct ComponentStatuses;

#[async_trait]
impl Way for ComponentStatuses {
    async fn read(&self, at: &At<'_>, _query: &Query) -> Result<Answer, Status> {
        let status = status(at, at.call.name).await;
        let status = status.ok_or_else(|| at.endpoint.not_found(at.call.name))?;
        Ok(Answer::ok(AnswerBody::Value(status)))
    }

    async fn list(&self, at: &At<'_>, query: &Query) -> Result<Answer, Status> {
        let filter = Filter::new(at.endpoint, at.call, query)?;
        let names = at.registry.components.names().chain([STORE]);
        let statuses = futures::future::join_all(names.map(|name| status(at, name))).await;
        let mut items = Vec::new();
        for status in statuses.into_iter().flatten() {
            let type_meta = Arc::clone(&at.endpoint.type_meta);
            let item = Versioned::from_value(type_meta, &status, object::FieldValues::default());
            let item = item.map_err(|error| internal(&error))?;
            if filter.matches(&item) {
                items.push(item);
            }
        }
        let revision = at.registry.hub.revision();
        Ok(Answer::ok(AnswerBody::List(Listing { items, revision, continue_token: None, remaining: None })))
    }
}

/// The status of a component; `None` if there is no such component.
async fn status(at: &At<'_>, name: &str) -> Option<Value> {
    let condition = if name == STORE {
        match at.registry.hub.store().current_revision().await {
            Ok(_) => healthy(),
            Err(error) => {
                value!({"type": "Healthy", "status": "False", "error": error.to_string()})
            }
        }
    } else {
        match at.registry.components.health(name).await? {
            Ok(()) => healthy(),
            Err(why) => value!({"type": "Healthy", "status": "False", "message": why}),
        }
    };
    Some(value!({
        "kind": "ComponentStatus", "apiVersion": "v1",
        "metadata": {"name": name},
        "conditions": [condition]
    }))
}

fn healthy() -> Value {
    value!({"type": "Healthy", "status": "True", "message": "ok"})
}
