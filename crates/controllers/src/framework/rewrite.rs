//! Writes all objects of a resource anew, as they are.
//!
//! Each object gets an apply patch that names nothing but the object, in the version that was listed. It changes nothing; but
//! the server stores the result, unless that is what is stored already. With its version and UID, an object that was changed
//! since is not touched, and one that is gone is not created.

use client::{Client, ClientError, ListOptions, Patch, ResourceType, Target};
use futures::{StreamExt, TryStreamExt};
use object::Versioned;
use serde_json::json;

/// How many objects are listed at once.
const PAGE: u32 = 500;
/// How many are written at once: there is no hurry, and others use the server too.
const WRITES_AT_ONCE: usize = 16;

/// Writes the objects up to a version anew. What has been done is seen from the objects' versions, so that a second call
/// continues where the first one ended.
///
/// # Errors
/// The first failure; that an object is gone or has changed is none.
pub(super) async fn rewrite(
    client: &Client,
    resource: &ResourceType,
    up_to: u64,
    manager: &str,
) -> Result<(), ClientError> {
    let mut options = ListOptions { limit: PAGE, ..ListOptions::default() };
    loop {
        let page = match client.metadata_page(resource, &options).await {
            Err(error) if error.is_expired() && !options.continue_token.is_empty() => {
                // Objects that came since then are stored in the present form, so the pages need not fit together.
                options.continue_token = error.continuation().unwrap_or_default().to_owned();
                continue;
            }
            page => page?,
        };
        let due = page.items.iter().filter(|object| object.resource_version() <= up_to);
        let writes: Vec<_> = due.map(|object| write_anew(client, resource, object, manager)).collect();
        futures::stream::iter(writes).buffer_unordered(WRITES_AT_ONCE).try_collect::<()>().await?;
        if page.continue_token.is_empty() {
            return Ok(());
        }
        options.continue_token = page.continue_token;
    }
}

async fn write_anew(
    client: &Client,
    resource: &ResourceType,
    object: &Versioned,
    manager: &str,
) -> Result<(), ClientError> {
    let mut metadata = json!({
        "name": object.name(), "uid": object.uid().as_str(), "resourceVersion": object.resource_version().to_string(),
    });
    if !object.namespace().is_empty() {
        metadata["namespace"] = object.namespace().into();
    }
    let identity =
        json!({"apiVersion": resource.api_version(), "kind": &*resource.kind, "metadata": metadata});
    let patch = Patch::Apply { object: identity, field_manager: manager.to_owned(), force: false };
    let request = patch.request(Target::object(resource.clone(), object.key()))?;
    match client.connection().call(request).await {
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}
