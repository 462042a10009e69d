//! The types of `kubescheduler.config.k8s.io/v1`, for strict decoding.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use schema::{Field, FieldIndex, FieldType, ListType, PatchStrategy, Shape, TypeDef, TypeRef};

/// Fields and their types: a plain type, a type of this table or, after `core.`, one of the API; a list begins with `[]`.
type Fields = &'static [(&'static str, &'static str)];

const CONFIGURATION: Fields = &[
    ("apiVersion", "string"),
    ("kind", "string"),
    ("parallelism", "int32"),
    ("leaderElection", "LeaderElectionConfiguration"),
    ("clientConnection", "ClientConnectionConfiguration"),
    ("enableProfiling", "bool"),
    ("enableContentionProfiling", "bool"),
    ("percentageOfNodesToScore", "int32"),
    ("percentageOfPlacementsToScore", "int32"),
    ("podInitialBackoffSeconds", "int64"),
    ("podMaxBackoffSeconds", "int64"),
    ("profiles", "[]KubeSchedulerProfile"),
    ("extenders", "[]Extender"),
    ("delayCacheUntilActive", "bool"),
];

const PLUGINS: Fields = &[
    ("preEnqueue", "PluginSet"),
    ("queueSort", "PluginSet"),
    ("preFilter", "PluginSet"),
    ("filter", "PluginSet"),
    ("postFilter", "PluginSet"),
    ("preScore", "PluginSet"),
    ("score", "PluginSet"),
    ("reserve", "PluginSet"),
    ("permit", "PluginSet"),
    ("preBind", "PluginSet"),
    ("bind", "PluginSet"),
    ("postBind", "PluginSet"),
    ("multiPoint", "PluginSet"),
    ("placementGenerate", "PluginSet"),
    ("placementScore", "PluginSet"),
    ("placementFeasible", "PluginSet"),
    ("podGroupPostFilter", "PluginSet"),
];

const EXTENDER: Fields = &[
    ("urlPrefix", "string"),
    ("filterVerb", "string"),
    ("preemptVerb", "string"),
    ("prioritizeVerb", "string"),
    ("weight", "int64"),
    ("bindVerb", "string"),
    ("enableHTTPS", "bool"),
    ("tlsConfig", "ExtenderTLSConfig"),
    ("httpTimeout", "duration"),
    ("nodeCacheCapable", "bool"),
    ("managedResources", "[]ExtenderManagedResource"),
    ("ignorable", "bool"),
];

const TABLE: &[(&str, Fields)] = &[
    ("KubeSchedulerConfiguration", CONFIGURATION),
    (
        "LeaderElectionConfiguration",
        &[
            ("leaderElect", "bool"),
            ("leaseDuration", "duration"),
            ("renewDeadline", "duration"),
            ("retryPeriod", "duration"),
            ("resourceLock", "string"),
            ("resourceName", "string"),
            ("resourceNamespace", "string"),
        ],
    ),
    (
        "ClientConnectionConfiguration",
        &[
            ("kubeconfig", "string"),
            ("acceptContentTypes", "string"),
            ("contentType", "string"),
            ("qps", "double"),
            ("burst", "int32"),
        ],
    ),
    (
        "KubeSchedulerProfile",
        &[
            ("schedulerName", "string"),
            ("percentageOfNodesToScore", "int32"),
            ("percentageOfPlacementsToScore", "int32"),
            ("plugins", "Plugins"),
            ("pluginConfig", "[]PluginConfig"),
        ],
    ),
    ("Plugins", PLUGINS),
    ("PluginSet", &[("enabled", "[]Plugin"), ("disabled", "[]Plugin")]),
    ("Plugin", &[("name", "string"), ("weight", "int32")]),
    ("PluginConfig", &[("name", "string"), ("args", "raw")]),
    ("Extender", EXTENDER),
    ("ExtenderManagedResource", &[("name", "string"), ("ignoredByScheduler", "bool")]),
    (
        "ExtenderTLSConfig",
        &[
            ("insecure", "bool"),
            ("serverName", "string"),
            ("certFile", "string"),
            ("keyFile", "string"),
            ("caFile", "string"),
            ("certData", "bytes"),
            ("keyData", "bytes"),
            ("caData", "bytes"),
        ],
    ),
    (
        "DefaultPreemptionArgs",
        &[
            ("apiVersion", "string"),
            ("kind", "string"),
            ("minCandidateNodesPercentage", "int32"),
            ("minCandidateNodesAbsolute", "int32"),
        ],
    ),
    (
        "InterPodAffinityArgs",
        &[
            ("apiVersion", "string"),
            ("kind", "string"),
            ("hardPodAffinityWeight", "int32"),
            ("ignorePreferredTermsOfExistingPods", "bool"),
        ],
    ),
    (
        "NodeResourcesFitArgs",
        &[
            ("apiVersion", "string"),
            ("kind", "string"),
            ("ignoredResources", "[]string"),
            ("ignoredResourceGroups", "[]string"),
            ("scoringStrategy", "ScoringStrategy"),
        ],
    ),
    (
        "ScoringStrategy",
        &[
            ("type", "string"),
            ("resources", "[]ResourceSpec"),
            ("requestedToCapacityRatio", "RequestedToCapacityRatioParam"),
        ],
    ),
    ("ResourceSpec", &[("name", "string"), ("weight", "int64")]),
    ("RequestedToCapacityRatioParam", &[("shape", "[]UtilizationShapePoint")]),
    ("UtilizationShapePoint", &[("utilization", "int32"), ("score", "int32")]),
    (
        "NodeResourcesBalancedAllocationArgs",
        &[("apiVersion", "string"), ("kind", "string"), ("resources", "[]ResourceSpec")],
    ),
    (
        "PodTopologySpreadArgs",
        &[
            ("apiVersion", "string"),
            ("kind", "string"),
            ("defaultConstraints", "[]core.TopologySpreadConstraint"),
            ("defaultingType", "string"),
        ],
    ),
    (
        "NodeAffinityArgs",
        &[("apiVersion", "string"), ("kind", "string"), ("addedAffinity", "core.NodeAffinity")],
    ),
    (
        "VolumeBindingArgs",
        &[
            ("apiVersion", "string"),
            ("kind", "string"),
            ("bindTimeoutSeconds", "int64"),
            ("shape", "[]UtilizationShapePoint"),
        ],
    ),
    (
        "DynamicResourcesArgs",
        &[
            ("apiVersion", "string"),
            ("kind", "string"),
            ("filterTimeout", "duration"),
            ("bindingTimeout", "duration"),
        ],
    ),
];

/// A type by its name; `None` if there is none, such as that of the arguments of a plugin that takes none.
pub(super) fn named(name: &str) -> Option<TypeRef> {
    static BUILT: LazyLock<BTreeMap<&str, TypeRef>> =
        LazyLock::new(|| TABLE.iter().map(|(name, fields)| (*name, build(name, fields))).collect());
    BUILT.get(name).cloned()
}

/// Types of the table are built once, and never dropped: types that are compiled at run time are those of custom resources,
/// whose values the decoder does not check.
fn build(name: &'static str, fields: Fields) -> TypeRef {
    TypeRef::Static(Box::leak(Box::new(TypeDef {
        name: Cow::Borrowed(name),
        fields: fields.iter().map(|(name, ty)| field(name, ty)).collect::<Vec<_>>().into(),
        preserves_unknown: false,
        atomic: false,
        embedded: false,
        source: None,
        index: FieldIndex::default(),
    })))
}

fn referred_to(name: &str) -> Option<TypeRef> {
    if let Some(name) = name.strip_prefix("core.") {
        return schema::type_by_name(&format!("io.k8s.api.core.v1.{name}"));
    }
    let (name, fields) = TABLE.iter().find(|(found, _)| *found == name)?;
    Some(build(name, fields))
}

fn field(name: &'static str, ty: &'static str) -> Field {
    let item = ty.strip_prefix("[]");
    Field {
        name: Cow::Borrowed(name),
        number: 0,
        shape: if item.is_some() { Shape::List } else { Shape::Single },
        ty: field_type(item.unwrap_or(ty)),
        pointer: true,
        always_in_json: false,
        required: false,
        inline: false,
        list_type: ListType::Atomic,
        list_map_keys: Cow::Borrowed(&[]),
        atomic_map: false,
        granular: false,
        patch: PatchStrategy::DEFAULT,
        default: None,
        nullable: false,
    }
}

fn field_type(name: &str) -> FieldType {
    match name {
        "bool" => FieldType::Bool,
        "int32" => FieldType::Int32,
        "int64" => FieldType::Int64,
        "double" => FieldType::Double,
        "string" => FieldType::String,
        "bytes" => FieldType::Bytes,
        "duration" => FieldType::Duration,
        "raw" => FieldType::RawExtension,
        other => FieldType::Message(referred_to(other).expect("types refer to others of the table")),
    }
}
