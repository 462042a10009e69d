//! Records the real requester in a CertificateSigningRequest, whatever the client wrote there.

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use super::{Hook, Pending};
use crate::registry::access::Server;
use crate::registry::write::{Effect, WriteRequest};
use crate::user::User;

/// Records the requester of each CertificateSigningRequest.
pub(crate) struct Requesters;

#[async_trait]
impl Hook for Requesters {
    fn concerns(&self, resource: GroupResource<'_>) -> bool {
        resource == GroupResource::CERTIFICATE_SIGNING_REQUESTS
    }

    async fn begin(
        &self,
        write: &mut WriteRequest<'_>,
        _server: &Server<'_>,
    ) -> Result<Option<Box<dyn Pending>>, Status> {
        if let Effect::Insert = write.effect {
            record(&mut write.object, write.call.user);
        }
        Ok(None)
    }
}

fn record(request: &mut Value, user: &User) {
    let strings =
        |list: &[String]| Value::from(list.iter().map(|s| Value::from(s.as_str())).collect::<Vec<_>>());
    let spec = request.entry("spec");
    for member in ["uid", "extra"] {
        spec.remove(member);
    }
    spec.set("username", user.name.as_str());
    spec.set("groups", strings(&user.groups));
    if !user.uid.is_empty() {
        spec.set("uid", user.uid.as_str());
    }
    for (key, values) in &user.extra {
        spec.entry("extra").set(key.clone(), strings(values));
    }
}
