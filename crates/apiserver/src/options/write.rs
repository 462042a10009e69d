//! The options of writes.

use object::{Status, Value, field, value};

use super::{DeleteOptions, FieldValidation, Propagation, Query};
use crate::request::RequestInfo;

/// How long the name of a field manager may be, in bytes.
const FIELD_MANAGER_MAX: usize = 128;

/// The options of a write: the part of `CreateOptions`, `UpdateOptions` and `PatchOptions` that the server acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// `dryRun`: nothing is stored.
    pub dry_run: bool,
    /// `fieldManager`: the owner of the fields that the write sets; the program's name if the client gives none.
    pub field_manager: String,
    /// `force` (of apply patches): fields of other managers are taken over.
    pub force: bool,
    /// `fieldValidation`
    pub field_validation: FieldValidation,
}

/// The options of the server's own writes.
impl Default for WriteOptions {
    fn default() -> WriteOptions {
        WriteOptions {
            dry_run: false,
            field_manager: "kube-apiserver".to_owned(),
            force: false,
            field_validation: FieldValidation::default(),
        }
    }
}

impl WriteOptions {
    /// Reads the options of a request from its query. `user_agent` names the field manager if the query does not, but not
    /// of a request that `applies` a configuration.
    ///
    /// # Errors
    /// 422 for a field manager that is too long, cannot be printed or lacks where it is required, and for `force` where
    /// nothing is applied.
    pub fn read(
        info: &RequestInfo,
        query: &Query,
        user_agent: Option<&str>,
        applies: bool,
    ) -> Result<WriteOptions, Status> {
        // Deletions have their own options.
        let Some(kind) = super::write_options(&info.verb).filter(|kind| *kind != super::DELETE_OPTIONS)
        else {
            return Ok(WriteOptions { dry_run: query.dry_run, ..WriteOptions::default() });
        };
        let mut errors = field::Errors::default();
        if applies && query.field_manager.is_empty() {
            errors.required(&field::Path::root("fieldManager"), "is required for apply patch");
        }
        if kind == "PatchOptions" && !applies && info.parameters.get("force").is_some() {
            errors.forbidden(&field::Path::root("force"), "may not be specified for non-apply patch");
        }
        check_field_manager(&query.field_manager, &mut errors);
        if !errors.is_empty() {
            return Err(Status::invalid("meta.k8s.io", kind, "", &errors));
        }
        let field_manager = match query.field_manager.as_str() {
            "" => program(user_agent.unwrap_or_default()),
            given => given.to_owned(),
        };
        Ok(WriteOptions {
            dry_run: query.dry_run,
            field_manager,
            force: query.force,
            field_validation: query.field_validation,
        })
    }

    /// The options as an object of the API of this kind, as admission plugins see them.
    pub fn to_value(&self, kind: &'static str) -> Value {
        let mut options = value!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        set_dry_run(&mut options, self.dry_run);
        if !self.field_manager.is_empty() {
            options.set("fieldManager", self.field_manager.as_str());
        }
        match self.field_validation {
            FieldValidation::Ignore => options.set("fieldValidation", "Ignore"),
            FieldValidation::Strict => options.set("fieldValidation", "Strict"),
            // Like an empty one.
            FieldValidation::Warn => {}
        }
        options
    }
}

impl DeleteOptions {
    /// The options as an object of the API, as admission plugins see them.
    pub fn to_value(&self) -> Value {
        let mut options = value!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
        set_dry_run(&mut options, self.dry_run);
        if let Some(seconds) = self.grace_period_seconds {
            options.set("gracePeriodSeconds", seconds);
        }
        if let Some(policy) = self.propagation {
            let policy = match policy {
                Propagation::Orphan => "Orphan",
                Propagation::Background => "Background",
                Propagation::Foreground => "Foreground",
            };
            options.set("propagationPolicy", policy);
        }
        if self.ignore_read_error {
            options.set("ignoreStoreReadErrorWithClusterBreakingPotential", true);
        }
        for (member, given) in [("uid", &self.uid), ("resourceVersion", &self.resource_version)] {
            if let Some(given) = given {
                options.entry("preconditions").set(member, given.as_str());
            }
        }
        options
    }
}

fn set_dry_run(options: &mut Value, dry_run: bool) {
    if dry_run {
        options.set("dryRun", value!(["All"]));
    }
}

fn check_field_manager(manager: &str, errors: &mut field::Errors) {
    let path = field::Path::root("fieldManager");
    if manager.len() > FIELD_MANAGER_MAX {
        errors.append(field::Error::too_long(&path, FIELD_MANAGER_MAX).into());
    }
    for (at, character) in manager.char_indices().filter(|(_, character)| !is_printable(*character)) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(character));
        errors.invalid(&path, manager, why);
    }
}

/// The name of a program in its `User-Agent`: the part before the first slash.
fn program(user_agent: &str) -> String {
    let mut name = String::new();
    let characters = user_agent.split('/').next().unwrap_or_default().chars();
    for character in characters.filter(|character| is_printable(*character)) {
        if name.len() + character.len_utf8() > FIELD_MANAGER_MAX {
            break;
        }
        name.push(character);
    }
    name
}

fn is_printable(character: char) -> bool {
    character == ' ' || !(character.is_control() || character.is_whitespace())
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn read(method: &Method, query: &str, user_agent: Option<&str>) -> Result<WriteOptions, Status> {
        read_as(method, query, user_agent, false)
    }

    fn read_as(
        method: &Method,
        query: &str,
        user_agent: Option<&str>,
        applies: bool,
    ) -> Result<WriteOptions, Status> {
        let path = "/api/v1/namespaces/default/configmaps/m";
        let info = RequestInfo::parse(method, path, Some(query));
        WriteOptions::read(&info, &Query::read(&info)?, user_agent, applies)
    }

    #[test]
    fn the_field_manager_is_the_program_unless_the_client_names_one() {
        let long = format!("{}/1", "\u{e4}".repeat(70));
        let table = [
            ("", None, "".to_owned()),
            ("", Some("kubectl/v1.37.0 (linux/amd64) kubernetes/abc"), "kubectl".to_owned()),
            ("", Some("a\tb\u{7f}c"), "abc".to_owned()),
            ("", Some(long.as_str()), "\u{e4}".repeat(64)),
            ("fieldManager=helm", Some("kubectl/v1"), "helm".to_owned()),
        ];
        for (query, user_agent, expected) in table {
            let options = read(&Method::PUT, query, user_agent).unwrap();
            assert_eq!(options.field_manager, expected, "{query} {user_agent:?}");
        }
    }

    #[test]
    fn managers_that_cannot_be_are_refused() {
        let long = format!("fieldManager={}", "m".repeat(129));
        let table = [
            (
                Method::POST,
                long.as_str(),
                "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes",
            ),
            (
                Method::PUT,
                "fieldManager=a%09",
                "UpdateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\t\": invalid character U+0009 (at position 1)",
            ),
            (
                Method::PATCH,
                "force=false",
                "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
            ),
        ];
        for (method, query, expected) in table {
            let status = read(&method, query, None).unwrap_err();
            assert_eq!((status.code, status.message.as_str()), (422, expected));
        }
    }

    #[test]
    fn who_applies_names_itself_and_may_force() {
        let status = read_as(&Method::PATCH, "force=true", Some("kubectl/v1"), true).unwrap_err();
        let expected = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
        assert_eq!((status.code, status.message.as_str()), (422, expected));
        let options = read_as(&Method::PATCH, "force=true&fieldManager=m", Some("kubectl/v1"), true).unwrap();
        assert!(options.force);
        assert_eq!(options.field_manager, "m");
    }

    #[test]
    fn plugins_see_what_the_client_said() {
        let options = read(&Method::POST, "dryRun=All&fieldManager=m&fieldValidation=Strict", None).unwrap();
        let expected = value!({
            "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1",
            "dryRun": ["All"], "fieldManager": "m", "fieldValidation": "Strict"
        });
        assert_eq!(options.to_value("CreateOptions"), expected);
        let delete = DeleteOptions {
            grace_period_seconds: Some(0),
            propagation: Some(Propagation::Foreground),
            uid: Some("u".into()),
            ..DeleteOptions::default()
        };
        let expected = value!({
            "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 0i64,
            "propagationPolicy": "Foreground", "preconditions": {"uid": "u"}
        });
        assert_eq!(delete.to_value(), expected);
    }
}
