//! `status`: the actual state of an object, as opposed to the desired one.

use async_trait::async_trait;
use object::Value;

use super::change::{Change, Make};
use super::{Answer, At, Way};

pub(super) struct Status;

#[async_trait]
impl Way for Status {
    async fn change(&self, at: &At<'_>, make: &mut dyn Make) -> Result<Answer, object::Status> {
        at.registry.modify(at.endpoint, at.call, Change::STATUS, make).await
    }

    async fn replace(&self, at: &At<'_>, body: Value) -> Result<Answer, object::Status> {
        at.registry.update(at.endpoint, at.call, body).await
    }
}
