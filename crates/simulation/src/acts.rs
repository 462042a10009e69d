//! What tests do as the administrator, whose requests meet no faults. All of it panics if the server refuses.

use std::sync::Arc;

use client::{ClientError, ListOptions, Object, Patch, key_of};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use object::ObjectKey;

use crate::Server;

impl Server {
    /// Lets pods be created in a namespace, which is made if it is not there: it gets the account that pods run under, as
    /// the controllers give it one. Pods get no token, so that they are as they were sent.
    pub async fn open(&self, namespace: &str) {
        if self.find::<Namespace>(&ObjectKey::cluster(namespace)).await.is_none() {
            let mut object = Namespace::default();
            object.metadata.name = Some(namespace.to_owned());
            self.create(&object).await;
        }
        let mut account = ServiceAccount::default();
        account.metadata.name = Some("default".to_owned());
        account.metadata.namespace = Some(namespace.to_owned());
        account.automount_service_account_token = Some(false);
        self.put(&account).await;
    }

    /// Creates an object with its status. UID and version are the server's, whatever it says.
    pub async fn create<K: Object>(&self, object: &K) -> K {
        let admin = self.admin();
        let mut new = object.clone();
        (new.metadata_mut().uid, new.metadata_mut().resource_version) = (None, None);
        let mut created = admin.create(&new).await.unwrap_or_else(|error| fail::<K>("create", error));
        let status = serde_json::to_value(object).map(|json| json["status"].clone()).unwrap_or_default();
        if !status.is_null() {
            created = self.patch_status::<K>(&key_of(&created), status).await;
        }
        created
    }

    /// Creates an object with its status, or changes the existing one to match; fields that are not given stay.
    pub async fn put<K: Object>(&self, object: &K) -> K {
        let key = key_of(object);
        if self.find::<K>(&key).await.is_none() {
            return self.create(object).await;
        }
        let mut change = serde_json::to_value(object).expect("a typed object has a JSON form");
        let status = change["status"].take();
        for field in ["uid", "resourceVersion"] {
            change["metadata"].as_object_mut().and_then(|meta| meta.remove(field));
        }
        change.as_object_mut().and_then(|members| members.remove("status"));
        let patched = self.patch::<K>(&key, change).await;
        if status.is_null() { patched } else { self.patch_status::<K>(&key, status).await }
    }

    /// Changes parts of an object's status.
    pub async fn patch_status<K: Object>(&self, key: &ObjectKey, status: serde_json::Value) -> K {
        let change = Patch::Merge(serde_json::json!({"status": status}));
        self.admin().patch(key, "status", &change).await.unwrap_or_else(|error| fail::<K>("patch", error))
    }

    /// Changes parts of an object.
    pub async fn patch<K: Object>(&self, key: &ObjectKey, change: serde_json::Value) -> K {
        let patched = self.admin().patch(key, "", &Patch::Merge(change)).await;
        patched.unwrap_or_else(|error| fail::<K>("patch", error))
    }

    /// One object, if it exists.
    pub async fn find<K: Object>(&self, key: &ObjectKey) -> Option<K> {
        self.admin().find(key).await.unwrap_or_else(|error| fail::<K>("get", error))
    }

    /// All objects of a kind, by namespace and name.
    pub async fn list<K: Object>(&self) -> Vec<K> {
        let list = self.admin().list::<K>("", &ListOptions::default()).await;
        let list = list.unwrap_or_else(|error| fail::<K>("list", error));
        list.items.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// Takes an object away at once, without grace.
    pub async fn remove<K: Object>(&self, key: &ObjectKey) {
        let options = client::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
        self.admin().delete::<K>(key, &options).await.unwrap_or_else(|error| fail::<K>("delete", error));
    }
}

fn fail<K: Object>(verb: &str, error: ClientError) -> ! {
    panic!("cannot {verb} a {}: {error}", K::KIND)
}
