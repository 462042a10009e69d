//! The configuration of admission plugins in a file, as an operator gives it to the program.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Host, Server, TestbedError, output};

use crate::support::{LIMIT, PROGRAM, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![
        timed_trial("admission::a_file_configures_pod_security", || {
            a_file_configures_pod_security();
            Ok(())
        }),
        timed_trial("admission::a_bad_file_stops_the_start", || {
            a_bad_file_stops_the_start();
            Ok(())
        }),
    ]
}

const FILE: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, enforce-version: latest, warn: restricted, warn-version: latest}
    exemptions: {namespaces: [exempt]}
";

const ON_HOST: &str = "
apiVersion: v1
kind: Pod
metadata: {name: on-host}
spec: {hostNetwork: true, containers: [{name: c, image: none}]}
";

fn host() -> Arc<Host> {
    Arc::new(Host::new().unwrap_or_else(|error| panic!("{error:?}")))
}

fn a_file_configures_pod_security() {
    let host = host();
    let file = host.directory().join("admission.yaml");
    std::fs::write(&file, FILE).unwrap();
    let flags = ["--admission-control-config-file", file.to_str().unwrap()];
    let server = Server::start(&host, PROGRAM, &flags).unwrap_or_else(|error| panic!("{error:?}"));
    for namespace in ["held", "exempt"] {
        output(&mut server.kubectl(&["create", "namespace", namespace])).unwrap();
        let account = ["wait", "-n", namespace, "--for=create", "serviceaccount/default", LIMIT];
        output(&mut server.kubectl(&account)).unwrap();
    }
    let apply = |namespace: &str| server.kubectl_with_input(&["-n", namespace, "apply", "-f", "-"], ON_HOST);
    let Err(TestbedError::Failed { output: refused, .. }) = apply("held") else { panic!("it is admitted") };
    let expected =
        "is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    assert!(refused.contains(expected), "{refused}");
    apply("exempt").unwrap_or_else(|error| panic!("{error:?}"));
    let names = ["get", "pods", "-A", "-o", "jsonpath={.items[*].metadata.namespace}"];
    assert_eq!(output(&mut server.kubectl(&names)).unwrap(), "exempt");
}

fn a_bad_file_stops_the_start() {
    let host = host();
    let (file, data) = (host.directory().join("admission.yaml"), host.directory().join("data"));
    let start = || {
        let mut command = host.command(PROGRAM);
        command.arg("server").arg("--data-dir").arg(&data).arg("--admission-control-config-file").arg(&file);
        match output(&mut command) {
            Err(TestbedError::Failed { output, .. }) => output,
            other => panic!("it should not start: {other:?}"),
        }
    };
    let refused = start();
    assert!(
        refused.contains("--admission-control-config-file") && refused.contains("admission.yaml"),
        "{refused}"
    );
    for (from, to, expected) in [
        ("enforce: baseline", "enforce: strict", "strict"),
        ("defaults:", "default:", "default"),
        ("kind: AdmissionConfiguration", "kind: Pod", "Pod"),
        ("plugins:", "plugins: [", "admission.yaml"),
    ] {
        std::fs::write(&file, FILE.replacen(from, to, 1)).unwrap();
        let refused = start();
        let is_clear = refused.contains("--admission-control-config-file") && refused.contains(expected);
        assert!(is_clear, "{to}: {refused}");
    }
    assert!(!data.join("tls").exists(), "nothing was made");
}
