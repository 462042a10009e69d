//! The protobuf form of an OpenAPI 2.0 document, which client-go asks for (google/gnostic,
//! `openapiv2/OpenAPIv2.proto`; the field numbers here are from there).
//!
//! It covers only the features that our own documents use; the input is [`super::v2::document`].

use object::Value;

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, number: u64, message: Message) {
        self.bytes(number, &message.0);
    }

    /// The text of a member, if it has one.
    fn text(&mut self, number: u64, object: &Value, member: &str) {
        if let Some(text) = object.get(member).as_str() {
            self.bytes(number, text.as_bytes());
        }
    }

    /// A member that is true.
    fn truth(&mut self, number: u64, object: &Value, member: &str) {
        if object.get(member).as_bool() == Some(true) {
            self.varint(number << 3);
            self.0.push(1);
        }
    }

    /// The texts of a member that is a list.
    fn texts(&mut self, number: u64, object: &Value, member: &str) {
        for text in object.get(member).items().filter_map(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    /// The members of an object as pairs of name and message.
    fn named(&mut self, number: u64, object: &Value, write: fn(&Value) -> Message) {
        for (name, value) in object.entries() {
            self.pair(number, name, write(value));
        }
    }

    fn pair(&mut self, number: u64, name: &str, value: Message) {
        let mut pair = Message::default();
        pair.bytes(1, name.as_bytes());
        pair.message(2, value);
        self.message(number, pair);
    }

    /// The members that start with `x-`.
    fn extensions(&mut self, number: u64, object: &Value) {
        for (name, value) in object.entries().filter(|(name, _)| name.starts_with("x-")) {
            self.pair(number, name, any(value));
        }
    }
}

/// A whole document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document, "swagger");
    let mut info = Message::default();
    info.text(1, document.get("info"), "title");
    info.text(2, document.get("info"), "version");
    out.message(2, info);
    let mut paths = Message::default();
    paths.named(2, document.get("paths"), path_item);
    out.message(8, paths);
    let mut definitions = Message::default();
    definitions.named(1, document.get("definitions"), schema);
    out.message(9, definitions);
    let mut parameters = Message::default();
    parameters.named(1, document.get("parameters"), parameter);
    out.message(10, parameters);
    for requirement in document.get("security").items() {
        let mut message = Message::default();
        message.named(1, requirement, |_| Message::default());
        out.message(12, message);
    }
    let mut definitions = Message::default();
    definitions.named(1, document.get("securityDefinitions"), |definition| {
        let mut key = Message::default();
        for (number, member) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
            key.text(number, definition, member);
        }
        let mut item = Message::default();
        item.message(2, key);
        item
    });
    out.message(13, definitions);
    out.0
}

/// Any value; its text is YAML, which JSON is.
fn any(value: &Value) -> Message {
    let mut out = Message::default();
    out.bytes(2, &object::json::to_bytes(value));
    out
}

fn path_item(item: &Value) -> Message {
    let mut out = Message::default();
    let methods =
        [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")];
    for (number, method) in methods {
        if !item.get(method).is_null() {
            out.message(number, operation(item.get(method)));
        }
    }
    for parameter in item.get("parameters").items() {
        out.message(9, parameters_item(parameter));
    }
    out
}

fn operation(operation: &Value) -> Message {
    let mut out = Message::default();
    out.texts(1, operation, "tags");
    out.text(5, operation, "operationId");
    out.texts(6, operation, "produces");
    out.texts(7, operation, "consumes");
    for parameter in operation.get("parameters").items() {
        out.message(8, parameters_item(parameter));
    }
    let mut responses = Message::default();
    responses.named(1, operation.get("responses"), |response| {
        let mut message = Message::default();
        message.text(1, response, "description");
        if !response.get("schema").is_null() {
            let mut item = Message::default();
            item.message(1, schema(response.get("schema")));
            message.message(2, item);
        }
        let mut value = Message::default();
        value.message(1, message);
        value
    });
    out.message(9, responses);
    out.texts(10, operation, "schemes");
    out.extensions(13, operation);
    out
}

/// A reference to a parameter.
fn parameters_item(item: &Value) -> Message {
    let mut reference = Message::default();
    reference.text(1, item, "$ref");
    let mut out = Message::default();
    out.message(2, reference);
    out
}

fn parameter(parameter: &Value) -> Message {
    let mut out = Message::default();
    let place = parameter.str_at("in");
    let mut inner = Message::default();
    if place == "body" {
        inner.text(1, parameter, "description");
        inner.text(2, parameter, "name");
        inner.text(3, parameter, "in");
        inner.truth(4, parameter, "required");
        inner.message(5, schema(parameter.get("schema")));
        out.message(1, inner);
        return out;
    }
    // A query parameter has one field more than one of the path, behind which the numbers are one higher.
    let (kind, shift) = if place == "query" { (3, 1) } else { (4, 0) };
    inner.truth(1, parameter, "required");
    inner.text(2, parameter, "in");
    inner.text(3, parameter, "description");
    inner.text(4, parameter, "name");
    inner.text(5 + shift, parameter, "type");
    inner.truth(19 + shift, parameter, "uniqueItems");
    let mut non_body = Message::default();
    non_body.message(kind, inner);
    out.message(2, non_body);
    out
}

fn schema(value: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, value, "$ref");
    out.text(2, value, "format");
    out.text(4, value, "description");
    out.texts(19, value, "required");
    if !value.get("additionalProperties").is_null() {
        let mut item = Message::default();
        item.message(1, schema(value.get("additionalProperties")));
        out.message(21, item);
    }
    if !value.get("type").is_null() {
        let mut item = Message::default();
        item.text(1, value, "type");
        out.message(22, item);
    }
    if !value.get("items").is_null() {
        let mut item = Message::default();
        item.message(1, schema(value.get("items")));
        out.message(23, item);
    }
    if !value.get("properties").is_null() {
        let mut properties = Message::default();
        properties.named(1, value.get("properties"), schema);
        out.message(25, properties);
    }
    out.extensions(31, value);
    out
}
