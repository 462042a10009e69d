//! Follows objects: an informer keeps the existing objects in memory and reports each change.
//!
//! ```console
//! $ cargo run -p client --example follow -- ~/.kube/config
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use client::{Change, Client, HttpConnection, Informers, Subscription};
use clock::Clock;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let kubeconfig = std::env::args().nth(1).ok_or("usage: follow KUBECONFIG")?;
    let connection = HttpConnection::from_kubeconfig(Path::new(&kubeconfig), "follow-example").await?;
    let (_following, mut told) = follow(Client::new(Arc::new(connection), Clock::system())).await;
    while let Some(line) = told.recv().await {
        println!("{line}");
    }
    Ok(())
}

/// Tells a line for each existing pod, and for each change from then on, as long as the subscription is kept.
async fn follow(client: Client) -> (Subscription, mpsc::UnboundedReceiver<String>) {
    let (sender, told) = mpsc::unbounded_channel();
    // One informer of a kind serves all its users in a process.
    let pods = Informers::new(client).get::<Pod>();
    // Handlers run one after another and must be quick: they only pass changes on.
    let following = pods.subscribe(move |change| drop(sender.send(describe(change))));
    pods.synced().await;
    (following, told)
}

fn describe(change: &Change<Pod>) -> String {
    let phase =
        |pod: &Arc<Pod>| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    match (&change.old, &change.new) {
        (None, Some(new)) => format!("{} is there: {}", change.key, phase(new)),
        (Some(old), Some(new)) if phase(old) != phase(new) => {
            format!("{}: {} after {}", change.key, phase(new), phase(old))
        }
        (_, Some(_)) => format!("{} changed", change.key),
        (_, None) => format!("{} is gone", change.key),
    }
}

#[cfg(test)]
mod tests {
    use object::ObjectKey;
    use simulation::{Server, admin};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_are_told() {
        let server = Server::start(1).await;
        server.open("shop").await;
        let pod = serde_json::json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"containers": [{"name": "main", "image": "web:1"}]},
        });
        let mut pod: Pod = serde_json::from_value(pod).unwrap();
        server.put(&pod).await;
        let (_following, mut told) = follow(server.client(admin())).await;
        assert_eq!(told.recv().await.unwrap(), "shop/web is there: Pending");
        pod.status.get_or_insert_default().phase = Some("Running".to_owned());
        server.put(&pod).await;
        assert_eq!(told.recv().await.unwrap(), "shop/web: Running after Pending");
        server.remove::<Pod>(&ObjectKey::namespaced("shop", "web")).await;
        assert_eq!(told.recv().await.unwrap(), "shop/web is gone");
    }
}
