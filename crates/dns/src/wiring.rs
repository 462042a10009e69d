//! Cluster DNS as tasks: informers in, snapshots out, and a resolver over them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Change, EventType, Informers, Recorder, Selection, Subscription, reference_to};
use clock::Clock;
use hickory_proto::rr::Name;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::Mutex;
use semantics::ServiceKey;

use crate::custom::{self, CustomServers};
use crate::forward::{ForwardConfig, Forwarder};
use crate::index::Index;
use crate::resolver::Resolver;
use crate::zone::Zone;

/// The configuration of cluster DNS.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// The cluster's domain.
    pub zone: Zone,
    /// The handling of other names.
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

/// A resolver that follows the cluster for as long as this is kept.
pub struct Following {
    /// Answers.
    pub resolver: Arc<Resolver>,
    _subscriptions: [Subscription; 4],
}

/// How long names wait for the cluster's own configuration of DNS, which may not be there or not be readable.
const CUSTOM_WITHIN: Duration = Duration::from_secs(3);

/// Keeps an index in sync with the cluster's Services, EndpointSlices and namespaces, and the forwarder's servers with
/// the ConfigMap `kube-system/kube-dns`; returns a resolver over them once the first lists have arrived. With a
/// recorder, errors in the ConfigMap are also reported as an event.
pub async fn follow(
    config: DnsConfig,
    informers: &Informers,
    clock: Clock,
    recorder: Option<Recorder>,
) -> Following {
    let index = Index::new();
    let cluster = config.zone.name().clone();
    let resolver = Arc::new(Resolver::over(config, &index, clock));
    let index = Arc::new(Mutex::new(index));
    let (services, slices, namespaces) =
        (informers.get::<Service>(), informers.get::<EndpointSlice>(), informers.get::<Namespace>());
    let shared = Arc::clone(&index);
    let of_services = services.subscribe(move |change| {
        let mut index = shared.lock();
        index.service_changed(&ServiceKey::of(&change.object().metadata), change.new.clone());
        index.publish();
    });
    let shared = Arc::clone(&index);
    let of_slices = slices.subscribe(move |change| {
        let mut index = shared.lock();
        index.endpoint_slice_changed(&ServiceKey::of(&change.object().metadata), change.new.clone());
        index.publish();
    });
    let of_namespaces = namespaces.subscribe(move |change| {
        let mut index = index.lock();
        index.namespace_changed(&change.key.name, change.new.is_some());
        index.publish();
    });
    let custom = informers.select::<ConfigMap>(Selection {
        namespace: custom::NAMESPACE.to_owned(),
        ..Selection::fields::<ConfigMap>(format!("metadata.name={}", custom::NAME))
    });
    let asked = Arc::clone(&resolver);
    let of_custom = custom.subscribe(move |change| configure(&asked, &cluster, recorder.as_ref(), change));
    services.synced().await;
    slices.synced().await;
    namespaces.synced().await;
    if tokio::time::timeout(CUSTOM_WITHIN, custom.synced()).await.is_err() {
        tracing::warn!("cannot read the ConfigMap kube-system/kube-dns yet: names are forwarded without it");
    }
    Following { resolver, _subscriptions: [of_services, of_slices, of_namespaces, of_custom] }
}

/// Applies the current ConfigMap. An invalid one changes nothing.
fn configure(resolver: &Resolver, cluster: &Name, recorder: Option<&Recorder>, change: &Change<ConfigMap>) {
    let data = change.new.as_ref().and_then(|config| config.data.clone()).unwrap_or_default();
    match CustomServers::parse(&data, cluster) {
        Ok(servers) => resolver.set_custom(servers),
        Err(error) => {
            tracing::warn!(%error, "the ConfigMap kube-system/kube-dns is invalid; its previous settings stay in force");
            if let (Some(recorder), Some(config)) = (recorder, &change.new) {
                let message = format!("{error}; the previous settings stay in force");
                recorder.record(&reference_to(&**config), EventType::Warning, "InvalidDNSConfig", message);
            }
        }
    }
}

#[cfg(test)]
mod tests;
