//! The file as people write it.

use object::Value;
use serde::Deserialize;

/// `KubeSchedulerConfiguration`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) parallelism: Option<i32>,
    pub(super) leader_election: Option<LeaderElection>,
    pub(super) client_connection: Option<ClientConnection>,
    pub(super) enable_profiling: Option<bool>,
    pub(super) enable_contention_profiling: Option<bool>,
    pub(super) percentage_of_nodes_to_score: Option<i32>,
    pub(super) percentage_of_placements_to_score: Option<i32>,
    pub(super) pod_initial_backoff_seconds: Option<i64>,
    pub(super) pod_max_backoff_seconds: Option<i64>,
    pub(super) profiles: Vec<ProfileDocument>,
    pub(super) extenders: Vec<ExtenderDocument>,
    pub(super) delay_cache_until_active: bool,
}

/// `LeaderElectionConfiguration`, of which nothing has an effect here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LeaderElection {
    pub(super) leader_elect: Option<bool>,
    pub(super) resource_lock: String,
}

/// `ClientConnectionConfiguration`, of which nothing has an effect here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ClientConnection {
    pub(super) burst: i32,
}

/// `KubeSchedulerProfile`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ProfileDocument {
    pub(super) scheduler_name: Option<String>,
    pub(super) percentage_of_nodes_to_score: Option<i32>,
    pub(super) percentage_of_placements_to_score: Option<i32>,
    pub(super) plugins: Plugins,
    pub(super) plugin_config: Vec<PluginConfig>,
}

/// `Plugins`, without what is for groups of pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Plugins {
    pub(super) pre_enqueue: PluginSet,
    pub(super) queue_sort: PluginSet,
    pub(super) pre_filter: PluginSet,
    pub(super) filter: PluginSet,
    pub(super) post_filter: PluginSet,
    pub(super) pre_score: PluginSet,
    pub(super) score: PluginSet,
    pub(super) reserve: PluginSet,
    pub(super) permit: PluginSet,
    pub(super) pre_bind: PluginSet,
    pub(super) bind: PluginSet,
    pub(super) post_bind: PluginSet,
    pub(super) multi_point: PluginSet,
    pub(super) placement_generate: PluginSet,
    pub(super) placement_score: PluginSet,
    pub(super) placement_feasible: PluginSet,
    pub(super) pod_group_post_filter: PluginSet,
}

/// `PluginSet`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct PluginSet {
    pub(super) enabled: Vec<PluginDocument>,
    pub(super) disabled: Vec<PluginDocument>,
}

impl PluginSet {
    pub(super) fn is_empty(&self) -> bool {
        self.enabled.is_empty() && self.disabled.is_empty()
    }
}

/// `Plugin`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct PluginDocument {
    pub(super) name: String,
    pub(super) weight: Option<i32>,
}

/// `PluginConfig`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PluginConfig {
    pub(super) name: String,
    pub(super) args: Value,
}

/// `Extender`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ExtenderDocument {
    pub(super) url_prefix: String,
    pub(super) filter_verb: String,
    pub(super) preempt_verb: String,
    pub(super) prioritize_verb: String,
    pub(super) weight: i64,
    pub(super) bind_verb: String,
    #[serde(rename = "enableHTTPS")]
    pub(super) enable_https: bool,
    pub(super) tls_config: Option<ExtenderTls>,
    pub(super) http_timeout: Option<String>,
    pub(super) node_cache_capable: bool,
    pub(super) managed_resources: Vec<ManagedResource>,
    pub(super) ignorable: bool,
}

/// `ExtenderTLSConfig`; data in base64.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ExtenderTls {
    pub(super) insecure: bool,
    pub(super) server_name: String,
    pub(super) cert_file: String,
    pub(super) key_file: String,
    pub(super) ca_file: String,
    pub(super) cert_data: String,
    pub(super) key_data: String,
    pub(super) ca_data: String,
}

/// Without the key.
impl std::fmt::Debug for ExtenderTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExtenderTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// `ExtenderManagedResource`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ManagedResource {
    pub(super) name: String,
    pub(super) ignored_by_scheduler: bool,
}
