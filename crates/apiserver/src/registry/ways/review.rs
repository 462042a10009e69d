//! Queries in the form of objects: who am I, may I, is this token valid.

use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::PolicyRule;
use object::{FieldSelector, Status, Value, value};
use schema::GroupResource;

use super::super::write::{Action, WriteRequest};
use super::super::{Answer, AnswerBody, Registry};
use super::{At, Way};
use crate::authn::Authenticator;
use crate::authz::node::node_of;
use crate::authz::{Attributes, Authorizer, Decision, Target};
use crate::user::User;

pub(super) const SELF_SUBJECT_REVIEWS: GroupResource<'static> =
    GroupResource::new("authentication.k8s.io", "selfsubjectreviews");
pub(super) const TOKEN_REVIEWS: GroupResource<'static> =
    GroupResource::new("authentication.k8s.io", "tokenreviews");
pub(super) const SUBJECT_ACCESS_REVIEWS: GroupResource<'static> =
    GroupResource::new("authorization.k8s.io", "subjectaccessreviews");
pub(super) const SELF_SUBJECT_ACCESS_REVIEWS: GroupResource<'static> =
    GroupResource::new("authorization.k8s.io", "selfsubjectaccessreviews");
pub(super) const SELF_SUBJECT_RULES_REVIEWS: GroupResource<'static> =
    GroupResource::new("authorization.k8s.io", "selfsubjectrulesreviews");

pub(super) struct Review;

#[async_trait]
impl Way for Review {
    async fn create(&self, at: &At<'_>, body: Value) -> Result<Answer, Status> {
        at.registry.act(at.endpoint, at.call, &at.reviewer, body).await
    }
}

/// What reviews are answered with.
#[derive(Clone, Copy)]
pub struct Reviewer<'a> {
    /// Decides.
    pub authorizer: &'a Authorizer,
    /// Knows tokens.
    pub authenticator: &'a Authenticator,
}

#[async_trait]
impl Action for Reviewer<'_> {
    async fn act(&self, _registry: &Registry, write: &WriteRequest<'_>) -> Result<Answer, Status> {
        let (endpoint, call, mut review) = (write.endpoint, write.call, write.object.clone());
        let status = match &*endpoint.def.kind {
            "SelfSubjectReview" => value!({"userInfo": user_info(call.user)}),
            "TokenReview" => self.token(&review),
            "SelfSubjectAccessReview" => self.access(call.user, review.get("spec"))?,
            "SubjectAccessReview" => self.access(&subject(review.get("spec"))?, review.get("spec"))?,
            "LocalSubjectAccessReview" => {
                let namespace = review.at("spec.resourceAttributes").str_at("namespace");
                if namespace != call.namespace {
                    return Err(Status::bad_request(format!(
                        "spec.resourceAttributes.namespace must match namespace: {}",
                        call.namespace
                    )));
                }
                self.access(&subject(review.get("spec"))?, review.get("spec"))?
            }
            "SelfSubjectRulesReview" => {
                let namespace = review.str_at("spec.namespace");
                if namespace.is_empty() {
                    return Err(Status::bad_request("no namespace on request"));
                }
                let mut status = rules(&self.authorizer.rbac.rules_of(call.user, namespace));
                if node_of(call.user).is_some() {
                    // What a node may depends on its pods.
                    status.set("incomplete", true);
                    status.set("evaluationError", "node authorizer does not support user rule resolution");
                }
                status
            }
            other => return Err(Status::method_not_supported(&endpoint.def.group, other, "create")),
        };
        review.entry("metadata");
        review.set("status", status);
        Ok(Answer::created(AnswerBody::Value(review)))
    }
}

impl Reviewer<'_> {
    fn token(&self, review: &Value) -> Value {
        let audiences: Vec<String> =
            review.at("spec.audiences").items().filter_map(Value::as_str).map(str::to_owned).collect();
        match self.authenticator.authenticate_token(review.str_at("spec.token"), &audiences) {
            Ok((user, audiences)) => {
                let audiences: Vec<Value> = audiences.into_iter().map(Value::from).collect();
                let mut status = value!({"authenticated": true, "user": user_info(&user)});
                if !audiences.is_empty() {
                    status.set("audiences", audiences);
                }
                status
            }
            Err(status) => value!({"authenticated": false, "error": status.message}),
        }
    }

    fn access(&self, user: &User, spec: &Value) -> Result<Value, Status> {
        let (resource, path) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
        let (verb, target) = match (resource.is_null(), path.is_null()) {
            (false, true) => {
                let target = Target::Resource {
                    group: resource.str_at("group"),
                    resource: resource.str_at("resource"),
                    subresource: resource.str_at("subresource"),
                    namespace: resource.str_at("namespace"),
                    name: resource.str_at("name"),
                };
                (resource.str_at("verb"), target)
            }
            (true, false) => (path.str_at("verb"), Target::Path(path.str_at("path"))),
            _ => {
                return Err(Status::bad_request(
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified",
                ));
            }
        };
        let fields = selector(resource.get("fieldSelector"));
        let what = Attributes { fields: fields.as_ref(), ..Attributes::new(verb, target) };
        Ok(match self.authorizer.authorize(user, &what) {
            Decision::Allowed(reason) if reason.is_empty() => value!({"allowed": true}),
            Decision::Allowed(reason) => value!({"allowed": true, "reason": reason}),
            Decision::NoOpinion(reason) if reason.is_empty() => value!({"allowed": false}),
            Decision::NoOpinion(reason) => value!({"allowed": false, "reason": reason}),
        })
    }
}

/// The field selector of a question, as a request would have it; `None` for one that cannot be read, with which nothing
/// more is allowed than without.
fn selector(selector: &Value) -> Option<FieldSelector> {
    let raw = selector.str_at("rawSelector");
    if !raw.is_empty() {
        return FieldSelector::parse(raw).ok();
    }
    selector.get("requirements").items().find_map(|requirement| {
        let mut values = requirement.get("values").items();
        match (requirement.str_at("operator"), values.next().and_then(Value::as_str), values.next()) {
            ("In", Some(value), None) => Some(FieldSelector::equal(requirement.str_at("key"), value)),
            _ => None,
        }
    })
}

fn subject(spec: &Value) -> Result<User, Status> {
    let mut user = User {
        name: spec.str_at("user").to_owned(),
        uid: spec.str_at("uid").to_owned(),
        groups: spec.get("groups").items().filter_map(Value::as_str).map(str::to_owned).collect(),
        ..User::default()
    };
    for (key, values) in spec.get("extra").entries() {
        let values = values.items().filter_map(Value::as_str).map(str::to_owned).collect();
        user.extra.insert(key.to_owned(), values);
    }
    if user.name.is_empty() && user.groups.is_empty() {
        return Err(Status::bad_request("at least one of user or group must be specified"));
    }
    Ok(user)
}

fn user_info(user: &User) -> Value {
    let strings =
        |list: &[String]| Value::from(list.iter().map(|s| Value::from(s.as_str())).collect::<Vec<_>>());
    let mut info = value!({"username": user.name.as_str(), "groups": strings(&user.groups)});
    if !user.uid.is_empty() {
        info.set("uid", user.uid.as_str());
    }
    for (key, values) in &user.extra {
        info.entry("extra").set(key.clone(), strings(values));
    }
    info
}

fn rules(rules: &[PolicyRule]) -> Value {
    let strings =
        |list: &[String]| Value::from(list.iter().map(|s| Value::from(s.as_str())).collect::<Vec<_>>());
    let (mut resource, mut other) = (Vec::new(), Vec::new());
    for rule in rules {
        if let Some(paths) = rule.non_resource_urls.as_deref().filter(|paths| !paths.is_empty()) {
            other.push(value!({"verbs": strings(&rule.verbs), "nonResourceURLs": strings(paths)}));
            continue;
        }
        let mut item = value!({"verbs": strings(&rule.verbs)});
        let lists = [
            ("apiGroups", &rule.api_groups),
            ("resources", &rule.resources),
            ("resourceNames", &rule.resource_names),
        ];
        for (name, list) in lists {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                item.set(name, strings(list));
            }
        }
        resource.push(item);
    }
    value!({"resourceRules": resource, "nonResourceRules": other, "incomplete": false})
}
