//! Volumes of configuration, of scratch space and of a pod's own fields: the `[sig-storage]` tests of the conformance suite
//! about them. `docs/sig-storage.md` has the table of both.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "volumes", name, test);
    vec![
        trial("should_show_files_with_their_modes", should_show_files_with_their_modes),
        trial("should_reflect_updates", should_reflect_updates),
        trial("should_keep_immutable_objects", should_keep_immutable_objects),
        trial("should_provide_fields_of_the_pod", should_provide_fields_of_the_pod),
        trial("should_have_scratch_space", should_have_scratch_space),
        trial("should_support_subpaths", should_support_subpaths),
        trial("should_expand_subpaths", should_expand_subpaths),
        trial("should_mount_many_config_maps", should_mount_many_config_maps),
    ]
}

/// The two sources of files, each as a volume of its own and as a part of a projected one. `$OPTIONS` stands for items, `$MODE`
/// for the mode of all files.
const SOURCES: [(&str, &str); 4] = [
    ("config", "configMap: {name: files$OPTIONS$MODE}"),
    ("secret", "secret: {secretName: files$OPTIONS$MODE}"),
    ("projected-config", "projected: {sources: [{configMap: {name: files$OPTIONS}}]$MODE}"),
    ("projected-secret", "projected: {sources: [{secret: {name: files$OPTIONS}}]$MODE}"),
];

/// What a volume is made with, and what is then at which path.
const FORMS: [(&str, &str, &str, &str, &str); 4] = [
    ("default", "", "", "data-1", "644"),
    ("moded", "", ", defaultMode: 0440", "data-1", "440"),
    ("mapped", ", items: [{key: data-2, path: path/to/data-2}]", "", "path/to/data-2", "644"),
    ("item-moded", ", items: [{key: data-2, path: path/to/data-2, mode: 0440}]", "", "path/to/data-2", "440"),
];

/// A pod with a volume of each source and form, each mounted twice, that shows mode, group and content of each file.
fn reader(name: &str, security: &str) -> String {
    let (mut script, mut volumes, mut mounts) = (String::new(), String::new(), String::new());
    for (source, text) in SOURCES {
        for (form, options, mode, path, _) in FORMS {
            let volume = text.replace("$OPTIONS", options).replace("$MODE", mode);
            volumes.push_str(&format!("  - {{name: {source}-{form}, {volume}}}\n"));
            for place in ["one", "two"] {
                let directory = format!("/{place}/{source}-{form}");
                mounts.push_str(&format!("    - {{name: {source}-{form}, mountPath: {directory}}}\n"));
                script.push_str(&format!(
                    "echo {source}-{form} $(stat -L -c '%a %g' {directory}/{path}) $(cat {directory}/{path}); "
                ));
            }
        }
    }
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  \
         securityContext: {security}\n  containers:\n  - name: c\n    image: $BUSYBOX\n    command: [sh, -ec, \"{script}\"]\n    \
         volumeMounts:\n{mounts}  volumes:\n{volumes}"
    )
}

/// "[sig-storage] ConfigMap should be consumable from pods in volume [NodeConformance] [Conformance]", and those "with
/// defaultMode set", "with mappings", "with mappings and Item mode set", "as non-root", "in multiple volumes in the same
/// pod", of ConfigMaps, Secrets and both of them projected; "Secrets should be able to mount in a volume regardless of a
/// different secret existing with same name in different namespace"; "ConfigMap binary data should be reflected in volume".
fn should_show_files_with_their_modes(namespace: &Namespace) {
    let other = format!("{}-other", namespace.name);
    namespace.run(&["create", "namespace", &other]);
    namespace.run(&["-n", &other, "create", "secret", "generic", "files", "--from-literal=data-1=not-this"]);
    namespace.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: files}, data: {data-1: value-1, data-2: value-2}, \
         binaryData: {dump.bin: 3q3+7w==}}",
    );
    namespace.run(&[
        "create",
        "secret",
        "generic",
        "files",
        "--from-literal=data-1=value-1",
        "--from-literal=data-2=value-2",
    ]);
    let rights = |user: &str, group: &str| {
        let security = format!("{{runAsUser: {user}, runAsGroup: {user}, fsGroup: {group}}}");
        namespace.apply(&reader(&format!("user-{user}"), &security));
        let seen = namespace.output_of(&format!("user-{user}"));
        let mut expected = String::new();
        for (source, _) in SOURCES {
            for (form, _, _, path, mode) in FORMS {
                let value = if path == "data-1" { "value-1" } else { "value-2" };
                expected.push_str(&format!("{source}-{form} {mode} {group} {value}\n").repeat(2));
            }
        }
        assert_eq!(seen, expected, "user {user}");
    };
    rights("0", "1001");
    rights("1000", "1001");
    // Without a group of the volumes' own, files are root's.
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  restartPolicy: Never
  securityContext: {runAsUser: 1000}
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -ec, "stat -L -c '%a %u:%g' /c/data-1 /s/data-1 /only/data-1; cat /c/data-1 /s/data-1; od -An -tx1 /c/dump.bin"]
    volumeMounts: [{name: c, mountPath: /c}, {name: s, mountPath: /s}, {name: only, mountPath: /only}]
  volumes:
  - {name: c, configMap: {name: files}}
  - {name: s, secret: {secretName: files}}
  - {name: only, secret: {secretName: files, defaultMode: 0400}}
"#,
    );
    assert_eq!(namespace.output_of("plain"), "644 0:0\n644 0:0\n400 0:0\nvalue-1value-1 de ad fe ef\n");
    namespace.run(&["delete", "namespace", &other, "--wait=false"]);
}

/// "[sig-storage] ConfigMap updates should be reflected in volume [NodeConformance] [Conformance]", "optional updates
/// should be reflected in volume", and the same of Secrets and of both of them projected.
fn should_reflect_updates(namespace: &Namespace) {
    let (mut volumes, mut mounts) = (String::new(), String::new());
    for (source, text) in SOURCES {
        for object in ["made", "changed", "removed"] {
            let text = text
                .replace("name: files", &format!("name: {object}"))
                .replace("Name: files", &format!("Name: {object}"));
            let text = text.replace("$OPTIONS", ", optional: true").replace("$MODE", "");
            volumes.push_str(&format!("  - {{name: {source}-{object}, {text}}}\n"));
            mounts.push_str(&format!("    - {{name: {source}-{object}, mountPath: /{source}/{object}}}\n"));
        }
    }
    let create = |object: &str| {
        namespace.run(&["create", "configmap", object, "--from-literal=data-1=value-1"]);
        namespace.run(&["create", "secret", "generic", object, "--from-literal=data-1=value-1"]);
    };
    create("changed");
    create("removed");
    namespace.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: reader}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  \
         - name: c\n    image: $BUSYBOX\n    command: [sleep, '1000']\n    volumeMounts:\n{mounts}  volumes:\n{volumes}"
    ));
    namespace.wait("pod/reader", "condition=Ready");
    let sources = SOURCES.map(|(source, _)| source);
    let shows = |expected: [&str; 4]| {
        namespace.until(&format!("{expected:?} in every volume"), || {
            for source in sources {
                let script = format!(
                    "cd /{source}; for f in made/data-1 changed/data-1 changed/data-2 removed/data-1; do \
                     if test -e $f; then cat $f; else printf none; fi; echo; done"
                );
                let seen = namespace.exec("reader", &script);
                if seen.lines().collect::<Vec<_>>() != expected {
                    return Err(format!("{source}: {seen}"));
                }
            }
            Ok(())
        });
    };
    shows(["none", "value-1", "none", "value-1"]);
    create("made");
    namespace.run(&[
        "patch",
        "configmap",
        "changed",
        "-p",
        r#"{"data": {"data-1": "value-2", "data-2": "more"}}"#,
    ]);
    namespace.run(&[
        "patch",
        "secret",
        "changed",
        "-p",
        r#"{"stringData": {"data-1": "value-2", "data-2": "more"}}"#,
    ]);
    namespace.run(&["delete", "configmap,secret", "removed"]);
    shows(["value-1", "value-2", "more", "none"]);
    // A key that goes takes its file along.
    for object in ["configmap/changed", "secret/changed"] {
        namespace.run(&["patch", object, "-p", r#"{"data": {"data-2": null}}"#]);
    }
    shows(["value-1", "value-2", "none", "none"]);
}

/// "[sig-storage] ConfigMap should be immutable if `immutable` field is set [Conformance]", and the same of Secrets.
fn should_keep_immutable_objects(namespace: &Namespace) {
    namespace.run(&["create", "configmap", "kept", "--from-literal=a=1"]);
    namespace.run(&["create", "secret", "generic", "kept", "--from-literal=a=1"]);
    for object in ["configmap/kept", "secret/kept"] {
        let patch = |patch: &str| testbed::output(&mut namespace.kubectl(&["patch", object, "-p", patch]));
        patch(r#"{"data": {"a": "Mg=="}}"#).unwrap();
        patch(r#"{"immutable": true}"#).unwrap();
        for refused in [r#"{"immutable": false}"#, r#"{"immutable": null}"#, r#"{"data": {"a": "Mw=="}}"#] {
            let said = patch(refused).unwrap_err().to_string();
            assert!(
                said.contains("field is immutable when `immutable` is set"),
                "{object} {refused}: {said}"
            );
        }
        patch(r#"{"metadata": {"labels": {"still": "changes"}}}"#).unwrap();
        assert_eq!(namespace.field(object, ".metadata.labels.still"), "changes");
        namespace.run(&["delete", object]);
    }
}

/// "[sig-storage] Downward API volume should provide podname only [NodeConformance] [Conformance]", "... container's cpu
/// limit" and its siblings, "... node allocatable (cpu) as default cpu limit if the limit is not set", "should set
/// DefaultMode on files", "should set mode on item file", "should update labels on modification", "... annotations ...",
/// the same of projected volumes, and "[sig-storage] Projected combined should project all components that make up the
/// projection API [Projection] [NodeConformance] [Conformance]"; "[sig-auth] ServiceAccounts should mount projected service
/// account token [Conformance]".
fn should_provide_fields_of_the_pod(namespace: &Namespace) {
    namespace.run(&["create", "configmap", "files", "--from-literal=configmap-data=from-configmap"]);
    namespace.run(&["create", "secret", "generic", "files", "--from-literal=secret-data=from-secret"]);
    let items = "items: [{path: podname, fieldRef: {fieldPath: metadata.name}}, \
         {path: moded, mode: 0400, fieldRef: {fieldPath: metadata.name}}, \
         {path: labels, fieldRef: {fieldPath: metadata.labels}}, \
         {path: annotations, fieldRef: {fieldPath: metadata.annotations}}, \
         {path: cpu_limit, resourceFieldRef: {containerName: c, resource: limits.cpu}}, \
         {path: cpu_request, resourceFieldRef: {containerName: c, resource: requests.cpu, divisor: 1m}}, \
         {path: memory_limit, resourceFieldRef: {containerName: c, resource: limits.memory}}, \
         {path: memory_request, resourceFieldRef: {containerName: c, resource: requests.memory}}, \
         {path: node_cpu, resourceFieldRef: {containerName: free, resource: limits.cpu}}, \
         {path: node_memory, resourceFieldRef: {containerName: free, resource: limits.memory}}]";
    namespace.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: fields, labels: {{key1: value1}}, annotations: {{builder: bar}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: $BUSYBOX
    command: [sleep, '1000']
    resources: {{requests: {{cpu: 250m, memory: 32Mi}}, limits: {{cpu: 1250m, memory: 64Mi}}}}
    volumeMounts:
    - {{name: own, mountPath: /own}}
    - {{name: projected, mountPath: /projected}}
    - {{name: own-moded, mountPath: /own-moded}}
    - {{name: projected-moded, mountPath: /projected-moded}}
    - {{name: all, mountPath: /all}}
  - {{name: free, image: $BUSYBOX, command: [sleep, '1000']}}
  volumes:
  - {{name: own, downwardAPI: {{{items}}}}}
  - {{name: projected, projected: {{sources: [{{downwardAPI: {{{items}}}}}]}}}}
  - {{name: own-moded, downwardAPI: {{defaultMode: 0400, {items}}}}}
  - {{name: projected-moded, projected: {{defaultMode: 0400, sources: [{{downwardAPI: {{{items}}}}}]}}}}
  - {{name: all, projected: {{sources: [{{secret: {{name: files}}}}, {{configMap: {{name: files}}}}, {{downwardAPI: {{{items}}}}}, {{serviceAccountToken: {{path: token, expirationSeconds: 3600}}}}]}}}}
"#
    ));
    namespace.wait("pod/fields", "condition=Ready");
    let node = format!("node/{}", namespace.cluster.host().name());
    let cpu = whole_cpus(&namespace.field(&node, ".status.allocatable.cpu"));
    let memory = bytes(&namespace.field(&node, ".status.allocatable.memory"));
    let read = |place: &str, names: &str| {
        namespace.exec("fields", &format!("cd /{place}; for f in {names}; do cat $f; echo; done"))
    };
    for place in ["own", "projected", "own-moded", "projected-moded", "all"] {
        let names = "podname labels cpu_limit cpu_request memory_limit memory_request node_cpu node_memory";
        let expected =
            format!("fields\nkey1=\"value1\"\n2\n250\n{}\n{}\n{cpu}\n{memory}\n", 64 << 20, 32 << 20);
        assert_eq!(read(place, names), expected, "{place}");
        assert!(read(place, "annotations").contains("builder=\"bar\"\n"), "{place}");
        let modes = namespace.exec("fields", &format!("cd /{place}; stat -L -c %a podname moded"));
        assert_eq!(modes, if place.ends_with("moded") { "400\n400\n" } else { "644\n400\n" }, "{place}");
    }
    assert_eq!(read("all", "configmap-data secret-data"), "from-configmap\nfrom-secret\n");
    let token = namespace.exec("fields", "stat -L -c %a /all/token; cat /all/token");
    assert!(token.starts_with("644\n") && token.matches('.').count() == 2, "a signed token in {token}");
    namespace.run(&["label", "pod", "fields", "key3=value3"]);
    namespace.run(&["annotate", "pod", "fields", "builder=foo", "--overwrite"]);
    for place in ["own", "projected"] {
        namespace.until(&format!("the changes in {place}"), || {
            let seen = read(place, "labels annotations");
            let changed =
                seen.starts_with("key1=\"value1\"\nkey3=\"value3\"\n") && seen.contains("builder=\"foo\"\n");
            if changed { Ok(()) } else { Err(seen) }
        });
    }
}

/// The number of whole processors that a quantity fills or begins.
pub fn whole_cpus(quantity: &str) -> u64 {
    match quantity.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<u64>().unwrap().div_ceil(1000),
        None => quantity.parse().unwrap(),
    }
}

/// The number of bytes that a quantity means.
pub fn bytes(quantity: &str) -> u64 {
    match quantity.strip_suffix("Ki") {
        Some(kibibytes) => kibibytes.parse::<u64>().unwrap() << 10,
        None => quantity.parse().unwrap(),
    }
}

/// "[sig-storage] EmptyDir volumes should support (root,0644,default) [LinuxOnly] [NodeConformance] [Conformance]" and its
/// siblings, "volume on default medium should have the correct mode", "volume on tmpfs ...", and "pod should support shared
/// volumes between containers".
fn should_have_scratch_space(namespace: &Namespace) {
    let pod = |user: &str| {
        format!(
            r#"---
apiVersion: v1
kind: Pod
metadata: {{name: user-{user}}}
spec:
  restartPolicy: Never
  securityContext: {{runAsUser: {user}}}
  containers:
  - name: c
    image: $BUSYBOX
    command:
    - sh
    - -ec
    - |
      for medium in default memory; do
        echo $medium $(stat -c %a /$medium) $(mount | grep " /$medium " | cut -d' ' -f5 | grep -x tmpfs)
        for mode in 644 666 777; do
          echo content > /$medium/file-$mode; chmod $mode /$medium/file-$mode
          echo $(stat -c '%a %u' /$medium/file-$mode) $(cat /$medium/file-$mode)
        done
      done
    volumeMounts: [{{name: default, mountPath: /default}}, {{name: memory, mountPath: /memory}}]
  volumes: [{{name: default, emptyDir: {{}}}}, {{name: memory, emptyDir: {{medium: Memory}}}}]
"#
        )
    };
    for user in ["0", "1001"] {
        namespace.apply(&pod(user));
        let files: String = ["644", "666", "777"].map(|mode| format!("{mode} {user} content\n")).concat();
        let seen = namespace.output_of(&format!("user-{user}"));
        // Whatever the host's directory is on, the other one is in memory.
        assert_eq!(
            seen.replacen("default 777 tmpfs", "default 777", 1),
            format!("default 777\n{files}memory 777 tmpfs\n{files}")
        );
    }
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: shared}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: reads, image: $BUSYBOX, command: [sleep, '1000'], volumeMounts: [{name: v, mountPath: /there}]}
  - {name: writes, image: $BUSYBOX, command: [sh, -c, 'echo Hello > /here/data.txt; sleep 1000'], volumeMounts: [{name: v, mountPath: /here}]}
  volumes: [{name: v, emptyDir: {}}]
"#,
    );
    namespace.wait("pod/shared", "condition=Ready");
    namespace.until_output(&["exec", "shared", "-c", "reads", "--", "cat", "/there/data.txt"], "Hello\n");
}

/// "[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod [Conformance]", and those with
/// secret, downward and projected pods and "with mountPath of existing file"; "[sig-storage] EmptyDir wrapper volumes should
/// not conflict [Conformance]".
fn should_support_subpaths(namespace: &Namespace) {
    namespace.run(&["create", "configmap", "files", "--from-literal=configmap-key=configmap-value"]);
    namespace.run(&["create", "secret", "generic", "files", "--from-literal=secret-key=secret-value"]);
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: parts}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -ec, 'for f in /c/part /s/part /d/part /p/part /etc/passwd /p/whole/projected-configmap-key; do cat $f; echo; done']
    volumeMounts:
    - {name: config, mountPath: /c/part, subPath: configmap-key}
    - {name: config, mountPath: /etc/passwd, subPath: configmap-key}
    - {name: secret, mountPath: /s/part, subPath: secret-key}
    - {name: fields, mountPath: /d/part, subPath: downward/podname}
    - {name: projected, mountPath: /p/part, subPath: projected-configmap-key}
    - {name: projected, mountPath: /p/whole}
  volumes:
  - {name: config, configMap: {name: files}}
  - {name: secret, secret: {secretName: files}}
  - {name: fields, downwardAPI: {items: [{path: downward/podname, fieldRef: {fieldPath: metadata.name}}]}}
  - {name: projected, projected: {sources: [{configMap: {name: files, items: [{key: configmap-key, path: projected-configmap-key}]}}]}}
"#,
    );
    let seen = namespace.output_of("parts");
    assert_eq!(
        seen,
        "configmap-value\nsecret-value\nparts\nconfigmap-value\nconfigmap-value\nconfigmap-value\n"
    );
}

/// "[sig-node] Variable Expansion should allow substituting values in a volume subpath [Conformance]", "should succeed in
/// writing subpaths in container", "should fail substituting values in a volume subpath with backticks", "... with absolute
/// path", and "should verify that a failing subpath expansion can be modified during the lifecycle of a container [Slow]".
fn should_expand_subpaths(namespace: &Namespace) {
    let pod = |name: &str, expression: &str| {
        namespace.apply(&format!(
            r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, annotations: {{notmysubpath: mypath}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: $BUSYBOX
    command: [sleep, '1000']
    env:
    - {{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
    - {{name: TICKS, value: "../`hostname`"}}
    - {{name: ABSOLUTE, value: /tmp}}
    - {{name: MINE, valueFrom: {{fieldRef: {{fieldPath: "metadata.annotations['mysubpath']"}}}}}}
    volumeMounts: [{{name: v, mountPath: /part, subPathExpr: "{expression}"}}, {{name: v, mountPath: /whole}}]
  volumes: [{{name: v, emptyDir: {{}}}}]
"#
        ));
    };
    pod("good", "foo/$(POD_NAME)");
    pod("ticks", "$(TICKS)/$(POD_NAME)");
    pod("absolute", "$(ABSOLUTE)");
    pod("later", "$(MINE)");
    namespace.wait("pod/good", "condition=Ready");
    namespace.exec("good", "echo written > /part/file; test -e /whole/foo/good/file");
    assert_eq!(namespace.exec("good", "cat /whole/foo/good/file"), "written\n");
    let reason = ".status.containerStatuses[0].state.waiting.reason";
    for name in ["ticks", "absolute", "later"] {
        namespace.wait(&format!("pod/{name}"), &format!("jsonpath={{{reason}}}=CreateContainerConfigError"));
    }
    namespace.run(&["annotate", "pod", "later", "mysubpath=mypath"]);
    namespace.wait("pod/later", "condition=Ready");
    namespace.exec("later", "test -d /whole/mypath");
    namespace.run(&["delete", "pod", "--all"]);
}

/// "[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps [Serial]
/// [Conformance]": here all pods at once.
fn should_mount_many_config_maps(namespace: &Namespace) {
    let maps = |number: usize| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: racey-{number}}}\ndata: {{data-1: value-1}}\n"
        )
    };
    namespace.apply(&(0..50).map(maps).collect::<String>());
    let volume =
        |number: usize| format!("      - {{name: v{number}, configMap: {{name: racey-{number}}}}}\n");
    let mount = |number: usize| format!("        - {{name: v{number}, mountPath: /etc/config-{number}}}\n");
    let (volumes, mounts): (String, String) = ((0..50).map(volume).collect(), (0..50).map(mount).collect());
    namespace.apply(&format!(
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {{name: many}}\nspec:\n  replicas: 5\n  template:\n    \
         metadata: {{labels: {{app: many}}}}\n    spec:\n      terminationGracePeriodSeconds: 0\n      containers:\n      \
         - name: c\n        image: $BUSYBOX\n        command: [sleep, '1000']\n        volumeMounts:\n{mounts}      \
         volumes:\n{volumes}"
    ));
    namespace.wait("rc/many", "jsonpath={.status.availableReplicas}=5");
    let pod = namespace.run(&["get", "pods", "-l", "app=many", "-o", "jsonpath={.items[0].metadata.name}"]);
    assert_eq!(namespace.exec(&pod, "cat /etc/config-*/data-1 | wc -c").trim(), (50 * 7).to_string());
}
