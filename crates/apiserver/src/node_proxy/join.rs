//! Two upgraded connections, joined.

use std::io;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How much is passed on at once.
const CHUNK_BYTES: usize = 16 << 10;
/// How long a client may continue sending after it has received everything from the target.
const FAREWELL_WITHIN: Duration = Duration::from_secs(30);

/// Joins the connections of a client and of its target once both have switched.
pub(super) async fn upgraded(client: OnUpgrade, target: OnUpgrade) {
    let (Ok(client), Ok(target)) = tokio::join!(client, target) else { return };
    join(TokioIo::new(client), TokioIo::new(target)).await;
}

/// Passes bytes on in both directions, until the target has sent everything or the client is gone.
///
/// A target that reads no more may still have much to send, such as a command that ends without reading all of its
/// input; so this ends neither direction. A client that is still sending at the end is read to its end: a connection
/// that is closed with unread bytes is reset, and the client may lose what it has not read yet.
async fn join(client: impl AsyncRead + AsyncWrite, target: impl AsyncRead + AsyncWrite) {
    let (from_client, mut to_client) = tokio::io::split(client);
    let (mut from_target, to_target) = tokio::io::split(target);
    let up = up(from_client, to_target);
    tokio::pin!(up);
    let down = async {
        // An error on either side ends it, like the end of the stream.
        let _ = tokio::io::copy(&mut from_target, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::pin!(down);
    tokio::select! {
        () = &mut down => drop(tokio::time::timeout(FAREWELL_WITHIN, up).await),
        // A client that has finished sending may still read.
        said = &mut up => if said.is_ok() { down.await },
    }
}

/// Passes on the client's data, and drops it once the target reads no more.
///
/// # Errors
/// If the client's connection breaks.
async fn up(mut client: impl AsyncRead + Unpin, target: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut target = Some(target);
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = client.read(&mut buffer).await?;
        if let Some(to) = &mut target
            && pass(to, &buffer[..count]).await.is_err()
        {
            target = None;
        }
        if count == 0 {
            return Ok(());
        }
    }
}

/// Passes on a piece, or the end if it is empty.
async fn pass(to: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> io::Result<()> {
    if piece.is_empty() {
        return to.shutdown().await;
    }
    to.write_all(piece).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    /// The target answers and closes without reading, while the client sends megabytes.
    #[tokio::test]
    async fn a_target_that_reads_nothing_is_heard() {
        let (client, inner) = connection().await;
        let (outer, mut target) = connection().await;
        let joined = tokio::spawn(join(inner, outer));
        target.write_all(b"hi").await.unwrap();
        drop(target);
        let (mut from, mut to) = client.into_split();
        for _ in 0..100 {
            to.write_all(&[b'x'; 64 << 10]).await.unwrap();
        }
        drop(to);
        let mut got = Vec::new();
        from.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"hi");
        joined.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_is_gone_ends_the_target() {
        let (client, inner) = connection().await;
        let (outer, mut target) = connection().await;
        let joined = tokio::spawn(join(inner, outer));
        // Unread bytes turn its end into a reset.
        target.write_all(&[b'x'; 1000]).await.unwrap();
        client.readable().await.unwrap();
        drop(client);
        let mut got = Vec::new();
        let _ = target.read_to_end(&mut got).await;
        drop(target);
        joined.await.unwrap();
    }
}
