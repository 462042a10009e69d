use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use hostnet::NetNs;
use hostnet::testing::{Greeter, ask_tcp, ip};

use super::*;
use crate::firewall::Protocol;

/// A host with directories of its own for configurations, plugins and records.
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
        let path = self.path("bin").join(name);
        let log = self.path("log");
        let note = format!(
            "#!/bin/sh\ninput=$(cat)\necho \"{name} $CNI_COMMAND $CNI_IFNAME $CNI_ARGS $input\" >> {}\n{script}\n",
            log.display()
        );
        std::fs::write(&path, note).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
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
    let pod = ["default", "web", "uid-1"];
    Sandbox { id, namespace, pod, host_ports: &[], ingress_rate: None, egress_rate: None }
}

#[test]
fn debians_plugins_connect_pods_and_let_them_go() {
    let env = Env::new();
    let (one, two) = (NetNs::create().unwrap(), NetNs::create().unwrap());
    env.configure("10-debian.conflist", &env.bridge());
    env.configure("20-other.conflist", &json!({"never": "read"}));
    env.host
        .block_on(|| async {
            let cni = env.cni();
            assert_eq!(cni.problem(), None);
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
            // The bridge is the plugin's to keep. The kernel takes the pair of a namespace that is gone in its own time.
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
            assert_eq!(cni.problem().unwrap(), "Network plugin returns error: cni plugin not initialized");
            for (plugins, expected) in [
                (json!([{"type": "good"}, {"type": "bad"}]), "bad failed ADD: no room: all taken"),
                (json!([{"type": "loud"}]), "longer than 1048576 bytes"),
                (json!([{"type": "odd"}]), "odd answered ADD with what is no result"),
                (json!([{"type": "empty"}]), "gave the pod no address"),
                (json!([{"type": "nowhere"}]), "/usr/lib/cni: install it"),
                (json!([{"type": "../evil"}]), "is no name of a plugin"),
                (json!([]), "\"plugins\" is empty"),
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
            assert!(cni.problem().unwrap().contains("\"nobody\" is in none of"));
            env.configure("net.conflist", &json!({"cniVersion": "0.2.0", "name": "n", "type": "good"}));
            assert!(cni.problem().unwrap().contains("0.2.0 is not among"));
            // A single plugin, and a choice of versions.
            env.configure(
                "net.conflist",
                &json!({"cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "n", "type": "good"}),
            );
            assert_eq!(cni.problem(), None);
            cni.add(&sandbox("t", Path::new("/nonexistent"))).await.unwrap();
            assert!(std::fs::read_to_string(env.path("log")).unwrap().contains(r#""cniVersion":"1.1.0""#));
        })
        .unwrap();
    assert!(env.calls().starts_with(&["good ADD", "bad ADD", "bad DEL", "good DEL"].map(str::to_owned)));
}
