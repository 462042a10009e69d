//! What is wrong with a configuration, in upstream's words.

use std::collections::BTreeMap;

use object::field::{Error, Errors, Path};
use object::names;
use semantics::quota::is_extended;

use super::API_VERSION;
use super::document::{Document, ExtenderDocument, PluginSet, ProfileDocument};
use super::sets::set_of;
use crate::framework::Point;

/// Plugins that were removed with this version.
const REMOVED: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

/// The extension points in the order of the document.
const POINTS: [Point; 12] = [
    Point::PreEnqueue,
    Point::QueueSort,
    Point::PreFilter,
    Point::Filter,
    Point::PostFilter,
    Point::PreScore,
    Point::Score,
    Point::Reserve,
    Point::Permit,
    Point::PreBind,
    Point::Bind,
    Point::PostBind,
];

/// Appends what is wrong with everything but the arguments of plugins.
pub(super) fn validate(document: &Document, errors: &mut Errors) {
    validate_connection(document, errors);
    if let Some(parallelism) = document.parallelism.filter(|parallelism| *parallelism <= 0) {
        let path = Path::root("parallelism");
        errors.invalid(&path, i64::from(parallelism), "should be an integer value greater than zero");
    }
    validate_profiles(&document.profiles, errors);
    let path = Path::root("percentageOfNodesToScore");
    validate_percentage(&path, document.percentage_of_nodes_to_score, errors);
    let initial = document.pod_initial_backoff_seconds.unwrap_or(1);
    if initial <= 0 {
        errors.invalid(&Path::root("podInitialBackoffSeconds"), initial, "must be greater than 0");
    }
    let most = document.pod_max_backoff_seconds.unwrap_or(10);
    if most < initial {
        let why = "must be greater than or equal to PodInitialBackoffSeconds";
        errors.invalid(&Path::root("podMaxBackoffSeconds"), most, why);
    }
    validate_extenders(&document.extenders, errors);
}

fn validate_connection(document: &Document, errors: &mut Errors) {
    if let Some(connection) = document.client_connection.as_ref().filter(|connection| connection.burst < 0) {
        let path = Path::root("clientConnection");
        errors.invalid(&path.child("burst"), i64::from(connection.burst), "must be non-negative");
    }
    let Some(election) = &document.leader_election else { return };
    let lock = election.resource_lock.as_str();
    if election.leader_elect.unwrap_or(true) && !matches!(lock, "" | "leases") {
        let path = Path::root("leaderElection");
        errors.invalid(&path.child("resourceLock"), lock, "resourceLock value must be \"leases\"");
    }
}

fn validate_percentage(path: &Path<'_>, percentage: Option<i32>, errors: &mut Errors) {
    if let Some(percentage) = percentage.filter(|percentage| !(0..=100).contains(percentage)) {
        errors.invalid(path, i64::from(percentage), "not in valid range [0-100]");
    }
}

fn validate_profiles(profiles: &[ProfileDocument], errors: &mut Errors) {
    let root = Path::root("profiles");
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, profile) in profiles.iter().enumerate() {
        let path = root.index(at);
        let name = profile.scheduler_name.as_deref().unwrap_or_default();
        if name.is_empty() {
            errors.required(&path.child("schedulerName"), "");
        }
        let percentage = path.child("percentageOfNodesToScore");
        validate_percentage(&percentage, profile.percentage_of_nodes_to_score, errors);
        validate_removed(profile, &path, errors);
        if let Some(earlier) = known.insert(name, at) {
            let first = root.index(earlier).child("schedulerName").to_string();
            errors.duplicate(&path.child("schedulerName"), first);
        }
    }
    validate_queue_sort(profiles, &root, errors);
}

fn removed(path: &Path<'_>, name: &str) -> Error {
    let why = format!(
        "was invalid in version {API_VERSION:?} (KubeSchedulerConfiguration is version {API_VERSION:?})"
    );
    Error::invalid(path, name, why)
}

fn validate_removed(profile: &ProfileDocument, path: &Path<'_>, errors: &mut Errors) {
    let plugins_path = path.child("plugins");
    for point in POINTS {
        let (name, set): (_, &PluginSet) = set_of(&profile.plugins, point);
        let set_path = plugins_path.child(name);
        let list = set_path.child("enabled");
        for (at, plugin) in set.enabled.iter().enumerate() {
            if REMOVED.contains(&&*plugin.name) {
                errors.push(removed(&list.index(at), &plugin.name));
            }
        }
    }
    let list = path.child("pluginConfig");
    for (at, config) in profile.plugin_config.iter().enumerate() {
        if profile.plugin_config[..at].iter().any(|earlier| earlier.name == config.name) {
            errors.duplicate(&list.index(at), config.name.as_str());
        }
        if REMOVED.contains(&&*config.name) {
            errors.push(removed(&list.index(at), &config.name));
        }
    }
}

/// Pods of all profiles wait in one queue.
fn validate_queue_sort(profiles: &[ProfileDocument], root: &Path<'_>, errors: &mut Errors) {
    let Some((first, others)) = profiles.split_first() else { return };
    let set = &first.plugins.queue_sort;
    if set.enabled.len() > 1 {
        let count = i64::try_from(set.enabled.len()).unwrap_or(i64::MAX);
        let path = root.index(0);
        let why = "only one queue sort plugin can be enabled";
        errors.invalid(&path.child("plugins.queueSort.Enabled"), count, why);
    }
    for (at, profile) in others.iter().enumerate() {
        if profile.plugins.queue_sort != *set {
            let names = |list: &[super::document::PluginDocument]| {
                list.iter().map(|plugin| plugin.name.clone()).collect::<Vec<_>>().join(" ")
            };
            let own = &profile.plugins.queue_sort;
            let shown = format!("enabled [{}], disabled [{}]", names(&own.enabled), names(&own.disabled));
            let path = root.index(at + 1);
            errors.invalid(&path.child("plugins.queueSort"), shown, "must be the same for all profiles");
        }
    }
}

fn validate_extenders(extenders: &[ExtenderDocument], errors: &mut Errors) {
    let root = Path::root("extenders");
    let mut managed = Vec::new();
    for (at, extender) in extenders.iter().enumerate() {
        let path = root.index(at);
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            let why = "must have a positive weight applied to it";
            errors.invalid(&path.child("weight"), extender.weight, why);
        }
        let list = path.child("managedResources");
        for (at, resource) in extender.managed_resources.iter().enumerate() {
            let (item, name) = (list.index(at), resource.name.as_str());
            let path = item.child("name");
            let problems = names::is_qualified_name(name);
            if problems.is_empty() && !is_extended(name) {
                errors.invalid(&path, name, "is an invalid extended resource name");
            }
            errors.invalid_each(&path, name, problems);
            if managed.contains(&name) {
                errors.invalid(&path, name, "duplicate extender managed resource name");
            }
            managed.push(name);
        }
    }
    let binders = extenders.iter().filter(|extender| !extender.bind_verb.is_empty()).count();
    if binders > 1 {
        let found = format!("found {binders} extenders implementing bind");
        errors.invalid(&root, found, "only one extender can implement bind");
    }
}
