//! Cluster DNS as tasks: informers in, snapshots out, and a resolver over them.

use std::net::IpAddr;
use std::sync::Arc;

use client::Informers;
use clock::Clock;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use parking_lot::Mutex;

use crate::forward::{ForwardConfig, Forwarder};
use crate::index::{Index, ServiceKey};
use crate::resolver::Resolver;
use crate::zone::Zone;

/// What cluster DNS depends on.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// The cluster's domain.
    pub zone: Zone,
    /// What happens to other names.
    pub forward: ForwardConfig,
}

impl DnsConfig {
    /// Serves `zone` and forwards other names to the host's servers, never to `own_addresses`.
    pub fn new(zone: Zone, own_addresses: Vec<IpAddr>) -> DnsConfig {
        DnsConfig { zone, forward: ForwardConfig::new(own_addresses) }
    }
}

impl Resolver {
    /// A resolver over the snapshots that `index` publishes.
    pub fn over(config: DnsConfig, index: &Index, clock: Clock) -> Resolver {
        Resolver::new(config.zone, index.snapshots(), Forwarder::new(config.forward, clock))
    }
}

fn key(meta: &ObjectMeta) -> ServiceKey {
    ServiceKey::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

/// Keeps an index equal to the cluster's Services and EndpointSlices, and returns a resolver over it once the first
/// lists are in. It follows for as long as the informers live.
pub async fn follow(config: DnsConfig, informers: &Informers, clock: Clock) -> Resolver {
    let index = Index::new();
    let resolver = Resolver::over(config, &index, clock);
    let index = Arc::new(Mutex::new(index));
    let (services, slices) = (informers.get::<Service>(), informers.get::<EndpointSlice>());
    let shared = Arc::clone(&index);
    services.subscribe(move |change| {
        let mut index = shared.lock();
        index.service_changed(&key(&change.object().metadata), change.new.clone());
        index.publish();
    });
    slices.subscribe(move |change| {
        let mut index = index.lock();
        index.endpoint_slice_changed(&key(&change.object().metadata), change.new.clone());
        index.publish();
    });
    services.synced().await;
    slices.synced().await;
    resolver
}

#[cfg(test)]
mod tests;
