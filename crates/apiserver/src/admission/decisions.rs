//! Rights that expressions ask about: `authorizer` of CEL.

use std::sync::Arc;

use cel::Value;
use cel::library::{self, Attributes as Question, Decision};
use object::{FieldSelector, Selector};

use super::Attributes;
use crate::authz::{self, ANY_VERSION, Target};
use crate::user::User;

/// The decisions that expressions about one request have needed.
pub(super) struct Decisions<'a> {
    known: Arc<cel::Decisions>,
    authorizer: &'a authz::Chain,
    what: &'a Attributes<'a>,
}

impl<'a> Decisions<'a> {
    pub(super) fn new(authorizer: &'a authz::Chain, what: &'a Attributes<'a>) -> Decisions<'a> {
        Decisions { known: Arc::default(), authorizer, what }
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
        let ruling = self.authorizer.authorize(&asked).await;
        let error = Some(ruling.failure()).filter(|failure| !failure.is_empty());
        Decision { allowed: ruling.is_allowed(), reason: ruling.reason().to_owned(), error }
    }
}
