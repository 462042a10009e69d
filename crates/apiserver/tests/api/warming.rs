//! While the cache is read again, requests that would wait for it are told to come back (KEP-4568).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apiserver::testing::TestServer;
use async_trait::async_trait;
use futures::StreamExt;
use object::Value;
use store::{
    Embedded, KeyRange, LeaseId, RangeRequest, RangeResponse, Revision, Store, StoreError, WatchRequest,
    WatchStream, Write, WriteOutcome,
};
use tokio_util::sync::CancellationToken;

use crate::support::*;

/// A store whose watch breaks, and which is then not read as a whole until it is mended.
struct Breaking {
    inner: Embedded,
    breaks: CancellationToken,
    mends: CancellationToken,
}

#[async_trait]
impl Store for Breaking {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        if request.range == KeyRange::prefix("/registry/") && self.breaks.is_cancelled() {
            self.mends.cancelled().await;
        }
        self.inner.range(request).await
    }
    async fn write(&self, write: Write) -> Result<WriteOutcome, StoreError> {
        self.inner.write(write).await
    }
    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        let events = self.inner.watch(request).await?;
        if self.breaks.is_cancelled() {
            return Ok(events);
        }
        Ok(events.take_until(self.breaks.clone().cancelled_owned()).boxed())
    }
    async fn request_progress(&self) -> Result<(), StoreError> {
        self.inner.request_progress().await
    }
    async fn current_revision(&self) -> Result<Revision, StoreError> {
        self.inner.current_revision().await
    }
    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.inner.compact(revision).await
    }
    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.inner.grant_lease(ttl).await
    }
    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.keep_lease_alive(lease).await
    }
    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.revoke_lease(lease).await
    }
    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.inner.backup(path).await
    }
}

#[tokio::test]
async fn a_cache_that_is_read_again_sends_clients_away_for_a_while() {
    let (breaks, mends) = (CancellationToken::new(), CancellationToken::new());
    let inner = Embedded::in_memory(clock::Clock::system());
    let store = Breaking { inner, breaks: breaks.clone(), mends: mends.clone() };
    let server = TestServer::over(Arc::new(store), &["10.43.0.0/16"]).await;
    let mut made = Value::Null;
    for name in ["a", "b"] {
        made = call(&server, "POST", CONFIG_MAPS, &config_map(name, &[])).await.success();
    }
    server.registry.hub.catch_up().await.unwrap();
    let version = made.str_at("metadata.resourceVersion");
    let mut open = Watch::open(&server, &format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}")).await;
    breaks.cancel();
    let until = async |is_warm: bool| {
        while server.registry.hub.check_warm().is_ok() != is_warm {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WITHIN, until(false)).await.expect("the hub notices that the watch ended");
    let selector = "labelSelector=app%3Dweb";
    let minimum = format!("resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    for query in [
        "",
        "watch=1",
        &format!("watch=1&resourceVersion={version}"),
        &minimum,
        &format!("limit=1&{selector}"),
    ] {
        let refused = get(&server, &format!("{CONFIG_MAPS}?{query}")).await;
        let (code, reason, message) = refused.status();
        assert_eq!(
            (code, &*reason, &*message),
            (429, "TooManyRequests", "storage is (re)initializing"),
            "{query}"
        );
        assert_eq!(refused.headers["retry-after"], "1", "{query}");
    }
    // What does not wait for the cache goes on: any state, single objects, short pages and writes.
    let any = get(&server, &format!("{CONFIG_MAPS}?resourceVersion=0")).await.success();
    assert_eq!(any.get("items").items().count(), 2);
    get(&server, &format!("{CONFIG_MAPS}/a")).await.success();
    get(&server, &format!("{CONFIG_MAPS}/a?resourceVersion={version}")).await.success();
    let made = call(&server, "POST", CONFIG_MAPS, &config_map("c", &[])).await.success();
    let page = get(&server, &format!("{CONFIG_MAPS}?limit=2")).await.success();
    assert_eq!(page.at("metadata.remainingItemCount").as_i64(), Some(1));
    let shown: u64 = page.str_at("metadata.resourceVersion").parse().unwrap();
    assert!(
        shown >= made.str_at("metadata.resourceVersion").parse().unwrap(),
        "it is no older than the write"
    );

    mends.cancel();
    tokio::time::timeout(WITHIN, until(true)).await.expect("everything is read again");
    let list = get(&server, CONFIG_MAPS).await.success();
    assert_eq!(list.get("items").items().count(), 3);
    // Watches from before cannot know what they missed.
    let ended = open.next().await.unwrap();
    assert_eq!((ended.str_at("type"), ended.at("object.code").as_i64()), ("ERROR", Some(410)));
}
