//! The service accounts of controllers.

use std::fmt;
use std::sync::Arc;

use client::Client;

/// The clients of controllers. Each controller uses its own service account in the namespace `kube-system` for live
/// reads and writes, with its own role (`system:controller:NAME`); only informers are shared.
#[derive(Clone)]
pub struct Accounts(Arc<dyn Fn(&'static str) -> Client + Send + Sync>);

impl Accounts {
    /// The clients that `client_of` makes for the names of service accounts.
    pub fn new(client_of: impl Fn(&'static str) -> Client + Send + Sync + 'static) -> Accounts {
        Accounts(Arc::new(client_of))
    }

    /// The client of one service account.
    pub(crate) fn client(&self, account: &'static str) -> Client {
        (self.0)(account)
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}
