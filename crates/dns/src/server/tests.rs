use std::net::IpAddr;
use std::sync::atomic::Ordering;

use clock::Clock;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::forward::tests::{Upstream, config, found};
use crate::{DnsConfig, Index, ServiceKey, Zone};

/// A running server with a Service `shop/web` and a headless `shop/db` of 60 endpoints.
struct Running {
    index: Index,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    async fn start(upstreams: Vec<SocketAddr>) -> Running {
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
        Running::serve(server, upstreams)
    }

    fn serve(server: Server, upstreams: Vec<SocketAddr>) -> Running {
        let mut index = Index::new();
        set(&mut index, "web", json!({"clusterIP": "10.43.0.5"}));
        set(&mut index, "db", json!({"clusterIP": "None"}));
        set(&mut index, "out", json!({"type": "ExternalName", "externalName": "www.example"}));
        set(&mut index, "in", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"}));
        set(
            &mut index,
            "loop",
            json!({"type": "ExternalName", "externalName": "loop.shop.svc.cluster.local"}),
        );
        let endpoints: Vec<_> = (1..=60).map(|n| json!({"addresses": [format!("10.42.0.{n}")]})).collect();
        let slice = json!({
            "metadata": {"name": "db-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
            "addressType": "IPv4", "endpoints": endpoints,
        });
        let slice = serde_json::from_value(slice).unwrap();
        index.endpoint_slice_changed(&ServiceKey::new("shop", "db-1"), Some(Arc::new(slice)));
        index.publish();
        let address = server.addresses().unwrap()[0];
        let config =
            DnsConfig { zone: Zone::new("cluster.local", Vec::new()).unwrap(), forward: config(upstreams) };
        let resolver = Resolver::over(config, &index, Clock::system());
        Running { index, address, task: tokio::spawn(server.run(Arc::new(resolver))) }
    }

    async fn udp(&self, request: &Message) -> Message {
        Message::from_vec(&self.udp_bytes(&request.to_vec().unwrap()).await).unwrap()
    }

    async fn udp_bytes(&self, request: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.address).await.unwrap();
        socket.send(request).await.unwrap();
        let mut buffer = vec![0; 65_536];
        let answer = timeout(Duration::from_secs(10), socket.recv(&mut buffer));
        let length = answer.await.expect("an answer").unwrap();
        buffer[..length].to_vec()
    }

    /// Sends all requests over one connection.
    async fn tcp(&self, requests: &[Message]) -> Vec<Message> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut answers = Vec::new();
        for request in requests {
            let bytes = request.to_vec().unwrap();
            let length = u16::try_from(bytes.len()).unwrap();
            stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await.unwrap();
            answers.push(Message::from_vec(&read_request(&mut stream).await.unwrap()).unwrap());
        }
        answers
    }
}

fn set(index: &mut Index, name: &str, spec: serde_json::Value) {
    let service = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    let service = serde_json::from_value(service).unwrap();
    index.service_changed(&ServiceKey::new("shop", name), Some(Arc::new(service)));
}

fn request(name: &str) -> Message {
    let mut request = Message::new(77, MessageType::Query, OpCode::Query);
    request.metadata.recursion_desired = true;
    request.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    request
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test]
async fn a_response_fits_its_request() {
    let server = Running::start(Vec::new()).await;
    let answer = server.udp(&request("WEB.shop.svc.Cluster.local.")).await;
    assert_eq!(answer.metadata.id, 77);
    assert!(answer.metadata.authoritative && answer.metadata.recursion_desired);
    assert_eq!(answer.answers[0].name.to_ascii(), "WEB.shop.svc.Cluster.local.", "the question's spelling");
    assert_eq!((answer.answers[0].ttl, data(&answer)), (5, vec!["10.43.0.5".to_owned()]));
    assert!(answer.edns.is_none());

    let answer = server.udp(&request("none.shop.svc.cluster.local.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!((answer.answers.len(), answer.authorities[0].record_type()), (0, RecordType::SOA));
    let mut v6 = request("web.shop.svc.cluster.local.");
    v6.queries[0].query_type = RecordType::AAAA;
    let answer = server.udp(&v6).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert_eq!((answer.answers.len(), answer.authorities[0].record_type()), (0, RecordType::SOA));
    let answer = server.udp(&request("example.com.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "there is no upstream server");
}

#[tokio::test]
async fn what_does_not_fit_is_cut_and_comes_whole_by_tcp() {
    let server = Running::start(Vec::new()).await;
    let plain = request("db.shop.svc.cluster.local.");
    let mut with_edns = plain.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    with_edns.set_edns(edns);
    let bytes = server.udp_bytes(&plain.to_vec().unwrap()).await;
    let answer = Message::from_vec(&bytes).unwrap();
    assert!(bytes.len() <= 512 && answer.metadata.truncation && !answer.answers.is_empty());
    let answer = server.udp(&with_edns).await;
    assert!(!answer.metadata.truncation);
    assert_eq!((answer.answers.len(), answer.edns.unwrap().max_payload()), (60, 1232));
    let answers = server.tcp(&[plain.clone(), plain]).await;
    assert!(answers.iter().all(|answer| answer.answers.len() == 60 && !answer.metadata.truncation));
    assert_ne!(data(&answers[0])[0], data(&answers[1])[0], "answers take turns at the front");
}

#[tokio::test]
async fn requests_that_are_not_understood_are_told_so() {
    let server = Running::start(Vec::new()).await;
    let base = request("web.shop.svc.cluster.local.");
    let mut version = base.clone();
    let mut edns = Edns::new();
    edns.set_version(1);
    version.set_edns(edns);
    let mut chaos = base.clone();
    chaos.queries[0].query_class = DNSClass::CH;
    let mut update = base.clone();
    update.metadata.op_code = OpCode::Notify;
    let mut transfer = base.clone();
    transfer.queries[0].query_type = RecordType::AXFR;
    let mut double = base.clone();
    double.add_query(base.queries[0].clone());
    for (name, request, code) in [
        ("version", version, ResponseCode::BADVERS),
        ("class", chaos, ResponseCode::Refused),
        ("operation", update, ResponseCode::NotImp),
        ("transfer", transfer, ResponseCode::Refused),
        ("two questions", double, ResponseCode::FormErr),
    ] {
        let answer = server.udp(&request).await;
        // By number: BADVERS and BADSIG share one.
        assert_eq!(u16::from(answer.metadata.response_code), u16::from(code), "{name}");
    }
    let mut cut = base.to_vec().unwrap();
    cut.truncate(20);
    let answer = Message::from_vec(&server.udp_bytes(&cut).await).unwrap();
    assert_eq!((answer.metadata.id, answer.metadata.response_code), (77, ResponseCode::FormErr));
    assert_eq!(data(&server.udp(&base).await), ["10.43.0.5"], "and go on");
}

#[tokio::test]
async fn aliases_are_followed_inside_and_outside() {
    let upstream = Upstream::start(found).await;
    let server = Running::start(vec![upstream.address]).await;
    let answer = server.udp(&request("out.shop.svc.cluster.local.")).await;
    assert_eq!(data(&answer), ["www.example.", "192.0.2.1"]);
    assert_eq!(answer.answers[1].name.to_ascii(), "www.example.");
    assert_eq!(
        data(&server.udp(&request("in.shop.svc.cluster.local.")).await),
        ["web.shop.svc.cluster.local.", "10.43.0.5"]
    );
    let answer = server.udp(&request("loop.shop.svc.cluster.local.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let answer = server.udp(&request("WWW.Example.")).await;
    assert_eq!(answer.answers[0].name.to_ascii(), "WWW.Example.", "the question's spelling");
    assert!(!answer.metadata.authoritative && answer.metadata.recursion_available);
}

#[tokio::test]
async fn a_request_that_waits_does_not_hold_up_the_next() {
    let silent = Upstream::start(|_| None).await;
    let server = Running::start(vec![silent.address]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut slow = request("example.com.");
    slow.metadata.id = 1;
    for request in [slow, request("web.shop.svc.cluster.local.")] {
        let bytes = request.to_vec().unwrap();
        let length = u16::try_from(bytes.len()).unwrap();
        stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await.unwrap();
    }
    // Half a request follows, which must not be lost because of the answers in between.
    let rest = request("old.shop.svc.cluster.local.").to_vec().unwrap();
    let length = u16::try_from(rest.len()).unwrap();
    stream.write_all(&[&length.to_be_bytes(), &rest[..7]].concat()).await.unwrap();
    let first = Message::from_vec(&read_request(&mut stream).await.unwrap()).unwrap();
    assert_eq!((first.metadata.id, data(&first)), (77, vec!["10.43.0.5".to_owned()]));
    let second = Message::from_vec(&read_request(&mut stream).await.unwrap()).unwrap();
    assert_eq!((second.metadata.id, second.metadata.response_code), (1, ResponseCode::ServFail));
    stream.write_all(&rest[7..]).await.unwrap();
    let third = Message::from_vec(&read_request(&mut stream).await.unwrap()).unwrap();
    assert_eq!((third.metadata.id, third.metadata.response_code), (77, ResponseCode::NXDomain));
}

#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let server = Running::start(Vec::new()).await;
    let ask = request("web.shop.svc.cluster.local.");
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_OF_CLIENT_MAX {
        open.push(TcpStream::connect(server.address).await.unwrap());
    }
    // All of them are served by now, in the order in which they came.
    let bytes = ask.to_vec().unwrap();
    let framed = [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes.as_slice()].concat();
    let last = open.last_mut().unwrap();
    last.write_all(&framed).await.unwrap();
    read_request(last).await.unwrap();
    let mut further = TcpStream::connect(server.address).await.unwrap();
    let ended = timeout(Duration::from_secs(10), read_request(&mut further)).await.expect("it is closed");
    assert!(ended.is_err());
    open.clear();
    let answered = async {
        loop {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            if stream.write_all(&framed).await.is_ok() && read_request(&mut stream).await.is_ok() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(10), answered).await.expect("there is room again");
}

#[tokio::test]
async fn a_server_that_stops_answers_what_it_was_asked() {
    // An upstream server that reports when it was queried, and answers when it may.
    let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let upstream_tcp = TcpListener::bind(address).await.unwrap();
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let own = server.addresses().unwrap()[0];
    let config =
        DnsConfig { zone: Zone::new("cluster.local", Vec::new()).unwrap(), forward: config(vec![address]) };
    let resolver = Arc::new(Resolver::over(config, &Index::new(), Clock::system()));
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run_until(resolver, stop.clone()));
    let (client, idle) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), TcpStream::connect(own).await.unwrap());
    let mut stream = TcpStream::connect(own).await.unwrap();
    client.connect(own).await.unwrap();
    client.send(&request("one.example.").to_vec().unwrap()).await.unwrap();
    let by_tcp = request("two.example.").to_vec().unwrap();
    stream.write_all(&[&(by_tcp.len() as u16).to_be_bytes(), &by_tcp[..]].concat()).await.unwrap();
    // Each is passed on unchanged.
    let limit = Duration::from_secs(30);
    let mut buffer = [0; 512];
    let (length, from) = timeout(limit, upstream.recv_from(&mut buffer)).await.expect("asked").unwrap();
    let (mut far, _) = timeout(limit, upstream_tcp.accept()).await.expect("asked by TCP").unwrap();
    let by_tcp = timeout(limit, read_request(&mut far)).await.expect("asked by TCP").unwrap();
    stop.cancel();
    let response = |request: &[u8]| {
        let mut message = Message::from_vec(request).unwrap();
        message.metadata.message_type = MessageType::Response;
        message.to_vec().unwrap()
    };
    upstream.send_to(&response(&buffer[..length]), from).await.unwrap();
    let by_tcp = response(&by_tcp);
    far.write_all(&[&(by_tcp.len() as u16).to_be_bytes(), &by_tcp[..]].concat()).await.unwrap();
    let mut buffer = [0; 512];
    let length =
        timeout(Duration::from_secs(30), client.recv(&mut buffer)).await.expect("an answer").unwrap();
    assert_eq!(Message::from_vec(&buffer[..length]).unwrap().metadata.response_code, ResponseCode::NoError);
    // The connection ends after its answer, and that of a client that says nothing at once.
    let mut answer = Vec::new();
    timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("the end").unwrap();
    assert!(Message::from_vec(&answer[2..]).is_ok());
    timeout(Duration::from_secs(30), running).await.expect("the server has ended").unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_loop_through_an_upstream_server_ends() {
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let own = server.addresses().unwrap();
    let server = Running::serve(server, own);
    let answer = server.udp(&request("example.com.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(data(&server.udp(&request("web.shop.svc.cluster.local.")).await), ["10.43.0.5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_change_while_they_are_asked() {
    let mut server = Running::start(Vec::new()).await;
    let ask = request("web.shop.svc.cluster.local.").to_vec().unwrap();
    let address: SocketAddr = server.address;
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let client = tokio::spawn(async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(address).await.unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let last: IpAddr = [10, 43, 1, 200].into();
        while !seen.contains(&last.to_string()) {
            socket.send(&ask).await.unwrap();
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer).await.unwrap();
            let answer = Message::from_vec(&buffer[..length]).unwrap();
            assert_eq!(answer.answers.len(), 1, "never without an answer");
            seen.extend(data(&answer));
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    for n in 0..=200 {
        set(&mut server.index, "web", json!({"clusterIP": format!("10.43.1.{n}")}));
        server.index.publish();
        tokio::task::yield_now().await;
    }
    timeout(Duration::from_secs(20), client).await.expect("the last change is seen").unwrap();
    assert!(asked.load(Ordering::SeqCst) > 0);
}
