//! Patching objects.

use object::{Reason, Status, Value, patch};

use super::super::Answer;
use super::super::decode::Expected;
use super::{At, Way};
use crate::negotiate::media_type;
use crate::options::FieldValidation;

/// The form of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// A list of operations (RFC 6902).
    Json,
    /// A partial object (RFC 7386).
    Merge,
    /// A partial object whose lists merge by the API definition.
    StrategicMerge,
}

impl PatchKind {
    /// The media types that are understood.
    pub const MEDIA_TYPES: [&'static str; 3] = [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ];

    /// The form that a `Content-Type` names.
    ///
    /// # Errors
    /// 415 for anything else.
    pub fn of(content_type: Option<&str>) -> Result<PatchKind, Status> {
        match &*media_type(content_type.unwrap_or_default()) {
            "application/json-patch+json" => Ok(PatchKind::Json),
            "application/merge-patch+json" => Ok(PatchKind::Merge),
            "application/strategic-merge-patch+json" => Ok(PatchKind::StrategicMerge),
            _ => Err(Status::unsupported_media_type(&PatchKind::MEDIA_TYPES)),
        }
    }
}

/// A patch, read and ready to be applied.
pub struct Patch {
    kind: PatchKind,
    content: Value,
    validation: FieldValidation,
}

impl Patch {
    /// Reads the body of a patch.
    ///
    /// # Errors
    /// 400 if it is not JSON, which all kinds of patches are.
    pub fn read(kind: PatchKind, body: &[u8], validation: FieldValidation) -> Result<Patch, Status> {
        let content = object::json::parse(body)
            .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        Ok(Patch { kind, content, validation })
    }

    /// A patch that came as a tree. Of members that it has twice the last counts, as in text.
    pub fn new(kind: PatchKind, mut content: Value, validation: FieldValidation) -> Patch {
        content.drop_duplicates();
        Patch { kind, content, validation }
    }

    /// The object after the patch, with the warnings for the client.
    ///
    /// # Errors
    /// 400 for a patch that makes no sense, 413 for one that is too much work, 422 for one that does not fit the object.
    fn apply(&self, old: &Value, expected: &Expected<'_>) -> Result<(Value, Vec<String>), Status> {
        let target = old.clone();
        let patched = match self.kind {
            PatchKind::Json => patch::json_patch(target, &self.content),
            PatchKind::Merge => patch::merge_patch(target, self.content.clone()),
            PatchKind::StrategicMerge => patch::strategic_merge(target, self.content.clone(), expected.ty),
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
            PatchKind::Json => self
                .content
                .items()
                .any(|operation| operation.str_at("path").starts_with("/metadata/resourceVersion")),
            PatchKind::Merge | PatchKind::StrategicMerge => {
                !self.content.at("metadata.resourceVersion").is_null()
            }
        }
    }
}

impl At<'_> {
    /// Patches the object at the path.
    ///
    /// # Errors
    /// As [`Way::change`], and what [`Patch::apply`] says.
    pub(crate) async fn patch(
        &self,
        way: &dyn Way,
        patch: &Patch,
        expected: &Expected<'_>,
    ) -> Result<Answer, Status> {
        let mut warnings = Vec::new();
        let mut make = |old: &Value| {
            let (object, found) = patch.apply(old, expected)?;
            warnings = found;
            Ok(object)
        };
        let mut answer = way.change(self, &mut make).await?;
        answer.warnings.extend(warnings);
        Ok(answer)
    }
}
