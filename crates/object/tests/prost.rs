//! The protobuf codec compared with another one: the messages that `prost` generates from upstream's definitions must
//! read our output and write it again byte for byte.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use k8s_pb::api::{apps, batch, core, networking, rbac};
use object::decode::decode_value;
use object::{Value, protobuf, value};
use prost::Message;

fn check<M: Message + Default + PartialEq>(mut object: Value, api_version: &str, kind: &str) -> M {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let ty = schema::type_by_gvk(group, version, kind).unwrap();
    object.set(
        "metadata",
        value!({"name": "web", "namespace": "default", "labels": {"a": "1"}, "generation": 3}),
    );
    let decoded = decode_value(object, &ty).unwrap();
    assert_eq!(decoded.strict_errors, []);
    let ours = protobuf::encode_message(&decoded.value, &ty).unwrap();
    let message = M::decode(&*ours).unwrap();
    assert_eq!(message.encode_to_vec(), ours, "{kind}: prost writes what we wrote");
    let back = protobuf::decode_message(&message.encode_to_vec(), &ty, &|_, _| None).unwrap();
    assert_eq!(back, decoded.value, "{kind}: we read what prost wrote");
    message
}

#[test]
fn pods() {
    let pod: core::v1::Pod = check(
        value!({"spec": {
            "containers": [{
                "name": "c", "image": "nginx", "command": ["a", "b"], "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m"}},
                "readinessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 5},
                "env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            }],
            "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s", "optional": false}}]}}],
            "terminationGracePeriodSeconds": 0, "nodeSelector": {"os": "linux"},
            "tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": -1}],
        }}),
        "v1",
        "Pod",
    );
    let spec = pod.spec.unwrap();
    assert_eq!(spec.termination_grace_period_seconds, Some(0));
    assert_eq!(spec.containers[0].image.as_deref(), Some("nginx"));
    assert_eq!(spec.tolerations[0].toleration_seconds, Some(-1));
}

#[test]
fn services_and_secrets() {
    let service: core::v1::Service = check(
        value!({"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 443, "targetPort": "https"}]}}),
        "v1",
        "Service",
    );
    let ports = service.spec.unwrap().ports;
    assert_eq!(ports[0].target_port.as_ref().unwrap().int_val, Some(8080));
    assert_eq!(ports[1].target_port.as_ref().unwrap().str_val.as_deref(), Some("https"));
    let secret: core::v1::Secret = check(value!({"data": {"a": "AAEC"}, "type": "Opaque"}), "v1", "Secret");
    assert_eq!(secret.data["a"], [0, 1, 2]);
    let _: core::v1::Event = check(
        value!({"involvedObject": {}, "eventTime": "2024-01-01T00:00:00.000001Z", "count": 2}),
        "v1",
        "Event",
    );
}

#[test]
fn workloads() {
    let deployment: apps::v1::Deployment = check(
        value!({"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "1"}},
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}, "template": {}}}),
        "apps/v1",
        "Deployment",
    );
    assert_eq!(deployment.spec.unwrap().replicas, Some(0));
    let _: batch::v1::CronJob = check(
        value!({"spec": {"schedule": "* * * * *", "suspend": false, "jobTemplate": {}}}),
        "batch/v1",
        "CronJob",
    );
}

#[test]
fn policies() {
    let _: rbac::v1::Role =
        check(value!({"rules": [{"verbs": ["get"]}]}), "rbac.authorization.k8s.io/v1", "Role");
    let _: networking::v1::NetworkPolicy = check(
        value!({"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}}),
        "networking.k8s.io/v1",
        "NetworkPolicy",
    );
}
