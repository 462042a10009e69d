use super::*;
use crate::validation::*;

/// A certificate in PEM, of an authority or not.
fn certificate(is_authority: bool) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    if is_authority {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    params.self_signed(&key).unwrap().pem()
}

fn bundle(name: &str, signer: &str, text: &str) -> Value {
    value!({"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": text}})
}

#[test]
fn trust_bundles_are_named_after_their_signers() {
    let text = certificate(true);
    let check = |name: &str, signer: &str, expected: &[&str]| {
        assert_eq!(lines(validate_cluster_trust_bundle(&bundle(name, signer, &text))), expected);
    };
    check("b.example.com", "", &[]);
    check("example.com:signer:b", "example.com/signer", &[]);
    check("-", "", &[&format!(r#"metadata.name: Invalid value: "-": {SUBDOMAIN}"#)]);
    // Refused with the rest of the metadata.
    check("a/b", "", &[]);
    check(
        "example.com:b",
        "",
        &[
            r#"metadata.name: Invalid value: "example.com:b": ClusterTrustBundle without signer name must not have ":" in its name"#,
        ],
    );
    check(
        "b",
        "example.com/signer",
        &[
            r#"metadata.name: Invalid value: "b": ClusterTrustBundle for signerName example.com/signer must be named with prefix example.com:signer:"#,
        ],
    );
    check(
        "example.com:signer:B",
        "example.com/signer",
        &[&format!(r#"metadata.name: Invalid value: "example.com:signer:B": {SUBDOMAIN}"#)],
    );
    check(
        "signer:b",
        "signer",
        &[
            r#"spec.signerName: Invalid value: "signer": must be a fully qualified domain and path of the form 'example.com/signer-name'"#,
        ],
    );
}

#[test]
fn trust_bundles_hold_authorities() {
    let check = |text: &str, expected: &[&str]| {
        let expected: Vec<String> = expected
            .iter()
            .map(|why| format!(r#"spec.trustBundle: Invalid value: "<value omitted>": {why}"#))
            .collect();
        assert_eq!(lines(validate_cluster_trust_bundle(&bundle("b", "", text))), expected);
    };
    let (one, other, leaf) = (certificate(true), certificate(true), certificate(false));
    check(&format!("first\n{one}second\n{other}"), &[]);
    check("", &["at least one trust anchor must be provided"]);
    check(&format!("{one}{other}{one}"), &["duplicate trust anchor (indices [0 2])"]);
    check(
        &format!(
            "{one}-----BEGIN KEY-----\nYWJj\n-----END KEY-----\n{}-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n{leaf}",
            one.replace("CERTIFICATE-----\nM", "CERTIFICATE-----\nName: value\n\nM")
        ),
        &[
            "entry 1 has bad block type: KEY",
            "entry 2 has PEM block headers",
            "entry 3 does not parse as X.509",
            "entry 4 does not have the CA bit set",
        ],
    );
    let long = bundle("b", "", &"a".repeat((1 << 20) + 1));
    assert_eq!(
        lines(validate_cluster_trust_bundle(&long)),
        ["spec.trustBundle: Too long: may not be more than 1048576 bytes"]
    );
}

#[test]
fn trust_bundles_keep_their_signer() {
    let check = |new: Value, old: &Value, expected: &[&str]| {
        assert_eq!(lines(validate_cluster_trust_bundle_update(&new, old)), expected);
    };
    let (name, signer) = ("example.com:signer:b", "example.com/signer");
    let old = bundle(name, signer, "odd");
    check(old.clone(), &old, &[]);
    check(bundle(name, signer, &certificate(true)), &old, &[]);
    check(
        bundle(name, signer, ""),
        &old,
        &[
            r#"spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be provided"#,
        ],
    );
    check(
        bundle("example.com:other:b", "example.com/other", "odd"),
        &old,
        &[r#"spec.signerName: Invalid value: "example.com/other": field is immutable"#],
    );
}
