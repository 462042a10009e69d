//! The connection to an API server.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::{ClientError, ListPage, Request, Response, WatchEvent};

/// The events of a watch. It ends without an error when the server's time limit is reached; the next watch continues
/// from the last resource version seen. An error is always the last item.
pub type WatchStream = BoxStream<'static, Result<WatchEvent, ClientError>>;

/// The bytes of a streamed answer, such as a container's log.
pub type ByteStream = BoxStream<'static, Result<Bytes, ClientError>>;

/// Comes each time that what the server serves may have changed. It ends with the connection; whoever follows it asks anew
/// what is served.
pub type ServedStream = BoxStream<'static, ()>;

/// A connection to an API server, under one identity.
///
/// There are two implementations, which components cannot distinguish: [`HttpConnection`](crate::HttpConnection) across
/// a network, and within one process a call into the server's own request path, whose lists and watches return the
/// watch cache's shared [`Versioned`](object::Versioned) objects.
#[async_trait]
pub trait Connection: Send + Sync + 'static {
    /// Sends a request and waits for the whole answer.
    async fn call(&self, request: Request) -> Result<Response, ClientError>;

    /// Reads one page of a collection ([`Verb::List`](crate::Verb::List)).
    async fn list(&self, request: Request) -> Result<ListPage, ClientError>;

    /// Follows a collection ([`Verb::Watch`](crate::Verb::Watch)). An error that the server knows before the stream
    /// starts is returned at once; 410 may also be the stream's last item.
    async fn watch(&self, request: Request) -> Result<WatchStream, ClientError>;

    /// Reads a non-resource path, such as discovery: `accept` is the media type of the answer.
    async fn get_path(&self, path: &str, accept: &str) -> Result<Response, ClientError>;

    /// Follows what the server serves: resources that come, go and change. Across a network, where nothing can be
    /// watched for it, the server is asked every half minute.
    async fn follow_served(&self) -> Result<ServedStream, ClientError>;

    /// Sends a request whose answer is a stream of bytes.
    async fn stream(&self, request: Request) -> Result<ByteStream, ClientError>;
}
