use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::pki::Pki;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

fn signer(pki: &Pki) -> TokenSigner {
    TokenSigner::new(ISSUER, ISSUER, &pki.service_account).unwrap()
}

fn sign(signer: &TokenSigner, clock: &Clock) -> String {
    let request = TokenRequest {
        namespace: "default".into(),
        name: "a".into(),
        uid: "1".into(),
        seconds: 600,
        ..TokenRequest::default()
    };
    signer.sign(request, clock).unwrap().token
}

fn algorithm(token: &str) -> Algorithm {
    jsonwebtoken::decode_header(token).unwrap().alg
}

#[test]
fn tokens_of_both_keys_are_good() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let pki = Pki::open(dir.path(), &clock).unwrap();
    let file = pki.rsa_key_file();
    assert!(RsaKey::open(&file).unwrap().is_none());
    let first = signer(&pki);
    let old = sign(&first, &clock);
    assert_eq!(algorithm(&old), Algorithm::ES256);
    first.sign_with(RsaKey::generate(&file, &clock).unwrap());
    let new = sign(&first, &clock);
    assert_eq!(algorithm(&new), Algorithm::RS256);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // The next start.
    let second = signer(&Pki::open(dir.path(), &clock).unwrap());
    assert!(second.verify(&new, &[], &clock).is_err());
    second.sign_with(RsaKey::open(&file).unwrap().unwrap());
    for signer in [&first, &second] {
        for token in [&old, &new] {
            assert_eq!(signer.verify(token, &[], &clock).unwrap().name, "a");
        }
    }
    let kid = jsonwebtoken::decode_header(&new).unwrap().kid;
    assert_eq!(jsonwebtoken::decode_header(sign(&second, &clock)).unwrap().kid, kid);
}

#[test]
fn a_changed_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let pki = Pki::open(dir.path(), &clock).unwrap();
    let signer = signer(&pki);
    let elliptic = sign(&signer, &clock);
    signer.sign_with(RsaKey::generate(&pki.rsa_key_file(), &clock).unwrap());
    let rsa = sign(&signer, &clock);
    for token in [&elliptic, &rsa] {
        let parts: Vec<&str> = token.split('.').collect();
        let other = if token == &rsa { &elliptic } else { &rsa };
        let other: Vec<&str> = other.split('.').collect();
        // The other key's header or signature, and claims that were not signed.
        for changed in
            [[other[0], parts[1], parts[2]], [parts[0], parts[1], other[2]], [parts[0], other[1], parts[2]]]
        {
            assert!(signer.verify(&changed.join("."), &[], &clock).is_err(), "{changed:?}");
        }
        // Everybody knows the public key: a token signed with it as a shared secret must be refused.
        let claims = jsonwebtoken::dangerous::insecure_decode::<Claims>(token).unwrap().claims;
        for secret in [pki.service_account.public.as_bytes(), &signer.rsa.get().unwrap().modulus] {
            let header = Header::new(Algorithm::HS256);
            let forged = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
            assert!(matches!(signer.verify(&forged, &[], &clock), Err(TokenError::Invalid(_))));
        }
    }
}

#[test]
fn a_file_without_a_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("service-rsa.key");
    let pki = Pki::open(dir.path(), &Clock::system()).unwrap();
    for content in ["", "garbage", &pki.service_account.private, &pki.service_account.public] {
        std::fs::write(&path, content).unwrap();
        let error = RsaKey::open(&path).map(drop).unwrap_err().to_string();
        let file = path.display();
        assert_eq!(error, format!("{file} does not contain an RSA key; move the file away to get a new one"));
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(RsaKey::open(&path), Err(RsaKeyError::Read { .. })));
}
