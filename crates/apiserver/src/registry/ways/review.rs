//! Queries in the form of objects: who am I, may I, is this token valid.

use async_trait::async_trait;
use object::{FieldRequirement, FieldSelector, Operator, Requirement, Selector, Status, Value, value};
use schema::GroupResource;

use super::super::write::{Action, WriteRequest};
use super::super::{Answer, AnswerBody, Registry, metadata};
use super::{At, Way};
use crate::authn::Authenticator;
use crate::authz::{Attributes, Chain, Decision, Rules, Target, aggregate};
use crate::user::User;

mod validation;

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

/// The data for answering reviews.
#[derive(Clone, Copy)]
pub struct Reviewer<'a> {
    /// Decides.
    pub authorizer: &'a Chain,
    /// Knows tokens.
    pub authenticator: &'a Authenticator,
}

#[async_trait]
impl Action for Reviewer<'_> {
    fn check(&self, write: &WriteRequest<'_>) -> Result<(), Status> {
        let def = &write.endpoint.def;
        if &*def.kind == "TokenReview" && write.object.str_at("spec.token").is_empty() {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        if !def.kind.ends_with("SubjectAccessReview") {
            return Ok(());
        }
        let mut review = write.object.clone();
        if write.endpoint.namespaced() {
            metadata::settle_namespace(write.endpoint, write.call, &mut review)?;
        }
        let errors = validation::validate(&def.kind, &review);
        if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&def.group, &def.kind, "", &errors)) }
    }

    async fn act(&self, _registry: &Registry, write: &WriteRequest<'_>) -> Result<Answer, Status> {
        let (endpoint, call, mut review) = (write.endpoint, write.call, write.object.clone());
        let status = match &*endpoint.def.kind {
            "SelfSubjectReview" => value!({"userInfo": user_info(call.user)}),
            "TokenReview" => self.token(&review),
            "SelfSubjectAccessReview" => self.access(call.user, review.get("spec")).await,
            "SubjectAccessReview" | "LocalSubjectAccessReview" => {
                self.access(&subject(review.get("spec")), review.get("spec")).await
            }
            "SelfSubjectRulesReview" => {
                let namespace = review.str_at("spec.namespace");
                if namespace.is_empty() {
                    return Err(Status::bad_request("no namespace on request"));
                }
                rules(&self.authorizer.rules_of(call.user, namespace))
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

    async fn access(&self, user: &User, spec: &Value) -> Value {
        let (resource, path) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
        let (verb, target) = if resource.is_null() {
            (path.str_at("verb"), Target::Path(path.str_at("path")))
        } else {
            let target = Target::Resource {
                group: resource.str_at("group"),
                version: resource.str_at("version"),
                resource: resource.str_at("resource"),
                subresource: resource.str_at("subresource"),
                namespace: resource.str_at("namespace"),
                name: resource.str_at("name"),
            };
            (resource.str_at("verb"), target)
        };
        let (fields, bad_fields) = selector(resource.get("fieldSelector"), FieldSelector::parse, fields);
        let (labels, bad_labels) = selector(resource.get("labelSelector"), Selector::parse, labels);
        let what = Attributes {
            fields: fields.as_ref(),
            labels: labels.as_ref(),
            ..Attributes::new(user, verb, target)
        };
        let ruling = self.authorizer.authorize(&what).await;
        let mut status = value!({"allowed": (ruling.is_allowed())});
        if matches!(ruling.decision, Decision::Deny(_)) {
            status.set("denied", true);
        }
        if !ruling.reason().is_empty() {
            status.set("reason", ruling.reason());
        }
        let failure = Some(ruling.failure()).filter(|failure| !failure.is_empty());
        let ignored = |member: &str, how: Option<&str>| {
            Some(format!("spec.resourceAttributes.{member} {} due to parse error", how?))
        };
        let errors = [failure, ignored("fieldSelector", bad_fields), ignored("labelSelector", bad_labels)];
        let errors: Vec<String> = errors.into_iter().flatten().collect();
        if !errors.is_empty() {
            status.set("evaluationError", errors.join("; "));
        }
        status
    }
}

/// What of a selector cannot be used, if anything.
type Ignored = Option<&'static str>;

/// The selector of a question, as a request would have it. Nothing more is allowed without a part that cannot be read than
/// with it, so that such parts are left out.
fn selector<S, E>(
    selector: &Value,
    parse: fn(&str) -> Result<S, E>,
    build: fn(&[Value]) -> (Option<S>, bool),
) -> (Option<S>, Ignored) {
    const NOTHING_LEFT: Ignored = Some("ignored");
    let raw = selector.str_at("rawSelector");
    if !raw.is_empty() {
        return parse(raw).map_or((None, NOTHING_LEFT), |read| (Some(read), None));
    }
    let requirements = selector.get("requirements").as_list().unwrap_or_default();
    if requirements.is_empty() {
        return (None, None);
    }
    match build(requirements) {
        (Some(read), true) => (Some(read), None),
        (Some(read), false) => (Some(read), Some("partially ignored")),
        (None, _) => (None, NOTHING_LEFT),
    }
}

/// Fields are compared with one value each; also returns whether there were no other requirements.
fn fields(requirements: &[Value]) -> (Option<FieldSelector>, bool) {
    let mut terms = Vec::new();
    for requirement in requirements {
        let mut values = requirement.get("values").items();
        let equal = match requirement.str_at("operator") {
            "In" => true,
            "NotIn" => false,
            _ => continue,
        };
        if let (Some(value), None) = (values.next().and_then(Value::as_str), values.next()) {
            let (field, value) = (requirement.str_at("key").to_owned(), value.to_owned());
            terms.push(FieldRequirement { field, value, equal });
        }
    }
    let is_whole = terms.len() == requirements.len();
    ((!terms.is_empty()).then(|| FieldSelector::new(terms)), is_whole)
}

fn labels(requirements: &[Value]) -> (Option<Selector>, bool) {
    let terms = requirements.iter().filter_map(|requirement| {
        let operator = match requirement.str_at("operator") {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        let values = requirement.get("values").items().filter_map(Value::as_str).map(str::to_owned);
        Requirement::new(requirement.str_at("key"), operator, values.collect()).ok()
    });
    let terms: Vec<Requirement> = terms.collect();
    let is_whole = terms.len() == requirements.len();
    ((!terms.is_empty()).then(|| Selector::new(terms)), is_whole)
}

fn subject(spec: &Value) -> User {
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
    user
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

fn rules(all: &Rules) -> Value {
    let strings =
        |list: &[String]| Value::from(list.iter().map(|s| Value::from(s.as_str())).collect::<Vec<_>>());
    let (mut resource, mut other) = (Vec::new(), Vec::new());
    for rule in &all.rules {
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
    let incomplete = all.incomplete;
    let mut status = value!({"resourceRules": resource, "nonResourceRules": other, "incomplete": incomplete});
    if !all.errors.is_empty() {
        status.set("evaluationError", aggregate(all.errors.iter().map(|error| &**error)));
    }
    status
}
