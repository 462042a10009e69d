//! ValidatingAdmissionWebhook (`plugin/webhook/validating`).

use std::sync::Arc;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, stream};
use object::{Status, Value};
use tokio::time::Instant;

use super::Webhooks;
use super::ask::{Question, check_time, settle};
use super::configuration::{Configurations, Hook, Hooks};
use crate::admission::decisions::Decisions;
use crate::admission::manifest::{Manifests, Owner};
use crate::admission::matching::{Asked, View};
use crate::admission::{Attributes, ManifestError, Plugin};

/// How many webhooks are asked about one request at the same time.
const PARALLEL_MAX: usize = 64;

/// The plugin.
pub struct ValidatingWebhooks {
    webhooks: Arc<Webhooks>,
    configurations: Configurations,
}

impl ValidatingWebhooks {
    /// # Errors
    /// The plugin's manifests cannot be used.
    pub(crate) fn new(
        webhooks: Arc<Webhooks>,
        manifests: &Manifests,
    ) -> Result<ValidatingWebhooks, ManifestError> {
        let plural = "validatingwebhookconfigurations";
        let configurations = Configurations::new(plural, manifests, Owner::ValidatingWebhooks)?;
        Ok(ValidatingWebhooks { webhooks, configurations })
    }

    async fn call(&self, question: &Question<'_>) -> Result<(), Status> {
        let since = Instant::now();
        let trouble = match check_time(question.deadline) {
            Ok(()) => self.webhooks.ask(question).await.err(),
            Err(status) => return Err(status),
        };
        self.webhooks.note(question.asked, question.hook, "validating", since, trouble.as_ref());
        trouble.map_or(Ok(()), |trouble| settle(question.hook, trouble))
    }
}

/// The webhooks that match, each with the place of the view that it wants.
async fn matching<'h>(
    asked: &Asked<'_>,
    hooks: &'h Hooks,
    object: &Value,
    old: &Value,
    decisions: &Decisions<'_>,
    deadline: Instant,
) -> Result<(Vec<(&'h Hook, usize)>, Vec<View>), Status> {
    let (mut relevant, mut views) = (Vec::new(), Vec::<View>::new());
    for hook in hooks.iter() {
        check_time(deadline)?;
        let Some(shape) = asked.shape_of(&hook.criteria, object, old).await? else { continue };
        let at = match views.iter().position(|view| view.shape == *shape) {
            Some(at) => at,
            None => {
                let mut view = View::new(asked, object, old);
                view.turn_to(asked, shape).await?;
                views.push(view);
                views.len() - 1
            }
        };
        if hook.meets_conditions(asked, &views[at], decisions).await? {
            relevant.push((&**hook, at));
        }
    }
    Ok((relevant, views))
}

#[async_trait]
impl Plugin for ValidatingWebhooks {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        let hooks = self.configurations.hooks(what, self.webhooks.concerns(what), |hooks| {
            self.webhooks.metrics.keep("validating", |name| hooks.iter().any(|hook| hook.name == name));
        });
        let Some(hooks) = hooks else { return Ok(()) };
        let (asked, deadline) = (Asked::new(what), what.deadline);
        let decisions = Decisions::new(&self.webhooks.judge, what);
        let (relevant, views) = matching(&asked, &hooks, object, old, &decisions, deadline).await?;
        let questions: Vec<Question<'_>> = relevant
            .iter()
            .map(|(hook, at)| Question {
                asked: &asked,
                hook,
                shape: &views[*at].shape,
                object: &views[*at].object,
                old: &views[*at].old,
                is_mutating: false,
                deadline,
            })
            .collect();
        let mut calls = Vec::with_capacity(questions.len());
        for question in &questions {
            calls.push(self.call(question).boxed());
        }
        // All of them answer; the first refusal in the order of the webhooks counts.
        let answers: Vec<Result<(), Status>> = stream::iter(calls).buffered(PARALLEL_MAX).collect().await;
        answers.into_iter().collect()
    }
}
