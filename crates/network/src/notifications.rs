//! The kernel's notifications of what changes in the host's network.

use std::io;

use futures::StreamExt;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use tokio::sync::Notify;

/// Calls `changed` for every relevant notification, until the connection ends; the caller opens another one. It is also
/// called at the beginning, because earlier changes may have been missed. It must be called in the host's network
/// namespace.
///
/// # Errors
/// If the kernel refuses the connection.
pub(crate) async fn listen(
    groups: &[MulticastGroup],
    changed: &Notify,
    matters: impl Fn(&RouteNetlinkMessage) -> bool,
) -> io::Result<()> {
    let (connection, _handle, mut messages) = rtnetlink::new_multicast_connection(groups)?;
    let listen = async {
        changed.notify_one();
        while let Some((message, _)) = messages.next().await {
            let matters = match &message.payload {
                NetlinkPayload::InnerMessage(message) => matters(message),
                // The kernel sent more than we read.
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
