//! Lists, maps and messages.

use crate::check::infer::most_general;
use crate::check::{Checker, optional_of};
use crate::{Entry, Expr, FieldInit, Id, Reference, Type};

impl Checker<'_> {
    pub(super) fn check_list(&mut self, id: Id, elements: &mut [Expr], optional: &[usize]) {
        let mut joined = None;
        for (index, element) in elements.iter_mut().enumerate() {
            self.check(element);
            let mut kind = self.type_of(element.id);
            if optional.binary_search(&index).is_ok() {
                kind = self.unwrap_optional(element.id, kind);
            }
            joined = Some(self.join(joined, kind));
        }
        let element = joined.unwrap_or_else(|| self.infer.variable());
        self.set_type(id, Type::list(element));
    }

    pub(super) fn check_map(&mut self, id: Id, entries: &mut [Entry]) {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.check(&mut entry.key);
            let key = self.type_of(entry.key.id);
            keys = Some(self.join(keys, key));
            self.check(&mut entry.value);
            let mut value = self.type_of(entry.value.id);
            if entry.optional {
                value = self.unwrap_optional(entry.value.id, value);
            }
            values = Some(self.join(values, value));
        }
        let keys = keys.unwrap_or_else(|| self.infer.variable());
        let values = values.unwrap_or_else(|| self.infer.variable());
        self.set_type(id, Type::map(keys, values));
    }

    /// The type of the value of an optional element, which must be an optional one.
    fn unwrap_optional(&mut self, id: Id, kind: Type) -> Type {
        match optional_of(&kind) {
            Some(inner) => inner.clone(),
            None => {
                if kind != Type::Dyn {
                    self.report_mismatch(id, &Type::optional(kind.clone()), &kind);
                }
                kind
            }
        }
    }

    /// The type that elements have in common, or `dyn`.
    fn join(&mut self, before: Option<Type>, kind: Type) -> Type {
        let Some(before) = before else { return kind };
        if self.infer.fits(&before, &kind) { most_general(&before, &kind) } else { Type::Dyn }
    }

    pub(super) fn check_struct(&mut self, id: Id, name: &mut Box<str>, fields: &mut [FieldInit]) {
        let plain = name.strip_prefix('.').unwrap_or(name);
        let Some(kind) = self.env.type_named(plain) else {
            self.report_undeclared(id, name);
            return self.set_type(id, Type::Error);
        };
        *name = plain.into();
        self.refer(id, Reference::Type(kind.clone()));
        let message = matches!(kind, Type::Object(_));
        if !message {
            self.report(id, format!("'{kind}' is not a message type"));
        }
        self.set_type(id, if message { kind } else { Type::Error });
        for field in fields {
            self.check_field_init(name, field);
        }
    }

    fn check_field_init(&mut self, object: &str, field: &mut FieldInit) {
        self.check(&mut field.value);
        let declared = self.field_type(field.id, object, &field.name).unwrap_or(Type::Error);
        let mut value = self.type_of(field.value.id);
        if field.optional {
            value = self.unwrap_optional(field.value.id, value);
        }
        if !self.infer.fits(&declared, &value) {
            let name = &field.name;
            let message =
                format!("expected type of field '{name}' is '{declared}' but provided type is '{value}'");
            self.report(field.id, message);
        }
    }
}
