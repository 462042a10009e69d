//! A server over an in-memory store, for tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use base64::Engine;
use clock::Clock;
use metrics::Exposition;
use object::{Status, Value};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::dial::Dial;
use crate::handler::{Content, Operation};
use crate::layers::Observer;
use crate::pki::{KeyedCertificate, Subject, Usage, Wanted};
use crate::registry::{Answer, AnswerBody};
use crate::request::RequestInfo;
use crate::user::{GROUP_MASTERS, User};
use crate::{ApiServer, Config, Extensions, StartError};

/// A server with its own keys and everything that bootstrap creates.
pub struct TestServer {
    server: Arc<ApiServer>,
    config: Config,
    _keys: TempDir,
}

/// A [`TestServer`] on the network, until this is dropped.
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate of its authority, in PEM.
    pub authority: String,
    /// The administrator's certificate.
    pub admin: KeyedCertificate,
    _stop: DropGuard,
}

impl Listening {
    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> String {
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        object::yaml::to_string(&object::value!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{}", self.address),
                "certificate-authority-data": base64(&self.authority)
            }}],
            "users": [{"name": "admin", "user": {
                "client-certificate-data": base64(&self.admin.certificate),
                "client-key-data": base64(&self.admin.key)
            }}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}]
        }))
    }
}

impl Deref for TestServer {
    type Target = Arc<ApiServer>;
    fn deref(&self) -> &Arc<ApiServer> {
        &self.server
    }
}

/// A user who may do everything.
pub fn admin() -> User {
    User::new("admin", &[GROUP_MASTERS])
}

impl TestServer {
    /// Starts one.
    pub async fn start() -> TestServer {
        TestServer::with_services_in(&["10.43.0.0/16"]).await
    }

    /// Starts one whose Services have addresses of these networks.
    pub async fn with_services_in(networks: &[&str]) -> TestServer {
        TestServer::over(Arc::new(store::Embedded::in_memory(Clock::system())), networks).await
    }

    /// Starts one over a store.
    pub async fn over(store: Arc<dyn store::Store>, networks: &[&str]) -> TestServer {
        TestServer::extended(store, networks, Extensions::default()).await
    }

    /// Starts one that has more than is built in.
    pub async fn with(extensions: Extensions) -> TestServer {
        let store = Arc::new(store::Embedded::in_memory(Clock::system()));
        TestServer::extended(store, &["10.43.0.0/16"], extensions).await
    }

    /// Starts one that has more than is built in, if it can be started.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn try_with(extensions: Extensions) -> Result<TestServer, StartError> {
        let store = Arc::new(store::Embedded::in_memory(Clock::system()));
        TestServer::try_extended(store, &["10.43.0.0/16"], extensions).await
    }

    /// Starts one over a store that has more than is built in.
    pub async fn extended(
        store: Arc<dyn store::Store>,
        networks: &[&str],
        extensions: Extensions,
    ) -> TestServer {
        let server = TestServer::try_extended(store, networks, extensions).await;
        server.expect("an empty store can be served")
    }

    async fn try_extended(
        store: Arc<dyn store::Store>,
        networks: &[&str],
        extensions: Extensions,
    ) -> Result<TestServer, StartError> {
        let keys = tempfile::tempdir().expect("a temporary directory can be made");
        let clock = Clock::system();
        let config = Config {
            pki_directory: keys.path().to_owned(),
            // An address for documentation (RFC 5737): endpoints may not be on the loopback.
            addresses: vec![[192, 0, 2, 10].into()],
            names: Vec::new(),
            port: 6443,
            service_cidrs: networks
                .iter()
                .map(|text| text.parse().expect("the test names networks"))
                .collect(),
            cluster_domain: "cluster.local".into(),
            tokens: Vec::new(),
            event_ttl: crate::EVENT_TTL,
            exposition: Exposition::default(),
            build: crate::Build::default(),
        };
        let server = ApiServer::start_with(&config, store, clock, extensions).await?;
        Ok(TestServer { server, config, _keys: keys })
    }

    /// Starts one that reaches nodes and pods in another way than over the network.
    pub async fn dialing(dialer: impl Dial) -> TestServer {
        TestServer::start().await.dial_by(dialer)
    }

    /// Lets the server, which must not be shared yet, reach nodes and pods in another way.
    #[must_use]
    pub fn dial_by(self, dialer: impl Dial) -> TestServer {
        let mut server = self;
        Arc::get_mut(&mut server.server).expect("nothing shares a server just made").nodes.dial_by(dialer);
        server
    }

    /// Creates missing initial objects, as at the next start.
    ///
    /// # Errors
    /// What the registry says.
    pub async fn bootstrap(&self) -> Result<(), Status> {
        let unseen = |error: crate::cache::CacheError| Status::internal_error(error.to_string());
        self.server.registry.hub.catch_up().await.map_err(unseen)?;
        crate::bootstrap::run(&self.server, &self.config).await?;
        self.server.registry.hub.catch_up().await.map(drop).map_err(unseen)
    }

    /// What the store has under a prefix of its keys: the objects as they are stored, and the revisions of their last writes.
    pub async fn stored(&self, prefix: &str) -> Vec<(String, u64)> {
        let found =
            self.server.registry.hub.store().range(store::RangeRequest::prefix(prefix.to_owned())).await;
        let kvs = found.expect("a store in memory can be read").kvs;
        let stored = |kv: &Arc<store::KeyValue>| {
            (String::from_utf8_lossy(&kv.value.to_cow()).into_owned(), kv.mod_revision.0)
        };
        kvs.iter().map(stored).collect()
    }

    /// Starts one with an observer of its requests.
    pub async fn observed_by(observer: Arc<dyn Observer>) -> TestServer {
        let mut server = TestServer::start().await;
        let made = Arc::get_mut(&mut server.server).expect("nothing shares a server just made");
        made.observers.add(observer);
        server
    }

    /// Serves over TLS on a free loopback port.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn listen(&self) -> Result<Listening, StartError> {
        self.listen_within(crate::server::limits()).await
    }

    /// Serves over TLS on a free loopback port, with these limits for its clients.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn listen_within(&self, limits: serve::Limits) -> Result<Listening, StartError> {
        let certificate = self.server.pki.kept(&crate::server::serving_certificate(&self.config))?;
        let identity = tls::Identity::from_pem(&certificate.certificate, &certificate.key)?;
        let tls = crate::server::acceptor(&self.server.pki, identity)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stop = CancellationToken::new();
        tokio::spawn(crate::server::serve(Arc::clone(&self.server), listener, tls, limits, stop.clone()));
        let subject = Subject {
            common_name: "kubernetes-admin".into(),
            organizations: vec![GROUP_MASTERS.into()],
            ..Subject::default()
        };
        Ok(Listening {
            address,
            authority: self.server.pki.server.certificate().to_owned(),
            admin: self.server.pki.kept(&Wanted::new("client-admin", Usage::Client, subject))?,
            _stop: stop.drop_guard(),
        })
    }

    /// Sends a request as a user.
    ///
    /// # Errors
    /// The server's answer.
    pub async fn request(
        &self,
        user: &User,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<bytes::Bytes>,
    ) -> Result<Answer, Status> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let method = method.parse().expect("tests name methods of HTTP");
        let operation = Operation {
            info: Arc::new(RequestInfo::parse(&method, path, query)),
            content_type: Some(content_type.to_owned()),
            user_agent: Some("test".to_owned()),
            body: Content::Text(body.into()),
        };
        self.operate(user, operation).await
    }

    /// Sends a request with a JSON body as the administrator; returns the object of the response.
    ///
    /// # Errors
    /// The server's answer.
    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Result<Value, Status> {
        let body = if body.is_null() { bytes::Bytes::new() } else { object::json::to_bytes(body) };
        let answer = self.request(&admin(), method, path, "application/json", body).await?;
        Ok(value_of(answer))
    }

    /// Makes an object.
    ///
    /// # Errors
    /// The server's answer.
    pub async fn create(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        object: Value,
    ) -> Result<Value, Status> {
        self.json("POST", &collection_path(group, plural, namespace), &object).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// The server's answer.
    pub async fn delete(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Value, Status> {
        let path = format!("{}/{name}", collection_path(group, plural, namespace));
        self.json("DELETE", &path, &Value::Null).await
    }

    /// Reads an object.
    ///
    /// # Errors
    /// The server's answer.
    pub async fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Result<Value, Status> {
        let path = format!("{}/{name}", collection_path(group, plural, namespace));
        self.json("GET", &path, &Value::Null).await
    }
}

/// The object of an answer; of a list the names of its items.
pub fn value_of(answer: Answer) -> Value {
    match answer.body {
        AnswerBody::Version(version) => version.value(),
        AnswerBody::Value(value) => value,
        AnswerBody::Status(status) => status.to_value(),
        AnswerBody::List(listing) => Value::from(
            listing.items.iter().map(|item| Value::from(item.key().to_string())).collect::<Vec<_>>(),
        ),
        AnswerBody::Watch(_) => Value::Null,
    }
}

/// The path of a collection of a stable version.
pub fn collection_path(group: &str, plural: &str, namespace: &str) -> String {
    let version = schema::resources()
        .iter()
        .find(|def| def.group == group && def.plural == plural)
        .map_or("v1", |def| &def.version);
    let prefix =
        if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    if namespace.is_empty() {
        format!("{prefix}/{plural}")
    } else {
        format!("{prefix}/namespaces/{namespace}/{plural}")
    }
}
