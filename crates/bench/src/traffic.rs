//! Traffic between network namespaces: a small server, and the measurements of its clients.
//!
//! A connection's first byte says what it is for: `e` echoes single bytes, `s` counts the received bytes and reports
//! their number, `c` is closed at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use hostnet::NetNs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// The port of the server.
pub const PORT: u16 = 9000;
/// How much is written at once in a stream, in bytes.
const CHUNK_BYTES: usize = 128 << 10;
/// How long a connection may take to stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How many clients make connections at the same time.
const CONNECTORS: usize = 8;

/// A server in a namespace. Dropping this ends it.
pub struct Server(#[expect(dead_code, reason = "its end is the signal")] oneshot::Sender<()>);

impl Server {
    /// Starts the server on [`PORT`] of all addresses of a namespace.
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn start(namespace: Arc<NetNs>) -> Result<Server> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            namespace.block_on(|| async move {
                let listener = TcpListener::bind(("::", PORT)).await;
                let failed = listener.as_ref().err().map(ToString::to_string);
                let _ = ready.send(failed);
                let Ok(listener) = listener else { return };
                tokio::select! {
                    () = accept(listener) => {}
                    _ = stopped => {}
                }
            })
        });
        match is_ready.await.context("the server's thread ended")? {
            None => Ok(Server(stop)),
            Some(error) => anyhow::bail!("cannot listen on port {PORT}: {error}"),
        }
    }
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // It is not an error of the server if a client disconnects.
            let _ = serve(stream).await;
        });
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    match stream.read_u8().await? {
        b'e' => loop {
            let byte = stream.read_u8().await?;
            stream.write_u8(byte).await?;
        },
        b's' => {
            let (mut buffer, mut total) = (vec![0; CHUNK_BYTES], 0_u64);
            loop {
                match stream.read(&mut buffer).await? {
                    0 => return stream.write_u64(total).await,
                    count => total += count as u64,
                }
            }
        }
        _ => Ok(()),
    }
}

async fn connect(to: SocketAddr, purpose: u8) -> Result<TcpStream> {
    let stream = timeout(CONNECT_WITHIN, TcpStream::connect(to)).await;
    let mut stream = stream.with_context(|| format!("{to} does not answer"))??;
    stream.set_nodelay(true)?;
    stream.write_u8(purpose).await?;
    Ok(stream)
}

/// Bytes a second of one stream from a namespace.
///
/// # Errors
/// If the connection cannot be made or breaks.
pub async fn throughput(from: &Arc<NetNs>, to: SocketAddr, span: Duration) -> Result<f64> {
    let send = async move || -> Result<f64> {
        let mut stream = connect(to, b's').await?;
        let (chunk, begin, mut sent) = (vec![0x5a; CHUNK_BYTES], Instant::now(), 0_u64);
        while begin.elapsed() < span {
            stream.write_all(&chunk).await?;
            sent += chunk.len() as u64;
        }
        stream.shutdown().await?;
        let received = stream.read_u64().await?;
        ensure!(received == sent, "{sent} bytes were sent, {received} came");
        Ok(received as f64 / begin.elapsed().as_secs_f64())
    };
    from.run(send).await?
}

/// The times of a number of one-byte round trips over one connection, sorted.
///
/// # Errors
/// As [`throughput`].
pub async fn round_trips(from: &Arc<NetNs>, to: SocketAddr, count: usize) -> Result<Vec<Duration>> {
    let ask = async move || -> Result<Vec<Duration>> {
        let mut stream = connect(to, b'e').await?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let sent = Instant::now();
            stream.write_u8(b'x').await?;
            stream.read_u8().await?;
            times.push(sent.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    };
    from.run(ask).await?
}

/// Connections a second, each opened, used for one byte and closed, by a few clients at the same time.
///
/// # Errors
/// As [`throughput`].
pub async fn connections(from: &Arc<NetNs>, to: SocketAddr, span: Duration) -> Result<f64> {
    let open = async move || -> Result<f64> {
        let begin = Instant::now();
        let clients = (0..CONNECTORS).map(|_| async move {
            let mut count = 0_u64;
            while begin.elapsed() < span {
                let mut stream = connect(to, b'c').await?;
                // The server closes first, so that no port of this side is held back.
                let _ = stream.read_u8().await;
                count += 1;
            }
            anyhow::Ok(count)
        });
        let counts = try_join_all(clients).await?;
        Ok(counts.iter().sum::<u64>() as f64 / begin.elapsed().as_secs_f64())
    };
    from.run(open).await?
}
