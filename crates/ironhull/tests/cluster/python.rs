//! The Python client, as it comes from PyPI: scripts in `tests/clients/python` do what the client's own end-to-end tests
//! do. A script that ends without an error has passed.

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::output;

use crate::images;
use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "python", name, test);
    vec![
        trial("exec_and_attach", |namespace| run(namespace, "streams")),
        trial("logs_and_watches_in_messages", |namespace| run(namespace, "messages")),
        trial("ports_are_forwarded", |namespace| run(namespace, "ports")),
        trial("watches_and_informers", |namespace| run(namespace, "watches")),
        trial("objects_from_yaml", |namespace| run(namespace, "from_yaml")),
        trial("objects_of_many_kinds", |namespace| run(namespace, "objects")),
        trial("leaders_are_elected", |namespace| run(namespace, "election")),
    ]
}

/// Runs a script on the cluster's host, as the administrator.
fn run(namespace: &Namespace, script: &str) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python");
    let server = &namespace.cluster.server;
    let mut command = server.host().command("python3");
    command
        .arg("-B")
        .arg(scripts.join(format!("{script}.py")))
        .env("KUBECONFIG", server.kubeconfig())
        .env("HOME", server.host().directory())
        .env("NAMESPACE", &namespace.name)
        .env("BUSYBOX", images::BUSYBOX)
        .env("NGINX", images::NGINX_1);
    // `cargo xtask install` puts it beside the other clients.
    if let Some(clients) = std::env::var_os("IRONHULL_CLIENTS") {
        command.env("PYTHONPATH", Path::new(&clients).with_file_name("python"));
    }
    output(&mut command).unwrap_or_else(|error| panic!("{error:?}"));
}
