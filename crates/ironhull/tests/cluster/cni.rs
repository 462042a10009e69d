//! A node with a CNI pod network: Debian's CNI plugins.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use libtest_mimic::Trial;
use serde_json::json;
use testbed::{Host, Server};

use crate::images;
use crate::support::{Cluster, Namespace, PROGRAM, timed_trial};

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        timed_trial(format!("cni::{name}"), move || {
            test();
            Ok(())
        })
    };
    vec![
        trial("a_configured_network_is_used", a_configured_network_is_used),
        trial("a_plugin_tells_of_itself_and_hears_of_pods", a_plugin_tells_of_itself_and_hears_of_pods),
    ]
}

fn a_configured_network_is_used() {
    let host = Arc::new(Host::new().unwrap_or_else(|error| panic!("{error:?}")));
    let registry = images::start_registry(&host);
    let directory = host.directory().join("cni");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("10-net.conflist");
    let network = json!({"cniVersion": "1.1.0", "cniVersions": ["1.0.0"], "name": "debian", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {
            "type": "host-local", "dataDir": host.directory().join("leases"),
            "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
        },
    }]});
    std::fs::write(&file, network.to_string()).unwrap();
    let flags = ["--flannel-backend", "none", "--cni-conf-dir", directory.to_str().unwrap()];
    let server = Server::start(&host, PROGRAM, &flags).unwrap_or_else(|error| panic!("{error:?}"));
    let cluster = Arc::new(Cluster::of(server, registry));
    let namespace = Namespace::new(&cluster, "cni");
    namespace.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {terminationGracePeriodSeconds: 0, containers: \
         [{name: web, image: $NGINX, readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]}}",
    );
    namespace.wait("pod/web", "condition=Ready");
    let address = namespace.field("pod/web", ".status.podIP");
    assert!(address.starts_with("10.88.0."), "{address}");
    assert!(cluster.fetch(&address).unwrap().starts_with("web version 1"));
    // Without a configuration the node is not ready, with upstream's message; running pods continue.
    let away = host.directory().join("away");
    std::fs::rename(&file, &away).unwrap();
    let why = ["get", "node", "-o", "jsonpath={.items[0].status.conditions[?(@.type=='Ready')]}"];
    let said = namespace.until_output(&why, "cni plugin not initialized");
    assert!(
        said.contains(r#""reason":"KubeletNotReady""#) && said.contains("NetworkPluginNotReady"),
        "{said}"
    );
    assert!(cluster.fetch(&address).unwrap().starts_with("web version 1"));
    std::fs::rename(&away, &file).unwrap();
    namespace.until_output(&why, r#""status":"True""#);
    namespace.run(&["delete", "pod", "web"]);
    let leases = || std::fs::read_dir(host.directory().join("leases/debian")).unwrap();
    namespace.until("the pod's address is free", || {
        let names: Vec<_> = leases().map(|entry| entry.unwrap().file_name()).collect();
        let taken = names.iter().any(|name| name.to_string_lossy().starts_with("10.88."));
        if taken { Err(format!("{names:?}")) } else { Ok(()) }
    });
}

/// A plugin of CNI 1.1: Debian's bridge, which knows 1.0, behind a script.
fn a_plugin_tells_of_itself_and_hears_of_pods() {
    let host = Arc::new(Host::new().unwrap_or_else(|error| panic!("{error:?}")));
    let registry = images::start_registry(&host);
    let path = |name: &str| host.directory().join(name);
    for name in ["cni", "plugins"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    let (answer, collected) = (path("answer"), path("collected"));
    let versions = json!({"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]});
    let script = format!(
        "#!/bin/sh\ninput=$(cat)\ncase $CNI_COMMAND in\nVERSION) echo '{versions}' ;;\n\
         STATUS) [ ! -e {answer} ] || {{ cat {answer}; exit 1; }} ;;\nGC) echo \"$input\" > {collected} ;;\n\
         *) echo \"$input\" | sed s/1.1.0/1.0.0/g | /usr/lib/cni/bridge | sed s/1.0.0/1.1.0/ ;;\nesac\n",
        answer = answer.display(),
        collected = collected.display()
    );
    std::fs::write(path("plugins/lab"), script).unwrap();
    std::fs::set_permissions(path("plugins/lab"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let network = json!({"cniVersion": "1.1.0", "name": "lab", "plugins": [{
        "type": "lab", "bridge": "cni0", "isGateway": true, "capabilities": {"ipRanges": true},
        "ipam": {"type": "host-local", "dataDir": path("leases"), "routes": [{"dst": "0.0.0.0/0"}]},
    }]});
    std::fs::write(path("cni/10-lab.conflist"), network.to_string()).unwrap();
    let (conf_dir, plugins) = (path("cni"), path("plugins"));
    let bin_dirs = format!("{},/usr/lib/cni", plugins.display());
    let flags = [
        "--flannel-backend",
        "none",
        "--cni-conf-dir",
        conf_dir.to_str().unwrap(),
        "--cni-bin-dir",
        &bin_dirs,
    ];
    let server = Server::start(&host, PROGRAM, &flags).unwrap_or_else(|error| panic!("{error:?}"));
    let cluster = Arc::new(Cluster::of(server, registry));
    let namespace = Namespace::new(&cluster, "cni");
    namespace.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {terminationGracePeriodSeconds: 0, containers: \
         [{name: web, image: $NGINX, readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]}}",
    );
    namespace.wait("pod/web", "condition=Ready");
    // The range that the plugin was given is the node's pod subnet.
    let subnet = namespace.run(&["get", "node", "-o", "jsonpath={.items[0].spec.podCIDR}"]);
    let address = namespace.field("pod/web", ".status.podIP");
    let subnet: ipnet::IpNet = subnet.trim().parse().unwrap();
    assert!(subnet.contains(&address.parse::<std::net::IpAddr>().unwrap()), "{address} in {subnet}");
    let why = ["get", "node", "-o", "jsonpath={.items[0].status.conditions[?(@.type=='Ready')]}"];
    std::fs::write(&answer, json!({"code": 50, "msg": "the lab is closed"}).to_string()).unwrap();
    let said = namespace.until_output(&why, "the CNI plugin lab is not available: the lab is closed");
    assert!(said.contains(r#""reason":"KubeletNotReady""#), "{said}");
    assert!(cluster.fetch(&address).unwrap().starts_with("web version 1"));
    std::fs::remove_file(&answer).unwrap();
    namespace.until_output(&why, r#""status":"True""#);
    // It is told that pods have ended that it was not asked to disconnect, as after a loss of state.
    namespace.run(&["delete", "pod", "web"]);
    namespace.until("the plugin hears that there is no pod", || {
        let text = std::fs::read_to_string(&collected).map_err(|error| error.to_string())?;
        let valid = serde_json::from_str::<serde_json::Value>(&text).map_err(|error| error.to_string())?;
        let valid = valid["cni.dev/valid-attachments"].clone();
        if valid == json!([]) { Ok(()) } else { Err(valid.to_string()) }
    });
}
