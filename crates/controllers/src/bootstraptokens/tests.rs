use k8s_openapi::ByteString;

use super::*;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn token(id: &str, change: (&str, &str)) -> Arc<Secret> {
    let mut secret = Secret { type_: Some(SECRET_TYPE.into()), ..Secret::default() };
    secret.metadata.name = Some(format!("bootstrap-token-{id}"));
    secret.metadata.namespace = Some(NAMESPACE.into());
    let entries =
        [("token-id", id), ("token-secret", "0123456789abcdef"), ("usage-bootstrap-signing", "true"), change];
    secret.data = Some(
        entries
            .into_iter()
            .map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec())))
            .collect(),
    );
    Arc::new(secret)
}

#[test]
fn tokens_go_when_they_end() {
    let plan = |expiration: &str| TokenCleaner::plan(&token("abcdef", ("expiration", expiration)), now());
    assert!(plan("").is_empty() && plan("").requeue_after.is_none());
    let later = plan("2026-06-01T12:01:00Z");
    assert!(later.is_empty());
    assert_eq!(later.requeue_after, Some(Duration::from_secs(61)));
    for past in ["2026-06-01T12:00:00Z", "yesterday"] {
        assert_eq!(plan(past).actions().len(), 1, "{past}");
    }
}

#[test]
fn each_token_that_is_for_it_signs() {
    let entries = [(KUBECONFIG, "text"), ("jws-kubeconfig-gonexx", "x")];
    let data = entries.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let info = ConfigMap { data: Some(data), ..ConfigMap::default() };
    let tokens = vec![
        token("abcdef", ("description", "good")),
        token("ghijkl", ("usage-bootstrap-signing", "false")),
        token("mnopqr", ("expiration", "2026-01-01T00:00:00Z")),
        token("stuvwx", ("token-id", "other1")),
    ];
    let snapshot = Snapshot { info: Arc::new(info), tokens };
    let plan = BootstrapSigner::plan(&snapshot, now());
    let signed = plan.actions()[0].object::<ConfigMap>().unwrap().clone();
    let data = signed.data.clone().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["jws-kubeconfig-abcdef", "kubeconfig"]);
    let signature = &data["jws-kubeconfig-abcdef"];
    // {"alg":"HS256","kid":"abcdef"}, then the HMAC of that and of the text, each in base64.
    let (header, mac) = signature.split_once("..").unwrap();
    assert_eq!(header, "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9");
    let key = jsonwebtoken::DecodingKey::from_secret(b"0123456789abcdef");
    let message = format!("{header}.dGV4dA");
    assert!(
        jsonwebtoken::crypto::verify(mac, message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap()
    );
    let again = Snapshot { info: Arc::new(signed), tokens: snapshot.tokens };
    assert!(BootstrapSigner::plan(&again, now()).is_empty());
}
