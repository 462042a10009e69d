//! Access to the node API: certificates authenticate the client, and the API server authorizes it.

use std::collections::HashMap;
use std::time::Duration;

use client::Client;
use http::Method;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use object::{Reason, Status};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

/// Members of this group may do everything.
const MASTERS: &str = "system:masters";
/// How long answers are cached (upstream's defaults).
const ALLOWED_FOR: Duration = Duration::from_secs(300);
const DENIED_FOR: Duration = Duration::from_secs(30);
/// The maximum number of cached answers.
const ANSWERS_MAX: usize = 1024;

/// The user: the certificate's common name, and its organizations as groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct User {
    name: String,
    groups: Vec<String>,
}

impl User {
    /// The user that a verified certificate names.
    pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<User> {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|group| Some(group.as_str().ok()?.to_owned()));
        Some(User { name, groups: groups.collect() })
    }

    /// Whether it may do everything.
    pub(super) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    user: User,
    verb: &'static str,
    subresource: &'static str,
}

/// Asks the API server and caches its answers.
pub(super) struct Authorizer {
    client: Client,
    node: String,
    answers: Mutex<HashMap<Question, (bool, Instant)>>,
}

impl Authorizer {
    pub(super) fn new(client: Client, node: String) -> Authorizer {
        Authorizer { client, node, answers: Mutex::default() }
    }

    /// Refuses requests that the user is not allowed to make.
    pub(super) async fn check(&self, user: &User, method: &Method, path: &str) -> Result<(), Status> {
        if user.is_master() {
            return Ok(());
        }
        let verb = verb(method);
        for subresource in subresources(path) {
            if self.is_allowed(Question { user: user.clone(), verb, subresource }).await? {
                return Ok(());
            }
        }
        let subresource = subresources(path).last().copied().unwrap_or("proxy");
        let message = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])",
            user.name
        );
        Err(Status::failure(Reason::Forbidden, message))
    }

    async fn is_allowed(&self, question: Question) -> Result<bool, Status> {
        let now = Instant::now();
        if let Some((allowed, until)) = self.answers.lock().get(&question).copied()
            && until > now
        {
            return Ok(allowed);
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(question.user.name.clone()),
                groups: Some(question.user.groups.clone()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(question.verb.to_owned()),
                    version: Some("v1".to_owned()),
                    resource: Some("nodes".to_owned()),
                    subresource: Some(question.subresource.to_owned()),
                    name: Some(self.node.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = self.client.create(&review).await;
        let answer =
            answer.map_err(|error| Status::internal_error(format!("Authorization error: {error}")))?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        let until = now + if allowed { ALLOWED_FOR } else { DENIED_FOR };
        let mut answers = self.answers.lock();
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (_, until)| *until > now);
        }
        answers.insert(question, (allowed, until));
        Ok(allowed)
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// The subresources of nodes that stand for a path; one that is allowed is enough (KEP-2862).
fn subresources(path: &str) -> &'static [&'static str] {
    let is = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
    match path {
        _ if is("/stats") => &["stats"],
        _ if is("/metrics") => &["metrics"],
        _ if is("/healthz") => &["healthz", "proxy"],
        _ if is("/configz") => &["configz", "proxy"],
        _ if is("/pods") || is("/runningpods") => &["pods", "proxy"],
        // The name of the subresource of pods.
        _ if is("/logs") => &["log"],
        _ => &["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_their_subresources() {
        assert_eq!(subresources("/stats/summary"), ["stats"]);
        assert_eq!(subresources("/pods"), ["pods", "proxy"]);
        assert_eq!(subresources("/podsx"), ["proxy"]);
        assert_eq!(subresources("/runningpods/"), ["pods", "proxy"]);
        assert_eq!(
            (subresources("/logs/"), subresources("/configz")),
            (&["log"][..], &["configz", "proxy"][..])
        );
        assert_eq!(subresources("/exec/a/b/c"), ["proxy"]);
        assert_eq!((verb(&Method::GET), verb(&Method::POST)), ("get", "create"));
    }
}
