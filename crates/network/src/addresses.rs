//! Notifications of the kernel that the host's own addresses may have changed.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use tokio::sync::Notify;

const GROUPS: [MulticastGroup; 4] = [
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];
/// The pause before another connection after one that broke.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Tells `changed` whenever an address or a default route of the host came or went, for ever. It must be called in the
/// host's network namespace.
pub async fn watch_addresses(changed: Arc<Notify>) {
    loop {
        if let Err(error) = listen(&changed).await {
            tracing::warn!(%error, "cannot listen to the kernel's notifications of addresses");
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn listen(changed: &Notify) -> std::io::Result<()> {
    let (connection, _handle, mut messages) = rtnetlink::new_multicast_connection(&GROUPS)?;
    let listen = async {
        // What was changed before may have been missed.
        changed.notify_one();
        while let Some((message, _)) = messages.next().await {
            let matters = match &message.payload {
                NetlinkPayload::InnerMessage(message) => matters(message),
                // The kernel had more to tell than we took.
                _ => true,
            };
            if matters {
                changed.notify_one();
            }
        }
    };
    tokio::select! {
        () = connection => {}
        () = listen => {}
    }
    Ok(())
}

fn matters(message: &RouteNetlinkMessage) -> bool {
    match message {
        RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_) => true,
        // Pods' routes come and go all the time.
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            route.header.destination_prefix_length == 0
        }
        _ => false,
    }
}
