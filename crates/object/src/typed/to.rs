//! Writing: a serializer that produces a tree, and a tree that can be serialized.

use serde::ser::{
    Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

use super::TypedError;
use crate::{Key, Map, Value};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::String(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items),
            Value::Map(map) => map.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Makes a tree.
pub(super) struct ToValue;

macro_rules! integers {
    ($($method:ident $ty:ty),*) => {$(
        fn $method(self, number: $ty) -> Result<Value, TypedError> {
            Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
        }
    )*};
}

impl Serializer for ToValue {
    type Ok = Value;
    type Error = TypedError;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeTupleVariant = List;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Members;

    integers!(
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128
    );

    fn serialize_bool(self, truth: bool) -> Result<Value, TypedError> {
        Ok(Value::Bool(truth))
    }

    fn serialize_f32(self, number: f32) -> Result<Value, TypedError> {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<Value, TypedError> {
        Ok(if number.is_finite() { Value::Float(number) } else { Value::Null })
    }

    fn serialize_char(self, c: char) -> Result<Value, TypedError> {
        Ok(Value::from(c.to_string()))
    }

    fn serialize_str(self, text: &str) -> Result<Value, TypedError> {
        Ok(Value::from(text))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, TypedError> {
        Ok(Value::List(bytes.iter().map(|byte| Value::Int((*byte).into())).collect()))
    }

    fn serialize_none(self) -> Result<Value, TypedError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, TypedError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, TypedError> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, TypedError> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, TypedError> {
        Ok(Value::from(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Value, TypedError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, TypedError> {
        let value = value.serialize(self)?;
        Ok(tagged(Some(variant), value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<List, TypedError> {
        Ok(List { variant: None, items: Vec::with_capacity(len.unwrap_or_default()) })
    }

    fn serialize_tuple(self, len: usize) -> Result<List, TypedError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<List, TypedError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<List, TypedError> {
        Ok(List { variant: Some(variant), items: Vec::with_capacity(len) })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Members, TypedError> {
        Ok(Members { variant: None, map: Map::with_capacity(len.unwrap_or_default()), key: None })
    }

    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Members, TypedError> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Members, TypedError> {
        Ok(Members { variant: Some(variant), map: Map::with_capacity(len), key: None })
    }
}

/// A variant with content is an object with one member.
fn tagged(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Map([(variant, value)].into_iter().collect()),
        None => value,
    }
}

/// A list in the making.
pub(super) struct List {
    variant: Option<&'static str>,
    items: Vec<Value>,
}

impl List {
    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), TypedError> {
        self.items.push(item.serialize(ToValue)?);
        Ok(())
    }

    fn done(self) -> Result<Value, TypedError> {
        Ok(tagged(self.variant, Value::List(self.items)))
    }
}

macro_rules! list {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for List {
            type Ok = Value;
            type Error = TypedError;
            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), TypedError> {
                self.push(item)
            }
            fn end(self) -> Result<Value, TypedError> {
                self.done()
            }
        }
    )*};
}

list!(
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

/// An object in the making.
pub(super) struct Members {
    variant: Option<&'static str>,
    map: Map,
    key: Option<Key>,
}

impl Members {
    fn done(mut self) -> Result<Value, TypedError> {
        self.map.shrink_to_fit();
        Ok(tagged(self.variant, Value::Map(self.map)))
    }
}

impl SerializeMap for Members {
    type Ok = Value;
    type Error = TypedError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), TypedError> {
        self.key = Some(key.serialize(ToKey)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TypedError> {
        let key = self.key.take().ok_or_else(|| serde::ser::Error::custom("a value came before its key"))?;
        self.map.push(key, value.serialize(ToValue)?);
        Ok(())
    }

    fn end(mut self) -> Result<Value, TypedError> {
        self.map.drop_duplicates();
        self.done()
    }
}

macro_rules! members {
    ($($trait:ident),*) => {$(
        impl $trait for Members {
            type Ok = Value;
            type Error = TypedError;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), TypedError> {
                self.map.push(Key::from(name), value.serialize(ToValue)?);
                Ok(())
            }
            fn end(self) -> Result<Value, TypedError> {
                self.done()
            }
        }
    )*};
}

members!(SerializeStruct, SerializeStructVariant);

/// Makes a key: text, or a number or a truth value as text.
struct ToKey;

macro_rules! keys {
    ($($method:ident $ty:ty),*) => {$(
        fn $method(self, key: $ty) -> Result<Key, TypedError> {
            Ok(Key::from(key.to_string()))
        }
    )*};
}

macro_rules! no_keys {
    ($($method:ident($($arg:ty),*) -> $ok:ty),*) => {$(
        fn $method(self, $(_: $arg),*) -> Result<$ok, TypedError> {
            Err(serde::ser::Error::custom("key must be a string"))
        }
    )*};
}

type None = Impossible<Key, TypedError>;

impl Serializer for ToKey {
    type Ok = Key;
    type Error = TypedError;
    type SerializeSeq = None;
    type SerializeTuple = None;
    type SerializeTupleStruct = None;
    type SerializeTupleVariant = None;
    type SerializeMap = None;
    type SerializeStruct = None;
    type SerializeStructVariant = None;

    keys!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_char char,
        serialize_str &str
    );

    no_keys!(
        serialize_f32(f32) -> Key, serialize_f64(f64) -> Key, serialize_bytes(&[u8]) -> Key,
        serialize_none() -> Key, serialize_unit() -> Key, serialize_unit_struct(&'static str) -> Key,
        serialize_seq(Option<usize>) -> None, serialize_tuple(usize) -> None,
        serialize_tuple_struct(&'static str, usize) -> None,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> None,
        serialize_map(Option<usize>) -> None, serialize_struct(&'static str, usize) -> None,
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> None
    );

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Key, TypedError> {
        Ok(Key::from(variant))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, key: &T) -> Result<Key, TypedError> {
        key.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        key: &T,
    ) -> Result<Key, TypedError> {
        key.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Key, TypedError> {
        Err(serde::ser::Error::custom("key must be a string"))
    }
}
