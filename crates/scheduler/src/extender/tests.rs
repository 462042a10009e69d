//! Extenders over real HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use apiserver::user::User;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use client::Client;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use k8s_openapi::api::core::v1::Node;
use parking_lot::Mutex;
use serde_json::{Value, json};
use simulation::Server;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::testing::{containers, node, pod, whole_pod};

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// Serves an extender that answers with a code and a value; returns its URL and what it is asked.
pub(crate) async fn serve(
    answer: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> (String, Asked) {
    serve_with(None, answer).await
}

/// The same over TLS, if there is an acceptor.
async fn serve_with(
    acceptor: Option<TlsAcceptor>,
    answer: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}/extend", listener.local_addr().unwrap());
    let (asked, answer) = (Asked::default(), Arc::new(answer));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, asked) = (Arc::clone(&answer), Arc::clone(&kept));
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
                async move {
                    let path = request.uri().path().strip_prefix("/extend/").unwrap().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    let (code, value) = answer(&path, &body);
                    asked.lock().push((path, body));
                    let body = Full::new(Bytes::from(value.to_string()));
                    Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
                }
            });
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let server = Builder::new(TokioExecutor::new());
                // A client that trusts nobody here hangs up.
                match acceptor {
                    None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            drop(server.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            });
        }
    });
    (url, asked)
}

fn extender(url: &str) -> Extender {
    Extender { url: url.to_owned(), weight: 1, timeout: Duration::from_secs(60), ..Extender::default() }
}

/// A client of a server with the pods `p` and `victim`.
async fn client() -> (Server, Client) {
    let server = Server::start_in_real_time().await;
    server.open("default").await;
    server.put(&whole_pod("p", json!({}))).await;
    server.put(&whole_pod("victim", json!({}))).await;
    let client = server.client(User::new("system:kube-scheduler", &[]));
    (server, client)
}

async fn answer(client: &Client, extenders: Vec<Extender>, ask: Ask) -> Answer {
    let extenders: Vec<_> = extenders.into_iter().map(Arc::new).collect();
    let question = Question { pod: pod("p", json!({})), ask };
    Extenders::new(&extenders).answer(client, &question).await
}

fn nodes() -> Vec<Arc<Node>> {
    ["a", "b", "c"].map(|name| node(name, json!({}))).into()
}

fn filtered(answer: Answer) -> Result<Filtered, String> {
    let Answer::Filtered(filtered) = answer else { panic!("{answer:?}") };
    filtered
}

#[tokio::test]
async fn each_extender_filters_what_the_one_before_it_left() {
    let (_server, client) = client().await;
    let (by_name, named) = serve(|_, _| {
        // As extenders in other languages than Go answer.
        let failed = json!({"c": "is taken", "a": "?"});
        (200, json!({"nodenames": ["a", "b"], "failedNodes": failed, "error": ""}))
    })
    .await;
    let (whole, shown) = serve(|_, body| {
        let mut nodes = body["Nodes"].clone();
        nodes["items"].as_array_mut().unwrap().remove(0);
        (200, json!({"Nodes": nodes, "FailedNodes": {"a": "x"}, "FailedAndUnresolvableNodes": {"a": "is lost"}}))
    })
    .await;
    let extenders = vec![
        Extender { filter: "filter".to_owned(), knows_nodes: true, ..extender(&by_name) },
        Extender { filter: "sieve".to_owned(), ..extender(&format!("{whole}/")) },
    ];
    let found = filtered(answer(&client, extenders, Ask::Filter(nodes())).await).unwrap();
    assert_eq!(found.passed, ["b"]);
    let wanted = [
        ("a".to_owned(), Rejection::unresolvable("is lost")),
        ("c".to_owned(), Rejection::unschedulable("is taken")),
    ];
    assert_eq!(found.rejected, wanted);
    let (path, first) = named.lock()[0].clone();
    assert_eq!(
        (path.as_str(), &first["NodeNames"], &first["Nodes"]),
        ("filter", &json!(["a", "b", "c"]), &Value::Null)
    );
    assert_eq!(first["Pod"]["spec"]["containers"][0]["image"], "app:1");
    let (path, second) = shown.lock()[0].clone();
    let items = second["Nodes"]["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().map(|node| node["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!((path.as_str(), names), ("sieve", vec!["a", "b"]));
    assert_eq!(second["NodeNames"], Value::Null);
}

#[tokio::test]
async fn what_fails_ends_the_decision_unless_it_may_be_ignored() {
    let (_server, client) = client().await;
    let (reports, _) = serve(|_, _| (200, json!({"Error": "no licence"}))).await;
    let (refuses, _) = serve(|_, _| (503, json!(null))).await;
    let (invents, _) = serve(|_, _| (200, json!({"NodeNames": ["z"]}))).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let cases = [
        (reports, "no licence".to_owned()),
        (refuses.clone(), format!("failed filter with extender at URL {refuses}/filter, code 503")),
        (
            invents.clone(),
            format!(
                "extender {invents:?} claims a filtered node \"z\" which is not found in the input node list"
            ),
        ),
        (silent, String::new()),
    ];
    for (url, wanted) in cases {
        let extender = Extender {
            filter: "filter".to_owned(),
            knows_nodes: true,
            timeout: Duration::from_millis(if wanted.is_empty() { 200 } else { 60_000 }),
            ..extender(&url)
        };
        let error =
            filtered(answer(&client, vec![extender.clone()], Ask::Filter(nodes())).await).unwrap_err();
        assert!(error == wanted || wanted.is_empty() && error.contains(&url), "{error}");
        let ignorable = Extender { ignorable: true, ..extender };
        let found = filtered(answer(&client, vec![ignorable], Ask::Filter(nodes())).await).unwrap();
        assert_eq!(found.passed, ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn scores_are_weighted_and_added() {
    let (_server, client) = client().await;
    let (one, _) = serve(|_, _| (200, json!([{"Host": "a", "Score": 10}, {"Host": "b", "Score": 1}]))).await;
    let (two, _) = serve(|_, _| (200, json!([{"host": "a", "score": 2}]))).await;
    let (broken, _) = serve(|_, _| (500, json!([]))).await;
    let scoring = |url: &str, weight| Extender { prioritize: "score".to_owned(), weight, ..extender(url) };
    let extenders = vec![scoring(&one, 1), scoring(&two, 3), scoring(&broken, 9)];
    let Answer::Prioritized(scores) = answer(&client, extenders, Ask::Prioritize(nodes())).await else {
        panic!("scores")
    };
    assert_eq!(scores, [("a".to_owned(), 160), ("b".to_owned(), 10)].into());
}

#[tokio::test]
async fn victims_may_be_changed() {
    let (_server, client) = client().await;
    let victim = pod("victim", json!({}));
    let other = pod("other", json!({"priority": 3}));
    let candidate =
        |node: &str| Candidate { node: node.into(), victims: vec![victim.clone()], violations: 0 };
    let residents: Residents = [("a".into(), vec![victim.clone(), other.clone()])].into();
    let ask = || Ask::Preempt(vec![candidate("a"), candidate("b")], residents.clone());
    let answer_with = |answer_value: Value, knows_nodes, ignorable| {
        let (client, ask) = (&client, ask());
        async move {
            let (url, asked) = serve(move |_, _| (200, answer_value.clone())).await;
            let extender =
                Extender { preempt: "preempt".to_owned(), knows_nodes, ignorable, ..extender(&url) };
            let Answer::Preempted(left) = answer(client, vec![extender], ask).await else {
                panic!("victims")
            };
            let asked = asked.lock()[0].1.clone();
            (left, asked)
        }
    };
    let uids = |names: &[&str]| -> Vec<Value> { names.iter().map(|name| json!({"UID": name})).collect() };
    let of =
        |pods: Vec<Value>| json!({"NodeNameToMetaVictims": {"a": {"Pods": pods, "NumPDBViolations": 2}}});
    let (left, asked) = answer_with(of(uids(&["victim", "other"])), true, false).await;
    let [left] = <[Candidate; 1]>::try_from(left.unwrap()).unwrap();
    let names: Vec<_> = left.victims.iter().map(|victim| &*victim.key.name).collect();
    assert_eq!((&*left.node, names, left.violations), ("a", vec!["other", "victim"], 2));
    assert_eq!(asked["NodeNameToVictims"], Value::Null);
    assert_eq!(
        asked["NodeNameToMetaVictims"]["b"],
        json!({"Pods": [{"UID": "victim"}], "NumPDBViolations": 0})
    );
    let (_, asked) = answer_with(of(uids(&["victim"])), false, false).await;
    assert_eq!(asked["NodeNameToVictims"]["a"]["Pods"][0]["metadata"]["name"], "victim");
    let (left, _) = answer_with(of(uids(&["stranger"])), true, false).await;
    let why = "claims to preempt pod (UID: stranger) on node: a, but the pod is not found on that node";
    assert!(left.unwrap_err().ends_with(why));
    let (left, _) = answer_with(of(Vec::new()), true, false).await;
    assert_eq!(left.unwrap_err(), "expected at least one victim pod on node \"a\"");
    let (left, _) = answer_with(of(Vec::new()), true, true).await;
    assert!(left.unwrap().is_empty());
}

#[tokio::test]
async fn an_extender_may_bind() {
    let (url, asked) = serve(|path, _| match path {
        "bind" => (200, json!({})),
        _ => (200, json!({"Error": "no"})),
    })
    .await;
    let of = |verb: &str| {
        let extender = Extender { bind: verb.to_owned(), ..extender(&url) };
        Extenders::new(&[Arc::new(extender)])
    };
    let bound = pod("p", json!({}));
    assert!(of("bind").bind(&bound, "a").await.unwrap().is_ok());
    let args = json!({"PodName": "p", "PodNamespace": "default", "PodUID": "p", "Node": "a"});
    assert_eq!(asked.lock()[0].1, args);
    assert_eq!(of("other").bind(&bound, "a").await.unwrap().unwrap_err().to_string(), "no");
    assert!(of("").bind(&bound, "a").await.is_none(), "plugins bind");
}

#[tokio::test]
async fn certificates_are_verified_unless_the_file_says_otherwise() {
    let (_server, client) = client().await;
    let names = vec!["127.0.0.1".to_owned(), "extender.example".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = tls::Identity::from_pem(&certificate, &key).unwrap();
    let authorities = tls::certificates(&certificate).unwrap();
    let config = tls::server(identity, &authorities, &[b"h2", b"http/1.1"]).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (url, _) = serve_with(Some(acceptor), |_, _| (200, json!({"NodeNames": ["a"]}))).await;
    let ca = BASE64.encode(&certificate);
    let cases = [
        (format!("caData: {ca}"), true),
        (format!("caData: {ca}, serverName: extender.example"), true),
        (format!("caData: {ca}, serverName: other.example"), false),
        ("serverName: 127.0.0.1".to_owned(), false),
        ("insecure: true".to_owned(), true),
    ];
    for (tls, is_heard) in cases {
        let text = format!(
            "{START}extenders:\n- {{urlPrefix: '{url}', filterVerb: filter, nodeCacheCapable: true, tlsConfig: {{{tls}}}}}\n"
        );
        let read = crate::Configuration::parse(text.as_bytes());
        // Without authorities of its own, a machine trusts none of them.
        let Ok(read) = read else {
            assert!(tls.starts_with("serverName"), "{tls}: {read:?}");
            continue;
        };
        let extenders = read.extenders.iter().map(|extender| Extender::clone(extender)).collect();
        let found = filtered(answer(&client, extenders, Ask::Filter(nodes())).await);
        assert_eq!(found.is_ok(), is_heard, "{tls}: {found:?}");
    }
}

const START: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

#[test]
fn bad_settings_are_refused() {
    let cases = [
        ("httpTimeout: soon", "soon"),
        ("tlsConfig: {insecure: true, caData: Zm9v}", "insecure flag"),
        ("tlsConfig: {insecure: true, certFile: /no/such/file}", "cannot read /no/such/file"),
        ("tlsConfig: {insecure: true, keyData: Zm9v}", "without its"),
        ("tlsConfig: {insecure: true, serverName: 'a b'}", "serverName \"a b\""),
    ];
    for (extender, wanted) in cases {
        let text = format!("{START}extenders: [{{urlPrefix: 'https://a', {extender}}}]\n");
        let error = crate::Configuration::parse(text.as_bytes()).unwrap_err();
        let error: &dyn std::error::Error = &error;
        let causes = std::iter::successors(Some(error), |error| error.source());
        let causes = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        assert!(causes.contains(wanted), "{extender}: {causes}");
    }
}

#[test]
fn resources_say_who_is_interested() {
    let managing = Extender { resources: vec!["a.example/gpu".to_owned()], ..Extender::default() };
    assert!(managing.is_interested_in(&pod("p", containers(json!({"a.example/gpu": "1"})))));
    assert!(!managing.is_interested_in(&pod("p", containers(json!({"cpu": "1"})))));
    assert!(Extender::default().is_interested_in(&pod("p", json!({}))));
    let binder = Extender { bind: "bind".to_owned(), ..Extender::default() };
    assert!(!any_takes_part(&[Arc::new(binder)], &pod("p", json!({}))), "decisions are not its business");
}
