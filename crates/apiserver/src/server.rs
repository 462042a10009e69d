//! Listening: TLS with optional client certificates, HTTP/1.1 and HTTP/2.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tls::{Identity, certificates};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::authn::{certificate_end, certificate_user};
use crate::handler::Peer;
use crate::pki::{Pki, Subject, Usage, Wanted};
use crate::registry::first_service_address;
use crate::{ApiServer, Config, StartError};

/// How long a client may take for the TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long open requests may go on when the server ends; watches are cut.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// How many requests one connection may have open at once, as upstream allows.
const STREAMS_MAX: u32 = 250;

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
pub async fn serve(server: Arc<ApiServer>, listener: TcpListener, tls: TlsAcceptor, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    // What has not ended when the time to drain is over, watches mostly, is cut.
    let cut = CancellationToken::new();
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2().max_concurrent_streams(STREAMS_MAX);
    let http = Arc::new(http);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files, mostly: wait for connections to end instead of spinning.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (server, tls, http, watcher, cut) =
            (Arc::clone(&server), tls.clone(), Arc::clone(&http), graceful.watcher(), cut.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await else {
                return;
            };
            let peer = peer(&stream, address);
            let service = service_fn(move |request: Request<Incoming>| {
                let (server, peer) = (Arc::clone(&server), peer.clone());
                async move { Ok::<_, std::convert::Infallible>(server.handle(request, peer).await) }
            });
            let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
            tokio::select! {
                ended = watcher.watch(connection) => if let Err(error) = ended {
                    tracing::debug!(error, %address, "a connection ended badly");
                },
                () = cut.cancelled() => {}
            }
        });
    }
    let _ = tokio::time::timeout(DRAIN_WITHIN, graceful.shutdown()).await;
    cut.cancel();
}

fn peer(stream: &tokio_rustls::server::TlsStream<TcpStream>, address: SocketAddr) -> Peer {
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|chain| chain.first());
    Peer {
        user: certificate.and_then(|certificate| certificate_user(certificate)),
        user_until: certificate.and_then(|certificate| certificate_end(certificate)),
        address: Some(address),
    }
}
