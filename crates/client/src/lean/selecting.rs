//! The pods that Services and controllers select, without anything else of these objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ReplicationController, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use object::{Selector, Versioned, VersionedError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Extract;

/// A kind whose objects select pods by `spec.selector`.
pub trait SelectsPods: Resource + 'static {
    /// The type of the field.
    type Field: DeserializeOwned;

    /// Its meaning. Without the field, or with one that is malformed, an object selects nothing.
    fn meaning(selector: Option<Self::Field>) -> Selector;
}

/// The pods that a version selects.
pub(crate) fn read<K: SelectsPods>(version: &Versioned) -> Result<Extract<Arc<Selector>>, VersionedError> {
    let Whole { spec } = version.decode::<Whole<K::Field>>()?;
    Ok(Extract::of(version, Arc::new(K::meaning(spec.and_then(|spec| spec.selector)))))
}

#[derive(Deserialize)]
struct Whole<F> {
    spec: Option<Spec<F>>,
}

#[derive(Deserialize)]
struct Spec<F> {
    selector: Option<F>,
}

/// Kinds whose selector is a map of labels. An empty map selects nothing, as no map does.
macro_rules! by_labels {
    ($($kind:ty),*) => {$(
        impl SelectsPods for $kind {
            type Field = BTreeMap<String, String>;

            fn meaning(selector: Option<Self::Field>) -> Selector {
                let labels = selector.filter(|labels| !labels.is_empty());
                labels.map_or(Selector::nothing(), Selector::from_labels)
            }
        }
    )*};
}

/// Kinds whose selector has labels and expressions. An empty one selects everything.
macro_rules! by_label_selector {
    ($($kind:ty),*) => {$(
        impl SelectsPods for $kind {
            type Field = LabelSelector;

            fn meaning(selector: Option<LabelSelector>) -> Selector {
                semantics::selector(&selector)
            }
        }
    )*};
}

by_labels!(Service, ReplicationController);
by_label_selector!(ReplicaSet, StatefulSet);
