//! Properties that hold for every input of the parsers, valid or not. Seeds are in `fuzz-seeds`; see the crate `fuzz`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "fuzz/patches.rs"]
mod patches;

use fuzz::{Target, assert_linear, measured};
use object::timestamp::{Precision, Timestamp};
use object::{FieldSelector, Quantity, Selector, Value, decode, duration, json, protobuf, yaml};
use schema::TypeRef;

#[global_allocator]
static METER: fuzz::Meter = fuzz::Meter;

/// The limit on the bytes of tree, parser and text together per byte of input, in addition to a fixed part.
const BYTES_PER_BYTE_MAX: usize = 160;
const BYTES_FIXED: usize = 64 << 10;

fn target(name: &'static str) -> Target {
    Target::new(env!("CARGO_MANIFEST_DIR"), name)
}

/// Runs a parser and holds it to its bound of memory.
fn bounded<T>(input: &[u8], parse: impl FnOnce() -> T) -> T {
    let (result, spent) = measured(parse);
    let allowed = BYTES_FIXED + BYTES_PER_BYTE_MAX * input.len();
    assert!(spent.peak <= allowed, "{} bytes of memory for {} of input", spent.peak, input.len());
    result
}

fn type_of(value: &Value) -> Option<TypeRef> {
    find(value.str_at("apiVersion"), value.str_at("kind"))
}

fn find(api_version: &str, kind: &str) -> Option<TypeRef> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema::type_by_gvk(group, version, kind)
}

fn text(input: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(input)
}

#[test]
fn json_is_read_as_it_was_written() {
    let words = &[
        "null", "true", "false", "{\"a\":", "[", "]", "}", "1e309", "-0.0", "\\u0000", "\\ud800", "\\\"",
        "0.1",
    ];
    target("json").words(words).run(|input| {
        let Ok(value) = bounded(input, || json::parse(input)) else { return false };
        let written = json::to_vec(&value);
        let again = json::parse(&written).expect("what was written can be read");
        assert_eq!(again, value);
        assert_eq!(json::to_vec(&again), written);
        true
    });
}

#[test]
fn yaml_is_read_as_it_was_written() {
    let words = &[
        "- ",
        "? ",
        ": ",
        "&a ",
        "*a",
        "|\n",
        ">-\n",
        "---\n",
        "...\n",
        "!!str ",
        "<<: ",
        "\"",
        "'",
        "# ",
        "~",
        "yes",
        "0o17",
        "0x1f",
        ".inf",
        ".nan",
        "1_000",
        "2001-01-01",
        "{",
        "}",
        "[",
        "]",
        "\n  ",
        "\t",
        "\u{feff}",
        "\u{85}",
    ];
    target("yaml").words(words).run(|input| {
        let Ok(value) = bounded(input, || yaml::parse(input)) else { return false };
        let written = yaml::to_string(&value);
        assert_eq!(
            yaml::parse(written.as_bytes()).expect("what was written can be read"),
            value,
            "{written}"
        );
        true
    });
}

#[test]
fn json_is_the_same_as_yaml() {
    target("json").words(&["\\u2028", "\\u0085", "\\u007f", "\\n", "\\t", " ", "#", ": ", "- "]).run(
        |input| {
            let Ok(value) = json::parse(input) else { return false };
            let written = yaml::to_string(&value);
            match yaml::parse(written.as_bytes()) {
                Ok(again) => assert_eq!(again, value, "{written}"),
                // Its parser bears less.
                Err(yaml::YamlError::TooDeep) => {}
                Err(error) => panic!("{error}: {written}"),
            }
            true
        },
    );
}

#[test]
fn objects_are_the_same_in_json_and_protobuf() {
    let words = &[
        "\"apiVersion\":\"v1\"",
        "\"kind\":\"Pod\"",
        "\"metadata\":",
        "\"spec\":",
        "\"name\":",
        "null",
        "0",
        "\"\"",
        "{}",
        "[]",
        "\"10Mi\"",
        "\"2020-01-01T00:00:00Z\"",
        "true",
        "\"AAAA\"",
    ];
    target("objects").words(words).run(|input| {
        let Ok(tree) = json::parse(input) else { return false };
        let Some(ty) = type_of(&tree) else { return false };
        let Ok(decoded) = bounded(input, || decode::decode_json(input, &ty)) else { return false };
        let Ok(message) = protobuf::encode(&decoded.value, &ty) else { return false };
        let back = protobuf::decode(&message, &find).expect("what was encoded can be decoded").value;
        let encoded = protobuf::encode(&back, &ty).expect("what was decoded can be encoded");
        assert_eq!(encoded, message, "encoded again");
        // Its JSON form is the same object, and encodes to the same text again.
        let written = json::to_vec(&back);
        let reread = decode::decode_json(&written, &ty).expect("what was decoded is a valid object");
        assert!(reread.strict_errors.is_empty(), "{:?}", reread.strict_errors);
        assert_eq!(protobuf::encode(&reread.value, &ty).unwrap(), message, "by way of JSON");
        true
    });
}

#[test]
fn protobuf_is_decoded_as_it_was_encoded() {
    let objects = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz-seeds/objects")).unwrap();
    let mut objects: Vec<_> = objects.map(|entry| entry.unwrap().path()).collect();
    objects.sort();
    let encoded = objects.iter().filter_map(|path| {
        let tree = json::parse(&std::fs::read(path).unwrap()).ok()?;
        let ty = type_of(&tree)?;
        let decoded = decode::decode_value(tree, &ty).ok()?;
        Some(protobuf::encode(&decoded.value, &ty).ok()?.to_vec())
    });
    let words = &["k8s\0", "\n\x02v1", "\x12\x03Pod"];
    target("protobuf").seeds(encoded.collect()).words(words).run(|input| {
        let Ok(decoded) = bounded(input, || protobuf::decode(input, &find)) else { return false };
        let ty = find(&decoded.api_version, &decoded.kind).unwrap();
        let Ok(message) = protobuf::encode(&decoded.value, &ty) else { return false };
        let again = protobuf::decode(&message, &find).expect("what was encoded can be decoded");
        assert_eq!(again.value, decoded.value);
        assert_eq!(protobuf::encode(&again.value, &ty).unwrap(), message);
        true
    });
}

#[test]
fn selectors_are_read_as_they_are_written() {
    let words = &[" in ", " notin ", "(", ")", "!", "=", "==", "!=", ",", "a.b/c", "app", " "];
    target("selectors").words(words).run(|input| {
        let text = text(input);
        let labels = bounded(input, || Selector::parse(&text));
        if let Ok(selector) = &labels {
            let again = Selector::parse(&selector.to_string()).expect("what was written can be read");
            assert_eq!(again.to_string(), selector.to_string());
            for labels in [&[][..], &[("app", "web")], &[("a", ""), ("a.b/c", "x")]] {
                let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
                let labels: std::collections::BTreeMap<String, String> = labels.collect();
                assert_eq!(again.matches(&labels), selector.matches(&labels), "{selector} on {labels:?}");
            }
        }
        let fields = bounded(input, || FieldSelector::parse(&text));
        if let Ok(selector) = &fields {
            let again = FieldSelector::parse(&selector.to_string()).expect("what was written can be read");
            // In the order of their text, as upstream has them; `a=b` and `a==b` are one requirement in two texts.
            let sorted = |selector: &FieldSelector| {
                let mut all: Vec<String> =
                    selector.requirements().iter().map(|one| format!("{one:?}")).collect();
                all.sort();
                all
            };
            assert_eq!(sorted(&again), sorted(selector));
        }
        labels.is_ok() || fields.is_ok()
    });
}

#[test]
fn label_selectors_of_objects_mean_something_or_fail() {
    let words = &[
        "\"matchLabels\":",
        "\"matchExpressions\":",
        "\"In\"",
        "\"Exists\"",
        "\"operator\":",
        "\"values\":",
    ];
    target("label-selectors").words(words).run(|input| {
        let Ok(value) = json::parse(input) else { return false };
        let Ok(selector) = semantics::LabelSelector::read(&value).to_selector() else { return false };
        let text = selector.to_string();
        if selector.requirements().is_some_and(|all| !all.is_empty()) {
            assert_eq!(Selector::parse(&text).expect("what was written can be read").to_string(), text);
        }
        true
    });
}

#[test]
fn quantities_are_read_as_they_are_written() {
    let words = &[
        "Ki",
        "Mi",
        "Ei",
        "m",
        "n",
        "u",
        "E",
        "e3",
        "E-9",
        ".",
        "-",
        "+",
        "0",
        "99999999999999999999",
        "000",
    ];
    target("quantities").words(words).run(|input| {
        let text = text(input);
        let Ok(quantity) = bounded(input, || Quantity::parse(&text)) else { return false };
        let written = quantity.to_string();
        let again = Quantity::parse(&written).expect("what was written can be read");
        assert_eq!(again, quantity, "{text} as {written}");
        assert_eq!(again.to_string(), written);
        assert_eq!(
            (again.value(), again.milli_value(), again.sign()),
            (quantity.value(), quantity.milli_value(), quantity.sign())
        );
        true
    });
}

#[test]
fn times_are_read_as_they_are_written() {
    target("times").words(&["T", "Z", "+01:00", ".000001", "h", "ms", "µs", "1", "-", "9999"]).run(|input| {
        let text = text(input);
        let mut accepted = false;
        for precision in [Precision::Seconds, Precision::Micros] {
            let Ok(time) = Timestamp::parse(&text, precision) else { continue };
            let written = time.format(precision);
            let again = Timestamp::parse(&written, precision).expect("what was written can be read");
            assert_eq!(again.format(precision), written, "{text}");
            accepted = true;
        }
        if let Ok(nanos) = duration::parse(&text) {
            assert_eq!(duration::parse(&duration::format(nanos)), Ok(nanos), "{text}");
            accepted = true;
        }
        accepted
    });
}

#[test]
fn work_grows_with_the_input_and_no_faster() {
    let json = |input: &[u8]| drop(json::parse(input).unwrap());
    let list = |part: &'static str| move |parts| format!("[{}0]", part.repeat(parts)).into_bytes();
    assert_linear("JSON: a list", 4_000, list("0,"), json);
    assert_linear("JSON: strings", 4_000, list(r#""\ud83d\ude00\n","#), json);
    let keys = |parts| {
        let members: Vec<String> = (0..parts).map(|number| format!("\"k{number}\":{number}")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    };
    assert_linear("JSON: keys", 4_000, keys, json);
    let same = |parts| format!("{{{}\"a\":0}}", "\"a\":1,".repeat(parts)).into_bytes();
    assert_linear("JSON: the same key", 4_000, same, json);
    let yaml = |input: &[u8]| drop(yaml::parse(input).unwrap());
    assert_linear("YAML: a list", 1_000, |parts| "- a\n".repeat(parts).into_bytes(), yaml);
    assert_linear(
        "YAML: long text",
        1_000,
        |parts| format!("a: |\n{}", "  x\n".repeat(parts)).into_bytes(),
        yaml,
    );
    let keys =
        |parts| (0..parts).map(|number| format!("k{number}: {number}\n")).collect::<String>().into_bytes();
    assert_linear("YAML: keys", 1_000, keys, yaml);
    let same = |parts| "a: 1\n".repeat(parts).into_bytes();
    assert_linear("YAML: the same key", 1_000, same, yaml);
    let selector = |input: &[u8]| drop(Selector::parse(&text(input)).unwrap());
    assert_linear(
        "a selector",
        1_000,
        |parts| format!("a in ({}b)", "v,".repeat(parts)).into_bytes(),
        selector,
    );
    let many = |parts| vec!["a!=b"; parts].join(",").into_bytes();
    assert_linear("requirements", 1_000, many, selector);
    let quantity = |input: &[u8]| drop(Quantity::parse(&text(input)));
    assert_linear("a quantity", 10_000, |parts| "9".repeat(parts).into_bytes(), quantity);
    let pod = schema::type_by_gvk("", "v1", "Pod").unwrap();
    let labels = |parts| {
        let labels = (0..parts).map(|number| (format!("k{number}"), Value::from("v")));
        let mut pod = object::value!({"apiVersion": "v1", "kind": "Pod", "metadata": {}});
        for (key, value) in labels {
            pod.entry("metadata").entry("labels").set(key, value);
        }
        protobuf::encode(&pod, &schema::type_by_gvk("", "v1", "Pod").unwrap()).unwrap().to_vec()
    };
    assert_linear("protobuf: labels", 1_000, labels, |input| drop(protobuf::decode(input, &find).unwrap()));
    let decode = |input: &[u8]| drop(decode::decode_json(input, &pod));
    let unknown = |parts| {
        let members: String = (0..parts).map(|number| format!(",\"x{number}\":0")).collect();
        format!("{{\"apiVersion\":\"v1\",\"kind\":\"Pod\"{members}}}").into_bytes()
    };
    assert_linear("unknown fields", 1_000, unknown, decode);
}
