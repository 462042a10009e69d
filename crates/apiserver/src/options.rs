//! The options that requests carry in their query or body.

use std::num::{IntErrorKind, ParseIntError};

use object::{FieldSelector, Selector, SelectorError, Status, Value, field};

use crate::request::RequestInfo;

mod write;

pub use write::WriteOptions;

/// The version that a read requires (`resourceVersionMatch`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// This version or a newer one.
    NotOlderThan,
    /// Exactly this version.
    Exact,
    /// Something that lists and watches refuse.
    Other(String),
}

impl VersionMatch {
    fn text(&self) -> &str {
        match self {
            VersionMatch::NotOlderThan => "NotOlderThan",
            VersionMatch::Exact => "Exact",
            VersionMatch::Other(text) => text,
        }
    }
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
    /// `ignoreStoreReadErrorWithClusterBreakingPotential`
    pub ignore_read_error: Option<bool>,
    /// `includeObject` (of tables); what it says counts only for these
    pub include_object: String,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
const IGNORE: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

/// Whether a verb takes a `resourceVersion`.
fn reads(verb: &str) -> bool {
    matches!(verb, "get" | "list" | "watch" | "deletecollection")
}

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
        let lists = matches!(&*info.verb, "list" | "watch" | "deletecollection");
        let whole = |name, is_read: bool| {
            let value = parameters.get(name).filter(|_| is_read);
            value.map(number).transpose()
        };
        let switch = |name| parameters.get(name).map(|_| parameters.is_true(name));
        let kind = write_options(&info.verb);
        let unreadable = |error: SelectorError| Status::bad_request(error.to_string());
        Ok(Query {
            labels: info.selectors.labels.clone().transpose().map_err(unreadable)?,
            fields: info.selectors.fields.clone().transpose().map_err(unreadable)?,
            resource_version: match text("resourceVersion") {
                Some(text) if reads(&info.verb) => Some(version(&info.verb, text)?),
                _ => None,
            },
            version_match: text("resourceVersionMatch").map(version_match),
            limit: whole("limit", lists)?.map_or(0, |limit| usize::try_from(limit).unwrap_or(0)),
            continue_token: text("continue").map(str::to_owned),
            timeout_seconds: whole("timeoutSeconds", lists)?
                .and_then(|t| u64::try_from(t).ok())
                .filter(|t| *t > 0),
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
            grace_period_seconds: whole("gracePeriodSeconds", kind == Some(DELETE_OPTIONS))?,
            propagation: match text("propagationPolicy") {
                Some(policy) if kind == Some(DELETE_OPTIONS) => Some(propagation(policy)?),
                _ => None,
            },
            orphan_dependents: text("orphanDependents").and_then(|_| switch("orphanDependents")),
            ignore_read_error: text(IGNORE).and_then(|_| switch(IGNORE)),
            include_object: text("includeObject").unwrap_or_default().to_owned(),
        })
    }

    /// The part of each object that the rows of a table contain.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn include_object(&self) -> Result<IncludeObject, Status> {
        match self.include_object.as_str() {
            "" | "Metadata" => Ok(IncludeObject::Metadata),
            "None" => Ok(IncludeObject::None),
            "Object" => Ok(IncludeObject::Object),
            other => {
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let error = field::Error::invalid(&field::Path::root("includeObject"), other, why);
                Err(Status::bad_request(format!("Unable to convert to Table as requested: {error}")))
            }
        }
    }

    /// The same query as a watch, with upstream's defaults: a watch from no version or from `0` begins with the
    /// existing objects, and tells where they end (KEP-3157).
    #[must_use]
    pub fn as_watch(&self) -> Query {
        let mut query = Query { watch: true, ..self.clone() };
        let is_unsaid = query.initial_events.is_none() && query.version_match.is_none();
        if is_unsaid && matches!(query.resource_version, None | Some(0)) {
            query.initial_events = Some(true);
            query.version_match = Some(VersionMatch::NotOlderThan);
        }
        query
    }

    /// Checks the parameters of a list or a watch against each other (upstream: `ValidateListOptions`).
    ///
    /// # Errors
    /// 422 with the field paths of contradictory parameters.
    pub fn check_list(&self) -> Result<(), Status> {
        let mut errors = field::Errors::default();
        if self.watch {
            self.check_watch(&mut errors);
        } else {
            self.check_match(&mut errors);
            if self.initial_events.is_some() {
                let path = field::Path::root("sendInitialEvents");
                errors.forbidden(&path, "sendInitialEvents is forbidden for list");
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Status::invalid("meta.k8s.io", "ListOptions", "", &errors))
        }
    }

    fn check_match(&self, errors: &mut field::Errors) {
        let Some(wanted) = &self.version_match else { return };
        let path = field::Path::root("resourceVersionMatch");
        if self.resource_version.is_none() {
            errors.forbidden(&path, "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if self.continue_token.is_some() {
            errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
        }
        if matches!(wanted, VersionMatch::Other(_)) {
            errors.not_supported(&path, wanted.text(), &["Exact", "NotOlderThan", ""]);
        }
        if *wanted == VersionMatch::Exact && self.resource_version == Some(0) {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.forbidden(&path, why);
        }
    }

    fn check_watch(&self, errors: &mut field::Errors) {
        let path = field::Path::root("resourceVersionMatch");
        let wanted = self.version_match.as_ref();
        let fits = wanted == Some(&VersionMatch::NotOlderThan);
        if self.initial_events.is_some() && !fits {
            errors
                .forbidden(&path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        let Some(wanted) = wanted else { return };
        if self.initial_events.is_none() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.forbidden(&path, why);
        }
        if !fits {
            errors.not_supported(&path, wanted.text(), &["NotOlderThan"]);
        }
        if self.continue_token.is_some() {
            errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
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
    /// `ignoreStoreReadErrorWithClusterBreakingPotential`: deletes an object that cannot be read, and only such (KEP-3926).
    pub ignore_read_error: bool,
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
            ignore_read_error: query.ignore_read_error == Some(true),
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
                policy => options.check_alone(policy.is_some(), query.orphan_dependents.is_some(), false),
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
        options.ignore_read_error = body.get(IGNORE).as_bool().unwrap_or(options.ignore_read_error);
        let has = |member: &str| !body.get(member).is_null();
        options.check_alone(has("propagationPolicy"), has("orphanDependents"), has("preconditions"))
    }

    /// Where nothing is known of the object, most options mean nothing.
    fn check_alone(
        self,
        has_policy: bool,
        has_orphan: bool,
        has_preconditions: bool,
    ) -> Result<DeleteOptions, Status> {
        let mut errors = field::Errors::default();
        for (is_set, option) in [
            (has_policy, "propagationPolicy"),
            (has_orphan, "orphanDependents"),
            (self.grace_period_seconds.is_some(), "gracePeriodSeconds"),
            (has_preconditions, "preconditions"),
        ] {
            if self.ignore_read_error && is_set {
                let why = format!("cannot be set together with .{option}");
                errors.invalid(&field::Path::root(IGNORE), true, why);
            }
        }
        match errors.is_empty() {
            true => Ok(self),
            false => Err(Status::invalid("meta.k8s.io", DELETE_OPTIONS, "", &errors)),
        }
    }

    /// Checks options of the deletion of a collection.
    ///
    /// # Errors
    /// 422
    pub fn check_collection(&self) -> Result<(), Status> {
        let why = "is not allowed with DELETECOLLECTION, try again after removing the option";
        match self.ignore_read_error {
            true => Err(invalid_delete(field::Error::invalid(&field::Path::root(IGNORE), true, why))),
            false => Ok(()),
        }
    }
}

fn from_orphan(orphan: bool) -> Propagation {
    if orphan { Propagation::Orphan } else { Propagation::Background }
}

fn invalid_delete(error: field::Error) -> Status {
    Status::invalid("meta.k8s.io", DELETE_OPTIONS, "", &field::Errors::from(error))
}

/// A number as Go reads it.
fn number(value: &str) -> Result<i64, Status> {
    value.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Status::bad_request(format!("strconv.ParseInt: parsing {value:?}: {why}"))
    })
}

fn version(verb: &str, value: &str) -> Result<u64, Status> {
    let why = match value.bytes().all(|byte| byte.is_ascii_digit()) {
        true => match value.parse() {
            Ok(version) => return Ok(version),
            Err(_) => "value out of range",
        },
        false => "invalid syntax",
    };
    let why = format!("strconv.ParseUint: parsing {value:?}: {why}");
    let error = field::Error::invalid(&field::Path::root("resourceVersion"), value, &*why);
    match verb {
        "list" | "deletecollection" => Err(Status::bad_request(format!("invalid resource version: {error}"))),
        _ => Err(Status::invalid("meta.k8s.io", "ListOptions", "", &field::Errors::from(error))),
    }
}

fn version_match(value: &str) -> VersionMatch {
    match value {
        "NotOlderThan" => VersionMatch::NotOlderThan,
        "Exact" => VersionMatch::Exact,
        other => VersionMatch::Other(other.to_owned()),
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
