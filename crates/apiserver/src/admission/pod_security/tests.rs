//! Each check with pods that pass and pods that do not, in the versions where it changed; and the effects of findings.

use object::patch::merge_patch;
use object::{Value, value};

use super::*;
use crate::admission::configuration::Configuration;
use crate::testing::{TestServer, admin};
use crate::user::User;

const BASELINE: LevelVersion = LevelVersion { level: Level::Baseline, version: Version::Latest };
const RESTRICTED: LevelVersion = LevelVersion { level: Level::Restricted, version: Version::Latest };

const fn minor(level: Level, minor: u32) -> LevelVersion {
    LevelVersion { level, version: Version::Minor(minor) }
}

/// A level's message about a pod, without its beginning; empty if there is none.
fn findings(level: LevelVersion, pod: &Value) -> String {
    let pod = Pod { metadata: pod.get("metadata"), spec: pod.get("spec") };
    let findings = Findings::of(level, pod);
    if findings.is_empty() {
        return String::new();
    }
    findings.text("violates", level).split_once(": ").unwrap().1.to_owned()
}

/// A pod of one container that complies with the strictest level, with this patch of its spec.
fn pod(spec: Value) -> Value {
    let context = value!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let base = value!({
        "metadata": {"name": "p"},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "a", "image": "i", "securityContext": context}]
        }
    });
    merge_patch(base, value!({"spec": spec})).unwrap()
}

/// Such a pod, with this patch of its container.
fn container(patch: Value) -> Value {
    let mut pod = pod(value!({}));
    let list = pod.at_mut("spec.containers").unwrap().as_list_mut().unwrap();
    list[0] = merge_patch(list[0].clone(), patch).unwrap();
    pod
}

fn context(patch: Value) -> Value {
    container(value!({"securityContext": patch}))
}

#[test]
fn what_the_baseline_does_not_allow() {
    let mut annotated = pod(value!({}));
    let key = "container.apparmor.security.beta.kubernetes.io/a";
    let mut notes = Value::map();
    notes.set(key, "unconfined");
    annotated.entry("metadata").set("annotations", notes);
    let cases = [
        (pod(value!({})), ""),
        (
            annotated,
            r#"forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/a="unconfined"")"#,
        ),
        (
            context(value!({"appArmorProfile": {"type": "Unconfined"}})),
            r#"forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")"#,
        ),
        (
            context(value!({"capabilities": {"add": ["NET_RAW", "CHOWN", "SYS_ADMIN"]}})),
            r#"non-default capabilities (container "a" must not include "NET_RAW", "SYS_ADMIN" in securityContext.capabilities.add)"#,
        ),
        (
            pod(value!({"hostNetwork": true, "hostIPC": true})),
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        (
            pod(
                value!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/"}}]}),
            ),
            r#"hostPath volumes (volumes "v", "w")"#,
        ),
        (
            container(value!({"ports": [{"hostPort": 80}, {"hostPort": 8080}, {"containerPort": 1}]})),
            r#"hostPort (container "a" uses hostPorts 80, 8080)"#,
        ),
        (
            container(
                value!({"livenessProbe": {"httpGet": {"host": "h"}}, "lifecycle": {"preStop": {"tcpSocket": {"host": "g"}}}}),
            ),
            r#"probe or lifecycle host (container "a" uses probe or lifecycle hosts "g", "h")"#,
        ),
        (
            context(value!({"privileged": true})),
            r#"privileged (container "a" must not set securityContext.privileged=true)"#,
        ),
        (
            context(value!({"procMount": "Unmasked"})),
            r#"procMount (container "a" must not set securityContext.procMount to "Unmasked")"#,
        ),
        (
            context(value!({"seLinuxOptions": {"type": "spc_t", "user": "u", "role": "r"}})),
            r#"seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)"#,
        ),
        (
            pod(value!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})),
            r#"seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")"#,
        ),
        (
            pod(
                value!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}}),
            ),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            pod(value!({"securityContext": {"windowsOptions": {"hostProcess": true}}})),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ];
    for (pod, expected) in cases {
        assert_eq!(findings(BASELINE, &pod), expected);
        assert_eq!(findings(LevelVersion::default(), &pod), "", "privileged allows everything");
    }
}

#[test]
fn what_is_restricted() {
    let bare = merge_patch(
        pod(value!({"securityContext": null})),
        value!({"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "b"}]}}),
    );
    let expected = concat!(
        r#"allowPrivilegeEscalation != false (containers "b", "a" must set securityContext.allowPrivilegeEscalation=false), "#,
        r#"unrestricted capabilities (containers "b", "a" must set securityContext.capabilities.drop=["ALL"]), "#,
        r#"runAsNonRoot != true (pod or containers "b", "a" must set securityContext.runAsNonRoot=true), "#,
        r#"seccompProfile (pod or containers "b", "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#,
    );
    let cases = [
        (pod(value!({})), ""),
        (bare.unwrap(), expected),
        (context(value!({"capabilities": {"add": ["NET_BIND_SERVICE"]}})), ""),
        (
            context(value!({"capabilities": {"add": ["CHOWN"], "drop": null}})),
            r#"unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container "a" must not include "CHOWN" in securityContext.capabilities.add)"#,
        ),
        (
            pod(value!({"volumes": [
                {"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "nfs": {}}, {"name": "x", "emptyDir": {}}
            ]})),
            r#"restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")"#,
        ),
        (
            context(value!({"runAsNonRoot": false})),
            r#"runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)"#,
        ),
        (pod(value!({"securityContext": {"runAsUser": 0}})), "runAsUser=0 (pod must not set runAsUser=0)"),
        (
            context(value!({"seccompProfile": {"type": "Unconfined"}})),
            r#"seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")"#,
        ),
    ];
    for (pod, expected) in cases {
        assert_eq!(findings(RESTRICTED, &pod), expected);
    }
}

#[test]
fn versions_have_their_own_rules() {
    let unmasked = |spec: Value| {
        merge_patch(context(value!({"procMount": "Unmasked"})), value!({"spec": spec})).unwrap()
    };
    let probe = container(value!({"livenessProbe": {"httpGet": {"host": "h"}}}));
    let sysctl = |name: &str| pod(value!({"securityContext": {"sysctls": [{"name": name}]}}));
    let engine = context(value!({"seLinuxOptions": {"type": "container_engine_t"}}));
    let root = pod(value!({"hostUsers": false, "securityContext": {"runAsNonRoot": null, "runAsUser": 0}}));
    let windows = pod(value!({
        "os": {"name": "windows"}, "securityContext": {"seccompProfile": null}, "containers": [{"name": "a"}]
    }));
    let annotated = {
        let mut annotated = pod(value!({}));
        let mut notes = Value::map();
        notes.set("seccomp.security.alpha.kubernetes.io/pod", "unconfined");
        annotated.entry("metadata").set("annotations", notes);
        annotated
    };
    let (baseline, restricted) = (Level::Baseline, Level::Restricted);
    let cases = [
        (&probe, baseline, 33, true),
        (&probe, baseline, 34, false),
        (&sysctl("net.ipv4.ip_local_reserved_ports"), baseline, 26, false),
        (&sysctl("net.ipv4.ip_local_reserved_ports"), baseline, 27, true),
        (&sysctl("net.ipv4.tcp_fin_timeout"), baseline, 28, false),
        (&sysctl("net.ipv4.tcp_fin_timeout"), baseline, 29, true),
        (&sysctl("net.ipv4.tcp_wmem"), baseline, 31, false),
        (&sysctl("net.ipv4.tcp_wmem"), baseline, 32, true),
        (&sysctl("net.ipv4.tcp_notsent_lowat"), baseline, 36, false),
        (&sysctl("net.ipv4.tcp_notsent_lowat"), baseline, 37, true),
        (&engine, baseline, 30, false),
        (&engine, baseline, 31, true),
        (&annotated, baseline, 18, false),
        (&annotated, baseline, 19, true),
        // A pod with a user namespace may do more, from 1.35 on.
        (&unmasked(value!({"hostUsers": false})), baseline, 34, false),
        (&unmasked(value!({"hostUsers": false})), baseline, 35, true),
        (&unmasked(value!({"hostUsers": true})), baseline, 35, false),
        (&unmasked(value!({"hostUsers": false})), restricted, 35, false),
        (&root, restricted, 34, false),
        (&root, restricted, 35, true),
        // Features that Windows lacks are not required there, from 1.25 on.
        (&windows, restricted, 24, false),
        (&windows, restricted, 25, true),
        (&pod(value!({"containers": [{"name": "a"}]})), restricted, 7, true),
        (&pod(value!({"containers": [{"name": "a"}]})), restricted, 8, false),
        (&pod(value!({"securityContext": {"runAsUser": 0}})), restricted, 22, true),
        (&pod(value!({"securityContext": {"runAsUser": 0}})), restricted, 23, false),
    ];
    for (pod, level, version, passes) in cases {
        let found = findings(minor(level, version), pod);
        assert_eq!(found.is_empty(), passes, "{level:?} 1.{version}: {found}: {pod:?}");
    }
    // Versions that do not exist yet have the rules of the newest.
    assert_eq!(findings(minor(restricted, 999), &root), "");
}

#[test]
fn labels() {
    let read = |labels: Value| {
        let (policy, errors) = Policy::of_labels(&labels, &Policy::default());
        let text = [policy.enforce, policy.audit, policy.warn].map(|level| level.to_string()).join(" ");
        (text, errors.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(
        read(Value::Null),
        ("privileged:latest privileged:latest privileged:latest".to_owned(), none.clone())
    );
    let enforced = value!({
        "pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.25"
    });
    assert_eq!(read(enforced), ("baseline:v1.25 privileged:latest baseline:v1.25".to_owned(), none.clone()));
    let warned = value!({
        "pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "privileged",
        "pod-security.kubernetes.io/audit": "restricted", "pod-security.kubernetes.io/audit-version": "v1.0"
    });
    assert_eq!(read(warned), ("baseline:latest restricted:v1.0 privileged:latest".to_owned(), none));
    let wrong = value!({
        "pod-security.kubernetes.io/enforce": "strict", "pod-security.kubernetes.io/warn": "strict",
        "pod-security.kubernetes.io/enforce-version": "v1.01"
    });
    let (policy, errors) = read(wrong);
    assert_eq!(policy, "restricted:latest privileged:latest privileged:latest");
    assert_eq!(
        errors,
        [
            r#"metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted"#,
            r#"metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: "v1.01": must be "latest" or "v1.x""#,
            r#"metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "strict": must be one of privileged, baseline, restricted"#,
        ]
    );
}

/// A server with a namespace that has these labels and the account that pods run as.
async fn server(labels: Value, config: Config) -> TestServer {
    let server = TestServer::with(crate::Extensions {
        admission: Configuration { pod_security: config, ..Configuration::default() },
        ..Default::default()
    })
    .await;
    server
        .create("", "namespaces", "", value!({"metadata": {"name": "team", "labels": labels}}))
        .await
        .unwrap();
    server.create("", "serviceaccounts", "team", value!({"metadata": {"name": "default"}})).await.unwrap();
    server
}

/// The warnings of a request that is allowed, or the refusal.
async fn ask(server: &TestServer, method: &str, path: &str, body: &Value) -> Result<Vec<String>, String> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = object::json::to_bytes(body);
    match server.request(&admin(), method, path, kind, body).await {
        Ok(answer) => Ok(answer.warnings),
        Err(status) => Err(status.message),
    }
}

const PODS: &str = "/api/v1/namespaces/team/pods";

fn privileged(name: &str) -> Value {
    let mut pod = context(value!({"privileged": true, "allowPrivilegeEscalation": null}));
    pod.entry("metadata").set("name", name);
    pod
}

#[tokio::test]
async fn pods_are_refused_and_workloads_warned_of() {
    let server =
        server(value!({"pod-security.kubernetes.io/enforce": "restricted"}), Config::default()).await;
    let refused = ask(&server, "POST", PODS, &privileged("p")).await.unwrap_err();
    assert_eq!(
        refused,
        r#"pods "p" is forbidden: violates PodSecurity "restricted:latest": privileged (container "a" must not set securityContext.privileged=true), allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)"#
    );
    assert_eq!(ask(&server, "POST", PODS, &pod(value!({}))).await, Ok(Vec::new()));
    let mut template = privileged("p");
    template.set("metadata", value!({"labels": {"a": "b"}}));
    let deployment = value!({
        "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    });
    let warned =
        ask(&server, "POST", "/apis/apps/v1/namespaces/team/deployments", &deployment).await.unwrap();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].starts_with(r#"would violate PodSecurity "restricted:latest": privileged ("#),
        "{warned:?}"
    );
    // Adding a debug container is a relevant change; adding a label is not.
    let debug = value!({"spec": {"ephemeralContainers": [{"name": "d", "image": "i"}]}});
    let path = format!("{PODS}/p/ephemeralcontainers");
    let refused = ask(&server, "PATCH", &path, &debug).await.unwrap_err();
    assert!(
        refused.contains(r#"container "d" must set securityContext.allowPrivilegeEscalation"#),
        "{refused}"
    );
    let label = value!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(ask(&server, "PATCH", &format!("{PODS}/p"), &label).await, Ok(Vec::new()));
}

#[tokio::test]
async fn who_makes_a_namespace_stricter_is_told_of_its_pods() {
    let server = server(value!({"team": "a"}), Config::default()).await;
    for name in ["p2", "p1"] {
        assert_eq!(ask(&server, "POST", PODS, &privileged(name)).await, Ok(Vec::new()));
    }
    let path = "/api/v1/namespaces/team";
    let label = |name: &str, level: &str| {
        let mut labels = Value::map();
        labels.set(format!("pod-security.kubernetes.io/{name}"), level);
        value!({"metadata": {"labels": labels}})
    };
    let warned = ask(&server, "PATCH", path, &label("enforce", "baseline")).await.unwrap();
    assert_eq!(
        warned,
        [
            r#"existing pods in namespace "team" violate the new PodSecurity enforce level "baseline:latest""#,
            "p1 (and 1 other pod): privileged",
        ]
    );
    assert_eq!(ask(&server, "PATCH", path, &label("enforce", "privileged")).await, Ok(Vec::new()));
    assert_eq!(ask(&server, "PATCH", path, &label("audit", "restricted")).await, Ok(Vec::new()));
    let wrong = ask(&server, "PATCH", path, &label("enforce", "strict")).await.unwrap_err();
    assert_eq!(
        wrong,
        r#"Namespace "team" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted"#
    );
}

#[tokio::test]
async fn exempt_are_those_that_the_configuration_names() {
    let defaults = Policy { enforce: BASELINE, ..Policy::default() };
    let config = Config {
        defaults,
        exempt_users: vec!["operator".to_owned()],
        exempt_namespaces: vec!["system".to_owned()],
        exempt_runtime_classes: vec!["vm".to_owned()],
    };
    let server = server(Value::Null, config).await;
    let refused = ask(&server, "POST", PODS, &privileged("p")).await.unwrap_err();
    assert!(refused.contains(r#"violates PodSecurity "baseline:latest""#), "{refused}");
    let operator = User::new("operator", &["system:masters"]);
    let body = object::json::to_bytes(&privileged("by-operator"));
    server.request(&operator, "POST", PODS, "application/json", body).await.unwrap();
    server
        .create("node.k8s.io", "runtimeclasses", "", value!({"metadata": {"name": "vm"}, "handler": "vm"}))
        .await
        .unwrap();
    let mut in_vm = privileged("in-vm");
    in_vm.entry("spec").set("runtimeClassName", "vm");
    assert_eq!(ask(&server, "POST", PODS, &in_vm).await, Ok(Vec::new()));
    let exempt = value!({"metadata": {"name": "system", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    assert_eq!(
        ask(&server, "POST", "/api/v1/namespaces", &exempt).await.unwrap(),
        [
            r#"namespace "system" is exempt from Pod Security, and the policy (enforce=restricted:latest) will be ignored"#
        ]
    );
}
