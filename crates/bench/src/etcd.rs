//! Debian's etcd with the same load, for comparison: puts over gRPC, as Kubernetes' own API server talks to it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Request};
use testbed::{Host, Process};
use tokio::time::Instant;

use crate::connection::Connection;

const PROGRAM: &str = "/usr/bin/etcd";
const CLIENTS: &str = "127.0.0.1:2379";
const PATIENCE: Duration = Duration::from_secs(30);

/// An etcd with an empty directory on the test host.
pub struct Etcd {
    process: Process,
}

impl Etcd {
    /// Starts etcd and waits until it answers.
    ///
    /// # Errors
    /// If it is not installed or does not come up.
    pub async fn start(host: &Host) -> Result<Etcd> {
        ensure!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing: install Debian's etcd-server");
        let mut command = host.command(PROGRAM);
        command.arg("--data-dir").arg(host.directory().join("etcd")).args([
            "--listen-client-urls",
            "http://127.0.0.1:2379",
            "--advertise-client-urls",
            "http://127.0.0.1:2379",
            "--listen-peer-urls",
            "http://127.0.0.1:2380",
            // As upstream's clusters have it; the default of 2 GB is enough for this load, too.
            "--quota-backend-bytes",
            "8589934592",
        ]);
        let mut etcd = Etcd { process: host.start("etcd", command)? };
        let limit = Instant::now() + PATIENCE;
        loop {
            etcd.process.check()?;
            let ready = async { put(&Etcd::connect().await?, "ready", &Bytes::new()).await };
            match ready.await {
                Ok(()) => return Ok(etcd),
                Err(error) => ensure!(Instant::now() < limit, "etcd does not answer: {error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// A new connection.
    ///
    /// # Errors
    /// Where etcd does not answer.
    pub async fn connect() -> Result<Connection> {
        Connection::plain(CLIENTS).await
    }
}

/// One durable put.
///
/// # Errors
/// What etcd says.
pub async fn put(connection: &Connection, key: &str, value: &Bytes) -> Result<()> {
    let mut request = Request::new(());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("http://127.0.0.1:2379/etcdserverpb.KV/Put");
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    let answer = connection.send(request, Some(put_message(key.as_bytes(), value))).await?;
    let (_, status) = answer.drain().await?;
    let status = status.context("etcd's answer has no status")?;
    ensure!(&status[..] == b"0", "etcd refused a put: {status:?}");
    Ok(())
}

/// A `PutRequest` with key (field 1) and value (field 2), in gRPC's frame.
fn put_message(key: &[u8], value: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(key.len() + value.len() + 24);
    message.put_slice(&[0; 5]);
    for (tag, field) in [(0x0a, key), (0x12, value)] {
        message.put_u8(tag);
        let mut length = field.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(field);
    }
    let length = u32::try_from(message.len() - 5).expect("puts here are a few kilobytes");
    message[1..5].copy_from_slice(&length.to_be_bytes());
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed_protobuf() {
        assert_eq!(&put_message(b"k", b"vw")[..], b"\0\0\0\0\x07\x0a\x01k\x12\x02vw");
        let long = put_message(b"", &[b'x'; 300]);
        assert_eq!(&long[..10], b"\0\0\0\x01\x31\x0a\0\x12\xac\x02");
    }
}
