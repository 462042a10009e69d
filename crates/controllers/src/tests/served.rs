//! Resources that come while the controllers run.

use std::sync::Arc;

use apiserver::catalogue::{Definition, Version};
use apiserver::testing::TestServer;
use client::DeleteOptions;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::{ObjectKey, value};

use super::real::RealCluster;
use crate::Config;

fn widgets() -> Definition {
    let spec = value!({"type": "object", "properties": {"size": {"type": "integer"}}});
    Definition {
        group: "example.com".to_owned(),
        plural: "widgets".to_owned(),
        singular: "widget".to_owned(),
        kind: "Widget".to_owned(),
        list_kind: "WidgetList".to_owned(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: schema::Scope::Namespaced,
        versions: vec![Version {
            name: "v1".to_owned(),
            served: true,
            schema: value!({"type": "object", "properties": {"spec": spec}}),
            has_status: false,
            columns: Vec::new(),
            selectable: Vec::new(),
            scale: None,
            deprecation: None,
        }],
        stored_version: "v1".to_owned(),
        conversion: None,
        terminating: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_of_a_resource_that_came_later_is_collected() {
    let server = Arc::new(TestServer::start().await);
    let cluster = RealCluster::over(Arc::clone(&server), Config::default()).await;
    cluster.log.granted(&["informers list configmaps"]).await;
    server.catalogue().add(widgets()).await.unwrap();
    cluster.log.granted(&["informers watch widgets"]).await;

    let path = "/apis/example.com/v1/namespaces/default/widgets";
    // Several controllers follow everything. The garbage collector does when it has let this one go.
    let first = value!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "first"}});
    server.json("POST", path, &first).await.unwrap();
    let foreground = format!("{path}/first?propagationPolicy=Foreground");
    server.json("DELETE", &foreground, &object::Value::Null).await.unwrap();
    cluster.log.granted(&["generic-garbage-collector patch widgets"]).await;
    let owner = value!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "owner"}});
    let owner = server.json("POST", path, &owner).await.unwrap();
    let mut owned = ConfigMap::default();
    owned.metadata.name = Some("owned".into());
    owned.metadata.namespace = Some("default".into());
    owned.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "example.com/v1".into(),
        kind: "Widget".into(),
        name: "owner".into(),
        uid: owner.str_at("metadata.uid").to_owned(),
        ..Default::default()
    }]);
    cluster.client.create(&owned).await.unwrap();
    let left = |maps: &[Arc<ConfigMap>]| maps.iter().any(|map| map.metadata.name.as_deref() == Some("owned"));
    // The test's own view must have it before it can be gone from there.
    cluster.until::<ConfigMap>("what the widget owns", left).await;
    server.json("DELETE", &format!("{path}/owner"), &object::Value::Null).await.unwrap();
    cluster.until::<ConfigMap>("the end of what the widget owned", |maps| !left(maps)).await;
    let key = ObjectKey::namespaced("default", "owned");
    let again = cluster.client.delete::<ConfigMap>(&key, &DeleteOptions::default()).await;
    assert!(again.is_err_and(|error| error.is_not_found()));
}
