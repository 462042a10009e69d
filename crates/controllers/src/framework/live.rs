//! Live reads: answers that only the API server can give, for which informers are not good enough.
//!
//! A controller asks while it observes. A question that has not been answered yet returns `None`; the framework then
//! sends it to the server and lets the controller observe again, until no question is open. So a snapshot holds all of
//! its answers, and the informers' state after they were given.

use std::sync::Arc;
use std::time::Duration;

use client::{
    Client, ClientError, ContentType, Discovered, ListOptions, Object, PartialObject, Request, ResourceType,
    Target, Verb, key_of,
};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::autoscaling::v1::Scale;
use object::{ObjectKey, Value, Versioned};
use tokio::time::Instant;

/// The maximum number of concurrent questions to the server.
const QUESTIONS_AT_ONCE: usize = 16;

/// A question to the server.
#[derive(Clone, Debug, PartialEq)]
enum Question {
    Metadata(ResourceType, ObjectKey),
    MetadataIn(ResourceType, String),
    List(ResourceType, ListOptions),
    ListIn { resource: ResourceType, namespace: String, after: String },
    TryStatus(ResourceType, ObjectKey, Value),
    Version(ResourceType),
    Served,
    Scale(ResourceType, ObjectKey),
    May(Box<SubjectAccessReviewSpec>),
    Selected { resource: ResourceType, namespace: String, labels: String },
    ItemsAt(String),
}

#[derive(Clone, Debug)]
enum Answer {
    Metadata(Option<Arc<PartialObject>>),
    MetadataIn(Result<Arc<Vec<PartialObject>>, String>),
    List(Vec<Versioned>),
    Accepted,
    Version(String),
    Served(Arc<Discovered>),
    Scale(Result<Arc<Scale>, NoScale>),
    May(bool),
    Items(Result<Vec<Value>, String>),
}

/// Why the scale of an object cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct NoScale {
    /// Whether the object does not exist.
    pub(crate) is_missing: bool,
    /// The server's words.
    pub(crate) why: String,
}

/// The questions of one look at a key, and the answers received.
#[derive(Debug)]
pub(crate) struct Live {
    since: Instant,
    answered: Vec<(Question, Answer)>,
    open: Vec<Question>,
}

impl Default for Live {
    fn default() -> Live {
        Live { since: Instant::now(), answered: Vec::new(), open: Vec::new() }
    }
}

impl Live {
    /// The metadata of an object; the inner `None` means that there is no such object.
    pub(crate) fn metadata(
        &mut self,
        resource: &ResourceType,
        key: &ObjectKey,
    ) -> Option<Option<Arc<PartialObject>>> {
        match self.ask(Question::Metadata(resource.clone(), key.clone()))? {
            Answer::Metadata(found) => Some(found),
            _ => None,
        }
    }

    /// The metadata of all objects of a resource in a namespace, or why they cannot be listed: one resource must not hold up
    /// all others. There are none of a resource that is not served any more.
    pub(crate) fn metadata_in(
        &mut self,
        resource: &ResourceType,
        namespace: &str,
    ) -> Option<Result<Arc<Vec<PartialObject>>, String>> {
        match self.ask(Question::MetadataIn(resource.clone(), namespace.to_owned()))? {
            Answer::MetadataIn(objects) => Some(objects),
            _ => None,
        }
    }

    /// The selected objects of a kind, in all namespaces.
    pub(crate) fn list<K: Object>(&mut self, options: &ListOptions) -> Option<Vec<Arc<K>>> {
        match self.ask(Question::List(ResourceType::of::<K>(), options.clone()))? {
            Answer::List(objects) => Some(objects.iter().filter_map(typed).collect()),
            _ => None,
        }
    }

    /// All objects of a resource in a namespace. There are none of a resource that is not served any more. `after` is the
    /// occasion of the list: it is made anew for each.
    pub(crate) fn list_in(
        &mut self,
        resource: &ResourceType,
        namespace: &str,
        after: &str,
    ) -> Option<Vec<Versioned>> {
        let (resource, namespace, after) = (resource.clone(), namespace.to_owned(), after.to_owned());
        match self.ask(Question::ListIn { resource, namespace, after })? {
            Answer::List(objects) => Some(objects),
            _ => None,
        }
    }

    /// Has the server go through a change of an object's status without storing it. If it refuses, the look at the key
    /// fails, and is repeated later.
    pub(crate) fn try_status<K: Object>(&mut self, object: &K) -> Option<()> {
        let tree = object::to_value(object).unwrap_or_default();
        match self.ask(Question::TryStatus(ResourceType::of::<K>(), key_of(object), tree))? {
            Answer::Accepted => Some(()),
            _ => None,
        }
    }

    /// The present resource version of a resource's collection.
    pub(crate) fn version(&mut self, resource: &ResourceType) -> Option<String> {
        match self.ask(Question::Version(resource.clone()))? {
            Answer::Version(version) => Some(version),
            _ => None,
        }
    }

    /// The resources that the server serves.
    pub(crate) fn served(&mut self) -> Option<Arc<Discovered>> {
        match self.ask(Question::Served)? {
            Answer::Served(discovered) => Some(discovered),
            _ => None,
        }
    }

    /// The scale of an object, or why it cannot be read: that is reported, as it may be a user's mistake, not retried.
    pub(crate) fn scale(
        &mut self,
        resource: &ResourceType,
        key: &ObjectKey,
    ) -> Option<Result<Arc<Scale>, NoScale>> {
        match self.ask(Question::Scale(resource.clone(), key.clone()))? {
            Answer::Scale(scale) => Some(scale),
            _ => None,
        }
    }

    /// Whether a user is allowed to do something.
    pub(crate) fn may(&mut self, who_and_what: SubjectAccessReviewSpec) -> Option<bool> {
        match self.ask(Question::May(Box::new(who_and_what)))? {
            Answer::May(allowed) => Some(allowed),
            _ => None,
        }
    }

    /// The objects of a resource in a namespace that a label selector selects, or why they cannot be listed.
    pub(crate) fn selected(
        &mut self,
        resource: &ResourceType,
        namespace: &str,
        labels: &str,
    ) -> Option<Result<Vec<Value>, String>> {
        let (resource, namespace, labels) = (resource.clone(), namespace.to_owned(), labels.to_owned());
        match self.ask(Question::Selected { resource, namespace, labels })? {
            Answer::Items(items) => Some(items),
            _ => None,
        }
    }

    /// The items of the list at a path, or why there is none.
    pub(crate) fn items_at(&mut self, path: &str) -> Option<Result<Vec<Value>, String>> {
        match self.ask(Question::ItemsAt(path.to_owned()))? {
            Answer::Items(items) => Some(items),
            _ => None,
        }
    }

    /// The time since the first question could be asked.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// The answer, if there is one; otherwise the question is open from now on.
    fn ask(&mut self, question: Question) -> Option<Answer> {
        let known = self.answered.iter().find(|(asked, _)| *asked == question);
        if known.is_none() && !self.open.contains(&question) {
            self.open.push(question);
        }
        known.map(|(_, answer)| answer.clone())
    }

    /// Whether a question is open.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Sends the open questions to the server.
    pub(super) async fn fetch(&mut self, client: &Client) -> Result<(), ClientError> {
        let open = std::mem::take(&mut self.open);
        let answers = futures::stream::iter(open)
            .map(|question| async { answer(client, &question).await.map(|answer| (question, answer)) })
            .buffer_unordered(QUESTIONS_AT_ONCE);
        self.answered.extend(answers.try_collect::<Vec<_>>().await?);
        Ok(())
    }
}

async fn answer(client: &Client, question: &Question) -> Result<Answer, ClientError> {
    match question {
        Question::Metadata(resource, key) => match client.get_object::<PartialObject>(resource, key).await {
            Ok(found) => Ok(Answer::Metadata(Some(Arc::new(found)))),
            Err(error) if error.is_not_found() => Ok(Answer::Metadata(None)),
            Err(error) => Err(error),
        },
        Question::MetadataIn(resource, namespace) => {
            let listed = metadata_in(client, resource, namespace).await;
            Ok(Answer::MetadataIn(listed.map(Arc::new).map_err(|error| causes::chain(&error))))
        }
        Question::List(resource, options) => {
            client.list_all(resource, "", options).await.map(|(objects, _)| Answer::List(objects))
        }
        Question::ListIn { resource, namespace, .. } => {
            match client.list_all(resource, namespace, &ListOptions::default()).await {
                Ok((objects, _)) => Ok(Answer::List(objects)),
                Err(error) if error.is_not_found() || error.is_method_not_supported() => {
                    Ok(Answer::List(Vec::new()))
                }
                Err(error) => Err(error),
            }
        }
        Question::TryStatus(resource, key, object) => {
            let target = Target::object(resource.clone(), key).subresource("status");
            let request = Request::new(Verb::Update, target).query("dryRun", "All");
            let request = request.body(ContentType::Json, object.clone());
            client.connection().call(request).await.map(|_| Answer::Accepted)
        }
        Question::Version(resource) => {
            let options = ListOptions { limit: 1, ..ListOptions::default() };
            client.metadata_page(resource, &options).await.map(|page| Answer::Version(page.resource_version))
        }
        Question::Served => client.discover().await.map(|found| Answer::Served(Arc::new(found))),
        Question::Scale(resource, key) => {
            let target = Target::object(resource.clone(), key).subresource("scale");
            let response = client.connection().call(Request::new(Verb::Get, target)).await;
            let scale = response.and_then(|response| response.body.decode("Scale"));
            Ok(Answer::Scale(
                scale.map(Arc::new).map_err(|error| NoScale {
                    is_missing: error.is_not_found(),
                    why: causes::chain(&error),
                }),
            ))
        }
        Question::May(spec) => {
            let review = SubjectAccessReview { spec: (**spec).clone(), ..SubjectAccessReview::default() };
            let review = client.create(&review).await?;
            Ok(Answer::May(review.status.is_some_and(|status| status.allowed)))
        }
        Question::Selected { resource, namespace, labels } => {
            let options = ListOptions::labels(labels.as_str());
            let listed = client.list_all(resource, namespace, &options).await;
            let items = listed.map(|(objects, _)| objects.iter().map(Versioned::value).collect());
            Ok(Answer::Items(items.map_err(|error| causes::chain(&error))))
        }
        Question::ItemsAt(path) => {
            Ok(Answer::Items(items_at(client, path).await.map_err(|error| causes::chain(&error))))
        }
    }
}

async fn items_at(client: &Client, path: &str) -> Result<Vec<Value>, ClientError> {
    let text = client.connection().get_path(path, "application/json").await?.body.text();
    let list = object::json::parse(&text).map_err(|error| ClientError::decode("a list", error))?;
    Ok(list.get("items").items().cloned().collect())
}

async fn metadata_in(
    client: &Client,
    resource: &ResourceType,
    namespace: &str,
) -> Result<Vec<PartialObject>, ClientError> {
    let mut request = Request::new(Verb::List, Target::collection(resource.clone(), namespace));
    request.metadata_only = true;
    let items = match client.connection().list(request).await {
        Ok(page) => page.items,
        // A resource may vanish between discovery and now.
        Err(error) if error.is_not_found() || error.is_method_not_supported() => Vec::new(),
        Err(error) => return Err(error),
    };
    let decode = |object: &Versioned| {
        serde_json::from_slice(&object.json()).map_err(|error| ClientError::decode(object.kind(), error))
    };
    items.iter().map(decode).collect()
}

/// A single object that cannot be decoded must not hold up all others.
fn typed<K: Object>(object: &Versioned) -> Option<Arc<K>> {
    let unreadable = |error: &object::VersionedError| {
        tracing::error!(?object, error = error as &dyn std::error::Error, "cannot read an object");
    };
    object.typed::<K>().inspect_err(unreadable).ok()
}
