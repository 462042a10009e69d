//! What an expression can refer to.

use std::collections::HashMap;
use std::sync::Arc;

use crate::words::is_word;
use crate::{Function, ObjectShape, Shape, ShapeKind, Type};

/// The variables, types and functions that an expression can use.
///
/// A copy shares functions and types with the original until one of them gets more, so that an environment for each rule
/// of a schema costs next to nothing.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: HashMap<Box<str>, Variable>,
    objects: Arc<HashMap<Arc<str>, Arc<ObjectShape>>>,
    functions: Arc<HashMap<&'static str, Function>>,
    types: Arc<HashMap<Box<str>, Type>>,
    /// Whether there are the types of patches, `Object`, `Object.spec` and so on, and `JSONPatch`.
    patches: bool,
}

#[derive(Clone, Debug)]
struct Variable {
    kind: Type,
    /// For its sizes, if a schema declares it.
    shape: Option<Arc<Shape>>,
}

impl Env {
    /// The same with a variable.
    #[must_use]
    pub fn with_variable(mut self, name: &str, kind: Type) -> Env {
        self.variables.insert(name.into(), Variable { kind, shape: None });
        self
    }

    /// The same with a variable that a schema declares, and the types of all objects in it.
    #[must_use]
    pub fn with_shape(mut self, name: &str, shape: &Arc<Shape>) -> Env {
        self.add_objects(shape);
        let kind = shape.expression_type();
        self.variables.insert(name.into(), Variable { kind, shape: Some(Arc::clone(shape)) });
        self
    }

    /// The same with a variable that is an object without objects in it. What this costs does not depend on how many fields
    /// it has.
    #[must_use]
    pub fn with_plain_object(mut self, name: &str, object: &Arc<ObjectShape>) -> Env {
        Arc::make_mut(&mut self.objects).insert(Arc::clone(&object.name), Arc::clone(object));
        self.variables
            .insert(name.into(), Variable { kind: Type::Object(Arc::clone(&object.name)), shape: None });
        self
    }

    /// The same with a variable whose sizes are known, but which is of another type than its schema says, such as the old
    /// object that need not exist.
    #[must_use]
    pub fn with_sizes(mut self, name: &str, kind: Type, shape: &Arc<Shape>) -> Env {
        self.add_objects(shape);
        self.variables.insert(name.into(), Variable { kind, shape: Some(Arc::clone(shape)) });
        self
    }

    /// The same with functions; overloads with new IDs are added to those that are there.
    #[must_use]
    pub fn with_functions(mut self, functions: impl IntoIterator<Item = Function>) -> Env {
        let known = Arc::make_mut(&mut self.functions);
        for function in functions {
            let there =
                known.entry(function.name).or_insert_with(|| Function::new(function.name, Vec::new()));
            for overload in function.overloads {
                if there.overloads.iter().all(|known| known.id != overload.id) {
                    there.overloads.push(overload);
                }
            }
        }
        self
    }

    /// The same with a name for a type of a library, so that `type(x) == net.IP` can be asked.
    #[must_use]
    pub fn with_type(mut self, name: &str, kind: Type) -> Env {
        Arc::make_mut(&mut self.types).insert(name.into(), kind);
        self
    }

    /// The same with the types that patches are made of: `Object` and `Object.a.b`, which have any field, and `JSONPatch`
    /// (`pkg/cel/mutation` in `k8s.io/apiserver`).
    #[must_use]
    pub fn with_patches(mut self) -> Env {
        self.patches = true;
        self
    }

    /// The type of a variable.
    pub fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name).map(|variable| &variable.kind)
    }

    /// What the schema says of a variable, if one declares it.
    pub fn shape(&self, name: &str) -> Option<&Arc<Shape>> {
        self.variables.get(name)?.shape.as_ref()
    }

    /// The fields of a type.
    pub fn object(&self, name: &str) -> Option<&Arc<ObjectShape>> {
        self.objects.get(name)
    }

    /// A function or method.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    /// The type that a name in an expression stands for: one of the language, of a library, or of patches. The types of
    /// schemas have no names in expressions, so that `object.spec` is a field of `object` whatever their names are.
    pub fn type_named(&self, name: &str) -> Option<Type> {
        let known = standard_type(name).or_else(|| self.types.get(name).cloned());
        known.or_else(|| self.is_patch(name).then(|| Type::Object(name.into())))
    }

    /// The type of a field of an object. A word that is reserved in the language finds the field with the escaped name.
    pub fn field(&self, object: &str, field: &str) -> Option<Type> {
        match self.objects.get(object) {
            Some(shape) => {
                let escaped = || shape.fields.get(format!("__{field}__").as_str());
                let found = shape.fields.get(field);
                let found = found.or_else(|| is_word(field).then(escaped).flatten());
                Some(found?.shape.expression_type())
            }
            None if !self.is_patch(object) => None,
            None if object != JSON_PATCH => Some(Type::Dyn),
            None => match field {
                "op" | "path" | "from" => Some(Type::String),
                "value" => Some(Type::Dyn),
                _ => None,
            },
        }
    }

    fn add_objects(&mut self, shape: &Shape) {
        if !is_known(&self.objects, shape) {
            add_objects(Arc::make_mut(&mut self.objects), shape);
        }
    }

    /// Whether it is a type that patches are made of.
    fn is_patch(&self, name: &str) -> bool {
        self.patches && (name == JSON_PATCH || name == "Object" || name.starts_with("Object."))
    }
}

/// Whether the objects within a shape have been added before.
fn is_known(objects: &HashMap<Arc<str>, Arc<ObjectShape>>, shape: &Shape) -> bool {
    match &shape.kind {
        ShapeKind::Scalar(_) | ShapeKind::Dynamic => true,
        ShapeKind::List { items: inner, .. } | ShapeKind::Map { values: inner } => is_known(objects, inner),
        ShapeKind::Object(object) => {
            objects.get(&object.name).is_some_and(|known| Arc::ptr_eq(known, object))
        }
    }
}

/// Adds the types of all objects within a shape.
fn add_objects(objects: &mut HashMap<Arc<str>, Arc<ObjectShape>>, shape: &Shape) {
    match &shape.kind {
        ShapeKind::Scalar(_) | ShapeKind::Dynamic => {}
        ShapeKind::List { items: inner, .. } | ShapeKind::Map { values: inner } => {
            add_objects(objects, inner);
        }
        ShapeKind::Object(object) => {
            let known = objects.insert(Arc::clone(&object.name), Arc::clone(object));
            if !known.is_some_and(|known| Arc::ptr_eq(&known, object)) {
                for field in object.fields.values() {
                    add_objects(objects, &field.shape);
                }
            }
        }
    }
}

const JSON_PATCH: &str = "JSONPatch";

/// The types of the language by their names in expressions.
fn standard_type(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "int" => Type::Int,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "optional_type" => Type::optional(Type::Dyn),
        "string" => Type::String,
        "type" => Type::of_type(Type::Dyn),
        "uint" => Type::Uint,
        _ => return None,
    })
}
