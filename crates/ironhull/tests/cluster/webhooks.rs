//! Admission webhooks that run in the cluster that asks them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Trial;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use crate::support::{Cluster, Namespace, timed_trial};

pub fn trials() -> Vec<Trial> {
    // Its webhooks are for every namespace that they do not leave out: it has a cluster of its own.
    vec![timed_trial("webhooks::a_webhook_behind_a_service_changes_and_refuses_pods", || {
        a_webhook_behind_a_service_changes_and_refuses_pods();
        Ok(())
    })]
}

/// A web server that reads reviews: the UID that it must return, and whether the pod's labels say that it is unwanted. A
/// request's body is known only once it is passed on, so the server passes it on to itself.
fn configuration() -> String {
    let patch = STANDARD.encode(r#"[{"op": "add", "path": "/metadata/labels/checked", "value": "yes"}]"#);
    let review = |response: &str| {
        format!(
            r#"return 200 '{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{{"uid":"$http_x_uid",{response}}}}}';"#
        )
    };
    let changed = review(&format!(r#""allowed":true,"patchType":"JSONPatch","patch":"{patch}""#));
    let judged = review(
        r#""allowed":$http_x_allowed,"status":{"code":403,"reason":"Forbidden","message":"it is not wanted"}"#,
    );
    format!(
        r#"
user www-data;
worker_processes 1;
daemon off;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events {{ worker_connections 256; }}
http {{
  access_log /dev/stdout;
  client_body_buffer_size 4m;
  client_max_body_size 4m;
  map $request_body $uid {{ "~\"request\":\{{\"uid\":\"(?<found>[0-9a-f-]+)\"" $found; }}
  map $request_body $allowed {{ default true; "~\"wanted\":\"no\"" false; }}
  server {{
    listen 8443 ssl;
    ssl_certificate /tls/tls.crt;
    ssl_certificate_key /tls/tls.key;
    location / {{
      proxy_pass http://127.0.0.1:8080;
      proxy_set_header X-Uid $uid;
      proxy_set_header X-Allowed $allowed;
    }}
  }}
  server {{
    listen 127.0.0.1:8080;
    default_type application/json;
    location /change {{ {changed} }}
    location /judge {{ {judged} }}
  }}
}}
"#
    )
}

/// The web server with its certificate behind a Service.
fn server(certificate: &str, key: &str) -> String {
    let indented = |text: &str| text.replace('\n', "\n    ");
    format!(
        r"
apiVersion: v1
kind: Secret
metadata: {{name: tls}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    {}
  tls.key: |
    {}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data:
  nginx.conf: |
    {}
---
apiVersion: v1
kind: Service
metadata: {{name: hook}}
spec: {{selector: {{app: hook}}, ports: [{{port: 443, targetPort: 8443}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: hook}}
spec:
  selector: {{matchLabels: {{app: hook}}}}
  template:
    metadata: {{labels: {{app: hook}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: nginx
        image: $NGINX
        command: [nginx, -c, /settings/nginx.conf]
        readinessProbe: {{tcpSocket: {{port: 8443}}, periodSeconds: 1}}
        volumeMounts: [{{name: tls, mountPath: /tls}}, {{name: settings, mountPath: /settings}}]
      volumes:
      - {{name: tls, secret: {{secretName: tls}}}}
      - {{name: settings, configMap: {{name: settings}}}}
",
        indented(certificate),
        indented(key),
        indented(&configuration()),
    )
}

fn hook(kind: &str, name: &str, path: &str, bundle: &str) -> String {
    format!(
        r"
apiVersion: admissionregistration.k8s.io/v1
kind: {kind}WebhookConfiguration
metadata: {{name: trial}}
webhooks:
- name: {name}.example.com
  clientConfig: {{caBundle: {bundle}, service: {{namespace: hooks, name: hook, path: {path}}}}}
  rules: [{{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}}]
  # Neither the cluster's own pods nor those of the webhook wait for it.
  namespaceSelector:
    matchExpressions: [{{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, hooks]}}]
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
"
    )
}

fn pod(name: &str, wanted: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{wanted: '{wanted}'}}}}\nspec:\n  \
         terminationGracePeriodSeconds: 0\n  containers: [{{name: c, image: $BUSYBOX, command: [sleep, '1000']}}]\n"
    )
}

fn a_webhook_behind_a_service_changes_and_refuses_pods() {
    let cluster = Arc::new(Cluster::start());
    let (hooks, guarded) = (Namespace::new(&cluster, "hooks"), Namespace::new(&cluster, "guarded"));
    let key = KeyPair::generate().unwrap();
    // As `openssl req -x509` makes it: its own authority.
    let mut params = CertificateParams::new(vec!["hook.hooks.svc".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    hooks.apply(&server(&certificate, &key.serialize_pem()));
    hooks.run(&["rollout", "status", "deployment/hook", crate::support::LIMIT]);
    let bundle = STANDARD.encode(&certificate);
    guarded.apply(&hook("Mutating", "change", "/change", &bundle));
    guarded.apply(&hook("Validating", "judge", "/judge", &bundle));

    guarded.apply(&pod("welcome", "yes"));
    assert_eq!(guarded.field("pod/welcome", ".metadata.labels.checked"), "yes");
    guarded.wait("pod/welcome", "condition=Ready");
    let refused = guarded.try_apply(&pod("unwelcome", "no")).unwrap_err().to_string();
    let why = "Error from server (Forbidden): error when creating \"STDIN\": admission webhook \"judge.example.com\" \
               denied the request: it is not wanted";
    assert!(refused.contains(why), "{refused}");
    // Pods that a controller makes pass as well.
    guarded.run(&["create", "deployment", "web", &format!("--image={}", crate::images::NGINX_1)]);
    guarded.run(&["rollout", "status", "deployment/web", crate::support::LIMIT]);
    assert_eq!(guarded.run(&["get", "pods", "-l", "app=web,checked=yes", "-o", "name"]).lines().count(), 1);
    // Those of the webhook do not.
    assert_eq!(hooks.run(&["get", "pods", "-l", "checked=yes", "-o", "name"]), "");

    // Without the webhook, no pod comes where it counts, and everything else goes on.
    hooks.run(&["scale", "deployment/hook", "--replicas=0"]);
    hooks.until_output(&["get", "endpointslices", "-o", "jsonpath=[{.items[*].endpoints}]"], "[]");
    let refused = guarded.try_apply(&pod("late", "yes")).unwrap_err().to_string();
    let why = "failed calling webhook \"change.example.com\": failed to call webhook: Post \
               \"https://hook.hooks.svc:443/change?timeout=10s\": no endpoints available for service \"hook\"";
    assert!(refused.contains(why), "{refused}");
    guarded.run(&["scale", "deployment/web", "--replicas=2"]);
    guarded
        .until_output(&["get", "events", "--field-selector=reason=FailedCreate"], "failed calling webhook");
    guarded.run(&["label", "pod/welcome", "still=there"]);
    hooks.apply(&pod("elsewhere", "no"));
    hooks.wait("pod/elsewhere", "condition=Ready");

    hooks.run(&["scale", "deployment/hook", "--replicas=1"]);
    hooks.run(&["rollout", "status", "deployment/hook", crate::support::LIMIT]);
    guarded.apply(&pod("late", "yes"));
    assert_eq!(guarded.field("pod/late", ".metadata.labels.checked"), "yes");
    guarded.run(&["rollout", "status", "deployment/web", crate::support::LIMIT]);
}
