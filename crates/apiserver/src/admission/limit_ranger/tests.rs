use object::value;

use super::*;
use crate::testing::TestServer;

/// A server with a LimitRange in the namespace `default`.
async fn server_with(limits: Value) -> TestServer {
    let server = TestServer::start().await;
    server.create("", "serviceaccounts", "default", value!({"metadata": {"name": "default"}})).await.unwrap();
    let range = value!({"metadata": {"name": "range"}, "spec": {"limits": (limits)}});
    server.create("", "limitranges", "default", range).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    server
}

fn pod(spec: Value) -> Value {
    let pod = value!({
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}
    });
    object::patch::merge_patch(pod, value!({"spec": (spec)})).unwrap()
}

fn with(resources: Value) -> Value {
    pod(value!({"containers": [{"name": "c", "image": "i", "resources": (resources)}]}))
}

async fn admitted(server: &TestServer, pod: &Value) -> Result<Value, String> {
    let answer = server.json("POST", "/api/v1/namespaces/default/pods?dryRun=All", pod).await;
    answer.map_err(|refused| {
        assert_eq!(refused.code(), 403, "{}", refused.message);
        refused.message.strip_prefix("pods \"p\" is forbidden: ").unwrap().to_owned()
    })
}

#[tokio::test]
async fn containers_get_defaults_and_the_pod_says_so() {
    let defaults = value!([{"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"},
        "defaultRequest": {"cpu": "100m", "memory": "1Mi"}}]);
    let server = server_with(defaults).await;
    let init = value!({"name": "i", "image": "i", "resources": {"requests": {"cpu": "50m"}}});
    let pod = admitted(&server, &pod(value!({"initContainers": [init]}))).await.unwrap();
    let resources = |list: &str| pod.get("spec").get(list).items().next().unwrap().get("resources").clone();
    let whole =
        value!({"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"cpu": "500m", "memory": "1Gi"}});
    assert_eq!(resources("containers"), whole);
    let partly =
        value!({"requests": {"cpu": "50m", "memory": "1Mi"}, "limits": {"cpu": "500m", "memory": "1Gi"}});
    assert_eq!(resources("initContainers"), partly);
    let annotations = pod.at("metadata.annotations");
    let expected = "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c; memory request for init container i; cpu, memory limit for init container i";
    assert_eq!(annotations.get("kubernetes.io/limit-ranger").as_str(), Some(expected));
    let complete = admitted(&server, &with(whole)).await.unwrap();
    assert!(complete.at("metadata.annotations").is_null());
}

#[tokio::test]
async fn a_pod_beyond_its_limits_is_refused_with_all_reasons() {
    let limits = value!([
        {"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"memory": "2"}},
        {"type": "Pod", "max": {"cpu": "3"}}
    ]);
    let server = server_with(limits).await;
    let both = |requests: Value, limits: Value| with(value!({"requests": (requests), "limits": (limits)}));
    let fine = both(value!({"cpu": "1", "memory": "1Gi"}), value!({"cpu": "2", "memory": "2Gi"}));
    admitted(&server, &fine).await.unwrap();
    let small = both(value!({"cpu": "50m", "memory": "1Gi"}), value!({"cpu": "2", "memory": "2Gi"}));
    let expected = "minimum cpu usage per Container is 100m, but request is 50m";
    assert_eq!(admitted(&server, &small).await.unwrap_err(), expected);
    let large = both(value!({"cpu": "1", "memory": "1Gi"}), value!({"cpu": "4", "memory": "2561Mi"}));
    let expected = "[maximum cpu usage per Container is 2, but limit is 4, memory max limit to request ratio per Container is 2, but provided ratio is 2.500977, maximum cpu usage per Pod is 3, but limit is 4]";
    assert_eq!(admitted(&server, &large).await.unwrap_err(), expected);
}

#[tokio::test]
async fn amounts_of_the_pod_as_a_whole_count_instead_of_its_containers() {
    let server = server_with(value!([{"type": "Pod", "max": {"cpu": "1"}, "min": {"memory": "1Mi"}}])).await;
    let spec = value!({
        "resources": {"limits": {"cpu": "2"}, "requests": {"memory": "2Mi"}},
        "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "500m"}}}]
    });
    // The request of the pod is its limit's, by default.
    let expected = "maximum cpu usage per Pod is 1, but limit is 2";
    assert_eq!(admitted(&server, &pod(spec)).await.unwrap_err(), expected);
}

#[tokio::test]
async fn missing_amounts_violate_minimum_maximum_and_ratio() {
    let limits = value!([{"type": "Pod", "min": {"example.com/x": "1"}, "max": {"example.com/y": "1"},
        "maxLimitRequestRatio": {"memory": "2"}}]);
    let server = server_with(limits).await;
    let expected = "[minimum example.com/x usage per Pod is 1.  No request is specified, maximum example.com/y usage per Pod is 1.  No limit is specified, memory max limit to request ratio per Pod is 2, but no request is specified or request is 0]";
    assert_eq!(admitted(&server, &pod(Value::map())).await.unwrap_err(), expected);
}

#[tokio::test]
async fn claims_ask_for_storage_within_limits_and_keep_what_they_have() {
    let limits =
        value!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]);
    let server = server_with(limits).await;
    let claim = |name: &str, storage: &str| value!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}});
    let create = |name, storage| server.create("", "persistentvolumeclaims", "default", claim(name, storage));
    let refused = create("small", "1Mi").await.unwrap_err();
    let expected = "persistentvolumeclaims \"small\" is forbidden: minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi";
    assert_eq!(refused.message, expected);
    let refused = create("large", "3Gi").await.unwrap_err();
    let expected = "persistentvolumeclaims \"large\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi";
    assert_eq!(refused.message, expected);
    let mut fine = create("fine", "2Gi").await.unwrap();
    let path = "/api/v1/namespaces/default/limitranges/range";
    let mut range = server.json("GET", path, &Value::Null).await.unwrap();
    let tighter = value!([{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]);
    range.entry("spec").set("limits", tighter);
    server.json("PUT", path, &range).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    fine.entry("metadata").entry("labels").set("a", "b");
    server.json("PUT", "/api/v1/namespaces/default/persistentvolumeclaims/fine", &fine).await.unwrap();
}

#[tokio::test]
async fn a_resize_is_checked_where_it_changes_something() {
    let limits = value!([{"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}}]);
    let server = server_with(limits).await;
    let amounts = |cpu: &str| value!({"cpu": cpu, "memory": "1Gi"});
    let pod = with(value!({"requests": (amounts("1")), "limits": (amounts("2"))}));
    server.create("", "pods", "default", pod).await.unwrap();
    let path = "/api/v1/namespaces/default/pods/p/resize";
    let mut resized = server.json("GET", path, &Value::Null).await.unwrap();
    let container = resized.entry("spec").entry("containers").items_mut().next().unwrap();
    container.set("resources", value!({"requests": (amounts("1")), "limits": (amounts("3"))}));
    let refused = server.json("PUT", path, &resized).await.unwrap_err();
    let expected = "pods \"p\" is forbidden: maximum cpu usage per Container is 2, but limit is 3";
    assert_eq!(refused.message, expected);
    // Another update is not checked, even where the limits are narrower by now.
    let narrow = value!({"metadata": {"name": "narrow"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}});
    server.create("", "limitranges", "default", narrow).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    let path = "/api/v1/namespaces/default/pods/p";
    let mut labelled = server.json("GET", path, &Value::Null).await.unwrap();
    labelled.entry("metadata").entry("labels").set("a", "b");
    server.json("PUT", path, &labelled).await.unwrap();
}

#[test]
fn ratios_are_exact() {
    let limit = |ratio: &str, request: &str, limit: &str| {
        let range =
            value!({"spec": {"limits": [{"type": "Container", "maxLimitRequestRatio": {"cpu": ratio}}]}});
        let pod = with(value!({"requests": {"cpu": request}, "limits": {"cpu": limit}}));
        limits::of_pod(&range, &pod, &Value::Null)
    };
    assert_eq!(limit("3", "333m", "999m"), Vec::<String>::new());
    let expected = "cpu max limit to request ratio per Container is 3, but provided ratio is 3.003003";
    assert_eq!(limit("3", "333m", "1"), [expected]);
    assert_eq!(limit("1500m", "2", "3"), Vec::<String>::new());
    assert_eq!(limit("1500m", "2", "3001m").len(), 1);
}
