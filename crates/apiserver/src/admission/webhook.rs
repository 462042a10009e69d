//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: servers outside this one change and refuse requests.
//!
//! Their configurations are objects of the API, read from the cache at each request: a request without a configuration
//! costs one look at an empty map. Mutating webhooks are asked one after another, in the order of their configurations'
//! names, and validating ones all at once. Nothing is locked while a webhook is awaited, each call has its own time, and
//! all calls of a request together have its time; what a webhook answers has a maximum size. So a webhook that
//! hangs, lies or talks without end costs only the requests that it is asked about.
//!
//! Differences from upstream: annotations for the audit log are dropped because there is none, redirects are not followed, and no client certificate is presented to webhooks.

use std::sync::Arc;

use clock::Clock;

use super::{Attributes, Gate, Judge, is_exempt_from_webhooks};
use crate::dial::Dial;

mod ask;
mod client;
mod configuration;
mod failure;
mod metrics;
mod mutating;
mod pool;
mod resolve;
mod review;
#[cfg(test)]
mod tests;
mod validating;
mod version;

pub(crate) use client::{Client, Post};
pub(crate) use metrics::WebhookMetrics;
pub use mutating::MutatingWebhooks;
pub use validating::ValidatingWebhooks;

/// What both plugins need to ask webhooks.
pub struct Webhooks {
    clock: Clock,
    dialer: Arc<dyn Dial>,
    metrics: WebhookMetrics,
    /// For the conditions of webhooks.
    judge: Judge,
    gate: Arc<Gate>,
}

impl Webhooks {
    /// Nothing is asked until the gate is open.
    pub(crate) fn new(
        clock: Clock,
        dialer: Arc<dyn Dial>,
        metrics: WebhookMetrics,
        judge: Judge,
    ) -> Arc<Webhooks> {
        Arc::new(Webhooks { clock, dialer, metrics, judge, gate: Arc::default() })
    }

    /// Closed until the server has started.
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether webhooks of the API are asked about a request: not about configurations of admission itself, so that
    /// nobody is kept from removing a webhook that refuses everything, and not before the server has started.
    fn concerns(&self, what: &Attributes<'_>) -> bool {
        !is_exempt_from_webhooks(what) && self.gate.is_open()
    }
}
