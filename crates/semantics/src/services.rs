//! The identity of Services and EndpointSlices.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The namespace and name of a Service or EndpointSlice. Cloning it is cheap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl ServiceKey {
    /// The key of these names.
    pub fn new(namespace: &str, name: &str) -> ServiceKey {
        ServiceKey { namespace: namespace.into(), name: name.into() }
    }

    /// The key of the object with this metadata.
    pub fn of(meta: &ObjectMeta) -> ServiceKey {
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        ServiceKey { namespace: text(&meta.namespace), name: text(&meta.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_key_of_its_names() {
        let meta = ObjectMeta {
            namespace: Some("shop".to_owned()),
            name: Some("web".to_owned()),
            ..ObjectMeta::default()
        };
        assert_eq!(ServiceKey::of(&meta), ServiceKey::new("shop", "web"));
        assert_eq!(ServiceKey::of(&ObjectMeta::default()), ServiceKey::new("", ""));
        assert!(ServiceKey::new("a", "z") < ServiceKey::new("b", "a"), "namespaces come first");
    }
}
