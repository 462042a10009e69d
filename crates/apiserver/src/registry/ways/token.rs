//! `token` of service accounts: the server signs a token.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value, field, value};

use super::super::write::{Action, WriteRequest};
use super::super::{Answer, AnswerBody, Call, Registry};
use super::{At, Way};
use crate::tokens::{Bound, TokenRequest, TokenSigner};

/// How long a token holds unless the client says how long, in seconds.
const SECONDS: i64 = 3600;

const GROUP: &str = "authentication.k8s.io";

/// The registry's signer.
pub struct Secrets {
    /// Signs tokens of service accounts.
    pub tokens: Arc<TokenSigner>,
}

pub(super) struct Token;

#[async_trait]
impl Way for Token {
    async fn create(&self, at: &At<'_>, body: Value) -> Result<Answer, Status> {
        at.registry.act(at.endpoint, at.call, self, body).await
    }
}

#[async_trait]
impl Action for Token {
    fn check(&self, write: &WriteRequest<'_>) -> Result<(), Status> {
        let root = field::Path::root("metadata");
        for (member, of_path) in [("name", write.call.name), ("namespace", write.call.namespace)] {
            let given = write.object.get("metadata").str_at(member);
            if !given.is_empty() && given != of_path {
                let why = format!("must match the service account {member} if specified");
                let error = field::Error::invalid(&root.child(member), given, why);
                return Err(Status::invalid(GROUP, "TokenRequest", write.call.name, &error.into()));
            }
        }
        let seconds = seconds(&write.object);
        let why = if seconds < 600 {
            "may not specify a duration less than 10 minutes"
        } else if seconds > 1 << 32 {
            "may not specify a duration larger than 2^32 seconds"
        } else {
            return Ok(());
        };
        let spec = field::Path::root("spec");
        let error = field::Error::invalid(&spec.child("expirationSeconds"), seconds, why);
        Err(Status::invalid(GROUP, "TokenRequest", "", &error.into()))
    }

    async fn act(&self, registry: &Registry, write: &WriteRequest<'_>) -> Result<Answer, Status> {
        let (endpoint, call, request) = (write.endpoint, write.call, &write.object);
        let collection = endpoint.stored("get")?;
        let account = registry.current(endpoint, collection, call.namespace, call.name).await?;
        let seconds = seconds(request);
        let bound = bound_object(registry, call, request.at("spec.boundObjectRef")).await?;
        let audiences = request.at("spec.audiences").items().filter_map(Value::as_str).map(str::to_owned);
        let token = TokenRequest {
            namespace: call.namespace.to_owned(),
            name: call.name.to_owned(),
            uid: account.uid().as_str().to_owned(),
            audiences: audiences.collect(),
            seconds,
            bound,
        };
        let signed = registry.secrets.tokens.sign(token, &registry.clock).map_err(Status::internal_error)?;
        let mut answer = request.clone();
        answer.set("kind", "TokenRequest");
        answer.set("apiVersion", "authentication.k8s.io/v1");
        let metadata = answer.entry("metadata");
        metadata.set("name", call.name);
        metadata.set("namespace", call.namespace);
        metadata.set("creationTimestamp", registry.clock.now_seconds().to_string());
        let spec = answer.entry("spec");
        spec.set("expirationSeconds", seconds);
        let audiences = signed.audiences.iter().map(|audience| Value::from(audience.as_str()));
        spec.set("audiences", audiences.collect::<Vec<_>>());
        answer.set(
            "status",
            value!({"token": signed.token, "expirationTimestamp": signed.expires.to_string()}),
        );
        Ok(Answer::created(AnswerBody::Value(answer)))
    }
}

fn seconds(request: &Value) -> i64 {
    request.at("spec.expirationSeconds").as_i64().unwrap_or(SECONDS)
}

/// The object that a token is bound to: the token ends with it.
async fn bound_object(
    registry: &Registry,
    call: &Call<'_>,
    reference: &Value,
) -> Result<Option<Bound>, Status> {
    if reference.is_null() {
        return Ok(None);
    }
    let (kind, name) = (reference.str_at("kind"), reference.str_at("name"));
    let version = reference.str_at("apiVersion");
    let (plural, namespace) = match (version, kind) {
        ("v1" | "", "Pod") => ("pods", call.namespace),
        ("v1" | "", "Secret") => ("secrets", call.namespace),
        ("v1" | "", "Node") => ("nodes", ""),
        _ => {
            let why = format!("cannot bind token to object of type {version}, Kind={kind}");
            return Err(Status::bad_request(why));
        }
    };
    let endpoint = registry.endpoint("", "v1", plural).ok_or_else(|| Status::not_found("", plural, name))?;
    let collection = endpoint.stored("get")?;
    let object = registry.current(&endpoint, collection, namespace, name).await?;
    let uid = reference.str_at("uid");
    if !uid.is_empty() && uid != object.uid().as_str() {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(endpoint.conflict(name, &why));
    }
    if kind == "Pod" && object.value().str_at("spec.serviceAccountName") != call.name {
        let why = format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            call.name
        );
        return Err(Status::bad_request(why));
    }
    let node = (kind == "Pod").then(|| object.value().str_at("spec.nodeName").to_owned());
    Ok(Some(Bound {
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: object.uid().as_str().to_owned(),
        node: node.filter(|node| !node.is_empty()),
    }))
}
