//! Paths of fields.

use std::fmt;

/// A path from a root to a field, such as `spec.containers[0].ports[1]` or `data[key]`.
///
/// Making one allocates nothing: each step borrows the previous one, and only an error turns it into text. A path of
/// several steps is therefore passed on in the expression that makes it, or each step is bound.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    /// A member; may hold dots.
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// A path that begins at a field. An empty name is the object itself, as where a body as a whole is
    /// wrong: it prints as nothing.
    pub const fn root(name: &'a str) -> Path<'a> {
        Path { parent: None, step: Step::Name(name) }
    }

    /// A member of this (`.name`); `name` may be several, joined by dots.
    pub const fn child(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Name(name) }
    }

    /// An item of this list (`[index]`).
    pub const fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// An entry of this map (`[key]`).
    pub const fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Name(name) => {
                let at_root = self.parent.is_none_or(Path::is_bare);
                write!(f, "{}{name}", if at_root { "" } else { "." })
            }
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

impl Path<'_> {
    /// The empty root, which has no text.
    pub(crate) fn is_bare(&self) -> bool {
        self.parent.is_none() && matches!(self.step, Step::Name(""))
    }
}
