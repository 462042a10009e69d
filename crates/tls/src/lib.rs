//! TLS between the components of a cluster: the certificates they present, and the ones they trust.
//!
//! - [`Identity`]: a certificate that can be renewed while the program runs;
//! - [`server`], [`client`]: the two ends of connections between components;
//! - [`client_of_bundle`], [`client_of_system`]: clients of servers that are not components;
//! - [`unverified_client`]: for servers that are not verified;
//! - [`write_secret`]: files that only their owner can read.
//!
//! It must not know the protocols over a connection, nor where certificates come from.

mod identity;
mod own_authority;
mod secret_file;
mod unverified;

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig};

pub use identity::Identity;
pub use own_authority::client_of_bundle;
pub use secret_file::{SecretFileError, write_secret};
pub use unverified::unverified_client;

/// The certificates of a PEM text, which must contain at least one.
///
/// # Errors
/// If there is none, or one is damaged.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates.map_err(|error| Error::General(format!("certificate: {error}")))?;
    if certificates.is_empty() {
        return Err(Error::General("there is no certificate in the text".to_owned()));
    }
    Ok(certificates)
}

/// The private key of a PEM text.
///
/// # Errors
/// If the text contains no certificate.
pub fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| Error::General(format!("private key: {error}")))
}

/// A server that shows this identity. Clients may connect without a certificate (and then may do little), but one that
/// they present must be from these authorities.
///
/// # Errors
/// If a CA cannot be used, or there is none.
pub fn server(
    identity: Arc<Identity>,
    client_authorities: &[CertificateDer<'static>],
    protocols: &[&[u8]],
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots(client_authorities.to_vec())?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::General(format!("the authorities of clients: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// A client that believes servers with a certificate of this authority (PEM) and shows its own identity, if it has one.
///
/// # Errors
/// If the authority cannot be used.
pub fn client(authority: &str, identity: Option<Arc<Identity>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(certificates(authority)?)?);
    Ok(match identity {
        Some(identity) => {
            let mut config = builder.with_client_cert_resolver(identity);
            // A session that is taken up again shows the certificate with which it began, which may have ended.
            config.resumption = Resumption::disabled();
            config
        }
        None => builder.with_no_client_auth(),
    })
}

/// A client that believes servers with a certificate of an authority that this host trusts, and shows no certificate.
///
/// # Errors
/// If the host trusts none.
pub fn client_of_system() -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    // Some that cannot be used are no reason to use none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::General("this host trusts no authorities".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn roots(authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    authorities.into_iter().try_for_each(|authority| roots.add(authority))?;
    Ok(roots)
}

#[cfg(test)]
mod tests;
