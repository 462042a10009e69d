//! A field under validation: its value together with its path.

use std::collections::{HashMap, HashSet};

use object::field::{Error, Errors, Path};
use object::{Map, Quantity, Value, names};
use semantics::LabelSelector;

/// A field of an object: looking a member up and naming it in an error is one step, so that the two cannot
/// differ. In builds with debug assertions it also knows its type and panics for members that the schema does
/// not have.
#[derive(Clone, Copy)]
pub(crate) struct Field<'v, 'p> {
    pub(crate) value: &'v Value,
    pub(crate) path: Path<'p>,
    #[cfg(debug_assertions)]
    ty: Option<&'static schema::TypeDef>,
}

#[cfg(debug_assertions)]
fn member_type(ty: Option<&'static schema::TypeDef>, name: &str) -> Option<&'static schema::TypeDef> {
    let ty = ty?;
    let place = ty.lookup(name).unwrap_or_else(|| panic!("{} has no field {name}", ty.name));
    place.field.message().filter(|_| place.field.shape != schema::Shape::Map)
}

impl<'v, 'p> Field<'v, 'p> {
    /// The object itself; `kind` is its type's name in OpenAPI.
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "the type is for debug builds"))]
    pub(crate) fn root(value: &'v Value, kind: &str) -> Field<'v, 'static> {
        #[cfg(debug_assertions)]
        let ty = match schema::type_by_name(kind) {
            Some(schema::TypeRef::Static(ty)) => ty,
            _ => panic!("no type {kind}"),
        };
        Field {
            value,
            path: Path::root(""),
            #[cfg(debug_assertions)]
            ty: Some(ty),
        }
    }

    /// A member.
    pub(crate) fn child<'c>(&'c self, name: &'c str) -> Field<'v, 'c> {
        Field {
            value: self.value.get(name),
            path: self.path.child(name),
            #[cfg(debug_assertions)]
            ty: member_type(self.ty, name),
        }
    }

    /// The same field under another name: upstream names some fields wrongly, and clients may know.
    pub(crate) fn named<'c>(self, path: Path<'c>) -> Field<'v, 'c> {
        Field {
            value: self.value,
            path,
            #[cfg(debug_assertions)]
            ty: self.ty,
        }
    }

    /// Another value at the same place: a part of the text, say.
    pub(crate) fn with<'w>(&self, value: &'w Value) -> Field<'w, 'p> {
        self.inner(value, self.path)
    }

    /// An item or an entry, which has the type that the schema states for the field.
    fn inner<'w, 'c>(&self, value: &'w Value, path: Path<'c>) -> Field<'w, 'c> {
        Field {
            value,
            path,
            #[cfg(debug_assertions)]
            ty: self.ty,
        }
    }

    /// The texts that a member has in the items of this list.
    pub(crate) fn texts(&self, member: &str) -> HashSet<&'v str> {
        self.value.items().map(|item| item.str_at(member)).collect()
    }

    /// The items of a list; none for anything else.
    pub(crate) fn items<'c>(&'c self) -> impl Iterator<Item = Field<'v, 'c>> {
        self.value.items().enumerate().map(|(i, value)| self.inner(value, self.path.index(i)))
    }

    /// The entries of a map, with the key as the last step of the path; none for anything else.
    pub(crate) fn entries<'c>(&'c self) -> impl Iterator<Item = (&'v str, Field<'v, 'c>)>
    where
        'v: 'c,
    {
        self.value.entries().map(|(key, value)| (key, self.inner(value, self.path.key(key))))
    }

    /// Whether there is a value (Go: the pointer is not nil).
    pub(crate) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// Whether there is no value, or a zero, or an empty text, list or map.
    pub(crate) fn is_empty(&self) -> bool {
        self.value.is_empty()
    }

    /// The text; empty if there is none.
    pub(crate) fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    /// The number; 0 if there is none.
    pub(crate) fn number(&self) -> i64 {
        self.value.as_i64().unwrap_or_default()
    }

    /// Whether it is set and true.
    pub(crate) fn is_true(&self) -> bool {
        self.value.as_bool() == Some(true)
    }

    /// Whether it is set and false.
    pub(crate) fn is_false(&self) -> bool {
        self.value.as_bool() == Some(false)
    }

    /// How many items or entries there are.
    pub(crate) fn len(&self) -> usize {
        match self.value {
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            _ => 0,
        }
    }

    /// The quantity; zero if there is none. The decoder has already refused invalid ones.
    pub(crate) fn quantity(&self) -> Quantity {
        quantity(self.value)
    }

    /// The label selector; empty if there is none.
    pub(crate) fn selector(&self) -> LabelSelector {
        LabelSelector::read(self.value)
    }

    /// Adds: the value is wrong.
    pub(crate) fn invalid(&self, errors: &mut Errors, why: impl Into<String>) {
        errors.push_with(|| Error::invalid(&self.path, self.value.clone(), why));
    }

    /// Adds: the value must be there.
    pub(crate) fn required(&self, errors: &mut Errors, why: &str) {
        errors.required(&self.path, why);
    }

    /// Adds: the value must not be there.
    pub(crate) fn forbidden(&self, errors: &mut Errors, why: impl Into<String>) {
        errors.forbidden(&self.path, why);
    }

    /// Adds the error of a value that appears twice.
    pub(crate) fn duplicate(&self, errors: &mut Errors) {
        errors.push_with(|| Error::duplicate(&self.path, self.value.clone()));
    }

    /// Adds: the value refers to nothing.
    pub(crate) fn not_found(&self, errors: &mut Errors) {
        errors.push_with(|| Error::not_found(&self.path, self.value.clone()));
    }

    /// Adds an error: the value is not one of these.
    pub(crate) fn not_supported(&self, errors: &mut Errors, supported: &[&str]) {
        errors.not_supported(&self.path, self.text(), supported);
    }

    /// Checks the text, and adds all error messages.
    pub(crate) fn check(&self, errors: &mut Errors, check: impl FnOnce(&str) -> Vec<String>) {
        errors.invalid_each(&self.path, self.text(), check(self.text()));
    }

    /// Checks the text where it is not empty.
    pub(crate) fn check_set(&self, errors: &mut Errors, check: impl FnOnce(&str) -> Vec<String>) {
        if !self.text().is_empty() {
            self.check(errors, check);
        }
    }

    /// Checks the text, which must not be empty.
    pub(crate) fn check_required(&self, errors: &mut Errors, check: impl FnOnce(&str) -> Vec<String>) {
        match self.text() {
            "" => self.required(errors, ""),
            _ => self.check(errors, check),
        }
    }

    /// The value must be there, and not empty.
    pub(crate) fn check_present(&self, errors: &mut Errors) {
        if self.is_empty() {
            self.required(errors, "");
        }
    }

    /// The value must be there, and not empty; says why.
    pub(crate) fn check_present_with(&self, errors: &mut Errors, why: &str) {
        if self.is_empty() {
            self.required(errors, why);
        }
    }

    /// The text must be a path behind a domain: `acme.io/foo`.
    pub(crate) fn check_domain_path(&self, errors: &mut Errors) {
        let parts =
            self.text().split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty());
        let Some((domain, path)) = parts else {
            return self.invalid(errors, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        };
        errors.invalid_each(&self.path, domain, names::is_dns1123_subdomain(domain));
        // What may stand in a path of a URL without escapes.
        let fits = |c: char| c.is_ascii_alphanumeric() || "/:-._~%!$&'()*+,;=".contains(c);
        if !path.chars().all(fits) {
            let message = names::regex_message("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
            errors.invalid(&self.path, path, message);
        }
    }

    /// The text must be one of these, and must not be empty.
    pub(crate) fn check_one_of(&self, errors: &mut Errors, supported: &[&str]) {
        match self.text() {
            "" => self.required(errors, ""),
            text if supported.contains(&text) => {}
            _ => self.not_supported(errors, supported),
        }
    }

    /// The text must be one of these if it is set.
    pub(crate) fn check_known(&self, errors: &mut Errors, supported: &[&str]) {
        if self.is_set() && !supported.contains(&self.text()) {
            self.not_supported(errors, supported);
        }
    }

    /// The number must not be negative.
    pub(crate) fn check_not_negative(&self, errors: &mut Errors) {
        if self.number() < 0 {
            self.invalid(errors, NEGATIVE);
        }
    }

    /// The number must be in a range if it is set.
    pub(crate) fn check_number(&self, errors: &mut Errors, check: impl FnOnce(i64) -> Vec<String>) {
        if self.is_set() {
            errors.invalid_each(&self.path, self.number(), check(self.number()));
        }
    }

    /// The value must not have changed. The error leaves the value out, like those of rules that upstream declares with
    /// the field instead of in code.
    pub(crate) fn check_constant(&self, errors: &mut Errors, old: &Value) {
        if !same(self.value, old) {
            errors.invalid(&self.path, Value::Null, IMMUTABLE);
        }
    }

    /// The value must not have changed.
    pub(crate) fn check_immutable(&self, errors: &mut Errors, old: &Value) {
        if !same(self.value, old) {
            self.invalid(errors, IMMUTABLE);
        }
    }
}

pub(crate) const IMMUTABLE: &str = "field is immutable";
pub(crate) const NEGATIVE: &str = "must be greater than or equal to 0";
pub(crate) const NOT_POSITIVE: &str = "must be greater than zero";

/// Whether two values mean the same: nothing, an empty list and an empty map do.
pub fn same(a: &Value, b: &Value) -> bool {
    let hollow = |value: &Value| match value {
        Value::Null => true,
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.iter().all(|(_, member)| member.is_null()),
        _ => false,
    };
    match (a, b) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => same_maps(a, b),
        (a, b) if hollow(a) && hollow(b) => true,
        (a, b) => a == b,
    }
}

fn same_maps(a: &Map, b: &Map) -> bool {
    if a.keys().eq(b.keys()) {
        return a.iter().zip(b.iter()).all(|((_, a), (_, b))| same(a, b));
    }
    let null = Value::Null;
    let others: HashMap<&str, &Value> = b.iter().collect();
    let own: HashSet<&str> = a.keys().collect();
    a.iter().all(|(key, value)| same(value, others.get(key).copied().unwrap_or(&null)))
        && b.iter().filter(|(key, _)| !own.contains(key)).all(|(_, value)| same(&null, value))
}

/// Which members differ: a line for each, with what was and what would be.
pub(crate) fn differences(old: &Value, new: &Value) -> String {
    let json = |value: &Value| String::from_utf8_lossy(&object::json::to_vec(value)).into_owned();
    let mut names: Vec<&str> = old.entries().chain(new.entries()).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let changed = names.into_iter().filter(|name| !same(old.get(name), new.get(name)));
    changed
        .map(|name| format!("-\t{name}: {}\n+\t{name}: {}\n", json(old.get(name)), json(new.get(name))))
        .collect()
}

/// The quantity that a value is; zero where it is none.
pub(crate) fn quantity(value: &Value) -> Quantity {
    match value {
        Value::String(text) => Quantity::parse(text).unwrap_or_default(),
        Value::Int(number) => Quantity::new(*number, object::QuantityFormat::DecimalSi),
        Value::Float(number) => Quantity::parse(&number.to_string()).unwrap_or_default(),
        _ => Quantity::ZERO,
    }
}
