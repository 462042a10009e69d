//! An authority and a certificate signed by it, in a Secret of the usual type.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::program::{Failure, Place};

/// Creates the Secret. One that is there is kept: running pods serve its certificate.
pub async fn certify(client: &Client, place: &Place) -> Result<(), Failure> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &place.namespace);
    match secrets.create(&PostParams::default(), &secret(place)?).await {
        Ok(_) => println!("made a certificate"),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            println!("there is a certificate")
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn secret(place: &Place) -> Result<Secret, Failure> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "dockyard");
    let authority_certificate = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let host = format!("{}.{}.svc", place.name, place.namespace);
    let certificate = CertificateParams::new(vec![host])?.signed_by(&key, &issuer)?.pem();
    let data =
        [("ca.crt", authority_certificate), ("tls.crt", certificate), ("tls.key", key.serialize_pem())];
    Ok(Secret {
        metadata: ObjectMeta { name: Some(format!("{}-tls", place.name)), ..ObjectMeta::default() },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from(data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))))),
        ..Secret::default()
    })
}
