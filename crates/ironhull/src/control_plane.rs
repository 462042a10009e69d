//! The control plane of this process, as those who stand on it see it.

use std::sync::Arc;

use apiserver::ApiServer;
use apiserver::user::User;
use client::{Client, Informers, RequestMetrics};
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
    /// The requests of its clients.
    requests: RequestMetrics,
    /// The server's name in those metrics.
    host: Arc<str>,
}

impl ControlPlane {
    /// The control plane around a server that runs, and listens on this port.
    pub fn new(server: Arc<ApiServer>, port: u16, clock: Clock, exposition: Exposition) -> ControlPlane {
        let requests = exposition.with(RequestMetrics::register);
        // Upstream's server reaches itself by this address.
        let host: Arc<str> = format!("[::1]:{port}").into();
        let connection = LocalConnection::new(Arc::clone(&server), identities::informers());
        let connection = connection.measured_by(requests.clone(), Arc::clone(&host));
        let informers = Informers::new(Client::new(Arc::new(connection), clock.clone()));
        ControlPlane { server, clock, informers, exposition, requests, host }
    }

    /// A client of the server in this process, under its own identity.
    pub fn client(&self, user: User) -> Client {
        self.client_measured_by(user, &self.requests)
    }

    /// The same, whose requests are counted elsewhere.
    pub fn client_measured_by(&self, user: User, requests: &RequestMetrics) -> Client {
        let connection = LocalConnection::new(Arc::clone(&self.server), user);
        let connection = connection.measured_by(requests.clone(), Arc::clone(&self.host));
        Client::new(Arc::new(connection), self.clock.clone())
    }
}
