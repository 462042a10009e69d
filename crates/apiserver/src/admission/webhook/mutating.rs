//! MutatingAdmissionWebhook (`plugin/webhook/mutating`).

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value};
use tokio::time::Instant;

use super::Webhooks;
use super::ask::{Question, check_time, settle};
use super::configuration::{Configurations, Hook};
use super::matching::Asked;
use super::view::View;
use crate::admission::{Attributes, Plugin};

/// The plugin.
pub struct MutatingWebhooks {
    webhooks: Arc<Webhooks>,
    configurations: Configurations,
}

impl MutatingWebhooks {
    pub(crate) fn new(webhooks: Arc<Webhooks>) -> MutatingWebhooks {
        MutatingWebhooks { webhooks, configurations: Configurations::new("mutatingwebhookconfigurations") }
    }

    /// The webhooks, if there are any that may be asked about a request.
    fn hooks(&self, what: &Attributes<'_>) -> Option<Arc<Vec<Arc<Hook>>>> {
        if !self.webhooks.concerns(what) {
            return None;
        }
        self.configurations.hooks(what.reader, |hooks| {
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
            Ok(patch) => view.apply(asked, &hook.name, &patch),
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

#[async_trait]
impl Plugin for MutatingWebhooks {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        let Some(hooks) = self.hooks(what) else { return Ok(()) };
        let (asked, rounds, deadline) = (Asked::new(what), what.rounds, super::deadline());
        let is_second = rounds.is_second();
        if is_second {
            rounds.resume(object);
        }
        let mut view: Option<View> = None;
        for hook in hooks.iter().filter(|hook| !is_second || rounds.is_outdated(&hook.id)) {
            let (seen, seen_old) = view.as_ref().map_or((&*object, old), |view| (&view.object, &view.old));
            let Some(shape) = asked.shape_for(hook, seen, seen_old).await? else { continue };
            let view = view.get_or_insert_with(|| View::new(&asked, object, old));
            view.turn_to(&asked, shape).await?;
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
