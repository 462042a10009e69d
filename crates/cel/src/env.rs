//! What an expression can refer to.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Function, ObjectShape, Shape, ShapeKind, Type};

/// The variables, types and functions that an expression can use.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: HashMap<Box<str>, Variable>,
    objects: HashMap<Arc<str>, Arc<ObjectShape>>,
    functions: HashMap<&'static str, Function>,
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

    /// The same with functions; overloads are added to those that are there.
    #[must_use]
    pub fn with_functions(mut self, functions: impl IntoIterator<Item = Function>) -> Env {
        for function in functions {
            let there = self
                .functions
                .entry(function.name)
                .or_insert_with(|| Function::new(function.name, Vec::new()));
            there.overloads.extend(function.overloads);
        }
        self
    }

    pub fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name).map(|variable| &variable.kind)
    }

    pub fn shape(&self, name: &str) -> Option<&Arc<Shape>> {
        self.variables.get(name)?.shape.as_ref()
    }

    pub fn object(&self, name: &str) -> Option<&Arc<ObjectShape>> {
        self.objects.get(name)
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    fn add_objects(&mut self, shape: &Shape) {
        match &shape.kind {
            ShapeKind::Scalar(_) | ShapeKind::Dynamic => {}
            ShapeKind::List { items: inner, .. } | ShapeKind::Map { values: inner } => {
                self.add_objects(inner)
            }
            ShapeKind::Object(object) => {
                if self.objects.insert(Arc::clone(&object.name), Arc::clone(object)).is_none() {
                    for field in object.fields.values() {
                        self.add_objects(&field.shape);
                    }
                }
            }
        }
    }
}
