//! Reading objects: one, or many page by page.

use std::sync::Arc;

use object::{FieldSelector, Labels, Selector, Status, Versioned};
use tokio::time::Instant;

use super::{Answer, AnswerBody, Call, Endpoint, Registry};
use crate::cache::{CacheError, Collection, Snapshot};
use crate::errors::{from_cache, from_store};
use crate::options::{Query, VersionMatch};

mod page;
mod token;

use page::Page;
use token::Token;

/// A list, or a page of one.
#[derive(Debug)]
pub struct Listing {
    /// The objects, as the endpoint serves them.
    pub items: Vec<Versioned>,
    /// The version of the collection.
    pub revision: u64,
    /// The token for the next page.
    pub continue_token: Option<String>,
    /// How many objects the following pages hold, where that is known.
    pub remaining: Option<usize>,
}

/// The objects of a request.
pub(super) struct Filter {
    /// The namespace; empty for all.
    pub namespace: String,
    /// The name of the single object; empty for all.
    name: String,
    labels: Option<Selector>,
    fields: Option<FieldSelector>,
}

impl Filter {
    /// The objects that a query selects.
    ///
    /// # Errors
    /// 400 for a field selector on a field that the kind does not register, or on another name than the path's.
    pub fn new(endpoint: &Endpoint, call: &Call<'_>, query: &Query) -> Result<Filter, Status> {
        if let Some(selector) = &query.fields {
            let is_named = !call.name.is_empty() && !selector.is_everything();
            if is_named && selector.exact("metadata.name") != Some(call.name) {
                let why = "fieldSelector metadata.name doesn't match requested name";
                return Err(Status::bad_request(why));
            }
            for requirement in selector.requirements() {
                let field = requirement.field.as_str();
                let known = field == "metadata.name"
                    || (field == "metadata.namespace" && endpoint.namespaced())
                    || endpoint.strategy.is_selectable(field);
                if !known {
                    return Err(Status::bad_request(format!("field label not supported: {field}")));
                }
            }
        }
        let labels = query.labels.clone();
        Ok(Filter {
            namespace: call.namespace.to_owned(),
            name: call.name.to_owned(),
            labels,
            fields: query.fields.clone(),
        })
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Versioned) -> bool {
        (self.namespace.is_empty() || object.namespace() == self.namespace)
            && (self.name.is_empty() || object.name() == self.name)
            && self.labels.as_ref().is_none_or(|selector| selector.matches(&LabelsOf(object)))
            && self
                .fields
                .as_ref()
                .is_none_or(|selector| selector.matches(|field| object.field(field).unwrap_or_default()))
    }

    /// The prefix of the keys of all objects in its namespace.
    pub fn prefix(&self) -> String {
        match self.namespace.as_str() {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        }
    }

    fn selects_all(&self) -> bool {
        self.name.is_empty() && self.labels.is_none() && self.fields.is_none()
    }
}

/// The labels of a stored version, for selectors.
struct LabelsOf<'a>(&'a Versioned);

impl Labels for LabelsOf<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        self.0.label(key)
    }
}

impl Registry {
    /// Reads one object.
    ///
    /// # Errors
    /// 404 if there is none.
    pub async fn get(&self, endpoint: &Endpoint, call: &Call<'_>, query: &Query) -> Result<Answer, Status> {
        let collection = endpoint.stored("get")?;
        let version = match query.resource_version {
            // The client accepts the cache's current state.
            Some(0) => {
                collection.get(call.namespace, call.name).ok_or_else(|| endpoint.not_found(call.name))?
            }
            wanted => {
                // While the cache is read again, the store alone knows.
                if wanted.is_some() && self.hub.check_warm().is_ok() {
                    self.freshen(collection, wanted).await?;
                }
                self.current(endpoint, collection, call.namespace, call.name).await?
            }
        };
        Ok(Answer::ok(AnswerBody::Version(endpoint.present(&version).await?)))
    }

    /// Reads a collection, or a page of it.
    ///
    /// # Errors
    /// 400 and 422 for options that are not possible, 410 for a page of a list that is too old.
    pub async fn list(&self, endpoint: &Endpoint, call: &Call<'_>, query: &Query) -> Result<Answer, Status> {
        Ok(Answer::ok(AnswerBody::List(self.select(endpoint, call, query).await?)))
    }

    /// The objects that a query selects.
    pub(super) async fn select(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        query: &Query,
    ) -> Result<Listing, Status> {
        query.check_list()?;
        let collection = endpoint.stored("list")?;
        let filter = Filter::new(endpoint, call, query)?;
        let token = query.continue_token.as_deref().map(Token::read).transpose()?;
        if token.is_some() && query.resource_version.is_some_and(|revision| revision > 0) {
            let why = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(why));
        }
        let source = self.source(collection, query, token.as_ref(), filter.selects_all()).await?;
        check_damage(endpoint, collection, call)?;
        let meter = &collection.meter;
        let (after, known) = token.map_or((None, None), |token| (Some(token.after), token.left));
        let counts = query.limit > 0 && known.is_none() && filter.selects_all();
        let page = Page { filter: &filter, after: after.clone(), limit: query.limit, counts };
        let taken = match &source {
            Source::Snapshot(snapshot) => {
                let taken = page.take(snapshot);
                meter.listed(taken.looked_at, taken.items.len());
                taken
            }
            Source::Past(revision) => {
                let taken = page.take_past(collection, self.hub.store().as_ref(), *revision).await;
                let taken = taken.map_err(|status| Registry::expired(status, after))?;
                meter.listed_past(taken.looked_at, taken.items.len());
                taken
            }
        };
        let revision = source.revision();
        // The first page counts, as does the first one of a list that continues in a newer version. The others count down.
        let left = known.or(taken.total).map(|all| all.saturating_sub(taken.items.len()));
        let items = endpoint.present_all(taken.items).await?;
        let mut listing = Listing { items, revision, continue_token: None, remaining: None };
        if let Some(after) = taken.last {
            let left = left.filter(|left| filter.selects_all() && *left > 0);
            listing.continue_token = Some(Token { revision: Some(revision), after, left }.write());
            listing.remaining = left;
            if let Source::Snapshot(snapshot) = source {
                collection.pin(snapshot);
            }
        }
        Ok(listing)
    }

    /// The source of a page, as fresh as the client requires.
    async fn source(
        &self,
        collection: &Arc<Collection>,
        query: &Query,
        token: Option<&Token>,
        selects_all: bool,
    ) -> Result<Source, Status> {
        let exact = query.version_match == Some(VersionMatch::Exact);
        // With a limit, a version without a rule of matching means just that version.
        let exact = exact || (query.version_match.is_none() && query.limit > 0);
        let revision = match token {
            Some(token) => token.revision,
            None => query.resource_version,
        };
        let is_past = token.is_some() || exact;
        match revision {
            Some(0) => {}
            Some(revision) if is_past => return self.past(collection, revision).await,
            revision => {
                if let Err(error) = self.hub.check_warm() {
                    // A short page is cheap in the store, too.
                    let is_cheap = query.limit > 0 && selects_all && revision.is_none();
                    let true = is_cheap else { return Err(from_cache(error)) };
                    let now = self.hub.store().current_revision().await;
                    return Ok(Source::Past(now.map_err(from_store)?.0));
                }
                self.freshen(collection, revision).await?;
            }
        }
        Ok(Source::Snapshot(self.hub.snapshot(collection)))
    }

    /// The collection at a revision: the snapshot of the previous pages, what the log of changes still tells, or the
    /// store's history. A revision that is still to come is waited for.
    async fn past(&self, collection: &Arc<Collection>, revision: u64) -> Result<Source, Status> {
        if let Some(pinned) = collection.pinned(revision) {
            return Ok(Source::Snapshot(pinned));
        }
        if revision > self.hub.revision() && self.hub.check_warm().is_ok() {
            self.freshen(collection, Some(revision)).await?;
        }
        if let Some(snapshot) = collection.snapshot_at(revision, self.hub.revision()) {
            return Ok(Source::Snapshot(snapshot));
        }
        Ok(Source::Past(revision))
    }

    /// Waits until the cache has a revision; without one, until it has everything that the store had at the call.
    pub(super) async fn freshen(&self, collection: &Collection, revision: Option<u64>) -> Result<(), Status> {
        let since = Instant::now();
        let fresh = match revision {
            Some(revision) => self.hub.wait_for(revision).await,
            None => self.hub.catch_up().await,
        };
        collection.meter.waited(since.elapsed());
        if revision.is_none() {
            collection.meter.consistent(fresh.is_ok());
        }
        fresh.map(drop).map_err(from_cache)
    }

    /// For a page whose version is gone, tells the client how to continue with an inconsistent list: with the newest
    /// state at the time of the next request.
    fn expired(status: Status, after: Option<Arc<str>>) -> Status {
        if status.code != 410 {
            return status;
        }
        let Some(after) = after else {
            return Status::resource_expired("The resourceVersion for the provided list is too old.");
        };
        let rest = Token { revision: None, after, left: None };
        let mut expired = Status::resource_expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        expired.continue_token = Some(rest.write().into_boxed_str());
        expired
    }
}

/// The source of pages.
enum Source {
    /// The objects in the cache.
    Snapshot(Snapshot),
    /// The store's history at a revision.
    Past(u64),
}

impl Source {
    fn revision(&self) -> u64 {
        match self {
            Source::Snapshot(snapshot) => snapshot.revision,
            Source::Past(revision) => *revision,
        }
    }
}

impl From<Listing> for AnswerBody {
    fn from(listing: Listing) -> AnswerBody {
        AnswerBody::List(listing)
    }
}

/// Fails if an object that a list may show cannot be read.
pub(super) fn check_damage(
    endpoint: &Endpoint,
    collection: &Collection,
    call: &Call<'_>,
) -> Result<(), Status> {
    let scope = collection.scope(call.namespace);
    collection.damage.check(&endpoint.def.group, &endpoint.def.plural, &scope)
}

/// An error of the cache as a client sees it in a watch.
pub(super) fn watch_error(error: CacheError) -> Status {
    from_cache(error)
}
