//! Listening: TLS with optional client certificates, HTTP/1.1 and HTTP/2.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::{Request, Response};
use rustls::pki_types::CertificateDer;
use serve::Inbound;
use serve::{Limits, Port, Rank};
use tls::{Identity, certificates};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::authn::{certificate_end, certificate_user};
use crate::body::Body;
use crate::handler::Peer;
use crate::pki::{Pki, Subject, Usage, Wanted};
use crate::registry::first_service_address;
use crate::user::{GROUP_AUTHENTICATED, GROUP_MASTERS, User};
use crate::{ApiServer, Config, StartError};

/// The API server may have one half of the process's descriptors for its connections.
const DESCRIPTORS_PART: usize = 2;

/// The limits for clients of the API server, derived from this process's descriptors.
pub fn limits() -> Limits {
    Limits::of_descriptors(DESCRIPTORS_PART)
}

/// The TLS side of a server that shows this identity.
///
/// # Errors
/// [`StartError::Tls`] where the clients' authority cannot be used.
pub fn acceptor(pki: &Pki, identity: Arc<Identity>) -> Result<TlsAcceptor, StartError> {
    let authorities = certificates(pki.client.certificate())?;
    let config = tls::server(identity, &authorities, &[b"h2", b"http/1.1"])?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificate that a server of this configuration shows.
pub fn serving_certificate(config: &Config) -> Wanted {
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
    let mut subject = Subject {
        common_name: "kube-apiserver".into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        addresses: vec![[127, 0, 0, 1].into(), Ipv6Addr::LOCALHOST.into()],
        ..Subject::default()
    };
    subject.names.push(format!("kubernetes.default.svc.{}", config.cluster_domain));
    subject
        .names
        .extend(config.names.iter().filter(|name| name.parse::<std::net::IpAddr>().is_err()).cloned());
    subject.addresses.extend(config.names.iter().filter_map(|name| name.parse::<std::net::IpAddr>().ok()));
    subject.addresses.extend(config.addresses.iter().copied());
    subject.addresses.extend(config.service_cidrs.iter().map(|network| first_service_address(*network)));
    subject.addresses.sort();
    subject.addresses.dedup();
    Wanted::new("serving-kube-apiserver", Usage::Server, subject)
}

/// Serves until `stop`; open requests get a moment to end.
pub async fn serve(
    server: Arc<ApiServer>,
    listener: TcpListener,
    tls: TlsAcceptor,
    limits: Limits,
    stop: CancellationToken,
) {
    serve::run(Port { listener, tls: Some(tls), limits }, server, stop).await;
}

impl serve::Service for ApiServer {
    type Peer = Peer;
    type Body = Body;

    fn peer(&self, certificate: Option<&CertificateDer<'_>>, address: SocketAddr) -> (Peer, Rank) {
        let user = certificate.and_then(|certificate| certificate_user(certificate));
        let user_until = certificate.and_then(|certificate| certificate_end(certificate));
        let rank = rank(user.as_ref());
        (Peer { user, user_until, address: Some(address) }, rank)
    }

    fn answer(
        self: Arc<Self>,
        request: Request<Inbound>,
        peer: Peer,
    ) -> impl Future<Output = Response<Body>> + Send {
        self.handle(request, peer)
    }
}

/// Tells a request's connection which user it belongs to, as a token may have shown.
pub(crate) fn known<B>(request: &Request<B>, user: &User) {
    if let Some(connection) = request.extensions().get::<serve::Connection>() {
        connection.raise(rank(Some(user)));
    }
}

/// The rank of a user's connections when there are too many.
fn rank(user: Option<&User>) -> Rank {
    match user {
        Some(user) if user.groups.iter().any(|group| group == GROUP_MASTERS) => Rank::Administrator,
        Some(user) if user.groups.iter().any(|group| group == GROUP_AUTHENTICATED) => Rank::Known,
        _ => Rank::Anonymous,
    }
}
