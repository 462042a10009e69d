//! The real API server over an in-memory store, with all controllers, each under its own account.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use apiserver::testing::{TestServer, admin};
use apiserver::user::User;
use async_trait::async_trait;
use client::{
    ByteStream, Client, ClientError, Connection, Identified, Informer, Informers, LeanPod, ListPage, Object,
    Patch, Request, Response, ServedStream, WatchStream, key_of,
};
use clock::Clock;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use local::LocalConnection;
use object::ObjectKey;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Accounts, Config, Context, Metrics};

/// The time limit for expected events.
const LIMIT: Duration = Duration::from_secs(60);

/// A server and its controllers, until this is dropped.
pub(super) struct RealCluster {
    /// The administrator.
    pub(super) client: Client,
    pub(super) log: Arc<Log>,
    /// The helper with which tests wait.
    informers: Informers,
    /// What the controllers know.
    known: Informers,
    _stop: DropGuard,
}

/// The requests of accounts.
#[derive(Default)]
pub(super) struct Log {
    asked: Mutex<Asked>,
    changed: Notify,
}

#[derive(Default)]
struct Asked {
    /// `ACCOUNT VERB RESOURCE[/SUBRESOURCE]`
    granted: BTreeSet<String>,
    /// The same, and the answer.
    refused: BTreeSet<String>,
}

impl Log {
    fn note<T>(&self, account: &str, request: &Request, result: &Result<T, ClientError>) {
        let target = &request.target;
        let mut what = format!("{account} {} {}", request.verb.as_str(), target.resource.plural);
        if !target.subresource.is_empty() {
            what = format!("{what}/{}", target.subresource);
        }
        let mut asked = self.asked.lock();
        match result {
            // Not allowed, as against refused for another reason.
            Err(error) if error.is_forbidden() && error.to_string().contains(" cannot ") => {
                asked.refused.insert(format!("{what}: {error}"));
            }
            _ => drop(asked.granted.insert(what)),
        }
        self.changed.notify_waiters();
    }

    pub(super) fn refused(&self) -> Vec<String> {
        self.asked.lock().refused.iter().cloned().collect()
    }

    /// Waits until all of these were asked for and granted.
    pub(super) async fn granted(&self, wanted: &[&str]) {
        let missing = || -> Vec<String> {
            let asked = self.asked.lock();
            wanted.iter().filter(|what| !asked.granted.contains(**what)).map(ToString::to_string).collect()
        };
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if missing().is_empty() {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(LIMIT, wait).await.is_err() {
            panic!("nobody asked for {:?}; refused: {:?}", missing(), self.refused());
        }
    }
}

/// One account's connection, which keeps a log.
struct Logged {
    account: &'static str,
    inner: LocalConnection,
    log: Arc<Log>,
}

#[async_trait]
impl Connection for Logged {
    async fn call(&self, request: Request) -> Result<Response, ClientError> {
        let result = self.inner.call(request.clone()).await;
        self.log.note(self.account, &request, &result);
        result
    }

    async fn list(&self, request: Request) -> Result<ListPage, ClientError> {
        let result = self.inner.list(request.clone()).await;
        self.log.note(self.account, &request, &result);
        result
    }

    async fn watch(&self, request: Request) -> Result<WatchStream, ClientError> {
        let result = self.inner.watch(request.clone()).await;
        self.log.note(self.account, &request, &result);
        result
    }

    async fn get_path(&self, path: &str, accept: &str) -> Result<Response, ClientError> {
        self.inner.get_path(path, accept).await
    }

    async fn follow_served(&self) -> Result<ServedStream, ClientError> {
        self.inner.follow_served().await
    }

    async fn stream(&self, request: Request) -> Result<ByteStream, ClientError> {
        self.inner.stream(request).await
    }
}

/// Whether the objects of an informer become as wanted within the limit.
async fn becomes<K: Identified + Send + Sync + 'static>(
    informer: &Informer<K>,
    wanted: impl Fn(&[Arc<K>]) -> bool,
) -> bool {
    let changed = Arc::new(Notify::new());
    let told = Arc::clone(&changed);
    let _woken = informer.subscribe(move |_| told.notify_one());
    informer.synced().await;
    let wait = async {
        while !wanted(&informer.list()) {
            changed.notified().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.is_ok()
}

impl RealCluster {
    /// Starts all controllers over an empty server, and waits until pods can be created in `default`.
    pub(super) async fn start(config: Config) -> RealCluster {
        let cluster = RealCluster::over(Arc::new(TestServer::start().await), config).await;
        let account = ObjectKey::namespaced("default", "default");
        cluster.until_one::<ServiceAccount>("the account of pods", &account, |_| true).await;
        cluster
    }

    /// Starts all controllers over `server`.
    pub(super) async fn over(server: Arc<TestServer>, config: Config) -> RealCluster {
        let log = Arc::<Log>::default();
        let client_of = {
            let (server, log) = (Arc::clone(&server), Arc::clone(&log));
            move |account: &'static str, user: User| {
                let inner = LocalConnection::new(Arc::clone(&server), user);
                let connection = Logged { account, inner, log: Arc::clone(&log) };
                Client::new(Arc::new(connection), Clock::system())
            }
        };
        let cancel = CancellationToken::new();
        let reader = client_of("informers", User::new("system:kube-controller-manager", &[]));
        let accounts = client_of.clone();
        let context = Context {
            informers: Informers::new(reader),
            accounts: Accounts::new(move |account| {
                accounts(account, User::service_account("kube-system", account, ""))
            }),
            metrics: Metrics::default(),
            config: Arc::new(config),
        };
        let known = context.informers.clone();
        tokio::spawn(crate::run(context, cancel.clone()));
        let client = client_of("admin", admin());
        RealCluster {
            informers: Informers::new(client.clone()),
            known,
            client,
            log,
            _stop: cancel.drop_guard(),
        }
    }

    /// Waits until the objects of a kind are as wanted.
    pub(super) async fn until<K: Object>(&self, what: &str, wanted: impl Fn(&[Arc<K>]) -> bool) {
        let informer = self.informers.get::<K>();
        if !becomes(&informer, wanted).await {
            panic!("{what} did not come about: {:#?}; refused: {:?}", informer.list(), self.log.refused());
        }
    }

    /// Waits until the controllers know of a pod. They watch each kind by itself, so that they may learn of its owner
    /// first otherwise, although that was created later.
    pub(super) async fn known(&self, pod: &ObjectKey) {
        let informer = self.known.get::<LeanPod>();
        let is_known = becomes(&informer, |_| informer.get(pod).is_some()).await;
        assert!(is_known, "the controllers do not learn of {pod}");
    }

    /// Waits until one object is as wanted, and returns it.
    pub(super) async fn until_one<K: Object>(
        &self,
        what: &str,
        key: &ObjectKey,
        wanted: impl Fn(&K) -> bool,
    ) -> Arc<K> {
        let find = |all: &[Arc<K>]| all.iter().find(|one| key_of(&***one) == *key && wanted(one)).cloned();
        self.until::<K>(what, |all| find(all).is_some()).await;
        find(&self.informers.get::<K>().list()).expect("it was there a moment ago")
    }

    /// Has a pod run and be ready, as its node would.
    pub(super) async fn run_pod(&self, key: &ObjectKey) {
        let now = Clock::system().now().to_string();
        let status = json!({"status": {
            "phase": "Running", "podIP": "10.42.0.7", "podIPs": [{"ip": "10.42.0.7"}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
        }});
        match self.client.patch::<Pod>(key, "status", &Patch::Merge(status)).await {
            Err(error) if error.is_not_found() => {}
            result => drop(result.expect("the status can be set")),
        }
    }
}
