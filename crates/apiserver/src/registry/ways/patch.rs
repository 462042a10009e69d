//! Patching objects.

use object::{Reason, Status, Value, patch};

use super::super::Answer;
use super::super::decode::Expected;
use super::apply::Configuration;
use super::{At, Way};
use crate::negotiate::media_type;
use crate::options::FieldValidation;

/// The form of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// A change of the object.
    Change(ChangeKind),
    /// The configuration that a manager wants (server-side apply), in YAML.
    Apply,
}

/// The form of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A list of operations (RFC 6902).
    Json,
    /// A partial object (RFC 7386).
    Merge,
    /// A partial object whose lists merge by the API definition.
    StrategicMerge,
}

impl PatchKind {
    /// The media types that are understood.
    pub const MEDIA_TYPES: [&'static str; 4] = [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ];

    /// The form that a `Content-Type` names.
    ///
    /// # Errors
    /// 415 for anything else.
    pub fn of(content_type: Option<&str>) -> Result<PatchKind, Status> {
        match &*media_type(content_type.unwrap_or_default()) {
            "application/json-patch+json" => Ok(PatchKind::Change(ChangeKind::Json)),
            "application/merge-patch+json" => Ok(PatchKind::Change(ChangeKind::Merge)),
            "application/strategic-merge-patch+json" => Ok(PatchKind::Change(ChangeKind::StrategicMerge)),
            "application/apply-patch+yaml" => Ok(PatchKind::Apply),
            _ => Err(Status::unsupported_media_type(&PatchKind::MEDIA_TYPES)),
        }
    }
}

/// A patch, read and ready to be applied.
pub enum Patch {
    /// A change of the object.
    Change(ObjectChange),
    /// The configuration that a manager wants.
    Apply(Configuration),
}

impl Patch {
    /// Reads the body of a patch.
    ///
    /// # Errors
    /// 400 if it is not JSON, or not YAML where it is applied.
    pub fn read(kind: PatchKind, body: &[u8], validation: FieldValidation) -> Result<Patch, Status> {
        match kind {
            PatchKind::Apply => Configuration::read(body, validation).map(Patch::Apply),
            PatchKind::Change(kind) => {
                let content = object::json::parse(body)
                    .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
                Ok(Patch::Change(ObjectChange { kind, content, validation }))
            }
        }
    }

    /// A patch that came as a tree. Of members that it has twice the last counts, as in text.
    pub fn new(kind: PatchKind, mut content: Value, validation: FieldValidation) -> Patch {
        content.drop_duplicates();
        match kind {
            PatchKind::Apply => Patch::Apply(Configuration::new(content)),
            PatchKind::Change(kind) => Patch::Change(ObjectChange { kind, content, validation }),
        }
    }
}

/// A change of an object.
pub struct ObjectChange {
    kind: ChangeKind,
    content: Value,
    validation: FieldValidation,
}

impl ObjectChange {
    /// The object after the patch, with the warnings for the client.
    ///
    /// # Errors
    /// 400 for a patch that makes no sense, 413 for one that is too much work, 422 for one that does not fit the object.
    fn apply(&self, old: &Value, expected: &Expected<'_>) -> Result<(Value, Vec<String>), Status> {
        let target = old.clone();
        let patched = match self.kind {
            ChangeKind::Json => patch::json_patch(target, &self.content),
            ChangeKind::Merge => patch::merge_patch(target, self.content.clone()),
            ChangeKind::StrategicMerge => patch::strategic_merge(target, self.content.clone(), expected.ty),
        };
        let patched = patched.map_err(|error| match error {
            patch::Error::DoesNotApply(_) => {
                let mut status = Status::failure(Reason::Invalid, error.to_string());
                status.message =
                    format!("the server rejected our request due to an error in our request: {error}");
                status
            }
            error => Status::from(error),
        })?;
        let mut body = expected.check(patched, self.validation)?;
        // Fields that the patch did not name are the object's, including its version.
        let version = body.value.str_at("metadata.resourceVersion");
        if version == old.str_at("metadata.resourceVersion") && !self.names_version() {
            body.value.entry("metadata").remove("resourceVersion");
        }
        Ok((body.value, body.warnings))
    }

    /// Whether the patch says on which version it rests.
    fn names_version(&self) -> bool {
        match self.kind {
            ChangeKind::Json => self
                .content
                .items()
                .any(|operation| operation.str_at("path").starts_with("/metadata/resourceVersion")),
            ChangeKind::Merge | ChangeKind::StrategicMerge => {
                !self.content.at("metadata.resourceVersion").is_null()
            }
        }
    }
}

impl At<'_> {
    /// Patches the object at the path.
    ///
    /// # Errors
    /// As [`Way::change`], and what the patch itself may answer.
    pub(crate) async fn patch(
        &self,
        way: &dyn Way,
        patch: &Patch,
        expected: &Expected<'_>,
    ) -> Result<Answer, Status> {
        let change = match patch {
            Patch::Change(change) => change,
            Patch::Apply(configuration) => return self.apply(way, configuration, expected).await,
        };
        let mut make = |old: &Value| {
            let (object, warnings) = change.apply(old, expected)?;
            self.call.warn(warnings);
            Ok(object)
        };
        way.change(self, &mut make).await
    }
}
