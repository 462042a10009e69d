use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

use super::*;
use crate::validation::*;

fn stub(key: &KeyPair) -> String {
    let request = CertificateParams::default().serialize_request(key).unwrap();
    STANDARD.encode(request.der())
}

fn request_for(key: &KeyPair) -> Value {
    value!({"metadata": {"name": "r", "namespace": "default"}, "spec": {
        "signerName": "example.com/signer", "podName": "p", "podUID": "1", "serviceAccountName": "default",
        "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3", "maxExpirationSeconds": 86_400,
        "stubPKCS10Request": (stub(key))
    }})
}

fn request() -> Value {
    request_for(&KeyPair::generate().unwrap())
}

#[track_caller]
fn check(spec: Value, expected: &[&str]) {
    let request = merge_patch(request(), value!({"spec": (spec.clone())})).unwrap();
    assert_eq!(lines(validate_pod_certificate_request(&request)), expected, "{spec:?}");
}

#[test]
fn requests_of_pods() {
    check(value!({"unverifiedUserAnnotations": {"example.com/a": "b"}}), &[]);
    check(
        value!({"signerName": "x", "podName": "P", "podUID": "", "nodeUID": ("u".repeat(129)), "unverifiedUserAnnotations": {"a": "b"}}),
        &[
            r#"spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form 'example.com/signer-name'"#,
            r#"spec.unverifiedUserAnnotations: Invalid value: "a": must be a domain-prefixed key (such as "acme.io/foo")"#,
            &format!(r#"spec.podName: Invalid value: "P": {SUBDOMAIN}"#),
            r#"spec.podUID: Invalid value: "": must not be empty"#,
            "spec.nodeUID: Too long: may not be more than 128 bytes",
        ],
    );
    check(
        value!({"maxExpirationSeconds": null, "stubPKCS10Request": null}),
        &["spec.maxExpirationSeconds: Required value: must be set"],
    );
    check(
        value!({"maxExpirationSeconds": 3_599}),
        &["spec.maxExpirationSeconds: Invalid value: 3599: must be in the range [3600, 7862400]"],
    );
    check(
        value!({"signerName": "kubernetes.io/kube-apiserver-client-pod", "maxExpirationSeconds": 86_401}),
        &["spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]"],
    );
    check(
        value!({"stubPKCS10Request": "b2Rk"}),
        &[
            r#"spec.stubPKCS10Request: Invalid value: "b2Rk": must be a valid PKCS#10 certificate signing request"#,
        ],
    );
    let known: [&'static SignatureAlgorithm; 3] =
        [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384];
    for algorithm in known {
        check(value!({"stubPKCS10Request": (stub(&KeyPair::generate_for(algorithm).unwrap()))}), &[]);
    }
    // The last byte is the signature's.
    let mut forged = STANDARD.decode(stub(&KeyPair::generate().unwrap())).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    let forged = STANDARD.encode(forged);
    let why = format!(
        "spec.stubPKCS10Request: Invalid value: \"{forged}\": could not verify the request's signature"
    );
    check(value!({"stubPKCS10Request": (forged.as_str())}), &[&why]);
}

#[test]
fn requests_of_pods_do_not_change() {
    let old = request();
    let mut new = old.clone();
    new.entry("metadata").set("labels", value!({"a": "b"}));
    assert!(lines(validate_pod_certificate_request_update(&new, &old)).is_empty());
    new.entry("spec").set("podName", "q");
    let wrong = lines(validate_pod_certificate_request_update(&new, &old));
    assert!(wrong.len() == 1 && wrong[0].ends_with(": field is immutable"), "{wrong:?}");
}

fn condition(kind: &str, status: &str) -> Value {
    value!({
        "type": kind, "status": status, "reason": "Tested", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"
    })
}

fn with(status: Value) -> Value {
    let mut request = request();
    request.set("status", status);
    request
}

#[test]
fn requests_of_pods_end_once() {
    let check = |new: Value, old: Value, expected: &[&str]| {
        let (new, old) = (with(new), with(old));
        let wrong = lines(validate_pod_certificate_request_status_update(&new, &old));
        let told: Vec<&str> = wrong.iter().map(|line| line.split_once(": ").unwrap().0).collect();
        assert_eq!(told, expected, "{wrong:?}");
    };
    let denied = || value!({"conditions": [(condition("Denied", "True"))]});
    check(denied(), value!({}), &[]);
    check(value!({"conditions": [(condition("Odd", "True"))]}), value!({}), &["status.conditions.[0].type"]);
    check(
        value!({"conditions": [(condition("Failed", "False"))]}),
        value!({}),
        &["status.conditions.[0].status"],
    );
    let both = value!({"conditions": [(condition("Failed", "True")), (condition("Denied", "True"))]});
    check(both, value!({}), &["status.conditions.[1].type"]);
    check(denied(), denied(), &[]);
    check(value!({}), denied(), &["status"]);
    let chain = || value!({"certificateChain": "x"});
    check(merge_patch(denied(), chain()).unwrap(), value!({}), &["status"]);
    check(chain(), value!({}), &["status"]);
    check(value!({"conditions": [(condition("Issued", "True"))]}), value!({}), &["status.certificateChain"]);
}

#[test]
fn certificates_of_pods() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let request = request_for(&key);
    let named = |key: &KeyPair, last_day: u8, name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, last_day);
        params.self_signed(key).unwrap().pem()
    };
    let certificate = |key: &KeyPair, last_day: u8| named(key, last_day, "p.example.com");
    let check = |status: Value, expected: Option<&str>| {
        let base = value!({
            "conditions": [(condition("Issued", "True"))], "certificateChain": (certificate(&key, 2)),
            "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-01-02T00:00:00Z", "beginRefreshAt": "2026-01-01T12:00:00Z"
        });
        let mut new = request.clone();
        new.set("status", merge_patch(base, status.clone()).unwrap());
        let wrong = lines(validate_pod_certificate_request_status_update(&new, &request));
        let told =
            wrong.first().map(|line| (line.split(": ").next().unwrap(), line.rsplit(": ").next().unwrap()));
        let told = told.map(|(path, why)| format!("{path}: {why}"));
        assert_eq!(told.as_deref(), expected, "{status:?}");
        assert!(wrong.len() <= 1, "{wrong:?}");
    };
    check(value!({}), None);
    check(
        value!({"certificateChain": (certificate(&other, 2))}),
        Some("status.certificateChain: leaf certificate was not issued to the requested public key"),
    );
    check(
        value!({"certificateChain": "text"}),
        Some("status.certificateChain: issued certificate chain must contain at least one certificate"),
    );
    check(
        value!({"certificateChain": (named(&key, 2, "p..example.com"))}),
        Some("status.certificateChain: leaf certificate's DNSName should not contain '..'"),
    );
    let not_one = "-----BEGIN X-----\nYQ==\n-----END X-----\n";
    check(
        value!({"certificateChain": (format!("{}{not_one}", certificate(&key, 2)))}),
        Some(
            "status.certificateChain: issued certificate chain must consist entirely of CERTIFICATE PEM blocks",
        ),
    );
    check(
        value!({"certificateChain": (not_one.replace('X', "CERTIFICATE"))}),
        Some("status.certificateChain: leaf certificate does not parse as valid X.509"),
    );
    let of_mail = {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(rcgen::SanType::Rfc822Name("nobody".try_into().unwrap()));
        params.self_signed(&key).unwrap().pem()
    };
    check(
        value!({"certificateChain": of_mail}),
        Some("status.certificateChain: leaf certificate should not contain invalid EmailAddress"),
    );
    check(
        value!({"notBefore": null}),
        Some("status.notBefore: must be present and consistent with the issued certificate"),
    );
    check(
        value!({"notBefore": "2026-01-01T00:00:01Z"}),
        Some("status.notBefore: must be set to the NotBefore time encoded in the leaf certificate"),
    );
    check(
        value!({"notAfter": "2026-01-03T00:00:00Z"}),
        Some("status.notAfter: must be set to the NotAfter time encoded in the leaf certificate"),
    );
    check(
        value!({"certificateChain": (certificate(&key, 3)), "notAfter": "2026-01-03T00:00:00Z"}),
        Some(
            "status.certificateChain: leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)",
        ),
    );
    check(
        value!({"beginRefreshAt": "2026-01-01T00:09:59Z"}),
        Some("status.beginRefreshAt: must be at least 10 minutes after status.notBefore"),
    );
    check(
        value!({"beginRefreshAt": "2026-01-01T23:50:01Z"}),
        Some("status.beginRefreshAt: must be at least 10 minutes before status.notAfter"),
    );
}

#[test]
fn certificates_of_pods_are_issued_now() {
    let issued =
        |begin: &str| with(value!({"conditions": [(condition("Issued", "True"))], "notBefore": begin}));
    let now = "2026-01-01T12:00:00Z".parse().unwrap();
    for (begin, is_near) in [
        ("2026-01-01T11:55:01Z", true),
        ("2026-01-01T12:04:59Z", true),
        ("2026-01-01T11:55:00Z", false),
        ("2026-01-01T12:05:00Z", false),
        ("2025-01-01T12:00:00Z", false),
    ] {
        let wrong = lines(validate_pod_certificate_request_issue(&issued(begin), &with(value!({})), now));
        let why = "must be set to within 5 minutes of kube-apiserver's current time";
        let told = format!("status.notBefore: Invalid value: \"{begin}\": {why}");
        assert_eq!(wrong, if is_near { Vec::new() } else { vec![told] });
        // What was issued long ago stays.
        assert!(
            lines(validate_pod_certificate_request_issue(&issued(begin), &issued(begin), now)).is_empty()
        );
    }
}
