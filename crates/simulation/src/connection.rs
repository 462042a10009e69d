//! A component's connection to the running server, with faults on the way.

use std::sync::Arc;

use async_trait::async_trait;
use client::{
    ByteStream, ClientError, Connection, ListPage, Request, Response, ServedStream, Verb, WatchStream,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use local::LocalConnection;
use tokio_util::sync::CancellationToken;

use crate::Journal;
use crate::faults::{ConnectionFaults, Fate};
use crate::running::{Current, Running};

mod watch;

use watch::Watch;

/// The connection of one component, until that ends.
pub(crate) struct Wire {
    pub(crate) running: Current,
    pub(crate) journal: Journal,
    pub(crate) user: apiserver::user::User,
    /// `None`: there are no faults, and requests are not counted.
    pub(crate) faults: Option<Arc<ConnectionFaults>>,
    /// Cancelled when the component ends: none of its requests reach the server any more.
    pub(crate) ended: CancellationToken,
}

impl Wire {
    /// Has a request carried out by the running server, unless the connection breaks before the response arrives.
    async fn carry<T>(
        &self,
        request: Request,
        send: impl FnOnce(LocalConnection, Request) -> BoxFuture<'static, Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let writes = !matches!(request.verb, Verb::Get | Verb::List | Verb::Watch);
        let copy = writes.then(|| request.clone());
        let lost = |why: &'static str| {
            if let Some(request) = &copy {
                self.journal.note_lost(&self.user.name, request);
            }
            ClientError::transport("read the answer", why)
        };
        let mut is_answered = true;
        if let Some(faults) = &self.faults {
            let fate = faults.fate(&request);
            pause(faults).await;
            match fate {
                Fate::Arrives => {}
                Fate::Unanswered => is_answered = false,
                Fate::Refused(status) => return Err(status.into()),
                Fate::Unsent => return Err(ClientError::transport("connect", "a fault of the simulation")),
            }
        }
        if self.ended.is_cancelled() {
            return Err(ClientError::transport("connect", "this component has ended"));
        }
        let Some(Running { server, up }) = self.running.get() else {
            return Err(ClientError::transport("connect", "no server runs"));
        };
        let sent = send(LocalConnection::new(server, self.user.clone()), request);
        let answer = self.ended.run_until_cancelled(up.run_until_cancelled(sent)).await.flatten();
        let answer = answer.ok_or_else(|| lost("the server or the component ended"))?;
        if let Some(faults) = &self.faults {
            pause(faults).await;
            if !is_answered || faults.loses_answer() {
                return Err(lost("a fault of the simulation"));
            }
        }
        answer
    }
}

async fn pause(faults: &ConnectionFaults) {
    let latency = faults.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

#[async_trait]
impl Connection for Wire {
    async fn call(&self, request: Request) -> Result<Response, ClientError> {
        self.carry(request, |server, request| Box::pin(async move { server.call(request).await })).await
    }

    async fn list(&self, request: Request) -> Result<ListPage, ClientError> {
        self.carry(request, |server, request| Box::pin(async move { server.list(request).await })).await
    }

    async fn watch(&self, request: Request) -> Result<WatchStream, ClientError> {
        let plural = request.target.resource.plural.to_string();
        let starts = request.query.iter().find(|(name, _)| name == "resourceVersion");
        let version = starts.and_then(|(_, version)| version.parse().ok()).unwrap_or(0);
        let broken = self.faults.as_ref().map(|faults| faults.epoch()).unwrap_or_default();
        let events = self
            .carry(request, |server, request| Box::pin(async move { server.watch(request).await }))
            .await?;
        let Some(Running { up, .. }) = self.running.get() else {
            return Err(ClientError::transport("read the answer", "no server runs"));
        };
        let journal = self.journal.clone();
        let cuts = [up, self.ended.clone(), broken];
        Ok(Watch { events, faults: self.faults.clone(), cuts, plural, version, journal }.into_stream())
    }

    async fn get_path(&self, path: &str, accept: &str) -> Result<Response, ClientError> {
        let Some(Running { server, .. }) = self.running.get() else {
            return Err(ClientError::transport("connect", "no server runs"));
        };
        if self.ended.is_cancelled() {
            return Err(ClientError::transport("connect", "this component has ended"));
        }
        LocalConnection::new(server, self.user.clone()).get_path(path, accept).await
    }

    async fn follow_served(&self) -> Result<ServedStream, ClientError> {
        let Some(Running { server, up }) = self.running.get() else {
            return Err(ClientError::transport("connect", "no server runs"));
        };
        let served = LocalConnection::new(server, self.user.clone()).follow_served().await?;
        let ended = self.ended.clone();
        Ok(Box::pin(served.take_until(async move {
            up.run_until_cancelled(ended.cancelled()).await;
        })))
    }

    async fn stream(&self, request: Request) -> Result<ByteStream, ClientError> {
        self.carry(request, |server, request| Box::pin(async move { server.stream(request).await })).await
    }
}
