use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use hostnet::NetNs;
use hostnet::testing::{Greeter, ask_tcp, ip};

use super::*;
use crate::host_port::Protocol;

/// A host with its own directories for configurations, plugins and records.
struct Env {
    directory: tempfile::TempDir,
    host: NetNs,
}

impl Env {
    fn new() -> Env {
        let host = NetNs::create().unwrap();
        ip(&host, "link set lo up");
        let env = Env { directory: tempfile::tempdir().unwrap(), host };
        for name in ["conf", "bin", "state"] {
            std::fs::create_dir(env.directory.path().join(name)).unwrap();
        }
        env
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn cni(&self) -> Cni {
        Cni::new(CniConfig {
            conf_dir: self.path("conf"),
            bin_dirs: vec![self.path("bin"), "/usr/lib/cni".into()],
            state_dir: self.path("state"),
        })
    }

    fn configure(&self, name: &str, config: &Value) {
        std::fs::write(self.path("conf").join(name), config.to_string()).unwrap();
    }

    /// A plugin that notes each call, and runs `script`.
    fn plugin(&self, name: &str, script: &str) {
        self.plugin_of(name, &["0.3.1", "0.4.0", "1.0.0", "1.1.0"], script);
    }

    /// As [`Env::plugin`], with the versions that it reports.
    fn plugin_of(&self, name: &str, versions: &[&str], script: &str) {
        let path = self.path("bin").join(name);
        let log = self.path("log");
        let versions = json!({"cniVersion": "1.0.0", "supportedVersions": versions});
        let note = format!(
            "#!/bin/sh\ninput=$(cat)\n[ $CNI_COMMAND = VERSION ] && echo '{versions}' && exit 0\necho \"{name} $CNI_COMMAND $CNI_IFNAME $CNI_ARGS $input\" >> {}\n{script}\n",
            log.display()
        );
        // In one step, because a program cannot be run while it is being written.
        let new = self.path("new");
        std::fs::write(&new, note).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&new, &path).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    }

    /// The input of a plugin's last `command`.
    fn last_input(&self, command: &str) -> Value {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let line = text.lines().rfind(|line| line.split(' ').nth(1) == Some(command)).unwrap();
        serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap()
    }

    fn forget_calls(&self) {
        let _ = std::fs::remove_file(self.path("log"));
    }

    fn records(&self) -> usize {
        std::fs::read_dir(self.path("state/cni")).map_or(0, Iterator::count)
    }

    /// The network of Debian's plugins.
    fn bridge(&self) -> Value {
        json!({"cniVersion": "1.0.0", "name": "debian", "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true, "ipam": {
                "type": "host-local", "dataDir": self.path("leases"),
                "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd88::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            }},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ]})
    }
}

fn sandbox<'s>(id: &'s str, namespace: &'s Path) -> Sandbox<'s> {
    static ANNOTATIONS: BTreeMap<String, String> = BTreeMap::new();
    Sandbox {
        id,
        namespace,
        pod: ["default", "web", "uid-1"],
        host_ports: &[],
        ingress_rate: None,
        egress_rate: None,
        dns: None,
        cgroup: "",
        annotations: &ANNOTATIONS,
    }
}

/// Polls until `holds`.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(120), waiting).await.unwrap_or_else(|_| panic!("{what}: never"));
}

/// The script of a plugin that connects.
const CONNECTS: &str = r#"[ $CNI_COMMAND = ADD ] && echo '{"ips":[{"address":"10.9.0.5/24"}]}'; exit 0"#;

#[test]
fn debians_plugins_connect_pods_and_let_them_go() {
    let env = Env::new();
    let (one, two) = (NetNs::create().unwrap(), NetNs::create().unwrap());
    env.configure("10-debian.conflist", &env.bridge());
    env.configure("20-other.conflist", &json!({"never": "read"}));
    env.host
        .block_on(|| async {
            let cni = env.cni();
            assert_eq!(cni.problem().await, None);
            let before = links();
            let addresses = cni.add(&sandbox("one", &one.path())).await.unwrap();
            assert_eq!(addresses.len(), 2);
            assert!(addresses[0].is_ipv4() && addresses[1].is_ipv6(), "{addresses:?}");
            cni.add(&sandbox("two", &two.path())).await.unwrap();
            let server = Greeter::tcp(&one, "[::]:80".parse().unwrap(), "one");
            let target = (addresses[0], 80).into();
            assert!(two.run(move || ask_tcp(target)).await.unwrap().unwrap().starts_with("one "));
            cni.check("one").await.unwrap();
            let mode = |path: &str| std::fs::metadata(env.path(path)).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode("state/cni"), mode("state/cni/one.json")), (0o700, 0o600));
            // Another process, with another network in the directory, and without the pod's namespace.
            env.configure("10-debian.conflist", &json!({}));
            drop((server, one));
            let cni = env.cni();
            cni.delete("one").await.unwrap();
            cni.delete("one").await.unwrap();
            reset(&env.path("state")).await.unwrap();
            assert!(!env.path("state/cni").exists());
            let leases = std::fs::read_dir(env.path("leases/debian")).unwrap();
            let leases: Vec<String> =
                leases.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            assert!(leases.iter().all(|name| name.starts_with("last_") || name == "lock"), "{leases:?}");
            // The plugin keeps its bridge. The kernel removes the pair of a namespace that is gone, after some time.
            let only_the_bridge = async {
                while links().len() != before.len() + 1 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            if tokio::time::timeout(Duration::from_secs(60), only_the_bridge).await.is_err() {
                panic!("more than the bridge is left: {:?}", links());
            }
        })
        .unwrap();
}

fn links() -> Vec<String> {
    let output = std::process::Command::new("ip").args(["-o", "link"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn plugins_are_chained_and_taken_back_in_the_reverse_order() {
    let env = Env::new();
    let result = r#"{"cniVersion":"0.4.0","interfaces":[{"name":"br"},{"name":"eth0","sandbox":"/x"}],"ips":[{"address":"10.9.0.1/24","interface":0},{"address":"10.9.0.5/24","interface":1}]}"#;
    env.plugin("main", &format!("[ $CNI_COMMAND = ADD ] && echo '{result}'; exit 0"));
    env.plugin("meta", "[ $CNI_COMMAND = ADD ] && echo \"$input\" | grep -o '{\"cniVersion\":\"0.4.0\",\"inter.*]}' | head -1 >/dev/null; exit 0");
    env.configure(
        "net.conflist",
        &json!({"cniVersion": "0.4.0", "name": "chain", "plugins": [
            {"type": "main", "capabilities": {"portMappings": true, "bandwidth": false}}, {"type": "meta"},
        ]}),
    );
    env.host
        .block_on(|| async {
            let cni = env.cni();
            let ports =
                [HostPort { host_ip: None, host_port: 8080, container_port: 80, protocol: Protocol::Tcp }];
            let wanted = Sandbox {
                host_ports: &ports,
                ingress_rate: Some(1_000_000),
                ..sandbox("s", Path::new("/nonexistent"))
            };
            // The addresses inside of the pod, not those of the bridge.
            assert_eq!(cni.add(&wanted).await.unwrap(), ["10.9.0.5".parse::<IpAddr>().unwrap()]);
            cni.check("s").await.unwrap();
            cni.delete("s").await.unwrap();
        })
        .unwrap();
    assert_eq!(env.calls(), ["main ADD", "meta ADD", "main CHECK", "meta CHECK", "meta DEL", "main DEL"]);
    let log = std::fs::read_to_string(env.path("log")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        lines[0].contains("eth0 IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"),
        "{}",
        lines[0]
    );
    assert!(
        lines[0]
            .contains(r#""runtimeConfig":{"portMappings":[{"containerPort":80,"hostIP":"","hostPort":8080"#)
    );
    assert!(!lines[0].contains("bandwidth") && !lines[0].contains("prevResult"), "{}", lines[0]);
    for line in [1, 2, 4, 5] {
        assert!(lines[line].contains(r#""prevResult":{"cniVersion":"0.4.0""#), "{}", lines[line]);
    }
    assert!(!lines[1].contains("runtimeConfig"), "{}", lines[1]);
    assert_eq!(env.records(), 0);
}

#[test]
fn what_fails_is_told_and_taken_back() {
    let env = Env::new();
    let configure = |plugins: Value| {
        env.configure("net.conflist", &json!({"cniVersion": "1.0.0", "name": "n", "plugins": plugins}));
    };
    env.plugin("good", r#"[ $CNI_COMMAND = ADD ] && echo '{"ips":[{"address":"10.9.0.5/24"}]}'; exit 0"#);
    env.plugin("bad", r#"[ $CNI_COMMAND = DEL ] && exit 0; echo '{"code":7,"msg":"no room","details":"all taken"}'; exit 1"#);
    env.plugin("mute", "exit 3");
    env.plugin("loud", "[ $CNI_COMMAND = ADD ] && head -c 3000000 /dev/zero; exit 0");
    env.plugin("odd", "[ $CNI_COMMAND = ADD ] && echo nonsense; exit 0");
    env.plugin("empty", "exit 0");
    env.host
        .block_on(|| async {
            let cni = env.cni();
            assert_eq!(cni.problem().await.unwrap(), "Network plugin returns error: cni plugin not initialized");
            for (plugins, expected) in [
                (json!([{"type": "good"}, {"type": "bad"}]), "bad failed ADD: no room: all taken"),
                (json!([{"type": "loud"}]), "longer than 1048576 bytes"),
                (json!([{"type": "odd"}]), "odd gave no valid result for ADD"),
                (json!([{"type": "empty"}]), "gave the pod no address"),
                (json!([{"type": "nowhere"}]), "/usr/lib/cni: install it"),
                (json!([{"type": "../evil"}]), "is not a valid plugin name"),
                (json!([]), "\"plugins\" is empty, and no plugin (.conf) is in"),
            ] {
                configure(plugins);
                let error = cni.add(&sandbox("s", Path::new("/nonexistent"))).await.unwrap_err().to_string();
                assert!(error.contains(expected), "{error}, not {expected}");
            }
            assert_eq!(env.records(), 0);
            configure(json!([{"type": "mute"}]));
            let error = cni.add(&sandbox("s", Path::new("/nonexistent"))).await.unwrap_err().to_string();
            assert!(error.contains("mute failed ADD: exit status: 3"), "{error}");
            configure(json!([{"type": "nobody"}]));
            assert!(cni.problem().await.unwrap().contains("\"nobody\" is in none of"));
            env.configure("net.conflist", &json!({"cniVersion": "0.2.0", "name": "n", "type": "good"}));
            assert!(cni.problem().await.unwrap().contains("0.2.0 is not among"));
            // A single plugin, and a choice of versions.
            env.configure(
                "net.conflist",
                &json!({"cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "n", "type": "good"}),
            );
            assert_eq!(cni.problem().await, None);
            cni.add(&sandbox("t", Path::new("/nonexistent"))).await.unwrap();
            assert!(std::fs::read_to_string(env.path("log")).unwrap().contains(r#""cniVersion":"1.1.0""#));
        })
        .unwrap();
    assert!(env.calls().starts_with(&["good ADD", "bad ADD", "bad DEL", "good DEL"].map(str::to_owned)));
}

const NOWHERE: &str = "/nonexistent";

#[test]
fn the_newest_version_that_all_speak_is_used_or_nothing_is_done() {
    let env = Env::new();
    let configure = |versions: &[&str]| {
        let plugins = json!([{"type": "main"}, {"type": "meta"}]);
        let network =
            json!({"cniVersion": versions[0], "cniVersions": versions, "name": "n", "plugins": plugins});
        env.configure("net.conflist", &network);
    };
    env.plugin_of("main", &["0.4.0", "1.0.0"], CONNECTS);
    env.plugin_of("meta", &["0.3.1", "1.0.0", "1.1.0"], "exit 0");
    env.host
        .block_on(|| async {
            let cni = env.cni();
            let wanted = sandbox("s", Path::new(NOWHERE));
            configure(&["1.1.0", "1.0.0", "0.4.0", "7.0.0"]);
            cni.add(&wanted).await.unwrap();
            assert_eq!(env.last_input("ADD")["cniVersion"], "1.0.0");
            // It is removed as it was added, whatever is configured by then.
            configure(&["0.4.0"]);
            cni.delete("s").await.unwrap();
            assert_eq!(env.last_input("DEL")["cniVersion"], "1.0.0");
            env.forget_calls();
            for (versions, expected) in [
                (
                    ["1.1.0"],
                    "configured for CNI 1.1.0, but its plugin main supports 0.4.0, 1.0.0: update the plugin",
                ),
                (["0.4.0"], "configured for CNI 0.4.0, but its plugin meta supports 0.3.1, 1.0.0, 1.1.0"),
            ] {
                configure(&versions);
                let error = cni.add(&wanted).await.unwrap_err().to_string();
                assert!(error.contains(expected), "{error}");
                assert!(cni.problem().await.unwrap().contains(expected));
            }
            assert_eq!((env.calls().len(), env.records()), (0, 0));
            // A replaced program is queried again.
            env.plugin_of("main", &["1.1.0"], CONNECTS);
            configure(&["1.1.0"]);
            cni.add(&wanted).await.unwrap();
            assert_eq!(env.last_input("ADD")["cniVersion"], "1.1.0");
            std::fs::write(env.path("bin/main"), "#!/bin/sh\necho '{}'\n").unwrap();
            let said = cni.problem().await.unwrap();
            assert!(said.contains("main gave no valid result for VERSION"), "{said}");
        })
        .unwrap();
}

#[test]
fn a_plugin_that_is_not_available_makes_the_network_fail_with_its_words() {
    let env = Env::new();
    let plugins = json!([{"type": "main"}, {"type": "meta"}]);
    let network = |version: &str| json!({"cniVersion": version, "name": "n", "plugins": plugins});
    env.configure("net.conflist", &network("1.1.0"));
    env.plugin("main", "exit 0");
    let answer = env.path("answer");
    env.plugin("meta", &format!("[ -e {0} ] && cat {0} && exit 1; exit 0", answer.display()));
    env.host
        .block_on(|| async {
            let cni = env.cni();
            assert_eq!(cni.problem().await, None);
            assert_eq!(env.calls(), ["main STATUS", "meta STATUS"]);
            assert_eq!(
                (&env.last_input("STATUS")["name"], env.last_input("STATUS").get("prevResult")),
                (&json!("n"), None)
            );
            assert_eq!(cni.problem().await, None);
            assert_eq!(env.calls().len(), 2, "what was just said counts for a while");
            for (code, expected) in [
                (50, "the CNI plugin meta is not available: no daemon: it sleeps"),
                (
                    51,
                    "the CNI plugin meta is not available, and running pods may be cut off: no daemon: it \
                    sleeps",
                ),
                (11, "the CNI plugin meta failed STATUS: no daemon: it sleeps"),
            ] {
                std::fs::write(
                    &answer,
                    json!({"code": code, "msg": "no daemon", "details": "it sleeps"}).to_string(),
                )
                .unwrap();
                let expected = format!("Network plugin returns error: {expected}");
                until(&expected, async || cni.problem().await.as_ref() == Some(&expected)).await;
            }
            // It reports its versions, and is queried nevertheless.
            std::fs::remove_file(&answer).unwrap();
            until("available again", async || cni.problem().await.is_none()).await;
            env.forget_calls();
            env.configure("net.conflist", &network("1.0.0"));
            assert_eq!(cni.problem().await, None);
            assert!(env.calls().is_empty(), "the version has no STATUS");
        })
        .unwrap();
}

#[test]
fn plugins_hear_which_attachments_there_are() {
    let env = Env::new();
    let configure = |name: &str, more: Value| {
        let mut network =
            json!({"cniVersion": "1.1.0", "name": name, "plugins": [{"type": "main"}, {"type": "meta"}]});
        network.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        env.configure("net.conflist", &network);
    };
    env.plugin("main", &format!("[ $CNI_COMMAND = GC ] && exit 1; {CONNECTS}"));
    env.plugin("meta", "exit 0");
    env.host
        .block_on(|| async {
            let cni = env.cni();
            cni.collect_garbage().await.unwrap();
            configure("other", json!({}));
            cni.add(&sandbox("of-another", Path::new(NOWHERE))).await.unwrap();
            configure("n", json!({"disableGC": "True"}));
            for id in ["stays", "goes"] {
                cni.add(&sandbox(id, Path::new(NOWHERE))).await.unwrap();
            }
            env.forget_calls();
            cni.collect_garbage().await.unwrap();
            assert!(env.calls().is_empty(), "the network forbids it");
            configure("n", json!({"disableGC": false}));
            // At the start, and after something was disconnected.
            let keep = cni.keep();
            let work = async {
                until("garbage is collected", async || env.calls() == ["main GC", "meta GC"]).await;
                cni.delete("goes").await.unwrap();
                until("and again", async || {
                    env.calls().iter().filter(|call| *call == "meta GC").count() == 2
                })
                .await;
            };
            tokio::select! { () = keep => {}, () = work => {} }
            let valid = json!([{"containerID": "stays", "ifname": "eth0"}]);
            let input = env.last_input("GC");
            assert_eq!(
                (&input["cni.dev/valid-attachments"], &input["cni.dev/attachments"]),
                (&valid, &valid)
            );
            // The first plugin failed, and the second was called nevertheless.
            assert!(cni.collect_garbage().await.unwrap_err().to_string().contains("main failed GC"));
            env.forget_calls();
            configure("n", json!({"cniVersion": "1.0.0"}));
            cni.collect_garbage().await.unwrap();
            assert!(env.calls().is_empty(), "the version has no GC");
        })
        .unwrap();
}

#[test]
fn what_is_configured_or_installed_is_noticed_at_once() {
    let env = Env::new();
    std::fs::remove_dir(env.path("conf")).unwrap();
    env.host
        .block_on(|| async {
            let cni = env.cni();
            let work = async {
                let says = async |expected: &str| {
                    loop {
                        let said = cni.problem().await.unwrap_or_default();
                        if said.contains(expected) && said.is_empty() == expected.is_empty() {
                            return;
                        }
                        timeout(Duration::from_secs(120), cni.changed()).await.expect(expected);
                    }
                };
                says("not initialized").await;
                // Let the watch begin: the first query finds earlier changes.
                tokio::task::yield_now().await;
                std::fs::create_dir(env.path("conf")).unwrap();
                env.configure("net.conflist", &json!({"cniVersion": "1.0.0", "name": "n", "type": "main"}));
                says("\"main\" is in none of").await;
                env.plugin("main", "exit 0");
                says("").await;
                env.configure("net.conflist", &json!({"cniVersion": "1.0.0", "name": "n"}));
                says("is empty, and no plugin (.conf) is in").await;
                std::fs::create_dir(env.path("conf/n")).unwrap();
                env.configure("n/10-main.conf", &json!({"type": "main"}));
                says("").await;
                std::fs::remove_file(env.path("conf/n/10-main.conf")).unwrap();
                says("is empty").await;
                std::fs::remove_dir_all(env.path("conf")).unwrap();
                says("not initialized").await;
            };
            tokio::select! { () = cni.keep() => {}, () = work => {} }
        })
        .unwrap();
}

#[test]
fn others_add_plugins_to_the_chain_unless_the_network_forbids_it() {
    let env = Env::new();
    std::fs::create_dir(env.path("conf/n")).unwrap();
    // Not a configuration, whatever its name is.
    std::fs::create_dir(env.path("conf/00.conf")).unwrap();
    for name in ["main", "first", "second"] {
        env.plugin(name, if name == "main" { CONNECTS } else { "exit 0" });
    }
    env.configure("n/20-second.conf", &json!({"type": "second"}));
    env.configure("n/10-first.conf", &json!({"type": "first"}));
    env.configure("n/00-no.conflist", &json!({}));
    let configure = |more: Value| {
        let mut network = json!({"cniVersion": "1.0.0", "name": "n"});
        network.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        env.configure("net.conflist", &network);
    };
    env.host
        .block_on(|| async {
            let cni = env.cni();
            let main = json!([{"type": "main"}]);
            let added = async |more: Value| {
                env.forget_calls();
                configure(more);
                cni.add(&sandbox("s", Path::new(NOWHERE))).await.unwrap();
                let calls = env.calls();
                cni.delete("s").await.unwrap();
                calls
            };
            assert_eq!(added(json!({"plugins": main})).await, ["main ADD", "first ADD", "second ADD"]);
            assert_eq!(added(json!({"plugins": main, "loadOnlyInlinedPlugins": true})).await, ["main ADD"]);
            assert_eq!(added(json!({"type": "main"})).await, ["main ADD"]);
            env.configure("n/20-second.conf", &json!({"type": "main"}));
            env.configure("n/10-first.conf", &json!({"type": "main"}));
            assert_eq!(added(json!({})).await, ["main ADD", "main ADD"]);
            for (more, expected) in [
                (json!({"loadOnlyInlinedPlugins": true}), "\"plugins\" is empty"),
                (json!({"disableGC": 1, "plugins": main}), "\"disableGC\": 1 is neither true nor false"),
                (json!({"disableCheck": "no", "plugins": main}), "\"disableCheck\": \"no\" is neither"),
            ] {
                configure(more);
                assert!(cni.problem().await.unwrap().contains(expected), "{:?}", cni.problem().await);
            }
            env.configure("n/10-first.conf", &json!({"type": "../x"}));
            configure(json!({"plugins": main}));
            let said = cni.problem().await.unwrap();
            assert!(said.contains("n/10-first.conf is invalid: \"type\": \"../x\""), "{said}");
        })
        .unwrap();
}

#[test]
fn plugins_get_the_capabilities_that_they_declare() {
    let env = Env::new();
    let all = [
        "portMappings",
        "bandwidth",
        "dns",
        "cgroupPath",
        "ipRanges",
        "io.kubernetes.cri.pod-annotations",
        "mac",
    ];
    let declared: Map<String, Value> = all.iter().map(|name| ((*name).to_owned(), json!(true))).collect();
    env.configure(
        "net.conflist",
        &json!({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "main", "capabilities": declared}]}),
    );
    env.plugin("main", CONNECTS);
    let annotations = BTreeMap::from([("a/b".to_owned(), "c".to_owned())]);
    let [servers, searches, options] =
        [["10.43.0.10"], ["default.svc.cluster.local"], ["ndots:5"]].map(|list| list.map(str::to_owned));
    let ports = [HostPort { host_ip: None, host_port: 8080, container_port: 80, protocol: Protocol::Tcp }];
    let wanted = Sandbox {
        host_ports: &ports,
        ingress_rate: Some(1_000_000),
        dns: Some([&servers, &searches, &options]),
        cgroup: "/kubepods/pod1",
        annotations: &annotations,
        ..sandbox("s", Path::new(NOWHERE))
    };
    env.host
        .block_on(|| async {
            let cni = env.cni();
            assert!(cni.problem().await.unwrap().contains("the node has none yet (spec.podCIDR)"));
            assert!(cni.add(&wanted).await.unwrap_err().to_string().contains("\"ipRanges\""));
            cni.set_pod_subnets(vec!["10.42.3.0/24".parse().unwrap(), "fd42:3::/64".parse().unwrap()]);
            assert_eq!(cni.problem().await, None);
            cni.add(&wanted).await.unwrap();
            let given = json!({
                "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""}],
                "bandwidth": {"ingressRate": 1_000_000, "ingressBurst": i32::MAX},
                "dns": {"servers": servers, "searches": searches, "options": options},
                "cgroupPath": "/kubepods/pod1",
                "ipRanges": [[{"subnet": "10.42.3.0/24"}], [{"subnet": "fd42:3::/64"}]],
                "io.kubernetes.cri.pod-annotations": {"a/b": "c"},
            });
            assert_eq!(env.last_input("ADD")["runtimeConfig"], given);
            cni.delete("s").await.unwrap();
            assert_eq!(env.last_input("DEL")["runtimeConfig"], given);
        })
        .unwrap();
}

#[test]
fn the_nodes_subnets_are_ranges_of_debians_plugins() {
    let env = Env::new();
    let pod = NetNs::create().unwrap();
    let ipam = json!({"type": "host-local", "dataDir": env.path("leases")});
    env.configure(
        "net.conflist",
        &json!({"cniVersion": "1.0.0", "cniVersions": ["1.1.0", "1.0.0"], "name": "debian", "plugins": [
            {"type": "bridge", "bridge": "cni0", "capabilities": {"ipRanges": true}, "ipam": ipam},
        ]}),
    );
    env.host
        .block_on(|| async {
            let cni = env.cni();
            cni.set_pod_subnets(vec!["10.42.3.0/24".parse().unwrap(), "fd42:3::/64".parse().unwrap()]);
            let addresses = cni.add(&sandbox("s", &pod.path())).await.unwrap();
            assert_eq!(
                addresses,
                ["10.42.3.2", "fd42:3::2"].map(|address| address.parse::<IpAddr>().unwrap())
            );
            cni.delete("s").await.unwrap();
        })
        .unwrap();
}
