//! Files and what they mean.

use serde_json::json;

use super::*;
use crate::testing::{cluster, decide, node, pod, pod_requesting};

const START: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn parse(text: &str) -> Result<Configuration, String> {
    Configuration::parse(format!("{START}{text}").as_bytes()).map_err(|error| {
        let error: &dyn std::error::Error = &error;
        std::iter::successors(Some(error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    })
}

/// The only profile of a file, with this text in it.
fn profile(text: &str) -> Arc<Profile> {
    let indented = text.replace('\n', "\n  ");
    let read = parse(&format!("profiles:\n- {indented}\n")).unwrap();
    Arc::clone(&read.profiles[0])
}

#[test]
fn an_empty_file_is_the_default() {
    let read = parse("").unwrap();
    let [only] = read.profiles.as_slice() else { panic!("one profile") };
    assert_eq!(read.percentage_of_nodes_to_score, 0);
    assert_eq!(read.backoff, Backoff::default());
    assert_eq!(read.ignored, [""; 0]);
    for point in crate::framework::Point::ALL {
        let weights = |profile: &Profile| profile.lineup(point);
        assert_eq!(weights(only), weights(&crate::plugins::default_profile()), "{point:?}");
    }
}

#[test]
fn numbers_and_profiles_are_read() {
    let read = parse(
        "percentageOfNodesToScore: 30\npodInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 20\nparallelism: 4\n\
         leaderElection: {leaderElect: false}\nprofiles:\n- schedulerName: one\n- schedulerName: two\n  \
         percentageOfNodesToScore: 70\n",
    )
    .unwrap();
    let found: Vec<_> = read.profiles.iter().map(|profile| (profile.name(), profile.percentage())).collect();
    assert_eq!(found, [("one", None), ("two", Some(70))]);
    assert_eq!(read.percentage_of_nodes_to_score, 30);
    assert_eq!(read.backoff, Backoff { min: Duration::from_secs(2), max: Duration::from_secs(20) });
    assert_eq!(read.ignored, ["parallelism", "leaderElection"]);
}

fn scores(profile: &Profile) -> Vec<(&'static str, i64)> {
    profile.lineup(crate::framework::Point::Score)
}

fn filters(profile: &Profile) -> Vec<&'static str> {
    profile.lineup(crate::framework::Point::Filter).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn sets_are_merged_as_upstream_does() {
    let defaults = scores(&profile("schedulerName: a"));
    assert_eq!(
        defaults,
        [
            ("TaintToleration", 3),
            ("NodeAffinity", 2),
            ("NodeResourcesFit", 1),
            ("PodTopologySpread", 2),
            ("InterPodAffinity", 2),
            ("NodeResourcesBalancedAllocation", 1),
            ("ImageLocality", 1),
        ]
    );
    let cases: [(&str, &[(&str, i64)]); 5] = [
        ("plugins: {score: {disabled: [{name: '*'}]}}", &[]),
        (
            "plugins: {score: {disabled: [{name: '*'}], enabled: [{name: ImageLocality, weight: 7}, {name: NodeAffinity}]}}",
            // As in upstream, the weight of all points counts where that of this one is not given.
            &[("ImageLocality", 7), ("NodeAffinity", 1)],
        ),
        (
            "plugins: {multiPoint: {disabled: [{name: '*'}], enabled: [{name: PrioritySort}, {name: DefaultBinder}, \
             {name: NodeResourcesFit, weight: 9}]}}",
            &[("NodeResourcesFit", 9)],
        ),
        (
            "plugins: {multiPoint: {disabled: [{name: PodTopologySpread}, {name: InterPodAffinity}], enabled: \
             [{name: TaintToleration, weight: 5}]}}",
            &[
                ("TaintToleration", 5),
                ("NodeAffinity", 2),
                ("NodeResourcesFit", 1),
                ("NodeResourcesBalancedAllocation", 1),
                ("ImageLocality", 1),
            ],
        ),
        (
            "plugins: {score: {enabled: [{name: ImageLocality, weight: 4}], disabled: [{name: TaintToleration}, \
             {name: NodeAffinity}, {name: PodTopologySpread}, {name: InterPodAffinity}]}}",
            &[("ImageLocality", 4), ("NodeResourcesFit", 1), ("NodeResourcesBalancedAllocation", 1)],
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(scores(&profile(text)), wanted, "{text}");
    }
}

#[test]
fn filters_can_be_turned_off_alone() {
    let some = profile("plugins: {filter: {disabled: [{name: NodeResourcesFit}]}}");
    assert!(!filters(&some).contains(&"NodeResourcesFit"));
    assert!(scores(&some).iter().any(|(name, _)| *name == "NodeResourcesFit"));
    let mut cache = cluster(&[node("a", json!({}))], &[]);
    let large = pod_requesting("p", json!({"cpu": "100"}));
    assert_eq!(decide(&some, &large, &mut cache), Ok("a".to_owned()));
    assert!(decide(&profile("schedulerName: a"), &large, &mut cache).is_err());
}

#[test]
fn sets_that_do_not_go_together_are_refused() {
    let refused = |text: &str| {
        let text = format!("profiles:\n- schedulerName: s\n  plugins: {text}\n");
        parse(&text).unwrap_err()
    };
    let start = "creating profile for scheduler name s: ";
    let cases = [
        ("{score: {enabled: [{name: Nobody}]}}", "ScorePlugin \"Nobody\" does not exist"),
        ("{multiPoint: {enabled: [{name: Nobody}]}}", "PreFilterPlugin \"Nobody\" does not exist"),
        (
            "{filter: {enabled: [{name: ImageLocality}]}}",
            "plugin \"ImageLocality\" does not extend FilterPlugin plugin",
        ),
        (
            "{filter: {enabled: [{name: NodeName}, {name: NodeName}]}}",
            "plugin \"NodeName\" already registered as \"FilterPlugin\"",
        ),
        (
            "{queueSort: {disabled: [{name: '*'}]}}",
            "only one queue sort plugin required for profile with scheduler name \"s\", but got 0",
        ),
        (
            "{bind: {disabled: [{name: '*'}]}}",
            "at least one bind plugin is needed for profile with scheduler name \"s\"",
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(refused(text), format!("{start}{wanted}"), "{text}");
    }
}

#[test]
fn decoding_is_strict() {
    let args = |text: &str| format!("profiles: [{{pluginConfig: [{text}]}}]\n");
    let cases = [
        ("profile: []\n".to_owned(), "strict decoding error: unknown field \"profile\""),
        (
            "profiles: [{plugins: {filters: {}}}]\n".to_owned(),
            "strict decoding error: unknown field \"profiles[0].plugins.filters\"",
        ),
        (
            args("{name: NodeResourcesFit, args: {strategy: 1}}"),
            "decoding .profiles[0].pluginConfig[0]: decoding args for plugin NodeResourcesFit: \
             strict decoding error: unknown field \"strategy\"",
        ),
        (
            args("{name: NodeAffinity, args: {addedAffinity: {required: {}}}}"),
            "decoding .profiles[0].pluginConfig[0]: decoding args for plugin NodeAffinity: \
             strict decoding error: unknown field \"addedAffinity.required\"",
        ),
        (
            args(
                "{name: NodeResourcesFit, args: {apiVersion: kubescheduler.config.k8s.io/v1, kind: NodeAffinityArgs}}",
            ),
            "decoding .profiles[0].pluginConfig[0]: args for plugin NodeResourcesFit were not of type \
             NodeResourcesFitArgs.kubescheduler.config.k8s.io, got NodeAffinityArgs.kubescheduler.config.k8s.io",
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(parse(&text).unwrap_err(), wanted, "{text}");
    }
    let repeated = parse("parallelism: 1\nparallelism: 2\n").unwrap_err();
    assert!(
        repeated.starts_with("strict decoding error: ") && repeated.contains("parallelism"),
        "{repeated}"
    );
    let typed = parse("podMaxBackoffSeconds: soon\n").unwrap_err();
    assert!(typed.contains("cannot unmarshal string") && typed.contains("podMaxBackoffSeconds"), "{typed}");
    let other = "apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration\n";
    let other = Configuration::parse(other.as_bytes()).unwrap_err().to_string();
    assert!(
        other.contains("found \"KubeSchedulerConfiguration\" of \"kubescheduler.config.k8s.io/v1beta3\"")
    );
    // Arguments of plugins that take none, and of unknown ones, are ignored as upstream ignores them.
    parse(&args("{name: NodeName, args: {any: 1}}, {name: Nobody, args: {any: 1}}")).unwrap();
}

fn invalid(text: &str) -> Vec<String> {
    match Configuration::parse(format!("{START}{text}").as_bytes()) {
        Err(ConfigurationError::Invalid(errors)) => errors.iter().map(ToString::to_string).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn bad_values_are_refused_in_upstreams_words() {
    let cases: [(&str, &[&str]); 8] = [
        ("parallelism: 0", &["parallelism: Invalid value: 0: should be an integer value greater than zero"]),
        (
            "percentageOfNodesToScore: 101",
            &["percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"],
        ),
        (
            "podInitialBackoffSeconds: 0\npodMaxBackoffSeconds: -1",
            &[
                "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0",
                "podMaxBackoffSeconds: Invalid value: -1: must be greater than or equal to PodInitialBackoffSeconds",
            ],
        ),
        (
            "leaderElection: {resourceLock: configmaps}",
            &[
                "leaderElection.resourceLock: Invalid value: \"configmaps\": resourceLock value must be \"leases\"",
            ],
        ),
        (
            "profiles: [{schedulerName: a}, {schedulerName: a, percentageOfNodesToScore: -1}, {}]",
            &[
                "profiles[1].percentageOfNodesToScore: Invalid value: -1: not in valid range [0-100]",
                "profiles[1].schedulerName: Duplicate value: \"profiles[0].schedulerName\"",
                "profiles[2].schedulerName: Required value",
            ],
        ),
        (
            "profiles: [{plugins: {filter: {enabled: [{name: EBSLimits}]}}, pluginConfig: [{name: A}, {name: A}]}]",
            &[
                "profiles[0].plugins.filter.enabled[0]: Invalid value: \"EBSLimits\": was invalid in version \
                 \"kubescheduler.config.k8s.io/v1\" (KubeSchedulerConfiguration is version \
                 \"kubescheduler.config.k8s.io/v1\")",
                "profiles[0].pluginConfig[1]: Duplicate value: \"A\"",
            ],
        ),
        (
            "profiles: [{schedulerName: a}, {schedulerName: b, plugins: {queueSort: {disabled: [{name: x}]}}}]",
            &[
                "profiles[1].plugins.queueSort: Invalid value: \"enabled [], disabled [x]\": must be the same for all profiles",
            ],
        ),
        (
            "extenders: [{prioritizeVerb: p, bindVerb: b, managedResources: [{name: cpu}, {name: a.example/b}]}, \
             {bindVerb: b, managedResources: [{name: a.example/b}]}]",
            &[
                "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
                "extenders[0].managedResources[0].name: Invalid value: \"cpu\": is an invalid extended resource name",
                "extenders[1].managedResources[0].name: Invalid value: \"a.example/b\": duplicate extender managed resource name",
                "extenders: Invalid value: \"found 2 extenders implementing bind\": only one extender can implement bind",
            ],
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(invalid(text), wanted, "{text}");
    }
}

fn invalid_args(plugin: &str, args: &str) -> Vec<String> {
    let text = format!("profiles: [{{pluginConfig: [{{name: {plugin}, args: {args}}}]}}]");
    let errors = invalid(&text);
    let path = "profiles[0].pluginConfig[0].args.";
    errors.iter().map(|error| error.strip_prefix(path).unwrap().to_owned()).collect()
}

#[test]
fn bad_arguments_are_refused_in_upstreams_words() {
    let cases: [(&str, &str, &[&str]); 9] = [
        (
            "DefaultPreemption",
            "{minCandidateNodesPercentage: 101, minCandidateNodesAbsolute: -1}",
            &[
                "minCandidateNodesPercentage: Invalid value: 101: not in valid range [0, 100]",
                "minCandidateNodesAbsolute: Invalid value: -1: not in valid range [0, inf)",
            ],
        ),
        (
            "DefaultPreemption",
            "{minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}",
            &[
                "minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute",
                "minCandidateNodesAbsolute: Invalid value: 0: cannot be zero at the same time as minCandidateNodesPercentage",
            ],
        ),
        (
            "InterPodAffinity",
            "{hardPodAffinityWeight: 101}",
            &["hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]"],
        ),
        (
            "VolumeBinding",
            "{bindTimeoutSeconds: -1, shape: [{utilization: 1, score: 2}]}",
            &[
                "bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value",
                "shape: Invalid value: [{\"score\":2,\"utilization\":1}]: unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring",
            ],
        ),
        (
            "NodeResourcesBalancedAllocation",
            "{resources: [{name: cpu, weight: 2}, {name: cpu}]}",
            &[
                "resources[0].weight: Invalid value: 2: must be 1",
                "resources[1].name: Duplicate value: \"cpu\"",
            ],
        ),
        (
            "NodeResourcesFit",
            "{ignoredResourceGroups: [a/b], scoringStrategy: {type: Any, resources: [{name: cpu, weight: 101}]}}",
            &[
                "ignoredResourceGroups[0]: Invalid value: \"a/b\": resource group name can't contain '/'",
                "scoringStrategy.type: Unsupported value: \"Any\": supported values: \"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\"",
                "scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]",
            ],
        ),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: \
             [{utilization: 10, score: 11}, {utilization: 10, score: 0}, {utilization: 101, score: -1}]}}}",
            &[
                "scoringStrategy.requestedToCapacityRatio.shape[1].utilization: Invalid value: 10: values must be sorted in increasing order",
                "scoringStrategy.requestedToCapacityRatio.shape[0].score: Invalid value: 11: not in valid range [0, 10]",
                "scoringStrategy.requestedToCapacityRatio.shape[2].utilization: Invalid value: 101: not in valid range [0, 100]",
                "scoringStrategy.requestedToCapacityRatio.shape[2].score: Invalid value: -1: not in valid range [0, 10]",
            ],
        ),
        (
            "NodeResourcesFit",
            "{scoringStrategy: {type: RequestedToCapacityRatio}}",
            &[
                "scoringStrategy.requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio",
            ],
        ),
        (
            "NodeAffinity",
            "{addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: \
             [{key: a, operator: Like}], matchFields: [{key: metadata.name, operator: In, values: [a, b]}]}]}}}",
            &[
                "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: \
                 Unsupported value: \"Like\": supported values: \"In\", \"NotIn\", \"Exists\", \"DoesNotExist\", \"Gt\", \"Lt\"",
                "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values: \
                 Invalid value: [\"a\",\"b\"]: must have one element",
            ],
        ),
    ];
    for (plugin, args, wanted) in cases {
        assert_eq!(invalid_args(plugin, args), wanted, "{plugin} {args}");
    }
}

#[test]
fn bad_default_constraints_are_refused_in_upstreams_words() {
    let args = "{defaultingType: List, defaultConstraints: [\
        {maxSkew: 0, topologyKey: '', whenUnsatisfiable: '', labelSelector: {matchLabels: {a: b}}}, \
        {maxSkew: 1, topologyKey: a b, whenUnsatisfiable: Never}, \
        {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}, \
        {maxSkew: 2, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}, \
        {maxSkew: 2, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]}";
    let wanted = [
        "defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)",
        "defaultConstraints[0].topologyKey: Required value: can not be empty",
        "defaultConstraints[0].whenUnsatisfiable: Required value: can not be empty",
        "defaultConstraints[0].labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod",
        "defaultConstraints[1].topologyKey: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        "defaultConstraints[1].whenUnsatisfiable: Unsupported value: \"Never\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
        "defaultConstraints[3]: Duplicate value: \"{zone, ScheduleAnyway}\"",
    ];
    assert_eq!(invalid_args("PodTopologySpread", args), wanted);
    let system = "{defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]}";
    let wanted = ["defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty"];
    assert_eq!(invalid_args("PodTopologySpread", system), wanted);
}

#[test]
fn arguments_reach_their_plugins() {
    let labelled = |name: &str, value: &str| node(name, json!({"metadata": {"labels": {"disk": value}}}));
    let nodes = [labelled("a", "ssd"), labelled("b", "hdd")];
    let used = pod_requesting("used", json!({"cpu": "2", "memory": "4Gi"}));
    let only_ssd = "pluginConfig: [{name: NodeAffinity, args: {addedAffinity: \
        {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: \
        [{key: disk, operator: In, values: [ssd]}]}]}}}}]";
    let mut cache = cluster(&nodes, &[("a", used.clone())]);
    let small = pod_requesting("p", json!({"cpu": "1", "memory": "2Gi"}));
    assert_eq!(decide(&profile("schedulerName: a"), &small, &mut cache), Ok("b".to_owned()));
    assert_eq!(decide(&profile(only_ssd), &small, &mut cache), Ok("a".to_owned()));
    let most = "pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated}}}]";
    assert_eq!(decide(&profile(most), &small, &mut cache), Ok("a".to_owned()));
    let gpu = pod("p", crate::testing::containers(json!({"a.example/gpu": "1"})));
    assert!(decide(&profile("schedulerName: a"), &gpu, &mut cache).is_err());
    let ignoring = "pluginConfig: [{name: NodeResourcesFit, args: {ignoredResourceGroups: [a.example]}}]";
    assert!(decide(&profile(ignoring), &gpu, &mut cache).is_ok());
}
