//! Mount propagation: "[sig-node] Mount propagation should propagate mounts within defined scopes"
//! (`test/e2e/node/mount_propagation.go`).

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::output;

use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![trial(shared, "propagation", "should_propagate_mounts", should_propagate_mounts)]
}

/// The pods with their propagation, and whose mounts each of them sees; `host` is the machine itself.
const SCOPES: [(&str, &str, &[&str]); 4] = [
    ("private", "mountPropagation: None", &["private"]),
    ("default", "", &["default"]),
    ("slave", "mountPropagation: HostToContainer", &["host", "master", "slave"]),
    ("master", "mountPropagation: Bidirectional", &["host", "master"]),
];

/// Mounts a file system with one file, where each of the others may find it.
fn mount(directory: &str, name: &str) -> String {
    format!("mount -t tmpfs of-{name} {directory}/{name} && echo {name} > {directory}/{name}/file")
}

fn should_propagate_mounts(namespace: &Namespace) {
    let host = namespace.cluster.host();
    let directory = host.directory().join("propagated");
    for (name, ..) in SCOPES {
        std::fs::create_dir_all(directory.join(name)).unwrap();
    }
    std::fs::create_dir(directory.join("host")).unwrap();
    let directory = directory.to_str().unwrap();
    for (name, propagation, _) in SCOPES {
        namespace.apply(&format!(
            r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: $BUSYBOX
    command: [sleep, '1000']
    securityContext: {{privileged: true}}
    volumeMounts: [{{name: shared, mountPath: /shared, {propagation}}}]
  volumes: [{{name: shared, hostPath: {{path: {directory}, type: Directory}}}}]
"#
        ));
    }
    namespace.run(&["wait", "pod", "--all", "--for=condition=Ready", LIMIT]);
    let on_host = |script: &str| output(host.command("sh").args(["-ec", script])).unwrap();
    for (name, ..) in SCOPES {
        namespace.exec(name, &mount("/shared", name));
    }
    on_host(&mount(directory, "host"));
    let look = |directory: &str| {
        format!("for file in {directory}/*/file; do [ ! -e $file ] || cat $file; done | sort | tr '\\n' ' '")
    };
    for (name, _, seen) in SCOPES {
        assert_eq!(namespace.exec(name, &look("/shared")).trim(), seen.join(" "), "{name}");
    }
    assert_eq!(on_host(&look(directory)).trim(), "host master");

    // What is gone at its source is gone everywhere.
    namespace.exec("master", "umount /shared/master");
    on_host(&format!("umount {directory}/host"));
    assert_eq!(namespace.exec("slave", &look("/shared")).trim(), "slave");
    assert_eq!(on_host(&look(directory)).trim(), "");
    // A pod that goes takes its own mounts along, and leaves none of them on the host.
    namespace.run(&["delete", "pod", "--all", "--wait"]);
    assert_eq!(on_host("cat /proc/self/mounts | grep -c '^of-' || true").trim(), "0");
}
