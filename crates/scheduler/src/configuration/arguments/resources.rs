//! The arguments of the plugins that look at resources.

use object::field::{Errors, Path};
use object::names;
use serde::Deserialize;

use crate::plugins::{FitOptions, FitStrategy, Shape, WeightedResource};

/// What scores in a shape are multiplied with: there they go up to 10.
const SCORE_FACTOR: i64 = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FitArgs {
    #[serde(default)]
    ignored_resources: Vec<String>,
    #[serde(default)]
    ignored_resource_groups: Vec<String>,
    scoring_strategy: Option<StrategyArgs>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StrategyArgs {
    #[serde(rename = "type")]
    kind: String,
    resources: Vec<ResourceArgs>,
    requested_to_capacity_ratio: Option<RatioArgs>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RatioArgs {
    shape: Vec<Point>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Point {
    utilization: i32,
    score: i32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResourceArgs {
    name: String,
    weight: i64,
}

#[derive(Deserialize)]
pub(super) struct BalancedArgs {
    #[serde(default)]
    resources: Vec<ResourceArgs>,
}

/// The resources with their weights, of which 0 means 1; CPU and memory if there are none.
fn weighted(resources: Vec<ResourceArgs>) -> Vec<WeightedResource> {
    if resources.is_empty() {
        return WeightedResource::defaults();
    }
    let weight = |weight| if weight == 0 { 1 } else { weight };
    let weighted = |from: ResourceArgs| WeightedResource { name: from.name, weight: weight(from.weight) };
    resources.into_iter().map(weighted).collect()
}

pub(super) fn read_fit(args: FitArgs, path: &Path<'_>, into: &mut FitOptions, errors: &mut Errors) {
    let list = path.child("ignoredResources");
    for (at, name) in args.ignored_resources.iter().enumerate() {
        errors.invalid_each(&list.index(at), name.as_str(), names::is_qualified_name(name));
    }
    let list = path.child("ignoredResourceGroups");
    for (at, group) in args.ignored_resource_groups.iter().enumerate() {
        if group.contains('/') {
            errors.invalid(&list.index(at), group.as_str(), "resource group name can't contain '/'");
        }
        errors.invalid_each(&list.index(at), group.as_str(), names::is_qualified_name(group));
    }
    into.ignored = args.ignored_resources;
    into.ignored_groups = args.ignored_resource_groups;
    let Some(strategy) = args.scoring_strategy else { return };
    let path = path.child("scoringStrategy");
    let resources = weighted(strategy.resources);
    into.strategy =
        read_strategy(&strategy.kind, strategy.requested_to_capacity_ratio, &resources, &path, errors);
    into.resources = resources;
}

fn read_strategy(
    kind: &str,
    ratio: Option<RatioArgs>,
    resources: &[WeightedResource],
    path: &Path<'_>,
    errors: &mut Errors,
) -> FitStrategy {
    const TYPES: [&str; 3] = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
    if !TYPES.contains(&kind) {
        errors.not_supported(&path.child("type"), kind, &TYPES);
    }
    let list = path.child("resources");
    for (at, resource) in resources.iter().enumerate() {
        if !(1..=100).contains(&resource.weight) {
            let why = format!("resource weight of {} not in valid range (0, 100]", resource.name);
            errors.invalid(&list.index(at).child("weight"), resource.weight, why);
        }
    }
    let path = path.child("requestedToCapacityRatio");
    match (kind, ratio) {
        ("RequestedToCapacityRatio", Some(ratio)) => {
            check_shape(&ratio.shape, &path.child("shape"), errors);
            let point = |point: &Point| (i64::from(point.utilization), SCORE_FACTOR * i64::from(point.score));
            FitStrategy::RequestedToCapacityRatio(Shape::new(ratio.shape.iter().map(point).collect()))
        }
        ("RequestedToCapacityRatio", None) => {
            errors.required(&path, "must be specified when type is RequestedToCapacityRatio");
            FitStrategy::LeastAllocated
        }
        (_, Some(_)) => {
            errors.forbidden(&path, "must be nil when type is not RequestedToCapacityRatio");
            FitStrategy::LeastAllocated
        }
        ("MostAllocated", None) => FitStrategy::MostAllocated,
        (_, None) => FitStrategy::LeastAllocated,
    }
}

fn check_shape(shape: &[Point], path: &Path<'_>, errors: &mut Errors) {
    if shape.is_empty() {
        return errors.required(path, "at least one point must be specified");
    }
    let unsorted = shape.windows(2).position(|pair| pair[0].utilization >= pair[1].utilization);
    if let Some(before) = unsorted {
        let found = i64::from(shape[before + 1].utilization);
        let why = "values must be sorted in increasing order";
        errors.invalid(&path.index(before + 1).child("utilization"), found, why);
    }
    for (at, point) in shape.iter().enumerate() {
        if !(0..=100).contains(&point.utilization) {
            let found = i64::from(point.utilization);
            errors.invalid(&path.index(at).child("utilization"), found, "not in valid range [0, 100]");
        }
        if !(0..=10).contains(&point.score) {
            let found = i64::from(point.score);
            errors.invalid(&path.index(at).child("score"), found, "not in valid range [0, 10]");
        }
    }
}

pub(super) fn read_balanced(
    args: BalancedArgs,
    path: &Path<'_>,
    into: &mut Vec<WeightedResource>,
    errors: &mut Errors,
) {
    *into = weighted(args.resources);
    let list = path.child("resources");
    for (at, resource) in into.iter().enumerate() {
        if into[..at].iter().any(|earlier| earlier.name == resource.name) {
            errors.duplicate(&list.index(at).child("name"), resource.name.as_str());
        }
        if resource.weight != 1 {
            errors.invalid(&list.index(at).child("weight"), resource.weight, "must be 1");
        }
    }
}
