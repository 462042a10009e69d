//! What a member of the chain is.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::rbac::v1::PolicyRule;

use super::attributes::Attributes;
use crate::user::User;

/// How long an authorizer may take unless it says something else (upstream's limit for webhooks).
const PATIENCE: Duration = Duration::from_secs(30);

/// Why an authorizer could not decide.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A decision, with its reason; empty where there is nothing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, whatever the others say.
    Allow(Arc<str>),
    /// No, whatever the others say.
    Deny(Arc<str>),
    /// The others decide; without them it is a no.
    NoOpinion(Arc<str>),
}

/// An authorizer's answer. One that knows it at once gives it at once: that takes no memory.
pub enum Reply<'a> {
    /// Here it is.
    Now(Decision),
    /// It must be waited for, and may fail. Dropping it ends the work.
    Later(BoxFuture<'a, Result<Decision, BoxError>>),
}

/// What an authorizer that cannot answer counts for (upstream: `failurePolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The others decide.
    NoOpinion,
    /// Nobody may anything that no earlier one allows.
    Deny,
}

/// The rules of a user, as far as an authorizer can list them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// What is allowed.
    pub rules: Vec<PolicyRule>,
    /// Whether there may be more.
    pub incomplete: bool,
    /// What went wrong.
    pub errors: Vec<Arc<str>>,
}

/// Decides, or leaves it to others (upstream: `authorizer.Authorizer` and `authorizer.RuleResolver`).
pub trait Authorizer: Send + Sync + 'static {
    /// Its type as upstream's configuration has it, such as `RBAC`.
    fn kind(&self) -> &'static str;

    /// Tells it from others of its type.
    fn name(&self) -> &str {
        ""
    }

    /// Whether the user may.
    fn authorize<'a>(&'a self, what: &'a Attributes<'a>) -> Reply<'a>;

    /// What it may allow the user in a namespace; nothing from those that allow nothing of their own.
    fn rules_of(&self, _user: &User, _namespace: &str) -> Rules {
        Rules::default()
    }

    /// How long its answer may take.
    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// What it counts for where it fails or takes too long.
    fn on_failure(&self) -> OnFailure {
        OnFailure::NoOpinion
    }
}

/// Several messages as one, each once (upstream: `errors.Aggregate`).
pub(crate) fn aggregate<'m>(messages: impl IntoIterator<Item = &'m str>) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for message in messages {
        if !seen.contains(&message) {
            seen.push(message);
        }
    }
    match seen.as_slice() {
        [one] => (*one).to_owned(),
        [] => String::new(),
        several => format!("[{}]", several.join(", ")),
    }
}
