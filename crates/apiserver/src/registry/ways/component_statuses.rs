//! `componentstatuses`: the deprecated list of the control plane's dependencies. It is computed on each request.
//!
//! Upstream also lists the scheduler and the controller manager, whose health it can query at fixed ports of the same
//! host; here they have no ports, and only the store is listed.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value, Versioned, value};

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
        match at.call.name {
            STORE => Ok(Answer::ok(AnswerBody::Value(of_store(at).await))),
            name => Err(Status::not_found("", "componentstatuses", name)),
        }
    }

    async fn list(&self, at: &At<'_>, _query: &Query) -> Result<Answer, Status> {
        let type_meta = Arc::clone(&at.endpoint.type_meta);
        let item = Versioned::from_value(type_meta, &of_store(at).await, Vec::new());
        let items = vec![item.map_err(|error| internal(&error))?];
        let revision = at.registry.hub.revision();
        Ok(Answer::ok(AnswerBody::List(Listing { items, revision, continue_token: None, remaining: None })))
    }
}

/// How the store is.
async fn of_store(at: &At<'_>) -> Value {
    let condition = match at.registry.hub.store().current_revision().await {
        Ok(_) => value!({"type": "Healthy", "status": "True", "message": "ok"}),
        Err(error) => {
            value!({"type": "Healthy", "status": "False", "message": "", "error": error.to_string()})
        }
    };
    value!({
        "kind": "ComponentStatus", "apiVersion": "v1",
        "metadata": {"name": STORE},
        "conditions": [condition]
    })
}
