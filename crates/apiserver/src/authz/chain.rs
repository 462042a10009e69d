//! The authorizers, one after the other (upstream: `authorizer/union`).

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, EncodeLabelSet, Family};
use object::{Status, quote};

use super::attributes::{ANY_VERSION, Attributes, Target};
use super::authorizer::{Authorizer, BoxError, Decision, OnFailure, Reply, Rules, aggregate};
use crate::errors::internal;
use crate::user::User;

#[cfg(test)]
mod tests;

/// Why an authorizer has not decided.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizerError {
    /// It failed.
    #[error("authorizer {0} cannot decide")]
    Failed(String, #[source] BoxError),
    /// It did not answer in time.
    #[error("authorizer {0} has not answered within {1:?}")]
    Late(String, Duration),
}

/// The chain's decision, and the members that failed.
#[derive(Debug)]
pub struct Ruling {
    /// The decision.
    pub decision: Decision,
    /// For an allowed or denied request, only the reason of the deciding member.
    pub errors: Vec<AuthorizerError>,
}

/// The deciding member, and its decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Decider {
    r#type: &'static str,
    name: String,
    decision: &'static str,
}

/// A member, with the number of its decisions.
struct Member {
    authorizer: Arc<dyn Authorizer>,
    allowed: Counter,
    denied: Counter,
}

impl Member {
    fn new(authorizer: Arc<dyn Authorizer>, decisions: &Family<Decider, Counter>) -> Member {
        let counter = |decision| {
            let (r#type, name) = (authorizer.kind(), authorizer.name().to_owned());
            decisions.get_or_create_owned(&Decider { r#type, name, decision })
        };
        Member { allowed: counter("allowed"), denied: counter("denied"), authorizer }
    }

    /// Its decision, or the effect of its failure.
    async fn ask(&self, what: &Attributes<'_>) -> (Decision, Option<AuthorizerError>) {
        let answer = match self.authorizer.authorize(what) {
            Reply::Now(decision) => return (decision, None),
            Reply::Later(answer) => answer,
        };
        let patience = self.authorizer.patience();
        let error = match tokio::time::timeout(patience, answer).await {
            Ok(Ok(decision)) => return (decision, None),
            Ok(Err(error)) => AuthorizerError::Failed(self.title(), error),
            Err(_elapsed) => AuthorizerError::Late(self.title(), patience),
        };
        let decide = match self.authorizer.on_failure() {
            OnFailure::NoOpinion => Decision::NoOpinion,
            OnFailure::Deny => Decision::Deny,
        };
        (decide(Arc::default()), Some(error))
    }

    fn title(&self) -> String {
        let (kind, name) = (self.authorizer.kind(), self.authorizer.name());
        if name.is_empty() { kind.to_owned() } else { format!("{kind} {}", quote(name)) }
    }
}

/// The authorizers in their order. The first that allows or denies decides; requests that none allows are refused.
pub struct Chain {
    members: Vec<Member>,
    decisions: Family<Decider, Counter>,
}

impl Chain {
    /// A chain of these members.
    pub fn new(members: Vec<Arc<dyn Authorizer>>) -> Chain {
        let decisions = Family::default();
        let members = members.into_iter().map(|member| Member::new(member, &decisions)).collect();
        Chain { members, decisions }
    }

    /// How often each member has decided.
    pub(crate) fn decisions(&self) -> &Family<Decider, Counter> {
        &self.decisions
    }

    /// Decides about an action. Dropping the future stops the member being asked.
    pub async fn authorize(&self, what: &Attributes<'_>) -> Ruling {
        let (mut reasons, mut errors) = (Vec::<Arc<str>>::new(), Vec::new());
        for member in &self.members {
            let (decision, error) = member.ask(what).await;
            let reason = match decision {
                Decision::NoOpinion(reason) => reason,
                decided => {
                    let is_allowed = matches!(decided, Decision::Allow(_));
                    if is_allowed { &member.allowed } else { &member.denied }.inc();
                    return Ruling { decision: decided, errors: error.into_iter().collect() };
                }
            };
            if !reason.is_empty() {
                reasons.push(reason);
            }
            errors.extend(error);
        }
        Ruling { decision: Decision::NoOpinion(reasons.join("\n").into()), errors }
    }

    /// Everything that the members allow a user in a namespace, as far as they can list it.
    pub fn rules_of(&self, user: &User, namespace: &str) -> Rules {
        let mut all = Rules::default();
        for member in &self.members {
            let Rules { rules, incomplete, errors } = member.authorizer.rules_of(user, namespace);
            all.rules.extend(rules);
            all.incomplete |= incomplete;
            all.errors.extend(errors);
        }
        all
    }

    /// Whether the user may do this for a signer of certificates: for this signer, or for all of its domain.
    pub async fn may_for_signer(&self, user: &User, verb: &str, signer: &str) -> bool {
        let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
        for name in [signer, &domain] {
            let (group, version, resource) = ("certificates.k8s.io", ANY_VERSION, "signers");
            let target = Target::Resource { group, version, resource, subresource: "", namespace: "", name };
            if self.authorize(&Attributes::new(user, verb, target)).await.is_allowed() {
                return true;
            }
        }
        false
    }

    /// Refuses an action that no member allows the user.
    ///
    /// # Errors
    /// 403 in upstream's words; 500 if a member failed that might have allowed it.
    pub async fn demand(&self, what: &Attributes<'_>) -> Result<(), Status> {
        self.authorize(what).await.demand(what)
    }
}

impl Ruling {
    /// Whether it is allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self.decision, Decision::Allow(_))
    }

    /// The reason, if there is one.
    pub fn reason(&self) -> &str {
        let (Decision::Allow(reason) | Decision::Deny(reason) | Decision::NoOpinion(reason)) = &self.decision;
        reason
    }

    /// The errors, as one line with all causes; empty if there are none.
    pub fn failure(&self) -> String {
        let messages: Vec<String> = self.errors.iter().map(|error| causes::chain(error)).collect();
        aggregate(messages.iter().map(String::as_str))
    }

    /// Refuses a request that is not allowed.
    ///
    /// # Errors
    /// 403 in upstream's words; 500 if a member failed that might have allowed it.
    pub fn demand(&self, what: &Attributes<'_>) -> Result<(), Status> {
        match (self.is_allowed(), self.errors.first()) {
            (true, _) => Ok(()),
            (false, Some(error)) => Err(internal(error)),
            (false, None) => Err(refusal(what, self.reason())),
        }
    }

    /// Like [`Ruling::demand`], but treats a failed member like one without an opinion.
    ///
    /// # Errors
    /// 403 in upstream's words.
    pub fn forbid(&self, what: &Attributes<'_>) -> Result<(), Status> {
        if self.is_allowed() { Ok(()) } else { Err(refusal(what, self.reason())) }
    }
}

/// The response to a request that is not allowed (upstream: `responsewriters.ForbiddenStatusError`).
fn refusal(what: &Attributes<'_>, reason: &str) -> Status {
    let (user, verb) = (quote(&what.user.name), what.verb);
    let (why, group, resource, name) = match what.target {
        // Upstream's text for the empty group and resource of a path.
        Target::Path(path) => (format!("User {user} cannot {verb} path {}", quote(path)), "", "", ""),
        Target::Resource { group, resource, subresource, namespace, name, .. } => {
            let part = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
            let place = match namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {}", quote(namespace)),
            };
            let (whole, in_group) = (quote(&format!("{resource}{part}")), quote(group));
            let why = format!("User {user} cannot {verb} resource {whole} in API group {in_group} {place}");
            (why, group, resource, name)
        }
    };
    // A browser that shows the response as a page must find no tags in it.
    let mut why = why.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    if !reason.is_empty() {
        why.push_str(": ");
        why.push_str(reason);
    }
    Status::forbidden(group, resource, name, &why)
}
