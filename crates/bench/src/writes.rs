//! Durable creates through the API, compared with bare puts into etcd.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;

use crate::Bench;
use crate::cluster::{Cluster, get, post};
use crate::connection::Connection;
use crate::etcd::{self, Etcd};
use crate::figures::{Budget, Figures};
use crate::load;
use crate::pods::Template;

/// How long each load is measured.
const SPAN: Duration = Duration::from_secs(4);
/// How many clients create at once.
const CLIENTS: [usize; 3] = [1, 64, 256];
/// How many clients share a connection: the goroutines of one program with one Go client do.
const CLIENTS_A_CONNECTION: usize = 64;
/// How many clients fill a cluster.
const FILLERS: usize = 64;
/// Eight times what upstream's API server and etcd do on two cores with 64 clients.
const CREATES_MIN: f64 = 8.0 * 1150.0;

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start_api(bench).await?;
    let connection = cluster.connect().await?;
    cluster.make_namespace(&connection, "bench").await?;
    let creator = Creator::new("bench");
    creator.create(&connection).await?;
    let stored = connection.fetch(get("/api/v1/namespaces/bench/pods/pod-1"), None).await?.len();
    let etcd = Etcd::start(&bench.host).await?;
    let value = Bytes::from(vec![b'x'; stored]);
    for clients in CLIENTS {
        let count = clients.div_ceil(CLIENTS_A_CONNECTION);
        let name = match clients {
            1 => "1 client".to_owned(),
            _ => format!("{clients} clients"),
        };
        let ours = cluster.connect_many(count).await?;
        let creates = load::run(clients, SPAN, cluster.pid(), |client| creator.create(&ours[client % count]))
            .await
            .context("creating pods")?;
        let budget = (clients == 64).then_some(Budget::AtLeast(CREATES_MIN));
        figures.add(format!("durable pod creates, {name}"), creates.rate, "/s", budget, creates.note());
        let theirs = connect_etcd(count).await?;
        let (puts, value) = (Cell::new(0_u64), &value);
        let (puts, theirs) = (&puts, &theirs);
        let puts = load::run(clients, SPAN, etcd.pid(), |client| async move {
            puts.set(puts.get() + 1);
            let key = format!("/registry/pods/bench/{clients}-{}", puts.get());
            etcd::put(&theirs[client % count], &key, value).await
        })
        .await
        .context("writing to etcd")?;
        figures.add(format!("bare etcd puts of {stored} B, {name}"), puts.rate, "/s", None, puts.note());
        figures.add(format!("creates to etcd puts, {name}"), creates.rate / puts.rate, "x", None, "");
    }
    separate_connections(&cluster, &creator, figures).await
}

/// The same with a separate connection for each client.
async fn separate_connections(cluster: &Cluster<'_>, creator: &Creator, figures: &mut Figures) -> Result<()> {
    const CLIENTS: usize = 64;
    let own = cluster.connect_many(CLIENTS).await?;
    let creates = load::run(CLIENTS, SPAN, cluster.pid(), |client| creator.create(&own[client])).await?;
    let name = format!("durable pod creates, {CLIENTS} clients with a connection each");
    figures.add(name, creates.rate, "/s", None, creates.note());
    Ok(())
}

async fn connect_etcd(count: usize) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Etcd::connect().await?);
    }
    Ok(connections)
}

/// Creates pods `pod-1`, `pod-2` and so on.
pub struct Creator {
    template: Template,
    path: String,
    count: Cell<u64>,
}

impl Creator {
    /// A creator in a namespace, which must be there.
    pub fn new(namespace: &str) -> Creator {
        Creator::of(namespace, Template::new(namespace))
    }

    /// One whose pods have no owner.
    pub fn unowned(namespace: &str) -> Creator {
        Creator::of(namespace, Template::unowned(namespace))
    }

    fn of(namespace: &str, template: Template) -> Creator {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        Creator { template, path, count: Cell::new(0) }
    }

    /// How many were begun.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Creates pods, many at the same time, until this many were begun.
    ///
    /// # Errors
    /// The server's error.
    pub async fn fill(&self, connection: &Connection, until: u64) -> Result<()> {
        let fillers = (0..FILLERS).map(|_| async {
            while self.count() < until {
                self.create(connection).await?;
            }
            anyhow::Ok(())
        });
        try_join_all(fillers).await.map(drop)
    }

    /// Creates the next one.
    ///
    /// # Errors
    /// The server's error.
    pub async fn create(&self, connection: &Connection) -> Result<()> {
        self.count.set(self.count.get() + 1);
        let body = self.template.body(&format!("pod-{}", self.count.get()));
        let mut answer = connection.send(post(&self.path), Some(body)).await?;
        if answer.status == 201 {
            answer.drain().await?;
            return Ok(());
        }
        let why = answer.chunk().await?.unwrap_or_default();
        ensure!(false, "{}: {}", answer.status, String::from_utf8_lossy(&why));
        Ok(())
    }
}
