//! Paths that are not resources: health, metrics, version, discovery, OpenAPI.

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Request, Response};
use object::{Status, Value, value};

use super::health::Health;
use crate::body::{self, Body};
use crate::discovery::Documents;
use crate::errors::not_served;
use crate::request::RequestInfo;
use crate::user::User;
use crate::{ApiServer, Build, KUBERNETES_VERSION, TOKEN_ISSUER};

impl ApiServer {
    pub(crate) async fn path<B>(
        &self,
        user: &User,
        info: &RequestInfo,
        request: &Request<B>,
    ) -> Result<Response<Body>, Status> {
        self.authorize(user, info).await?;
        if !super::is_safe(request.method()) {
            return Err(Status::method_not_allowed());
        }
        match info.path.trim_end_matches('/') {
            "" => Ok(json(&self.path_list())),
            "/version" => Ok(json(&version(&self.build))),
            path if Health::of(path).is_some() => {
                let health = Health::of(path).ok_or_else(not_served)?;
                self.health(&health, &info.parameters).await.ok_or_else(not_served)
            }
            "/openid/v1/jwks" => {
                Ok(json_as(&self.registry.secrets.tokens.key_set(), "application/jwk-set+json"))
            }
            "/metrics" => Ok(self.exposition(request.headers())),
            "/.well-known/openid-configuration" => Ok(json(&value!({
                "issuer": TOKEN_ISSUER,
                "jwks_uri": format!("{TOKEN_ISSUER}/openid/v1/jwks"),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": self.registry.secrets.tokens.algorithms()
            }))),
            path if path == "/api"
                || path == "/apis"
                || path.starts_with("/api/")
                || path.starts_with("/apis/") =>
            {
                self.discovery().answer(path, request.headers())?.ok_or_else(not_served)
            }
            path if path.starts_with("/openapi/") => {
                let catalogue = Arc::clone(&self.registry.catalogue.load());
                let (hash, headers) = (info.parameters.get("hash"), request.headers());
                let answer = || self.openapi.answer(&catalogue, path, hash, headers);
                let is_made = self.openapi.are_made(&catalogue, path);
                self.overload.document(is_made, answer).await?.ok_or_else(not_served)
            }
            _ => Err(not_served()),
        }
    }

    /// The metrics of this process, in the format that the scraper requests.
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

    /// The discovery of the current generation.
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
}

/// The version, in the order of upstream's fields. It emulates itself, and clusters may contain parts of one version before.
fn version(build: &Build) -> Value {
    let number = KUBERNETES_VERSION.trim_start_matches('v');
    let mut parts = number.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let before = minor.parse::<u32>().map_or_else(|_| String::new(), |minor| (minor - 1).to_string());
    value!({
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": before,
        "gitVersion": format!("{KUBERNETES_VERSION}+ironhull{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": build.commit,
        "gitTreeState": build.tree_state,
        "buildDate": build.date,
        "goVersion": build.toolchain,
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" })
    })
}

/// A plain JSON response.
pub(super) fn json(value: &Value) -> Response<Body> {
    json_as(value, "application/json")
}

/// A JSON response with its own media type.
fn json_as(value: &Value, media: &'static str) -> Response<Body> {
    let mut response = Response::new(body::full(object::json::to_bytes(value)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_tells_what_the_program_was_built_from() {
        let build = Build {
            commit: "0123abcd",
            tree_state: "clean",
            date: "2027-01-15T08:00:00Z",
            toolchain: "rust1.95.0",
        };
        let version = version(&build);
        for (field, expected) in [
            ("gitCommit", "0123abcd"),
            ("gitTreeState", "clean"),
            ("buildDate", "2027-01-15T08:00:00Z"),
            ("goVersion", "rust1.95.0"),
            ("compiler", "rustc"),
        ] {
            assert_eq!(version.str_at(field), expected, "{field}");
        }
        let own = format!("{KUBERNETES_VERSION}+ironhull{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(version.str_at("gitVersion"), own);
    }
}
