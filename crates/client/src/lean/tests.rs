//! A lean view gives the same results as the whole object.

use k8s_openapi::api::core::v1::Pod;
use object::Value;
use semantics::{
    EndpointState, NodeTerms, Options, View, conditions, controller_of, pod_requests, pods, tolerations,
};
use serde_json::json;

use super::*;
use crate::{Form, Identified, key_of, reference_to};

fn pod() -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
            "labels": {"app": "web"},
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b",
                "controller.kubernetes.io/pod-deletion-cost": "5"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r1", "controller": true}],
            "managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": {"f:metadata": {}}}],
        },
        "spec": {
            "nodeName": "n1", "schedulerName": "default-scheduler", "priority": 5, "hostNetwork": true,
            "nodeSelector": {"zone": "a", "arch": "x"},
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]}}},
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                 "tolerationSeconds": 300},
                {"key": "own", "value": "x"}, {"operator": "Exists"}],
            "overhead": {"cpu": "10m"},
            "containers": [{
                "name": "a", "image": "web:1", "env": [{"name": "X", "value": "y"}],
                "ports": [{"name": "http", "containerPort": 80, "hostPort": 8080}],
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": 80}}}],
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "i", "resources": {"requests": {"memory": "3Gi"}}}],
            "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "data", "persistentVolumeClaim": {"claimName": "c"}}],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"},
                {"type": "Own", "status": "False", "reason": "Because", "message": "so"}],
            "containerStatuses": [{
                "name": "a", "ready": true, "restartCount": 3, "image": "web:1", "imageID": "sha256:1",
                "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}, "allocatedResources": {"cpu": "2"}}],
        },
    })
}

/// The results of all rules for a pod, as text.
fn answers(pod: &dyn View) -> String {
    let own = conditions::of(pod, "Own");
    let requests = pod_requests(pod, Options::default());
    let requests: Vec<String> = requests.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    format!(
        "{:?}",
        (
            (pods::phase(pod), pods::node_name(pod), pods::is_terminal(pod), pods::is_terminating(pod)),
            (pods::ready_since(pod), pods::available_at(pod, 5), EndpointState::of_pod(pod, false)),
            (tolerations(pod), NodeTerms::new(&pod.field("spec")), requests),
            (controller_of(&pod.field("metadata")), own.field("reason").text(), own.field("message").text()),
        )
    )
}

#[test]
fn the_rules_answer_as_for_the_whole_pod() {
    let json = pod();
    let lean: LeanPod = serde_json::from_value(json.clone()).unwrap();
    let typed: Pod = serde_json::from_value(json.clone()).unwrap();
    let tree: Value = object::json::parse(json.to_string().as_bytes()).unwrap();
    assert_eq!(answers(&lean), answers(&typed));
    assert_eq!(answers(&lean), answers(&tree));
    let empty: LeanPod = serde_json::from_value(json!({})).unwrap();
    assert_eq!(answers(&empty), answers(&Pod::default()));
}

#[test]
fn metadata_is_that_of_the_whole_pod_but_for_what_nobody_reads() {
    let lean: LeanPod = serde_json::from_value(pod()).unwrap();
    let mut typed: Pod = serde_json::from_value(pod()).unwrap();
    let mut names = 0;
    lean.metadata.each(&mut |name, member| {
        names += 1;
        assert_eq!(format!("{member:?}"), format!("{:?}", typed.metadata.field(name)), "{name}");
    });
    assert_eq!(names, 8);
    assert_eq!((lean.metadata.resource_version, lean.metadata.generation), (7, Some(2)));
    let annotations: Vec<_> = lean.metadata.annotations.iter().collect();
    assert_eq!(annotations, [("controller.kubernetes.io/pod-deletion-cost", "5")]);
    let empty: LeanPod = serde_json::from_value(json!({})).unwrap();
    empty.metadata.each(&mut |name, member| assert!(member.is_empty(), "{name}"));
    typed.metadata.managed_fields = None;
    let annotations = typed.metadata.annotations.as_mut().unwrap();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    let partial: PartialObject = serde_json::from_value(pod()).unwrap();
    assert_eq!(partial.metadata, typed.metadata);
}

#[test]
fn every_form_tells_the_same_of_an_object() {
    let type_meta = object::TypeMeta::new("v1", "Pod");
    let version = object::Versioned::from_json(type_meta, pod().to_string().into(), |_| Default::default());
    let version = version.unwrap();
    let (lean, typed) = (LeanPod::read(&version).unwrap(), Pod::read(&version).unwrap());
    let kin = Kin::read(&version).unwrap();
    fn identity(form: &impl Identified) -> (String, &str, u64, bool) {
        (key_of(form).to_string(), form.uid(), form.resource_version(), form.is_deleting())
    }
    let expected = ("shop/web-1".to_owned(), "u1", 7, true);
    assert_eq!([identity(&lean), identity(&typed), identity(&kin)], [(); 3].map(|()| expected.clone()));
    assert_eq!((lean.owners(), &**kin.owners), (typed.owners(), typed.owners()));
    assert_eq!((lean.labels().label("app"), typed.labels().label("app")), (Some("web"), Some("web")));
    assert!(typed.metadata.managed_fields.is_none());
    assert_eq!(reference_to(&lean), reference_to(&typed));
    assert_eq!(lean.metadata.key.name.as_ptr(), version.key().name.as_ptr(), "names are shared");
}

#[test]
fn only_what_is_read_is_kept() {
    let lean: LeanPod = serde_json::from_value(pod()).unwrap();
    let spec = lean.spec.as_ref().unwrap();
    let claims =
        spec.volumes.iter().map(|volume| Some(&*volume.persistent_volume_claim.as_ref()?.claim_name));
    assert_eq!(claims.collect::<Vec<_>>(), [Some("c")]);
    assert_eq!(spec.containers[0].ports.as_ref().unwrap()[0].host_port, Some(8080));
    let status = lean.status.as_ref().unwrap();
    assert_eq!(status.container_statuses[0].restart_count, 3);
    assert_eq!(&*status.pod_ips[0], "10.0.0.1");
    let of_job = json!({
        "metadata": {
            "finalizers": ["batch.kubernetes.io/job-tracking"], "deletionGracePeriodSeconds": 30,
            "annotations": {"batch.kubernetes.io/job-completion-index": "4"}},
        "status": {"containerStatuses": [
            {"state": {"terminated": {"exitCode": 42, "finishedAt": "2026-01-01T00:00:00Z", "reason": "Error"}}},
            {"state": {"running": {}}}]},
    });
    let of_job: LeanPod = serde_json::from_value(of_job).unwrap();
    assert_eq!(&**of_job.metadata.finalizers.first().unwrap(), "batch.kubernetes.io/job-tracking");
    assert_eq!(of_job.metadata.deletion_grace_period_seconds, Some(30));
    assert_eq!(of_job.metadata.annotations.get("batch.kubernetes.io/job-completion-index"), Some("4"));
    let states = &of_job.status.as_ref().unwrap().container_statuses;
    let ended = states[0].state.terminated.as_ref().unwrap();
    let at = ended.finished_at.map(|at| at.to_string());
    assert_eq!((ended.exit_code, at.as_deref()), (42, Some("2026-01-01T00:00:00Z")));
    assert!(states[1].state.terminated.is_none());
    let single = json!({"status": {"podIP": "10.0.0.2"}});
    let single: LeanPod = serde_json::from_value(single).unwrap();
    assert_eq!(&*single.status.unwrap().pod_ips[0], "10.0.0.2");
}
