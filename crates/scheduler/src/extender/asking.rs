//! Puts questions to all extenders, one after the other: each gets what the one before it left.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::Client;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::Value;

use super::connection::{Connection, ExtenderError};
use super::wire::{self, Args, BindingArgs, Empty, MetaPod, Nodes, PreemptionArgs, Victims};
use super::{Answer, Ask, Extender, Filtered, Question, Residents};
use crate::framework::{Candidate, Rejection, SCORE_MAX};
use crate::state::PodInfo;

/// The best score that an extender gives.
const EXTENDER_SCORE_MAX: i64 = 10;

/// All extenders, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extenders(Arc<[Connection]>);

impl Extenders {
    pub(crate) fn new(extenders: &[Arc<Extender>]) -> Extenders {
        Extenders(extenders.iter().map(|extender| Connection::new(Arc::clone(extender))).collect())
    }

    /// Asks all that are interested in the pod. `client` reads the whole pods that are shown to them.
    pub(crate) async fn answer(&self, client: &Client, question: &Question) -> Answer {
        let pod = client.get::<Pod>(&question.pod.key).await;
        let pod = pod.map_err(|error| error.to_string());
        match &question.ask {
            Ask::Filter(nodes) => Answer::Filtered(match &pod {
                Ok(pod) => self.filter(&question.pod, pod, nodes).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.clone()),
            }),
            // Where they cannot be asked, the scores of plugins decide.
            Ask::Prioritize(nodes) => Answer::Prioritized(match &pod {
                Ok(pod) => self.prioritize(&question.pod, pod, nodes).await,
                Err(_) => HashMap::new(),
            }),
            Ask::Preempt(candidates, residents) => Answer::Preempted(match &pod {
                Ok(pod) => self.preempt(client, &question.pod, pod, candidates.clone(), residents).await,
                Err(error) => Err(error.clone()),
            }),
        }
    }

    fn interested<'a>(
        &'a self,
        pod: &'a PodInfo,
        verb: fn(&Extender) -> &String,
    ) -> impl Iterator<Item = &'a Connection> {
        self.0
            .iter()
            .filter(move |other| !verb(&other.extender).is_empty() && other.extender.is_interested_in(pod))
    }

    async fn filter(
        &self,
        info: &PodInfo,
        pod: &Pod,
        nodes: &[Arc<Node>],
    ) -> Result<Filtered, ExtenderError> {
        let mut left: Vec<&Node> = nodes.iter().map(|node| &**node).collect();
        let mut rejected: BTreeMap<String, Rejection> = BTreeMap::new();
        for connection in self.interested(info, |extender| &extender.filter) {
            if left.is_empty() {
                break;
            }
            match filter_with(connection, pod, &left).await {
                Ok((passed, failed)) => {
                    rejected.extend(failed);
                    left.retain(|node| passed.iter().any(|name| *name == name_of(node)));
                }
                Err(error) if connection.extender.ignorable => ignored(connection, &error),
                Err(error) => return Err(error),
            }
        }
        let passed = left.into_iter().map(|node| name_of(node).to_owned()).collect();
        Ok(Filtered { passed, rejected: rejected.into_iter().collect() })
    }

    async fn prioritize(&self, info: &PodInfo, pod: &Pod, nodes: &[Arc<Node>]) -> HashMap<String, i64> {
        let nodes: Vec<&Node> = nodes.iter().map(|node| &**node).collect();
        let nodes = &nodes;
        let asked = self.interested(info, |extender| &extender.prioritize).map(|connection| async move {
            let extender = &connection.extender;
            let answer = connection.ask(&extender.prioritize, &args(extender, pod, nodes)).await;
            (connection, answer)
        });
        let mut sums = HashMap::new();
        for (connection, answer) in join_all(asked).await {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    ignored(connection, &error);
                    continue;
                }
            };
            let factor = connection.extender.weight.saturating_mul(SCORE_MAX / EXTENDER_SCORE_MAX);
            for (node, score) in wire::scores(&answer) {
                let sum: &mut i64 = sums.entry(node.to_owned()).or_default();
                *sum = sum.saturating_add(score.saturating_mul(factor));
            }
        }
        sums
    }

    async fn preempt(
        &self,
        client: &Client,
        info: &PodInfo,
        pod: &Pod,
        mut candidates: Vec<Candidate>,
        residents: &Residents,
    ) -> Result<Vec<Candidate>, String> {
        for connection in self.interested(info, |extender| &extender.preempt) {
            if candidates.is_empty() {
                break;
            }
            match preempt_with(connection, client, pod, &candidates, residents).await {
                Ok(changed) => candidates = changed,
                Err(error) if connection.extender.ignorable => ignored(connection, &error),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(candidates)
    }

    /// Has a pod bound by the extender that binds pods like it. `None` if there is none, or if it failed and does not matter.
    pub(crate) async fn bind(&self, pod: &PodInfo, node: &str) -> Option<Result<(), ExtenderError>> {
        let connection = self.interested(pod, |extender| &extender.bind).next()?;
        let args =
            BindingArgs { name: &pod.key.name, namespace: pod.key.namespace(), uid: pod.uid.as_str(), node };
        let answer = connection.ask(&connection.extender.bind, &args).await;
        let bound = answer.and_then(|answer| match wire::error(&answer) {
            Some(error) => Err(ExtenderError::Reported(error.to_owned())),
            None => Ok(()),
        });
        match bound {
            Err(error) if connection.extender.ignorable => {
                ignored(connection, &error);
                None
            }
            other => Some(other),
        }
    }
}

fn name_of(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

fn ignored(connection: &Connection, error: &ExtenderError) {
    let url = &connection.extender.url;
    tracing::warn!(url, error = error as &dyn std::error::Error, "an extender is not heard");
}

fn args<'a>(extender: &Extender, pod: &'a Pod, nodes: &[&'a Node]) -> Args<'a> {
    let (nodes, node_names) = match extender.knows_nodes {
        true => (None, Some(nodes.iter().map(|node| name_of(node)).collect())),
        false => (Some(Nodes { metadata: Empty {}, items: nodes.to_vec() }), None),
    };
    Args { pod, nodes, node_names }
}

/// The nodes that passed, by name, and why others did not.
async fn filter_with(
    connection: &Connection,
    pod: &Pod,
    nodes: &[&Node],
) -> Result<(Vec<String>, Vec<(String, Rejection)>), ExtenderError> {
    let extender = &connection.extender;
    let answer = connection.ask(&extender.filter, &args(extender, pod, nodes)).await?;
    if let Some(error) = wire::error(&answer) {
        return Err(ExtenderError::Reported(error.to_owned()));
    }
    let passed = wire::passed(&answer, extender.knows_nodes);
    let unknown = passed.iter().find(|name| !nodes.iter().any(|node| name_of(node) == name.as_str()));
    if let Some(unknown) = unknown {
        let url = &extender.url;
        return Err(ExtenderError::Answer(format!(
            "extender {url:?} claims a filtered node {unknown:?} which is not found in the input node list"
        )));
    }
    Ok((passed, rejections(&answer)))
}

/// Why nodes failed. One that is both is unresolvable.
fn rejections(answer: &Value) -> Vec<(String, Rejection)> {
    let unresolvable = wire::failed(answer, "FailedAndUnresolvableNodes");
    let others = wire::failed(answer, "FailedNodes").into_iter();
    let others = others.filter(|(node, _)| !unresolvable.contains_key(node));
    let others = others.map(|(node, why)| (node.to_owned(), Rejection::unschedulable(why.to_owned())));
    let unresolvable = unresolvable.iter();
    let unresolvable =
        unresolvable.map(|(node, why)| ((*node).to_owned(), Rejection::unresolvable((*why).to_owned())));
    others.chain(unresolvable).collect()
}

async fn preempt_with(
    connection: &Connection,
    client: &Client,
    pod: &Pod,
    candidates: &[Candidate],
    residents: &Residents,
) -> Result<Vec<Candidate>, ExtenderError> {
    let extender = &connection.extender;
    let mut whole: HashMap<&str, Pod> = HashMap::new();
    if !extender.knows_nodes {
        for victim in candidates.iter().flat_map(|candidate| &candidate.victims) {
            let found = client.get::<Pod>(&victim.key).await;
            let found = found.map_err(|error| ExtenderError::Answer(error.to_string()))?;
            whole.insert(victim.uid.as_str(), found);
        }
    }
    let metas = || {
        candidates.iter().map(|candidate| {
            let pods = candidate.victims.iter().map(|victim| MetaPod { uid: victim.uid.as_str() }).collect();
            (&*candidate.node, Victims { pods, violations: candidate.violations })
        })
    };
    let wholes = || {
        candidates.iter().map(|candidate| {
            let pods = candidate.victims.iter().filter_map(|victim| whole.get(victim.uid.as_str())).collect();
            (&*candidate.node, Victims { pods, violations: candidate.violations })
        })
    };
    let args = PreemptionArgs {
        pod,
        node_name_to_victims: (!extender.knows_nodes).then(|| wholes().collect()),
        node_name_to_meta_victims: extender.knows_nodes.then(|| metas().collect()),
    };
    let answer = connection.ask(&extender.preempt, &args).await?;
    changed(extender, residents, &answer)
}

/// The candidates that an extender left, with the victims that it named.
fn changed(
    extender: &Extender,
    residents: &Residents,
    answer: &Value,
) -> Result<Vec<Candidate>, ExtenderError> {
    let mut left = Vec::new();
    for (node, (uids, violations)) in wire::victims(answer) {
        let known = residents.get(node);
        let victim = |uid: &str| known?.iter().find(|victim| victim.uid.as_str() == uid).cloned();
        let mut victims = Vec::new();
        for uid in uids {
            let url = &extender.url;
            victims.push(victim(uid).ok_or_else(|| {
                ExtenderError::Answer(format!(
                    "extender: {url} claims to preempt pod (UID: {uid}) on node: {node}, but the pod is not found on that node"
                ))
            })?);
        }
        if victims.is_empty() {
            if extender.ignorable {
                continue;
            }
            let why = format!("expected at least one victim pod on node {node:?}");
            return Err(ExtenderError::Answer(why));
        }
        Candidate::sort(&mut victims);
        left.push(Candidate { node: node.into(), victims, violations });
    }
    Ok(left)
}
