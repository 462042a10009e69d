//! Paths into objects are strings in the code (`object.at("spec.replicas")`), and for the compiler a misspelt one is
//! just a path that finds nothing. This test reads the sources of `kinds` and `apiserver` and looks up every literal
//! path in the schema table.
//!
//! The rule: a path must exist in some type that the code can be handling. In a file of `kinds` that is named after a
//! kind or a group (`deployment.rs`, `defaults/batch.rs`, `validation/pod/security.rs`), those are the types of the
//! kinds of that group; elsewhere they are all types of the table. A path does not lead through a list, and continues
//! after a map's key.
//!
//! Its limits: it does not detect a path that exists in a type other than that of the value at hand (`template.spec` on
//! a Pod, in a file that handles both), paths that are composed or passed as arguments, keys of `get`, which other
//! containers have too, or generated code. Names that are not fields are in [`NO_FIELDS`], with the reason.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use schema::{FieldType, Shape, TypeDef};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Expr, ExprLit, Lit, Token};

/// Methods of `object::Value` whose first argument is a path or a member's name, and of no other type in these crates.
const METHODS: [&str; 8] =
    ["at", "at_mut", "str_at", "at_path", "set_path", "set_default", "is_set", "entry"];

/// Strings that look like paths but are not: the beginning of the file, the string, and its meaning.
const NO_FIELDS: [(&str, &str, &str); 1] =
    [("apiserver/src/registry/read", "v", "a token to continue a list with")];

/// Files whose trees are not objects of the API.
const OTHER_TREES: [(&str, &str); 1] = [("apiserver/src/openapi", "OpenAPI documents")];

/// A literal path in a source.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    file: String,
    /// Members from the outside in.
    path: Vec<String>,
}

struct Reader<'f> {
    file: &'f str,
    found: BTreeSet<Found>,
}

impl Reader<'_> {
    fn take(&mut self, path: Vec<String>) {
        self.found.insert(Found { file: self.file.to_owned(), path });
    }
}

/// The parts of a literal, or of a literal list: `"a.b"`, `&["a", "b"]`. Only the first is split at dots.
fn literal(argument: &Expr) -> Option<Vec<String>> {
    match argument {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            Some(text.value().split('.').map(str::to_owned).collect())
        }
        Expr::Reference(reference) => literal(&reference.expr),
        Expr::Array(array) => {
            let text = |part: &Expr| match part {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            };
            array.elems.iter().map(text).collect()
        }
        _ => None,
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match attribute.meta.require_list() {
        Ok(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Err(_) => false,
    })
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if METHODS.iter().any(|method| call.method == method)
            && let Some(path) = call.args.first().and_then(literal)
        {
            self.take(path);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        // The arguments of `assert!`, `cells!` and similar macros are usually expressions.
        if let Ok(arguments) = invocation.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated) {
            for argument in &arguments {
                let mut inner = Reader { file: self.file, found: BTreeSet::new() };
                inner.visit_expr(argument);
                self.found.append(&mut inner.found);
            }
        }
    }
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, into);
        } else if name.ends_with(".rs") && !matches!(&*name, "tests.rs" | "testing.rs") {
            into.push(path);
        }
    }
}

/// All literal paths of both crates.
fn found() -> BTreeSet<Found> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    ["kinds/src", "apiserver/src"].iter().for_each(|folder| sources(&crates.join(folder), &mut files));
    let mut all = BTreeSet::new();
    for path in files {
        let file = path.strip_prefix(crates).unwrap().to_str().unwrap();
        if OTHER_TREES.iter().any(|(folder, _)| file.starts_with(folder)) {
            continue;
        }
        let mut reader = Reader { file, found: BTreeSet::new() };
        reader.visit_file(&syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap());
        all.append(&mut reader.found);
    }
    all
}

/// Whether the path leads somewhere from a value of the type.
fn exists(ty: &TypeDef, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let Some(field) = ty.lookup(first).map(|place| place.field) else { return false };
    match field.shape {
        Shape::Single => within(&field.ty, rest),
        Shape::List => rest.is_empty(),
        Shape::Map => rest.split_first().is_none_or(|(_, rest)| within(&field.ty, rest)),
    }
}

fn within(ty: &FieldType, rest: &[&str]) -> bool {
    match ty {
        _ if rest.is_empty() => true,
        FieldType::Message(ty)
        | FieldType::JsonSchemaOrArray(ty)
        | FieldType::JsonSchemaOrBool(ty)
        | FieldType::JsonSchemaOrStringArray(ty) => exists(ty, rest),
        FieldType::RawExtension | FieldType::FieldsV1 | FieldType::Json => true,
        _ => false,
    }
}

/// The types that a type consists of, including itself.
fn reachable<'t>(ty: &'t TypeDef, into: &mut BTreeMap<&'t str, &'t TypeDef>) {
    if into.insert(&ty.name, ty).is_none() {
        ty.fields.iter().filter_map(schema::Field::message).for_each(|ty| reachable(ty, into));
    }
}

/// `HorizontalPodAutoscaler` as a file's name: `horizontal_pod_autoscaler`.
fn snake(kind: &str) -> String {
    let mut name = String::new();
    for character in kind.chars() {
        if character.is_uppercase() && !name.is_empty() && !name.ends_with(|last: char| last.is_uppercase()) {
            name.push('_');
        }
        name.push(character);
    }
    name.to_lowercase()
}

/// The types that code in a file can have in its hand.
fn types_of(file: &str) -> Vec<&'static TypeDef> {
    let module = file.strip_prefix("kinds/src/").and_then(|module| module.strip_suffix(".rs"));
    let mut parts = module.into_iter().flat_map(|module| module.split('/'));
    let part = parts.find(|part| !matches!(*part, "validation" | "defaults")).unwrap_or_default();
    let is_named_by = |kind: &str, group: &str| match group {
        "" if part == "core" => true,
        _ => snake(kind) == part || (!part.is_empty() && group.starts_with(&part.replace('_', ""))),
    };
    let named = schema::resources().iter().filter(|resource| is_named_by(&resource.kind, &resource.group));
    let groups: BTreeSet<&str> = named.map(|resource| resource.group.as_ref()).collect();
    let mut types = BTreeMap::new();
    let kinds = schema::kinds().iter().filter(|kind| groups.contains(kind.group));
    kinds.for_each(|kind| reachable(kind.ty, &mut types));
    if types.is_empty() { schema::types().to_vec() } else { types.into_values().collect() }
}

fn leads_somewhere(found: &Found) -> bool {
    let path: Vec<&str> = found.path.iter().map(String::as_str).collect();
    types_of(&found.file).iter().any(|ty| exists(ty, &path))
}

#[test]
fn every_path_leads_somewhere() {
    let found = found();
    let counted = found.len();
    assert!(counted > 300, "only {counted} paths were found: does the test still see them?");
    let is_listed = |one: &Found| {
        NO_FIELDS.iter().any(|(file, path, _)| one.file.starts_with(file) && one.path.join(".") == *path)
    };
    let wrong: Vec<&Found> = found.iter().filter(|one| !is_listed(one) && !leads_somewhere(one)).collect();
    assert!(wrong.is_empty(), "{} of {counted} paths lead nowhere: {wrong:#?}", wrong.len());
    for (file, path, _) in NO_FIELDS {
        let listed = found.iter().find(|one| one.file.starts_with(file) && one.path.join(".") == path);
        assert!(
            listed.is_some_and(|one| !leads_somewhere(one)),
            "{file}: {path:?} needs no exception any more"
        );
    }
}

#[test]
fn a_misspelt_path_is_seen() {
    let path = |file: &str, path: &str| Found {
        file: file.to_owned(),
        path: path.split('.').map(str::to_owned).collect(),
    };
    for right in [
        path("kinds/src/deployment.rs", "spec.strategy.rollingUpdate"),
        path("kinds/src/deployment.rs", "metadata.labels.app"),
        path("kinds/src/deployment.rs", "hostNetwork"),
        path("kinds/src/table.rs", "spec.replicas"),
        path("apiserver/src/registry.rs", "status.loadBalancer"),
    ] {
        assert!(leads_somewhere(&right), "{right:?}");
    }
    for wrong in [
        path("kinds/src/deployment.rs", "spec.strategy.rollingUpdates"),
        path("kinds/src/deployment.rs", "spec.strateg"),
        path("kinds/src/deployment.rs", "clusterIP"),
        path("kinds/src/pod/qos.rs", "spec.containers.name"),
        path("kinds/src/pod.rs", "metadata.name.first"),
        path("apiserver/src/registry.rs", "metadata.resourceversion"),
    ] {
        assert!(!leads_somewhere(&wrong), "{wrong:?}");
    }
}

#[test]
fn paths_are_seen_where_they_stand() {
    let code = r#"fn f(o: &Value) { assert!(o.at("a.b").is_null()); cells![o.str_at("c")]; o.at_path(&["d.e", "f"]); o.at(x); }
        #[cfg(test)] mod tests { fn g() { o.at("not.this"); } }"#;
    let mut reader = Reader { file: "x.rs", found: BTreeSet::new() };
    reader.visit_file(&syn::parse_str(code).unwrap());
    let paths: Vec<String> = reader.found.iter().map(|found| found.path.join("/")).collect();
    assert_eq!(paths, ["a/b", "c", "d.e/f"]);
}
