//! The configuration file: `KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`, in YAML or JSON.
//!
//! It is decoded strictly and validated as upstream does (`pkg/scheduler/apis/config`). Preparing belongs to filtering and
//! scoring here, so that `preFilter` and `preScore` are checked but change nothing; what a file says about connections,
//! leader election, parallelism and profiling has no effect, and is reported in [`Configuration::ignored`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object::decode::{DecodeError, StrictError, decode_yaml};
use object::field::{Errors, Path as FieldPath};

use crate::extender::Extender;
use crate::framework::{Offer, Profile};
use crate::plugins::{Arguments, offer};
use crate::queue::Backoff;

mod arguments;
mod document;
mod extenders;
mod sets;
#[cfg(test)]
mod tests;
mod types;
mod validate;

pub use arguments::ArgumentsError;
use document::{Document, Plugins, ProfileDocument};
pub use extenders::ExtenderSettingsError;
pub use sets::SetError;

const GROUP: &str = "kubescheduler.config.k8s.io";
const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
/// More than this in a file is refused, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// What the file says.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The profiles, by the `spec.schedulerName` of their pods.
    pub profiles: Vec<Arc<Profile>>,
    /// The percentage of nodes from which the best is taken; 0 lets the size of the cluster decide.
    pub percentage_of_nodes_to_score: u32,
    /// How long pods wait after failures.
    pub backoff: Backoff,
    /// Programs that take part in decisions.
    pub extenders: Vec<Arc<Extender>>,
    /// Fields of the file that have no effect here.
    pub ignored: Vec<&'static str>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("the file has more than {FILE_BYTES_MAX} bytes")]
    Size,
    /// A value has the wrong type, or the text is not YAML or JSON.
    #[error("the file is not a valid {KIND}")]
    Decode(#[from] DecodeError),
    /// The file contains something else.
    #[error("expected {KIND} of {API_VERSION}, found {kind:?} of {api_version:?}")]
    Kind {
        /// The document's kind.
        kind: String,
        /// The document's version.
        api_version: String,
    },
    /// There are unknown or repeated fields.
    #[error("strict decoding error: {0}")]
    Strict(String),
    /// The decoded value cannot be read.
    #[error("the file is not a valid {KIND}")]
    Form(#[from] object::TypedError),
    /// The arguments of a plugin cannot be decoded.
    #[error("decoding .profiles[{profile}].pluginConfig[{config}]")]
    Arguments {
        /// The index of the profile.
        profile: usize,
        /// The index of the plugin's configuration.
        config: usize,
        /// The cause.
        source: ArgumentsError,
    },
    /// Fields have wrong values.
    #[error("{0}")]
    Invalid(Errors),
    /// An extender cannot be used.
    #[error("extenders[{index}]")]
    Extender {
        /// The index of the extender.
        index: usize,
        /// The cause.
        source: ExtenderSettingsError,
    },
    /// The plugins of a profile do not go together.
    #[error("creating profile for scheduler name {name}")]
    Profile {
        /// The profile.
        name: String,
        /// The cause.
        source: SetError,
    },
}

impl Configuration {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn read(path: &Path) -> Result<Configuration, ConfigurationError> {
        let text = std::fs::read(path)
            .map_err(|source| ConfigurationError::Read { path: path.to_owned(), source })?;
        Configuration::parse(&text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn parse(text: &[u8]) -> Result<Configuration, ConfigurationError> {
        let mut document = decode(text)?;
        let ignored = ignored(&document);
        if document.profiles.is_empty() {
            document.profiles.push(ProfileDocument::default());
        }
        if let [only] = document.profiles.as_mut_slice() {
            only.scheduler_name.get_or_insert_with(|| "default-scheduler".to_owned());
        }
        let mut errors = Errors::new();
        validate::validate(&document, &mut errors);
        let mut arguments = arguments(&document.profiles, &mut errors)?;
        errors.into_result().map_err(ConfigurationError::Invalid)?;
        let not_checked = extenders::not_checked(&document.extenders);
        arguments.iter_mut().for_each(|arguments| arguments.fit.ignored.extend(not_checked.iter().cloned()));
        let profiles = document.profiles.iter().zip(&arguments);
        let profiles = profiles.map(|(profile, arguments)| assemble(profile, arguments).map(Arc::new));
        let seconds = |seconds: Option<i64>, default| {
            Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(default))
        };
        Ok(Configuration {
            profiles: profiles.collect::<Result<_, _>>()?,
            percentage_of_nodes_to_score: unsigned(document.percentage_of_nodes_to_score).unwrap_or(0),
            backoff: Backoff {
                min: seconds(document.pod_initial_backoff_seconds, 1),
                max: seconds(document.pod_max_backoff_seconds, 10),
            },
            extenders: extenders::read(&document.extenders)?,
            ignored,
        })
    }
}

fn unsigned(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

fn decode(text: &[u8]) -> Result<Document, ConfigurationError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(ConfigurationError::Size);
    }
    let ty = types::named(KIND).expect("the kind is in the table");
    let decoded = decode_yaml(text, &ty)?;
    let (kind, api_version) = (decoded.value.str_at("kind"), decoded.value.str_at("apiVersion"));
    if (kind, api_version) != (KIND, API_VERSION) {
        let (kind, api_version) = (kind.to_owned(), api_version.to_owned());
        return Err(ConfigurationError::Kind { kind, api_version });
    }
    if !decoded.strict_errors.is_empty() {
        return Err(ConfigurationError::Strict(joined(&decoded.strict_errors)));
    }
    Ok(object::from_value(&decoded.value)?)
}

fn joined(errors: &[StrictError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The fields that have no effect here.
fn ignored(document: &Document) -> Vec<&'static str> {
    let placements = |profile: &ProfileDocument| profile.percentage_of_placements_to_score.is_some();
    let groups =
        |Plugins {
             placement_generate, placement_score, placement_feasible, pod_group_post_filter, ..
         }: &Plugins| {
            let sets = [placement_generate, placement_score, placement_feasible, pod_group_post_filter];
            sets.into_iter().any(|set| !set.is_empty())
        };
    let all = [
        ("parallelism", document.parallelism.is_some()),
        ("leaderElection", document.leader_election.is_some()),
        ("clientConnection", document.client_connection.is_some()),
        ("enableProfiling", document.enable_profiling.is_some()),
        ("enableContentionProfiling", document.enable_contention_profiling.is_some()),
        ("delayCacheUntilActive", document.delay_cache_until_active),
        (
            "percentageOfPlacementsToScore",
            document.percentage_of_placements_to_score.is_some() || document.profiles.iter().any(placements),
        ),
        ("plugins for groups of pods", document.profiles.iter().any(|profile| groups(&profile.plugins))),
    ];
    all.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

/// The arguments of the plugins, by profile.
fn arguments(
    profiles: &[ProfileDocument],
    errors: &mut Errors,
) -> Result<Vec<Arguments>, ConfigurationError> {
    let root = FieldPath::root("profiles");
    let mut all = Vec::new();
    for (at, profile) in profiles.iter().enumerate() {
        let (path, mut arguments) = (root.index(at), Arguments::default());
        let list = path.child("pluginConfig");
        for (config, plugin) in profile.plugin_config.iter().enumerate() {
            let path = list.index(config);
            arguments::read(&plugin.name, &plugin.args, &path.child("args"), &mut arguments, errors)
                .map_err(|source| ConfigurationError::Arguments { profile: at, config, source })?;
        }
        all.push(arguments);
    }
    Ok(all)
}

fn assemble(profile: &ProfileDocument, arguments: &Arguments) -> Result<Profile, ConfigurationError> {
    let name = profile.scheduler_name.clone().unwrap_or_default();
    let multi_point = sets::multi_point(&profile.plugins.multi_point);
    let names = sets::names(&profile.plugins, &multi_point);
    let offers: Vec<Offer> = names.iter().filter_map(|name| offer(name, arguments)).collect();
    let lineups = sets::lineups(&name, &profile.plugins, &multi_point, &offers)
        .map_err(|source| ConfigurationError::Profile { name: name.clone(), source })?;
    let assembled = Profile::assemble(&name, offers, &lineups);
    let assembled = assembled.expect("one of the plugins orders the queue");
    Ok(assembled.with_percentage(unsigned(profile.percentage_of_nodes_to_score)))
}
