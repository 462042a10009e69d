//! The approval of APIs in the groups of the community (`*.k8s.io`, `*.kubernetes.io`).

use object::field::{Errors, Path};
use object::{Value, value};

const ANNOTATION: &str = "api-approved.kubernetes.io";
const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What the annotation of a definition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Approval {
    Invalid,
    Approved,
    Bypassed,
    Missing,
}

impl Approval {
    pub(super) fn of(definition: &Value) -> Approval {
        match annotation(definition) {
            "" => Approval::Missing,
            text if text.starts_with("unapproved") => Approval::Bypassed,
            text if is_url(text) => Approval::Approved,
            _ => Approval::Invalid,
        }
    }

    /// The reason of the condition, and its message.
    fn reason(self, definition: &Value) -> (&'static str, String) {
        let annotation = annotation(definition);
        match self {
            Approval::Invalid => (
                "InvalidAnnotation",
                format!(
                    "protected groups must have approval annotation {ANNOTATION:?} with either a URL or a reason starting with \"unapproved\", {SEE}"
                ),
            ),
            Approval::Approved => ("ApprovedAnnotation", format!("approved in {annotation}")),
            Approval::Bypassed => ("UnapprovedAnnotation", format!("not approved: {annotation:?}")),
            Approval::Missing => (
                "MissingAnnotation",
                format!("protected groups must have approval annotation {ANNOTATION:?}, {SEE}"),
            ),
        }
    }
}

fn annotation(definition: &Value) -> &str {
    definition.at("metadata.annotations").get(ANNOTATION).as_str().unwrap_or_default()
}

/// A URL with a scheme and a host.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|other| other.is_ascii_alphanumeric() || "+-.".contains(other));
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    is_scheme && !host.is_empty() && !text.contains(|c: char| c.is_ascii_control() || c == ' ')
}

fn is_protected(definition: &Value) -> bool {
    let group = definition.str_at("spec.group");
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Checks the annotation of a definition in a protected group; one that did not change is left alone.
pub(super) fn check(definition: &Value, old: Option<Approval>, errors: &mut Errors) {
    let approval = Approval::of(definition);
    if !is_protected(definition) || old == Some(approval) {
        return;
    }
    let metadata = Path::root("metadata");
    let annotations = metadata.child("annotations");
    let (path, why) = (annotations.key(ANNOTATION), approval.reason(definition).1);
    match approval {
        Approval::Invalid => errors.invalid(&path, annotation(definition), why),
        Approval::Missing => errors.required(&path, why),
        Approval::Approved | Approval::Bypassed => {}
    }
}

/// The condition of a definition in a protected group, without its time; null for all others.
pub fn approval_condition(definition: &Value) -> Value {
    if !is_protected(definition) {
        return Value::Null;
    }
    let approval = Approval::of(definition);
    let (reason, message) = approval.reason(definition);
    let status = if approval == Approval::Approved { "True" } else { "False" };
    value!({
        "type": "KubernetesAPIApprovalPolicyConformant", "status": status, "reason": reason, "message": message
    })
}
