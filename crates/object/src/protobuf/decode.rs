//! The decoder.

use schema::{Field, FieldType, Shape, TypeDef};

use super::well_known::{self, Problem, bytes_field, int32};
use super::wire::{Payload, Reader, text};
use super::{DEPTH_MAX, DecodeError, Lookup, envelope};
use crate::decode::{absent, add_always};
use crate::{Key, Map, Value, json};

mod union;

/// Adds the fields of a message to the object `value`.
pub(super) fn decode(
    bytes: &[u8],
    ty: &TypeDef,
    lookup: Lookup<'_>,
    value: &mut Value,
) -> Result<(), DecodeError> {
    let Value::Map(map) = value else { unreachable!("the callers pass objects") };
    Decoder { lookup, depth: 0 }.object(bytes, ty, map)
}

/// Sorts the maps among the fields, whose entries are in the order of the message.
fn settle_maps(map: &mut Map, ty: &TypeDef) {
    for field in ty.fields.iter() {
        match (&field.ty, field.shape) {
            (FieldType::Message(embedded), _) if field.inline => settle_maps(map, embedded),
            (_, Shape::Map) => {
                if let Some(Value::Map(entries)) = map.get_mut(&field.name) {
                    entries.drop_duplicates();
                    entries.sort();
                    entries.shrink_to_fit();
                }
            }
            _ => {}
        }
    }
}

struct Decoder<'l> {
    lookup: Lookup<'l>,
    depth: usize,
}

impl Decoder<'_> {
    /// A message as an object that looks as Go's JSON form of it does.
    fn message(&mut self, bytes: &[u8], ty: &TypeDef) -> Result<Value, DecodeError> {
        let mut map = Map::new();
        self.object(bytes, ty, &mut map)?;
        Ok(Value::Map(map))
    }

    fn object(&mut self, bytes: &[u8], ty: &TypeDef, map: &mut Map) -> Result<(), DecodeError> {
        self.fields(bytes, ty, map)?;
        settle_maps(map, ty);
        add_always(map, ty);
        map.shrink_to_fit();
        Ok(())
    }

    /// Adds the fields of a message, and of those that it embeds.
    fn fields(&mut self, bytes: &[u8], ty: &TypeDef, map: &mut Map) -> Result<(), DecodeError> {
        if self.depth == DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        self.depth += 1;
        let mut reader = Reader(bytes);
        let mut at = 0;
        while let Some((number, payload)) = reader.field()? {
            // Fields mostly come in the order of their numbers.
            let found =
                ty.fields[at..].iter().position(|field| field.number == number).map(|index| at + index);
            let found = found.or_else(|| ty.fields.iter().position(|field| field.number == number));
            let Some(index) = found else { continue };
            at = index;
            let field = &ty.fields[index];
            self.field(payload, field, map).map_err(|problem| {
                let (message, name) = (ty.name.to_string(), field.name.to_string());
                match problem {
                    Problem::WireType => DecodeError::WireType { message, field: name },
                    Problem::Form(problem) => DecodeError::Form { message, field: name, problem },
                    Problem::Inner(error) => error,
                }
            })?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn field(&mut self, payload: Payload<'_>, field: &Field, map: &mut Map) -> Result<(), Problem> {
        if let (FieldType::Message(embedded), true) = (&field.ty, field.inline) {
            let Payload::Bytes(bytes) = payload else { return Err(Problem::WireType) };
            return Ok(self.fields(bytes, embedded, map)?);
        }
        match field.shape {
            Shape::Single => {
                let value = self.single(payload, &field.ty)?;
                if absent(field, &value) {
                    map.remove(&field.name);
                } else {
                    *map.entry(Key::from(&field.name)) = value;
                }
            }
            Shape::List => {
                let values = self.items(payload, &field.ty)?;
                let entry = map.entry(Key::from(&field.name));
                match entry {
                    Value::List(items) => items.extend(values),
                    _ => *entry = Value::List(values),
                }
            }
            Shape::Map => {
                let Payload::Bytes(bytes) = payload else { return Err(Problem::WireType) };
                let (key, value) = self.map_entry(bytes, &field.ty)?;
                let entry = map.entry(Key::from(&field.name));
                if !matches!(entry, Value::Map(_)) {
                    *entry = Value::map();
                }
                let Value::Map(entries) = entry else { unreachable!("made a map above") };
                entries.push(Key::from(key), value);
            }
        }
        Ok(())
    }

    /// One item of a list, or several packed ones.
    fn items(&mut self, payload: Payload<'_>, ty: &FieldType) -> Result<Vec<Value>, Problem> {
        match (ty, payload) {
            (FieldType::Bool | FieldType::Int32 | FieldType::Int64, Payload::Bytes(mut packed)) => {
                let mut items = Vec::new();
                while !packed.is_empty() {
                    let number = Reader::packed(&mut packed)?;
                    items.push(self.single(Payload::Varint(number), ty)?);
                }
                Ok(items)
            }
            _ => Ok(vec![self.single(payload, ty)?]),
        }
    }

    /// Key and value of an entry of a map.
    fn map_entry(&mut self, bytes: &[u8], ty: &FieldType) -> Result<(Box<str>, Value), Problem> {
        let (mut key, mut value) = (None, None);
        let mut reader = Reader(bytes);
        while let Some((number, payload)) = reader.field()? {
            match (number, payload) {
                (1, Payload::Bytes(bytes)) => key = Some(text(bytes).into()),
                (1, _) => return Err(Problem::WireType),
                (2, payload) => value = Some(self.single(payload, ty)?),
                _ => {}
            }
        }
        Ok((key.unwrap_or_default(), value.unwrap_or_else(|| crate::decode::zero(ty))))
    }

    fn single(&mut self, payload: Payload<'_>, ty: &FieldType) -> Result<Value, Problem> {
        match (ty, payload) {
            (FieldType::Bool, Payload::Varint(number)) => Ok(Value::Bool(number != 0)),
            (FieldType::Int32, Payload::Varint(number)) => Ok(int32(number)),
            (FieldType::Int64, Payload::Varint(number)) => Ok(Value::Int(number.cast_signed())),
            (FieldType::Double, Payload::Fixed64(bits)) => Ok(Value::Float(f64::from_bits(bits))),
            (_, Payload::Bytes(bytes)) => self.content(bytes, ty),
            _ => Err(Problem::WireType),
        }
    }

    /// The value represented by the content of a field.
    fn content(&mut self, bytes: &[u8], ty: &FieldType) -> Result<Value, Problem> {
        match ty {
            FieldType::Message(ty) => Ok(self.message(bytes, ty)?),
            FieldType::RawExtension | FieldType::FieldsV1 | FieldType::Json => match bytes_field(bytes, 1)? {
                None | Some([]) => Ok(Value::Null),
                Some(raw) => self.raw(raw),
            },
            FieldType::JsonSchemaOrArray(schema) => self.schema_or_array(bytes, schema),
            FieldType::JsonSchemaOrBool(schema) => self.schema_or_bool(bytes, schema),
            FieldType::JsonSchemaOrStringArray(schema) => self.schema_or_strings(bytes, schema),
            _ => well_known::decode(bytes, ty),
        }
    }

    /// JSON, or an object in an envelope.
    fn raw(&mut self, raw: &[u8]) -> Result<Value, Problem> {
        if raw.starts_with(&envelope::MAGIC) {
            return Ok(self.enveloped(raw)?);
        }
        json::parse(raw).map_err(|error| Problem::Form(error.to_string()))
    }

    /// An object in its own envelope.
    fn enveloped(&mut self, bytes: &[u8]) -> Result<Value, DecodeError> {
        let unknown = envelope::open(bytes)?;
        let ty =
            (self.lookup)(&unknown.api_version, &unknown.kind).ok_or_else(|| DecodeError::UnknownKind {
                api_version: unknown.api_version.clone().into(),
                kind: unknown.kind.clone().into(),
            })?;
        let mut map = Map::new();
        map.push(Key::from("kind"), Value::from(&*unknown.kind));
        map.push(Key::from("apiVersion"), Value::from(&*unknown.api_version));
        self.object(unknown.raw, &ty, &mut map)?;
        Ok(Value::Map(map))
    }
}
