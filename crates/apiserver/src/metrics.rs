//! The API server's metrics, under upstream's names.

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use metrics::{
    Collector, Counter, DescriptorEncoder, EncodeLabelSet, EncodeMetric, Exposition, Family, Gauge,
    Histogram, Histograms, Register, Registry as Shown, exponential_buckets,
};

use crate::authz::{Chain, Decision, Ruling};
use crate::cache::LOG_CHANGES_MAX;
use crate::layers::{Observer, Outcome, Seen};
use crate::registry::Registry;
use crate::request::RequestInfo;

/// Upstream's buckets of a request's duration, in seconds.
const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// Paths with separate labels; all others share one.
const PATHS: [&str; 9] =
    ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi", "/readyz", "/version", "/.well-known"];

/// The target of a request. Only resources that this server has appear in labels, so that clients cannot fill it up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    component: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    dry_run: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    request_kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result {
    result: &'static str,
}

/// The metrics of the API server.
pub struct Metrics {
    requests: Family<(Asked, Answered), Counter>,
    durations: Histograms<Asked>,
    sizes: Histograms<Asked>,
    in_flight: Family<Kind, Gauge>,
    running: Family<Asked, Gauge>,
    authentications: Family<Result, Counter>,
    authorizations: Family<Result, Counter>,
    authorized_within: Histograms<Result>,
}

impl Metrics {
    /// Metrics that are registered there.
    pub fn new(exposition: &Exposition, authorizer: &Chain) -> Metrics {
        // Upstream's name of this counter, which predates the naming convention.
        exposition.without_total("authentication_attempts");
        exposition.with(|shown| Metrics::register(shown, authorizer))
    }

    fn register(shown: &mut Shown, authorizer: &Chain) -> Metrics {
        let help = "Requests that each authorizer has allowed or denied";
        shown.register("apiserver_authorization_decisions", help, authorizer.decisions().clone());
        let sizes = || Histogram::new(exponential_buckets(1000.0, 10.0, 7));
        let from_1_ms = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        Metrics {
            requests: shown
                .add("apiserver_request", "Requests by what they ask for and the code of the answer"),
            durations: shown.add_histograms(
                "apiserver_request_duration_seconds",
                "Time until the answer begins, in seconds",
                || Histogram::new(DURATIONS),
            ),
            sizes: shown.add_histograms("apiserver_response_sizes", "Sizes of answers, in bytes", sizes),
            in_flight: shown.add("apiserver_current_inflight_requests", "Requests that are being answered"),
            running: shown.add(
                "apiserver_longrunning_requests",
                "Watches, logs and other requests whose answers run on",
            ),
            authentications: shown.add("authentication_attempts", "Authentications by their result"),
            authorizations: shown.add("authorization_attempts", "Authorizations by their result"),
            authorized_within: shown.add_histograms(
                "authorization_duration_seconds",
                "Time that authorizations took, in seconds",
                from_1_ms,
            ),
        }
    }

    /// A custom resource is not served any more: its metrics disappear.
    pub(crate) fn forget(&self, group: &str, resource: &str) {
        let is_other = |asked: &Asked| asked.group != group || asked.resource != resource;
        self.requests.retain(|(asked, _)| is_other(asked));
        self.durations.retain(is_other);
        self.sizes.retain(is_other);
        self.running.retain(is_other);
    }

    /// A request was authenticated, or not.
    pub(crate) fn authenticated(&self, success: bool) {
        let result = if success { "success" } else { "failure" };
        self.authentications.get_or_create(&Result { result }).inc();
    }

    /// A request was authorized, or not.
    pub(crate) fn authorized(&self, ruling: &Ruling, took: Duration) {
        let result = match &ruling.decision {
            Decision::Allow(_) => "allowed",
            _ if !ruling.errors.is_empty() => "error",
            Decision::Deny(_) => "denied",
            Decision::NoOpinion(_) => "no-opinion",
        };
        self.authorizations.get_or_create(&Result { result }).inc();
        self.authorized_within.get_or_create(&Result { result }).observe(took.as_secs_f64());
    }

    fn in_flight(&self, request: &Seen) -> Option<Gauge> {
        let request_kind = match &*request.info.verb {
            _ if request.runs_on() => return None,
            "get" | "list" | "head" | "options" => "readOnly",
            _ => "mutating",
        };
        Some(self.in_flight.get_or_create_owned(&Kind { request_kind }))
    }
}

impl Observer for Metrics {
    fn received(&self, request: &Seen) {
        if let Some(gauge) = self.in_flight(request) {
            gauge.inc();
        }
        if request.runs_on() {
            self.running.get_while(&Asked::of(request), || is_served(request)).inc();
        }
    }

    fn answered(&self, request: &Seen, outcome: Outcome) {
        if let Some(gauge) = self.in_flight(request) {
            gauge.dec();
        }
        let Outcome::Answered { code, bytes } = outcome else { return };
        let asked = Asked::of(request);
        if !request.runs_on() {
            let took = request.since.elapsed().as_secs_f64();
            self.durations.get_while(&asked, || is_served(request)).observe(took);
            if let Some(bytes) = bytes.filter(|_| matches!(asked.verb, "GET" | "LIST")) {
                self.sizes.get_while(&asked, || is_served(request)).observe(bytes as f64);
            }
        }
        let is_dry = request.info.parameters.get("dryRun").is_some_and(|value| !value.is_empty());
        let answered = Answered { dry_run: if is_dry { "All" } else { "" }, code };
        self.requests.get_while(&(asked, answered), || is_served(request)).inc();
    }

    fn ended(&self, request: &Seen) {
        self.running.get_while(&Asked::of(request), || is_served(request)).dec();
    }
}

/// Whether the resource of a request is still served: requests may take longer than it.
fn is_served(request: &Seen) -> bool {
    let collection = request.endpoint.as_ref().and_then(|endpoint| endpoint.collection.as_ref());
    collection.is_none_or(|collection| !collection.meter.is_gone())
}

impl Asked {
    fn of(request: &Seen) -> Asked {
        let info = &*request.info;
        let component = "apiserver";
        let Some(endpoint) = &request.endpoint else {
            let path = PATHS.iter().find(|path| {
                info.path.strip_prefix(**path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            let subresource = path.filter(|_| !info.is_resource).map(|path| (*path).to_owned());
            return Asked {
                verb: verb_of(info),
                group: String::new(),
                version: String::new(),
                resource: String::new(),
                subresource: subresource.unwrap_or_default(),
                scope: "",
                component,
            };
        };
        let scope = match info {
            info if !info.name.is_empty() || info.verb == "create" => "resource",
            info if !info.namespace.is_empty() => "namespace",
            _ => "cluster",
        };
        Asked {
            verb: verb_of(info),
            group: endpoint.def.group.to_string(),
            version: endpoint.def.version.to_string(),
            resource: endpoint.def.plural.to_string(),
            subresource: info.subresource.clone(),
            scope,
            component,
        }
    }
}

/// The verb as in upstream's metrics: the method, except for lists and connections.
fn verb_of(info: &RequestInfo) -> &'static str {
    if matches!(info.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy") {
        return "CONNECT";
    }
    match &*info.verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        "head" => "HEAD",
        "options" => "OPTIONS",
        _ => "other",
    }
}

/// The number of objects of each resource, counted on request.
pub(crate) struct Objects(pub(crate) Weak<Registry>);

impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Objects")
    }
}

/// Upstream shows only as much of a revision as a float can hold: its last 15 digits.
const REVISIONS_MAX: u64 = 1_000_000_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cluster {
    storage_cluster_id: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stored {
    group: String,
    resource: String,
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::result::Result<(), fmt::Error> {
        let Some(registry) = self.0.upgrade() else { return Ok(()) };
        let (objects, revisions, capacities): (
            Family<Stored, Gauge>,
            Family<Stored, Gauge>,
            Family<Stored, Gauge>,
        ) = Default::default();
        let revision = i64::try_from(registry.hub.revision() % REVISIONS_MAX).unwrap_or(i64::MAX);
        let capacity = i64::try_from(LOG_CHANGES_MAX).unwrap_or(i64::MAX);
        for endpoint in registry.catalogue.present().endpoints() {
            let Some(collection) = &endpoint.collection else { continue };
            let (group, resource) = (endpoint.def.group.to_string(), endpoint.def.plural.to_string());
            let count = i64::try_from(collection.len()).unwrap_or(i64::MAX);
            let stored = Stored { group, resource };
            objects.get_or_create(&stored).set(count);
            revisions.get_or_create(&stored).set(revision);
            capacities.get_or_create(&stored).set(capacity);
        }
        let help = "Stored objects by resource";
        let kind = objects.metric_type();
        objects.encode(encoder.encode_descriptor("apiserver_resource_objects", help, None, kind)?)?;
        let help = "The revision up to which reads are answered from memory";
        let kind = revisions.metric_type();
        let name = "apiserver_watch_cache_resource_version";
        revisions.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        let help = "How many changes the cache keeps for watches";
        capacities.encode(encoder.encode_descriptor("watch_cache_capacity", help, None, kind)?)?;
        let Some(bytes) = registry.hub.store().size_bytes() else { return Ok(()) };
        let sizes: Family<Cluster, Gauge> = Family::default();
        sizes
            .get_or_create(&Cluster { storage_cluster_id: "etcd-0" })
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let help = "Size of the store's files, in bytes";
        sizes.encode(encoder.encode_descriptor("apiserver_storage_size_bytes", help, None, kind)?)
    }
}
