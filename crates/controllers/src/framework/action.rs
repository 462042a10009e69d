//! The actions of a plan.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use client::{DeleteOptions, EventType, Form, LeanPod, Object, Patch, ResourceType, key_of};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions as ApiDeleteOptions, Preconditions};
use object::{ObjectKey, TypedError, Value};

/// One thing to do.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Creates an object.
    Create {
        /// The object.
        object: Body,
        /// The event to record when it was created.
        announcement: Option<Announcement>,
    },
    /// Replaces an object, or a subresource of it (`status`, `finalize`).
    Update {
        /// The object, with the resource version that the plan was made from.
        object: Body,
        /// The subresource, or `""`.
        subresource: &'static str,
    },
    /// Changes parts of an object.
    Patch {
        /// The resource.
        resource: ResourceType,
        /// Which object.
        key: ObjectKey,
        /// The subresource, or `""`.
        subresource: &'static str,
        /// The change.
        patch: Patch,
    },
    /// Creates a subresource of an object: a pod's `binding` or `eviction`, a service account's `token`. The server's
    /// answer is ignored.
    CreateSubresource {
        /// The resource of the object.
        resource: ResourceType,
        /// Which object.
        key: ObjectKey,
        /// The subresource.
        subresource: &'static str,
        /// The subresource's object.
        body: Body,
    },
    /// Deletes an object; it is not an error if it is gone already.
    Delete {
        /// The resource.
        resource: ResourceType,
        /// Which object.
        key: ObjectKey,
        /// The options, with the UID as a precondition.
        options: DeleteOptions,
        /// The event to record when it is done.
        announcement: Option<Announcement>,
    },
    /// Deletes all objects of a resource in a namespace.
    DeleteCollection {
        /// The resource.
        resource: ResourceType,
        /// The namespace.
        namespace: String,
    },
    /// Fails unless the object with this UID exists and is not in deletion. It asks the server: before an
    /// adoption, the cache is not good enough.
    Verify {
        /// The resource.
        resource: ResourceType,
        /// Which object.
        key: ObjectKey,
        /// Its UID.
        uid: String,
    },
    /// Writes every object of a resource anew as it is, so that the server stores it in its present form. An object that is
    /// gone or has changed in the meantime is left alone.
    Rewrite {
        /// The resource.
        resource: ResourceType,
        /// Objects of later versions were written after this was decided, in the present form.
        up_to: u64,
        /// The field manager in whose name they are written; it gets no fields.
        manager: &'static str,
    },
    /// Records an event.
    Record(Note),
}

impl Action {
    /// Creates an object.
    pub(crate) fn create<K: Object>(object: K) -> Action {
        Action::Create { object: Body::new(object), announcement: None }
    }

    /// Replaces an object.
    pub(crate) fn update<K: Object>(object: K) -> Action {
        Action::Update { object: Body::new(object), subresource: "" }
    }

    /// Replaces an object's status.
    pub(crate) fn update_status<K: Object>(object: K) -> Action {
        Action::Update { object: Body::new(object), subresource: "status" }
    }

    /// Deletes just this object.
    pub(crate) fn delete<K: Form>(object: &K) -> Action {
        let options = DeleteOptions::of_uid(object.uid());
        Action::Delete { resource: ResourceType::of::<K>(), key: key_of(object), options, announcement: None }
    }

    /// Deletes exactly this pod, unless a disruption budget forbids it: then the action fails, and is retried later.
    #[cfg_attr(not(test), expect(dead_code, reason = "nothing drains nodes or scales them down yet"))]
    pub(crate) fn evict(pod: &LeanPod) -> Action {
        let mut eviction = Eviction::default();
        eviction.metadata.name = Some(pod.metadata.name().to_owned());
        eviction.metadata.namespace = Some(pod.metadata.namespace().to_owned());
        let preconditions = Preconditions { uid: Some(pod.metadata.uid.to_string()), resource_version: None };
        eviction.delete_options =
            Some(ApiDeleteOptions { preconditions: Some(preconditions), ..ApiDeleteOptions::default() });
        Action::CreateSubresource {
            resource: ResourceType::of::<LeanPod>(),
            key: key_of(pod),
            subresource: "eviction",
            body: Body::new(eviction),
        }
    }

    /// Sets the event that reports the creation or deletion.
    pub(crate) fn announced(mut self, told: Announcement) -> Action {
        if let Action::Create { announcement, .. } | Action::Delete { announcement, .. } = &mut self {
            *announcement = Some(told);
        }
        self
    }

    /// The object that is created or replaced, if it is of this type.
    #[cfg(test)]
    pub(crate) fn object<K: 'static>(&self) -> Option<&K> {
        match self {
            Action::Create { object, .. } | Action::Update { object, .. } => object.get(),
            _ => None,
        }
    }

    /// A short form for logs.
    pub(crate) fn summary(&self) -> String {
        match self {
            Action::Create { object, .. } => format!("create {} {}", object.resource.kind, object.key),
            Action::Update { object, subresource: "" } => {
                format!("update {} {}", object.resource.kind, object.key)
            }
            Action::Update { object, subresource } => {
                format!("update {subresource} of {} {}", object.resource.kind, object.key)
            }
            Action::Patch { resource, key, .. } => format!("patch {} {key}", resource.kind),
            Action::CreateSubresource { resource, key, subresource, .. } => {
                format!("create {subresource} of {} {key}", resource.kind)
            }
            Action::Delete { resource, key, .. } => format!("delete {} {key}", resource.kind),
            Action::DeleteCollection { resource, namespace } => {
                format!("delete all {resource} in {namespace}")
            }
            Action::Verify { resource, key, .. } => format!("verify {} {key}", resource.kind),
            Action::Rewrite { resource, .. } => format!("rewrite all {resource}"),
            Action::Record(note) => format!("record {}", note.reason),
        }
    }
}

/// An object of any kind, to be written.
#[derive(Clone)]
pub(crate) struct Body {
    pub(crate) resource: ResourceType,
    pub(crate) key: ObjectKey,
    object: Arc<dyn Writable>,
}

/// The executor's view of a typed object of any type.
trait Writable: Any + Send + Sync {
    fn tree(&self) -> Result<Value, TypedError>;
}

impl<K: Object> Writable for K {
    fn tree(&self) -> Result<Value, TypedError> {
        object::to_value(self)
    }
}

impl Body {
    /// Takes a typed object.
    pub(crate) fn new<K: Object>(object: K) -> Body {
        Body { resource: ResourceType::of::<K>(), key: key_of(&object), object: Arc::new(object) }
    }

    /// A typed object that is part of another one, as a `Scale` is of what it scales.
    pub(crate) fn part<K: Object>(of: ResourceType, key: ObjectKey, object: K) -> Body {
        Body { resource: of, key, object: Arc::new(object) }
    }

    /// The typed object, if it is of this type.
    pub(crate) fn get<K: 'static>(&self) -> Option<&K> {
        (&*self.object as &dyn Any).downcast_ref()
    }

    pub(super) fn tree(&self) -> Result<Value, TypedError> {
        self.object.tree()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = self.tree().unwrap_or_default();
        write!(f, "{} {} {tree:?}", self.resource.kind, self.key)
    }
}

/// An event to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    /// The object of the event.
    pub(crate) about: ObjectReference,
    /// The type of the event.
    pub(crate) kind: EventType,
    /// For programs.
    pub(crate) reason: &'static str,
    /// For users.
    pub(crate) message: String,
}

/// An event that reports a creation or deletion after it succeeded. Its text names the object, whose name may not be
/// known before.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    /// The object of the event.
    pub(crate) about: ObjectReference,
    /// For programs.
    pub(crate) reason: &'static str,
    /// Makes the message from the name of the object created or deleted.
    pub(crate) message: fn(&str) -> String,
}
