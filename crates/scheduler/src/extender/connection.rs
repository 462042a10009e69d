//! The connection to an extender.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde_json::Value;

use super::Extender;

/// The longest response that is read, in bytes: a list of the nodes of the largest cluster.
const RESPONSE_BYTES_MAX: usize = 256 << 20;

/// Why an extender did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ExtenderError {
    /// The request could not be sent, or the response not be read.
    #[error("cannot ask the extender at {url}: {why}")]
    Transport {
        /// Where it was sent.
        url: String,
        /// The cause.
        why: String,
    },
    /// The answer did not come in time.
    #[error("the extender at {url} did not answer in time")]
    Timeout {
        /// Where it was sent.
        url: String,
    },
    /// The extender refused it.
    #[error("failed {verb} with extender at URL {url}, code {code}")]
    Code {
        /// The verb.
        verb: String,
        /// Where it was sent.
        url: String,
        /// The HTTP status code.
        code: u16,
    },
    /// The extender reported an error.
    #[error("{0}")]
    Reported(String),
    /// The answer does not go with the question.
    #[error("{0}")]
    Answer(String),
}

/// An extender that can be asked.
pub(super) struct Connection {
    pub(super) extender: Arc<Extender>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("url", &self.extender.url).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(extender: Arc<Extender>) -> Connection {
        // An extender without TLS is never asked over it.
        let tls = extender.tls.as_deref().cloned().unwrap_or_else(tls::unverified_client);
        let mut connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        if let Some(name) = &extender.server_name {
            connector = connector.with_server_name_resolver(FixedServerNameResolver::new(name.clone()));
        }
        let connector = connector.enable_http1().enable_http2().build();
        Connection { extender, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Asks for something, within the time that the extender has.
    pub(super) async fn ask(&self, verb: &str, body: &impl Serialize) -> Result<Value, ExtenderError> {
        let url = format!("{}/{verb}", self.extender.url.trim_end_matches('/'));
        let answer = tokio::time::timeout(self.extender.timeout, self.exchange(verb, &url, body)).await;
        answer.unwrap_or(Err(ExtenderError::Timeout { url }))
    }

    async fn exchange(&self, verb: &str, url: &str, body: &impl Serialize) -> Result<Value, ExtenderError> {
        let failed = |why: String| ExtenderError::Transport { url: url.to_owned(), why };
        let body = serde_json::to_vec(body).map_err(|error| failed(error.to_string()))?;
        let request = Request::builder().method(Method::POST).uri(url);
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| failed(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| failed(chain(&error)))?;
        if response.status() != StatusCode::OK {
            let (verb, url, code) = (verb.to_owned(), url.to_owned(), response.status().as_u16());
            return Err(ExtenderError::Code { verb, url, code });
        }
        let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
