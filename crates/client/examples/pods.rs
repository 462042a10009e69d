//! Reads and writes objects: labels every pod of a namespace, and prints what it found.
//!
//! ```console
//! $ cargo run -p client --example pods -- ~/.kube/config default
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use client::{Client, ClientError, HttpConnection, ListOptions, Patch, key_of};
use clock::Clock;
use k8s_openapi::api::core::v1::Pod;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(kubeconfig), Some(namespace)) = (arguments.next(), arguments.next()) else {
        return Err("usage: pods KUBECONFIG NAMESPACE".into());
    };
    let connection = HttpConnection::from_kubeconfig(Path::new(&kubeconfig), "pods-example").await?;
    let client = Client::new(Arc::new(connection), Clock::system());
    for name in label_all(&client, &namespace).await? {
        println!("{namespace}/{name}");
    }
    Ok(())
}

/// Labels the pods that have no label `seen`; returns their names.
async fn label_all(client: &Client, namespace: &str) -> Result<Vec<String>, ClientError> {
    let options = ListOptions { limit: 500, ..ListOptions::labels("!seen") };
    let mut names = Vec::new();
    for pod in client.list::<Pod>(namespace, &options).await?.items {
        let patch = Patch::Merge(serde_json::json!({"metadata": {"labels": {"seen": "true"}}}));
        match client.patch::<Pod>(&key_of(&*pod), "", &patch).await {
            Ok(pod) => names.extend(pod.metadata.name),
            // It was deleted in the meantime.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use simulation::{Server, admin};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pods_are_labelled_once() {
        let server = Server::start(1).await;
        server.open("shop").await;
        let pod = serde_json::json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"containers": [{"name": "main", "image": "web:1"}]},
        });
        server.put(&serde_json::from_value::<Pod>(pod).unwrap()).await;
        assert_eq!(label_all(&server.client(admin()), "shop").await.unwrap(), ["web"]);
        assert_eq!(label_all(&server.client(admin()), "shop").await.unwrap(), Vec::<String>::new());
    }
}
