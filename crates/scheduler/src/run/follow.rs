//! Posts changes from the informers to the scheduler.

use std::sync::{Arc, Weak};

use client::{Change, Identified, Informer, Informers, LeanPod, SelectsPods, Subscription};
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, ReplicationController, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};

use super::mailbox::{Letter, Mailbox};
use crate::state::{Selecting, VolumeChange};

/// Feeds the mailbox for as long as the returned guard is kept. Returns when all existing objects have been posted.
pub(super) async fn follow(informers: &Informers, mailbox: &Arc<Mailbox>) -> Vec<Subscription> {
    let (nodes, pods, namespaces) =
        (informers.get::<Node>(), informers.get::<LeanPod>(), informers.get::<Namespace>());
    let (claims, volumes) = (informers.get::<PersistentVolumeClaim>(), informers.get::<PersistentVolume>());
    let (classes, csi_nodes) = (informers.get::<StorageClass>(), informers.get::<CSINode>());
    let budgets = informers.get::<PodDisruptionBudget>();
    let mut subscriptions = follow_selectors(informers, mailbox).await;
    tokio::join!(nodes.synced(), pods.synced(), namespaces.synced());
    tokio::join!(claims.synced(), volumes.synced(), classes.synced(), csi_nodes.synced(), budgets.synced());
    let of_namespaces = subscribe(&namespaces, mailbox, |change| {
        let labels = change.new.as_ref().map(|new| new.metadata.labels.clone().unwrap_or_default());
        Letter::Namespace(Arc::clone(&change.key.name), labels)
    });
    let of_claims = subscribe(&claims, mailbox, |change| {
        Letter::Volume(change.key.clone(), VolumeChange::Claim(change.new.clone()))
    });
    let of_volumes = subscribe(&volumes, mailbox, |change| {
        Letter::Volume(change.key.clone(), VolumeChange::Volume(change.new.clone()))
    });
    let of_classes = subscribe(&classes, mailbox, |change| {
        Letter::Volume(change.key.clone(), VolumeChange::Class(change.new.clone()))
    });
    let of_csi_nodes = subscribe(&csi_nodes, mailbox, |change| {
        Letter::Volume(change.key.clone(), VolumeChange::CsiNode(change.new.clone()))
    });
    let of_nodes =
        subscribe(&nodes, mailbox, |change| Letter::Node(Arc::clone(&change.key.name), change.new.clone()));
    let of_budgets =
        subscribe(&budgets, mailbox, |change| Letter::Budget(change.key.clone(), change.new.clone()));
    let mailbox = Arc::downgrade(mailbox);
    let of_pods = pods.subscribe(move |change| {
        if let Some(mailbox) = mailbox.upgrade() {
            post_pod(&mailbox, change);
        }
    });
    subscriptions.extend([
        of_namespaces,
        of_claims,
        of_volumes,
        of_classes,
        of_csi_nodes,
        of_nodes,
        of_budgets,
        of_pods,
    ]);
    subscriptions
}

/// Posts what Services and controllers select.
async fn follow_selectors(informers: &Informers, mailbox: &Arc<Mailbox>) -> Vec<Subscription> {
    let (services, replication_controllers, replica_sets, stateful_sets) = tokio::join!(
        follow_selector::<Service>(Selecting::Service, informers, mailbox),
        follow_selector::<ReplicationController>(Selecting::ReplicationController, informers, mailbox),
        follow_selector::<ReplicaSet>(Selecting::ReplicaSet, informers, mailbox),
        follow_selector::<StatefulSet>(Selecting::StatefulSet, informers, mailbox),
    );
    vec![services, replication_controllers, replica_sets, stateful_sets]
}

async fn follow_selector<K: SelectsPods>(
    kind: Selecting,
    informers: &Informers,
    mailbox: &Arc<Mailbox>,
) -> Subscription {
    let selectors = informers.selectors::<K>();
    selectors.synced().await;
    subscribe(&selectors, mailbox, move |change| {
        let selector = change.new.as_ref().map(|new| Arc::clone(&new.fact));
        Letter::Selector(kind, change.key.clone(), selector)
    })
}

/// A handler may still be running when the mailbox is gone.
fn subscribe<K: Identified>(
    informer: &Informer<K>,
    mailbox: &Arc<Mailbox>,
    letter: impl Fn(&Change<K>) -> Letter + Send + 'static,
) -> Subscription {
    let mailbox: Weak<Mailbox> = Arc::downgrade(mailbox);
    informer.subscribe(move |change| {
        if let Some(mailbox) = mailbox.upgrade() {
            mailbox.post(letter(change));
        }
    })
}

/// Pods go by their UIDs: another pod may have taken the name.
fn post_pod(mailbox: &Mailbox, change: &Change<LeanPod>) {
    let uid = |pod: &Arc<LeanPod>| pod.metadata.uid.clone();
    let (old, new) = (change.old.as_ref().map(uid), change.new.as_ref().map(uid));
    if let Some(old) = old.clone().filter(|old| new.as_ref() != Some(old)) {
        mailbox.post(Letter::Pod(old, None));
    }
    if let (Some(uid), Some(pod)) = (new, &change.new) {
        let is_first = old.is_none_or(|old| old != uid);
        let letter = Letter::Pod(uid, Some(Arc::clone(pod)));
        if is_first { mailbox.post_first(letter) } else { mailbox.post(letter) }
    }
}
