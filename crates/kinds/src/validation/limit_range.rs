//! LimitRanges (`pkg/apis/core/validation/validation.go`).

use std::collections::{BTreeSet, HashMap, HashSet};

use object::field::Errors;
use object::{Quantity, QuantityFormat, Value, names};

use super::field::{Field, quantity};
use super::resources::{Owner, may_overcommit, validate_name};

const RANGE: &str = "io.k8s.api.core.v1.LimitRange";
const KINDS: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];

/// The amounts of one limit, by resource.
type Amounts<'a> = HashMap<&'a str, Quantity>;

/// Checks a LimitRange, its metadata aside.
pub fn validate_limit_range(range: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(range, RANGE);
    let spec = root.child("spec");
    let mut seen = HashSet::new();
    for limit in spec.child("limits").items() {
        let kind = limit.child("type");
        let wrong = names::is_qualified_name(kind.text());
        if wrong.is_empty() && !kind.text().contains('/') && !KINDS.contains(&kind.text()) {
            kind.invalid(&mut errors, "must be a standard limit type or fully qualified");
        }
        errors.invalid_each(&kind.path, kind.text(), wrong);
        if !seen.insert(kind.text()) {
            kind.duplicate(&mut errors);
        }
        validate_limit(&mut errors, &limit, kind.text());
    }
    errors
}

fn validate_limit(errors: &mut Errors, limit: &Field<'_, '_>, kind: &str) {
    let owner = if matches!(kind, "Pod" | "Container") { Owner::Container } else { Owner::Any };
    let max = amounts(errors, limit, "max", owner);
    let min = amounts(errors, limit, "min", owner);
    let (mut default, mut request) = (Amounts::new(), Amounts::new());
    if kind == "Pod" {
        for name in ["default", "defaultRequest"] {
            let field = limit.child(name);
            if !field.is_empty() {
                field.forbidden(errors, "may not be specified when `type` is 'Pod'");
            }
        }
    } else {
        default = amounts(errors, limit, "default", owner);
        request = amounts(errors, limit, "defaultRequest", owner);
    }
    if kind == "PersistentVolumeClaim" && !min.contains_key("storage") && !max.contains_key("storage") {
        let why = "either minimum or maximum storage value is required, but neither was provided";
        errors.required(&limit.path.child("limits"), why);
    }
    let ratio = amounts(errors, limit, "maxLimitRequestRatio", owner);
    let all = [&max, &min, &default, &request, &ratio];
    let resources: BTreeSet<&str> = all.iter().flat_map(|amounts| amounts.keys().copied()).collect();
    for resource in resources {
        let of = |amounts: &Amounts<'_>| amounts.get(resource).cloned();
        let amounts = Resource {
            name: resource,
            max: of(&max),
            min: of(&min),
            default: of(&default),
            request: of(&request),
            ratio: of(&ratio),
        };
        amounts.validate(errors, limit);
    }
}

fn amounts<'a>(errors: &mut Errors, limit: &Field<'a, '_>, member: &str, owner: Owner) -> Amounts<'a> {
    let field = limit.child(member);
    for (name, amount) in field.entries() {
        validate_name(errors, name, &amount, owner);
    }
    field.value.entries().map(|(name, amount)| (name, quantity(amount))).collect()
}

/// The amounts of one resource.
struct Resource<'a> {
    name: &'a str,
    max: Option<Quantity>,
    min: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl Resource<'_> {
    /// Minimum, defaults and maximum come in this order.
    fn validate(&self, errors: &mut Errors, limit: &Field<'_, '_>) {
        let (max, min, default, request) = (&self.max, &self.min, &self.default, &self.request);
        // The lower one and its name, the higher one and its name, the field that is blamed and the value that is shown.
        let pairs = [
            ((min, "min"), (max, "max"), "min", min),
            ((min, "min"), (request, "default request"), "defaultRequest", request),
            ((request, "default request"), (max, "max"), "defaultRequest", request),
            ((request, "default request"), (default, "default limit"), "defaultRequest", request),
            ((min, "min"), (default, "default"), "default", min),
            ((default, "default"), (max, "max"), "default", max),
        ];
        for ((low, low_name), (high, high_name), blamed, shown) in pairs {
            let (Some(low), Some(high), Some(shown)) = (low, high, shown) else { continue };
            if low > high {
                let why = format!("{low_name} value {low} is greater than {high_name} value {high}");
                errors.invalid(&limit.path.child(blamed).key(self.name), shown.to_string(), why);
            }
        }
        self.validate_ratio(errors, limit);
        if let (Some(default), Some(request)) = (default, request)
            && !may_overcommit(self.name)
            && default != request
        {
            let name = self.name;
            let why =
                format!("default value {default} must equal to defaultRequest value {request} in {name}");
            errors.invalid(&limit.path.child("defaultRequest").key(name), request.to_string(), why);
        }
    }

    fn validate_ratio(&self, errors: &mut Errors, limit: &Field<'_, '_>) {
        let Some(ratio) = &self.ratio else { return };
        let member = limit.path.child("maxLimitRequestRatio");
        let path = member.key(self.name);
        if *ratio < Quantity::new(1, QuantityFormat::DecimalSi) {
            errors.invalid(&path, ratio.to_string(), format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (&self.min, &self.max) {
            let limit = max.as_f64() / min.as_f64();
            if ratio.as_f64() > limit {
                let why = format!("ratio {ratio} is greater than max/min = {limit:.6}");
                errors.invalid(&path, ratio.to_string(), why);
            }
        }
    }
}
