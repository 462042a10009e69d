//! Calls that the server makes on its own behalf.

use clock::Clock;
use object::{Status, Value};
use schema::GroupResource;
use tokio::time::Instant;

use super::{Call, Registry};
use crate::options::WriteOptions;
use crate::overload::REQUEST_WITHIN;
use crate::user::User;

/// What such a call rests on. Nobody reads its warnings.
pub(crate) struct Own {
    user: User,
    options: WriteOptions,
    uid: String,
    deadline: Instant,
}

impl Own {
    /// For a call with these options, which has as much time as a client's request.
    pub(crate) fn new(clock: &Clock, options: WriteOptions) -> Own {
        let deadline = Instant::now() + REQUEST_WITHIN;
        Own { user: User::server(), options, uid: clock.uid().to_string(), deadline }
    }

    /// For a write whose fields this manager takes over.
    pub(crate) fn managing(clock: &Clock, manager: &str) -> Own {
        Own::new(clock, WriteOptions { field_manager: manager.to_owned(), ..WriteOptions::default() })
    }

    /// The same as a part of a request, which is over at this time.
    pub(crate) fn until(self, deadline: Instant) -> Own {
        Own { deadline, ..self }
    }

    /// The call for an object, or for a part of it.
    pub(crate) fn call<'a>(&'a self, namespace: &'a str, name: &'a str, subresource: &'a str) -> Call<'a> {
        Call {
            user: &self.user,
            namespace,
            name,
            subresource,
            options: &self.options,
            uid: &self.uid,
            deadline: self.deadline,
            warnings: None,
        }
    }
}

impl Registry {
    /// Writes the status of an object of the cluster, in the first version of its group, on the condition that it has not
    /// changed.
    ///
    /// # Errors
    /// As any client is answered.
    pub(crate) async fn write_status(
        &self,
        resource: GroupResource<'_>,
        name: &str,
        object: Value,
        manager: &str,
    ) -> Result<(), Status> {
        let endpoint = self.endpoint(resource.group, "v1", resource.plural);
        let endpoint = endpoint.ok_or_else(|| Status::not_found(resource.group, resource.plural, name))?;
        let own = Own::managing(&self.clock, manager);
        self.update(&endpoint, &own.call("", name, "status"), object).await.map(drop)
    }
}
