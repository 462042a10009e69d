use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec, CertificateSigningRequestStatus,
};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use x509_parser::prelude::FromDer;

use super::approving::{Snapshot, Wish, decide, is_rival, wish};
use super::cleaner::end_of;
use super::request::{Request, RequestError};
use super::rules::SignerName;
use super::{NODE_KEY_ANNOTATION, Signer, SignerError, signing, with_condition};
use crate::framework::Controller;

const CLIENT_USAGES: [&str; 2] = ["digital signature", "client auth"];
const SERVER_USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn pkcs10(common_name: &str, organization: &str, names: &[&str]) -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.distinguished_name.push(DnType::OrganizationName, organization);
    for name in names {
        params.subject_alt_names.push(match name.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        });
    }
    (params.serialize_request(&key).unwrap().pem().unwrap(), key)
}

fn request(signer: &str, user: &str, pem: &str, usages: &[&str]) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta { name: Some("r".into()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.as_bytes().to_vec()),
            signer_name: signer.into(),
            username: Some(user.into()),
            usages: Some(usages.iter().map(|usage| (*usage).to_owned()).collect()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

/// A year.
const LIFETIME: SignedDuration = SignedDuration::from_hours(8760);

fn authority() -> (Signer, Vec<u8>) {
    authority_for(LIFETIME)
}

fn authority_for(lifetime: SignedDuration) -> (Signer, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.not_after = rcgen::date_time_ymd(2035, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    (Signer::new(&certificate.pem(), &key.serialize_pem(), lifetime).unwrap(), certificate.der().to_vec())
}

type Case =
    (SignerName, &'static str, &'static str, &'static [&'static str], &'static [&'static str], &'static str);

#[test]
fn signers_take_what_upstreams_take() {
    let owned = |usages: &[&str]| usages.iter().map(|usage| (*usage).to_owned()).collect::<Vec<_>>();
    let node: &'static str = "system:node:n";
    // Signer, common name, organization, other names, usages, and the error.
    #[rustfmt::skip]
    let table: [Case; 14] = [
        (SignerName::Kubelet, node, "system:nodes", &[], &CLIENT_USAGES, ""),
        (SignerName::Kubelet, node, "system:nodes", &[], &["digital signature", "key encipherment", "client auth"], ""),
        (SignerName::Kubelet, node, "system:masters", &[], &CLIENT_USAGES, "subject organization is not system:nodes"),
        (SignerName::Kubelet, "n", "system:nodes", &[], &CLIENT_USAGES, "subject common name does not begin with system:node:"),
        (SignerName::Kubelet, node, "system:nodes", &["n"], &CLIENT_USAGES, "DNS subjectAltNames are not allowed"),
        (SignerName::Kubelet, node, "system:nodes", &["192.0.2.1"], &CLIENT_USAGES, "IP subjectAltNames are not allowed"),
        (SignerName::Kubelet, node, "system:nodes", &[], &["client auth"], "usages did not match [client auth digital signature key encipherment]"),
        (SignerName::KubeletServing, node, "system:nodes", &["n", "192.0.2.1"], &SERVER_USAGES, ""),
        (SignerName::KubeletServing, node, "system:nodes", &[], &SERVER_USAGES, "DNS or IP subjectAltName is required"),
        (SignerName::KubeletServing, node, "system:nodes", &["n"], &CLIENT_USAGES, "usages did not match [digital signature key encipherment server auth]"),
        (SignerName::Network, "ironhull:network:n", "ironhull:networks", &[], &CLIENT_USAGES, ""),
        (SignerName::Network, node, "system:nodes", &[], &CLIENT_USAGES, "subject organization is not ironhull:networks"),
        (SignerName::ApiServerClient, "jane", "dev", &[], &["server auth"], "invalid usage for client certificate: server auth"),
        (SignerName::LegacyUnknown, "any", "thing", &["x"], &["any"], ""),
    ];
    for (signer, common_name, organization, names, usages, expected) in table {
        let parsed = Request::parse(pkcs10(common_name, organization, names).0.as_bytes()).unwrap();
        let result = signer.check(&parsed, &owned(usages));
        assert_eq!(
            result.err().unwrap_or_default(),
            expected,
            "{signer:?} {common_name} {names:?} {usages:?}"
        );
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let (pem, _) = pkcs10("n", "o", &[]);
    assert_eq!(Request::parse(b"x"), Err(RequestError::Pem));
    let other = pem.replace("CERTIFICATE REQUEST", "CERTIFICATE");
    assert_eq!(Request::parse(other.as_bytes()), Err(RequestError::Pem));
    // Another name under the same signature.
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let mut der = block.contents.clone();
    let place = der.windows(3).position(|bytes| bytes == [0x0c, 1, b'n']).unwrap();
    der[place + 2] = b'm';
    let forged = super::signer::pem("CERTIFICATE REQUEST", &der);
    assert_eq!(Request::parse(forged.as_bytes()), Err(RequestError::Signature));
}

#[test]
fn a_certificate_says_what_was_asked_for() {
    let (signer, issuer) = authority();
    let (pem, key) = pkcs10("system:node:n", "system:nodes", &["n", "192.0.2.1", "2001:db8::1"]);
    let mut wanted = request("kubernetes.io/kubelet-serving", "system:node:n", &pem, &SERVER_USAGES);
    wanted.spec.expiration_seconds = Some(3600);
    let parsed = Request::parse(pem.as_bytes()).unwrap();
    let signed = signer.sign(&parsed, &wanted.spec, &[0x41; 16], now()).unwrap();
    let (_, block) = x509_parser::pem::parse_x509_pem(signed.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    let (_, issuer) = x509_parser::certificate::X509Certificate::from_der(&issuer).unwrap();
    certificate.verify_signature(Some(issuer.public_key())).unwrap();
    assert_eq!(certificate.issuer(), issuer.subject());
    let subject = certificate.subject().to_string();
    assert!(subject.contains("CN=system:node:n") && subject.contains("O=system:nodes"), "{subject}");
    assert_eq!(certificate.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
    let validity = certificate.validity();
    assert_eq!(validity.not_before.timestamp(), now().as_second() - 300);
    assert_eq!(validity.not_after.timestamp(), now().as_second() + 3600);
    assert!(!certificate.is_ca());
    assert_eq!(certificate.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 3);
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let extended = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && !extended.client_auth);
}

#[test]
fn lifetimes_are_bounded() {
    let (pem, _) = pkcs10("jane", "dev", &[]);
    let parsed = Request::parse(pem.as_bytes()).unwrap();
    let (year, hour, minute) = (LIFETIME, SignedDuration::from_hours(1), SignedDuration::from_mins(1));
    let rest = LIFETIME.as_secs() - 300;
    // Certificates for eight hours or more begin in the past.
    for (signers, seconds, lifetime) in [
        (year, None, rest),
        (year, Some(1), 600),
        (year, Some(86_400), 86_100),
        (year, Some(i32::MAX), rest),
        (hour, None, 3600),
        (hour, Some(86_400), 3600),
        (hour, Some(1800), 1800),
        (minute, None, 60),
        (minute, Some(3600), 60),
        // Like upstream: the shortest lifetime that can be requested exceeds the signer's.
        (minute, Some(30), 600),
    ] {
        let (signer, _) = authority_for(signers);
        let mut wanted = request("kubernetes.io/kube-apiserver-client", "admin", &pem, &CLIENT_USAGES);
        wanted.spec.expiration_seconds = seconds;
        let signed = signer.sign(&parsed, &wanted.spec, &[1; 16], now()).unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(signed.as_bytes()).unwrap();
        let end = block.parse_x509().unwrap().validity().not_after.timestamp();
        assert_eq!(end - now().as_second(), lifetime, "{signers} {seconds:?}");
    }
    let (signer, _) = authority();
    let wanted = request("kubernetes.io/kube-apiserver-client", "admin", &pem, &["witchcraft"]);
    assert!(matches!(signer.sign(&parsed, &wanted.spec, &[1; 16], now()), Err(SignerError::Usage(_))));
    let late = "2036-01-01T00:00:00Z".parse().unwrap();
    assert!(matches!(
        signer.sign(&parsed, &wanted.spec, &[1; 16], late),
        Err(SignerError::Usage(_) | SignerError::Expired(_))
    ));
}

#[test]
fn what_is_approved_is_signed_once() {
    let (signer, _) = authority();
    let signer = Arc::new(signer);
    let (pem, _) = pkcs10("jane", "dev", &[]);
    let open = request("kubernetes.io/kube-apiserver-client", "admin", &pem, &CLIENT_USAGES);
    let plan = |request: &CertificateSigningRequest| {
        let name = SignerName::of(&request.spec.signer_name).unwrap();
        let snapshot = signing::Snapshot {
            request: Arc::new(request.clone()),
            name,
            signer: Arc::clone(&signer),
            serial: [1; 16],
        };
        let plan = signing::CsrSigning::plan(&snapshot, now());
        plan.actions().first().and_then(|action| action.object::<CertificateSigningRequest>()).cloned()
    };
    assert!(plan(&open).is_none());
    let approved = with_condition(&open, "Approved", "Me", "");
    let signed = plan(&approved).unwrap();
    let pem = signed.status.as_ref().unwrap().certificate.as_ref().unwrap();
    assert!(pem.0.starts_with(b"-----BEGIN CERTIFICATE-----\n"));
    assert!(plan(&signed).is_none());
    assert!(plan(&with_condition(&approved, "Denied", "You", "")).is_none());
    let mut unfit = approved.clone();
    unfit.spec.usages = Some(vec!["server auth".into()]);
    let failed = plan(&unfit).unwrap();
    let condition = failed.status.as_ref().unwrap().conditions.as_ref().unwrap().last().unwrap().clone();
    assert_eq!(
        (condition.type_.as_str(), condition.reason.as_deref()),
        ("Failed", Some("SignerValidationFailure"))
    );
    assert!(plan(&failed).is_none());
}

fn node(key: Option<&str>) -> Arc<Node> {
    let mut node = Node::default();
    node.metadata.name = Some("n".into());
    node.metadata.annotations = key.map(|key| [(NODE_KEY_ANNOTATION.to_owned(), key.to_owned())].into());
    Arc::new(node)
}

#[test]
fn nodes_get_what_is_theirs() {
    let (client, _) = pkcs10("system:node:n", "system:nodes", &[]);
    let (serving, _) = pkcs10("system:node:n", "system:nodes", &["n", "192.0.2.1"]);
    let (foreign, _) = pkcs10("system:node:n", "system:nodes", &["kubernetes"]);
    let (network, _) = pkcs10("ironhull:network:n", "ironhull:networks", &[]);
    let kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
    let (token, own, other) = ("system:bootstrap:abcdef", "system:node:n", "system:node:m");
    let (for_serving, for_network) = ("kubernetes.io/kubelet-serving", "ironhull.io/network-client");
    let table = [
        (kubelet, token, &client, &CLIENT_USAGES[..], Some(Wish::NodeClient)),
        (kubelet, own, &client, &CLIENT_USAGES, Some(Wish::SelfNodeClient)),
        (kubelet, other, &client, &CLIENT_USAGES, Some(Wish::NodeClient)),
        (for_serving, own, &serving, &SERVER_USAGES, Some(Wish::Serving)),
        (for_serving, other, &serving, &SERVER_USAGES, None),
        (for_serving, own, &foreign, &SERVER_USAGES, None),
        (for_network, own, &network, &CLIENT_USAGES, Some(Wish::Network)),
        (for_network, other, &network, &CLIENT_USAGES, None),
        (for_network, token, &network, &CLIENT_USAGES, None),
        ("kubernetes.io/kube-apiserver-client", "jane", &client, &CLIENT_USAGES, None),
        ("example.com/signer", own, &client, &CLIENT_USAGES, None),
    ];
    for (signer, user, pem, usages, expected) in table {
        let request = request(signer, user, pem, usages);
        let parsed = Request::parse(pem.as_bytes()).unwrap();
        assert_eq!(wish(&request, &parsed).map(|(wish, _)| wish), expected, "{signer} {user}");
    }
}

#[test]
fn a_name_that_is_taken_is_given_to_its_key_alone() {
    let (pem, _) = pkcs10("system:node:n", "system:nodes", &[]);
    let parsed = Request::parse(pem.as_bytes()).unwrap();
    let digest = parsed.key_digest();
    let snapshot = |wish, is_allowed, node| Snapshot {
        request: Arc::new(request("s", "u", &pem, &CLIENT_USAGES)),
        parsed: parsed.clone(),
        wish,
        is_allowed,
        node,
        rival: None,
        address_of: None,
    };
    let kind = |snapshot: &Snapshot| decide(snapshot).map(|(kind, reason, _)| (kind, reason));
    let approved = Some(("Approved", "AutoApproved"));
    assert_eq!(kind(&snapshot(Wish::NodeClient, true, None)), approved);
    assert_eq!(kind(&snapshot(Wish::NodeClient, false, None)), None);
    assert_eq!(kind(&snapshot(Wish::NodeClient, true, Some(node(Some(&digest))))), approved);
    let taken = Some(("Denied", "NodeNameTaken"));
    assert_eq!(kind(&snapshot(Wish::NodeClient, true, Some(node(Some("other"))))), taken);
    assert_eq!(kind(&snapshot(Wish::NodeClient, true, Some(node(None)))), taken);
    assert_eq!(kind(&snapshot(Wish::SelfNodeClient, true, Some(node(Some("other"))))), approved);
    let rivalled = |node| Snapshot { rival: Some("r".into()), ..snapshot(Wish::NodeClient, true, node) };
    assert_eq!(kind(&rivalled(None)), taken);
    assert_eq!(kind(&rivalled(Some(node(Some(&digest))))), approved);
    let mut stolen = snapshot(Wish::Serving, true, None);
    assert_eq!(kind(&stolen), approved);
    stolen.address_of = Some("m".into());
    assert_eq!(kind(&stolen), None);
}

#[test]
fn a_name_is_kept_for_the_machine_that_was_first() {
    let (pem, _) = pkcs10("system:node:n", "system:nodes", &[]);
    let own = Request::parse(pem.as_bytes()).unwrap();
    let approved = |name: &str, seconds: i64, pem: Option<&str>| {
        let pem = pem.map_or_else(|| pkcs10(name, "system:nodes", &[]).0, str::to_owned);
        let open = request("kubernetes.io/kube-apiserver-client-kubelet", "u", &pem, &CLIENT_USAGES);
        let mut approved = with_condition(&open, "Approved", "", "");
        let time = now().saturating_add(SignedDuration::from_secs(seconds)).unwrap();
        let conditions = approved.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions[0].last_update_time = Some(Time(time));
        approved
    };
    let is_rival = |request: &CertificateSigningRequest| is_rival(request, "n", &own, now());
    assert!(is_rival(&approved("system:node:n", 0, None)));
    // Its own earlier one, an old one, another node's, one that was revoked, one that is not approved.
    assert!(!is_rival(&approved("system:node:n", 0, Some(&pem))));
    assert!(!is_rival(&approved("system:node:n", -1, None)));
    assert!(!is_rival(&approved("system:node:m", 0, None)));
    assert!(!is_rival(&with_condition(&approved("system:node:n", 0, None), "Failed", "", "")));
    let open = request("s", "u", &pkcs10("system:node:n", "system:nodes", &[]).0, &CLIENT_USAGES);
    assert!(!is_rival(&open));
}

#[test]
fn requests_end() {
    let at = |hours: i64| Time(now().saturating_add(SignedDuration::from_hours(hours)).unwrap());
    let mut open = request("s", "u", "", &[]);
    open.metadata.creation_timestamp = Some(at(0));
    assert_eq!(end_of(&open), Some(at(24).0));
    let with = |kind: &str, certificate: Option<&str>| {
        let mut request = with_condition(&open, kind, "", "");
        let status: &mut CertificateSigningRequestStatus = request.status.as_mut().unwrap();
        status.conditions.as_mut().unwrap()[0].last_update_time = Some(at(1));
        status.certificate = certificate.map(|pem| ByteString(pem.as_bytes().to_vec()));
        request
    };
    assert_eq!(end_of(&with("Approved", None)), None);
    assert_eq!(end_of(&with("Approved", Some("x"))), Some(at(2).0));
    assert_eq!(end_of(&with("Denied", None)), Some(at(2).0));
    assert_eq!(end_of(&with("Failed", None)), Some(at(2).0));
}
