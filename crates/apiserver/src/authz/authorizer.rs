//! The members of the chain.

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::rbac::v1::PolicyRule;

use super::attributes::Attributes;
use crate::user::User;

/// How long an authorizer may take by default (upstream's limit for webhooks).
const PATIENCE: Duration = Duration::from_secs(30);

/// Why an authorizer could not decide.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A decision, with its reason; may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed, whatever the others say.
    Allow(Arc<str>),
    /// Denied, whatever the others say.
    Deny(Arc<str>),
    /// The others decide; without them it is denied.
    NoOpinion(Arc<str>),
}

/// An authorizer's answer. An immediate answer needs no allocation.
pub enum Reply<'a> {
    /// It is known at once.
    Now(Decision),
    /// It must be waited for, and may fail. Dropping it ends the work.
    Later(BoxFuture<'a, Result<Decision, BoxError>>),
}

/// The effect of an authorizer that cannot answer (upstream: `failurePolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The others decide.
    NoOpinion,
    /// Everything that no earlier one allows is denied.
    Deny,
}

/// The rules of a user, as far as an authorizer can list them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// The allowed actions.
    pub rules: Vec<PolicyRule>,
    /// Whether the list may be incomplete.
    pub incomplete: bool,
    /// The error.
    pub errors: Vec<Arc<str>>,
}

/// Decides, or leaves it to others (upstream: `authorizer.Authorizer` and `authorizer.RuleResolver`).
pub trait Authorizer: Send + Sync + 'static {
    /// Its type as upstream's configuration has it, such as `RBAC`.
    fn kind(&self) -> &'static str;

    /// Distinguishes it from others of its type.
    fn name(&self) -> &str {
        ""
    }

    /// Decides about an action.
    fn authorize<'a>(&'a self, what: &'a Attributes<'a>) -> Reply<'a>;

    /// The rules that it allows the user in a namespace; empty for authorizers without rules.
    fn rules_of(&self, _user: &User, _namespace: &str) -> Rules {
        Rules::default()
    }

    /// How long its answer may take.
    fn patience(&self) -> Duration {
        PATIENCE
    }

    /// Its effect if it fails or takes too long.
    fn on_failure(&self) -> OnFailure {
        OnFailure::NoOpinion
    }
}

/// Several messages as one, without duplicates (upstream: `errors.Aggregate`).
pub(crate) fn aggregate<'m>(messages: impl IntoIterator<Item = &'m str>) -> String {
    let mut seen = HashSet::new();
    let distinct: Vec<&str> = messages.into_iter().filter(|message| seen.insert(*message)).collect();
    match distinct.as_slice() {
        [one] => (*one).to_owned(),
        [] => String::new(),
        several => format!("[{}]", several.join(", ")),
    }
}
