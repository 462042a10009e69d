//! The arguments of plugins (`pluginConfig`).

use object::Value;
use object::field::{Errors, Path};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{GROUP, types};
use crate::plugins::Arguments;

mod affinity;
mod resources;
mod spread;

/// Why arguments cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentsError {
    /// They are of another type.
    #[error("args for plugin {plugin} were not of type {plugin}Args.{GROUP}, got {found}.{group}")]
    Kind {
        /// The plugin.
        plugin: String,
        /// Their kind.
        found: String,
        /// The group of their kind.
        group: String,
    },
    /// A value has the wrong type.
    #[error("decoding args for plugin {0}")]
    Decode(String, #[source] object::decode::DecodeError),
    /// There are unknown fields.
    #[error("decoding args for plugin {plugin}: strict decoding error: {problems}")]
    Strict {
        /// The plugin.
        plugin: String,
        /// What was found.
        problems: String,
    },
    /// The decoded value cannot be read.
    #[error("decoding args for plugin {0}")]
    Form(String, #[source] object::TypedError),
}

/// Reads the arguments of a plugin into those of all, and appends what is wrong with them. Those of an unknown plugin are
/// ignored, and so are those of one that takes none.
pub(super) fn read(
    plugin: &str,
    args: &Value,
    path: &Path<'_>,
    into: &mut Arguments,
    errors: &mut Errors,
) -> Result<(), ArgumentsError> {
    let Some(args) = decode(plugin, args)? else { return Ok(()) };
    match plugin {
        "DefaultPreemption" => read_preemption(typed(plugin, &args)?, path, into, errors),
        "InterPodAffinity" => read_pod_affinity(typed(plugin, &args)?, path, into, errors),
        "NodeResourcesFit" => resources::read_fit(typed(plugin, &args)?, path, &mut into.fit, errors),
        "NodeResourcesBalancedAllocation" => {
            resources::read_balanced(typed(plugin, &args)?, path, &mut into.balanced, errors);
        }
        "PodTopologySpread" => spread::read(typed(plugin, &args)?, path, &mut into.spread, errors),
        "NodeAffinity" => affinity::read(&args, path, &mut into.added_affinity, errors),
        "VolumeBinding" => check_volume_binding(typed(plugin, &args)?, &args, path, errors),
        _ => {}
    }
    Ok(())
}

/// Decodes strictly. `None` if the plugin takes no arguments that are known.
fn decode(plugin: &str, args: &Value) -> Result<Option<Value>, ArgumentsError> {
    let Some(ty) = types::named(&format!("{plugin}Args")) else { return Ok(None) };
    let (kind, version) = (args.str_at("kind"), args.str_at("apiVersion"));
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let is_right = (kind.is_empty() || *kind == format!("{plugin}Args"))
        && (version.is_empty() || version == super::API_VERSION);
    if !is_right {
        let (plugin, found, group) = (plugin.to_owned(), kind.to_owned(), group.to_owned());
        return Err(ArgumentsError::Kind { plugin, found, group });
    }
    let value = if args.is_null() { Value::map() } else { args.clone() };
    let decoded = object::decode::decode_value(value, &ty)
        .map_err(|source| ArgumentsError::Decode(plugin.to_owned(), source))?;
    if !decoded.strict_errors.is_empty() {
        let problems = super::joined(&decoded.strict_errors);
        return Err(ArgumentsError::Strict { plugin: plugin.to_owned(), problems });
    }
    Ok(Some(decoded.value))
}

fn typed<T: DeserializeOwned>(plugin: &str, args: &Value) -> Result<T, ArgumentsError> {
    object::from_value(args).map_err(|source| ArgumentsError::Form(plugin.to_owned(), source))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PreemptionArgs {
    min_candidate_nodes_percentage: Option<i32>,
    min_candidate_nodes_absolute: Option<i32>,
}

fn read_preemption(args: PreemptionArgs, path: &Path<'_>, into: &mut Arguments, errors: &mut Errors) {
    let percentage = args.min_candidate_nodes_percentage.unwrap_or(10);
    let absolute = args.min_candidate_nodes_absolute.unwrap_or(100);
    let percentage_path = path.child("minCandidateNodesPercentage");
    let absolute_path = path.child("minCandidateNodesAbsolute");
    if !(0..=100).contains(&percentage) {
        errors.invalid(&percentage_path, i64::from(percentage), "not in valid range [0, 100]");
    }
    if absolute < 0 {
        errors.invalid(&absolute_path, i64::from(absolute), "not in valid range [0, inf)");
    }
    if percentage == 0 && absolute == 0 {
        errors.invalid(&percentage_path, 0, "cannot be zero at the same time as minCandidateNodesAbsolute");
        errors.invalid(&absolute_path, 0, "cannot be zero at the same time as minCandidateNodesPercentage");
    }
    into.candidates_percent = usize::try_from(percentage).unwrap_or(0);
    into.candidates_min = usize::try_from(absolute).unwrap_or(0);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodAffinityArgs {
    hard_pod_affinity_weight: Option<i32>,
    #[serde(default)]
    ignore_preferred_terms_of_existing_pods: bool,
}

fn read_pod_affinity(args: PodAffinityArgs, path: &Path<'_>, into: &mut Arguments, errors: &mut Errors) {
    let weight = args.hard_pod_affinity_weight.unwrap_or(1);
    if !(0..=100).contains(&weight) {
        let why = "not in valid range [0, 100]";
        errors.invalid(&path.child("hardPodAffinityWeight"), i64::from(weight), why);
    }
    into.required_affinity_weight = i64::from(weight);
    into.ignore_wishes = args.ignore_preferred_terms_of_existing_pods;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeBindingArgs {
    bind_timeout_seconds: Option<i64>,
}

/// The timeout has no effect: nothing here binds the volumes of a pod that has a node.
fn check_volume_binding(args: VolumeBindingArgs, tree: &Value, path: &Path<'_>, errors: &mut Errors) {
    if let Some(seconds) = args.bind_timeout_seconds.filter(|seconds| *seconds < 0) {
        let why = "invalid BindTimeoutSeconds, should not be a negative value";
        errors.invalid(&path.child("bindTimeoutSeconds"), seconds, why);
    }
    let shape = tree.get("shape");
    if !shape.is_null() {
        let why = "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring";
        errors.invalid(&path.child("shape"), shape.clone(), why);
    }
}
