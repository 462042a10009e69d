//! Rights that expressions ask about: `authorizer` of CEL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cel::Value;
use cel::library::{self, Attributes as Question, Decision};
use object::{FieldSelector, Selector};

use super::Attributes;
use crate::aside::Aside;
use crate::authz::{self, ANY_VERSION, Target};
use crate::user::User;

/// After how much work other tasks get their turn, in the units of costs: a few milliseconds.
const TURN: u64 = 200_000;
/// What an evaluation counts for besides its cost.
const EVALUATION: u64 = 1_000;
/// What a copy of an object counts for.
pub(super) const COPY: u64 = 50_000;

/// What expressions of policies and webhooks need of the server.
#[derive(Clone)]
pub(crate) struct Judge {
    /// Decides what they ask about.
    pub(crate) authorizer: Arc<authz::Chain>,
    /// Where those are evaluated that take long.
    pub(crate) aside: Arc<Aside>,
}

/// The decisions that expressions about one request have needed.
pub(super) struct Decisions<'a> {
    known: Arc<cel::Decisions>,
    judge: &'a Judge,
    what: &'a Attributes<'a>,
    /// The work since other tasks had their turn.
    work: AtomicU64,
}

impl<'a> Decisions<'a> {
    pub(super) fn new(judge: &'a Judge, what: &'a Attributes<'a>) -> Decisions<'a> {
        Decisions { known: Arc::default(), judge, what, work: AtomicU64::new(0) }
    }

    /// Does work that takes long.
    pub(super) async fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.judge.aside.run(work).await
    }

    /// Counts the cost of an evaluation. However many expressions there are for a request, other requests on its thread
    /// get their turn between them.
    pub(super) async fn pace(&self, cost: u64) {
        let more = cost.saturating_add(EVALUATION);
        if self.work.fetch_add(more, Ordering::Relaxed).saturating_add(more) >= TURN {
            self.work.store(0, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    }

    /// `authorizer`
    pub(super) fn authorizer<'v>(&self) -> Value<'v> {
        library::authorizer(Arc::clone(&self.known) as _)
    }

    /// `authorizer.requestResource`
    pub(super) fn request_resource<'v>(&self) -> Value<'v> {
        let what = self.what;
        let of_request = Question {
            group: what.resource.group.to_owned(),
            resource: what.resource.plural.to_owned(),
            subresource: what.subresource.to_owned(),
            namespace: what.namespace.to_owned(),
            name: what.name.to_owned(),
            ..Question::default()
        };
        library::resource_check(Arc::clone(&self.known) as _, of_request)
    }

    /// Makes the decision that the last evaluation asked for.
    pub(super) async fn decide(&self) {
        if let Some(question) = self.known.take_pending() {
            let decision = self.answer(&question).await;
            self.known.insert(question, decision);
        }
    }

    async fn answer(&self, question: &Question) -> Decision {
        let account = question.service_account.as_ref();
        let account = account.map(|account| User::service_account(&account.namespace, &account.name, ""));
        let user = account.as_ref().unwrap_or(self.what.user);
        let target = match &question.path {
            Some(path) => Target::Path(path),
            None => Target::Resource {
                group: &question.group,
                version: ANY_VERSION,
                resource: &question.resource,
                subresource: &question.subresource,
                namespace: &question.namespace,
                name: &question.name,
            },
        };
        // A selector that cannot be read does not narrow what is asked.
        let fields = FieldSelector::parse(&question.field_selector).ok();
        let labels = Selector::parse(&question.label_selector).ok();
        let asked = authz::Attributes {
            fields: fields.as_ref().filter(|_| !question.field_selector.is_empty()),
            labels: labels.as_ref().filter(|_| !question.label_selector.is_empty()),
            ..authz::Attributes::new(user, &question.verb, target)
        };
        let ruling = self.judge.authorizer.authorize(&asked).await;
        let error = Some(ruling.failure()).filter(|failure| !failure.is_empty());
        Decision { allowed: ruling.is_allowed(), reason: ruling.reason().to_owned(), error }
    }
}
