//! Expressions about requests: match conditions, and the parts of admission policies
//! (`k8s.io/apiserver/pkg/admission/plugin/cel`, KEP-3488, KEP-3962).

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::{Checked, Env, Field, ListKind, ObjectShape, Program, Shape, ShapeKind, Type};

mod nesting;

use crate::memory::Spent;

use nesting::Nesting;

/// What is computed from other expressions, `variables.NAME`.
pub const VARIABLES: &str = "variables";
/// The types of what mutations make.
const PATCH: &str = "Object";
const JSON_PATCH: &str = "JSONPatch";

/// What expressions of one place may use, besides `object`, `oldObject`, `request` and `namespaceObject`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// `params`
    pub params: bool,
    /// `authorizer` and `authorizer.requestResource`
    pub authorizer: bool,
    /// `variables`
    pub variables: bool,
    /// `Object{...}`, `JSONPatch{...}` and what helps to make them
    pub patches: bool,
}

/// What an expression must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// `bool`: a validation or a condition
    Bool,
    /// `string`: a message
    String,
    /// `string` or `null`: an annotation of the audit log
    StringOrNull,
    /// Anything: a variable
    Anything,
    /// `Object`: fields to apply
    Patch,
    /// A list of `JSONPatch`
    JsonPatch,
}

/// An expression about a request, compiled.
#[derive(Debug)]
pub struct Expression {
    /// To evaluate it.
    pub program: Program,
    /// The type of its value.
    pub output: Type,
    /// Its text.
    pub text: Box<str>,
}

/// Compiles the expressions of one place.
#[derive(Clone)]
pub struct Compiler {
    env: Env,
    object: Arc<Shape>,
    params: Arc<Shape>,
    variables: Arc<ObjectShape>,
    nesting: Nesting,
    spent: Spent,
}

impl Compiler {
    /// For expressions that see any object: `object`, `oldObject` and `params` are dynamic.
    pub fn new(scope: Scope) -> Compiler {
        let dynamic = Arc::new(Shape::dynamic());
        Compiler::typed(scope, &dynamic, &dynamic)
    }

    /// For expressions about objects and parameters of these shapes.
    pub fn typed(scope: Scope, object: &Arc<Shape>, params: &Arc<Shape>) -> Compiler {
        let mut env = if scope.patches { cel::kubernetes_with_patches() } else { cel::kubernetes() };
        env = env.with_shape("object", object).with_shape("oldObject", object);
        env = env.with_shape("namespaceObject", &namespace()).with_shape("request", &request());
        if scope.params {
            env = env.with_shape("params", params);
        }
        if scope.authorizer {
            env = env
                .with_variable("authorizer", Type::opaque("kubernetes.authorization.Authorizer"))
                .with_variable(
                    "authorizer.requestResource",
                    Type::opaque("kubernetes.authorization.ResourceCheck"),
                );
        }
        let (object, params) = (Arc::clone(object), Arc::clone(params));
        let mut compiler = Compiler {
            env,
            object,
            params,
            variables: no_variables(),
            nesting: Nesting::default(),
            spent: Spent::default(),
        };
        if scope.variables {
            compiler.declare_variables();
        }
        compiler
    }

    /// What the expressions take that were compiled, also in other places.
    pub fn spent(&self) -> &Spent {
        &self.spent
    }

    /// The same objects, parameters and variables for the expressions of another place.
    #[must_use]
    pub fn with_scope(&self, scope: Scope) -> Compiler {
        let mut compiler = Compiler::typed(scope, &self.object, &self.params);
        compiler.spent = self.spent.clone();
        if scope.variables {
            compiler.variables = Arc::clone(&self.variables);
            compiler.nesting = self.nesting.clone();
            compiler.declare_variables();
        }
        compiler
    }

    /// Compiles a variable, and makes it known to what is compiled from now on; one that does not compile can be
    /// anything.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub fn compile_variable(&mut self, name: &str, text: &str) -> Result<Expression, String> {
        let (compiled, depth) = match self.compile_deep(text, Returns::Anything) {
            Ok((expression, depth)) => (Ok(expression), depth),
            Err(why) => (Err(why), 0),
        };
        self.nesting.add(name, depth);
        let kind = compiled.as_ref().map_or(Type::Dyn, |expression| expression.output.clone());
        self.add_variable(name, kind);
        compiled
    }

    /// Makes `variables.NAME` known to what is compiled from now on. As upstream, it can be anything if it is neither of
    /// a type of the language, nor a list or map of those.
    pub fn add_variable(&mut self, name: &str, kind: Type) {
        let shape = scalar(of_variable(kind));
        // The environment lets go of the variables first, so that they are not copied for each of them.
        self.declare(&no_variables());
        Arc::make_mut(&mut self.variables)
            .fields
            .insert(name.into(), Field { name: name.into(), required: true, shape });
        self.declare_variables();
    }

    fn declare_variables(&mut self) {
        self.declare(&Arc::clone(&self.variables));
    }

    fn declare(&mut self, variables: &Arc<ObjectShape>) {
        self.env = std::mem::take(&mut self.env).with_plain_object(VARIABLES, variables);
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub fn compile(&self, text: &str, returns: Returns) -> Result<Expression, String> {
        self.compile_deep(text, returns).map(|(expression, _)| expression)
    }

    /// An expression, and how deep its evaluation is.
    fn compile_deep(&self, text: &str, returns: Returns) -> Result<(Expression, usize), String> {
        let checked: Checked =
            cel::compile(text, &self.env).map_err(|issues| format!("compilation failed: {issues}"))?;
        let output = checked.output().clone();
        returns.check(&output)?;
        let depth = self.nesting.check(checked.root())?;
        let program = Program::new(&checked).map_err(|error| error.to_string())?;
        self.spent.add(program.bytes() + text.len())?;
        Ok((Expression { program, output, text: text.into() }, depth))
    }

    /// The types of an expression, without a program: whether it fits the shapes of the environment.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub fn check(&self, text: &str) -> Result<Type, String> {
        let checked = cel::compile(text, &self.env).map_err(|issues| issues.to_string())?;
        Ok(checked.output().clone())
    }
}

impl Returns {
    fn check(self, output: &Type) -> Result<(), String> {
        let wanted = match self {
            Returns::Anything => return Ok(()),
            Returns::Bool => vec![Type::Bool],
            Returns::String => vec![Type::String],
            Returns::StringOrNull => vec![Type::String, Type::Null],
            Returns::Patch => vec![Type::Object(PATCH.into())],
            Returns::JsonPatch => vec![Type::list(Type::Object(JSON_PATCH.into()))],
        };
        if wanted.contains(output) {
            return Ok(());
        }
        let wanted: Vec<String> = wanted.iter().map(runtime_name).collect();
        let output = runtime_name(output);
        match wanted.as_slice() {
            [one] => Err(format!("must evaluate to {one} but got {output}")),
            several => Err(format!("must evaluate to one of [{}] but got {output}", several.join(" "))),
        }
    }
}

/// The name of a type as cel-go's types tell it; its checker has other names for some.
fn runtime_name(kind: &Type) -> String {
    match kind {
        Type::Null => "null_type".into(),
        Type::Timestamp => "google.protobuf.Timestamp".into(),
        Type::Duration => "google.protobuf.Duration".into(),
        Type::List(element) => format!("list({})", runtime_name(element)),
        Type::Map(entry) => format!("map({}, {})", runtime_name(&entry.0), runtime_name(&entry.1)),
        other => other.to_string(),
    }
}

fn of_variable(kind: Type) -> Type {
    match kind {
        Type::List(element) => Type::list(of_variable(Type::clone(&element))),
        Type::Map(entry) => Type::map(of_variable(entry.0.clone()), of_variable(entry.1.clone())),
        Type::Object(_) | Type::Opaque(..) | Type::Type(_) | Type::Param(_) | Type::Error => Type::Dyn,
        language => language,
    }
}

fn no_variables() -> Arc<ObjectShape> {
    Arc::new(ObjectShape { name: Arc::from("kubernetes.variables"), fields: BTreeMap::new() })
}

fn scalar(kind: Type) -> Arc<Shape> {
    Arc::new(Shape { kind: ShapeKind::Scalar(kind), max_elements: None, min_serialized_size: 1 })
}

fn list(items: Arc<Shape>) -> Arc<Shape> {
    let kind = ShapeKind::List { items, list: ListKind::Atomic };
    Arc::new(Shape { kind, max_elements: None, min_serialized_size: 2 })
}

fn map(values: Arc<Shape>) -> Arc<Shape> {
    Arc::new(Shape { kind: ShapeKind::Map { values }, max_elements: None, min_serialized_size: 2 })
}

fn object<const N: usize>(name: &str, fields: [(&str, Arc<Shape>); N]) -> Arc<Shape> {
    let field = |(name, shape): (&str, Arc<Shape>)| {
        let escaped = cel::escape(name).unwrap_or_else(|| name.to_owned());
        (escaped.into(), Field { name: name.into(), required: false, shape })
    };
    let object = ObjectShape { name: name.into(), fields: fields.into_iter().map(field).collect() };
    Arc::new(Shape { kind: ShapeKind::Object(Arc::new(object)), max_elements: None, min_serialized_size: 2 })
}

/// The shape of `request`: an AdmissionRequest without its objects.
pub fn request() -> Arc<Shape> {
    let text = || scalar(Type::String);
    let kind =
        || object("kubernetes.GroupVersionKind", [("group", text()), ("version", text()), ("kind", text())]);
    let resource = || {
        let fields = [("group", text()), ("version", text()), ("resource", text())];
        object("kubernetes.GroupVersionResource", fields)
    };
    let user = object(
        "kubernetes.UserInfo",
        [("username", text()), ("uid", text()), ("groups", list(text())), ("extra", map(list(text())))],
    );
    object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind()),
            ("resource", resource()),
            ("subResource", text()),
            ("requestKind", kind()),
            ("requestResource", resource()),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", scalar(Type::Bool)),
            ("options", Arc::new(Shape::dynamic())),
        ],
    )
}

/// The shape of `namespaceObject`: a Namespace without managers and owners.
pub fn namespace() -> Arc<Shape> {
    let text = || scalar(Type::String);
    let time = || scalar(Type::Timestamp);
    let metadata = object(
        "kubernetes.NamespaceMetadata",
        [
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", map(text())),
            ("annotations", map(text())),
            ("UID", text()),
            ("creationTimestamp", time()),
            ("deletionGracePeriodSeconds", scalar(Type::Int)),
            ("deletionTimestamp", time()),
            ("generation", scalar(Type::Int)),
            ("resourceVersion", text()),
            ("finalizers", list(text())),
        ],
    );
    let condition = object(
        "kubernetes.NamespaceCondition",
        [
            ("status", text()),
            ("type", text()),
            ("lastTransitionTime", time()),
            ("message", text()),
            ("reason", text()),
        ],
    );
    let spec = object("kubernetes.NamespaceSpec", [("finalizers", list(text()))]);
    let status = object("kubernetes.NamespaceStatus", [("conditions", list(condition)), ("phase", text())]);
    object("kubernetes.Namespace", [("metadata", metadata), ("spec", spec), ("status", status)])
}
