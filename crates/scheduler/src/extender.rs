//! Extenders: programs that take part in decisions over HTTP (`KubeSchedulerConfiguration.extenders`).
//!
//! | module | contents |
//! | --- | --- |
//! | [`Extender`] | the settings of one: for which pods it is asked, and what |
//! | [`Question`], [`Answer`] | what a decision asks all of them, and their joint answer |
//! | `wire` | the bodies of requests and responses, upstream's `extender/v1` |
//! | `connection` | the connection to one |
//! | `asking` | puts a question to all of them, one after the other |
//!
//! While extenders are asked, the scheduler reads no letters, so that their answers are about the state that was asked
//! about; as upstream, it makes no other decision in the meantime.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use rustls::pki_types::ServerName;

use crate::framework::{Candidate, Rejection};
use crate::state::PodInfo;

mod asking;
mod connection;
#[cfg(test)]
pub(crate) mod tests;
mod wire;

pub(crate) use asking::Extenders;
pub use connection::ExtenderError;

/// An extender waits at most this long by default.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of an extender. Empty verbs are not supported by it.
#[derive(Clone, Debug, Default)]
pub struct Extender {
    /// Where it is; verbs follow after a slash.
    pub url: String,
    /// What filters nodes.
    pub filter: String,
    /// What scores nodes.
    pub prioritize: String,
    /// What changes the victims of preemption.
    pub preempt: String,
    /// What binds pods.
    pub bind: String,
    /// The weight of its scores.
    pub weight: i64,
    /// How long a request may take.
    pub timeout: Duration,
    /// The TLS of `https` URLs; `None` for `http` ones.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The name that its certificate must have, if it is not that of the URL.
    pub server_name: Option<ServerName<'static>>,
    /// Whether it knows the nodes, so that names are enough.
    pub knows_nodes: bool,
    /// It is asked about pods only that request one of these resources; about all if there are none.
    pub resources: Vec<String>,
    /// Whether pods are scheduled if it fails.
    pub ignorable: bool,
}

impl Extender {
    /// Whether it is asked about a pod.
    pub fn is_interested_in(&self, pod: &PodInfo) -> bool {
        if self.resources.is_empty() {
            return true;
        }
        let containers = pod.spec().into_iter().flat_map(|spec| {
            let init = spec.init_containers.as_deref().unwrap_or_default();
            init.iter().chain(&spec.containers)
        });
        // The limit of an extended resource is its request.
        let mut requests = containers.filter_map(|container| container.resources.as_ref());
        requests.any(|resources| self.resources.iter().any(|name| resources.requests.get(name).is_some()))
    }

    /// Whether it takes part in decisions about a pod, rather than only in its binding.
    fn takes_part(&self, pod: &PodInfo) -> bool {
        let decides = [&self.filter, &self.prioritize, &self.preempt].iter().any(|verb| !verb.is_empty());
        decides && self.is_interested_in(pod)
    }
}

/// What a decision asks.
#[derive(Clone, Debug)]
pub struct Question {
    /// The pod.
    pub pod: Arc<PodInfo>,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Which of these nodes are suitable.
    Filter(Vec<Arc<Node>>),
    /// How good these nodes are.
    Prioritize(Vec<Arc<Node>>),
    /// Which pods would have to go on which nodes, and the pods that are there.
    Preempt(Vec<Candidate>, Residents),
}

/// The pods on some nodes, by the nodes' names.
pub type Residents = HashMap<Arc<str>, Vec<Arc<PodInfo>>>;

/// The joint answer of all extenders.
#[derive(Debug)]
pub enum Answer {
    /// To [`Ask::Filter`].
    Filtered(Result<Filtered, String>),
    /// To [`Ask::Prioritize`]: what to add to the score of a node, by name.
    Prioritized(HashMap<String, i64>),
    /// To [`Ask::Preempt`].
    Preempted(Result<Vec<Candidate>, String>),
}

/// The result of filtering.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// The names of the suitable nodes.
    pub passed: Vec<String>,
    /// Why others are not, by name.
    pub rejected: Vec<(String, Rejection)>,
}

/// Whether any extender takes part in decisions about a pod.
pub(crate) fn any_takes_part(extenders: &[Arc<Extender>], pod: &PodInfo) -> bool {
    extenders.iter().any(|extender| extender.takes_part(pod))
}
