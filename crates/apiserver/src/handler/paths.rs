//! Paths that are not resources: health, metrics, version, discovery, OpenAPI.

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use object::{Status, Value, value};

use crate::body::{self, Body};
use crate::discovery::Documents;
use crate::errors::not_served;
use crate::request::RequestInfo;
use crate::user::User;
use crate::{ApiServer, KUBERNETES_VERSION, TOKEN_ISSUER};

impl ApiServer {
    pub(crate) async fn path<B>(
        &self,
        user: &User,
        info: &RequestInfo,
        request: &Request<B>,
    ) -> Result<Response<Body>, Status> {
        self.authorize(user, info).await?;
        if !super::is_safe(request.method()) {
            return Err(Status::method_not_supported("", "", &info.verb));
        }
        match info.path.trim_end_matches('/') {
            "" => Ok(json(&self.path_list())),
            "/version" => Ok(json(&version())),
            "/healthz" | "/livez" | "/readyz" | "/healthz/ping" | "/livez/ping" | "/readyz/ping" => {
                Ok(self.health(&info.path, info.parameters.get("verbose").is_some()).await)
            }
            "/metrics" => Ok(self.exposition(request.headers())),
            "/.well-known/openid-configuration" => Ok(json(&value!({
                "issuer": TOKEN_ISSUER,
                "jwks_uri": format!("{TOKEN_ISSUER}/openid/v1/jwks"),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"]
            }))),
            path if path == "/api"
                || path == "/apis"
                || path.starts_with("/api/")
                || path.starts_with("/apis/") =>
            {
                self.discovery().answer(path, request.headers())?.ok_or_else(not_served)
            }
            path if path.starts_with("/openapi/") => self
                .openapi
                .answer(
                    &self.registry.catalogue.load(),
                    path,
                    info.parameters.get("hash"),
                    request.headers(),
                )?
                .ok_or_else(not_served),
            _ => Err(not_served()),
        }
    }

    /// What this process measures, in the format that the scraper asks for.
    fn exposition(&self, headers: &HeaderMap) -> Response<Body> {
        let accepts = |accept: &HeaderValue| {
            accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text"))
        };
        let (text, form) = if headers.get(ACCEPT).is_some_and(accepts) {
            (self.exposition.open_metrics(), metrics::OPEN_METRICS)
        } else {
            (self.exposition.text(), metrics::TEXT)
        };
        let mut response = Response::new(body::full(text));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form));
        response
    }

    /// The discovery of the present generation.
    fn discovery(&self) -> Arc<Documents> {
        self.discovery.get(&self.registry.catalogue.load(), Documents::new)
    }

    fn path_list(&self) -> Value {
        let mut paths = self.discovery().paths();
        for path in ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"] {
            paths.push(path.to_owned());
        }
        paths.sort();
        value!({"paths": paths.into_iter().map(Value::from).collect::<Vec<_>>()})
    }

    /// `ok` where the store answers and the cache follows it; each check by name for those who ask verbosely or
    /// where one fails. A server on a full disk lives, but is not ready.
    async fn health(&self, path: &str, verbose: bool) -> Response<Body> {
        let hub = &self.registry.hub;
        let store = hub.store().current_revision().await;
        let cache = hub.catch_up().await;
        let has_space = !path.starts_with("/readyz") || !hub.store().is_full();
        let checks = [
            ("ping", true),
            ("etcd", store.is_ok()),
            ("informer-sync", cache.is_ok()),
            ("storage-space", has_space),
        ];
        let is_healthy = checks.iter().all(|(_, passed)| *passed);
        let mut text = String::new();
        if verbose || !is_healthy {
            for (name, passed) in checks {
                let line = match (passed, name) {
                    (true, _) => format!("[+]{name} ok\n"),
                    (false, "storage-space") => {
                        format!("[-]{name} failed: the disk is full, only deletions are accepted\n")
                    }
                    (false, _) => format!("[-]{name} failed: reason withheld\n"),
                };
                text.push_str(&line);
            }
            text.push_str(if is_healthy { "healthz check passed\n" } else { "healthz check failed\n" });
        } else {
            text.push_str("ok");
        }
        let mut response = Response::new(body::full(text));
        if !is_healthy {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

fn version() -> Value {
    let number = KUBERNETES_VERSION.trim_start_matches('v');
    let mut parts = number.split('.');
    value!({
        "major": parts.next().unwrap_or_default(),
        "minor": parts.next().unwrap_or_default(),
        "gitVersion": format!("{KUBERNETES_VERSION}+ironhull{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" })
    })
}

/// A plain JSON answer.
pub(super) fn json(value: &Value) -> Response<Body> {
    let mut response = Response::new(body::full(object::json::to_bytes(value)));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
