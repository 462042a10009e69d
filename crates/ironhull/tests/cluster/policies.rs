//! Admission policies and rules of definitions as their users see them, with kubectl.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(cluster: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![
        trial(
            cluster,
            "policies",
            "deployments_are_refused_and_changed",
            deployments_are_refused_and_changed,
        ),
        trial(cluster, "policies", "objects_keep_the_rules_of_their_definition", rules_are_kept),
    ]
}

/// Two policies for the deployments of a test's namespace: one that refuses, with a limit from a ConfigMap, and one that
/// changes.
fn policies(name: &str) -> String {
    format!(
        r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  paramKind: {{apiVersion: v1, kind: ConfigMap}}
  matchConstraints:
    resourceRules:
    - {{apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}}
  variables:
  - {{name: max, expression: 'int(params.data.max)'}}
  validations:
  - expression: object.spec.replicas <= variables.max
    messageExpression: "'at most ' + string(variables.max) + ' replicas'"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {name}
  validationActions: [Deny]
  paramRef: {{name: limit, parameterNotFoundAction: Deny}}
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    resourceRules:
    - {{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}}
  matchConditions:
  - {{name: has-no-sidecar, expression: '!object.spec.initContainers.orValue([]).exists(c, c.name == "side")'}}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{{spec: Object.spec{{initContainers: [Object.spec.initContainers{{
          name: "side", image: "$NGINX", restartPolicy: "Always"
        }}]}}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {name}
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}
"#
    )
    .replace("object.spec.initContainers.orValue([])", "object.spec.?initContainers.orValue([])")
}

fn deployment(replicas: u32) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: c, image: $BUSYBOX, command: [sleep, "3600"]}}]
"#
    )
}

fn deployments_are_refused_and_changed(namespace: &Namespace) {
    let name = &namespace.name;
    namespace.run(&["create", "configmap", "limit", "--from-literal=max=2"]);
    namespace.apply(&policies(name));
    // The server learns of them by its cache.
    namespace.until("the policy is in force", || match namespace.try_apply(&deployment(3)) {
        Ok(applied) => Err(applied),
        Err(refused) => {
            let refused = refused.to_string();
            let why = format!(
                "ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: at most 2 replicas"
            );
            if refused.contains(&why) { Ok(()) } else { Err(refused) }
        }
    });
    namespace.run(&["delete", "deployment", "web", "--ignore-not-found"]);
    namespace.apply(&deployment(2));
    namespace.run(&["rollout", "status", "deployment/web", "--timeout=180s"]);
    let sidecars = namespace.run(&[
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        "jsonpath={.items[*].spec.initContainers[*].name}",
    ]);
    assert_eq!(sidecars, "side side");
    let scaled = namespace.fails(&["scale", "deployment/web", "--replicas=2", "--current-replicas=9"]);
    assert!(scaled.contains("Expected replicas to be 9"), "{scaled}");
    let checked = format!("validatingadmissionpolicy/{name}");
    namespace.run(&["wait", "--for=jsonpath={.status.observedGeneration}=1", "--timeout=60s", &checked]);
    for kind in [
        "validatingadmissionpolicybinding",
        "mutatingadmissionpolicybinding",
        "validatingadmissionpolicy",
        "mutatingadmissionpolicy",
    ] {
        namespace.run(&["delete", kind, name]);
    }
    namespace.until("the policy is gone", || {
        namespace.try_apply(&deployment(3)).map(drop).map_err(|error| error.to_string())
    });
}

fn rules_are_kept(namespace: &Namespace) {
    let group = format!("{}.example.com", namespace.name);
    let name = format!("ranges.{group}");
    namespace.apply(&format!(
        r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {name}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: ranges, kind: Range}}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [min, max]
            x-kubernetes-validations:
            - {{rule: self.min <= self.max, message: min must not exceed max}}
            - {{rule: 'self.name == oldSelf.name', message: name cannot change, fieldPath: .name, reason: FieldValueForbidden}}
            properties:
              min: {{type: integer}}
              max: {{type: integer}}
              name: {{type: string, maxLength: 20, default: x}}
"#
    ));
    namespace.run(&["wait", "--for=condition=established", "--timeout=60s", &format!("crd/{name}")]);
    let object = |name: &str, min: i64, more: &str| {
        format!(
            "apiVersion: {group}/v1\nkind: Range\nmetadata: {{name: {name}}}\nspec: {{min: {min}, max: 3{more}}}\n"
        )
    };
    let refused = namespace.try_apply(&object("wrong", 4, "")).unwrap_err().to_string();
    assert!(refused.contains("spec: Invalid value: min must not exceed max"), "{refused}");
    namespace.apply(&object("right", 2, ""));
    let refused = namespace.try_apply(&object("right", 2, ", name: other")).unwrap_err().to_string();
    assert!(refused.contains("spec.name: Forbidden: name cannot change"), "{refused}");
    namespace.apply(&object("right", 1, ""));
    namespace.run(&["delete", "crd", &name]);
}
