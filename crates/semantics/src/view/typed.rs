//! The structs of `k8s-openapi` as views: those that rules read, with the fields that rules read.
//!
//! A field that is not listed here appears absent in typed objects but present in trees; the tests of a rule therefore
//! run it on both.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use super::{Field, View};
use crate::views;

views! {
    core::Pod { "metadata" => metadata, "spec" => spec, "status" => status }
    meta::ObjectMeta {
        "name" => name, "namespace" => namespace, "uid" => uid, "labels" => labels,
        "creationTimestamp" => creation_timestamp, "deletionTimestamp" => deletion_timestamp,
        "ownerReferences" => owner_references, "generation" => generation,
    }
    meta::OwnerReference {
        "apiVersion" => api_version, "kind" => kind, "name" => name, "uid" => uid, "controller" => controller,
        "blockOwnerDeletion" => block_owner_deletion,
    }
    meta::LabelSelector { "matchLabels" => match_labels, "matchExpressions" => match_expressions }
    meta::LabelSelectorRequirement { "key" => key, "operator" => operator, "values" => values }
    core::PodSpec {
        "nodeName" => node_name, "nodeSelector" => node_selector, "affinity" => affinity,
        "tolerations" => tolerations, "containers" => containers, "initContainers" => init_containers,
        "resources" => resources, "overhead" => overhead, "hostNetwork" => host_network, "priority" => priority,
    }
    core::PodStatus {
        "phase" => phase, "conditions" => conditions, "containerStatuses" => container_statuses,
        "initContainerStatuses" => init_container_statuses, "resources" => resources,
        "allocatedResources" => allocated_resources, "qosClass" => qos_class,
    }
    core::PodCondition {
        "type" => type_, "status" => status, "reason" => reason, "message" => message,
        "lastTransitionTime" => last_transition_time,
    }
    core::Container { "name" => name, "resources" => resources, "restartPolicy" => restart_policy }
    core::ContainerStatus { "name" => name, "resources" => resources, "allocatedResources" => allocated_resources }
    core::ResourceRequirements { "requests" => requests, "limits" => limits }
    core::Affinity { "nodeAffinity" => node_affinity }
    core::NodeAffinity {
        "requiredDuringSchedulingIgnoredDuringExecution" => required_during_scheduling_ignored_during_execution,
        "preferredDuringSchedulingIgnoredDuringExecution" => preferred_during_scheduling_ignored_during_execution,
    }
    core::NodeSelector { "nodeSelectorTerms" => node_selector_terms }
    core::NodeSelectorTerm { "matchExpressions" => match_expressions, "matchFields" => match_fields }
    core::NodeSelectorRequirement { "key" => key, "operator" => operator, "values" => values }
    core::PreferredSchedulingTerm { "preference" => preference, "weight" => weight }
    core::Toleration {
        "key" => key, "operator" => operator, "value" => value, "effect" => effect,
        "tolerationSeconds" => toleration_seconds,
    }
    core::Taint { "key" => key, "value" => value, "effect" => effect, "timeAdded" => time_added }
    core::Node { "metadata" => metadata, "spec" => spec, "status" => status }
    core::NodeSpec { "taints" => taints, "unschedulable" => unschedulable }
    core::NodeStatus { "conditions" => conditions, "allocatable" => allocatable }
    core::NodeCondition {
        "type" => type_, "status" => status, "reason" => reason, "message" => message,
        "lastTransitionTime" => last_transition_time,
    }
    discovery::Endpoint { "conditions" => conditions }
    discovery::EndpointConditions { "ready" => ready, "serving" => serving, "terminating" => terminating }
}

impl View for String {
    fn as_field(&self) -> Field<'_> {
        Field::Text(self)
    }
}

impl View for Quantity {
    fn as_field(&self) -> Field<'_> {
        Field::Text(&self.0)
    }
}

impl View for meta::Time {
    fn as_field(&self) -> Field<'_> {
        Field::Time(self.0)
    }
}

impl View for bool {
    fn as_field(&self) -> Field<'_> {
        Field::Flag(*self)
    }
}

impl View for i32 {
    fn as_field(&self) -> Field<'_> {
        Field::Integer((*self).into())
    }
}

impl View for i64 {
    fn as_field(&self) -> Field<'_> {
        Field::Integer(*self)
    }
}

impl<T: View> View for Vec<T> {
    fn as_field(&self) -> Field<'_> {
        Field::List(self)
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn item(&self, index: usize) -> Field<'_> {
        self.get(index).map_or(Field::Absent, View::as_field)
    }
}

impl<T: View> View for BTreeMap<String, T> {
    fn as_field(&self) -> Field<'_> {
        Field::Object(self)
    }

    fn field(&self, name: &str) -> Field<'_> {
        self.get(name).map_or(Field::Absent, View::as_field)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        self.iter().for_each(|(name, member)| visit(name, member.as_field()));
    }
}

impl<T: View> View for Option<T> {
    fn as_field(&self) -> Field<'_> {
        self.as_ref().map_or(Field::Absent, View::as_field)
    }

    fn field(&self, name: &str) -> Field<'_> {
        self.as_field().field(name)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        self.as_field().each(visit);
    }

    fn count(&self) -> usize {
        self.as_ref().map_or(0, View::count)
    }

    fn item(&self, index: usize) -> Field<'_> {
        self.as_ref().map_or(Field::Absent, |list| list.item(index))
    }
}

/// Implements [`View`] for pointers to views.
macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<T: View + ?Sized> View for $pointer {
            fn as_field(&self) -> Field<'_> {
                (**self).as_field()
            }

            fn field(&self, name: &str) -> Field<'_> {
                (**self).field(name)
            }

            fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
                (**self).each(visit);
            }

            fn count(&self) -> usize {
                (**self).count()
            }

            fn item(&self, index: usize) -> Field<'_> {
                (**self).item(index)
            }
        }
    )*};
}

pointers!(&T, Box<T>, Arc<T>);
