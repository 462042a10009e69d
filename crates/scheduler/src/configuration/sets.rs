//! Which plugins a profile has at which extension point, and in which order.

use std::collections::BTreeSet;

use super::document::{PluginDocument, PluginSet, Plugins};
use crate::framework::{Lineup, Offer, Point};
use crate::plugins::DEFAULTS;

/// Why the plugins of a profile do not go together, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No plugin has this name.
    #[error("{point} {name:?} does not exist")]
    Unknown {
        /// The interface of the extension point.
        point: &'static str,
        /// The plugin.
        name: String,
    },
    /// The plugin does not take part there.
    #[error("plugin {name:?} does not extend {point} plugin")]
    Misplaced {
        /// The interface of the extension point.
        point: &'static str,
        /// The plugin.
        name: String,
    },
    /// The plugin is enabled twice.
    #[error("plugin {name:?} already registered as {point:?}")]
    Twice {
        /// The interface of the extension point.
        point: &'static str,
        /// The plugin.
        name: String,
    },
    /// One plugin must order the queue.
    #[error(
        "only one queue sort plugin required for profile with scheduler name {profile:?}, but got {count}"
    )]
    QueueSorts {
        /// The profile.
        profile: String,
        /// How many do.
        count: usize,
    },
    /// No plugin binds.
    #[error("at least one bind plugin is needed for profile with scheduler name {profile:?}")]
    NoBinder {
        /// The profile.
        profile: String,
    },
}

/// The set of an extension point, and the name of its field.
pub(super) fn set_of(plugins: &Plugins, point: Point) -> (&'static str, &PluginSet) {
    match point {
        Point::PreEnqueue => ("preEnqueue", &plugins.pre_enqueue),
        Point::QueueSort => ("queueSort", &plugins.queue_sort),
        Point::PreFilter => ("preFilter", &plugins.pre_filter),
        Point::Filter => ("filter", &plugins.filter),
        Point::PostFilter => ("postFilter", &plugins.post_filter),
        Point::PreScore => ("preScore", &plugins.pre_score),
        Point::Score => ("score", &plugins.score),
        Point::Reserve => ("reserve", &plugins.reserve),
        Point::Permit => ("permit", &plugins.permit),
        Point::PreBind => ("preBind", &plugins.pre_bind),
        Point::Bind => ("bind", &plugins.bind),
        Point::PostBind => ("postBind", &plugins.post_bind),
    }
}

/// The default plugins changed by those of a profile's `multiPoint`.
pub(super) fn multi_point(custom: &PluginSet) -> Vec<PluginDocument> {
    let disabled: BTreeSet<&str> = custom.disabled.iter().map(|plugin| &*plugin.name).collect();
    // Where a plugin is listed twice, the last entry replaces a default one.
    let last = |name: &str| custom.enabled.iter().rposition(|plugin| plugin.name == name);
    let mut replacing = BTreeSet::new();
    let mut enabled = Vec::new();
    let defaults = DEFAULTS.into_iter().filter(|(name, _)| !disabled.contains(name));
    for (name, weight) in defaults.filter(|_| !disabled.contains("*")) {
        enabled.push(match last(name) {
            Some(at) => {
                replacing.insert(at);
                custom.enabled[at].clone()
            }
            None => PluginDocument { name: name.to_owned(), weight: i32::try_from(weight).ok() },
        });
    }
    let added = custom.enabled.iter().enumerate().filter(|(at, _)| !replacing.contains(at));
    enabled.extend(added.map(|(_, plugin)| plugin.clone()));
    enabled
}

/// The names of all plugins that are enabled somewhere.
pub(super) fn names(plugins: &Plugins, multi_point: &[PluginDocument]) -> BTreeSet<String> {
    let special = Point::ALL.into_iter().flat_map(|point| &set_of(plugins, point).1.enabled);
    special.chain(multi_point).map(|plugin| plugin.name.clone()).collect()
}

/// The plugins at each extension point.
pub(super) fn lineups(
    profile: &str,
    plugins: &Plugins,
    multi_point: &[PluginDocument],
    offers: &[Offer],
) -> Result<Vec<Lineup>, SetError> {
    for point in Point::ALL {
        check_special(point, &set_of(plugins, point).1.enabled, offers)?;
    }
    let mut all = Vec::new();
    for point in Point::ALL {
        let names = expand(point, set_of(plugins, point).1, multi_point, offers)?;
        let weight = |name: &str| weight(name, plugins, multi_point);
        let weighted = names.into_iter().map(|name| (name.to_owned(), weight(name))).collect();
        all.push((point, weighted));
    }
    let count = |wanted: Point| {
        let found = all.iter().find(|(point, _)| *point == wanted);
        found.map_or(0, |(_, plugins): &Lineup| plugins.len())
    };
    match (count(Point::QueueSort), count(Point::Bind)) {
        (1, 0) => Err(SetError::NoBinder { profile: profile.to_owned() }),
        (1, _) => Ok(all),
        (count, _) => Err(SetError::QueueSorts { profile: profile.to_owned(), count }),
    }
}

/// Checks the plugins that are enabled for one extension point.
fn check_special(point: Point, enabled: &[PluginDocument], offers: &[Offer]) -> Result<(), SetError> {
    let mut seen = BTreeSet::new();
    for PluginDocument { name, .. } in enabled {
        let (point_name, name_owned) = (point.interface(), name.clone());
        let Some(offer) = find(offers, name) else {
            return Err(SetError::Unknown { point: point_name, name: name_owned });
        };
        if !offer.extends(point) {
            return Err(SetError::Misplaced { point: point_name, name: name_owned });
        }
        if !seen.insert(name) {
            return Err(SetError::Twice { point: point_name, name: name_owned });
        }
    }
    Ok(())
}

/// The plugins at an extension point in their order: those that override one of all points, the others of all points, and
/// the rest of this point.
fn expand<'a>(
    point: Point,
    set: &'a PluginSet,
    multi_point: &'a [PluginDocument],
    offers: &[Offer],
) -> Result<Vec<&'a str>, SetError> {
    let special: Vec<&str> = set.enabled.iter().map(|plugin| &*plugin.name).collect();
    let is_disabled = |name: &str| set.disabled.iter().any(|plugin| plugin.name == name);
    if is_disabled("*") {
        return Ok(special);
    }
    let (mut overriding, mut general) = (BTreeSet::new(), Vec::new());
    for PluginDocument { name, .. } in multi_point {
        let Some(offer) = find(offers, name) else {
            return Err(SetError::Unknown { point: point.interface(), name: name.clone() });
        };
        if !offer.extends(point) || is_disabled(name) {
            continue;
        }
        if special.contains(&&**name) {
            overriding.insert(&**name);
        } else if general.contains(&&**name) {
            return Err(SetError::Twice { point: point.interface(), name: name.clone() });
        } else {
            general.push(&**name);
        }
    }
    let (first, last): (Vec<&str>, Vec<&str>) = special.iter().partition(|name| overriding.contains(**name));
    Ok(first.into_iter().chain(general).chain(last).collect())
}

/// The weight of a plugin's scores: that of its extension point comes first; 0 means 1.
fn weight(name: &str, plugins: &Plugins, multi_point: &[PluginDocument]) -> i64 {
    let mut entries = plugins.score.enabled.iter().chain(multi_point);
    let entry = entries.find(|plugin| plugin.name == name);
    match entry.and_then(|plugin| plugin.weight) {
        None | Some(0) => 1,
        Some(weight) => i64::from(weight),
    }
}

fn find<'a>(offers: &'a [Offer], name: &str) -> Option<&'a Offer> {
    offers.iter().find(|offer| offer.name() == name)
}
