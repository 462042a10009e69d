//! A configuration file with extenders, over real HTTP and in real time.

use super::*;
use crate::extender::tests::serve;

#[tokio::test]
async fn they_filter_score_and_bind() {
    let server = Server::start_in_real_time().await;
    server.open("default").await;
    for name in ["a", "b", "c"] {
        add_node(&server, name, json!({})).await;
    }
    let client = server.client(User::new("system:kube-scheduler", &[]));
    let (url, asked) = serve(|path, _| match path {
        "filter" => (200, json!({"NodeNames": ["b", "c"], "FailedNodes": {"a": "is reserved"}})),
        "prioritize" => (200, json!([{"Host": "b", "Score": 1}, {"Host": "c", "Score": 10}])),
        _ => (200, json!({"Error": "the binder has no licence"})),
    })
    .await;
    let configuration = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nextenders:\n\
         - {{urlPrefix: '{url}', filterVerb: filter, prioritizeVerb: prioritize, weight: 100, nodeCacheCapable: true}}\n\
         - {{urlPrefix: '{url}', bindVerb: bind, managedResources: [{{name: a.example/gpu, ignoredByScheduler: true}}]}}\n"
    );
    let mut config = Config::default();
    config.apply(Configuration::parse(configuration.as_bytes()).unwrap());
    let cancel = CancellationToken::new();
    let (posted, mut pods) = tokio::sync::mpsc::unbounded_channel();
    let informers = Informers::new(client.clone());
    let watched = informers.get::<client::LeanPod>();
    watched.synced().await;
    let _seen = watched.subscribe(move |change| drop(posted.send(change.new.clone())));
    tokio::spawn(run(client, informers, config, cancel.clone()));
    let _stop = cancel.drop_guard();
    server.put(&whole_pod("plain", json!({}))).await;
    let gpu = json!({"a.example/gpu": "1"});
    let mut managed = containers(gpu.clone());
    managed["containers"][0]["resources"]["limits"] = gpu;
    server.put(&whole_pod("managed", managed)).await;
    let (mut node, mut why) = (None, None);
    while node.is_none() || why.is_none() {
        let pod = pods.recv().await.unwrap();
        let Some(pod) = pod.map(PodInfo::new) else { continue };
        if &*pod.key.name == "plain" {
            node = pod.node_name().map(str::to_owned);
        } else {
            let conditions = pod.pod().status.iter().flat_map(|status| &status.conditions);
            let mut failed =
                conditions.filter(|condition| condition.said.reason.as_deref() == Some("SchedulerError"));
            why = failed.next().and_then(|condition| condition.said.message.as_deref().map(str::to_owned));
        }
    }
    assert_eq!(node.as_deref(), Some("c"));
    assert_eq!(why.as_deref(), Some("the binder has no licence"));
    let bound = asked.lock().iter().find(|(path, _)| path == "bind").map(|(_, body)| body["PodName"].clone());
    assert_eq!(bound, Some(json!("managed")));
}
