use std::path::Path;

use super::load::load;
use super::owner::Owner;
use super::watch::Watch;

const HEAD: &str = "apiVersion: admissionregistration.k8s.io/v1\n";

fn policy(kind: &str, name: &str) -> String {
    format!(
        "{HEAD}kind: {kind}AdmissionPolicy\nmetadata: {{name: {name}}}\nspec:\n  matchConstraints: {{resourceRules: \
         [{{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}}]}}\n  validations: \
         [{{expression: 'true'}}]\n"
    )
}

fn binding(name: &str, policy: &str) -> String {
    format!(
        "{HEAD}kind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: {name}}}\nspec: {{policyName: {policy}, \
         validationActions: [Deny]}}\n"
    )
}

fn webhook(kind: &str, name: &str, client: &str) -> String {
    format!(
        "{HEAD}kind: {kind}WebhookConfiguration\nmetadata: {{name: {name}}}\nwebhooks:\n- name: a.example.com\n  \
         sideEffects: None\n  admissionReviewVersions: [v1]\n  clientConfig: {{{client}}}\n"
    )
}

/// Why a directory with this file cannot be used, without its path.
fn refused(owner: Owner, text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.yaml"), text).unwrap();
    let error = load(owner, directory.path()).unwrap_err();
    causes::chain(&error).replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn files_are_read_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let empty = load(Owner::ValidatingPolicies, directory.path()).unwrap();
    assert_eq!((empty.objects.len(), &*empty.hash), (0, ""));
    let of_b = policy("Validating", "b.static.k8s.io");
    write(
        "a.yaml",
        &format!("--- # of b\n{of_b}---  \n\n---\r\n{}", binding("b.static.k8s.io", "b.static.k8s.io")),
    );
    let json = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyList", "items": [
            {"metadata": {"name": "a.static.k8s.io"}, "spec": {"validations": [{"expression": "true"}],
             "matchConstraints": {"resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"],
             "operations": ["*"], "resources": ["*"]}]}}}]}]}"#;
    write("b.JSON", json);
    write("c.txt", "not a manifest: [");
    write("d.yml", "");
    std::fs::create_dir(directory.path().join("e.yaml")).unwrap();
    let loaded = load(Owner::ValidatingPolicies, directory.path()).unwrap();
    let names: Vec<&str> = loaded.objects.iter().map(|object| object.str_at("metadata.name")).collect();
    assert_eq!((names, loaded.bindings.len()), (vec!["a.static.k8s.io", "b.static.k8s.io"], 1));
    // Defaults are those of the API.
    assert_eq!(loaded.objects[0].str_at("spec.failurePolicy"), "Fail");
    assert!(loaded.hash.starts_with("sha256:") && loaded.hash.len() == 71, "{}", loaded.hash);
    write("c.txt", "still not");
    assert_eq!(load(Owner::ValidatingPolicies, directory.path()).unwrap().hash, loaded.hash);
    write("d.yml", "\n");
    assert_ne!(load(Owner::ValidatingPolicies, directory.path()).unwrap().hash, loaded.hash);
}

#[test]
fn wrong_policies_are_refused() {
    let good = policy("Validating", "p.static.k8s.io");
    let strict = good.replace("spec:\n", "spec:\n  unknown: 1\n");
    let twice = good.replace("spec:\n", "spec:\n  failurePolicy: Fail\n  failurePolicy: Fail\n");
    let wrong = good.replace("'true'", "'1'");
    let params = good.replace("spec:\n", "spec:\n  paramKind: {apiVersion: v1, kind: ConfigMap}\n");
    let bound = |text: &str| format!("{good}---\n{text}");
    let of_params = binding("b.static.k8s.io", "p.static.k8s.io").replace(
        "validationActions",
        "paramRef: {name: x, parameterNotFoundAction: Deny}, validationActions",
    );
    let beta = good.replace("/v1\n", "/v1beta1\n");
    let goes_on = format!("{good}---more\n{good}");
    for (text, expected) in [
        ("a: [", "error loading a.yaml: "),
        (&goes_on, "error loading a.yaml: invalid Yaml document separator: more"),
        ("# nothing\n", "error loading a.yaml: Object 'Kind' is missing"),
        (
            "apiVersion: v1\nkind: ConfigMap\n",
            r#"error loading a.yaml: unsupported resource type ConfigMap of "v1""#,
        ),
        (&beta, "error loading a.yaml: unsupported resource type ValidatingAdmissionPolicy of "),
        (&policy("Mutating", "p.static.k8s.io"), "error loading a.yaml: unsupported resource type Mutating"),
        (&strict, r#"error loading a.yaml: strict decoding error: unknown field "spec.unknown""#),
        (&twice, "error loading a.yaml: strict decoding error: "),
        (
            &wrong,
            r#"error loading a.yaml: ValidatingAdmissionPolicy "p.static.k8s.io": spec.validations[0].expression: Invalid value: "#,
        ),
        (
            &policy("Validating", "p"),
            r#"error loading a.yaml: "p" in file "a.yaml" must have a name ending with ".static.k8s.io""#,
        ),
        (
            &bound(&good),
            r#"error loading a.yaml: duplicate name "p.static.k8s.io" found in file "a.yaml" (previously seen in "a.yaml")"#,
        ),
        (
            &params,
            r#"error loading a.yaml: ValidatingAdmissionPolicy "p.static.k8s.io": spec.paramKind is not supported for static manifests"#,
        ),
        (
            &bound(&of_params),
            r#"error loading a.yaml: binding "b.static.k8s.io": spec.paramRef is not supported for static manifests"#,
        ),
        (
            &bound(&binding("b.static.k8s.io", "p")),
            r#"error loading a.yaml: binding "b.static.k8s.io": spec.policyName "p" must end with ".static.k8s.io""#,
        ),
        (
            &bound(&binding("b.static.k8s.io", "q.static.k8s.io")),
            r#"binding "b.static.k8s.io" references policy "q.static.k8s.io" which does not exist in the manifest directory"#,
        ),
    ] {
        let why = refused(Owner::ValidatingPolicies, text);
        assert!(why.starts_with(expected), "{why}");
    }
    let nowhere = load(Owner::ValidatingPolicies, Path::new("/none/of/these")).unwrap_err();
    assert_eq!(nowhere.to_string(), "cannot read the manifest directory /none/of/these");
}

/// Whatever is in the directory, reading it comes to an end, with an error that names the file.
#[test]
fn odd_files_are_refused_at_once() {
    use std::os::unix::fs::symlink;
    let refused = |make: &dyn Fn(&Path)| {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), policy("Validating", "p.static.k8s.io")).unwrap();
        let file = directory.path().join("b.yaml");
        make(&file);
        let chain = causes::chain(&load(Owner::ValidatingPolicies, directory.path()).unwrap_err());
        chain.replace(&file.display().to_string(), "b.yaml")
    };
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = |file: &Path| {
        rustix::fs::mknodat(rustix::fs::CWD, file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    let large = |file: &Path| std::fs::File::create(file).unwrap().set_len(1 << 30).unwrap();
    type Make<'m> = &'m dyn Fn(&Path);
    let cases: [(Make<'_>, &str); 6] = [
        (&fifo, "cannot read b.yaml: not a regular file"),
        (&|file| symlink("b.yaml", file).unwrap(), "cannot read b.yaml: Too many levels of symbolic links"),
        (&|file| symlink("/", file).unwrap(), "cannot read b.yaml: not a regular file"),
        (&|file| symlink("/dev/zero", file).unwrap(), "cannot read b.yaml: not a regular file"),
        (&large, "cannot read b.yaml: the files of the directory have more than 33554432 bytes together"),
        (
            &|file| std::fs::write(file, b"kind: \xff\n").unwrap(),
            "error loading b.yaml: error converting YAML to JSON: yaml: invalid leading UTF-8 octet",
        ),
    ];
    for (make, expected) in cases {
        let why = refused(make);
        assert!(why.starts_with(expected), "{why}");
    }
}

#[test]
fn webhooks_have_urls() {
    let by = |client: &str| webhook("Mutating", "w.static.k8s.io", client);
    let service = by("service: {namespace: ns, name: s}");
    let place = r#"error loading a.yaml: webhook "a.example.com" in "w.static.k8s.io" (file "a.yaml"): "#;
    let why = "clientConfig.service is not supported for static manifests; use clientConfig.url instead";
    assert_eq!(refused(Owner::MutatingWebhooks, &service), format!("{place}{why}"));
    let why = refused(Owner::MutatingWebhooks, &by("url: 'http://localhost'"));
    let expected = r#"error loading a.yaml: MutatingWebhookConfiguration "w.static.k8s.io": webhooks[0].clientConfig.url"#;
    assert!(why.starts_with(expected), "{why}");
    let other = refused(Owner::ValidatingWebhooks, &by("url: 'https://localhost'"));
    assert!(other.contains("unsupported resource type MutatingWebhookConfiguration"), "{other}");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.yaml"), by("url: 'https://localhost'")).unwrap();
    let loaded = load(Owner::MutatingWebhooks, directory.path()).unwrap();
    assert_eq!(
        loaded.objects[0].get("webhooks").items().next().unwrap().get("timeoutSeconds").as_i64(),
        Some(10)
    );
}

#[tokio::test]
async fn changes_of_files_and_of_links_are_noticed() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (own, target) = (directory.path().join("manifests"), elsewhere.path().join("target.yaml"));
    std::fs::create_dir(&own).unwrap();
    std::fs::write(&target, "").unwrap();
    let watch = Watch::new(&own).unwrap();
    let changes: [(&str, &dyn Fn()); 6] = [
        ("written", &|| std::fs::write(own.join("a.yaml"), "a").unwrap()),
        ("linked", &|| std::os::unix::fs::symlink(&target, own.join("b.yaml")).unwrap()),
        ("written through the link", &|| std::fs::write(&target, "b").unwrap()),
        ("removed", &|| std::fs::remove_file(own.join("a.yaml")).unwrap()),
        ("moved away", &|| std::fs::rename(&own, directory.path().join("other")).unwrap()),
        ("made again", &|| std::fs::create_dir(&own).unwrap()),
    ];
    for (what, change) in changes {
        change();
        let changed = tokio::time::timeout(std::time::Duration::from_secs(60), watch.changed()).await;
        changed.unwrap_or_else(|_| panic!("not noticed: {what}")).unwrap();
    }
}
