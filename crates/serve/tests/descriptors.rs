//! A process that runs out of descriptors serves again as soon as it has some. This is a separate test program, because
//! the limit applies to the whole process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::CertificateDer;
use serve::{Inbound, Limits, Port, Rank, Service, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

struct Answers;

impl Service for Answers {
    type Peer = ();
    type Body = Full<Bytes>;

    fn peer(&self, _: Option<&CertificateDer<'_>>, _: SocketAddr) -> ((), Rank) {
        ((), Rank::Anonymous)
    }

    async fn answer(self: Arc<Self>, _: Request<Inbound>, (): ()) -> Response<Full<Bytes>> {
        Response::new("answer".into())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_descriptors_recovers() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum }).unwrap();
    assert_eq!(Limits::of_descriptors(2).connections_max, 50);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    // More connections than there are descriptors.
    let port = Port { listener, tls: None, limits: Limits::new(1000) };
    tokio::spawn(run(port, Arc::new(Answers), CancellationToken::new()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let ask = async |client: &mut TcpStream| {
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        client.read_exact(&mut answer).await.unwrap();
        answer
    };
    assert_eq!(&ask(&mut client).await, b"HTTP/1.1 200 OK");
    // All others are used up by this process itself.
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    files.pop();
    // A new connection is closed instead of waiting forever.
    let mut newcomer = TcpStream::connect(address).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(60), newcomer.read(&mut [0])).await.unwrap();
    assert!(!closed.is_ok_and(|read| read > 0));
    drop((files, newcomer));
    let served = async {
        loop {
            let mut client = TcpStream::connect(address).await.unwrap();
            let _ = client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let mut answer = [0; 15];
            if client.read_exact(&mut answer).await.is_ok() {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), served).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    assert_eq!(serve::raise_descriptors(), Some(100));
    let wanted = maximum.unwrap_or(u64::MAX).min(1 << 16);
    assert_eq!(getrlimit(Resource::Nofile).current, Some(wanted));
}
