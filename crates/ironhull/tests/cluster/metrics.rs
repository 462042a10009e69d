//! What the server measures of itself, as a scraper sees it.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![trial(shared, "metrics", "components_show_what_they_did", components_show_what_they_did)]
}

const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: nginx, image: $NGINX}]}
"#;

fn components_show_what_they_did(namespace: &Namespace) {
    namespace.apply(WORKLOAD);
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    let text = namespace.run(&["get", "--raw", "/metrics"]);
    let at_least = |start: &str, least: f64| {
        let values =
            text.lines().filter(|line| line.starts_with(start)).filter_map(|line| line.rsplit(' ').next());
        let sum: f64 = values.map(|value| value.parse::<f64>().unwrap()).sum();
        assert!(sum >= least, "{start} is {sum} in\n{text}");
    };
    at_least(
        "apiserver_request_total{verb=\"POST\",group=\"apps\",version=\"v1\",resource=\"deployments\"",
        1.0,
    );
    at_least("scheduler_schedule_attempts_total{", 1.0);
    at_least("workqueue_adds_total{name=\"deployment\"}", 1.0);
    at_least("process_resident_memory_bytes ", 1e6);
    at_least("apiserver_resource_objects{group=\"\",resource=\"pods\"}", 1.0);
}
