//! Server-side apply: a manager says what it wants, and the server makes the object so (KEP-555).

use async_trait::async_trait;
use managedfields::{ApplyError, Managers, Write};
use object::yaml::DuplicateKeys;
use object::{Cause, Reason, Status, Value};

use super::super::decode::Expected;
use super::super::managers::{self, Managed};
use super::super::pipeline::named;
use super::super::write::ManagerOperation;
use super::super::{Answer, Registry};
use super::change::{Change, Make};
use super::create::Insertion;
use super::{At, TRIES, Way};
use crate::options::FieldValidation;

/// What a manager wants of an object.
pub struct Configuration {
    content: Value,
    /// What is wrong with the text, but not with its meaning: keys that come twice.
    findings: Option<DuplicateKeys>,
    validation: FieldValidation,
}

impl Configuration {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 400 if it is not YAML.
    pub(super) fn read(body: &[u8], validation: FieldValidation) -> Result<Configuration, Status> {
        let (content, duplicates) = object::yaml::parse_reporting(body)
            .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
        Ok(Configuration { content, findings: duplicates, validation })
    }

    /// A configuration that came as a tree.
    pub(super) fn new(content: Value) -> Configuration {
        Configuration { content, findings: None, validation: FieldValidation::Ignore }
    }

    /// Checks that it is one of this kind.
    fn check(&self, expected: &Expected<'_>, namespace: &str) -> Result<(), Status> {
        let config = &self.content;
        let given = config.str_at("apiVersion");
        if given != expected.api_version {
            return Err(Status::bad_request(format!(
                "Incorrect version specified in apply patch. Specified patch version: {given}, expected: {}",
                expected.api_version
            )));
        }
        if !config.at("metadata.managedFields").is_null() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let kind = config.str_at("kind");
        let checked = if kind == expected.kind {
            managedfields::check(config, expected.ty)
        } else {
            Err(format!("no corresponding type for {given}, Kind={kind}, the path has {}", expected.kind))
        };
        checked.map_err(|why| {
            let named = config.str_at("metadata.namespace");
            let (namespace, name) =
                (if named.is_empty() { namespace } else { named }, config.str_at("metadata.name"));
            let version = if given.contains('/') { given.to_owned() } else { format!("/{given}") };
            failure(&format!(
                "failed to create typed patch object ({namespace}/{name}; {version}, Kind={kind}): {why}"
            ))
        })
    }

    /// The warnings that its text deserves.
    ///
    /// # Errors
    /// 400 if validation is strict.
    fn warnings(&self) -> Result<Vec<String>, Status> {
        match (&self.findings, self.validation) {
            (None, _) | (_, FieldValidation::Ignore) => Ok(Vec::new()),
            (Some(findings), FieldValidation::Warn) => Ok(findings.lines().collect()),
            (Some(findings), FieldValidation::Strict) => {
                Err(Status::bad_request(format!("error strict decoding YAML: {findings}")))
            }
        }
    }
}

/// 500 in upstream's form: what it does not give a reason of its own.
fn failure(message: &str) -> Status {
    Status::failure(Reason::Unknown, message)
}

/// Applies a configuration to the current state.
struct Applying<'a> {
    at: &'a At<'a>,
    configuration: &'a Configuration,
    expected: &'a Expected<'a>,
}

#[async_trait]
impl Make for Applying<'_> {
    async fn make(&mut self, old: &Value, change: &Change<'_>) -> Result<Value, Status> {
        self.apply_to(old, change).await
    }

    fn manages(&self) -> ManagerOperation {
        ManagerOperation::Apply
    }
}

impl Applying<'_> {
    /// The new state; of an object that does not exist if the current one is null.
    async fn apply_to(&mut self, old: &Value, change: &Change<'_>) -> Result<Value, Status> {
        let At { registry, endpoint, call, .. } = *self.at;
        self.configuration.check(self.expected, call.namespace)?;
        let managed = Managed::at(endpoint, call.subresource, &registry.catalogue);
        let config = &self.configuration.content;
        let now = registry.clock.now_seconds().to_string();
        let write = Write {
            manager: named(&call.options.field_manager),
            api_version: &managed.api_version,
            subresource: call.subresource,
            now: &now,
            scope: &managers::scope(endpoint, change.part),
        };
        let mut live = if old.is_null() { managed.zero() } else { old.clone() };
        let known =
            Managers::of(&live).map_err(|why| failure(&format!("failed to decode managed fields: {why}")))?;
        if let Some(metadata) = live.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        let force = call.options.force;
        let applied =
            managedfields::apply(managed.versions.as_ref(), &live, config, known, &write, force).await;
        let (object, managers) = applied.map_err(refusal)?;
        let mut body = self.expected.check(object, FieldValidation::Ignore)?;
        if !managers::write(&managers, &mut body.value) {
            return Err(managers::too_many());
        }
        if config.at("metadata.resourceVersion").is_null() {
            // It applies to the current version, whichever that is.
            body.value.entry("metadata").remove("resourceVersion");
        }
        call.warn(self.configuration.warnings()?);
        Ok(body.value)
    }

    /// Makes the object that does not exist yet; `None` if somebody else has made it meanwhile.
    async fn insert(&mut self, registry: &Registry) -> Result<Option<Answer>, Status> {
        let At { endpoint, call, .. } = *self.at;
        let mut object = self.apply_to(&Value::Null, &Change::MAIN).await?;
        let uid = object.str_at("metadata.uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(endpoint.conflict(call.name, &why));
        }
        super::change::check_name(call, &object)?;
        object.entry("metadata").remove("resourceVersion");
        match registry.insert_new(endpoint, call, object, Insertion::ByApply).await {
            Err(status) if status.reason == Reason::AlreadyExists => Ok(None),
            result => result.map(Some),
        }
    }
}

fn refusal(error: ApplyError) -> Status {
    let message = error.to_string();
    match error {
        ApplyError::Invalid(why) => failure(&why),
        ApplyError::Conflicts(conflicts) => {
            let cause = |conflict: managedfields::Conflict| Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: format!("conflict with {}", conflict.with),
                field: conflict.field,
            };
            Status::apply_conflict(conflicts.listed().into_iter().map(cause).collect(), message)
        }
    }
}

impl At<'_> {
    /// Applies a configuration; creates the object if there is none.
    ///
    /// # Errors
    /// As [`Way::change`]; 409 with the fields that other managers want otherwise, 500 for a configuration that is not of
    /// its kind.
    pub(super) async fn apply(
        &self,
        way: &dyn Way,
        configuration: &Configuration,
        expected: &Expected<'_>,
    ) -> Result<Answer, Status> {
        let mut applying = Applying { at: self, configuration, expected };
        let (endpoint, call) = (self.endpoint, self.call);
        for _ in 0..TRIES {
            let answer = match way.change(self, &mut applying).await {
                Err(status) if call.subresource.is_empty() && status == endpoint.not_found(call.name) => {
                    match applying.insert(self.registry).await? {
                        Some(answer) => answer,
                        None => continue,
                    }
                }
                result => result?,
            };
            return Ok(answer);
        }
        Err(endpoint.conflict(call.name, object::MODIFIED))
    }
}
