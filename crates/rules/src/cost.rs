//! What the rules of a schema may cost together.

use object::Value;
use object::field::{Errors, Path};

use crate::shape::{REQUEST_BYTES_MAX, bound};

/// What one expression may cost, for all values that it may be evaluated for. In upstream's units.
pub(crate) const EXPRESSION_MAX: u64 = 10_000_000;
/// What all expressions of a version may cost.
const SCHEMA_MAX: u64 = 100_000_000;
/// What the rules of a version may cost for all of its defaults, which are checked when the definition is written. Upstream
/// has no limit.
pub(crate) const DEFAULTS_MAX: u64 = 100_000_000;
/// How many of the dearest expressions are named.
const NAMED_MAX: usize = 4;

/// How often a value may stand in an object: as a product of bounds, or without a bound.
#[derive(Clone, Copy)]
pub(crate) struct Cardinality(Option<u64>);

impl Cardinality {
    /// A whole object.
    pub(crate) const ONE: Cardinality = Cardinality(Some(1));

    /// That of the values inside of a value with this schema.
    pub(crate) fn inside(self, schema: &Value) -> Cardinality {
        let times = match (schema.str_at("type"), schema.get("additionalProperties")) {
            ("object", Value::Null) => Some(1),
            ("object", _) => bound(schema, "maxProperties"),
            ("array", _) => bound(schema, "maxItems"),
            _ => Some(1),
        };
        Cardinality(self.0.zip(times).map(|(here, times)| here.saturating_mul(times)))
    }

    /// What an expression costs for all values; `size` is the fewest bytes of one.
    pub(crate) fn times(self, cost: u64, size: u64) -> u64 {
        // At least one comma stands between values.
        let fit = REQUEST_BYTES_MAX / (size + 1);
        cost.saturating_mul(self.0.unwrap_or(fit))
    }
}

/// The costs of all expressions of a schema.
#[derive(Default)]
pub(crate) struct Total {
    sum: u64,
    /// The dearest first, with their paths.
    dearest: Vec<(u64, String)>,
}

impl Total {
    pub(crate) fn add(&mut self, path: &Path<'_>, cost: u64) {
        self.sum = self.sum.saturating_add(cost);
        if cost < SCHEMA_MAX / 100 {
            return;
        }
        let at = self.dearest.partition_point(|(other, _)| *other >= cost);
        // Paths can be as long as a definition.
        if at < NAMED_MAX {
            self.dearest.insert(at, (cost, path.to_string()));
            self.dearest.truncate(NAMED_MAX);
        }
    }

    pub(crate) fn check(&self, schema: &Path<'_>, errors: &mut Errors) {
        if self.sum <= SCHEMA_MAX {
            return;
        }
        for (_, path) in &self.dearest {
            let why =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.forbidden(&Path::root(path), why);
        }
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.forbidden(schema, too_dear(name, self.sum, SCHEMA_MAX));
    }
}

/// By how much a cost is too high.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn too_dear(what: &str, cost: u64, max: u64) -> String {
    let times = cost as f64 / max as f64;
    let factor = match times {
        times if times > 100.0 => "more than 100x".to_owned(),
        times if times < 1.5 => format!("{times:.6}x"),
        times => format!("{times:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}
