//! The JavaScript client, as it comes from npm: scripts in `tests/clients/javascript` do what the client's own examples do,
//! apart from metrics. A script that ends without an error has passed.

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::output;

use crate::images;
use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "javascript", name, test);
    vec![
        trial("objects_of_many_kinds_in_javascript", |namespace| run(namespace, "objects")),
        trial("exec_attach_logs_and_copies", |namespace| run(namespace, "streams")),
        trial("ports_of_pods_services_and_deployments", |namespace| run(namespace, "ports")),
        trial("watches_informers_and_caches", |namespace| run(namespace, "watches")),
    ]
}

/// Runs a script on the cluster's host, as the administrator.
fn run(namespace: &Namespace, script: &str) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/javascript");
    let server = &namespace.cluster.server;
    // `cargo xtask install` puts the client and the program that runs it beside the other clients.
    let clients = std::env::var_os("IRONHULL_CLIENTS").expect("`cargo xtask test` sets it");
    let place = Path::new(&clients).with_file_name("javascript");
    let mut command = server.host().command(place.join("node"));
    command
        .arg(scripts.join(format!("{script}.mjs")))
        .env("CLIENT_MODULE", place.join("node_modules/@kubernetes/client-node/dist/index.js"))
        .env("KUBECONFIG", server.kubeconfig())
        .env("HOME", server.host().directory())
        .env("TMPDIR", server.host().directory())
        .env("NAMESPACE", &namespace.name)
        .env("BUSYBOX", images::BUSYBOX)
        .env("NGINX", images::NGINX_1);
    output(&mut command).unwrap_or_else(|error| panic!("{error:?}"));
}
