//! `componentstatuses`: the deprecated list of what the control plane rests on. It is made when it is asked for.
//!
//! Upstream also lists the scheduler and the controller manager, whose health it can ask for at fixed ports of the
//! same host; here they have no ports, and only the store is listed.

use std::sync::Arc;

use object::{Status, Versioned, value};

use crate::ApiServer;
use crate::errors::internal;
use crate::registry::{Answer, AnswerBody, Call, Endpoint, Listing};

/// The name by which clients know the store.
const STORE: &str = "etcd-0";

impl ApiServer {
    /// One component, or the list of them.
    ///
    /// # Errors
    /// 404 for a component that is not listed.
    pub(super) async fn component_statuses(
        &self,
        endpoint: &Arc<Endpoint>,
        call: &Call<'_>,
    ) -> Result<Answer, Status> {
        let condition = match self.registry.hub.store().current_revision().await {
            Ok(_) => value!({"type": "Healthy", "status": "True", "message": "ok"}),
            Err(error) => {
                value!({"type": "Healthy", "status": "False", "message": "", "error": error.to_string()})
            }
        };
        let object = value!({
            "kind": "ComponentStatus", "apiVersion": "v1",
            "metadata": {"name": STORE},
            "conditions": [condition]
        });
        let body = match call.name {
            "" => {
                let type_meta = Arc::clone(&endpoint.type_meta);
                let item = Versioned::from_value(type_meta, &object, Vec::new()).map_err(|e| internal(&e))?;
                let items = vec![item];
                AnswerBody::List(Listing {
                    items,
                    revision: self.registry.hub.revision(),
                    continue_token: None,
                    remaining: None,
                })
            }
            STORE => AnswerBody::Value(object),
            name => return Err(Status::not_found("", "componentstatuses", name)),
        };
        Ok(Answer { code: 200, body, warnings: Vec::new() })
    }
}
