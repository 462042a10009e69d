//! DenyServiceExternalIPs: Services get no `externalIPs`, with which somebody could take the traffic to any address
//! (CVE-2020-8554). Those that a Service has stay (upstream: `plugin/pkg/admission/network/denyserviceexternalips`).

use std::collections::HashSet;

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use crate::admission::{Attributes, Operation, Plugin};

/// The plugin.
pub struct DenyServiceExternalIps;

#[async_trait]
impl Plugin for DenyServiceExternalIps {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        let writes = matches!(what.operation, Operation::Create | Operation::Update);
        if !writes || !what.is(GroupResource::SERVICES) {
            return Ok(());
        }
        let ips = |of| Value::at(of, "spec.externalIPs").items().filter_map(Value::as_str);
        let before: HashSet<&str> = ips(old).collect();
        match ips(object).all(|ip| before.contains(ip)) {
            true => Ok(()),
            false => Err(what.forbidden("Use of external IPs is denied by admission control")),
        }
    }
}
