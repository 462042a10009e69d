//! Following what a server serves, of which the API has no watch.

use std::time::Duration;

use futures::StreamExt;
use http::StatusCode;
use http::header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH};
use kube::client::Body;

use super::HttpConnection;
use crate::{ClientError, ServedStream, discovery};

/// How often the server is asked (upstream's garbage collector asks so often, too).
pub(super) const INTERVAL: Duration = Duration::from_secs(30);
/// The documents that tell what is served.
const DOCUMENTS: [&str; 2] = ["/api", "/apis"];

/// The tags of the documents; they differ where the documents do.
type Tags = [Option<HeaderValue>; DOCUMENTS.len()];

impl HttpConnection {
    /// As [`Connection::follow_served`](crate::Connection::follow_served); the server is asked so often.
    pub(super) async fn ask_for_changes(&self, interval: Duration) -> Result<ServedStream, ClientError> {
        let known = self.tags(&Tags::default()).await?;
        Ok(futures::stream::unfold((self.clone(), known), move |(connection, known)| async move {
            loop {
                tokio::time::sleep(interval).await;
                let present = connection.tags(&known).await.ok()?;
                // A server without tags may have changed at any time.
                if present != known || present.iter().any(Option::is_none) {
                    return Some(((), (connection, present)));
                }
            }
        })
        .boxed())
    }

    async fn tags(&self, known: &Tags) -> Result<Tags, ClientError> {
        let mut tags = Tags::default();
        for ((path, known), tag) in DOCUMENTS.iter().zip(known).zip(&mut tags) {
            let mut message = http::Request::get(*path).header(ACCEPT, discovery::ACCEPT);
            if let Some(known) = known {
                message = message.header(IF_NONE_MATCH, known);
            }
            let message = message.body(Body::empty());
            let message = message.map_err(|error| ClientError::decode("the request", error))?;
            let sent = self.transmit(message).await;
            let response = sent.map_err(|error| ClientError::transport("ask what is served", error))?;
            *tag = match response.status() {
                StatusCode::NOT_MODIFIED => known.clone(),
                // Whoever asks for the documents themselves hears of errors.
                _ => response.headers().get(ETAG).cloned(),
            };
        }
        Ok(tags)
    }
}
