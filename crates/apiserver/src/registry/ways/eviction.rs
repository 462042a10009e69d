//! `eviction` of pods: a pod is deleted unless a disruption budget forbids it (upstream:
//! `pkg/registry/core/pod/storage/eviction.go`).

use async_trait::async_trait;
use object::{Reason, Status, Value, value};
use semantics::pods;

use self::budget::Guard;
use self::condition::set_condition;
use super::super::write::{Action, WriteRequest};
use super::super::{Answer, AnswerBody, Call, Endpoint, Registry};
use super::change::Change;
use super::{At, TRIES, Way};
use crate::options::{DeleteOptions, Query, WriteOptions};
use crate::user::User;

mod budget;
mod condition;

pub(super) struct Eviction;

#[async_trait]
impl Way for Eviction {
    async fn create(&self, at: &At<'_>, body: Value) -> Result<Answer, Status> {
        if body.str_at("metadata.name") != at.call.name {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        // A dry run may be asked for in the options of the deletion, too: it is one for every stage.
        let dry_run = delete_options(&body, at.call.options.dry_run)?.dry_run;
        let options = WriteOptions { dry_run, ..at.call.options.clone() };
        let call = Call { options: &options, ..*at.call };
        at.registry.act(at.endpoint, &call, self, body).await
    }
}

#[async_trait]
impl Action for Eviction {
    async fn act(&self, registry: &Registry, write: &WriteRequest<'_>) -> Result<Answer, Status> {
        let options = delete_options(&write.object, write.dry_run())?;
        let call = Call { subresource: "", ..*write.call };
        Order { registry, endpoint: write.endpoint, call, options }.carry_out().await?;
        let status = Status { code: 201, ..Status::success(None) };
        Ok(Answer::created(AnswerBody::Status(Box::new(status))))
    }
}

fn delete_options(eviction: &Value, dry_run: bool) -> Result<DeleteOptions, Status> {
    let body = eviction.get("deleteOptions");
    DeleteOptions::read(&Query { dry_run, ..Query::default() }, (!body.is_null()).then_some(body))
}

/// An admitted eviction.
struct Order<'a> {
    registry: &'a Registry,
    /// The resource of pods.
    endpoint: &'a Endpoint,
    call: Call<'a>,
    options: DeleteOptions,
}

impl Order<'_> {
    async fn carry_out(&self) -> Result<(), Status> {
        let Some(pod) = self.delete_unguarded().await? else { return Ok(()) };
        match budget::check(self.registry, &self.call, &pod).await? {
            Guard::Open => self.delete(&self.options).await,
            Guard::OpenForUnready(budget) => {
                // Unless it has become ready since.
                let deleted = self.delete(&self.at_version(&pod)).await;
                deleted.map_err(|status| match self.may_retry(&status) {
                    true => budget::still_processed(&budget),
                    false => status,
                })
            }
        }
    }

    /// Deletes a pod that no budget guards, because it does not run (yet, or any more). Returns it if it does.
    async fn delete_unguarded(&self) -> Result<Option<Value>, Status> {
        let collection = self.endpoint.stored("delete")?;
        let mut tries = 1;
        loop {
            let (namespace, name) = (self.call.namespace, self.call.name);
            let pod = self.registry.current(self.endpoint, collection, namespace, name).await?.value();
            let deleted = match (pods::is_active(&pod), pods::phase(&pod)) {
                (true, "Pending") => self.delete(&self.at_version(&pod)).await,
                (true, _) => return Ok(Some(pod)),
                (false, _) => self.delete(&self.options).await,
            };
            match deleted {
                Err(status) if self.may_retry(&status) && tries < TRIES => tries += 1,
                done => return done.map(|()| None),
            }
        }
    }

    /// Whether an error comes from a version that the client did not name.
    fn may_retry(&self, error: &Status) -> bool {
        error.reason == Reason::Conflict && self.options.resource_version.is_none()
    }

    /// The options, for exactly this version of the pod unless the client names one.
    fn at_version(&self, pod: &Value) -> DeleteOptions {
        let mut options = self.options.clone();
        options.resource_version.get_or_insert_with(|| pod.str_at("metadata.resourceVersion").to_owned());
        options
    }

    /// Shows on the pod what happens to it, then deletes it.
    async fn delete(&self, options: &DeleteOptions) -> Result<(), Status> {
        let mut options = options.clone();
        if !options.dry_run {
            let version = self.mark(&options).await?;
            if let Some(expected) = &mut options.resource_version {
                *expected = version;
            }
        }
        self.registry.delete(self.endpoint, &self.call, &options).await.map(drop)
    }

    /// Marks the pod; returns its new version.
    async fn mark(&self, options: &DeleteOptions) -> Result<String, Status> {
        let server = User::server();
        let call = Call { user: &server, subresource: "status", ..self.call };
        let now = self.registry.clock.now_seconds().to_string();
        let mut mark = |old: &Value| {
            check_preconditions(old, options)?;
            let mut pod = old.clone();
            // What changed in between does not matter, unless the client says so.
            if options.resource_version.is_none() {
                pod.entry("metadata").remove("resourceVersion");
            }
            let generation = old.at("metadata.generation").as_i64().unwrap_or(0);
            let condition = value!({
                "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting", "lastTransitionTime": now.as_str(),
                "observedGeneration": generation,
            });
            set_condition(&mut pod, condition);
            Ok(pod)
        };
        let marked = self.registry.modify(self.endpoint, &call, Change::STATUS, &mut mark).await?;
        Ok(match marked.body {
            AnswerBody::Version(version) => version.resource_version().to_string(),
            AnswerBody::Value(pod) => pod.str_at("metadata.resourceVersion").to_owned(),
            _ => String::new(),
        })
    }
}

fn check_preconditions(pod: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let check = |what: &str, member: &str, wanted: &Option<String>, how: &str| {
        let found = pod.at("metadata").str_at(member);
        match wanted.as_deref().filter(|wanted| !wanted.is_empty() && *wanted != found) {
            None => Ok(()),
            Some(wanted) => {
                let why = format!(
                    "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The \
                     object might have been {how}"
                );
                Err(Status::conflict("", "Pod", pod.str_at("metadata.name"), &why))
            }
        }
    };
    check("UID", "uid", &options.uid, "deleted and then recreated")?;
    check("ResourceVersion", "resourceVersion", &options.resource_version, "modified")
}
