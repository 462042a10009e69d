//! The options that requests carry in their query or body.

use object::{FieldSelector, Selector, SelectorError, Status, Value, field};

use crate::request::RequestInfo;

mod write;

pub use write::WriteOptions;

/// The version that a read requires (`resourceVersionMatch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// This version or a newer one.
    NotOlderThan,
    /// Exactly this version.
    Exact,
}

/// What to do with unknown and duplicate fields (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and warn.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// All parameters of a query, parsed once. Parameters that do not apply to a verb are ignored, as upstream does.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// `labelSelector`
    pub labels: Option<Selector>,
    /// `fieldSelector`
    pub fields: Option<FieldSelector>,
    /// `resourceVersion`; `None` where missing or empty
    pub resource_version: Option<u64>,
    /// `resourceVersionMatch`
    pub version_match: Option<VersionMatch>,
    /// `limit`; 0 for none
    pub limit: usize,
    /// `continue`
    pub continue_token: Option<String>,
    /// `timeoutSeconds`
    pub timeout_seconds: Option<u64>,
    /// `watch`
    pub watch: bool,
    /// `allowWatchBookmarks`
    pub bookmarks: bool,
    /// `sendInitialEvents`
    pub initial_events: Option<bool>,
    /// `dryRun=All`
    pub dry_run: bool,
    /// `fieldValidation`
    pub field_validation: FieldValidation,
    /// `fieldManager`
    pub field_manager: String,
    /// `force` (of apply patches)
    pub force: bool,
    /// `pretty`
    pub pretty: bool,
    /// `gracePeriodSeconds`
    pub grace_period_seconds: Option<i64>,
    /// `propagationPolicy`
    pub propagation: Option<Propagation>,
    /// `orphanDependents`, which came before `propagationPolicy`
    pub orphan_dependents: Option<bool>,
    /// `includeObject` (of tables)
    pub include_object: IncludeObject,
}

impl Propagation {
    fn name(self) -> &'static str {
        match self {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        }
    }
}

/// What happens to an object's dependents when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They stay, without an owner.
    Orphan,
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
}

/// The part of each object that a table's rows contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Their metadata.
    #[default]
    Metadata,
    /// The whole objects.
    Object,
}

const DELETE_OPTIONS: &str = "DeleteOptions";

/// The kind of a write's options; reads have none.
fn write_options(verb: &str) -> Option<&'static str> {
    match verb {
        "create" => Some("CreateOptions"),
        "update" => Some("UpdateOptions"),
        "patch" => Some("PatchOptions"),
        "delete" | "deletecollection" => Some(DELETE_OPTIONS),
        _ => None,
    }
}

impl Query {
    /// Reads the query of a request.
    ///
    /// # Errors
    /// 400 for text that is malformed for its parameter, 422 for a value that is not allowed.
    pub fn read(info: &RequestInfo) -> Result<Query, Status> {
        let parameters = &info.parameters;
        let text = |name: &'static str| parameters.get(name).filter(|value| !value.is_empty());
        let whole = |name| text(name).map(|value| number(name, value)).transpose();
        let switch = |name| parameters.get(name).map(|_| parameters.is_true(name));
        let kind = write_options(&info.verb);
        let unreadable = |error: SelectorError| Status::bad_request(error.to_string());
        Ok(Query {
            labels: info.selectors.labels.clone().transpose().map_err(unreadable)?,
            fields: info.selectors.fields.clone().transpose().map_err(unreadable)?,
            resource_version: text("resourceVersion").map(version).transpose()?,
            version_match: text("resourceVersionMatch").map(version_match).transpose()?,
            limit: whole("limit")?.map_or(0, |limit| usize::try_from(limit).unwrap_or(0)),
            continue_token: text("continue").map(str::to_owned),
            timeout_seconds: whole("timeoutSeconds")?.and_then(|t| u64::try_from(t).ok()).filter(|t| *t > 0),
            watch: parameters.is_true("watch"),
            bookmarks: parameters.is_true("allowWatchBookmarks"),
            initial_events: switch("sendInitialEvents"),
            dry_run: match kind {
                Some(kind) => dry_run(kind, &parameters.all("dryRun").collect::<Vec<_>>())?,
                None => false,
            },
            field_validation: match (kind, text("fieldValidation")) {
                (None | Some(DELETE_OPTIONS), _) | (_, None) => FieldValidation::default(),
                (Some(kind), Some(value)) => field_validation(kind, value)?,
            },
            field_manager: parameters.get("fieldManager").unwrap_or_default().to_owned(),
            force: parameters.is_true("force"),
            pretty: parameters.is_true("pretty"),
            grace_period_seconds: whole("gracePeriodSeconds")?,
            propagation: match text("propagationPolicy") {
                Some(policy) if kind == Some(DELETE_OPTIONS) => Some(propagation(policy)?),
                _ => None,
            },
            orphan_dependents: text("orphanDependents").and_then(|_| switch("orphanDependents")),
            include_object: text("includeObject").map(include_object).transpose()?.unwrap_or_default(),
        })
    }

    /// Checks the parameters of a list or a watch against each other (upstream: `ValidateListOptions`).
    ///
    /// # Errors
    /// 422 with the field paths of contradictory parameters.
    pub fn check_list(&self) -> Result<(), Status> {
        let mut errors = field::Errors::default();
        let matching = field::Path::root("resourceVersionMatch");
        if self.watch {
            self.check_watch(&mut errors);
        } else if self.initial_events.is_some() {
            errors.forbidden(
                &field::Path::root("sendInitialEvents"),
                "sendInitialEvents is forbidden for list",
            );
        } else if let Some(wanted) = self.version_match {
            if self.resource_version.is_none() {
                errors.forbidden(
                    &matching,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                );
            }
            if self.continue_token.is_some() {
                errors.forbidden(&matching, "resourceVersionMatch is forbidden when continue is provided");
            }
            if wanted == VersionMatch::Exact && self.resource_version == Some(0) {
                errors.forbidden(
                    &matching,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                );
            }
        }
        if self.continue_token.is_some() && self.resource_version.is_some_and(|rv| rv > 0) {
            errors.forbidden(
                &field::Path::root("resourceVersion"),
                "specifying resource version is not allowed when using continue",
            );
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Status::invalid("meta.k8s.io", "ListOptions", "", &errors))
        }
    }

    fn check_watch(&self, errors: &mut field::Errors) {
        let matching = field::Path::root("resourceVersionMatch");
        if self.initial_events.is_some() {
            if self.version_match.is_none() {
                errors.forbidden(
                    &matching,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                );
            } else if self.version_match != Some(VersionMatch::NotOlderThan) {
                errors.not_supported(&matching, "Exact", &["NotOlderThan"]);
            }
            if self.initial_events == Some(true) && !self.bookmarks {
                errors.forbidden(
                    &field::Path::root("sendInitialEvents"),
                    "sendInitialEvents requires allowWatchBookmarks",
                );
            }
        } else if self.version_match.is_some() {
            errors.forbidden(
                &matching,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
    }
}

/// The options of a deletion, from its query and its body (a `DeleteOptions`); the body takes precedence.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// `gracePeriodSeconds`
    pub grace_period_seconds: Option<i64>,
    /// `propagationPolicy`
    pub propagation: Option<Propagation>,
    /// `preconditions.uid`
    pub uid: Option<String>,
    /// `preconditions.resourceVersion`
    pub resource_version: Option<String>,
    /// `dryRun`
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Reads the body if there is one, otherwise the query.
    ///
    /// # Errors
    /// 400 or 422 for values that are not possible.
    pub fn read(query: &Query, body: Option<&Value>) -> Result<DeleteOptions, Status> {
        let mut options = DeleteOptions {
            grace_period_seconds: query.grace_period_seconds,
            propagation: query.propagation.or_else(|| query.orphan_dependents.map(from_orphan)),
            dry_run: query.dry_run,
            ..DeleteOptions::default()
        };
        let both = |policy: &str| {
            let path = field::Path::root("propagationPolicy");
            let why = "orphanDependents and deletionPropagation cannot be both set";
            invalid_delete(field::Error::invalid(&path, policy, why))
        };
        let Some(body) = body else {
            return match query.propagation {
                Some(policy) if query.orphan_dependents.is_some() => Err(both(policy.name())),
                _ => Ok(options),
            };
        };
        let text = |path: &str| body.at(path).as_str().map(str::to_owned);
        options.grace_period_seconds =
            body.get("gracePeriodSeconds").as_i64().or(options.grace_period_seconds);
        options.uid = text("preconditions.uid");
        options.resource_version = text("preconditions.resourceVersion");
        let orphan = body.get("orphanDependents").as_bool();
        if let Some(policy) = text("propagationPolicy") {
            if orphan.is_some() {
                return Err(both(&policy));
            }
            options.propagation = Some(propagation(&policy)?);
        } else if let Some(orphan) = orphan {
            options.propagation = Some(from_orphan(orphan));
        }
        let dry: Vec<&str> = body.get("dryRun").items().filter_map(Value::as_str).collect();
        options.dry_run |= dry_run(DELETE_OPTIONS, &dry)?;
        Ok(options)
    }
}

fn from_orphan(orphan: bool) -> Propagation {
    if orphan { Propagation::Orphan } else { Propagation::Background }
}

fn invalid_delete(error: field::Error) -> Status {
    Status::invalid("meta.k8s.io", DELETE_OPTIONS, "", &field::Errors::from(error))
}

fn include_object(value: &str) -> Result<IncludeObject, Status> {
    match value {
        "Metadata" => Ok(IncludeObject::Metadata),
        "None" => Ok(IncludeObject::None),
        "Object" => Ok(IncludeObject::Object),
        other => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
    }
}

fn number(key: &str, value: &str) -> Result<i64, Status> {
    value.parse().map_err(|_| {
        Status::bad_request(format!(
            "unable to decode query parameter {key:?}: {value:?} is not a whole number"
        ))
    })
}

fn version(value: &str) -> Result<u64, Status> {
    value.parse().map_err(|_| {
        Status::invalid(
            "meta.k8s.io",
            "ListOptions",
            "",
            &field::Errors::from(field::Error::invalid(
                &field::Path::root("resourceVersion"),
                value,
                "must be a resource version that this server issued",
            )),
        )
    })
}

fn version_match(value: &str) -> Result<VersionMatch, Status> {
    match value {
        "NotOlderThan" => Ok(VersionMatch::NotOlderThan),
        "Exact" => Ok(VersionMatch::Exact),
        other => Err(Status::invalid(
            "meta.k8s.io",
            "ListOptions",
            "",
            &field::Errors::from(field::Error::not_supported(
                &field::Path::root("resourceVersionMatch"),
                other,
                &["Exact", "NotOlderThan"],
            )),
        )),
    }
}

fn propagation(value: &str) -> Result<Propagation, Status> {
    match value {
        "Orphan" => Ok(Propagation::Orphan),
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        other => Err(invalid_delete(field::Error::not_supported(
            &field::Path::root("propagationPolicy"),
            other,
            &["Background", "Foreground", "Orphan"],
        ))),
    }
}

fn field_validation(kind: &str, value: &str) -> Result<FieldValidation, Status> {
    match value {
        "Ignore" => Ok(FieldValidation::Ignore),
        "Warn" => Ok(FieldValidation::Warn),
        "Strict" => Ok(FieldValidation::Strict),
        other => Err(Status::invalid(
            "meta.k8s.io",
            kind,
            "",
            &field::Errors::from(field::Error::not_supported(
                &field::Path::root("fieldValidation"),
                other,
                &["Ignore", "Strict", "Warn"],
            )),
        )),
    }
}

fn dry_run(kind: &str, values: &[&str]) -> Result<bool, Status> {
    match values {
        [] => Ok(false),
        values if values.iter().all(|value| *value == "All") => Ok(true),
        values => Err(Status::invalid(
            "meta.k8s.io",
            kind,
            "",
            &field::Errors::from(field::Error::not_supported(
                &field::Path::root("dryRun"),
                values.iter().map(|value| Value::from(*value)).collect::<Vec<_>>(),
                &["All"],
            )),
        )),
    }
}
