//! CustomResourceDefinitions as their users see them, with kubectl.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(cluster: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![trial(cluster, "custom_resources", "kubectl_works_with_a_resource_that_it_defines", kubectl_works)]
}

/// The group of a test's resources, which is its namespace's own.
fn group(namespace: &Namespace) -> String {
    format!("{}.example.com", namespace.name)
}

fn definition(group: &str) -> String {
    format!(
        r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: crontabs.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: crontabs, kind: CronTab, shortNames: [ct]}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {{}}
      scale: {{specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns:
    - {{name: Spec, type: string, jsonPath: .spec.cronSpec}}
    - {{name: Replicas, type: integer, jsonPath: .spec.replicas}}
    - {{name: Age, type: date, jsonPath: .metadata.creationTimestamp}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {{type: string, pattern: '^(\S+ ?){{5}}$', description: When it runs.}}
              replicas: {{type: integer, minimum: 1, default: 1}}
          status: {{type: object, properties: {{replicas: {{type: integer}}}}}}
"#
    )
}

fn kubectl_works(namespace: &Namespace) {
    let group = group(namespace);
    let name = format!("crontabs.{group}");
    namespace.apply(&definition(&group));
    namespace.run(&["wait", "--for=condition=established", "--timeout=60s", &format!("crd/{name}")]);
    let api_version = format!("{group}/v1");
    let object = |name: &str, spec: &str, more: &str| {
        format!(
            "apiVersion: {api_version}\nkind: CronTab\nmetadata: {{name: {name}{more}}}\nspec: {{cronSpec: '{spec}'}}\n"
        )
    };
    namespace.apply(&object("night", "0 3 * * *", ""));
    let refused = namespace.try_apply(&object("wrong", "no", "")).unwrap_err().to_string();
    assert!(refused.contains("spec.cronSpec in body should match"), "{refused}");
    let explained = namespace.run(&["explain", &format!("{name}.spec.cronSpec")]);
    assert!(explained.contains("When it runs."), "{explained}");
    let table = namespace.run(&["get", &name]);
    let mut lines = table.lines();
    assert_eq!(
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["NAME", "SPEC", "REPLICAS", "AGE"]
    );
    let row: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(row[..7], ["night", "0", "3", "*", "*", "*", "1"]);
    namespace.run(&["scale", "--replicas=4", &format!("{name}/night")]);
    assert_eq!(namespace.field(&format!("{name}/night"), ".spec.replicas"), "4");
    let resources = namespace.run(&["api-resources", "--api-group", &group, "--no-headers"]);
    assert_eq!(
        resources.split_whitespace().collect::<Vec<_>>(),
        ["crontabs", "ct", &api_version, "true", "CronTab"]
    );

    // Objects belong to others as those of built-in kinds do.
    namespace.run(&["create", "configmap", "owner"]);
    let uid = namespace.field("configmap/owner", ".metadata.uid");
    let owned = format!(", ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]");
    namespace.apply(&object("owned", "0 4 * * *", &owned));
    namespace.run(&["delete", "configmap", "owner"]);
    namespace.until("the owned object is collected", || {
        let left = namespace.run(&["get", &name, "-o", "name"]);
        if left.contains("/owned") { Err(left) } else { Ok(()) }
    });
    let other = format!("{}-other", namespace.name);
    let server = &namespace.cluster.server;
    let run = |arguments: &[&str]| {
        let done = server.kubectl(arguments).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    run(&["create", "namespace", &other]);
    let elsewhere = object("elsewhere", "0 5 * * *", "");
    server.kubectl_with_input(&["--namespace", &other, "apply", "-f", "-"], &elsewhere).unwrap();
    run(&["delete", "namespace", &other]);
    assert!(!run(&["get", &name, "--all-namespaces", "-o", "name"]).contains("elsewhere"));

    namespace.run(&["delete", "crd", &name]);
    let gone = namespace.fails(&["get", &name]);
    assert!(gone.contains("the server doesn't have a resource type"), "{gone}");
    namespace.apply(&definition(&group));
    namespace.run(&["wait", "--for=condition=established", "--timeout=60s", &format!("crd/{name}")]);
    assert_eq!(namespace.run(&["get", &name, "-o", "name"]), "");
    namespace.run(&["delete", "crd", &name]);
}
