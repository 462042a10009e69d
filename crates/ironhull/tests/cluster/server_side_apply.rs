//! Server-side apply as people use it: with kubectl, and with the clients of other languages in their own tests.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::TestbedError;

use crate::images::{NGINX_1, NGINX_2};
use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "server_side_apply", name, test);
    vec![
        trial("kubectl_applies_on_the_server", kubectl_applies_on_the_server),
        trial("kubectl_goes_over_to_it", kubectl_goes_over_to_it),
        trial("controllers_manage_their_fields", controllers_manage_their_fields),
    ]
}

fn deployment(image: &str, replicas: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, labels: {{a: b}}}}\nspec: {{{replicas}selector: \
         {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: \
         '{image}'}}]}}}}}}\n"
    )
}

fn apply(namespace: &Namespace, more: &[&str], yaml: &str) -> Result<String, TestbedError> {
    let mut arguments = vec!["--namespace", &namespace.name, "apply", "-f", "-"];
    arguments.extend(more);
    namespace.cluster.server.kubectl_with_input(&arguments, yaml)
}

fn kubectl_applies_on_the_server(namespace: &Namespace) {
    let on_server = ["--server-side"];
    let said = apply(namespace, &on_server, &deployment(NGINX_1, "replicas: 0, ")).unwrap();
    assert_eq!(said, "deployment.apps/web serverside-applied\n");
    let hidden = namespace.run(&["get", "deployment", "web", "-o", "yaml"]);
    assert!(!hidden.contains("managedFields"), "{hidden}");
    let shown = namespace.run(&["get", "deployment", "web", "-o", "yaml", "--show-managed-fields"]);
    for expected in ["manager: kubectl\n", "operation: Apply\n", "f:replicas: {}\n", r#"k:{"name":"c"}"#] {
        assert!(shown.contains(expected), "{expected:?} in {shown}");
    }

    // Another manager scales; the first one is told where they disagree, and gives up by not saying a number.
    namespace.run(&["scale", "deployment", "web", "--replicas=1"]);
    let refused = apply(namespace, &on_server, &deployment(NGINX_1, "replicas: 0, "));
    let Err(TestbedError::Failed { output, .. }) = refused else { panic!("{refused:?}") };
    let expected = r#"conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas"#;
    assert!(output.contains(expected), "{output}");
    apply(namespace, &on_server, &deployment(NGINX_2, "")).unwrap();
    assert_eq!(namespace.field("deployment/web", ".spec.replicas"), "1");
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[0].image"), NGINX_2);
    let forced = ["--server-side", "--force-conflicts", "--field-manager=other"];
    apply(namespace, &forced, &deployment(NGINX_1, "replicas: 0, ")).unwrap();
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[0].image"), NGINX_1);

    // A difference is found by an apply that stores nothing.
    let file = namespace.cluster.host().directory().join("applied.yaml");
    std::fs::write(&file, deployment(NGINX_2, "replicas: 0, ")).unwrap();
    let file = file.to_str().unwrap();
    let diff = |more: &[&str]| {
        let mut arguments = vec!["diff", "--server-side", "--field-manager=other", "-f", file];
        arguments.extend(more);
        namespace.kubectl(&arguments).output().unwrap()
    };
    let found = diff(&["--force-conflicts"]);
    let text = String::from_utf8_lossy(&found.stdout);
    assert_eq!(found.status.code(), Some(1), "{text}");
    let is_shown = |sign: char, image: &str| {
        text.lines().any(|line| line.starts_with(sign) && line.contains(&format!("image: {image}")))
    };
    assert!(is_shown('-', NGINX_1) && is_shown('+', NGINX_2), "{text}");
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[0].image"), NGINX_1);

    let unknown = deployment(NGINX_1, "bogus: 1, ");
    let refused = apply(namespace, &on_server, &unknown);
    let Err(TestbedError::Failed { output, .. }) = refused else { panic!("{refused:?}") };
    assert!(output.contains(".spec.bogus: field not declared in schema"), "{output}");
}

/// Who applied on its own side goes over without a conflict, and may go back.
fn kubectl_goes_over_to_it(namespace: &Namespace) {
    namespace.apply(&deployment(NGINX_1, "replicas: 0, "));
    let on_server = ["--server-side"];
    apply(namespace, &on_server, &deployment(NGINX_2, "")).unwrap();
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[0].image"), NGINX_2);
    let last = namespace.run(&["apply", "view-last-applied", "deployment", "web", "-o", "json"]);
    assert!(last.contains(NGINX_2) && !last.contains("replicas"), "{last}");
    let managers = namespace.field("deployment/web", ".metadata.managedFields[*].manager");
    assert!(!managers.contains("kubectl-client-side-apply"), "{managers}");
    namespace.apply(&deployment(NGINX_1, ""));
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[0].image"), NGINX_1);
}

fn controllers_manage_their_fields(namespace: &Namespace) {
    apply(namespace, &["--server-side"], &deployment(NGINX_1, "replicas: 1, ")).unwrap();
    namespace.run(&["rollout", "status", "deployment/web", crate::support::LIMIT]);
    let written = |object: &str| {
        let path = "{range .metadata.managedFields[*]}{.manager} {.operation} {.subresource}{'\\n'}{end}";
        namespace.run(&["get", object, "-o", &format!("jsonpath={path}")])
    };
    let of_deployment = written("deployment/web");
    for expected in ["kubectl Apply \n", "kube-controller-manager Update status\n"] {
        assert!(of_deployment.contains(expected), "{of_deployment}");
    }
    let pod = namespace.run(&["get", "pods", "-o", "name"]);
    let of_pod = written(pod.trim());
    for expected in ["kube-controller-manager Update \n", "kubelet Update status\n"] {
        assert!(of_pod.contains(expected), "{of_pod}");
    }
}
