use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::validation::*;

/// A request in PEM whose key is of the algorithm.
fn pem(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "jane");
    params.serialize_request(&key).unwrap().pem().unwrap()
}

/// A certificate in PEM.
fn certificate() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()
}

fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

fn request() -> Value {
    value!({"metadata": {"name": "jane"}, "spec": {
        "request": (base64(&pem(&rcgen::PKCS_ECDSA_P256_SHA256))), "signerName": "example.com/signer",
        "usages": ["client auth", "digital signature"]
    }})
}

fn changed(object: &Value, patch: &Value) -> Value {
    patched(object, patch, |_| {})
}

#[test]
fn requests_say_what_for_and_by_whom() {
    let long = "a".repeat(64);
    let path = "b".repeat(254);
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
        with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
        '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let usages = r#"supported values: "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping""#;
    let form = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    let cases: Vec<(Value, Vec<String>)> = vec![
        (value!({}), vec![]),
        (value!({"usages": []}), vec!["spec.usages: Required value".into()]),
        (value!({"usages": null}), vec!["spec.usages: Required value".into()]),
        (
            value!({"usages": ["any", "odd", "any"]}),
            vec![
                format!(r#"spec.usages[1]: Unsupported value: "odd": {usages}"#),
                r#"spec.usages[2]: Duplicate value: "any""#.into(),
            ],
        ),
        (value!({"expirationSeconds": 600}), vec![]),
        (
            value!({"expirationSeconds": 599}),
            vec!["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)".into()],
        ),
        (value!({"signerName": null}), vec!["spec.signerName: Required value".into()]),
        (
            value!({"signerName": "kubernetes.io/legacy-unknown"}),
            vec![r#"spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version"#.into()],
        ),
        (value!({"signerName": "a.b"}), vec![format!(r#"spec.signerName: Invalid value: "a.b": {form}"#)]),
        (value!({"signerName": "a.b/c/d"}), vec![format!(r#"spec.signerName: Invalid value: "a.b/c/d": {form}"#)]),
        (
            value!({"signerName": "host/name"}),
            vec![r#"spec.signerName: Invalid value: "host": should be a domain with at least two segments separated by dots"#.into()],
        ),
        (
            value!({"signerName": "A.b.C/name"}),
            vec![format!(r#"spec.signerName: Invalid value: "A.b.C": validating label "A": {label}"#)],
        ),
        (
            value!({"signerName": (format!("{long}.b/name"))}),
            vec![format!(r#"spec.signerName: Invalid value: "{long}.b": validating label "{long}": must be no more than 63 characters"#)],
        ),
        (
            value!({"signerName": (format!("a.b/{path}"))}),
            vec![format!(r#"spec.signerName: Invalid value: "{path}": validating label "{path}": must be no more than 253 characters"#)],
        ),
        (value!({"signerName": "a.b/namespace.name"}), vec![]),
    ];
    let request = request();
    for (spec, wrong) in cases {
        let request = changed(&request, &value!({"spec": (spec.clone())}));
        assert_eq!(lines(validate_certificate_signing_request(&request)), wrong, "{spec:?}");
    }
}

#[test]
fn requests_are_signed_by_their_keys() {
    let [first, second] = [pem(&rcgen::PKCS_ECDSA_P384_SHA384), pem(&rcgen::PKCS_ED25519)];
    // The last byte is the signature's.
    let mut forged = x509_parser::pem::parse_x509_pem(first.as_bytes()).unwrap().1.contents;
    *forged.last_mut().unwrap() ^= 1;
    let wrapped = |der: &[u8]| {
        format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD.encode(der)
        )
    };
    let no_pem = "PEM block type must be CERTIFICATE REQUEST";
    let cases: [(&str, Option<&str>); 7] = [
        (&first, None),
        (&second, None),
        ("", Some(no_pem)),
        ("odd", Some(no_pem)),
        (&certificate(), Some(no_pem)),
        (&wrapped(b"odd"), Some("x509: malformed certificate request")),
        (&wrapped(&forged), Some("x509: the signature is not by the request's key")),
    ];
    let request = request();
    for (text, wrong) in cases {
        let text = base64(text);
        let request = changed(&request, &value!({"spec": {"request": (text.as_str())}}));
        let wrong = wrong.map(|why| format!("spec.request: Invalid value: {}: {why}", object::quote(&text)));
        assert_eq!(lines(validate_certificate_signing_request(&request)), Vec::from_iter(wrong));
    }
}

#[test]
fn conditions_decide_once() {
    let approved = || value!({"type": "Approved", "status": "True"});
    let denied = || value!({"type": "Denied", "status": "True"});
    let cases: Vec<(Value, Vec<&str>)> = vec![
        (value!([]), vec![]),
        (value!([(approved())]), vec![]),
        (value!([(denied()), {"type": "Other", "status": "Unknown"}]), vec![]),
        (
            value!([{"status": "True"}, {"type": "Other"}]),
            vec!["status.conditions[0].type: Required value", "status.conditions[1].status: Required value"],
        ),
        (
            value!([{"type": "Approved", "status": "False"}, {"type": "Other", "status": "odd"}]),
            vec![
                r#"status.conditions[0].status: Unsupported value: "False": supported values: "True""#,
                r#"status.conditions[1].status: Unsupported value: "odd": supported values: "False", "True", "Unknown""#,
            ],
        ),
        (
            value!([(approved()), (denied())]),
            vec![
                r#"status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive"#,
            ],
        ),
        (
            value!([(approved()), (approved())]),
            vec![r#"status.conditions[1].type: Duplicate value: "Approved""#],
        ),
    ];
    let request = request();
    for (conditions, wrong) in cases {
        let approval = changed(&request, &value!({"status": {"conditions": (conditions.clone())}}));
        let errors = validate_certificate_signing_request_approval(&approval, &request);
        assert_eq!(lines(errors), wrong, "{conditions:?}");
        // Stored values do not prevent later changes.
        if wrong.iter().all(|why| !why.contains("status:")) {
            let errors = validate_certificate_signing_request_approval(&approval, &approval);
            assert_eq!(lines(errors), [] as [&str; 0], "{conditions:?}");
        }
    }
}

#[test]
fn each_part_has_its_own_way() {
    let plain = request();
    let (one, two) = (base64(&certificate()), base64(&certificate()));
    let with = |conditions: Value, certificate: Option<&String>| {
        changed(
            &plain,
            &value!({"status": {"conditions": conditions, "certificate": (certificate.map(String::as_str))}}),
        )
    };
    let of = |kind: &str| value!([{"type": kind, "status": "True"}]);
    let (approved, none) = (with(of("Approved"), None), with(value!([]), None));
    let issued = with(of("Approved"), Some(&one));
    let reasoned = with(value!([{"type": "Approved", "status": "True", "reason": "New"}]), None);
    let failed = with(of("Failed"), None);
    let no = |verb: &str, kind: &str| {
        vec![format!(r#"status.conditions: Forbidden: updates may not {verb} a condition of type "{kind}""#)]
    };
    let no_certificate = |why: &str| vec![format!("status.certificate: Forbidden: updates may not {why}")];
    let set = || no_certificate("set certificate content");
    let reset = || no_certificate("modify existing certificate content");
    type Case<'a> = (&'a Value, Value, Vec<String>, Vec<String>, Vec<String>);
    // Before, after, and the errors as a change of the whole, of `status` and of `approval`.
    let cases: Vec<Case<'_>> = vec![
        (&none, approved.clone(), no("add", "Approved"), no("add", "Approved"), vec![]),
        (&approved, reasoned, no("modify", "Approved"), no("modify", "Approved"), vec![]),
        (
            &approved,
            none.clone(),
            no("remove", "Approved"),
            no("remove", "Approved"),
            no("remove", "Approved"),
        ),
        (&none, failed.clone(), vec![], vec![], vec![]),
        (&failed, none.clone(), no("remove", "Failed"), no("remove", "Failed"), no("remove", "Failed")),
        (&approved, issued.clone(), set(), vec![], set()),
        (&issued, with(of("Approved"), Some(&two)), set(), reset(), set()),
        (&issued, approved.clone(), set(), reset(), set()),
        (&issued, issued.clone(), vec![], vec![], vec![]),
    ];
    for (old, new, whole, status, approval) in cases {
        let told = |errors| lines(errors);
        assert_eq!(told(validate_certificate_signing_request_update(&new, old)), whole, "{new:?}");
        assert_eq!(told(validate_certificate_signing_request_status_update(&new, old)), status, "{new:?}");
        assert_eq!(told(validate_certificate_signing_request_approval(&new, old)), approval, "{new:?}");
    }
}

#[test]
fn signers_give_certificates_alone() {
    let one = certificate();
    let block = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    let inner = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let malformed = "x509: malformed certificate";
    let cases: Vec<(String, Option<&str>)> = vec![
        (one.clone(), None),
        (format!("of the signer\n{one}{}", certificate()), None),
        ("odd".into(), Some("must contain at least one CERTIFICATE PEM block")),
        (
            format!("{one}{}", block("PRIVATE KEY", "eA==")),
            Some(r#"only CERTIFICATE PEM blocks are allowed, found "PRIVATE KEY""#),
        ),
        (
            block("CERTIFICATE", &format!("Of: me\n\n{}", inner(&one))),
            Some("no PEM block headers are permitted"),
        ),
        (
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----".into(),
            Some("found CERTIFICATE PEM block containing 0 certificates"),
        ),
        (block("CERTIFICATE", "eA=="), Some(malformed)),
    ];
    let old = request();
    for (text, wrong) in cases {
        let new = changed(&old, &value!({"status": {"certificate": (base64(&text))}}));
        let wrong =
            wrong.map(|why| format!(r#"status.certificate: Invalid value: "<certificate data>": {why}"#));
        let errors = validate_certificate_signing_request_status_update(&new, &old);
        assert_eq!(lines(errors), Vec::from_iter(wrong), "{text}");
        // Stored values do not prevent, for example, recording a failure.
        assert_eq!(lines(validate_certificate_signing_request_status_update(&new, &new)), [] as [&str; 0]);
    }
}

#[test]
fn what_is_stored_is_borne() {
    let old = changed(
        &request(),
        &value!({"spec": {"signerName": "kubernetes.io/legacy-unknown", "usages": ["odd", "odd"]}}),
    );
    assert_eq!(lines(validate_certificate_signing_request(&old)).len(), 4);
    assert_eq!(lines(validate_certificate_signing_request_update(&old, &old)), [] as [&str; 0]);
}
