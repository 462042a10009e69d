use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::OpCode;
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{RData, Record};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::*;

/// An upstream server on loopback that answers with what `answer` makes of a request, and counts them.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Answers what `answer` returns; `None` is no answer.
    pub(crate) async fn start(answer: impl Fn(Message) -> Option<Message> + Send + 'static) -> Upstream {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                counter.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(Message::from_vec(&buffer[..length]).unwrap()) {
                    socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
                }
            }
        });
        Upstream { address, asked, task }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A response with the address 192.0.2.1.
pub(crate) fn found(request: Message) -> Option<Message> {
    let mut answer = reply(&request, ResponseCode::NoError);
    let name = request.queries[0].name.clone();
    answer.add_answer(Record::from_rdata(name, 300, RData::A(A::new(192, 0, 2, 1))));
    Some(answer)
}

fn reply(request: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::response(request.metadata.id, OpCode::Query);
    answer.metadata.response_code = code;
    answer.add_queries(request.queries.iter().cloned());
    answer
}

pub(crate) fn config(servers: Vec<SocketAddr>) -> ForwardConfig {
    let upstreams = Upstreams::Servers(servers);
    ForwardConfig { upstreams, server_timeout: Duration::from_millis(200), ..ForwardConfig::new(Vec::new()) }
}

fn query(name: &str) -> Query {
    Query::query(Name::from_ascii(name).unwrap(), RecordType::A)
}

async fn ask(forwarder: &Forwarder, name: &str) -> Result<Arc<Message>, ForwardError> {
    forwarder.ask(&query(name), false, Transport::Udp).await
}

#[tokio::test]
async fn answers_are_kept_for_their_time() {
    let upstream = Upstream::start(found).await;
    let forwarder = Forwarder::new(config(vec![upstream.address]), Clock::system());
    for name in ["a.example.", "A.Example.", "a.example."] {
        assert_eq!(ask(&forwarder, name).await.unwrap().answers.len(), 1);
    }
    assert_eq!(upstream.asked(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(ask(&forwarder, "a.example.").await.unwrap().answers[0].ttl, 280);
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    ask(&forwarder, "a.example.").await.unwrap();
    assert_eq!(upstream.asked(), 2);
}

#[tokio::test]
async fn that_there_is_nothing_is_kept_too() {
    let upstream = Upstream::start(|request| {
        let mut answer = reply(&request, ResponseCode::NXDomain);
        let root = Name::root();
        let soa = SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, 10);
        answer.add_authority(Record::from_rdata(root, 3600, RData::SOA(soa)));
        Some(answer)
    })
    .await;
    let forwarder = Forwarder::new(config(vec![upstream.address]), Clock::system());
    for _ in 0..3 {
        let answer = ask(&forwarder, "no.example.").await.unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    }
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_fails() {
    let silent = Upstream::start(|_| None).await;
    let failing = Upstream::start(|request| Some(reply(&request, ResponseCode::ServFail))).await;
    let forging = Upstream::start(|request| {
        let mut answer = found(request)?;
        answer.metadata.id = answer.metadata.id.wrapping_add(1);
        Some(answer)
    })
    .await;
    let good = Upstream::start(found).await;
    for bad in [&silent, &failing, &forging] {
        let forwarder = Forwarder::new(config(vec![bad.address, good.address]), Clock::system());
        assert_eq!(ask(&forwarder, "a.example.").await.unwrap().answers.len(), 1);
        assert_eq!(bad.asked(), 1);
        let forwarder = Forwarder::new(config(vec![bad.address]), Clock::system());
        assert!(matches!(ask(&forwarder, "a.example.").await, Err(ForwardError::NoAnswer(_))));
    }
    let forwarder = Forwarder::new(config(Vec::new()), Clock::system());
    assert!(matches!(ask(&forwarder, "a.example.").await, Err(ForwardError::NoServers)));
}

#[tokio::test]
async fn equal_questions_share_an_exchange_and_all_are_bounded() {
    let upstream = Upstream::start(|_| None).await;
    let mut config = config(vec![upstream.address]);
    config.exchanges_max = 1;
    let forwarder = Forwarder::new(config, Clock::system());
    let (one, two, other) = tokio::join!(
        ask(&forwarder, "a.example."),
        ask(&forwarder, "A.example."),
        ask(&forwarder, "b.example.")
    );
    assert!(matches!((one, two), (Err(ForwardError::NoAnswer(_)), Err(ForwardError::NoAnswer(_)))));
    assert!(matches!(other, Err(ForwardError::Overloaded)));
    assert_eq!(upstream.asked(), 1);
    assert!(forwarder.under_way.lock().is_empty());
}

#[tokio::test]
async fn an_exchange_that_everybody_gave_up_is_forgotten() {
    let upstream = Upstream::start(|_| None).await;
    let forwarder = Forwarder::new(config(vec![upstream.address]), Clock::system());
    {
        let (mut one, mut two) =
            (Box::pin(ask(&forwarder, "a.example.")), Box::pin(ask(&forwarder, "a.example.")));
        for waiting in [&mut one, &mut two] {
            assert!(timeout(Duration::from_millis(20), waiting.as_mut()).await.is_err());
        }
        drop(one);
        assert_eq!(forwarder.under_way.lock().len(), 1, "the other one still waits");
        assert!(matches!(two.await, Err(ForwardError::NoAnswer(_))));
        let mut three = Box::pin(ask(&forwarder, "b.example."));
        assert!(timeout(Duration::from_millis(20), three.as_mut()).await.is_err());
    }
    assert!(forwarder.under_way.lock().is_empty());
}

#[tokio::test]
async fn the_cache_is_bounded() {
    let upstream = Upstream::start(found).await;
    let mut config = config(vec![upstream.address]);
    config.cache_entries_max = 2;
    let forwarder = Forwarder::new(config, Clock::system());
    for (name, asked) in [("a.", 1), ("b.", 2), ("a.", 2), ("c.", 3), ("b.", 3), ("a.", 4)] {
        ask(&forwarder, name).await.unwrap();
        assert_eq!(upstream.asked(), asked, "{name}");
    }
}

#[tokio::test]
async fn the_cluster_may_name_other_servers() {
    let (host, cluster, stub) =
        (Upstream::start(found).await, Upstream::start(found).await, Upstream::start(found).await);
    let forwarder = Forwarder::new(config(vec![host.address]), Clock::system());
    ask(&forwarder, "a.corp.example.").await.unwrap();
    assert_eq!(host.asked(), 1);
    let custom = CustomServers {
        upstreams: vec![cluster.address],
        stubs: vec![(Name::from_ascii("corp.example.").unwrap(), vec![stub.address])],
    };
    forwarder.set_custom(custom.clone());
    ask(&forwarder, "a.corp.example.").await.unwrap();
    assert_eq!((host.asked(), stub.asked()), (1, 1), "what another server said is forgotten");
    ask(&forwarder, "b.example.").await.unwrap();
    assert_eq!(cluster.asked(), 1);
    // The same again changes nothing.
    forwarder.set_custom(custom);
    ask(&forwarder, "a.corp.example.").await.unwrap();
    assert_eq!(stub.asked(), 1);
    forwarder.set_custom(CustomServers::default());
    ask(&forwarder, "a.corp.example.").await.unwrap();
    assert_eq!(host.asked(), 2);
}

#[tokio::test]
async fn a_server_that_failed_is_not_waited_for_each_time() {
    let silent = Upstream::start(|_| None).await;
    let good = Upstream::start(found).await;
    let forwarder = Forwarder::new(config(vec![silent.address, good.address]), Clock::system());
    for name in ["a.", "b.", "c."] {
        ask(&forwarder, name).await.unwrap();
    }
    assert_eq!((silent.asked(), good.asked()), (1, 3));
}

#[tokio::test]
async fn the_file_of_the_host_is_followed() {
    let directory = std::env::temp_dir().join(format!("host-{}", Clock::system().uid()));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("resolv.conf");
    std::fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
    let mut config = ForwardConfig::new(vec!["127.0.0.53".parse().unwrap()]);
    config.upstreams = Upstreams::File(path.clone());
    let forwarder = Arc::new(Forwarder::new(config, Clock::system()));
    let servers = |forwarder: &Forwarder| -> Vec<String> {
        let group = forwarder.routes.load().of(&Name::root());
        group.in_order().iter().map(|server| server.address.to_string()).collect()
    };
    assert_eq!(servers(&forwarder), ["192.0.2.1:53"]);
    let follower = Arc::clone(&forwarder);
    let task = tokio::spawn(async move { follower.follow_host().await });
    std::fs::write(&path, "nameserver 127.0.0.53\nnameserver 192.0.2.2\n").unwrap();
    let changed = async {
        // Ourselves left out.
        while servers(&forwarder) != ["192.0.2.2:53"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), changed).await.expect("the change is seen");
    task.abort();
    std::fs::remove_dir_all(&directory).unwrap();
}
