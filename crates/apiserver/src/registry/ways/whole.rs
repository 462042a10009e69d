//! Writes of the whole object: its body, or a change to it.

use async_trait::async_trait;
use object::{Status, Value};

use super::change::{Change, Make};
use super::{Answer, At, Way};

pub(super) struct Whole;

#[async_trait]
impl Way for Whole {
    async fn create(&self, at: &At<'_>, body: Value) -> Result<Answer, Status> {
        at.registry.create(at.endpoint, at.call, body).await
    }

    async fn change(&self, at: &At<'_>, make: &mut dyn Make) -> Result<Answer, Status> {
        at.registry.modify(at.endpoint, at.call, Change::MAIN, make).await
    }

    async fn replace(&self, at: &At<'_>, body: Value) -> Result<Answer, Status> {
        at.registry.update(at.endpoint, at.call, body).await
    }
}
