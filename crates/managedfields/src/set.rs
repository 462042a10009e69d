//! Sets of fields.

use std::fmt;

use object::{Map, Value};

use crate::element::{Element, ElementError};

#[cfg(test)]
mod tests;

/// A set of fields, as a tree of the paths to them. That a field is in the set says nothing about its own fields, nor
/// the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// In ascending order of their elements; none that neither is a member nor has children.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    element: Element,
    /// Whether the field itself is in the set.
    is_member: bool,
    children: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.is_member && self.children.is_empty()
    }
}

/// The path to a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(pub(crate) Vec<Element>);

/// As messages show it, for example `.spec.containers[name="c"].image`.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

impl FieldSet {
    /// Whether there are no fields in it.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a field. The empty path, which is the whole object, is never in a set.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = match self.position(first) {
            Ok(at) => at,
            Err(at) => {
                let node = Node { element: first.clone(), is_member: false, children: FieldSet::default() };
                self.nodes.insert(at, node);
                at
            }
        };
        let node = &mut self.nodes[at];
        node.is_member |= rest.is_empty();
        node.children.insert(rest);
    }

    fn position(&self, element: &Element) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.element.cmp(element))
    }

    fn node(&self, element: &Element) -> Option<&Node> {
        Some(&self.nodes[self.position(element).ok()?])
    }

    /// Whether the field at a path is in the set.
    pub fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.contains(rest)),
        }
    }

    /// Whether the field that this element leads to is in the set.
    pub(crate) fn has(&self, element: &Element) -> bool {
        self.node(element).is_some_and(|node| node.is_member)
    }

    /// The fields below the one that this element leads to; `None` if there are none.
    pub(crate) fn below(&self, element: &Element) -> Option<&FieldSet> {
        self.node(element).map(|node| &node.children).filter(|children| !children.is_empty())
    }

    /// Every element at the top, whether it is in the set itself, and what is below it.
    pub(crate) fn top(&self) -> impl Iterator<Item = (&Element, bool, &FieldSet)> {
        self.nodes.iter().map(|node| (&node.element, node.is_member, &node.children))
    }

    /// Builds a set from its top, in any order of distinct elements.
    pub(crate) fn from_top(top: impl IntoIterator<Item = (Element, bool, FieldSet)>) -> FieldSet {
        let top = top.into_iter();
        let mut nodes = Vec::with_capacity(top.size_hint().1.unwrap_or_default());
        nodes.extend(
            top.map(|(element, is_member, children)| Node { element, is_member, children })
                .filter(|node| !node.is_empty()),
        );
        nodes.sort_unstable_by(|a, b| a.element.cmp(&b.element));
        FieldSet { nodes }
    }

    /// The fields that are in either set.
    #[must_use]
    pub fn union(mut self, mut other: FieldSet) -> FieldSet {
        if self.nodes.len() < other.nodes.len() {
            std::mem::swap(&mut self, &mut other);
        }
        if other.is_empty() {
            return self;
        }
        let mut nodes = Vec::with_capacity(self.nodes.len() + other.nodes.len());
        let mut others = other.nodes.into_iter().peekable();
        for mut node in self.nodes {
            while let Some(earlier) = others.next_if(|other| other.element < node.element) {
                nodes.push(earlier);
            }
            if let Some(same) = others.next_if(|other| other.element == node.element) {
                node.is_member |= same.is_member;
                node.children = node.children.union(same.children);
            }
            nodes.push(node);
        }
        nodes.extend(others);
        FieldSet { nodes }
    }

    /// The fields that are in both sets.
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let mut others = other.nodes.iter().peekable();
        let shared = self.nodes.iter().filter_map(|node| {
            while others.next_if(|other| other.element < node.element).is_some() {}
            let same = others.next_if(|other| other.element == node.element)?;
            Some(Node {
                element: node.element.clone(),
                is_member: node.is_member && same.is_member,
                children: node.children.intersection(&same.children),
            })
        });
        FieldSet { nodes: shared.filter(|node| !node.is_empty()).collect() }
    }

    /// The fields that are not in the other set. A field stays even if its parent goes.
    #[must_use]
    pub fn difference(self, other: &FieldSet) -> FieldSet {
        self.filtered(other, |node, same| {
            node.is_member &= !same.is_member;
            node.children = std::mem::take(&mut node.children).difference(&same.children);
        })
    }

    /// The fields that neither are in the other set nor below a field that is.
    #[must_use]
    pub fn outside(self, other: &FieldSet) -> FieldSet {
        self.filtered(other, |node, same| {
            let children = std::mem::take(&mut node.children);
            if same.is_member {
                node.is_member = false;
            } else {
                node.children = children.outside(&same.children);
            }
        })
    }

    /// Changes the nodes that the other set has too, and drops those that are empty then.
    fn filtered(mut self, other: &FieldSet, mut change: impl FnMut(&mut Node, &Node)) -> FieldSet {
        if other.is_empty() {
            return self;
        }
        let mut others = other.nodes.iter().peekable();
        self.nodes.retain_mut(|node| {
            while others.next_if(|other| other.element < node.element).is_some() {}
            let Some(same) = others.next_if(|other| other.element == node.element) else { return true };
            change(node, same);
            !node.is_empty()
        });
        self
    }

    /// The fields at and below the places that these patterns name, and those on the way to them; `*` stands for any
    /// element.
    pub fn within(&self, patterns: &[&[&str]]) -> FieldSet {
        let nodes = self.nodes.iter().filter_map(|node| {
            let rests = patterns.iter().filter_map(|pattern| {
                let (step, rest) = pattern.split_first()?;
                node.element.matches(step).then_some(rest)
            });
            let rests: Vec<&[&str]> = rests.collect();
            if rests.is_empty() || rests.iter().any(|rest| rest.is_empty()) {
                return (!rests.is_empty()).then(|| node.clone());
            }
            let children = node.children.within(&rests);
            Some(Node { element: node.element.clone(), is_member: node.is_member, children })
        });
        FieldSet { nodes: nodes.filter(|node| !node.is_empty()).collect() }
    }

    /// How many fields are in it.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.is_member) + node.children.len()).sum()
    }

    /// The paths of all fields in it: those of one level before those below it.
    pub fn paths(&self) -> Vec<FieldPath> {
        let mut paths = Vec::new();
        self.for_each_path(&mut |path| {
            paths.push(FieldPath(path.iter().copied().cloned().collect()));
            true
        });
        paths
    }

    /// Calls this with the path of every field, in that order, until it returns false.
    pub(crate) fn for_each_path<'a>(&'a self, call: &mut dyn FnMut(&[&'a Element]) -> bool) {
        self.visit_paths(&mut Vec::new(), call);
    }

    fn visit_paths<'a>(
        &'a self,
        before: &mut Vec<&'a Element>,
        call: &mut dyn FnMut(&[&'a Element]) -> bool,
    ) -> bool {
        for node in self.nodes.iter().filter(|node| node.is_member) {
            before.push(&node.element);
            let goes_on = call(before);
            before.pop();
            if !goes_on {
                return false;
            }
        }
        self.nodes.iter().all(|node| {
            before.push(&node.element);
            let goes_on = node.children.visit_paths(before, call);
            before.pop();
            goes_on
        })
    }

    /// The form in `fieldsV1`.
    pub fn to_value(&self) -> Value {
        let mut map = Map::with_capacity(self.nodes.len());
        self.write_nodes(&mut map);
        Value::Map(map)
    }

    fn write_nodes(&self, map: &mut Map) {
        for node in &self.nodes {
            let is_marked = node.is_member && !node.children.is_empty();
            let mut below = Map::with_capacity(node.children.nodes.len() + usize::from(is_marked));
            if is_marked {
                below.push(".".into(), Value::map());
            }
            node.children.write_nodes(&mut below);
            map.push(node.element.encode(), Value::Map(below));
        }
    }

    /// Reads the form in `fieldsV1`.
    ///
    /// # Errors
    /// A key that cannot be read as an element.
    pub fn from_value(value: &Value) -> Result<FieldSet, ElementError> {
        let mut top = Vec::new();
        for (key, below) in value.entries().filter(|(key, _)| *key != ".") {
            let children = FieldSet::from_value(below)?;
            let is_member = children.is_empty() || !below.get(".").is_null();
            top.push((Element::parse(key)?, is_member, children));
        }
        let mut set = FieldSet::from_top(top);
        // Two spellings of one element, such as keys in another order.
        set.nodes.dedup_by(|later, first| {
            let is_same = later.element == first.element;
            if is_same {
                first.is_member |= later.is_member;
                first.children =
                    std::mem::take(&mut first.children).union(std::mem::take(&mut later.children));
            }
            is_same
        });
        Ok(set)
    }
}
