//! Lists: those of objects, and those that expressions make.

use std::sync::Arc;

use super::{Evaluated, Value};
use crate::{ListKind, Shape, ShapeKind};

/// A list. One of an object knows its schema, which says how it is compared and joined.
#[derive(Clone, Debug)]
pub struct List<'v> {
    items: Items<'v>,
    /// Of the list itself.
    shape: Option<&'v Shape>,
}

#[derive(Clone, Debug)]
enum Items<'v> {
    Tree(&'v [object::Value]),
    Made(Arc<Vec<Value<'v>>>),
}

impl<'v> List<'v> {
    /// A list of an object.
    pub fn of_tree(items: &'v [object::Value], shape: Option<&'v Shape>) -> List<'v> {
        List { items: Items::Tree(items), shape }
    }

    /// The same items with another's schema.
    pub(crate) fn with_shape_of(mut self, other: &List<'v>) -> List<'v> {
        self.shape = other.shape;
        self
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Tree(items) => items.len(),
            Items::Made(items) => items.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at a place.
    pub fn get(&self, index: usize) -> Option<Evaluated<'v>> {
        match &self.items {
            Items::Tree(items) => items.get(index).map(|item| Value::of_tree(item, self.item_shape())),
            Items::Made(items) => items.get(index).map(|item| Ok(item.clone())),
        }
    }

    /// The items.
    pub fn iter(&self) -> impl Iterator<Item = Evaluated<'v>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The items, unless one of them is not of its schema.
    pub fn to_vec(&self) -> Result<Vec<Value<'v>>, crate::EvaluationError> {
        self.iter().collect()
    }

    /// The items, if an expression made the list.
    pub(super) fn made(&self) -> impl Iterator<Item = &Value<'v>> {
        match &self.items {
            Items::Tree(_) => [].iter(),
            Items::Made(items) => items.iter(),
        }
    }

    /// How it is compared and joined.
    pub(crate) fn kind(&self) -> &'v ListKind {
        match self.shape.map(|shape| &shape.kind) {
            Some(ShapeKind::List { list, .. }) => list,
            _ => &ListKind::Atomic,
        }
    }

    /// Whether nobody else has these items, so that they can be changed in place.
    pub(crate) fn is_unshared(&self) -> bool {
        matches!(&self.items, Items::Made(items) if Arc::strong_count(items) == 1)
    }

    fn item_shape(&self) -> Option<&'v Shape> {
        match self.shape.map(|shape| &shape.kind) {
            Some(ShapeKind::List { items, .. }) => Some(items),
            _ => None,
        }
    }

    /// The items of a list that expressions made, to add some: in place, if nobody else has them.
    pub(crate) fn make_mut(&mut self) -> Result<&mut Vec<Value<'v>>, crate::EvaluationError> {
        if let Items::Tree(_) = self.items {
            self.items = Items::Made(Arc::new(self.to_vec()?));
        }
        match &mut self.items {
            Items::Made(items) => Ok(Arc::make_mut(items)),
            Items::Tree(_) => unreachable!("made above"),
        }
    }
}

impl<'v> From<Vec<Value<'v>>> for List<'v> {
    fn from(items: Vec<Value<'v>>) -> Self {
        List { items: Items::Made(Arc::new(items)), shape: None }
    }
}
