use std::sync::Arc;

use crate::check::check_types;
use crate::facts::{self, entries, library_functions, other_functions, type_named};
use crate::{
    Env, Field, Function, Issues, Kind, ListKind, ObjectShape, Overload, Reference, Shape, ShapeKind, Type,
    check, compile, parse, standard,
};

/// The variables and functions of upstream's tests.
fn env() -> Env {
    let variables = [
        ("is", Type::String),
        ("ii", Type::Int),
        ("iu", Type::Uint),
        ("iz", Type::Bool),
        ("ib", Type::Bytes),
        ("id", Type::Double),
        ("ix", Type::Null),
    ];
    let functions = [
        Function::new("fg_s", vec![Overload::global("fg_s_0", [], Type::String)]),
        Function::new("fi_s_s", vec![Overload::method("fi_s_s_0", [Type::String], Type::String)]),
    ];
    let env = Env::default().with_functions(standard()).with_functions(other_functions());
    let env = env.with_functions(functions);
    variables.into_iter().fold(env, |env, (name, kind)| env.with_variable(name, kind))
}

fn shown(issues: &Issues) -> Vec<String> {
    let shown = issues.to_string();
    let lines = shown.lines().filter_map(|line| line.strip_prefix("ERROR: <input>:"));
    lines.map(str::to_owned).collect()
}

/// The type of an expression, or what is wrong with it.
fn outcome(text: &str, env: &Env) -> String {
    match check(parse(text).unwrap(), env) {
        Ok(checked) => checked.output().to_string(),
        Err(issues) => shown(&issues).join("\n"),
    }
}

#[test]
fn types_and_mistakes_are_upstreams() {
    for (text, facts) in entries(include_str!("../../facts/checked.txt")) {
        let mut env = env();
        for fact in facts.iter().filter_map(|fact| fact.strip_prefix(": ")) {
            let (name, kind) = fact.split_once(' ').unwrap();
            env = env.with_variable(name, type_named(kind));
        }
        let wanted: Vec<&str> = facts.iter().filter(|fact| !fact.starts_with(':')).copied().collect();
        let parsed = parse(&text).unwrap_or_else(|issues| panic!("{text}\n{issues}"));
        let got: Vec<String> = match check_types(parsed, &env) {
            Ok(checked) => vec![format!("= {}", checked.output())],
            Err(issues) => shown(&issues).iter().map(|line| format!("! {line}")).collect(),
        };
        assert_eq!(got, wanted, "{text}");
    }
}

fn scalar(kind: Type) -> Arc<Shape> {
    Arc::new(Shape { kind: ShapeKind::Scalar(kind), max_elements: None, min_serialized_size: 2 })
}

fn object(name: &str, fields: &[(&str, Arc<Shape>)]) -> Arc<Shape> {
    let field = |name: &str, shape: &Arc<Shape>| Field {
        name: name.into(),
        required: false,
        shape: Arc::clone(shape),
    };
    let fields = fields.iter().map(|(name, shape)| ((*name).into(), field(name, shape))).collect();
    let kind = ShapeKind::Object(Arc::new(ObjectShape { name: name.into(), fields }));
    Arc::new(Shape { kind, max_elements: None, min_serialized_size: 2 })
}

/// `self`, with fields as of a Deployment.
fn deployment() -> Env {
    let ports = ShapeKind::List { items: scalar(Type::Int), list: ListKind::Set };
    let labels = ShapeKind::Map { values: scalar(Type::String) };
    let of = |kind| Arc::new(Shape { kind, max_elements: Some(10), min_serialized_size: 2 });
    let spec = object(
        "object.spec",
        &[
            ("replicas", scalar(Type::Int)),
            ("ports", of(ports)),
            ("labels", of(labels)),
            ("__namespace__", scalar(Type::String)),
            ("any", Arc::new(Shape::dynamic())),
        ],
    );
    env().with_shape("self", &object("object", &[("spec", spec)]))
}

#[test]
fn fields_have_the_types_of_their_schema() {
    let env = deployment();
    for (text, wanted) in [
        ("self", "object"),
        ("self.spec", "object.spec"),
        ("self.spec.replicas", "int"),
        ("self.?spec.?replicas", "optional_type(int)"),
        ("self.spec.ports", "list(int)"),
        ("self.spec.labels", "map(string, string)"),
        ("self.spec.labels.app", "string"),
        ("self.spec.__namespace__", "string"),
        ("self.spec.`namespace`", "string"),
        ("self.spec.any.thing[0]", "dyn"),
        ("has(self.spec.replicas)", "bool"),
        ("self.spec == null", "bool"),
        ("self.spec.replica", "1:10: undefined field 'replica'"),
        ("has(self.specs)", "1:4: undefined field 'specs'"),
        ("self.spec.replicas.x", "1:19: type 'int' does not support field selection"),
        (
            "self.spec.replicas == 'a'",
            "1:20: found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "self.spec.map(x, x)",
            "1:5: expression of type 'object.spec' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
    ] {
        assert_eq!(outcome(text, &env), wanted, "{text}");
    }
}

#[test]
fn a_variable_can_have_the_name_of_its_type() {
    let env = deployment();
    let shape = env.shape("self").unwrap().clone();
    let env = env.with_shape("object", &shape);
    assert_eq!(outcome("object.spec", &env), "object.spec");
    assert_eq!(outcome("object.spec.replicas", &env), "int");
    assert_eq!(outcome("object.spec.thing", &env), "1:12: undefined field 'thing'");
}

#[test]
fn patches_have_types_of_their_own() {
    let env = deployment().with_patches();
    for (text, wanted) in [
        ("Object{spec: Object.spec{replicas: 3}}", "Object"),
        ("Object{spec: Object.spec{replicas: self.spec.replicas}}.spec", "dyn"),
        ("[JSONPatch{op: 'add', path: '/a', value: Object.a{}}]", "list(JSONPatch)"),
        ("JSONPatch{op: 1}", "1:13: expected type of field 'op' is 'string' but provided type is 'int'"),
        ("JSONPatch{what: 1}", "1:15: undefined field 'what'"),
        ("object{spec: null}", "1:7: undeclared reference to 'object' (in container '')"),
        ("int{}", "1:4: 'int' is not a message type"),
    ] {
        assert_eq!(outcome(text, &env), wanted, "{text}");
    }
}

#[test]
fn names_and_calls_have_their_meaning() {
    let env = deployment().with_variable("a.b", Type::Int);
    let check = |text: &str| check(parse(text).unwrap(), &env).unwrap();
    let qualified = check("a.b + 1");
    assert_eq!(qualified.overloads(qualified.root().id), ["add_int64"]);
    assert_eq!(qualified.variables().collect::<Vec<_>>(), ["a.b"]);
    let Kind::Call { args, .. } = &qualified.root().kind else { panic!() };
    assert_eq!(args[0].kind, Kind::Ident("a.b".into()));

    let namespaced = check("optional.of(1)");
    let Kind::Call { function, target: None, .. } = &namespaced.root().kind else { panic!() };
    assert_eq!(&**function, "optional.of");

    let several = check("self.spec.any + self.spec.any");
    assert!(several.overloads(several.root().id).len() > 5);
    assert_eq!(*several.output(), Type::Dyn);

    let hidden = check("[1].all(ii, .ii == ii)");
    assert!(hidden.variables().eq(["ii"]));

    let of_type = check("int");
    assert_eq!(of_type.reference(of_type.root().id), Some(&Reference::Type(Type::Int)));
}

#[test]
fn types_that_double_with_each_level_are_refused() {
    // Each level makes a map of two of what it has.
    let mut text = "[{1: 1}]".to_owned();
    for level in 0..40 {
        text = format!("{text}.map(x{level}, {{x{level}: x{level}}})");
    }
    let env = env();
    assert_eq!(outcome(&text, &env), "-1:0: expression is too complex to be checked");
}

#[test]
fn depth_fits_on_a_stack() {
    let env = env().with_variable("f", Type::Dyn);
    for (open, inner, close, times) in [
        ("[0].exists(x, ", "true", ")", 190),
        ("(1 + ", "1", ")", 249),
        ("!(true && ", "true", ")", 190),
        ("f.g(", "1", ")", 249),
        ("true ? 1 : ", "1", "", 248),
    ] {
        let text = format!("{}{inner}{}", open.repeat(times), close.repeat(times));
        let parsed = parse(&text).unwrap_or_else(|issues| panic!("{open}: {issues}"));
        let _ = check(parsed, &env);
    }
}

#[test]
fn expressions_of_the_specification_have_their_types() {
    let base = Env::default()
        .with_functions(standard())
        .with_functions(other_functions())
        .with_functions(library_functions());
    for (text, facts) in entries(include_str!("../../facts/spec.txt")) {
        let mut env = base.clone();
        for (name, kind) in facts.iter().filter_map(|fact| fact.strip_prefix(": ")?.split_once(' ')) {
            env = env.with_variable(name, type_named(kind));
        }
        let wanted = facts.iter().find_map(|fact| fact.strip_prefix("= ")).unwrap();
        match parse(&text).and_then(|parsed| check_types(parsed, &env)) {
            Err(_) if wanted == "?" => {}
            Err(issues) => panic!("{text}\n{issues}"),
            Ok(checked) => {
                let got = checked.output().to_string();
                let fits = match wanted.strip_prefix('~') {
                    Some(kind) => got.starts_with(kind) || got == "dyn",
                    None => got == wanted || wanted == "?",
                };
                assert!(fits, "{text}: {got} instead of {wanted}");
            }
        }
    }
}

#[test]
fn rules_are_accepted_and_refused_as_upstream_does() {
    let base = Env::default()
        .with_functions(standard())
        .with_functions(other_functions())
        .with_functions(library_functions())
        .with_type("net.IP", Type::opaque("net.IP"));
    let mut env = base.clone();
    for line in include_str!("../../facts/rules.txt").lines() {
        let Some((mark, text)) = line.split_once(' ') else { continue };
        match mark {
            "schema" => {
                let shape = facts::shape(text, "object");
                env = base.clone().with_shape("self", &shape).with_shape("oldSelf", &shape);
            }
            "-" => {
                let (rule, why) = text.split_once(" => ").unwrap();
                let issues = compile(rule, &env).expect_err(rule).to_string();
                assert!(issues.contains(why), "{rule}\n{issues}");
            }
            "+" | "?" => {
                compile(text, &env).unwrap_or_else(|issues| panic!("{text}\n{issues}"));
            }
            _ => {}
        }
    }
}

#[test]
fn arguments_of_macros_are_checked() {
    let env = env();
    let reserved = "iteration variable overwrites accumulator variable";
    let name = "argument must be a simple name";
    for (text, wanted) in [
        ("[].all(i, i, i < i)", "duplicate variable name: i"),
        ("[].all(__result__, i, __result__ < i)", reserved),
        ("[].all(j, __result__, __result__ < j)", reserved),
        ("[].all(i.j, k, i.j < k)", name),
        ("[].all(j, i.k, j < i.k)", name),
        ("1.all(j, k, j < k)", "cannot be range"),
        ("[].exists(i.j, k, i.j < k)", name),
        ("''.exists(j, k, j < k)", "cannot be range"),
        ("[].exists_one(i.j, k, i.j < k)", name),
        ("[].existsOne(j, i.k, j < i.k)", name),
        ("[].transformList(i.j, k, i.j + k)", name),
        ("{}.transformMap(j, i.k, j + i.k)", name),
        ("{}.transformMapEntry(j, i.k, {j: i.k})", name),
        ("{}.transformMapEntry(j, k, 'bad filter', {k: j})", "no matching overload"),
        ("[1, 2].transformList(i, v, v % 2 == 0 ? [v] : v)", "no matching overload"),
        ("{'a': 'b'}.transformMapEntry(k, v, []) == {}", "no matching overload"),
        ("optional.of(1).optMap(a.b, 1)", "optMap() variable name must be a simple identifier"),
        ("optional.of(1).optFlatMap(1, 1)", "optFlatMap() variable name must be a simple identifier"),
        (
            "'a'.sortBy(x, x)",
            "sortBy can only be applied to a list, identifier, comprehension, call or select expression",
        ),
        ("[1].sortBy(x.y, 1)", "argument is not an identifier"),
        ("[1].all(x)", "undeclared reference to 'all'"),
    ] {
        let issues = compile(text, &env).expect_err(text).to_string();
        assert!(issues.contains(wanted), "{text}\n{issues}");
    }
}
