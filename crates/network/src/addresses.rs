//! Notifications of the kernel that the host's own addresses may have changed.

use std::sync::Arc;
use std::time::Duration;

use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::RouteNetlinkMessage;
use tokio::sync::Notify;

use crate::notifications;

const GROUPS: [MulticastGroup; 4] = [
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];
/// The pause before another connection after one that broke.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Calls `changed` whenever an address or a default route of the host is added or removed; never returns. It must be
/// called in the host's network namespace.
pub async fn watch_addresses(changed: Arc<Notify>) {
    loop {
        if let Err(error) = notifications::listen(&GROUPS, &changed, matters).await {
            tracing::warn!(%error, "cannot listen to the kernel's notifications of addresses");
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

fn matters(message: &RouteNetlinkMessage) -> bool {
    match message {
        RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_) => true,
        // Pods' routes change all the time.
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            route.header.destination_prefix_length == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use hostnet::NetNs;
    use hostnet::testing::ip;
    use rtnetlink::packet_route::route::RouteMessage;

    use super::*;

    #[test]
    fn addresses_and_default_routes_are_told() {
        let namespace = NetNs::create().unwrap();
        ip(&namespace, "link set lo up");
        let work = || async {
            let changed = Arc::new(Notify::new());
            let watching = tokio::spawn(watch_addresses(Arc::clone(&changed)));
            let told = |what: &'static str| {
                let changed = Arc::clone(&changed);
                async move {
                    let told = tokio::time::timeout(Duration::from_secs(20), changed.notified()).await;
                    assert!(told.is_ok(), "{what} is not told");
                }
            };
            // It listens from here on.
            told("the begin").await;
            for change in [
                "addr add 192.0.2.7/32 dev lo",
                "route add default dev lo",
                "route del default dev lo",
                "addr del 192.0.2.7/32 dev lo",
            ] {
                ip(&namespace, change);
                told(change).await;
            }
            watching.abort();
        };
        namespace.block_on(work).unwrap();
    }

    #[test]
    fn routes_to_pods_are_no_matter() {
        let mut route = RouteMessage::default();
        assert!(matters(&RouteNetlinkMessage::DelRoute(route.clone())));
        route.header.destination_prefix_length = 32;
        assert!(!matters(&RouteNetlinkMessage::NewRoute(route.clone())));
        assert!(!matters(&RouteNetlinkMessage::NewRule(Default::default())));
    }
}
