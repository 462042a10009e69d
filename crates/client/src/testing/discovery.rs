//! The discovery documents of the in-memory server.

use serde_json::json;

use super::MemoryServer;
use crate::{Object, ResourceType, ServedResource};

impl MemoryServer {
    /// Adds a kind to discovery; requests do not need this.
    pub fn serve<K: Object>(&self, namespaced: bool) {
        self.serve_resource(ResourceType::of::<K>(), namespaced);
    }

    /// Adds a resource to discovery.
    pub fn serve_resource(&self, resource: ResourceType, namespaced: bool) {
        let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        let verbs = verbs.map(str::to_owned).into();
        self.state.lock().served.push(ServedResource { resource, namespaced, verbs });
        self.served.send_replace(());
    }

    /// Serves a resource no longer.
    pub fn serve_no_more(&self, resource: &ResourceType) {
        self.state.lock().served.retain(|served| served.resource != *resource);
        self.served.send_replace(());
    }

    /// The aggregated discovery document of the core group, or of all others.
    pub(super) fn discovery(&self, core: bool) -> Vec<u8> {
        let state = self.state.lock();
        let served = state.served.iter().filter(|served| served.resource.group.is_empty() == core);
        let groups = served.map(|served| {
            let kind = json!({"kind": served.resource.kind});
            let scope = if served.namespaced { "Namespaced" } else { "Cluster" };
            let resource = json!({
                "resource": served.resource.plural, "responseKind": kind, "scope": scope, "verbs": served.verbs,
            });
            let version = json!({"version": served.resource.version, "resources": [resource]});
            json!({"metadata": {"name": served.resource.group}, "versions": [version]})
        });
        json!({"items": groups.collect::<Vec<_>>()}).to_string().into_bytes()
    }
}
