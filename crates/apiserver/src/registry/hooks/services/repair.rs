//! Records of node ports that do not agree with the Services.
//!
//! A server that is killed during a write may leave the record of a port behind that its Service never got. Addresses have
//! objects, and a controller repairs those; records of ports are only in the store, so that nobody else would find them.

use std::collections::HashMap;

use object::{Value, Versioned, value};
use store::{Expect, RangeRequest, StoreError, Write};

use super::ports::node_ports;
use super::{PORT_PREFIX, port_key};
use crate::admission::Objects;
use crate::cache::Hub;

/// Removes records of ports that no Service has, and records ports that lack a record. No write may be under way: its
/// Service is not stored yet.
///
/// # Errors
/// The store's errors.
pub(super) async fn repair(hub: &Hub, services: &Objects) -> Result<(), StoreError> {
    let mut owners = owners(services);
    let recorded = hub.store().range(RangeRequest::prefix(PORT_PREFIX)).await?;
    for record in recorded.kvs.iter() {
        let port = std::str::from_utf8(&record.key).ok();
        let port: Option<u16> = port.and_then(|key| key.strip_prefix(PORT_PREFIX)?.parse().ok());
        if port.is_some_and(|port| owners.remove(&port).is_some()) {
            continue;
        }
        tracing::warn!(port, "a node port is released: no Service has it");
        let expect = Expect::ModRevision(record.mod_revision);
        hub.store().write(Write::delete(record.key.clone(), expect)).await?;
    }
    for (port, owner) in owners {
        tracing::warn!(port, service = owner.str_at("name"), "a Service's node port is recorded: it was not");
        hub.store().write(Write::put(port_key(port), object::json::to_bytes(&owner), Expect::Absent)).await?;
    }
    Ok(())
}

/// The node ports of all Services, with the Service that has each.
fn owners(services: &Objects) -> HashMap<u16, Value> {
    let has_ports =
        |service: &&Versioned| matches!(service.field("spec.type"), Some("NodePort" | "LoadBalancer"));
    let mut owners = HashMap::new();
    for service in services.values().filter(has_ports) {
        for port in node_ports(&service.tree()) {
            owners.insert(port, value!({"namespace": service.namespace(), "name": service.name()}));
        }
    }
    owners
}
