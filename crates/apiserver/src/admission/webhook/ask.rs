//! One question to one webhook, and what follows from its answer.

use object::{Status, Value};
use tokio::time::Instant;

use super::Webhooks;
use super::client::Post;
use super::configuration::Hook;
use super::failure::{Failure, Trouble, refusal};
use super::metrics::Ended;
use super::review::{Verdict, answer, question};
use crate::admission::Shape;
use crate::admission::matching::Asked;

/// How large an answer may be: a patch that replaces the largest object, in base64, and something around it.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A question.
pub(super) struct Question<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) hook: &'a Hook,
    pub(super) shape: &'a Shape,
    pub(super) object: &'a Value,
    pub(super) old: &'a Value,
    pub(super) is_mutating: bool,
    /// When all webhooks must have answered.
    pub(super) deadline: Instant,
}

impl Webhooks {
    /// Asks a webhook; returns the operations of its patch, null if it has none.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Value, Trouble> {
        let Question { asked, hook, .. } = question;
        if asked.what.dry_run {
            match hook.is_without_effects {
                Some(true) => {}
                Some(false) => return Err(Trouble::dry_run_unsupported(&hook.name)),
                None => return Err(Trouble::Failed(Failure::before_call("Webhook SideEffects is nil", 400))),
            }
        }
        let verdict = self.verdict(question).await.map_err(Trouble::Failed)?;
        for warning in verdict.warnings {
            asked.what.warnings.add(warning);
        }
        match verdict.is_allowed {
            true => Ok(verdict.patch),
            false => Err(Trouble::Refused(refusal(&hook.name, &verdict.status))),
        }
    }

    async fn verdict(&self, asking: &Question<'_>) -> Result<Verdict, Failure> {
        let Question { asked, hook, shape, object, old, .. } = asking;
        let version = hook.review.ok_or_else(|| {
            let why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            Failure::before_call(format!("could not create admission objects: {why}"), 400)
        })?;
        let uid = self.clock.uid();
        let post = Post {
            text: question(version, &uid, asked, shape, object, old),
            deadline: asking.deadline.min(Instant::now() + hook.timeout),
            answer_bytes_max: ANSWER_BYTES_MAX,
            reader: asked.what.reader,
            dialer: self.dialer.as_ref(),
            random: self.clock.random_u64(),
        };
        let text = hook.client.post(&post).await?;
        answer(version, &uid, asking.is_mutating, &text)
    }

    /// Measures a call that has begun at `since`, and logs a failed one: never with parts of its answer.
    pub(super) fn note(
        &self,
        asked: &Asked<'_>,
        hook: &Hook,
        step: &'static str,
        since: Instant,
        trouble: Option<&Trouble>,
    ) {
        let (operation, took) = (asked.what.operation, since.elapsed());
        let ended = Ended { name: &hook.name, step, operation, took };
        self.metrics.ended(&ended, trouble, hook.ignores_failures);
        if let Some(Trouble::Failed(failure)) = trouble {
            let why =
                if failure.is_quoted { "its answer was an error, or none" } else { failure.why.as_str() };
            let policy = if hook.ignores_failures { "open" } else { "closed" };
            tracing::warn!(
                webhook = hook.name,
                why,
                code = failure.code,
                "failed calling webhook, failing {policy}"
            );
        }
    }
}

/// What a trouble means for the request: nothing where failures are ignored.
pub(super) fn settle(hook: &Hook, trouble: Trouble) -> Result<(), Status> {
    match trouble {
        Trouble::Failed(_) if hook.ignores_failures => Ok(()),
        Trouble::Failed(failure) => Err(failure.status(&hook.name)),
        Trouble::Refused(status) | Trouble::Unfit(status) => Err(status),
    }
}

/// The time for all webhooks of a request is over.
pub(super) fn check_time(deadline: Instant) -> Result<(), Status> {
    match Instant::now() < deadline {
        true => Ok(()),
        false => Err(Status::timeout("request did not complete within requested timeout", 0)),
    }
}
