use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Capabilities, Sysctl, WindowsSecurityContextOptions};
use serde_json::{Value, json};

use super::super::{ContainerInput, SandboxInput, container_config, sandbox_config};
use super::*;
use crate::config::NodeConfig;

fn pod_of(spec: Value, annotations: Value) -> PodInfo {
    let metadata = json!({"name": "p", "namespace": "a", "uid": "u", "annotations": annotations});
    PodInfo::new(Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()))
}

#[test]
fn root_is_refused_where_it_must_not_be() {
    let root = Image::default();
    let numeric = Image { uid: Some(1000), ..Image::default() };
    let named = Image { username: "app".into(), ..Image::default() };
    let cases = [
        (json!({}), json!({}), &root, None),
        (json!({"runAsNonRoot": true}), json!({}), &root, Some("image will run as root")),
        (json!({"runAsNonRoot": true}), json!({"runAsUser": 5}), &root, None),
        (
            json!({"runAsNonRoot": true}),
            json!({"runAsUser": 0}),
            &root,
            Some("runAsUser breaks non-root policy"),
        ),
        (json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false}), &root, None),
        (json!({}), json!({"runAsNonRoot": true}), &numeric, None),
        (json!({}), json!({"runAsNonRoot": true}), &named, Some("non-numeric user (app)")),
    ];
    for (of_pod, own, image, message) in cases {
        let spec = json!({"securityContext": of_pod, "containers": [{"name": "c", "securityContext": own}]});
        let pod = pod_of(spec, json!({}));
        let result = check_non_root(&pod, &pod.containers[0].spec, image);
        match message {
            None => assert!(result.is_ok()),
            Some(part) => assert!(result.unwrap_err().to_string().contains(part)),
        }
    }
}

const BARE: HostSecurity = HostSecurity { apparmor: false, selinux: false };
const APPARMOR: HostSecurity = HostSecurity { apparmor: true, selinux: false };
const SELINUX: HostSecurity = HostSecurity { apparmor: false, selinux: true };

/// The result for a pod with one container: the reason of a refusal, or the engine's configurations.
fn outcome(pod: &PodInfo, host: HostSecurity) -> Result<Value, String> {
    let text = |error: SpecError| error.to_string();
    let image = Image::default();
    crate::admission::check_security(pod, host).map_err(|rejection| rejection.message)?;
    check_sandbox(pod).map_err(text)?;
    let container = &pod.containers[0];
    check_container(pod, &container.spec, host).map_err(text)?;
    check_non_root(pod, &container.spec, &image).map_err(text)?;
    let config = NodeConfig::new("n", IpAddr::V4(Ipv4Addr::LOCALHOST), "/nowhere");
    let sandbox = sandbox_config(
        pod,
        SandboxInput {
            config: &config,
            attempt: 0,
            cgroup_driver: cri::CgroupDriver::Cgroupfs,
            dns: Default::default(),
        },
    );
    let input = ContainerInput {
        config: &config,
        attempt: 0,
        image: &image,
        image_ref: String::new(),
        environment: Vec::new(),
        mounts: Vec::new(),
        target: None,
        memory_capacity: 1 << 30,
        unified: false,
    };
    let container = container_config(pod, container, input);
    let group = volumes::FsGroup::of(&pod.pod).map(|group| json!([group.gid, group.on_root_mismatch]));
    Ok(json!({"sandbox": sandbox.linux, "container": container.linux, "volumes": group}))
}

/// The effect of a field.
enum Effect {
    /// The configurations have this value at this place.
    Done(&'static str, Value),
    /// The pod is refused, with this message.
    Refused(&'static str),
    /// The kernel of such a machine does not support it; an event says so.
    Told,
    /// It is the default anyway.
    Default,
}

struct Row {
    /// The field and one of its values.
    field: (&'static str, Value),
    host: HostSecurity,
    effect: Effect,
}

fn row(name: &'static str, value: Value, effect: Effect) -> Row {
    Row { field: (name, value), host: BARE, effect }
}

fn on(host: HostSecurity, row: Row) -> Row {
    Row { host, ..row }
}

/// Checks rows, each in a pod made by `place`, and that there is one for each of the fields.
fn check(fields: &Value, rows: Vec<Row>, place: impl Fn(&str, &Value) -> Value) {
    let known: BTreeSet<&str> = fields.as_object().unwrap().keys().map(String::as_str).collect();
    let covered: BTreeSet<&str> = rows.iter().map(|row| row.field.0).collect();
    assert_eq!(known, covered, "every field has a row, and every row a field");
    for Row { field: (name, value), host, effect } in rows {
        let what = format!("{name}: {value}");
        let pod = pod_of(place(name, &value), json!({}));
        let with = outcome(&pod, host);
        let without = outcome(&pod_of(json!({"containers": [{"name": "c"}]}), json!({})), host);
        match effect {
            Effect::Done(pointer, expected) => {
                let config = with.unwrap_or_else(|error| panic!("{what} is refused: {error}"));
                assert_eq!(config.pointer(pointer), Some(&expected), "{what}: {config:#}");
                assert_ne!(without.unwrap().pointer(pointer), Some(&expected), "{what} changes nothing");
            }
            Effect::Refused(words) => {
                let error = with.expect_err(&what);
                assert!(error.contains(words), "{what}: {error}");
            }
            Effect::Told => {
                assert!(with.is_ok(), "{what}: {with:?}");
                assert!(warning(&pod, host).is_some(), "{what} is dropped silently");
            }
            Effect::Default => {
                assert_eq!(with, without, "{what}");
                assert_eq!(warning(&pod, host), None, "{what}");
            }
        }
    }
}

fn labels() -> SELinuxOptions {
    SELinuxOptions {
        level: Some("s0".into()),
        role: Some("r".into()),
        type_: Some("t".into()),
        user: Some("u".into()),
    }
}

fn windows() -> WindowsSecurityContextOptions {
    WindowsSecurityContextOptions {
        gmsa_credential_spec: Some("a".into()),
        gmsa_credential_spec_name: Some("b".into()),
        host_process: Some(true),
        run_as_user_name: Some("c".into()),
    }
}

fn seccomp_profile() -> SeccompProfile {
    SeccompProfile { localhost_profile: Some("x.json".into()), type_: "Localhost".into() }
}

fn apparmor_profile() -> AppArmorProfile {
    AppArmorProfile { localhost_profile: Some("x".into()), type_: "Localhost".into() }
}

/// The rows that pods and containers have in common.
fn common_rows() -> Vec<Row> {
    let user = |name| format!("/container/security_context/{name}").leak() as &str;
    let json = |value| value;
    vec![
        row("runAsUser", json(json!(7)), Effect::Done(user("run_as_user"), json!(7))),
        row("runAsGroup", json!(8), Effect::Done(user("run_as_group"), json!(8))),
        row(
            "runAsNonRoot",
            json!(true),
            Effect::Refused("container has runAsNonRoot and image will run as root"),
        ),
        row(
            "seccompProfile",
            json!({"type": "RuntimeDefault"}),
            Effect::Done(user("seccomp/profile_type"), json!("RuntimeDefault")),
        ),
        row(
            "seccompProfile",
            json!(seccomp_profile()),
            Effect::Done(user("seccomp/localhost_ref"), json!("/var/lib/kubelet/seccomp/x.json")),
        ),
        row(
            "seccompProfile",
            json!({"type": "Unconfined"}),
            Effect::Done(user("seccomp/profile_type"), json!("Unconfined")),
        ),
        row(
            "appArmorProfile",
            json!(apparmor_profile()),
            Effect::Refused("Cannot enforce AppArmor: AppArmor is not enabled on the host"),
        ),
        row(
            "appArmorProfile",
            json!({"type": "RuntimeDefault"}),
            Effect::Refused("Cannot enforce AppArmor: AppArmor is not enabled on the host"),
        ),
        on(
            APPARMOR,
            row(
                "appArmorProfile",
                json!(apparmor_profile()),
                Effect::Done(user("apparmor/localhost_ref"), json!("x")),
            ),
        ),
        on(
            APPARMOR,
            row(
                "appArmorProfile",
                json!({"type": "RuntimeDefault"}),
                Effect::Refused("Cannot enforce AppArmor: the node has no default profile"),
            ),
        ),
        on(
            APPARMOR,
            row(
                "appArmorProfile",
                json!({"type": "Unconfined"}),
                Effect::Done(user("apparmor/profile_type"), json!("Unconfined")),
            ),
        ),
        row("seLinuxOptions", json!(labels()), Effect::Told),
        on(
            SELINUX,
            row("seLinuxOptions", json!(labels()), Effect::Refused("seLinuxOptions cannot be applied")),
        ),
        on(SELINUX, row("seLinuxOptions", json!({}), Effect::Default)),
        row(
            "windowsOptions",
            json!(windows()),
            Effect::Refused("windowsOptions cannot be applied: the node runs Linux"),
        ),
        row("windowsOptions", json!({}), Effect::Default),
    ]
}

/// With a new field of the API, this does not compile until the field has a value, and then a row is missing.
#[test]
fn every_field_of_a_pods_security_context_is_done_or_refused() {
    let all = PodSecurityContext {
        app_armor_profile: Some(apparmor_profile()),
        fs_group: Some(1),
        fs_group_change_policy: Some("Always".into()),
        run_as_group: Some(1),
        run_as_non_root: Some(true),
        run_as_user: Some(1),
        se_linux_change_policy: Some("Recursive".into()),
        se_linux_options: Some(labels()),
        seccomp_profile: Some(seccomp_profile()),
        supplemental_groups: Some(vec![1]),
        supplemental_groups_policy: Some("Merge".into()),
        sysctls: Some(vec![Sysctl { name: "net.ipv4.tcp_rmem".into(), value: "1".into() }]),
        windows_options: Some(windows()),
    };
    let mut rows = common_rows();
    let groups = "/container/security_context/supplemental_groups";
    rows.extend([
        row("fsGroup", json!(9), Effect::Done("/volumes", json!([9, false]))),
        row("fsGroup", json!(9), Effect::Done(groups, json!([9]))),
        // Alone it has no effect: it concerns the group.
        row("fsGroupChangePolicy", json!("OnRootMismatch"), Effect::Default),
        row("supplementalGroups", json!([5, 6]), Effect::Done(groups, json!([5, 6]))),
        row(
            "supplementalGroupsPolicy",
            json!("Strict"),
            Effect::Done("/container/security_context/supplemental_groups_policy", json!("Strict")),
        ),
        row("supplementalGroupsPolicy", json!("Merge"), Effect::Default),
        row("seLinuxChangePolicy", json!("Recursive"), Effect::Told),
        on(
            SELINUX,
            row(
                "seLinuxChangePolicy",
                json!("MountOption"),
                Effect::Refused("seLinuxChangePolicy cannot be applied"),
            ),
        ),
        row(
            "sysctls",
            json!([{"name": "net/ipv4/tcp_rmem", "value": "1 2 3"}]),
            Effect::Done("/sandbox/sysctls", json!({"net.ipv4.tcp_rmem": "1 2 3"})),
        ),
    ]);
    check(
        &json!(all),
        rows,
        |name, value| json!({"containers": [{"name": "c"}], "securityContext": {name: value}}),
    );
    let spec = json!({"containers": [{"name": "c"}], "securityContext": {"fsGroup": 9, "fsGroupChangePolicy": "OnRootMismatch"}});
    let config = outcome(&pod_of(spec, json!({})), BARE).unwrap();
    assert_eq!(config["volumes"], json!([9, true]));
}

#[test]
fn every_field_of_a_containers_security_context_is_done_or_refused() {
    let all = SecurityContext {
        allow_privilege_escalation: Some(false),
        app_armor_profile: Some(apparmor_profile()),
        capabilities: Some(Capabilities { add: Some(vec!["A".into()]), drop: Some(vec!["B".into()]) }),
        privileged: Some(true),
        proc_mount: Some("Default".into()),
        read_only_root_filesystem: Some(true),
        run_as_group: Some(1),
        run_as_non_root: Some(true),
        run_as_user: Some(1),
        se_linux_options: Some(labels()),
        seccomp_profile: Some(seccomp_profile()),
        windows_options: Some(windows()),
    };
    let mut rows = common_rows();
    let at = |name| format!("/container/security_context/{name}").leak() as &str;
    rows.extend([
        row("allowPrivilegeEscalation", json!(false), Effect::Done(at("no_new_privs"), json!(true))),
        row("allowPrivilegeEscalation", json!(true), Effect::Default),
        row(
            "capabilities",
            json!({"add": ["NET_ADMIN"]}),
            Effect::Done(at("capabilities/add_capabilities"), json!(["NET_ADMIN"])),
        ),
        row(
            "capabilities",
            json!({"drop": ["ALL"]}),
            Effect::Done(at("capabilities/drop_capabilities"), json!(["ALL"])),
        ),
        row("privileged", json!(true), Effect::Done(at("privileged"), json!(true))),
        row("privileged", json!(true), Effect::Done("/sandbox/security_context/privileged", json!(true))),
        row("privileged", json!(true), Effect::Done(at("masked_paths"), json!([]))),
        row("procMount", json!("Default"), Effect::Default),
        row("procMount", json!("Unmasked"), Effect::Refused("procMount Unmasked needs")),
        row("readOnlyRootFilesystem", json!(true), Effect::Done(at("readonly_rootfs"), json!(true))),
    ]);
    check(
        &json!(all),
        rows,
        |name, value| json!({"containers": [{"name": "c", "securityContext": {name: value}}]}),
    );
}

#[test]
fn every_field_of_a_pod_about_namespaces_is_done_or_refused() {
    let fields = json!({"hostNetwork": 0, "hostPID": 0, "hostIPC": 0, "hostUsers": 0, "shareProcessNamespace": 0, "os": 0});
    let at = |name| format!("/container/security_context/namespace_options/{name}").leak() as &str;
    let users = "can't set `spec.hostUsers: false`, runtime does not support user namespaces";
    let rows = vec![
        row("hostNetwork", json!(true), Effect::Done(at("network"), json!("Node"))),
        row("hostPID", json!(true), Effect::Done(at("pid"), json!("Node"))),
        row("hostIPC", json!(true), Effect::Done(at("ipc"), json!("Node"))),
        row("shareProcessNamespace", json!(true), Effect::Done(at("pid"), json!("Pod"))),
        row("hostUsers", json!(true), Effect::Default),
        row("hostUsers", json!(false), Effect::Refused(users)),
        row("os", json!({"name": "linux"}), Effect::Default),
        row(
            "os",
            json!({"name": "windows"}),
            Effect::Refused("Failed to admit pod as the OS field doesn't match node OS"),
        ),
    ];
    check(&fields, rows, |name, value| json!({"containers": [{"name": "c"}], name: value}));
    // A user namespace permits nothing in addition, because it is not supported.
    let spec = json!({"hostUsers": false, "runtimeClassName": "fast",
        "containers": [{"name": "c", "securityContext": {"procMount": "Unmasked"}}]});
    let pod = pod_of(spec, json!({}));
    let error = outcome(&pod, BARE).unwrap_err();
    assert_eq!(
        error,
        "can't set `spec.hostUsers: false`, RuntimeClass handler \"fast\" does not support user namespaces"
    );
    let config = of_container(&pod, &pod.containers[0].spec, &Image::default(), None, Path::new("/"));
    assert_eq!(
        (config.masked_paths.len(), config.readonly_paths.len()),
        (MASKED_PATHS.len(), READONLY_PATHS.len())
    );
}

#[test]
fn annotations_of_older_clients_name_apparmor_profiles() {
    let key = "container.apparmor.security.beta.kubernetes.io/c";
    let spec = |own: Value| json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}, "containers": [{"name": "c", "securityContext": own}]});
    let pod = pod_of(spec(json!({})), json!({key: "localhost/x"}));
    assert!(outcome(&pod, BARE).unwrap_err().contains("AppArmor is not enabled on the host"));
    let config = outcome(&pod, APPARMOR).unwrap();
    assert_eq!(config.pointer("/container/security_context/apparmor/localhost_ref"), Some(&json!("x")));
    let own = json!({"appArmorProfile": {"type": "Unconfined"}});
    assert!(outcome(&pod_of(spec(own), json!({key: "runtime/default"})), BARE).is_ok());
}
