//! Checks after a period without faults and without new requests.

use std::collections::BTreeSet;
use std::time::Duration;

use object::Value;

use crate::components;
use crate::model::{
    Model, controller, has_condition, is_active, is_deleting, is_over, matches, name, number, uid,
};
use crate::promises;
use crate::scenario::Cluster;

/// The time without writes after which the cluster counts as settled: a Job waits for up to ten minutes after failures.
const REST: Duration = Duration::from_secs(660);
/// For so long nothing may be written after the controllers have started again.
const RESTART: Duration = Duration::from_secs(300);
/// After so long it must have.
const REST_WITHIN: Duration = Duration::from_secs(3600);
/// For so long nothing may be written then.
const QUIET: Duration = Duration::from_secs(900);

/// Waits until the cluster is at rest, and checks the result.
///
/// # Errors
/// The first violation.
pub(crate) async fn check(cluster: &mut Cluster) -> Result<(), String> {
    let begin = tokio::time::Instant::now();
    loop {
        let writes = writes_during(cluster, REST).await;
        if writes.is_empty() {
            break;
        }
        if begin.elapsed() > REST_WITHIN {
            return Err(format!("an hour after the end these are still written: {}", counted(&writes)));
        }
    }
    let writes = writes_during(cluster, QUIET).await;
    if !writes.is_empty() {
        return Err(format!("nothing happens, and these are written: {}", counted(&writes)));
    }
    check_restart(cluster).await?;
    if cluster.controllers.is_finished() || cluster.scheduler.is_finished() {
        return Err("a component has ended by itself".to_owned());
    }
    let seen = cluster.seen.lock();
    let model = &seen.model;
    let own = [deployments, replica_sets, daemon_sets, pods, endpoints, garbage, namespaces];
    let checks = own.into_iter().chain(promises::CHECKS);
    let wrong: Vec<String> = checks.flat_map(|check| check(model)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Controllers that remember nothing look at everything: a second run of a plan does nothing. Events may be told again.
async fn check_restart(cluster: &mut Cluster) -> Result<(), String> {
    let next = components::controllers(&cluster.server);
    std::mem::replace(&mut cluster.controllers, next).kill();
    let mut writes = writes_during(cluster, RESTART).await;
    writes.retain(|key| !key.starts_with("events/"));
    if writes.is_empty() {
        Ok(())
    } else {
        Err(format!("for the second time these are written: {}", counted(&writes)))
    }
}

async fn writes_during(cluster: &Cluster, time: Duration) -> Vec<String> {
    cluster.server.revision().await;
    cluster.seen.lock().writes.clear();
    tokio::time::sleep(time).await;
    cluster.server.revision().await;
    std::mem::take(&mut cluster.seen.lock().writes)
}

fn counted(writes: &[String]) -> String {
    let distinct: BTreeSet<&String> = writes.iter().collect();
    let count = |key: &String| writes.iter().filter(|write| *write == key).count();
    distinct.iter().map(|key| format!("{key} ({} times)", count(key))).collect::<Vec<_>>().join(", ")
}

/// Every Deployment has its replicas, of its newest template, and reports them.
fn deployments(model: &Model) -> Vec<String> {
    let told = |deployment: &Value| {
        let replicas = number(deployment, "spec.replicas");
        ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
            .into_iter()
            .filter(|field| number(deployment.get("status"), field) != replicas)
            .map(|field| format!("{field} is {}", number(deployment.get("status"), field)))
            .chain(
                (number(deployment, "status.observedGeneration")
                    != number(deployment, "metadata.generation"))
                .then(|| "its status is of an older generation".to_owned()),
            )
            .collect::<Vec<_>>()
    };
    let wrong = model.all("deployments").map(|deployment| (deployment, told(deployment)));
    wrong
        .filter(|(_, told)| !told.is_empty())
        .map(|(deployment, told)| {
            let replicas = number(deployment, "spec.replicas");
            format!("Deployment {} wants {replicas} replicas: {}", name(deployment), told.join(", "))
        })
        .collect()
}

/// Every ReplicaSet has the desired number of ready pods.
fn replica_sets(model: &Model) -> Vec<String> {
    let wrong = model.all("replicasets").filter_map(|set| {
        let pods: Vec<&Value> = model.pods_of(set).filter(|pod| is_active(pod)).collect();
        let ready = pods.iter().filter(|pod| has_condition(pod, "Ready")).count() as i64;
        let (wanted, told) = (number(set, "spec.replicas"), number(set, "status.readyReplicas"));
        let fits = pods.len() as i64 == wanted && ready == wanted && told == wanted;
        (!fits).then(|| {
            let pods = pods.len();
            format!("ReplicaSet {} wants {wanted} pods: {pods}, {ready} ready, {told} told", name(set))
        })
    });
    wrong.collect()
}

/// Every DaemonSet has a ready pod on every node.
fn daemon_sets(model: &Model) -> Vec<String> {
    let nodes: BTreeSet<&str> = model.all("minions").map(|node| node.str_at("metadata.name")).collect();
    let wrong = model.all("daemonsets").filter_map(|set| {
        let pods: Vec<&Value> = model.pods_of(set).filter(|pod| is_active(pod)).collect();
        let on: BTreeSet<&str> = pods.iter().map(|pod| pod.str_at("spec.nodeName")).collect();
        let told = number(set, "status.numberReady");
        let fits = on == nodes && pods.len() == nodes.len() && told == nodes.len() as i64;
        (!fits).then(|| format!("DaemonSet {} has {} pods on {on:?}, {told} told", name(set), pods.len()))
    });
    wrong.collect()
}

/// Every pod belongs to something and runs somewhere, or is a Job's and over.
fn pods(model: &Model) -> Vec<String> {
    let mut wrong = Vec::new();
    for pod in model.all("pods") {
        let node = pod.str_at("spec.nodeName");
        let is_of_job = controller(pod).is_some_and(|owner| owner.str_at("kind") == "Job");
        if is_of_job && is_over(pod) && !is_deleting(pod) {
            continue;
        }
        let has_node = model.get(&format!("minions/{node}")).is_some();
        if is_deleting(pod) || !has_node || !has_condition(pod, "Ready") || controller(pod).is_none() {
            let phase = pod.str_at("status.phase");
            let deleting = is_deleting(pod);
            wrong.push(format!("pod {}: phase {phase}, on {node:?}, in deletion: {deleting}", name(pod)));
        }
    }
    wrong
}

/// The endpoints of every Service are the ready pods that it selects, in both forms.
fn endpoints(model: &Model) -> Vec<String> {
    let mut wrong = Vec::new();
    for service in model.all("services/specs").filter(|service| !service.at("spec.selector").is_null()) {
        let namespace = service.str_at("metadata.namespace");
        let is_here = |object: &&Value| object.str_at("metadata.namespace") == namespace;
        let pods = model.all("pods").filter(is_here).filter(|pod| matches(service.at("spec.selector"), pod));
        let wanted: BTreeSet<&str> = pods
            .filter(|pod| is_active(pod) && has_condition(pod, "Ready"))
            .map(|pod| pod.str_at("status.podIP"))
            .collect();
        let label = ["metadata", "labels", "kubernetes.io/service-name"];
        let slices = model.all("endpointslices").filter(is_here);
        let slices = slices.filter(|slice| slice.at_path(&label) == service.at("metadata.name"));
        let ready = slices
            .flat_map(|slice| slice.get("endpoints").items())
            .filter(|endpoint| endpoint.at("conditions.ready").as_bool() == Some(true));
        let in_slices: BTreeSet<&str> =
            ready.flat_map(|endpoint| endpoint.get("addresses").items()).filter_map(Value::as_str).collect();
        let key = format!("services/endpoints/{}", name(service));
        let subsets = model.get(&key).map(|endpoints| endpoints.get("subsets").items()).unwrap_or_default();
        let in_endpoints: BTreeSet<&str> =
            subsets.flat_map(|subset| subset.get("addresses").items()).map(|one| one.str_at("ip")).collect();
        if in_slices != wanted || in_endpoints != wanted {
            let name = name(service);
            wrong.push(format!(
                "Service {name} has {wanted:?} behind it; its slices say {in_slices:?}, its Endpoints {in_endpoints:?}"
            ));
        }
    }
    wrong
}

/// Nothing is left whose owners are gone.
fn garbage(model: &Model) -> Vec<String> {
    let uids: BTreeSet<&str> = model.everything().map(|(_, object)| uid(object)).collect();
    let left = model.everything().filter(|(_, object)| {
        let owners = object.at("metadata.ownerReferences");
        let mut owners = owners.items().peekable();
        owners.peek().is_some() && owners.all(|owner| !uids.contains(owner.str_at("uid")))
    });
    left.map(|(key, _)| format!("{key} is left, its owners are gone")).collect()
}

/// No namespace is half gone, and each has what every namespace has.
fn namespaces(model: &Model) -> Vec<String> {
    let mut wrong = Vec::new();
    for namespace in model.all("namespaces") {
        let name = namespace.str_at("metadata.name");
        if is_deleting(namespace) {
            wrong.push(format!("namespace {name} does not end"));
        }
        for key in [format!("serviceaccounts/{name}/default"), format!("configmaps/{name}/kube-root-ca.crt")]
        {
            if model.get(&key).is_none() {
                wrong.push(format!("there is no {key}"));
            }
        }
    }
    for (key, object) in model.everything() {
        let namespace = object.str_at("metadata.namespace");
        if !namespace.is_empty() && model.get(&format!("namespaces/{namespace}")).is_none() {
            wrong.push(format!("{key} is in a namespace that is gone"));
        }
    }
    wrong
}
