//! Health: `/healthz`, `/livez` and `/readyz`, whole or one check of them (upstream: `apiserver/pkg/server/healthz`).

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::ApiServer;
use crate::body::{self, Body};
use crate::request::Parameters;

/// The checks of every endpoint ...
const OF_ALL: [&str; 6] = [
    "ping",
    "log",
    "etcd",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
];
/// ... and those only for readiness: a server on a full disk is live, but not ready.
const OF_READINESS: [&str; 3] = ["etcd-readiness", "informer-sync", "storage-space"];

/// A parsed path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Health<'a> {
    /// `healthz`, `livez` or `readyz`
    endpoint: &'static str,
    /// One check; empty for all.
    check: &'a str,
}

impl Health<'_> {
    /// Parses a path; `None` for other paths.
    pub(super) fn of(path: &str) -> Option<Health<'_>> {
        ["healthz", "livez", "readyz"].into_iter().find_map(|endpoint| {
            let rest = path.strip_prefix('/')?.strip_prefix(endpoint)?;
            let check = if rest.is_empty() { rest } else { rest.strip_prefix('/')? };
            Some(Health { endpoint, check })
        })
    }
}

impl ApiServer {
    /// `ok` if all checks pass; each check by name if the request is verbose or a check fails. `None` for an unknown
    /// check.
    pub(super) async fn health(
        &self,
        health: &Health<'_>,
        parameters: &Parameters,
    ) -> Option<Response<Body>> {
        let Health { endpoint, check } = *health;
        let of_readiness: &[&str] = if endpoint == "readyz" { &OF_READINESS } else { &[] };
        let names: Vec<&str> = OF_ALL.iter().chain(of_readiness).copied().collect();
        if !check.is_empty() {
            names.contains(&check).then_some(())?;
            let failure = self.failure(check).await;
            let text =
                failure.map_or_else(|| "ok".to_owned(), |why| format!("internal server error: {why}\n"));
            return Some(plain(failure.is_none(), text));
        }
        let excluded: Vec<&str> = parameters.all("exclude").filter(|name| !name.is_empty()).collect();
        let (mut text, mut is_healthy) = (String::new(), true);
        for name in &names {
            if excluded.contains(name) {
                text.push_str(&format!("[+]{name} excluded: ok\n"));
                continue;
            }
            match self.failure(name).await {
                None => text.push_str(&format!("[+]{name} ok\n")),
                Some(why) => {
                    is_healthy = false;
                    // Only problems that people can fix are shown to everyone.
                    let why = if *name == "storage-space" { why } else { "reason withheld" };
                    text.push_str(&format!("[-]{name} failed: {why}\n"));
                }
            }
        }
        let unknown: Vec<String> =
            excluded.iter().filter(|name| !names.contains(name)).map(|name| object::quote(name)).collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            text.push_str(&format!(
                "warn: some health checks cannot be excluded: no matches for {unknown}\n"
            ));
        }
        let verdict = if is_healthy { "passed" } else { "failed" };
        text.push_str(&format!("{endpoint} check {verdict}\n"));
        let is_asked = parameters.get("verbose").is_some() || !is_healthy;
        Some(plain(is_healthy, if is_asked { text } else { "ok".to_owned() }))
    }

    /// Why a check fails; `None` if it passes. Checks of the start always pass, because requests are served only
    /// afterwards.
    async fn failure(&self, check: &str) -> Option<&'static str> {
        let hub = &self.registry.hub;
        match check {
            "etcd" | "etcd-readiness" if hub.store().current_revision().await.is_err() => {
                Some("the store does not answer")
            }
            "informer-sync" if hub.catch_up().await.is_err() => Some("the cache does not follow the store"),
            "storage-space" if hub.store().is_full() => Some("the disk is full, only deletions are accepted"),
            _ => None,
        }
    }
}

fn plain(is_healthy: bool, text: String) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    if !is_healthy {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
