//! The control plane of this process, as those who stand on it see it.

use std::sync::Arc;

use apiserver::ApiServer;
use apiserver::user::User;
use client::{Client, Informers};
use clock::Clock;
use local::LocalConnection;
use metrics::Exposition;

use crate::identities;

/// A control plane that runs.
#[derive(Clone)]
pub struct ControlPlane {
    /// The API server.
    pub server: Arc<ApiServer>,
    /// Time and randomness.
    pub clock: Clock,
    /// The shared informers of this process's components, one per kind, under the controllers' identity, which may read
    /// everything. Each component writes under its own identity.
    pub informers: Informers,
    /// The metrics of this process.
    pub exposition: Exposition,
}

impl ControlPlane {
    /// The control plane around a server that runs.
    pub fn new(server: Arc<ApiServer>, clock: Clock, exposition: Exposition) -> ControlPlane {
        let connection = LocalConnection::new(Arc::clone(&server), identities::informers());
        let informers = Informers::new(Client::new(Arc::new(connection), clock.clone()));
        ControlPlane { server, clock, informers, exposition }
    }

    /// A client of the server in this process, under its own identity.
    pub fn client(&self, user: User) -> Client {
        Client::new(Arc::new(LocalConnection::new(Arc::clone(&self.server), user)), self.clock.clone())
    }
}
