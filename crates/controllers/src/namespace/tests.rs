use client::{PartialObject, ResourceType, ServedResource};
use k8s_openapi::api::core::v1::{ConfigMap, NamespaceSpec, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::framework::Action;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// The namespace `shop`.
pub(crate) fn namespace(ending: bool) -> Namespace {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some("shop".into());
    namespace.metadata.deletion_timestamp = ending.then(|| Time(now()));
    namespace.spec = Some(NamespaceSpec { finalizers: Some(vec!["kubernetes".into(), "mine".into()]) });
    namespace
}

/// The number of remaining objects, of which some are already being deleted.
fn remaining<K: client::Object>(verbs: &[&str], live: usize, going: usize) -> Remaining {
    let object = |ending: bool| {
        let mut object = PartialObject::default();
        object.metadata.name = Some("x".into());
        object.metadata.finalizers = ending.then(|| vec!["wait".into()]);
        object.metadata.deletion_timestamp = ending.then(|| Time(now()));
        object
    };
    let objects: Vec<_> = (0..live).map(|_| object(false)).chain((0..going).map(|_| object(true))).collect();
    let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
    Remaining {
        resource: ServedResource {
            resource: ResourceType::of::<K>(),
            namespaced: true,
            verbs,
            versions: vec![K::VERSION.to_owned()],
            has_scale: false,
        },
        objects: Arc::new(objects),
    }
}

fn snapshot(remaining: Vec<Remaining>) -> Snapshot {
    Snapshot { namespace: Arc::new(namespace(true)), remaining, unlisted: vec![], undiscovered: vec![] }
}

fn done(plan: &Plan) -> Vec<String> {
    plan.actions().into_iter().map(Action::summary).collect()
}

fn conditions(plan: &Plan) -> Vec<(String, String, String)> {
    let written = plan.actions()[0].object::<Namespace>().unwrap().status.clone().unwrap();
    let condition =
        |c: k8s_openapi::api::core::v1::NamespaceCondition| (c.type_, c.status, c.message.unwrap());
    written.conditions.unwrap().into_iter().map(condition).collect()
}

/// One resource that could not be listed held up the end of everything else, and nobody was told.
#[test]
fn what_cannot_be_listed_is_told_and_holds_up_nothing_else() {
    let all = &["list", "delete", "deletecollection"][..];
    let unlisted = |resource| Unlisted { resource, why: "the webhook is down".into() };
    let with = |remaining, resource| Snapshot { unlisted: vec![unlisted(resource)], ..snapshot(remaining) };
    let maps = || vec![remaining::<ConfigMap>(all, 2, 0)];
    let secrets = with(maps(), ResourceType::of::<k8s_openapi::api::core::v1::Secret>());
    let plan = plan::plan(&secrets, now());
    assert_eq!(done(&plan), ["update status of Namespace shop", "delete all configmaps/v1 in shop"]);
    let text = "Failed to delete all resource types, 1 remaining: the webhook is down";
    let told = ("NamespaceDeletionContentFailure".to_owned(), "True".to_owned(), text.to_owned());
    assert!(conditions(&plan).contains(&told), "{:?}", conditions(&plan));
    // Pods that may be there may need the rest.
    let pods = with(maps(), ResourceType::of::<Pod>());
    assert_eq!(done(&plan::plan(&pods, now())), ["update status of Namespace shop"]);
    // What may be left must not be left behind.
    let nothing = with(vec![], ResourceType::of::<ConfigMap>());
    assert_eq!(done(&plan::plan(&nothing, now())), ["update status of Namespace shop"]);
}

#[test]
fn pods_go_first_then_the_rest_then_the_namespace() {
    let all = &["list", "delete", "deletecollection"][..];
    let full = snapshot(vec![remaining::<ConfigMap>(all, 2, 0), remaining::<Pod>(all, 1, 0)]);
    assert_eq!(
        done(&plan::plan(&full, now())),
        ["update status of Namespace shop", "delete all pods/v1 in shop"]
    );
    let rest = snapshot(vec![remaining::<ConfigMap>(&["list", "delete"], 2, 1)]);
    assert_eq!(
        done(&plan::plan(&rest, now()))[1..],
        ["delete ConfigMap x", "delete ConfigMap x"],
        "one by one where the resource has no other way"
    );
    let empty = plan::plan(&snapshot(vec![]), now());
    assert_eq!(done(&empty), ["update finalize of Namespace shop"]);
    let finalized = empty.actions()[0].object::<Namespace>().unwrap();
    assert_eq!(finalized.spec.as_ref().unwrap().finalizers, Some(vec!["mine".into()]));
}

#[test]
fn the_status_tells_what_remains() {
    let all = &["list", "delete", "deletecollection"][..];
    let full = snapshot(vec![remaining::<Pod>(all, 1, 2)]);
    let conditions = conditions(&plan::plan(&full, now()));
    assert!(conditions.contains(&(
        "NamespaceContentRemaining".into(),
        "True".into(),
        "Some resources are remaining: pods. has 3 resource instances".into()
    )));
    assert!(conditions.contains(&(
        "NamespaceFinalizersRemaining".into(),
        "True".into(),
        "Some content in the namespace has finalizers remaining: wait in 2 resource instances".into()
    )));
    assert_eq!(conditions.len(), 5);
}

#[test]
fn nothing_is_deleted_twice() {
    let mut going = snapshot(vec![remaining::<Pod>(&["list", "delete", "deletecollection"], 0, 1)]);
    let first = plan::plan(&going, now());
    assert_eq!(done(&first).len(), 1);
    going.namespace = Arc::new(first.actions()[0].object::<Namespace>().unwrap().clone());
    let second = plan::plan(&going, now());
    assert!(second.is_empty() && second.requeue_after.is_some());
}

#[test]
fn what_cannot_be_asked_holds_the_namespace() {
    let mut blind = snapshot(vec![]);
    blind.undiscovered = vec!["metrics.k8s.io/v1beta1".into()];
    let plan = plan::plan(&blind, now());
    assert_eq!(done(&plan), ["update status of Namespace shop"]);
    assert_eq!(
        conditions(&plan)[0],
        (
            "NamespaceDeletionDiscoveryFailure".into(),
            "True".into(),
            "Discovery failed for some groups, 1 failing: metrics.k8s.io/v1beta1".into()
        )
    );
}

#[test]
fn failures_are_told() {
    let full = snapshot(vec![remaining::<Pod>(&["list", "delete", "deletecollection"], 1, 0)]);
    let action = plan::plan(&full, now()).actions()[1].clone();
    let error = object::Status::forbidden("", "pods", "", "no").into();
    let remedy = plan::recover(&full, &[Failure { action, error }], now());
    assert!(
        conditions(&remedy)
            .iter()
            .any(|(kind, status, _)| { kind == "NamespaceDeletionContentFailure" && status == "True" })
    );
}
