//! ConfigMaps and Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object::field::{Error, Errors, Path};
use object::{Value, json, names};

use super::field::{Field, same};

const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";
const SECRET: &str = "io.k8s.api.core.v1.Secret";
/// How many bytes a ConfigMap or a Secret may hold.
const BYTES_MAX: usize = 1 << 20;
const IMMUTABLE: &str = "field is immutable when `immutable` is set";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// Checks a ConfigMap, except its metadata.
pub fn validate_config_map(map: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(map, CONFIG_MAP);
    let (data, binary) = (root.child("data"), root.child("binaryData"));
    let mut bytes = 0;
    for (key, value) in data.entries() {
        errors.invalid_each(&value.path, key, names::is_config_map_key(key));
        if !binary.value.get(key).is_null() {
            errors.invalid(&value.path, key, "duplicate of key present in binaryData");
        }
        bytes += value.text().len();
    }
    for (key, value) in binary.entries() {
        errors.invalid_each(&value.path, key, names::is_config_map_key(key));
        bytes += decoded_length(value.text());
    }
    if bytes > BYTES_MAX {
        errors.push(Error::too_long(&Path::root(""), BYTES_MAX));
    }
    errors
}

/// The number of bytes encoded by base64 text.
fn decoded_length(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

/// Checks a change of a ConfigMap, except its metadata.
pub fn validate_config_map_update(map: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_immutable(&mut errors, &Field::root(map, CONFIG_MAP), old, &["data", "binaryData"]);
    errors.append(validate_config_map(map));
    errors
}

fn validate_immutable(errors: &mut Errors, map: &Field<'_, '_>, old: &Value, names: &[&str]) {
    if old.get("immutable").as_bool() != Some(true) {
        return;
    }
    let immutable = map.child("immutable");
    if !immutable.is_true() {
        immutable.forbidden(errors, IMMUTABLE);
    }
    for name in names {
        let field = map.child(name);
        if !same(field.value, old.get(name)) {
            field.forbidden(errors, IMMUTABLE);
        }
    }
}

/// Checks a Secret, except its metadata.
pub fn validate_secret(secret: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(secret, SECRET);
    let data = root.child("data");
    let mut bytes = 0;
    for (key, value) in data.entries() {
        errors.invalid_each(&value.path, key, names::is_config_map_key(key));
        bytes += decoded_length(value.text());
    }
    if bytes > BYTES_MAX {
        errors.push(Error::too_long(&data.path, BYTES_MAX));
    }
    let mut require = |key: &str| errors.required(&data.path.key(key), "");
    let has = |key: &str| !data.value.get(key).is_null();
    match root.child("type").text() {
        "kubernetes.io/service-account-token"
            if secret.at("metadata.annotations").get(ACCOUNT_NAME).is_empty() =>
        {
            let metadata = Path::root("metadata");
            errors.required(&metadata.child("annotations").key(ACCOUNT_NAME), "");
        }
        "kubernetes.io/dockercfg" => validate_json(&mut errors, &data, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => validate_json(&mut errors, &data, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            require("username");
            require("password");
        }
        "kubernetes.io/ssh-auth" if data.value.get("ssh-privatekey").is_empty() => require("ssh-privatekey"),
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"].into_iter().filter(|key| !has(key)) {
                require(key);
            }
        }
        _ => {}
    }
    errors
}

fn validate_json(errors: &mut Errors, data: &Field<'_, '_>, key: &str) {
    let path = data.path.key(key);
    let Some(text) = data.value.get(key).as_str() else {
        return errors.required(&path, "");
    };
    let why = match json::parse(&STANDARD.decode(text).unwrap_or_default()) {
        Ok(Value::Map(_) | Value::Null) => return,
        Ok(_) => "json: cannot unmarshal value into Go value of type map[string]interface {}".to_owned(),
        Err(error) => error.to_string(),
    };
    errors.invalid(&path, "<secret contents redacted>", why);
}

/// Checks a change of a Secret, except its metadata.
pub fn validate_secret_update(secret: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(secret, SECRET);
    root.child("type").check_immutable(&mut errors, old.get("type"));
    validate_immutable(&mut errors, &root, old, &["data"]);
    errors.append(validate_secret(secret));
    errors
}
