//! What is measured of webhooks, under upstream's names.

use std::time::Duration;

use metrics::{Counter, EncodeLabelSet, Exposition, Family, Histogram, Histograms, Register};

use super::failure::Trouble;
use crate::admission::Operation;

/// Upstream's buckets of a call's duration, in seconds.
const DURATIONS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
/// Larger codes are counted as this.
const CODE_MAX: u16 = 600;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    code: u16,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rejection {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    error_type: &'static str,
    rejection_code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailOpen {
    name: String,
    r#type: &'static str,
}

/// The metrics of all webhooks.
#[derive(Clone)]
pub(crate) struct WebhookMetrics {
    durations: Histograms<Call>,
    requests: Family<Answer, Counter>,
    rejections: Family<Rejection, Counter>,
    fail_opens: Family<FailOpen, Counter>,
}

/// A call that has ended.
pub(super) struct Ended<'a> {
    /// The webhook.
    pub(super) name: &'a str,
    /// `admit` or `validating`.
    pub(super) step: &'static str,
    /// The operation that it was asked about.
    pub(super) operation: Operation,
    /// How long it took.
    pub(super) took: Duration,
}

impl WebhookMetrics {
    /// Metrics that are registered there.
    pub(crate) fn new(exposition: &Exposition) -> WebhookMetrics {
        // Upstream's names of these counters do not follow the naming convention.
        exposition.without_total("apiserver_admission_webhook_rejection_count");
        exposition.without_total("apiserver_admission_webhook_fail_open_count");
        exposition.with(|shown| WebhookMetrics {
            durations: shown.add_histograms(
                "apiserver_admission_webhook_admission_duration_seconds",
                "Time that calls of webhooks took, in seconds",
                || Histogram::new(DURATIONS),
            ),
            requests: shown
                .add("apiserver_admission_webhook_request", "Calls of webhooks by the code of their answer"),
            rejections: shown.add(
                "apiserver_admission_webhook_rejection_count",
                "Requests that webhooks, or their failures, have refused",
            ),
            fail_opens: shown.add(
                "apiserver_admission_webhook_fail_open_count",
                "Failed calls of webhooks whose failures are ignored",
            ),
        })
    }

    /// A call has ended; `ignores_failures` is the webhook's failure policy.
    pub(super) fn ended(&self, call: &Ended<'_>, trouble: Option<&Trouble>, ignores_failures: bool) {
        let name = || call.name.to_owned();
        let (r#type, operation) = (call.step, call.operation.name());
        let (code, error_type) = match trouble {
            None => (200, None),
            Some(Trouble::Failed(failure)) => {
                (failure.code, Some("calling_webhook_error").filter(|_| !ignores_failures))
            }
            Some(Trouble::Refused(status)) => (status.code, Some("no_error")),
            Some(Trouble::Unfit(_)) => (0, Some("apiserver_internal_error")),
        };
        let code = code.min(CODE_MAX);
        let rejected = if error_type.is_some() { "true" } else { "false" };
        self.durations
            .get_or_create(&Call { name: name(), r#type, operation, rejected })
            .observe(call.took.as_secs_f64());
        self.requests.get_or_create(&Answer { name: name(), r#type, operation, code, rejected }).inc();
        if let Some(error_type) = error_type {
            let rejection = Rejection { name: name(), r#type, operation, error_type, rejection_code: code };
            self.rejections.get_or_create(&rejection).inc();
        } else if trouble.is_some() {
            self.fail_opens.get_or_create(&FailOpen { name: name(), r#type }).inc();
        }
    }

    /// Forgets webhooks of a step that are gone.
    pub(super) fn keep(&self, step: &'static str, exists: impl Fn(&str) -> bool) {
        let keeps = |r#type: &str, name: &str| r#type != step || exists(name);
        self.durations.retain(|call| keeps(call.r#type, &call.name));
        self.requests.retain(|answer| keeps(answer.r#type, &answer.name));
        self.rejections.retain(|rejection| keeps(rejection.r#type, &rejection.name));
        self.fail_opens.retain(|open| keeps(open.r#type, &open.name));
    }
}
