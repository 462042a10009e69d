//! A database with configuration, a password, a data directory and a memory limit.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "redis", name, test);
    vec![trial("is_configured_and_limited", is_configured_and_limited), trial("sees_changes", sees_changes)]
}

const REDIS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: redis}
data:
  redis.conf: |
    dir /data
    save ""
    protected-mode no
    include /etc/redis-secret/password.conf
---
apiVersion: v1
kind: Secret
metadata: {name: redis}
stringData: {password.conf: "requirepass from-the-secret\n"}
---
apiVersion: v1
kind: Pod
metadata: {name: redis}
spec:
  containers:
  - name: redis
    image: $REDIS
    args: [redis-server, /etc/redis/redis.conf]
    resources: {limits: {memory: 48Mi, cpu: "1"}}
    readinessProbe: {exec: {command: [redis-cli, -a, from-the-secret, ping]}, periodSeconds: 1, timeoutSeconds: 5}
    volumeMounts:
    - {name: config, mountPath: /etc/redis}
    - {name: password, mountPath: /etc/redis-secret, readOnly: true}
    - {name: data, mountPath: /data}
  volumes:
  - {name: config, configMap: {name: redis}}
  - {name: password, secret: {secretName: redis, defaultMode: 0400}}
  - {name: data, emptyDir: {}}
"#;

fn is_configured_and_limited(namespace: &Namespace) {
    namespace.apply(REDIS);
    namespace.wait("pod/redis", "condition=Ready");
    let redis = |command: &str| {
        namespace.exec("redis", &format!("redis-cli --no-auth-warning -a from-the-secret {command}"))
    };
    assert_eq!(namespace.exec("redis", "redis-cli get x").trim(), "NOAUTH Authentication required.");
    assert_eq!(redis("set kept forever").trim(), "OK");
    assert_eq!(redis("save").trim(), "OK");
    assert_eq!(namespace.exec("redis", "stat -L -c %a /etc/redis-secret/password.conf").trim(), "400");
    let written = namespace.fails(&["exec", "redis", "--", "sh", "-c", "echo x > /etc/redis/redis.conf"]);
    assert!(written.contains("Read-only file system"), "{written}");

    // Above the limit, the kernel kills it, and its state says so.
    let fill = r#"eval 'for i = 1, 100 do redis.call("set", "k" .. i, string.rep("x", 1000000)) end' 0"#;
    namespace
        .kubectl(&["exec", "redis", "--", "sh", "-c", &format!("redis-cli -a from-the-secret {fill}")])
        .output()
        .unwrap();
    let status = ".status.containerStatuses[0]";
    namespace.wait("pod/redis", &format!("jsonpath={{{status}.restartCount}}=1"));
    assert_eq!(namespace.field("pod/redis", &format!("{status}.lastState.terminated.reason")), "OOMKilled");
    assert_eq!(namespace.field("pod/redis", &format!("{status}.lastState.terminated.exitCode")), "137");
    let described = namespace.run(&["describe", "pod", "redis"]);
    assert!(described.contains("OOMKilled"), "{described}");
    // The container is a new one; the volume is not.
    namespace.wait("pod/redis", "condition=Ready");
    assert_eq!(redis("get kept").trim(), "forever");
}

fn sees_changes(namespace: &Namespace) {
    namespace.run(&["create", "configmap", "settings", "--from-literal=color=red"]);
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  containers:
  - {name: c, image: $BUSYBOX, command: [sleep, '1000'], volumeMounts: [{name: v, mountPath: /settings}]}
  volumes: [{name: v, configMap: {name: settings}}]
"#,
    );
    namespace.wait("pod/reader", "condition=Ready");
    assert_eq!(namespace.exec("reader", "cat /settings/color"), "red");
    namespace.run(&[
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        r#"{"data":{"color":"blue","size":"9"}}"#,
    ]);
    namespace.until("the new color", || {
        let color = namespace.exec("reader", "cat /settings/color /settings/size || true");
        if color == "blue9" { Ok(()) } else { Err(color) }
    });
}
