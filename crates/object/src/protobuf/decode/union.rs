//! Fields that hold a JSON schema or something else: `items`, `additionalProperties` and `dependencies` of a schema.

use schema::TypeDef;

use super::super::well_known::{Problem, bytes_field, read_strings, varint_field};
use super::super::wire::{Payload, Reader};
use super::Decoder;
use crate::Value;

impl Decoder<'_> {
    pub(super) fn schema_or_array(&mut self, bytes: &[u8], schema: &TypeDef) -> Result<Value, Problem> {
        let (mut single, mut items) = (None, Vec::new());
        self.each_message(bytes, schema, &mut |number, value| match number {
            1 => single = Some(value),
            _ => items.push(value),
        })?;
        Ok(single.unwrap_or(Value::List(items)))
    }

    pub(super) fn schema_or_bool(&mut self, bytes: &[u8], schema: &TypeDef) -> Result<Value, Problem> {
        let allows = varint_field(bytes, 1)?.unwrap_or_default() != 0;
        let mut single = Value::Bool(allows);
        self.each_message(bytes, schema, &mut |_, value| single = value)?;
        Ok(single)
    }

    pub(super) fn schema_or_strings(&mut self, bytes: &[u8], schema: &TypeDef) -> Result<Value, Problem> {
        match bytes_field(bytes, 1)? {
            Some(message) => Ok(self.message(message, schema)?),
            None => Ok(read_strings(bytes, 2)?),
        }
    }

    /// Calls `visit` with each message in fields 1 and 2.
    fn each_message(
        &mut self,
        bytes: &[u8],
        ty: &TypeDef,
        visit: &mut dyn FnMut(u32, Value),
    ) -> Result<(), Problem> {
        let mut reader = Reader(bytes);
        while let Some((number, payload)) = reader.field()? {
            if let (1 | 2, Payload::Bytes(message)) = (number, payload) {
                visit(number, self.message(message, ty)?);
            }
        }
        Ok(())
    }
}
