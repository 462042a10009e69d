//! Connections to nodes, pods and Services: nothing is written, but admission decides who may open one.

use object::{Status, Value};

use super::super::access::Server;
use super::super::write::{NULL, attributes};
use super::super::{Call, Endpoint, Registry};
use crate::admission::{Operation, Options};

impl Registry {
    /// Asks the admission plugins about a connection with these options (such as `PodExecOptions`), and returns the
    /// options as the plugins have changed them.
    ///
    /// # Errors
    /// The first refusal.
    pub(crate) async fn connect(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        mut options: Value,
    ) -> Result<Value, Status> {
        let server = Server::new(self, false).until(call.deadline);
        let what = attributes(endpoint, call, call.name, Operation::Connect, Options::Connect, &server);
        self.admission.admit(&what, &mut options, &NULL).await?;
        self.admission.validate(&what, &options, &NULL).await?;
        Ok(options)
    }
}
