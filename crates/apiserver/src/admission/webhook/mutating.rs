//! MutatingAdmissionWebhook (`plugin/webhook/mutating`).

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value, quote};
use tokio::time::Instant;

use super::Webhooks;
use super::ask::{Question, check_time, settle};
use super::configuration::{Configurations, Hook, Hooks};
use super::failure::Trouble;
use crate::admission::decisions::Decisions;
use crate::admission::manifest::{Manifests, Owner};
use crate::admission::matching::{Asked, View};
use crate::admission::{Attributes, ManifestError, Plugin};

/// The plugin.
pub struct MutatingWebhooks {
    webhooks: Arc<Webhooks>,
    configurations: Configurations,
}

impl MutatingWebhooks {
    /// # Errors
    /// The plugin's manifests cannot be used.
    pub(crate) fn new(
        webhooks: Arc<Webhooks>,
        manifests: &Manifests,
    ) -> Result<MutatingWebhooks, ManifestError> {
        let plural = "mutatingwebhookconfigurations";
        let configurations = Configurations::new(plural, manifests, Owner::MutatingWebhooks)?;
        Ok(MutatingWebhooks { webhooks, configurations })
    }

    /// The webhooks, if there are any that may be asked about a request.
    fn hooks(&self, what: &Attributes<'_>) -> Option<Hooks> {
        self.configurations.hooks(what, self.webhooks.concerns(what), |hooks| {
            self.webhooks.metrics.keep("admit", |name| hooks.iter().any(|hook| hook.name == name));
        })
    }

    /// Asks a webhook that matches, and applies its patch; returns whether it changed the object.
    async fn call(
        &self,
        asked: &Asked<'_>,
        hook: &Hook,
        view: &mut View,
        deadline: Instant,
    ) -> Result<bool, Status> {
        check_time(deadline)?;
        let since = Instant::now();
        let question = Question {
            asked,
            hook,
            shape: &view.shape,
            object: &view.object,
            old: &view.old,
            is_mutating: true,
            deadline,
        };
        let applied = match self.webhooks.ask(&question).await {
            Ok(Value::Null) => Ok(false),
            Ok(patch) => apply(view, asked, &hook.name, &patch),
            Err(trouble) => Err(trouble),
        };
        self.webhooks.note(asked, hook, "admit", since, applied.as_ref().err());
        match applied {
            Ok(is_changed) => Ok(is_changed),
            Err(trouble) => {
                settle(hook, trouble)?;
                check_time(deadline).map(|()| false)
            }
        }
    }
}

/// Applies a patch of a webhook; returns whether it changed anything.
fn apply(view: &mut View, asked: &Asked<'_>, webhook: &str, patch: &Value) -> Result<bool, Trouble> {
    let unfit = |why: String| Trouble::Unfit(Status::internal_error(why));
    if view.object.is_null() {
        return Err(unfit(format!(
            "admission webhook {} attempted to modify the object, which is not supported for this operation",
            quote(webhook)
        )));
    }
    let patched =
        object::patch::json_patch(view.object.clone(), patch).map_err(|error| unfit(error.to_string()))?;
    let patched = asked.what.shapes.complete(patched, &view.shape, asked.what.subresource);
    let patched = patched.map_err(|status| unfit(status.message))?;
    let is_changed = patched != view.object;
    view.is_changed |= is_changed;
    view.object = patched;
    Ok(is_changed)
}

#[async_trait]
impl Plugin for MutatingWebhooks {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        let Some(hooks) = self.hooks(what) else { return Ok(()) };
        let (asked, rounds, deadline) = (Asked::new(what), &what.rounds.webhooks, what.deadline);
        let decisions = Decisions::new(&self.webhooks.judge, what);
        let is_second = rounds.is_second();
        if is_second {
            rounds.resume(object);
        }
        let mut view: Option<View> = None;
        for hook in hooks.iter().filter(|hook| !is_second || rounds.is_outdated(&hook.id)) {
            let (seen, seen_old) = view.as_ref().map_or((&*object, old), |view| (&view.object, &view.old));
            let Some(shape) = asked.shape_of(&hook.criteria, seen, seen_old).await? else { continue };
            let view = view.get_or_insert_with(|| View::new(&asked, object, old));
            view.turn_to(&asked, shape).await?;
            if !hook.meets_conditions(&asked, view, &decisions).await? {
                check_time(deadline)?;
                continue;
            }
            if self.call(&asked, hook, view, deadline).await? {
                rounds.changed();
            }
            if hook.wants_reinvocation {
                rounds.asked(&hook.id);
            }
        }
        if let Some(mut view) = view.filter(|view| view.is_changed) {
            view.turn_to(&asked, &asked.own).await?;
            *object = view.object;
        }
        rounds.end(object);
        Ok(())
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    fn unsettles(&self, what: &Attributes<'_>) -> bool {
        self.hooks(what).is_some()
    }
}
