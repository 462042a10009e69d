//! Clients that do not read what they asked for.

use std::time::Duration;

use apiserver::testing::{Listening, TestServer};
use serve::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use crate::network::{Stream, client_config, name_of};
use crate::support::*;

const EVENT_BYTES: usize = 500_000;

/// A watch over HTTP/1.1 whose client has a small receive buffer.
async fn watch(listening: &Listening) -> Stream {
    read(listening, "watch=true").await
}

/// The answer to a request for ConfigMaps, from behind its code.
async fn read(listening: &Listening, query: &str) -> Stream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(listening.address).await.unwrap();
    let config = client_config(listening, "http/1.1", true);
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect(name_of(listening), stream).await.unwrap();
    let request = format!("GET {CONFIG_MAPS}?{query} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_do_not_read_are_cut_off_and_others_go_on() {
    let server = TestServer::start().await;
    let limits = Limits { stall_max: Duration::from_millis(500), ..Limits::new(200) };
    let listening = server.listen_within(limits).await.unwrap();
    let watched = server.registry.collection("configmaps").unwrap();
    let before = watched.watchers();
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(watch(&listening).await);
    }
    let mut reader = watch(&listening).await;
    let reading = tokio::spawn(async move {
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = reader.read(&mut buffer).await {
            bytes += read;
            if bytes > 40 * EVENT_BYTES {
                break;
            }
        }
        bytes
    });
    assert_eq!(watched.watchers() - before, 21);
    let mut object = config_map("large", &[]);
    object.entry("data").set("key", "x".repeat(EVENT_BYTES));
    let mut path = CONFIG_MAPS.to_owned();
    let mut method = "POST";
    let write = async {
        // Until the buffers of all clients have overflowed, and all except the reader are gone.
        for round in 0.. {
            if round > 50 && watched.watchers() - before <= 1 {
                return;
            }
            object.entry("data").set("round", round.to_string());
            call(&server, method, &path, &object).await.success();
            (method, path) = ("PUT", format!("{CONFIG_MAPS}/large"));
        }
    };
    tokio::time::timeout(3 * WITHIN, write).await.expect("the watchers that do not read are cut off");
    assert!(reading.await.unwrap() > 40 * EVENT_BYTES, "the one that reads goes on");
    // The rest of the buffers arrives, and then the end; the next watch starts again.
    let ended = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(1..) = stalled[0].read(&mut buffer).await {}
    };
    tokio::time::timeout(WITHIN, ended).await.unwrap();
    watch(&listening).await;
}

/// A list is made of versions that are kept until it is sent: however steadily it is read, it ends with its request's time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_not_read_for_longer_than_its_request_may_take() {
    let server = TestServer::start().await;
    let listening = server.listen().await.unwrap();
    for number in 0..20 {
        let mut object = config_map(&format!("m{number}"), &[]);
        object.entry("data").set("key", "x".repeat(EVENT_BYTES));
        call(&server, "POST", CONFIG_MAPS, &object).await.success();
    }
    // One whose client is in no hurry for a second, and one that is read as fast as it comes.
    let (mut slow, mut fast) = (read(&listening, "timeout=1s").await, read(&listening, "").await);
    let mut whole = 0;
    let mut buffer = vec![0; 1 << 16];
    while whole < 20 * EVENT_BYTES {
        whole += fast.read(&mut buffer).await.unwrap();
    }
    let mut pauses = tokio::time::interval(Duration::from_millis(100));
    let mut piece = vec![0; 1 << 12];
    let begun = tokio::time::Instant::now();
    let reading = async {
        let mut bytes = 0;
        while let Ok(read @ 1..) = slow.read(&mut piece).await {
            bytes += read;
            // Later it reads whatever is on its way, which is all of the list if nothing has ended it.
            if begun.elapsed() < Duration::from_secs(3) {
                pauses.tick().await;
            }
        }
        bytes
    };
    let bytes = tokio::time::timeout(3 * WITHIN, reading).await.expect("the server ends it");
    assert!(bytes < 10 * EVENT_BYTES, "{bytes} bytes of a list were read");
}
