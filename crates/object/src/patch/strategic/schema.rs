//! Schema information for the members of a patch.

use schema::{Field, FieldType, PatchStrategy, Shape, TypeDef};

use super::{Error, unknown_field};

/// The type of an object in the patch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'a> {
    /// A type with fields.
    Struct(&'a TypeDef),
    /// A type with a special JSON form, whose members the schema does not know; its Go name.
    Opaque(&'static str),
    /// Not an object in the schema; Go's name for the type.
    Other(&'static str),
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// Its type, or the type of its items.
    pub(super) node: Node<'a>,
    pub(super) patch: &'a PatchStrategy,
}

impl<'a> Node<'a> {
    /// The member that holds an object.
    pub(super) fn field(self, name: &str) -> Result<Member<'a>, Error> {
        let field = self.lookup(name)?;
        let node = match field.shape {
            Shape::Map => Node::Other("map"),
            Shape::List => Node::Other("slice"),
            Shape::Single => item(field),
        };
        Ok(Member { node, patch: &field.patch })
    }

    /// The member that holds a list.
    pub(super) fn list(self, name: &str) -> Result<Member<'a>, Error> {
        let field = self.lookup(name)?;
        match field.shape {
            Shape::List => Ok(Member { node: item(field), patch: &field.patch }),
            _ => Err(Error::Schema("expected slice or array type, but got: struct".into())),
        }
    }

    fn lookup(self, name: &str) -> Result<&'a Field, Error> {
        match self {
            Node::Struct(ty) => {
                ty.lookup(name).map(|place| place.field).ok_or_else(|| unknown_field(&ty.name, name))
            }
            Node::Opaque(ty) => Err(unknown_field(ty, name)),
            Node::Other(kind) => Err(Error::Schema(format!(
                "merging an object in json but data type is not struct, instead is: {kind}"
            ))),
        }
    }
}

fn item(field: &Field) -> Node<'_> {
    match &field.ty {
        FieldType::Message(ty) => Node::Struct(ty),
        FieldType::JsonSchemaOrArray(_) => Node::Opaque("JSONSchemaPropsOrArray"),
        FieldType::JsonSchemaOrBool(_) => Node::Opaque("JSONSchemaPropsOrBool"),
        FieldType::JsonSchemaOrStringArray(_) => Node::Opaque("JSONSchemaPropsOrStringArray"),
        FieldType::RawExtension => Node::Opaque("RawExtension"),
        FieldType::FieldsV1 => Node::Opaque("FieldsV1"),
        FieldType::Json => Node::Opaque("JSON"),
        FieldType::Time => Node::Opaque("Time"),
        FieldType::MicroTime => Node::Opaque("MicroTime"),
        FieldType::Duration => Node::Opaque("Duration"),
        FieldType::Quantity => Node::Opaque("Quantity"),
        FieldType::IntOrString => Node::Opaque("IntOrString"),
        FieldType::Bool => Node::Other("bool"),
        FieldType::Int32 => Node::Other("int32"),
        FieldType::Int64 => Node::Other("int64"),
        FieldType::Double => Node::Other("float64"),
        FieldType::String => Node::Other("string"),
        FieldType::Bytes | FieldType::StringList => Node::Other("slice"),
        FieldType::Nested(_) => Node::Other("interface"),
    }
}
