//! Reading objects: one, or many page by page.

use std::ops::Bound;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use imbl::OrdMap;
use object::{FieldSelector, Labels, Selector, Status, Value, Versioned, value};

use super::{Answer, AnswerBody, Call, Endpoint, Registry};
use crate::cache::{CacheError, Collection, Snapshot};
use crate::errors::from_cache;
use crate::options::{Query, VersionMatch};

/// A list, or a page of one.
#[derive(Debug)]
pub struct Listing {
    /// The objects, as the endpoint serves them.
    pub items: Vec<Versioned>,
    /// The version of the collection.
    pub revision: u64,
    /// What asks for the next page.
    pub continue_token: Option<String>,
    /// How many objects the following pages hold, where that is known.
    pub remaining: Option<usize>,
}

/// Which objects a request is about.
pub(super) struct Filter {
    /// The namespace; empty for all.
    pub namespace: String,
    /// The one object that is meant; empty for all.
    name: String,
    labels: Option<Selector>,
    fields: Option<FieldSelector>,
}

impl Filter {
    /// What a query selects.
    ///
    /// # Errors
    /// 400 for a field selector on a field that the kind does not register.
    pub fn new(endpoint: &Endpoint, call: &Call<'_>, query: &Query) -> Result<Filter, Status> {
        if let Some(selector) = &query.fields {
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

    /// Whether an object is meant.
    pub fn matches(&self, object: &Versioned) -> bool {
        (self.namespace.is_empty() || object.namespace() == self.namespace)
            && (self.name.is_empty() || object.name() == self.name)
            && self.labels.as_ref().is_none_or(|selector| selector.matches(&LabelsOf(object)))
            && self
                .fields
                .as_ref()
                .is_none_or(|selector| selector.matches(|field| object.field(field).unwrap_or_default()))
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
    /// 404 where there is none.
    pub async fn get(&self, endpoint: &Endpoint, call: &Call<'_>, query: &Query) -> Result<Answer, Status> {
        let collection = endpoint.stored("get")?;
        let version = match query.resource_version {
            // The client is content with what the cache has.
            Some(0) => {
                collection.get(call.namespace, call.name).ok_or_else(|| endpoint.not_found(call.name))?
            }
            wanted => {
                if let Some(revision) = wanted {
                    self.hub.wait_for(revision).await.map_err(from_cache)?;
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
        let (snapshot, start) = match token {
            Some(token) => (self.page_snapshot(collection, &token).await?, Some(token.after)),
            None => (self.fresh_snapshot(collection, query).await?, None),
        };
        let page = Page { filter: &filter, after: start, limit: query.limit };
        let (items, last) = page.take(&snapshot.objects);
        let items = endpoint.present_all(items).await?;
        let mut listing =
            Listing { items, revision: snapshot.revision, continue_token: None, remaining: None };
        if let Some(last) = last {
            listing.continue_token = Some(Token { revision: snapshot.revision, after: last.clone() }.write());
            if filter.selects_all() {
                let rest = Page { filter: &filter, after: Some(last), limit: 0 };
                listing.remaining = Some(rest.range(&snapshot.objects).count());
            }
            collection.pin(snapshot);
        }
        Ok(listing)
    }

    /// The snapshot of a list's first page: as fresh as the client wants it.
    async fn fresh_snapshot(&self, collection: &Arc<Collection>, query: &Query) -> Result<Snapshot, Status> {
        match (query.resource_version, query.version_match) {
            (None, _) => {
                self.hub.catch_up().await.map_err(from_cache)?;
            }
            (Some(0), _) => {}
            (Some(revision), Some(VersionMatch::Exact)) => {
                return self.exact_snapshot(collection, revision).await;
            }
            // With a limit, a version without a rule of matching means just that version.
            (Some(revision), _) => {
                self.hub.wait_for(revision).await.map_err(from_cache)?;
            }
        }
        Ok(collection.snapshot(&self.hub))
    }

    /// The snapshot that the pages before were made of.
    async fn page_snapshot(&self, collection: &Arc<Collection>, token: &Token) -> Result<Snapshot, Status> {
        match collection.pinned(token.revision) {
            Some(snapshot) => Ok(snapshot),
            None => self.exact_snapshot(collection, token.revision).await.map_err(|status| {
                if status.code != 410 {
                    return status;
                }
                // The client may go on from here with the newest state, if it can bear the difference.
                let now = Token { revision: self.hub.revision(), after: token.after.clone() };
                let mut expired = Status::resource_expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
                );
                expired.continue_token = Some(now.write().into_boxed_str());
                expired
            }),
        }
    }

    /// The collection as it was at a revision, from the store's history.
    async fn exact_snapshot(&self, collection: &Arc<Collection>, revision: u64) -> Result<Snapshot, Status> {
        if let Some(snapshot) = collection.pinned(revision) {
            return Ok(snapshot);
        }
        let request =
            store::RangeRequest::prefix(collection.prefix().to_owned()).at(store::Revision(revision));
        let found = self.hub.store().range(request).await.map_err(crate::errors::from_store)?;
        let mut objects = OrdMap::new();
        for kv in &found.kvs {
            let object = collection.decode(kv).map_err(from_cache)?;
            objects.insert(Arc::from(object.key().to_string()), object);
        }
        Ok(Snapshot { objects, revision })
    }
}

/// A part of a snapshot.
struct Page<'a> {
    filter: &'a Filter,
    /// The key of the last object of the page before.
    after: Option<Arc<str>>,
    limit: usize,
}

impl Page<'_> {
    /// The objects behind the page before, of the filter's namespace.
    fn range<'s>(
        &self,
        objects: &'s OrdMap<Arc<str>, Versioned>,
    ) -> impl Iterator<Item = (&'s Arc<str>, &'s Versioned)> + use<'s> {
        let prefix = match self.filter.namespace.as_str() {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        };
        let start: Bound<Arc<str>> = match &self.after {
            Some(key) => Bound::Excluded(Arc::clone(key)),
            None => Bound::Included(Arc::from(prefix.as_str())),
        };
        objects.range((start, Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(&prefix))
    }

    /// The page's objects, and the key of its last one if there are more behind it.
    fn take(&self, objects: &OrdMap<Arc<str>, Versioned>) -> (Vec<Versioned>, Option<Arc<str>>) {
        let mut items = Vec::new();
        let mut last = None;
        for (key, object) in self.range(objects).filter(|(_, object)| self.filter.matches(object)) {
            if self.limit > 0 && items.len() == self.limit {
                return (items, last);
            }
            items.push(object.clone());
            last = Some(Arc::clone(key));
        }
        (items, None)
    }
}

/// A continue token: where a page ended, and of which version of the collection. Its form is upstream's.
struct Token {
    revision: u64,
    after: Arc<str>,
}

impl Token {
    fn read(text: &str) -> Result<Token, Status> {
        let invalid =
            || Status::bad_request("continue key is not valid: it is no token that this server gave out");
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| invalid())?;
        let token = object::json::parse(&bytes).map_err(|_| invalid())?;
        let revision = token.get("rv").as_i64().and_then(|rv| u64::try_from(rv).ok()).ok_or_else(invalid)?;
        let after =
            token.get("start").as_str().and_then(|start| start.strip_suffix('\0')).ok_or_else(invalid)?;
        if token.str_at("v") != "meta.k8s.io/v1" {
            return Err(invalid());
        }
        Ok(Token { revision, after: after.into() })
    }

    fn write(&self) -> String {
        let start = format!("{}\0", self.after);
        let revision = i64::try_from(self.revision).unwrap_or(i64::MAX);
        let token: Value = value!({"v": "meta.k8s.io/v1", "rv": revision, "start": start});
        URL_SAFE_NO_PAD.encode(object::json::to_bytes(&token))
    }
}

impl From<Listing> for AnswerBody {
    fn from(listing: Listing) -> AnswerBody {
        AnswerBody::List(listing)
    }
}

/// An error of the cache as a client sees it in a watch.
pub(super) fn watch_error(error: CacheError) -> Status {
    from_cache(error)
}
