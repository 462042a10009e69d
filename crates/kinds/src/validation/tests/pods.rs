use super::*;
use crate::defaults::default_pod;
use crate::validation::{validate_pod, validate_pod_resize, validate_pod_status_update, validate_pod_update};

fn base() -> Value {
    value!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "a", "image": "web:1"}], "volumes": [{"name": "v", "emptyDir": {}}]},
    })
}

/// Checks the errors of the pod after a merge patch of its spec.
#[track_caller]
fn check(spec: Value, wrong: &[&str]) {
    let pod = patched(&base(), &value!({"spec": spec.clone()}), default_pod);
    assert_eq!(lines(validate_pod(&pod)), wrong, "{spec:?}");
}

/// Checks the errors of the pod whose only container has these additional fields.
#[track_caller]
fn check_container(container: Value, wrong: &[&str]) {
    let container = merge_patch(value!({"name": "a", "image": "web:1"}), container).unwrap();
    check(value!({"containers": [container]}), wrong);
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

#[test]
fn pod_specs() {
    check(value!({}), &[]);
    check(value!({"containers": []}), &["spec.containers: Required value"]);
    check(
        value!({"restartPolicy": "Sometimes"}),
        &[
            r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#,
        ],
    );
    check(
        value!({"dnsPolicy": "None"}),
        &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
    );
    check(
        value!({"dnsConfig": {"nameservers": ["1.2.3"]}}),
        &[
            r#"spec.dnsConfig.nameservers[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
        ],
    );
    check(
        value!({"activeDeadlineSeconds": 0}),
        &["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    );
    check(value!({"hostname": "A"}), &[&format!(r#"spec.hostname: Invalid value: "A": {LABEL}"#)]);
    check(
        value!({"nodeName": "n", "schedulingGates": [{"name": "g"}]}),
        &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    );
    check(
        value!({"ephemeralContainers": [{"name": "e", "image": "x:1"}]}),
        &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    );
    check(
        value!({"tolerations": [{"operator": "Equal"}]}),
        &[
            r#"spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys""#,
        ],
    );
    check(
        value!({"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}]}),
        &[
            r#"spec.tolerations[0].effect: Invalid value: "NoSchedule": effect must be 'NoExecute' when `tolerationSeconds` is set"#,
        ],
    );
    check(
        value!({"hostNetwork": true, "hostUsers": false, "hostPID": true}),
        &["spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false"],
    );
    check(
        value!({"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}, {"name": "a..b", "value": "1"}]}}),
        &[
            r#"spec.securityContext.sysctls[1].name: Invalid value: "a..b": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"#,
        ],
    );
    check(
        value!({"securityContext": {"sysctls": [{"name": "net.core.x", "value": "1"}]}, "hostNetwork": true}),
        &[
            r#"spec.securityContext.sysctls[0].name: Invalid value: "net.core.x": may not be specified when 'hostNetwork' is true"#,
        ],
    );
    check(
        value!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
        &["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
    );
    check(
        value!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}}),
        &[
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
        ],
    );
    check(
        value!({"os": {"name": "windows"}, "hostIPC": true}),
        &["spec.hostIPC: Forbidden: cannot be set for a windows pod"],
    );
    check(
        value!({"resourceClaims": [{"name": "c"}]}),
        &[
            r#"spec.resourceClaims[0]: Invalid value: {"name":"c"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"#,
        ],
    );
    check(
        value!({"resources": {"requests": {"cpu": "1"}}, "containers": [{"name": "a", "image": "x:1", "resources": {"requests": {"cpu": "2"}}}]}),
        &[
            r#"spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2"#,
        ],
    );
}

#[test]
fn containers() {
    check_container(
        value!({"name": null, "image": ""}),
        &["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
    );
    check_container(
        value!({"image": " web:1"}),
        &[
            r#"spec.containers[0].image: Invalid value: " web:1": must not have leading or trailing whitespace"#,
        ],
    );
    check_container(
        value!({"ports": [{"name": "http", "containerPort": 0}, {"name": "http", "containerPort": 70000}]}),
        &[
            "spec.containers[0].ports[0].containerPort: Required value",
            r#"spec.containers[0].ports[1].name: Duplicate value: "http""#,
            "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ],
    );
    check_container(
        value!({"ports": [{"containerPort": 1, "hostPort": 1}, {"containerPort": 2, "hostPort": 1}]}),
        &[r#"spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//1""#],
    );
    check_container(
        value!({"env": [{"name": "a=b"}, {"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        &[
            r#"spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='"#,
            r#"spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty"#,
        ],
    );
    check_container(
        value!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}),
        &[
            r#"spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x"#,
        ],
    );
    check_container(
        value!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]}),
        &[
            r#"spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor's values 1m and 1 are supported with the cpu resource"#,
        ],
    );
    check_container(
        value!({"envFrom": [{}]}),
        &[
            r#"spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`"#,
        ],
    );
    check_container(
        value!({"volumeMounts": [{"name": "x", "mountPath": "/a"}, {"name": "v", "mountPath": "/a", "subPath": "../b"}]}),
        &[
            r#"spec.containers[0].volumeMounts[0].name: Not found: "x""#,
            r#"spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique"#,
            r#"spec.containers[0].volumeMounts.subPath: Invalid value: "../b": must not contain '..'"#,
        ],
    );
    check_container(
        value!({"resources": {"limits": {"cpu": "1", "x": "1"}, "requests": {"cpu": "2", "memory": "-1"}}}),
        &[
            r#"spec.containers[0].resources.limits[x]: Invalid value: "x": must be a standard resource type or fully qualified"#,
            r#"spec.containers[0].resources.limits[x]: Invalid value: "x": must be a standard resource for containers"#,
            r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
            r#"spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0"#,
            r#"spec.containers[0].resources.requests[x]: Invalid value: "x": must be a standard resource type or fully qualified"#,
            r#"spec.containers[0].resources.requests[x]: Invalid value: "x": must be a standard resource for containers"#,
        ],
    );
    check_container(
        value!({"resources": {"requests": {"example.com/gpu": "1.5"}}}),
        &[
            r#"spec.containers[0].resources.requests[example.com/gpu]: Invalid value: "1500m": must be an integer"#,
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
        ],
    );
    check_container(
        value!({"resources": {"limits": {"hugepages-2Mi": "3Mi"}}}),
        &[
            r#"spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi"#,
            r#"spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi"#,
            "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
        ],
    );
    check_container(
        value!({"securityContext": {"runAsUser": -1, "allowPrivilegeEscalation": false, "privileged": true, "procMount": "Unmasked"}}),
        &[
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            r#"spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`"#,
            r#"spec.containers[0].securityContext: Invalid value: {"runAsUser":-1,"allowPrivilegeEscalation":false,"privileged":true,"procMount":"Unmasked"}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"#,
        ],
    );
    check_container(
        value!({"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "Equals", "values": [1]}}]}),
        &[
            "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
            r#"spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "Equals": supported values: "In", "NotIn""#,
        ],
    );
}

#[test]
fn probes_and_hooks() {
    check_container(
        value!({"livenessProbe": {}}),
        &["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
    );
    check_container(
        value!({"livenessProbe": {"tcpSocket": {"port": 1}, "exec": {"command": []}, "successThreshold": 2}}),
        &[
            "spec.containers[0].livenessProbe.exec.command: Required value",
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    );
    check_container(
        value!({"readinessProbe": {"tcpSocket": {"port": "-"}, "terminationGracePeriodSeconds": 1}}),
        &[
            r#"spec.containers[0].readinessProbe.tcpSocket.port: Invalid value: "-": must contain at least one letter (a-z)"#,
            r#"spec.containers[0].readinessProbe.tcpSocket.port: Invalid value: "-": must not begin or end with a hyphen"#,
            "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes",
        ],
    );
    check_container(
        value!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
        &[
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
        ],
    );
    check(
        value!({"initContainers": [{"name": "a", "image": "x:1", "startupProbe": {"exec": {"command": ["x"]}}}]}),
        &[
            r#"spec.initContainers[0].name: Duplicate value: "a""#,
            "spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
    check(
        value!({"initContainers": [{"name": "b", "image": "x:1", "restartPolicy": "Always", "startupProbe": {"exec": {"command": ["x"]}}}]}),
        &[],
    );
}

#[test]
fn volumes() {
    let volume = |volume: Value| value!({"volumes": [volume]});
    check(
        volume(value!({"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}})),
        &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    );
    check(
        volume(value!({"name": "v", "hostPath": {"path": "/x/../y", "type": "Odd"}})),
        &[
            r#"spec.volumes[0].hostPath.path: Invalid value: "/x/../y": must not contain '..'"#,
            r#"spec.volumes[0].hostPath.type: Unsupported value: "Odd": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket""#,
        ],
    );
    check(
        volume(value!({"name": "v", "secret": {"defaultMode": 512, "items": [{"key": "k", "path": "/p"}]}})),
        &[
            "spec.volumes[0].secret.secretName: Required value",
            "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            r#"spec.volumes[0].secret.items[0].path: Invalid value: "/p": must be a relative path"#,
        ],
    );
    check(
        value!({"volumes": [{"name": "v"}, {"name": "v"}]}),
        &[r#"spec.volumes[1].name: Duplicate value: "v""#],
    );
    check(
        volume(
            value!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]}}),
        ),
        &[
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
        ],
    );
    check(
        volume(value!({"name": "v", "csi": {"driver": ""}})),
        &[
            "spec.volumes[0].csi.driver: Required value",
            r#"spec.volumes[0].csi.driver: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
        ],
    );
}

#[test]
fn annotations() {
    let pod = |annotations: Value| {
        patched(&base(), &value!({"metadata": {"annotations": annotations}}), default_pod)
    };
    let wrong = |annotations: Value| lines(validate_pod(&pod(annotations)));
    assert_eq!(
        wrong(value!({"controller.kubernetes.io/pod-deletion-cost": "+1"})),
        [
            r#"metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit integer"#
        ]
    );
    assert_eq!(
        wrong(value!({"kubernetes.io/config.mirror": "x"})),
        [
            r#"metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set"#
        ]
    );
    assert_eq!(
        wrong(value!({"container.apparmor.security.beta.kubernetes.io/z": "unconfined"})),
        [
            r#"metadata.annotations[container.apparmor.security.beta.kubernetes.io/z]: Invalid value: "z": container not found"#
        ]
    );
}

#[test]
fn updates() {
    let old = patched(&base(), &value!({}), default_pod);
    let wrong =
        |spec: Value| lines(validate_pod_update(&patched(&old, &value!({"spec": spec}), default_pod), &old));
    let none: [&str; 0] = [];
    assert_eq!(wrong(value!({})), none);
    assert_eq!(
        wrong(value!({"activeDeadlineSeconds": 5, "tolerations": [{"key": "a", "operator": "Exists"}]})),
        none
    );
    let mut image = old.clone();
    image
        .at_mut("spec.containers")
        .unwrap()
        .items_mut()
        .for_each(|container| container.set("image", "web:2"));
    assert_eq!(lines(validate_pod_update(&image, &old)), none);
    assert_eq!(
        wrong(value!({"containers": []})),
        [
            "spec.containers: Required value",
            "spec.containers: Forbidden: pod updates may not add or remove containers"
        ]
    );
    let refused = wrong(value!({"hostname": "other"}));
    assert!(refused[0].starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"), "{refused:?}");
    assert_eq!(
        wrong(value!({"schedulingGates": [{"name": "g"}]})),
        [
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"
        ]
    );

    let gated = patched(
        &old,
        &value!({"spec": {"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}}}),
        default_pod,
    );
    let narrowed = patched(
        &gated,
        &value!({"spec": {"nodeSelector": {"c": "d"}, "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}}}}),
        default_pod,
    );
    assert_eq!(lines(validate_pod_update(&narrowed, &gated)), none);
    let widened = patched(&gated, &value!({"spec": {"nodeSelector": {"a": null}}}), default_pod);
    assert_eq!(
        lines(validate_pod_update(&widened, &gated)),
        [
            r#"spec.nodeSelector: Invalid value: {}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"#
        ]
    );
}

#[test]
fn status_updates() {
    let old = patched(
        &base(),
        &value!({"spec": {"restartPolicy": "Never"}, "status": {"qosClass": "BestEffort", "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 0}}}]}}),
        default_pod,
    );
    let wrong = |status: Value| {
        lines(validate_pod_status_update(&patched(&old, &value!({"status": status}), default_pod), &old))
    };
    let none: [&str; 0] = [];
    assert_eq!(wrong(value!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]})), none);
    assert_eq!(
        wrong(value!({"qosClass": "Burstable"})),
        [r#"status.qosClass: Invalid value: "Burstable": field is immutable"#]
    );
    assert_eq!(
        wrong(value!({"containerStatuses": [{"name": "a", "state": {"running": {}}}]})),
        ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    );
    assert_eq!(
        wrong(value!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]})),
        [
            r#"status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]: may specify no more than one IP for each IP family"#
        ]
    );
    assert_eq!(wrong(value!({"conditions": [{"type": "not ok", "status": "True"}]})).len(), 1);
    let sloppy =
        || value!({"podIPs": [{"ip": "010.0.0.1"}], "hostIP": "010.0.0.2", "hostIPs": [{"ip": "010.0.0.2"}]});
    assert_eq!(
        wrong(sloppy()),
        [
            r#"status.podIPs[0]: Invalid value: "010.0.0.1": must not have leading 0s"#,
            r#"status.hostIPs[0]: Invalid value: "010.0.0.2": must not have leading 0s"#
        ]
    );
    let old = patched(&old, &value!({"status": (sloppy())}), default_pod);
    let kept = patched(&old, &value!({"status": {"phase": "Running"}}), default_pod);
    assert_eq!(lines(validate_pod_status_update(&kept, &old)), none, "they may stay");
}

#[test]
fn resizes() {
    let container = |resources: Value| value!({"spec": {"containers": [{"name": "a", "image": "web:1", "resources": resources}]}});
    let old = patched(&base(), &container(value!({"requests": {"cpu": "1", "memory": "1Gi"}})), default_pod);
    let wrong = |resources: Value| {
        lines(validate_pod_resize(&patched(&old, &container(resources), default_pod), &old))
    };
    let none: [&str; 0] = [];
    assert_eq!(wrong(value!({"requests": {"cpu": "2", "memory": "2Gi"}})), none);
    assert_eq!(
        wrong(value!({"requests": {"cpu": "2"}})),
        ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]
    );
    assert_eq!(
        wrong(value!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}})),
        [
            r#"spec: Invalid value: "": Pod QOS Class may not change as a result of resizing"#,
            "spec.containers[0].resources.limits[memory]: Forbidden: memory limits cannot be added unless resizePolicy is RestartContainer"
        ]
    );
    assert_eq!(
        wrong(value!({"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}})),
        ["spec: Forbidden: only cpu and memory resources are mutable"]
    );
}
