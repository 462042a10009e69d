//! Conditions: found by type, and set so that the time of the last transition is correct.
//!
//! There are many typed structs for conditions with the same fields; [`Condition`] is their common trait. Objects in
//! other forms are read with [`of`].
//!
//! ```
//! use k8s_openapi::api::core::v1::PodCondition;
//! use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
//! use semantics::conditions;
//!
//! let at = |seconds| Some(Time(jiff::Timestamp::from_second(seconds).unwrap()));
//! let ready = |status: &str, seconds| PodCondition {
//!     type_: "Ready".into(),
//!     status: status.into(),
//!     last_transition_time: at(seconds),
//!     ..PodCondition::default()
//! };
//! let mut all = None;
//! conditions::set(&mut all, ready("True", 1));
//! // Still true: the transition was the first one.
//! conditions::set(&mut all, ready("True", 2));
//! assert_eq!(conditions::find(&all, "Ready").unwrap().last_transition_time, at(1));
//! conditions::set(&mut all, ready("False", 3));
//! assert_eq!(conditions::find(&all, "Ready").unwrap().last_transition_time, at(3));
//! ```

use k8s_openapi::api::apps::v1::{DaemonSetCondition, DeploymentCondition, ReplicaSetCondition};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerCondition;
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::certificates::v1::CertificateSigningRequestCondition;
use k8s_openapi::api::core::v1::{NamespaceCondition, NodeCondition, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use crate::{Field, View};

/// The status of a condition that holds.
pub const TRUE: &str = "True";
/// The status of a condition that does not hold.
pub const FALSE: &str = "False";

/// The status that says whether a condition holds.
pub fn status(holds: bool) -> &'static str {
    if holds { TRUE } else { FALSE }
}

/// A typed condition.
pub trait Condition {
    /// `type`
    fn kind(&self) -> &str;
    /// `True`, `False` or `Unknown`
    fn status(&self) -> &str;
    /// `reason`, or `""`
    fn reason(&self) -> &str;
    /// `message`, or `""`
    fn message(&self) -> &str;
    /// `lastTransitionTime`
    fn since(&self) -> Option<&meta::Time>;
    /// Takes over the time of the last transition.
    fn keep_transition_time(&mut self, of: &Self);
}

/// One of the conditions, by its type.
pub fn find<'a, C: Condition>(conditions: &'a Option<Vec<C>>, kind: &str) -> Option<&'a C> {
    conditions.iter().flatten().find(|condition| condition.kind() == kind)
}

/// Whether a condition is true.
pub fn is_true<C: Condition>(conditions: &Option<Vec<C>>, kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status() == TRUE)
}

/// Whether two conditions of one type say the same: status, reason and message.
pub fn says_the_same(one: &impl Condition, other: &impl Condition) -> bool {
    one.status() == other.status() && one.reason() == other.reason() && one.message() == other.message()
}

/// Sets a condition at the position of the one with its type, or at the end. While the status stays the same, so does
/// the time of the last transition.
pub fn set<C: Condition>(conditions: &mut Option<Vec<C>>, mut condition: C) {
    keep_time(conditions, &mut condition);
    let list = conditions.get_or_insert_default();
    match list.iter_mut().find(|old| old.kind() == condition.kind()) {
        Some(old) => *old = condition,
        None => list.push(condition),
    }
}

/// Sets a condition as [`set`] does, but at the end whatever stood where: the newest comes last.
pub fn set_last<C: Condition>(conditions: &mut Option<Vec<C>>, mut condition: C) {
    keep_time(conditions, &mut condition);
    let list = conditions.get_or_insert_default();
    list.retain(|old| old.kind() != condition.kind());
    list.push(condition);
}

/// Removes a condition, and the list too if it is empty then.
pub fn remove<C: Condition>(conditions: &mut Option<Vec<C>>, kind: &str) {
    if let Some(list) = conditions {
        list.retain(|condition| condition.kind() != kind);
        if list.is_empty() {
            *conditions = None;
        }
    }
}

/// Makes the time of the last transition that of `old`, if the status is still the same.
pub fn keep_time<C: Condition>(old: &Option<Vec<C>>, condition: &mut C) {
    if let Some(old) = find(old, condition.kind()).filter(|old| old.status() == condition.status()) {
        condition.keep_transition_time(old);
    }
}

/// The condition of this type in an object's status; absent if there is none.
pub fn of<'a>(object: &'a dyn View, kind: &str) -> Field<'a> {
    let mut all = object.field("status").field("conditions").items();
    all.find(|condition| condition.field("type").text() == kind).unwrap_or_default()
}

/// Whether a condition in an object's status holds.
pub fn holds(object: &dyn View, kind: &str) -> bool {
    of(object, kind).field("status").text() == TRUE
}

/// Reads a text that some structs make optional.
trait Text {
    fn text(&self) -> &str;
}

impl Text for String {
    fn text(&self) -> &str {
        self
    }
}

impl Text for Option<String> {
    fn text(&self) -> &str {
        self.as_deref().unwrap_or_default()
    }
}

/// A time that some structs make optional; one that is not there is not taken over.
trait Time {
    fn get(&self) -> Option<&meta::Time>;
    fn keep(&mut self, of: &Self);
}

impl Time for meta::Time {
    fn get(&self) -> Option<&meta::Time> {
        Some(self)
    }

    fn keep(&mut self, of: &meta::Time) {
        self.clone_from(of);
    }
}

impl Time for Option<meta::Time> {
    fn get(&self) -> Option<&meta::Time> {
        self.as_ref()
    }

    fn keep(&mut self, of: &Option<meta::Time>) {
        if of.is_some() {
            self.clone_from(of);
        }
    }
}

macro_rules! conditions {
    ($($of:ty),*) => {$(
        impl Condition for $of {
            fn kind(&self) -> &str {
                self.type_.text()
            }

            fn status(&self) -> &str {
                self.status.text()
            }

            fn reason(&self) -> &str {
                self.reason.text()
            }

            fn message(&self) -> &str {
                self.message.text()
            }

            fn since(&self) -> Option<&meta::Time> {
                self.last_transition_time.get()
            }

            fn keep_transition_time(&mut self, of: &Self) {
                self.last_transition_time.keep(&of.last_transition_time);
            }
        }
    )*};
}

conditions!(
    meta::Condition,
    PodCondition,
    NodeCondition,
    NamespaceCondition,
    DeploymentCondition,
    ReplicaSetCondition,
    DaemonSetCondition,
    JobCondition,
    CertificateSigningRequestCondition,
    HorizontalPodAutoscalerCondition
);
