//! Properties that hold for every object, configuration and record of managers, whatever is in them.
//!
//! An input is JSON: the object, the configuration that is applied to it, and the fields of another manager. Seeds are in
//! `fuzz-seeds`; see the crate `fuzz`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use async_trait::async_trait;
use fuzz::{Target, measured};
use managedfields::{ApplyError, FieldSet, Managers, Scope, Versions, Write, apply, check, update};
use object::{Value, decode, json};
use schema::TypeRef;

#[global_allocator]
static METER: fuzz::Meter = fuzz::Meter;

/// The limit on the bytes of memory per byte of input, in addition to a fixed part: sets name a field many times over.
const BYTES_PER_BYTE_MAX: usize = 3_000;
const BYTES_FIXED: usize = 256 << 10;

fn pod() -> TypeRef {
    schema::type_by_gvk("", "v1", "Pod").unwrap()
}

struct Pods;

#[async_trait]
impl Versions for Pods {
    fn type_of(&self, api_version: &str) -> Option<TypeRef> {
        (api_version == "v1").then(pod)
    }

    async fn convert(&self, _object: &Value, _api_version: &str) -> Result<Value, String> {
        Err("there is one version".to_owned())
    }
}

fn finish<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn write<'a>(manager: &'a str, scope: &'a Scope) -> Write<'a> {
    Write { manager, api_version: "v1", subresource: "", now: "2026-01-01T00:00:00Z", scope }
}

fn applied(live: &Value, config: &Value, managers: Managers) -> Result<(Value, Managers), ApplyError> {
    finish(apply(&Pods, live, config, managers, &write("m", &Scope::Whole), true))
}

/// A record of fields is what it says, however it is spelled.
fn a_record_keeps_its_meaning(fields: &Value) {
    let Ok(set) = FieldSet::from_value(fields) else { return };
    assert_eq!(FieldSet::from_value(&set.to_value()).as_ref(), Ok(&set));
}

/// Who applies twice changes nothing the second time, and manages something only if it wants something.
fn an_apply_is_idempotent(live: &Value, config: &Value, managers: Managers) -> bool {
    let Ok((object, managers)) = applied(live, config, managers) else { return false };
    if managers.is_empty() {
        // Nobody wants anything: the next one that applies finds an object without managers, as if for the first time.
        return true;
    }
    let again = applied(&object, config, managers.clone()).expect("what could be applied can be again");
    assert_eq!(again.0, object);
    assert_eq!(again.1, managers);
    // An update by somebody else that takes the object back leaves no trace of its managers' fields.
    let taken = finish(update(&Pods, &object, live, managers, &write("u", &Scope::Whole))).unwrap();
    assert!(taken.entries().iter().all(|entry| !entry.fields.is_empty()));
    true
}

fn run(input: &[u8]) -> bool {
    let Ok(Value::List(parts)) = json::parse(input) else { return false };
    let [live, config, fields] = parts.as_slice() else { return false };
    a_record_keeps_its_meaning(fields);
    let Ok(mut live) = decode::decode_value(live.clone(), &pod()).map(|decoded| decoded.value) else {
        return false;
    };
    let entry = object::value!({
        "manager": "other", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields.clone()
    });
    let mut recorded = object::value!({"metadata": {"managedFields": []}});
    recorded.entry("metadata").set("managedFields", Value::List(vec![entry]));
    let managers = Managers::of(&recorded).unwrap_or_default();
    live.set_path(&["metadata", "uid"], "u".into());
    check(config, &pod()).is_ok() && an_apply_is_idempotent(&live, config, managers)
}

#[test]
fn applies_keep_their_promises() {
    let words = &[
        "\"metadata\":",
        "\"labels\":",
        "\"spec\":",
        "\"containers\":",
        "\"name\":",
        "\"image\":",
        "\"ports\":",
        "\"containerPort\":",
        "\"protocol\":",
        "\"env\":",
        "\"finalizers\":",
        "\"nodeSelector\":",
        "\"tolerations\":",
        "null",
        "[]",
        "{}",
        "\"f:",
        "\"k:{",
        "\"v:",
        "\"i:0\":",
        "\".\":{}",
        "\"status\":",
        "\"conditions\":",
        "\"type\":",
    ];
    Target::new(env!("CARGO_MANIFEST_DIR"), "applies").words(words).run(|input| {
        let (accepted, spent) = measured(|| run(input));
        let allowed = BYTES_FIXED + BYTES_PER_BYTE_MAX * input.len();
        assert!(spent.peak <= allowed, "{} bytes of memory for {} of input", spent.peak, input.len());
        accepted
    });
}
