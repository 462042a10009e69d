//! Expressions that select devices (`k8s.io/dynamic-resource-allocation/cel`).
//!
//! They see one variable, `device`, with the driver's name, attributes and capacities; the latter two by domain and name.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::{Env, Field, ObjectShape, Shape, ShapeKind, Type};

/// How long a domain may be, in bytes.
const DOMAIN_BYTES_MAX: u64 = 63;
/// How many attributes and capacities a device may have.
const ENTRIES_MAX: u64 = 32;
/// How many bytes or items an attribute may have.
const ATTRIBUTE_SIZE_MAX: u64 = 64;

/// Checks an expression; returns what it may cost at most.
///
/// # Errors
/// What is wrong with it, in upstream's words.
pub fn check(text: &str) -> Result<u64, String> {
    static ENVIRONMENT: LazyLock<Env> = LazyLock::new(|| cel::kubernetes().with_shape("device", &device()));
    let checked = cel::compile_with_bindings(text, &ENVIRONMENT)
        .map_err(|issues| format!("compilation failed: {issues}"))?;
    let output = checked.output();
    if !matches!(output, Type::Bool | Type::Dyn) {
        return Err(format!("must evaluate to bool or the unknown type, not {output}"));
    }
    Ok(cel::estimate(&checked, &ENVIRONMENT).max)
}

/// The shape of `device`.
fn device() -> Arc<Shape> {
    let attribute = sized(ShapeKind::Dynamic, ATTRIBUTE_SIZE_MAX);
    let amount = shape(ShapeKind::Scalar(Type::opaque("kubernetes.Quantity")), None);
    let fields = [
        ("driver", sized(ShapeKind::Scalar(Type::String), DOMAIN_BYTES_MAX)),
        ("allowMultipleAllocations", shape(ShapeKind::Scalar(Type::Bool), None)),
        ("attributes", by_domain_and_name(attribute)),
        ("capacity", by_domain_and_name(amount)),
    ];
    let field =
        |(name, shape): (&str, Arc<Shape>)| (name.into(), Field { name: name.into(), required: true, shape });
    let fields: BTreeMap<_, _> = fields.into_iter().map(field).collect();
    let object = ObjectShape { name: "kubernetes.DRADevice".into(), fields };
    shape(ShapeKind::Object(Arc::new(object)), None)
}

fn by_domain_and_name(values: Arc<Shape>) -> Arc<Shape> {
    let by_name = sized(ShapeKind::Map { values }, ENTRIES_MAX);
    sized(ShapeKind::Map { values: by_name }, ENTRIES_MAX)
}

fn sized(kind: ShapeKind, max: u64) -> Arc<Shape> {
    shape(kind, Some(max))
}

fn shape(kind: ShapeKind, max_elements: Option<u64>) -> Arc<Shape> {
    Arc::new(Shape { kind, max_elements, min_serialized_size: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_selected_by_what_they_have() {
        for good in [
            "device.driver == 'd.example.com'",
            "device.attributes['d.example.com'].model == 'a'",
            "device.attributes['d.example.com'].model",
            "device.capacity['d.example.com'].memory.compareTo(quantity('1Gi')) >= 0",
            "'d.example.com' in device.attributes && device.allowMultipleAllocations",
            "device.attributes['d.example.com'].version.isGreaterThan(semver('1.2.3'))",
            "cel.bind(own, device.attributes['d.example.com'], own.a && own.b)",
        ] {
            let cost = check(good).unwrap_or_else(|why| panic!("{good}: {why}"));
            assert!(cost < 1_000_000, "{good}: {cost}");
        }
        let wrong = |text: &str| check(text).unwrap_err();
        assert!(
            wrong("device.name == 'a'").contains("undefined field 'name'"),
            "{}",
            wrong("device.name == 'a'")
        );
        assert!(wrong("object.a").contains("undeclared reference to 'object'"));
        assert_eq!(wrong("device.driver"), "must evaluate to bool or the unknown type, not string");
        assert!(
            wrong("cel.bind(1, device.driver, true)")
                .contains("cel.bind() variable names must be simple identifiers")
        );
        // Other places do not name values.
        assert!(cel::compile("cel.bind(a, 1, a == 1)", &cel::kubernetes()).is_err());
    }

    #[test]
    fn expressions_that_take_long_are_seen() {
        let all = "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all(d, device.attributes[a].all(e, device.attributes[b].all(f, e == f))))))";
        assert!(check(all).unwrap() > 1_000_000);
        // How long a list is that is an attribute is not known.
        assert!(
            check("device.attributes['d.example.com'].kinds.exists(kind, kind == 'a')").unwrap() > 1_000_000
        );
    }
}
