//! The total requests and limits of a pod.
//!
//! Init containers run one after the other, each next to the sidecars before it; containers and sidecars run together.
//! So a pod needs the larger of the maximum during its start and the sum while it runs. Pod-level amounts replace those
//! of its containers, its overhead is added, and while containers are being resized the larger of their current and
//! their desired amounts counts. The rules are those of upstream's `k8s.io/component-helpers/resource`; see KEP-753
//! (sidecars), KEP-1287 (resize) and KEP-2837 (pod level).
//!
//! ```
//! use semantics::{Options, pod_requests};
//! let pod = object::value!({"spec": {
//!     "initContainers": [{"name": "setup", "resources": {"requests": {"cpu": "2"}}}],
//!     "containers": [{"name": "a", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}],
//! }});
//! let requests = pod_requests(&pod, Options::default());
//! assert_eq!(requests.get("cpu").unwrap().milli_value(), 2000);
//! assert_eq!(requests.get("memory").unwrap().to_string(), "1Gi");
//! ```

use object::Quantity;

use crate::{Amounts, Field, View, conditions, pods};

/// Which of a container's amounts are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// `requests`
    Requests,
    /// `limits`
    Limits,
}

impl Amount {
    /// The name of the list.
    pub fn as_str(self) -> &'static str {
        match self {
            Amount::Requests => "requests",
            Amount::Limits => "limits",
        }
    }
}

/// How a pod is summed up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Ignores the pod's status, and so resizes that have not happened yet.
    pub ignores_status: bool,
    /// The assumed amounts of a container without a request for a resource.
    pub missing: &'a [(&'static str, Quantity)],
}

/// Whether amounts of the pod as a whole can be given of a resource.
pub fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

/// The requests of a pod, with its overhead.
pub fn pod_requests<'a>(pod: &'a dyn View, options: Options<'a>) -> Amounts<'a> {
    let spec = pod.field("spec");
    let mut total = total(pod, Amount::Requests, options);
    apply_pod_level(&mut total, pod, Amount::Requests, options);
    total.add(&Amounts::read(spec.field("overhead")));
    total
}

/// The limits of a pod. Its overhead counts where there is a limit to add it to.
pub fn pod_limits<'a>(pod: &'a dyn View, options: Options<'a>) -> Amounts<'a> {
    let mut total = total(pod, Amount::Limits, Options { missing: &[], ..options });
    apply_pod_level(&mut total, pod, Amount::Limits, options);
    for (name, more) in Amounts::read(pod.field("spec").field("overhead")).iter() {
        if let Some(limit) = total.get(name).filter(|limit| !limit.is_zero()) {
            let mut limit = limit.clone();
            limit += more;
            total.set(name, limit);
        }
    }
    total
}

/// The sum over the containers in a pod's spec, without its overhead and pod-level amounts.
pub fn container_totals<'a>(spec: Field<'a>, which: Amount) -> Amounts<'a> {
    aggregate(spec, |container| Amounts::read(container.field("resources").field(which.as_str())))
}

/// The needs of the containers: according to their spec and, while they are resized, to their actual and allocated
/// amounts.
fn total<'a>(pod: &'a dyn View, which: Amount, options: Options<'a>) -> Amounts<'a> {
    let (spec, status) = (pod.field("spec"), pod.field("status"));
    let wanted = |container: Field<'a>| Amounts::read(container.field("resources").field(which.as_str()));
    let by_spec = aggregate(spec, |container| with_missing(wanted(container), options));
    if options.ignores_status || !tells_resources(status) {
        return by_spec;
    }
    let infeasible = resize_is_infeasible(pod);
    let unless_told = |container| if infeasible { Amounts::default() } else { wanted(container) };
    let running = |container: Field<'a>, status: Field<'a>| {
        let running = status.field("resources").field(which.as_str());
        let allocated = status.field("allocatedResources");
        match which {
            _ if !running.is_absent() => Amounts::read(running),
            Amount::Requests if !allocated.is_absent() => Amounts::read(allocated),
            _ => unless_told(container),
        }
    };
    let allocated = |container: Field<'a>, status: Field<'a>| match status.field("allocatedResources") {
        Field::Absent => unless_told(container),
        list => Amounts::read(list),
    };
    let by_status = |amounts: &dyn Fn(Field<'a>, Field<'a>) -> Amounts<'a>| {
        aggregate(spec, |container| with_missing(amounts(container, status_of(status, container)), options))
    };
    let mut total = match whole_by_status(status, which) {
        Some(whole) => whole,
        None => {
            let mut total = by_status(&running);
            if which == Amount::Requests {
                total.raise_to(&by_status(&allocated));
            }
            total
        }
    };
    if !infeasible {
        total.raise_to(&by_spec);
    }
    total
}

fn with_missing<'a>(mut amounts: Amounts<'a>, options: Options<'a>) -> Amounts<'a> {
    for (name, amount) in options.missing {
        if amounts.get(name).is_none() {
            amounts.set(name, amount.clone());
        }
    }
    amounts
}

/// The sums over all containers, where the status of the pod has them ready.
fn whole_by_status<'a>(status: Field<'a>, which: Amount) -> Option<Amounts<'a>> {
    let running = status.field("resources").field(which.as_str());
    let allocated = status.field("allocatedResources");
    if running.is_absent() || (which == Amount::Requests && allocated.is_absent()) {
        return None;
    }
    let mut whole = Amounts::read(running);
    if which == Amount::Requests {
        whole.raise_to(&Amounts::read(allocated));
    }
    Some(whole)
}

/// Whether a status mentions resources: most never do.
fn tells_resources(status: Field<'_>) -> bool {
    let tells = |part: Field<'_>| {
        !part.field("resources").is_absent() || !part.field("allocatedResources").is_absent()
    };
    let of = |list: &str| status.field(list).items().any(tells);
    tells(status) || of("containerStatuses") || of("initContainerStatuses")
}

fn status_of<'a>(status: Field<'a>, container: Field<'_>) -> Field<'a> {
    let name = container.field("name").text();
    let all = ["containerStatuses", "initContainerStatuses"].into_iter();
    let mut all = all.flat_map(move |list| status.field(list).items());
    all.find(|status| status.field("name").text() == name).unwrap_or_default()
}

fn resize_is_infeasible(pod: &dyn View) -> bool {
    conditions::of(pod, "PodResizePending").field("reason").text() == "Infeasible"
}

/// The larger of the maximum during a pod's start and the sum while it runs.
fn aggregate<'a>(spec: Field<'a>, amounts: impl Fn(Field<'a>) -> Amounts<'a>) -> Amounts<'a> {
    let mut running = Amounts::default();
    for container in spec.field("containers").items() {
        running.add(&amounts(container));
    }
    let (mut sidecars, mut starting) = (Amounts::default(), Amounts::default());
    for container in spec.field("initContainers").items() {
        let mut needed = amounts(container);
        if pods::is_sidecar(&container) {
            running.add(&needed);
            sidecars.add(&needed);
            needed.clone_from(&sidecars);
        } else {
            needed.add(&sidecars);
        }
        starting.raise_to(&needed);
    }
    running.raise_to(&starting);
    running
}

/// Amounts of the pod as a whole replace the sums of its containers.
fn apply_pod_level<'a>(total: &mut Amounts<'a>, pod: &'a dyn View, which: Amount, options: Options<'_>) {
    let given = pod.field("spec").field("resources").field(which.as_str());
    let mut whole = Amounts::read(given);
    let status = pod.field("status");
    let running = status.field("resources");
    if !options.ignores_status && !given.is_empty() && !running.is_absent() {
        let mut effective = Amounts::read(running.field(which.as_str()));
        if which == Amount::Requests {
            effective.raise_to(&Amounts::read(status.field("allocatedResources")));
        }
        if !resize_is_infeasible(pod) {
            effective.raise_to(&whole);
        }
        whole = effective;
    }
    total.replace(&whole.only(is_pod_level));
}
