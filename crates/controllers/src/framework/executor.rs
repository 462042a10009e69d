//! Executes plans.

use client::{
    Client, ClientError, Content, ContentType, DeleteOptions, EventType, ListOptions, Recorder, Request,
    ResourceType, Target, Verb,
};
use futures::StreamExt;
use object::{ObjectKey, Status, Uid};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::plan::{Pace, Step};
use super::rewrite::rewrite;
use super::{Action, Announcement, Note, Plan};

/// The maximum number of actions of a step that run at once.
const ACTIONS_AT_ONCE: usize = 64;

/// An action that failed, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The action.
    pub(crate) action: Action,
    /// The reason.
    pub(crate) error: ClientError,
}

impl Failure {
    /// Why, for people: the error with what is behind it. Its own text names only the step.
    pub(crate) fn why(&self) -> String {
        causes::chain(&self.error)
    }
}

/// A write that informers do not show yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) resource: ResourceType,
    pub(super) effect: Effect,
}

/// How informers show a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The collection is at this version or later.
    Version(u64),
    /// The object is gone or in deletion.
    LetGo(ObjectKey, Uid),
}

/// The result of a plan.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) pending: Vec<Pending>,
    pub(super) failures: Vec<Failure>,
}

/// The one place that carries out the decisions of controllers.
#[derive(Clone, Debug)]
pub(crate) struct Executor {
    client: Client,
    recorder: Recorder,
    /// Long actions end with it.
    stop: CancellationToken,
}

/// The relevant part of the answer to a write.
struct Written {
    name: String,
    resource_version: Option<u64>,
}

/// What is read of an object.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Found {
    metadata: FoundMeta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct FoundMeta {
    name: String,
    uid: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

impl Written {
    fn of(answer: &Content, what: &str) -> Result<Written, ClientError> {
        if let Content::Version(version) = answer {
            let resource_version = Some(version.resource_version());
            return Ok(Written { name: version.name().to_owned(), resource_version });
        }
        let Found { metadata } = answer.decode(what)?;
        Ok(Written { name: metadata.name, resource_version: metadata.resource_version.parse().ok() })
    }
}

impl Executor {
    /// Writes with `client` and records events with `recorder`.
    pub(crate) fn new(client: Client, recorder: Recorder) -> Executor {
        Executor { client, recorder, stop: CancellationToken::new() }
    }

    /// Ends long actions when `stop` is cancelled; all others are finished.
    pub(super) fn until(self, stop: CancellationToken) -> Executor {
        Executor { stop, ..self }
    }

    /// Takes the steps in order, up to the first that fails.
    pub(super) async fn run(&self, plan: Plan) -> Outcome {
        let mut outcome = Outcome::default();
        for step in plan.steps {
            self.step(step, &mut outcome).await;
            if !outcome.failures.is_empty() {
                break;
            }
        }
        outcome
    }

    /// The failures of a plan.
    #[cfg(test)]
    pub(crate) async fn failures(&self, plan: Plan) -> Vec<Failure> {
        self.run(plan).await.failures
    }

    async fn step(&self, step: Step, outcome: &mut Outcome) {
        let mut rest = step.actions;
        let mut batch = match step.pace {
            Pace::Together => rest.len(),
            Pace::SlowStart => 1,
        };
        while !rest.is_empty() && outcome.failures.is_empty() {
            let now = rest.split_off(rest.len().saturating_sub(batch));
            let mut results = futures::stream::iter(now)
                .map(|action| async { (self.act(&action).await, action) })
                .buffer_unordered(ACTIONS_AT_ONCE);
            while let Some((result, action)) = results.next().await {
                match result {
                    Ok(pending) => outcome.pending.extend(pending),
                    Err(error) => outcome.failures.push(Failure { action, error }),
                }
            }
            batch *= 2;
        }
    }

    async fn act(&self, action: &Action) -> Result<Option<Pending>, ClientError> {
        match action {
            Action::Create { object, announcement } => {
                let target = Target::collection(object.resource.clone(), object.key.namespace());
                let body =
                    object.tree().map_err(|error| ClientError::decode(&*object.resource.kind, error))?;
                let request = Request::new(Verb::Create, target).body(ContentType::Json, body);
                let written = self.write(request).await?;
                self.announce(announcement, &written.name);
                Ok(pending(&object.resource, &written))
            }
            Action::Update { object, subresource } => {
                let target = Target::object(object.resource.clone(), &object.key).subresource(subresource);
                let body =
                    object.tree().map_err(|error| ClientError::decode(&*object.resource.kind, error))?;
                let request = Request::new(Verb::Update, target).body(ContentType::Json, body);
                Ok(pending(&object.resource, &self.write(request).await?))
            }
            Action::Patch { resource, key, subresource, patch } => {
                let target = Target::object(resource.clone(), key).subresource(subresource);
                Ok(pending(resource, &self.write(patch.request(target)?).await?))
            }
            Action::CreateSubresource { resource, key, subresource, body } => {
                let target = Target::object(resource.clone(), key).subresource(subresource);
                let body = body.tree().map_err(|error| ClientError::decode(*subresource, error))?;
                let request = Request::new(Verb::Create, target).body(ContentType::Json, body);
                // The response may be a different object, or empty; informers show the consequences.
                self.client.connection().call(request).await.map(|_| None)
            }
            Action::Delete { resource, key, options, announcement } => {
                self.delete(resource, key, options, announcement).await
            }
            Action::DeleteCollection { resource, namespace } => {
                let (options, all) = (DeleteOptions::default(), ListOptions::default());
                self.client.delete_collection(resource, namespace, &options, &all).await.map(|()| None)
            }
            Action::Verify { resource, key, uid } => self.verify(resource, key, uid).await.map(|()| None),
            Action::Rewrite { resource, up_to, manager } => {
                let rewriting = rewrite(&self.client, resource, *up_to, manager);
                let stopped = || ClientError::transport("writing objects anew", "the controller stops");
                self.stop
                    .run_until_cancelled(rewriting)
                    .await
                    .unwrap_or_else(|| Err(stopped()))
                    .map(|()| None)
            }
            Action::Record(note) => {
                self.record(note);
                Ok(None)
            }
        }
    }

    async fn write(&self, request: Request) -> Result<Written, ClientError> {
        let what = request.target.resource.kind.clone();
        let response = self.client.connection().call(request).await?;
        Written::of(&response.body, &what)
    }

    async fn delete(
        &self,
        resource: &ResourceType,
        key: &ObjectKey,
        options: &DeleteOptions,
        announcement: &Option<Announcement>,
    ) -> Result<Option<Pending>, ClientError> {
        match self.client.delete_object(resource, key, options).await {
            Ok(()) => self.announce(announcement, &key.name),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let effect = options.uid.as_deref().map(|uid| Effect::LetGo(key.clone(), Uid::from(uid)));
        Ok(effect.map(|effect| Pending { resource: resource.clone(), effect }))
    }

    async fn verify(&self, resource: &ResourceType, key: &ObjectKey, uid: &str) -> Result<(), ClientError> {
        let found: Found = self.client.get_object(resource, key).await?;
        if found.metadata.uid == uid && found.metadata.deletion_timestamp.is_none() {
            return Ok(());
        }
        let why = "it is being deleted, or has been replaced by another object";
        Err(Status::conflict(&resource.group, &resource.plural, &key.name, why).into())
    }

    fn announce(&self, announcement: &Option<Announcement>, name: &str) {
        if let Some(Announcement { about, reason, message }) = announcement {
            self.recorder.record(about, EventType::Normal, reason, message(name));
        }
    }

    fn record(&self, note: &Note) {
        self.recorder.record(&note.about, note.kind, note.reason, &*note.message);
    }
}

fn pending(resource: &ResourceType, written: &Written) -> Option<Pending> {
    let effect = Effect::Version(written.resource_version?);
    Some(Pending { resource: resource.clone(), effect })
}
