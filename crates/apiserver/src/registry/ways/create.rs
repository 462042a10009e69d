//! Creating objects.

use object::{Reason, Status, Value};

use super::super::write::{Effect, Fate, ManagerOperation, NULL, Part, WriteRequest};
use super::super::{Answer, Call, Endpoint, Registry, metadata};
use crate::admission::Operation;

/// How often a new name is generated when one is taken.
const NAME_TRIES: usize = 8;

/// Why an object is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insertion {
    /// Somebody creates it.
    Asked,
    /// An update did not find it.
    ByUpdate,
    /// A configuration is applied that has no object yet.
    ByApply,
}

impl Registry {
    /// Makes an object.
    ///
    /// # Errors
    /// 400, 403, 409 or 422, as upstream answers.
    pub async fn create(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        object: Value,
    ) -> Result<Answer, Status> {
        let generates =
            object.str_at("metadata.name").is_empty() && !object.str_at("metadata.generateName").is_empty();
        if !generates {
            return self.insert_new(endpoint, call, object, Insertion::Asked).await;
        }
        let mut tries = NAME_TRIES;
        loop {
            tries -= 1;
            let mut named = object.clone();
            metadata::generate_name(&mut named, &self.clock);
            match self.insert_new(endpoint, call, named, Insertion::Asked).await {
                Err(status) if status.reason == Reason::AlreadyExists => {
                    if tries == 0 {
                        let name = status.details.map(|details| details.name).unwrap_or_default();
                        let def = &endpoint.def;
                        return Err(Status::generate_name_conflict(&def.group, &def.plural, &name, 1));
                    }
                }
                result => return result,
            }
        }
    }

    /// Makes an object that has its name already, also for an update or an apply that found none.
    ///
    /// # Errors
    /// As [`Registry::create`]; 403 also where the user may update but not create it.
    pub(super) async fn insert_new(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        object: Value,
        insertion: Insertion,
    ) -> Result<Answer, Status> {
        endpoint.stored("create")?;
        if endpoint.terminating {
            let why = "create not allowed while custom resource definition is terminating";
            let def = &endpoint.def;
            return Err(Status::forbidden(&def.group, &def.plural, object.str_at("metadata.name"), why));
        }
        if !matches!(object.str_at("metadata.resourceVersion"), "" | "0") {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let name = object.str_at("metadata.name").to_owned();
        let write = WriteRequest {
            endpoint,
            call,
            name: &name,
            operation: Operation::Create,
            part: Part::Main,
            effect: Effect::Insert,
            object,
            old: &NULL,
            request: None,
            manages: match insertion {
                Insertion::Asked | Insertion::ByUpdate => ManagerOperation::Update,
                Insertion::ByApply => ManagerOperation::Apply,
            },
            creates_by_update: insertion != Insertion::Asked,
            fate: Fate::Kept,
        };
        let answer = self.run(write).await?;
        // An absent object cannot have been changed by another write.
        answer.ok_or_else(|| endpoint.conflict(&name, object::MODIFIED))
    }
}
