//! The extension points between a decision and its binding.

use std::future::Future;
use std::time::Duration;

use client::{Client, ClientError};

use super::{Plugin, Rejection};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// Reserves what else a pod needs besides its place on the node, which it already has.
pub trait Reserve: Plugin {
    /// The reservation: it stays with the pod until it is bound, or is released.
    type Reservation: Send + Sync + 'static;

    /// Takes it. The pod is tried again later if this fails.
    fn reserve(
        &self,
        pod: &PodInfo,
        node: &NodeInfo,
        snapshot: &Snapshot,
    ) -> Result<Self::Reservation, Rejection>;

    /// Releases the reservation, because the pod is not bound after all. Plugins are called in reverse order.
    fn unreserve(&self, reservation: &Self::Reservation, pod: &PodInfo, node: &str);
}

/// Decides whether a pod is bound now, later or not.
pub trait Permit: Plugin {
    /// All plugins are asked, unless one denies; a pod that several keep waiting needs the permission of each.
    fn permit(&self, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Permission;
}

/// Whether a pod may be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Allow,
    /// It may not; it is tried again when something changes.
    Deny(Rejection),
    /// Not yet: [`Scheduler::allow`](crate::Scheduler::allow) or [`Scheduler::reject`](crate::Scheduler::reject)
    /// is to be called within this time, or the pod is denied. Quarter of an hour is the most.
    Wait(Duration),
}

/// Does the work that is necessary before a pod is bound.
pub trait PreBind: Reserve {
    /// Does it.
    fn pre_bind(
        &self,
        client: &Client,
        reservation: &Self::Reservation,
        pod: &PodInfo,
        node: &str,
    ) -> impl Future<Output = Result<(), BindError>> + Send;
}

/// Binds pods.
pub trait Bind: Plugin {
    /// Binds a pod, or leaves it to the next plugin.
    fn bind(
        &self,
        client: &Client,
        pod: &PodInfo,
        node: &str,
    ) -> impl Future<Output = Result<Binding, BindError>> + Send;
}

/// The result of a binding plugin for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It is bound.
    Done,
    /// The plugin does not bind this pod.
    Skip,
}

/// Is notified of bound pods.
pub trait PostBind: Plugin {
    /// The pod was bound to the node.
    fn post_bind(&self, pod: &PodInfo, node: &str);
}

/// Why a pod could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A request failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Whatever else.
    #[error("{0}")]
    Other(String),
}

impl BindError {
    /// Whether the server may still do what it was asked for: it has not said that it is done with it.
    pub fn is_open(&self) -> bool {
        let BindError::Client(error) = self else { return false };
        match error.status() {
            // The server gave up waiting for its store, which may still carry the write out.
            Some(status) => status.code == 504,
            None => true,
        }
    }

    /// Whether it is because the pod is gone.
    pub fn is_not_found(&self) -> bool {
        matches!(self, BindError::Client(error) if error.is_not_found())
    }
}
