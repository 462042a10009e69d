//! Secret

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clock::Clock;
use object::{Value, field};

use crate::strategy::{Strategy, restore};
use crate::table::{AGE, Column, NAME, age, cells, count, name};
use crate::{defaults, validation, warnings};

/// The strategy of Secrets: `stringData` is write-only, and is merged into `data` before anything else sees the object.
pub(crate) struct Secrets;

impl Strategy for Secrets {
    fn default(&self, object: &mut Value) {
        merge_string_data(object);
        defaults::default_secret(object);
    }

    /// An update without a type keeps the type, which cannot change.
    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if object.get("type").is_empty() {
            restore(object, old, "type");
        }
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_secret(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_secret_update(object, old)
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("type", object.str_at("type").to_owned())]
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        &["type"]
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Type", "What the Secret is for."),
                Column::text("Data", "How many entries there are."),
                AGE,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        cells![name(object), object.str_at("type"), count(object, "data"), age(object, clock)]
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        warnings::of_secret(object)
    }
}

fn merge_string_data(secret: &mut Value) {
    let Some(texts) = secret.remove("stringData") else { return };
    for (key, text) in texts.entries() {
        let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
        secret.entry("data").set(key.to_owned(), encoded);
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn text_becomes_data() {
        let mut secret =
            named("s", value!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"b": "new", "c": ""}}));
        Secrets.default(&mut secret);
        assert_eq!(secret.get("data"), &value!({"a": "eA==", "b": "bmV3", "c": ""}));
        assert!(secret.get("stringData").is_null());
        check_row(&Secrets, &secret, "s | Opaque | 3 | 3h");
    }
}
