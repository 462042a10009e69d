//! Creating objects.

use object::{Reason, Status, Value};
use schema::GroupResource;
use store::Expect;

use super::guards::WriteRequest;
use super::{Answer, AnswerBody, Call, Endpoint, Registry, metadata, service};
use crate::admission::Operation;
use crate::cache::Collection;
use crate::errors::from_store;
use crate::user::User;

/// How often a generated name is drawn anew when it is taken.
const NAME_TRIES: usize = 8;

/// By which request an object is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A creation.
    Create,
    /// A creation that leaves the end of the name to the server.
    CreateWithNewName,
    /// An update of what does not exist.
    Update,
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
            return self.create_once(endpoint, call, object, Origin::Create).await;
        }
        let mut tries = NAME_TRIES;
        loop {
            tries -= 1;
            let result = self.create_once(endpoint, call, object.clone(), Origin::CreateWithNewName).await;
            match result {
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

    /// Makes the object that an update found missing.
    ///
    /// # Errors
    /// As [`Registry::create`]; 403 also where the user may update but not create it.
    pub(super) async fn create_by_update(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        object: Value,
    ) -> Result<Answer, Status> {
        self.create_once(endpoint, call, object, Origin::Update).await
    }

    async fn create_once(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        mut object: Value,
        origin: Origin,
    ) -> Result<Answer, Status> {
        let collection = endpoint.stored("create")?;
        if !object.str_at("metadata.resourceVersion").is_empty() {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        metadata::settle_namespace(endpoint, call, &mut object)?;
        if origin == Origin::CreateWithNewName {
            metadata::generate_name(&mut object, &self.clock);
        }
        let name = object.str_at("metadata.name").to_owned();
        let asked = call;
        let call = Call { name: &name, ..*call };
        let what = call.attributes(Operation::Create, endpoint);
        metadata::stamp(&mut object, &self.clock, endpoint.strategy.tracks_generation());
        endpoint.strategy.default(&mut object);
        self.admission.admit(&what, &mut object).await?;
        endpoint.strategy.default(&mut object);
        endpoint.strategy.prepare_create(&mut object);
        if endpoint.def.group_resource() == GroupResource::CERTIFICATE_SIGNING_REQUESTS {
            record_requester(&mut object, call.user);
        }
        service::normalize(endpoint, &mut object, None);
        endpoint.strategy.set_times(&mut object, &Value::Null, &self.clock);
        let write = WriteRequest {
            endpoint,
            call: asked,
            object: &object,
            old: None,
            creates_by_update: origin == Origin::Update,
        };
        self.guards.check(&write).await?;
        // Before validation, which wants to see what was given out.
        let allocation = self.services.allocate(endpoint, &mut object, None, call.dry_run).await?;
        let result = self.check_and_insert(endpoint, collection, &call, object).await;
        if result.is_err() || call.dry_run {
            self.services.release(allocation).await;
        }
        result
    }

    async fn check_and_insert(
        &self,
        endpoint: &Endpoint,
        collection: &Collection,
        call: &Call<'_>,
        object: Value,
    ) -> Result<Answer, Status> {
        let mut errors = metadata::validate(endpoint, &object);
        errors.append(endpoint.strategy.validate(&object));
        if !errors.is_empty() {
            return Err(Status::invalid(&endpoint.def.group, &endpoint.def.kind, call.name, &errors));
        }
        let what = call.attributes(Operation::Create, endpoint);
        self.admission.validate(&what, &object, &Value::Null).await?;
        let warnings = endpoint.strategy.warnings(&object, None);
        let stored = endpoint.stored_value(object).await?;
        let body = self.insert(endpoint, collection, call, stored).await?;
        Ok(Answer { warnings, ..Answer::created(body) })
    }

    async fn insert(
        &self,
        endpoint: &Endpoint,
        collection: &Collection,
        call: &Call<'_>,
        object: Value,
    ) -> Result<AnswerBody, Status> {
        let key = collection.store_key(call.namespace, call.name);
        let exists = || Status::already_exists(&endpoint.def.group, &endpoint.def.plural, call.name);
        if call.dry_run {
            let found = self.hub.store().range(store::RangeRequest::exact(key)).await.map_err(from_store)?;
            return if found.kvs.is_empty() {
                Ok(AnswerBody::Value(endpoint.present_value(object).await?))
            } else {
                Err(exists())
            };
        }
        let written = collection.write(self.hub.store().as_ref(), key, object, Expect::Absent).await;
        let version = written.map_err(from_store)?.ok_or_else(exists)?;
        Ok(AnswerBody::Version(endpoint.present(&version).await?))
    }
}

/// A signing request says who asks, whatever the client wrote there.
fn record_requester(object: &mut Value, user: &User) {
    let strings =
        |list: &[String]| Value::from(list.iter().map(|s| Value::from(s.as_str())).collect::<Vec<_>>());
    let spec = object.entry("spec");
    for member in ["uid", "extra"] {
        spec.remove(member);
    }
    spec.set("username", user.name.as_str());
    spec.set("groups", strings(&user.groups));
    if !user.uid.is_empty() {
        spec.set("uid", user.uid.as_str());
    }
    for (key, values) in &user.extra {
        spec.entry("extra").set(key.clone(), strings(values));
    }
}
