//! Checks of authorization: `library.Authz` and `library.AuthzSelectors` of Kubernetes.
//!
//! Authorization is asynchronous in the API server and evaluation is not. So that no thread waits, an expression that
//! needs a decision fails with [`EvaluationError::Pending`], the caller awaits the decision, keeps it in [`Decisions`] and
//! evaluates the expression again. Expressions have no effects, and a check costs so much that there are at most two in an
//! evaluation, so that it is evaluated at most three times.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use object::names;
use parking_lot::Mutex;

use crate::operation::{Operation, fail, no_overload};
use crate::value::{Evaluated, Opaque, Value};
use crate::{EvaluationError, Function, Overload, Type};

/// The types of variables of this library.
pub mod types {
    use crate::Type;

    pub(super) const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
    pub(super) const PATH: &str = "kubernetes.authorization.PathCheck";
    pub(super) const GROUP: &str = "kubernetes.authorization.GroupCheck";
    pub(super) const RESOURCE: &str = "kubernetes.authorization.ResourceCheck";
    pub(super) const DECISION: &str = "kubernetes.authorization.Decision";

    /// Of the variable `authorizer`.
    pub fn authorizer() -> Type {
        Type::opaque(AUTHORIZER)
    }

    /// Of the variable `authorizer.requestResource`.
    pub fn resource_check() -> Type {
        Type::opaque(RESOURCE)
    }
}

/// Decides what expressions ask with `check`.
pub trait Authorizer: Send + Sync + std::fmt::Debug {
    /// Whether this is allowed.
    ///
    /// # Errors
    /// [`EvaluationError::Pending`] if it is not known yet.
    fn authorize(&self, attributes: &Attributes) -> Result<Decision, EvaluationError>;
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Attributes {
    /// Who; the user of the request if there is none.
    pub service_account: Option<ServiceAccount>,
    /// The verb, of the API or of HTTP.
    pub verb: String,
    /// The path, if it is not about a resource.
    pub path: Option<String>,
    /// The group of the API; all of its versions.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The subresource, or nothing.
    pub subresource: String,
    /// The namespace, or nothing.
    pub namespace: String,
    /// The name, or nothing.
    pub name: String,
    /// A selector of fields as text, valid or not, or nothing.
    pub field_selector: String,
    /// A selector of labels as text, valid or not, or nothing.
    pub label_selector: String,
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAccount {
    /// Its namespace
    pub namespace: String,
    /// Its name
    pub name: String,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// Decisions that have been made, and the one that is asked for.
///
/// ```
/// use std::sync::Arc;
/// use cel::library::{Decision, authorizer, authorizer_types};
/// use cel::{Decisions, Program, Variables, check, kubernetes, parse};
/// let env = kubernetes().with_variable("authorizer", authorizer_types::authorizer());
/// let text = "authorizer.path('/healthz').check('get').allowed()";
/// let program = Program::new(&check(parse(text)?, &env)?)?;
/// let decisions = Arc::new(Decisions::default());
/// let variables = Variables::default().with("authorizer", authorizer(decisions.clone()));
/// let outcome = loop {
///     let outcome = program.evaluate(&variables, 1_000_000);
///     let Some(attributes) = decisions.take_pending() else { break outcome };
///     // Here the API server awaits its decision.
///     let allowed = attributes.path.as_deref() == Some("/healthz") && attributes.verb == "get";
///     decisions.insert(attributes, Decision { allowed, ..Decision::default() });
/// };
/// assert_eq!(outcome.result?.as_bool(), Some(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Decisions {
    inner: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    decisions: HashMap<Attributes, Decision>,
    pending: Option<Attributes>,
}

impl Decisions {
    /// What the last evaluation asked for and did not get.
    pub fn take_pending(&self) -> Option<Attributes> {
        self.inner.lock().pending.take()
    }

    /// Adds a decision.
    pub fn insert(&self, attributes: Attributes, decision: Decision) {
        self.inner.lock().decisions.insert(attributes, decision);
    }
}

impl Authorizer for Decisions {
    fn authorize(&self, attributes: &Attributes) -> Result<Decision, EvaluationError> {
        let mut inner = self.inner.lock();
        if let Some(decision) = inner.decisions.get(attributes) {
            return Ok(decision.clone());
        }
        inner.pending = Some(attributes.clone());
        Err(EvaluationError::Pending)
    }
}

/// The value of the variable `authorizer`.
pub fn authorizer<'v>(authorizer: Arc<dyn Authorizer>) -> Value<'v> {
    Value::opaque(Check { stage: Stage::Authorizer, authorizer, attributes: Attributes::default() })
}

/// The value of `authorizer.requestResource`: a check of the request's own resource, without a verb.
pub fn resource_check<'v>(authorizer: Arc<dyn Authorizer>, attributes: Attributes) -> Value<'v> {
    Value::opaque(Check { stage: Stage::Resource, authorizer, attributes })
}

/// A check of which some is known.
#[derive(Clone, Debug)]
struct Check {
    stage: Stage,
    authorizer: Arc<dyn Authorizer>,
    attributes: Attributes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
}

impl Opaque for Check {
    fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Authorizer => types::AUTHORIZER,
            Stage::Path => types::PATH,
            Stage::Group => types::GROUP,
            Stage::Resource => types::RESOURCE,
        }
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Check>().is_some_and(|other| {
            self.stage == other.stage
                && Arc::ptr_eq(&self.authorizer, &other.authorizer)
                && self.attributes == other.attributes
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Opaque for Decision {
    fn type_name(&self) -> &'static str {
        types::DECISION
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Decision>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn functions() -> Vec<Function> {
    let opaque = Type::opaque;
    let method = |name, id, of: &str, result: &str| {
        Function::new(name, vec![Overload::method(id, [opaque(of), Type::String], opaque(result))])
    };
    let of_decision = |name, id, result: Type| {
        Function::new(name, vec![Overload::method(id, [opaque(types::DECISION)], result)])
    };
    let check = |id, of: &str| Overload::method(id, [opaque(of), Type::String], opaque(types::DECISION));
    vec![
        method("path", "authorizer_path", types::AUTHORIZER, types::PATH),
        method("group", "authorizer_group", types::AUTHORIZER, types::GROUP),
        Function::new(
            "serviceAccount",
            vec![Overload::method(
                "authorizer_serviceaccount",
                [types::authorizer(), Type::String, Type::String],
                types::authorizer(),
            )],
        ),
        method("resource", "groupcheck_resource", types::GROUP, types::RESOURCE),
        method("subresource", "resourcecheck_subresource", types::RESOURCE, types::RESOURCE),
        method("namespace", "resourcecheck_namespace", types::RESOURCE, types::RESOURCE),
        method("name", "resourcecheck_name", types::RESOURCE, types::RESOURCE),
        method("fieldSelector", "authorizer_fieldselector", types::RESOURCE, types::RESOURCE),
        method("labelSelector", "authorizer_labelselector", types::RESOURCE, types::RESOURCE),
        Function::new(
            "check",
            vec![check("pathcheck_check", types::PATH), check("resourcecheck_check", types::RESOURCE)],
        ),
        of_decision("errored", "decision_errored", Type::Bool),
        of_decision("error", "decision_error", Type::String),
        of_decision("allowed", "decision_allowed", Type::Bool),
        of_decision("reason", "decision_reason", Type::String),
    ]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "path" => |_, args| {
            step("path", args, &[Stage::Authorizer], Stage::Path, |check, path| {
                not_empty("path", path)?;
                check.path = Some(path.into());
                Ok(())
            })
        },
        "group" => |_, args| {
            step("group", args, &[Stage::Authorizer], Stage::Group, |check, group| {
                check.group = group.into();
                Ok(())
            })
        },
        "serviceAccount" => |_, args| service_account(args),
        "resource" => |_, args| {
            step("resource", args, &[Stage::Group], Stage::Resource, |check, resource| {
                not_empty("resource", resource)?;
                check.resource = resource.into();
                Ok(())
            })
        },
        "subresource" => |_, args| of_resource("subresource", args, |check| &mut check.subresource),
        "namespace" => |_, args| of_resource("namespace", args, |check| &mut check.namespace),
        "name" => |_, args| of_resource("name", args, |check| &mut check.name),
        "fieldSelector" => |_, args| of_resource("fieldSelector", args, |check| &mut check.field_selector),
        "labelSelector" => |_, args| of_resource("labelSelector", args, |check| &mut check.label_selector),
        "check" => |_, args| check(args),
        "errored" => |_, args| of_decision("errored", args, |decision| decision.error.is_some().into()),
        "error" => |_, args| {
            of_decision("error", args, |decision| {
                Value::string(decision.error.as_deref().unwrap_or_default())
            })
        },
        "allowed" => |_, args| of_decision("allowed", args, |decision| decision.allowed.into()),
        "reason" => |_, args| of_decision("reason", args, |decision| Value::string(decision.reason.as_str())),
        _ => return None,
    })
}

fn not_empty(what: &str, text: &str) -> Result<(), EvaluationError> {
    if text.trim().is_empty() {
        return Err(EvaluationError::failed(format!("{what} must not be empty")));
    }
    Ok(())
}

type Refine = fn(&mut Attributes, &str) -> Result<(), EvaluationError>;

/// A check with one more attribute.
fn step<'v>(function: &str, args: &[Value<'v>], from: &[Stage], to: Stage, refine: Refine) -> Evaluated<'v> {
    let [value, Value::String(text)] = args else { return no_overload(function, args) };
    match value.downcast::<Check>() {
        Some(check) if from.contains(&check.stage) => {
            let mut next = check.clone();
            next.stage = to;
            refine(&mut next.attributes, text)?;
            Ok(Value::opaque(next))
        }
        _ => no_overload(function, args),
    }
}

fn of_resource<'v>(
    function: &str,
    args: &[Value<'v>],
    attribute: fn(&mut Attributes) -> &mut String,
) -> Evaluated<'v> {
    let [value, Value::String(text)] = args else { return no_overload(function, args) };
    match value.downcast::<Check>() {
        Some(check) if check.stage == Stage::Resource => {
            let mut next = check.clone();
            *attribute(&mut next.attributes) = text.to_string();
            Ok(Value::opaque(next))
        }
        _ => no_overload(function, args),
    }
}

fn service_account<'v>(args: &[Value<'v>]) -> Evaluated<'v> {
    let [value, Value::String(namespace), Value::String(name)] = args else {
        return no_overload("serviceAccount", args);
    };
    match value.downcast::<Check>() {
        Some(check) if check.stage == Stage::Authorizer => {
            if !names::is_dns1123_subdomain(name).is_empty() {
                return fail("Invalid service account name");
            }
            if !names::is_dns1123_label(namespace).is_empty() {
                return fail("Invalid service account namespace");
            }
            let mut next = check.clone();
            next.attributes.service_account =
                Some(ServiceAccount { namespace: namespace.to_string(), name: name.to_string() });
            Ok(Value::opaque(next))
        }
        _ => no_overload("serviceAccount", args),
    }
}

fn check<'v>(args: &[Value<'v>]) -> Evaluated<'v> {
    let [value, Value::String(verb)] = args else { return no_overload("check", args) };
    match value.downcast::<Check>() {
        Some(check) if matches!(check.stage, Stage::Path | Stage::Resource) => {
            let attributes = Attributes { verb: verb.to_string(), ..check.attributes.clone() };
            check.authorizer.authorize(&attributes).map(Value::opaque)
        }
        _ => no_overload("check", args),
    }
}

fn of_decision<'v>(function: &str, args: &[Value<'v>], of: fn(&Decision) -> Value<'v>) -> Evaluated<'v> {
    match args.first().and_then(|value| value.downcast::<Decision>()) {
        Some(decision) => Ok(of(decision)),
        None => no_overload(function, args),
    }
}
