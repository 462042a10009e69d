//! Policies and their bindings, compiled when a request first matches them.

use std::sync::Arc;

use object::{Status, Value, Versioned};
use rules::Spent;
use rules::admission::{Compiler, Returns, Scope};

use super::super::conditions::Conditions;
use super::super::expression::{Compiled, Named};
use super::super::lazy::Lazy;
use super::super::matching::Criteria;

/// What a policy has whatever it does with requests.
pub(super) struct Policy {
    pub(super) name: Box<str>,
    pub(super) criteria: Criteria,
    pub(super) conditions: Conditions,
    /// `apiVersion` and kind of the parameters.
    pub(super) param_kind: Option<(Box<str>, Box<str>)>,
    /// Whether failures are ignored.
    pub(super) ignores_failures: bool,
    /// Whether it wants to see objects again that others have changed.
    pub(super) wants_reinvocation: bool,
    source: Versioned,
    compile: Compile,
    program: Lazy<Program>,
}

/// Compiles the expressions of a policy, and tells what they take.
type Compile = fn(&Value) -> (Program, Spent);

/// The expressions of a policy.
pub(super) struct Program {
    pub(super) variables: Named,
    pub(super) parts: Parts,
}

/// What a policy does.
pub(super) enum Parts {
    Validating { validations: Vec<Validation>, annotations: Vec<Annotation> },
    Mutating(Vec<Mutation>),
}

/// A validation.
pub(super) struct Validation {
    pub(super) expression: Compiled,
    pub(super) text: Box<str>,
    pub(super) message: Box<str>,
    pub(super) message_expression: Option<Compiled>,
    pub(super) reason: Box<str>,
}

/// An annotation for the audit log.
pub(super) struct Annotation {
    pub(super) expression: Compiled,
}

/// A mutation.
pub(super) enum Mutation {
    /// Fields that are applied.
    Apply(Compiled),
    /// A JSON patch.
    JsonPatch(Compiled),
}

/// A binding of a policy.
pub(super) struct Binding {
    pub(super) name: Box<str>,
    pub(super) policy: Box<str>,
    /// None: it matches whatever the policy matches.
    pub(super) criteria: Option<Criteria>,
    /// Null if it has none.
    pub(super) param_ref: Value,
    pub(super) actions: Vec<Box<str>>,
}

impl Policy {
    /// Reads a ValidatingAdmissionPolicy.
    pub(super) fn validating(source: &Versioned) -> Policy {
        Policy::read(source, Program::validating)
    }

    /// Reads a MutatingAdmissionPolicy.
    pub(super) fn mutating(source: &Versioned) -> Policy {
        Policy::read(source, Program::mutating)
    }

    fn read(source: &Versioned, compile: Compile) -> Policy {
        let object = source.tree();
        let spec = object.get("spec");
        let kind = spec.get("paramKind");
        let param_kind =
            (!kind.is_null()).then(|| (kind.str_at("apiVersion").into(), kind.str_at("kind").into()));
        Policy {
            name: object.str_at("metadata.name").into(),
            criteria: Criteria::of_policy(spec.get("matchConstraints")),
            conditions: Conditions::read(spec.get("matchConditions"), param_kind.is_some()),
            param_kind,
            ignores_failures: spec.str_at("failurePolicy") == "Ignore",
            wants_reinvocation: spec.str_at("reinvocationPolicy") == "IfNeeded",
            source: source.clone(),
            compile,
            program: Lazy::default(),
        }
    }

    /// Its expressions. Compiling them takes up to seconds, so nothing waits for it but the requests that they are about.
    ///
    /// # Errors
    /// 500 if the server is shutting down.
    pub(super) async fn program(&self) -> Result<Arc<Program>, Status> {
        let make = || {
            let (source, compile) = (self.source.clone(), self.compile);
            move || compile(source.value().get("spec"))
        };
        self.program.get_or_make(make).await
    }
}

impl Program {
    fn validating(spec: &Value) -> (Program, Spent) {
        let (scope, compiler, variables) = compiler(spec, false);
        // Messages are made without rights to ask.
        let messages = compiler.with_scope(Scope { authorizer: false, ..scope });
        let text = |value: &Value, member: &str| Box::<str>::from(value.str_at(member));
        let validation = |one: &Value| Validation {
            expression: compiler.compile(one.str_at("expression"), Returns::Bool),
            text: text(one, "expression"),
            message: text(one, "message"),
            message_expression: one
                .get("messageExpression")
                .as_str()
                .filter(|text| !text.is_empty())
                .map(|text| messages.compile(text, Returns::String)),
            reason: text(one, "reason"),
        };
        let annotation = |one: &Value| Annotation {
            expression: compiler.compile(one.str_at("valueExpression"), Returns::StringOrNull),
        };
        let parts = Parts::Validating {
            validations: spec.get("validations").items().map(validation).collect(),
            annotations: spec.get("auditAnnotations").items().map(annotation).collect(),
        };
        (Program { variables, parts }, compiler.spent().clone())
    }

    fn mutating(spec: &Value) -> (Program, Spent) {
        let (_, compiler, variables) = compiler(spec, true);
        let mutation = |one: &Value| match one.str_at("patchType") {
            "JSONPatch" => {
                Mutation::JsonPatch(compiler.compile(one.str_at("jsonPatch.expression"), Returns::JsonPatch))
            }
            _ => {
                Mutation::Apply(compiler.compile(one.str_at("applyConfiguration.expression"), Returns::Patch))
            }
        };
        let parts = Parts::Mutating(spec.get("mutations").items().map(mutation).collect());
        (Program { variables, parts }, compiler.spent().clone())
    }
}

/// The compiler of a policy's expressions, which may use everything, and the policy's variables.
fn compiler(spec: &Value, patches: bool) -> (Scope, Compiler, Named) {
    let params = !spec.get("paramKind").is_null();
    let scope = Scope { params, authorizer: true, variables: true, patches };
    let mut compiler = Compiler::new(scope);
    let mut variables = Vec::new();
    for variable in spec.get("variables").items() {
        let name = variable.str_at("name");
        let compiled = compiler.compile_variable(name, variable.str_at("expression"));
        variables.push((Box::from(name), compiled));
    }
    (scope, compiler, Named::new(variables))
}

impl Binding {
    /// Reads a binding.
    pub(super) fn read(object: &Value) -> Binding {
        let spec = object.get("spec");
        let resources = spec.get("matchResources");
        let actions = spec.get("validationActions").items().filter_map(Value::as_str);
        Binding {
            name: object.str_at("metadata.name").into(),
            policy: spec.str_at("policyName").into(),
            criteria: (!resources.is_null()).then(|| Criteria::of_policy(resources)),
            param_ref: spec.get("paramRef").clone(),
            actions: actions.map(Box::from).collect(),
        }
    }
}
