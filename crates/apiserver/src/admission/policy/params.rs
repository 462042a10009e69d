//! The parameters of a binding (`plugin/policy/generic`).

use std::sync::Arc;

use object::{Status, Value, Versioned};
use schema::GroupResource;
use semantics::LabelSelector;

use super::super::decisions::{COPY, Decisions};
use super::super::{Attributes, GroupVersionKind, Served};
use super::definition::{Binding, Policy};

/// How many objects a selector of parameters may give: each is an evaluation of its own. More are refused: who makes
/// objects must not keep others from being used.
const PARAMS_MAX: usize = 1000;

/// At how many objects a selector looks before other tasks may get their turn.
const LOOKS: usize = 500;

/// One set of parameters.
pub(super) struct Param(Option<(Versioned, Arc<Served>)>);

impl Param {
    /// The object as the policy sees it; null if there is none. It is only made now, so that the objects of a selector are
    /// not all in memory.
    ///
    /// # Errors
    /// It cannot be converted.
    pub(super) async fn value(&self, what: &Attributes<'_>) -> Result<Value, String> {
        let Some((object, served)) = &self.0 else { return Ok(Value::Null) };
        let presented = what.shapes.present(object.value(), &served.shape).await;
        presented.map_err(|status| status.message)
    }

    /// Where it is, for messages and memories.
    pub(super) fn place(&self) -> String {
        let object = self.0.as_ref().map(|(object, _)| object);
        let of = |part: fn(&Versioned) -> &str| object.map_or("", part);
        format!("{}/{}", of(Versioned::namespace), of(Versioned::name))
    }
}

/// The parameters with which a policy is evaluated for a binding: null alone if it has none, and nothing if they are
/// missing and may be.
///
/// # Errors
/// Why the binding cannot be used.
pub(super) async fn collect(
    policy: &Policy,
    binding: &Binding,
    what: &Attributes<'_>,
    decisions: &Decisions<'_>,
) -> Result<Vec<Param>, String> {
    let reference = &binding.param_ref;
    let Some((api_version, kind)) = policy.param_kind.as_ref().filter(|_| !reference.is_null()) else {
        return Ok(vec![Param(None)]);
    };
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let wanted = GroupVersionKind { group, version, kind };
    let served = what.shapes.of_kind(wanted).ok_or_else(|| {
        let names = format!("group: {group}, version: {version}, kind: {kind}");
        format!("failed to find resource referenced by paramKind: '{names}'")
    })?;
    let namespace = namespace_of(reference.str_at("namespace"), served.is_namespaced, what)?;
    let found = find(reference, &served, namespace, what, decisions).await;
    let found = found.map_err(|status| status.message)?;
    if found.is_empty() && reference.str_at("parameterNotFoundAction") == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    let served = Arc::new(served);
    Ok(found.into_iter().map(|object| Param(Some((object, Arc::clone(&served))))).collect())
}

/// Where the parameters are; empty for those of the cluster.
fn namespace_of<'a>(wanted: &'a str, is_namespaced: bool, what: &Attributes<'a>) -> Result<&'a str, String> {
    match (wanted, is_namespaced, what.namespace) {
        ("", false, _) => Ok(""),
        (_, false, _) => {
            Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned())
        }
        ("", true, "") => {
            let why =
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            Err(why.to_owned())
        }
        ("", true, own) => Ok(own),
        (wanted, true, _) => Ok(wanted),
    }
}

async fn find(
    reference: &Value,
    served: &Served,
    namespace: &str,
    what: &Attributes<'_>,
    decisions: &Decisions<'_>,
) -> Result<Vec<Versioned>, Status> {
    let resource = served.shape.resource();
    let resource = GroupResource::new(resource.group, resource.plural);
    let name = reference.str_at("name");
    if name.is_empty() {
        let selector = LabelSelector::read(reference.get("selector")).to_selector();
        let selector = selector.map_err(Status::internal_error)?;
        let all: Vec<Versioned> = match namespace {
            "" => what.reader.all(resource).values().cloned().collect(),
            namespace => what.reader.in_namespace(resource, namespace),
        };
        let mut selected = Vec::new();
        for some in all.chunks(LOOKS) {
            selected.extend(some.iter().filter(|object| selector.matches(object.labels())).cloned());
            if selected.len() > PARAMS_MAX {
                return Err(Status::bad_request(format!(
                    "the selector of paramRef matches more than {PARAMS_MAX} objects"
                )));
            }
            decisions.pace(COPY).await;
        }
        return Ok(selected);
    }
    Ok(Vec::from_iter(what.reader.find(resource, namespace, name).await?))
}
