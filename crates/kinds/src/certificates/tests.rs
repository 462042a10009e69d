use object::value;

use super::*;
use crate::testing::{check_row, named};

fn conditions(types: &[&str]) -> Value {
    types.iter().map(|kind| value!({"type": *kind, "status": "True"})).collect::<Vec<_>>().into()
}

#[test]
fn signing_requests() {
    let cases: [(&[&str], &str, &str); 5] = [
        (&[], "", "Pending"),
        (&["Approved"], "", "Approved"),
        (&["Approved"], "Zm9v", "Approved,Issued"),
        (&["Approved", "Denied"], "", "Denied"),
        (&["Approved", "Failed"], "", "Approved,Failed"),
    ];
    for (types, certificate, state) in cases {
        let request = value!({
            "spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600},
            "status": {"conditions": (conditions(types)), "certificate": certificate}
        });
        let row = format!("c | 3h | s | u | 60m | {state}");
        check_row(&CertificateSigningRequests, &named("c", request), &row);
    }
    check_row(&CertificateSigningRequests, &named("c", value!({})), "c | 3h | <none> |  | <none> | Pending");
}

#[test]
fn bundles_and_requests_of_pods() {
    check_row(&CLUSTER_TRUST_BUNDLES, &named("b", value!({})), "b | <none>");
    let request = value!({
        "spec": {"podName": "p", "serviceAccountName": "a", "nodeName": "n", "signerName": "s"},
        "status": {"conditions": (conditions(&["Issued"]))}
    });
    check_row(&PodCertificateRequests, &named("r", request), "r | p | a | n | s | Issued");
}

#[test]
fn signers_do_not_approve() {
    let old = value!({"metadata": {}, "spec": {"request": "x"}, "status": {"conditions": [
        {"type": "Approved", "status": "True", "reason": "Old"}
    ]}});
    let mut new = value!({"metadata": {}, "spec": {"request": "y"}, "status": {
        "certificate": "Zm9v",
        "conditions": [{"type": "Approved", "status": "True", "reason": "New"}, {"type": "Failed", "status": "True"}]
    }});
    CertificateSigningRequests.prepare_status_update(&mut new, &old);
    assert_eq!(new.str_at("spec.request"), "x");
    let reasons: Vec<&str> = new.at("status.conditions").items().map(|c| c.str_at("reason")).collect();
    assert_eq!(reasons, ["Old", ""]);
    assert_eq!(new.str_at("status.certificate"), "Zm9v");
}
