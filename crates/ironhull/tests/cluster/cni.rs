//! A node whose pod network is another program's: Debian's CNI plugins.

use std::sync::Arc;

use libtest_mimic::Trial;
use serde_json::json;
use testbed::{Host, Server};

use crate::images;
use crate::support::{Cluster, Namespace, PROGRAM};

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("cni::a_configured_network_is_used", || {
        a_configured_network_is_used();
        Ok(())
    })]
}

fn a_configured_network_is_used() {
    let host = Arc::new(Host::new().unwrap_or_else(|error| panic!("{error}")));
    let registry = images::start_registry(&host);
    let directory = host.directory().join("cni");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("10-net.conflist");
    let network = json!({"cniVersion": "1.0.0", "name": "debian", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {
            "type": "host-local", "dataDir": host.directory().join("leases"),
            "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
        },
    }]});
    std::fs::write(&file, network.to_string()).unwrap();
    let flags = ["--flannel-backend", "none", "--cni-conf-dir", directory.to_str().unwrap()];
    let server = Server::start(&host, PROGRAM, &flags).unwrap_or_else(|error| panic!("{error}"));
    let cluster = Arc::new(Cluster::of(server, registry));
    let namespace = Namespace::new(&cluster, "cni");
    namespace.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {terminationGracePeriodSeconds: 0, containers: \
         [{name: web, image: $NGINX}]}}",
    );
    namespace.wait("pod/web", "condition=Ready");
    let address = namespace.field("pod/web", ".status.podIP");
    assert!(address.starts_with("10.88.0."), "{address}");
    assert!(cluster.fetch(&address).unwrap().starts_with("web version 1"));
    // Without a configuration the node is not ready, in the words that people know; pods that run go on.
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
