//! Type-erased plugins that reserve and bind.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use client::Client;

use super::binding::{Bind, BindError, Binding, PreBind, Reserve};
use super::deciding::Rejection;
use crate::state::{NodeInfo, PodInfo, Snapshot};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, BindError>> + Send + 'a>>;

/// [`Reserve`] of any plugin.
pub(super) trait AnyReserve: Send + Sync {
    fn run(&self, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Result<Box<dyn Held>, Rejection>;
}

/// A reservation of any plugin.
pub(super) trait Held: Send + Sync {
    fn name(&self) -> &'static str;
    fn unreserve(&self, pod: &PodInfo, node: &str);
    fn pre_bind<'a>(&'a self, client: &'a Client, pod: &'a PodInfo, node: &'a str) -> Boxed<'a, ()>;
}

/// A plugin that only reserves.
pub(super) struct Reserves<P>(pub(super) Arc<P>);
/// A plugin that reserves and has something to do before the binding.
pub(super) struct PreBinds<P>(pub(super) Arc<P>);

struct Reserved<P: Reserve> {
    plugin: Arc<P>,
    reservation: P::Reservation,
}

struct Prepared<P: PreBind>(Reserved<P>);

impl<P: Reserve> AnyReserve for Reserves<P> {
    fn run(&self, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Result<Box<dyn Held>, Rejection> {
        let reservation = self.0.reserve(pod, node, snapshot)?;
        Ok(Box::new(Reserved { plugin: Arc::clone(&self.0), reservation }))
    }
}

impl<P: PreBind> AnyReserve for PreBinds<P> {
    fn run(&self, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Result<Box<dyn Held>, Rejection> {
        let reservation = self.0.reserve(pod, node, snapshot)?;
        Ok(Box::new(Prepared(Reserved { plugin: Arc::clone(&self.0), reservation })))
    }
}

impl<P: Reserve> Held for Reserved<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn unreserve(&self, pod: &PodInfo, node: &str) {
        self.plugin.unreserve(&self.reservation, pod, node);
    }

    fn pre_bind<'a>(&'a self, _: &'a Client, _: &'a PodInfo, _: &'a str) -> Boxed<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl<P: PreBind> Held for Prepared<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn unreserve(&self, pod: &PodInfo, node: &str) {
        self.0.unreserve(pod, node);
    }

    fn pre_bind<'a>(&'a self, client: &'a Client, pod: &'a PodInfo, node: &'a str) -> Boxed<'a, ()> {
        Box::pin(self.0.plugin.pre_bind(client, &self.0.reservation, pod, node))
    }
}

/// [`Bind`] of any plugin.
pub(super) trait AnyBind: Send + Sync {
    fn run<'a>(&'a self, client: &'a Client, pod: &'a PodInfo, node: &'a str) -> Boxed<'a, Binding>;
}

impl<P: Bind> AnyBind for Arc<P> {
    fn run<'a>(&'a self, client: &'a Client, pod: &'a PodInfo, node: &'a str) -> Boxed<'a, Binding> {
        Box::pin(self.bind(client, pod, node))
    }
}
