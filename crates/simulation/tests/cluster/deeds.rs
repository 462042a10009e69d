//! What the workload's deeds are made of: finding, creating, changing and deleting objects.

use std::time::Duration;

use client::{ClientError, DeleteOptions, ListOptions, Object, Patch, Propagation};
use clock::Clock;
use object::ObjectKey;
use serde_json::{Value, json};

use crate::scenario::Cluster;

/// The namespaces of the workload.
const NAMESPACES: [&str; 2] = ["default", "blue"];

pub(crate) fn namespace(random: &Clock) -> &'static str {
    NAMESPACES[random.random_below(NAMESPACES.len() as u64) as usize]
}

/// A template of pods that ask for some CPU.
pub(crate) fn template(app: &str, random: &Clock) -> Value {
    let cpu = 100 * (1 + random.random_below(3));
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{
            "name": "main", "image": "web", "resources": {"requests": {"cpu": format!("{cpu}m"), "memory": "64Mi"}},
        }]},
    })
}

pub(crate) async fn all<K: Object>(cluster: &Cluster) -> Vec<std::sync::Arc<K>> {
    let list = again(|| async { cluster.server.admin().list::<K>("", &ListOptions::default()).await }).await;
    let own = |object: &std::sync::Arc<K>| {
        let meta = object.metadata();
        NAMESPACES.contains(&meta.namespace.as_deref().unwrap_or_default())
            && meta.name.as_deref() != Some("kubernetes")
    };
    list.items.into_iter().filter(own).collect()
}

pub(crate) fn pick<'o, K>(objects: &'o [std::sync::Arc<K>], random: &Clock) -> Option<&'o K> {
    let at = random.random_below(objects.len() as u64) as usize;
    objects.get(at).map(|object| &**object)
}

pub(crate) async fn create<K: Object>(cluster: &Cluster, object: Value) -> String {
    let object: K = serde_json::from_value(object).unwrap();
    let name = object.metadata().name.clone().unwrap_or_default();
    match cluster.server.admin().create(&object).await {
        Ok(_) => format!("create {} {name}", K::KIND),
        Err(error) => format!("cannot create {} {name}: {error}", K::KIND),
    }
}

pub(crate) async fn change_any<K: Object>(cluster: &Cluster, change: Value, what: &str) -> String {
    let objects = all::<K>(cluster).await;
    let Some(object) = pick(&objects, &cluster.random) else { return format!("no {} to change", K::KIND) };
    let key = client::key_of(object);
    match cluster.server.admin().patch::<K>(&key, "", &Patch::Merge(change)).await {
        Ok(_) => format!("{} {key} {what}", K::KIND),
        Err(error) => format!("cannot change {} {key}: {error}", K::KIND),
    }
}

pub(crate) async fn delete_any<K: Object>(cluster: &Cluster) -> String {
    let objects = all::<K>(cluster).await;
    let Some(object) = pick(&objects, &cluster.random) else { return format!("no {} to delete", K::KIND) };
    delete::<K>(cluster, &client::key_of(object)).await
}

pub(crate) async fn delete<K: Object>(cluster: &Cluster, key: &ObjectKey) -> String {
    let propagation = match cluster.random.random_below(3) {
        0 => Some(Propagation::Foreground),
        1 => Some(Propagation::Background),
        _ => None,
    };
    delete_with::<K>(cluster, key, propagation).await
}

pub(crate) async fn delete_with<K: Object>(
    cluster: &Cluster,
    key: &ObjectKey,
    propagation: Option<Propagation>,
) -> String {
    let options = DeleteOptions { propagation, ..DeleteOptions::default() };
    match cluster.server.admin().delete::<K>(key, &options).await {
        Ok(()) => format!("delete {} {key} ({propagation:?})", K::KIND),
        Err(error) => format!("cannot delete {} {key}: {error}", K::KIND),
    }
}

/// Asks until the server answers.
pub(crate) async fn again<T, F>(mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, ClientError>>,
{
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}
