//! What objects use of the resources that quotas limit, and which objects a quota is for (upstream:
//! `pkg/quota/v1/evaluator/core`).
//!
//! | module | defines |
//! | --- | --- |
//! | [`list`](ResourceList) | amounts by the name of the resource |
//! | [`scope`](Scope) | which objects a quota is for |
//! | `pods`, `services`, `claims` | what objects of one kind use |
//!
//! [`Measure`] brings them together: it is how the objects of one API resource are counted. Of each name that a quota
//! may limit, exactly one API resource is counted ([`Measure::of_name`]).
//!
//! ```
//! use object::value;
//! use semantics::quota::Measure;
//! let pods = Measure::of("", "pods").unwrap();
//! let pod = value!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]}});
//! let usage = pods.usage(&pod, jiff::Timestamp::UNIX_EPOCH);
//! assert_eq!(usage.to_string(), "count/pods=1,cpu=1,pods=1,requests.cpu=1");
//! assert!(pods.measures("limits.memory") && !pods.measures("services"));
//! ```

use jiff::Timestamp;
use object::{Quantity, QuantityFormat};

use crate::View;

mod claims;
mod list;
mod pods;
mod scope;
mod services;

pub use list::ResourceList;
pub use pods::is_charged;
pub use scope::{Scope, scopes};

/// The beginning of the names that count objects of any resource.
const COUNT: &str = "count/";
/// Resources of the core group whose objects are also counted under their plural name.
const LEGACY: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];
/// What no quota counts: what is not stored, and events.
const IGNORED: [(&str, &str); 12] = [
    ("", "bindings"),
    ("", "componentstatuses"),
    ("", "events"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("events.k8s.io", "events"),
    ("metrics.k8s.io", "nodes"),
    ("metrics.k8s.io", "pods"),
];

/// Whether the name is one of Kubernetes itself.
pub fn is_native(resource: &str) -> bool {
    !resource.contains('/') || resource.contains("kubernetes.io/")
}

/// Whether the resource is an extended one, which nodes advertise under the name of a vendor.
pub fn is_extended(resource: &str) -> bool {
    !is_native(resource)
        && !resource.starts_with("requests.")
        && object::names::is_qualified_name(&format!("requests.{resource}")).is_empty()
}

/// How the objects of an API resource are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measure<'a> {
    group: &'a str,
    plural: &'a str,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Pods,
    Services,
    VolumeClaims,
    DeviceClaims,
    Number,
}

impl<'a> Measure<'a> {
    /// The measure of an API resource; `None` if its objects are never counted.
    pub fn of(group: &'a str, plural: &'a str) -> Option<Measure<'a>> {
        if IGNORED.contains(&(group, plural)) {
            return None;
        }
        let rule = match (group, plural) {
            ("", "pods") => Rule::Pods,
            ("", "services") => Rule::Services,
            ("", "persistentvolumeclaims") => Rule::VolumeClaims,
            (claims::DEVICE_GROUP, "resourceclaims") => Rule::DeviceClaims,
            _ => Rule::Number,
        };
        Some(Measure { group, plural, rule })
    }

    /// The measure behind the name of a resource in a quota; `None` if nothing counts for it.
    pub fn of_name(name: &'a str) -> Option<Measure<'a>> {
        if let Some(counted) = name.strip_prefix(COUNT) {
            // A plural name has no dot.
            let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
            return Measure::of(group, plural);
        }
        if LEGACY.contains(&name) {
            return Measure::of("", name);
        }
        let special = [
            ("", "persistentvolumeclaims"),
            (claims::DEVICE_GROUP, "resourceclaims"),
            ("", "services"),
            ("", "pods"),
        ];
        let measures = special.into_iter().filter_map(|(group, plural)| Measure::of(group, plural));
        measures.into_iter().find(|measure| measure.measures(name))
    }

    /// The API group of the counted objects; empty for the core group.
    pub fn group(self) -> &'a str {
        self.group
    }

    /// The plural name of the counted objects.
    pub fn plural(self) -> &'a str {
        self.plural
    }

    /// Whether these objects use a resource of this name in quotas.
    pub fn measures(self, name: &str) -> bool {
        if let Some(counted) = name.strip_prefix(COUNT) {
            return match counted.split_once('.') {
                Some((plural, group)) => plural == self.plural && group == self.group,
                None => counted == self.plural && self.group.is_empty(),
            };
        }
        match self.rule {
            Rule::Pods => pods::measures(name),
            Rule::Services => services::measures(name),
            Rule::VolumeClaims => claims::measures_volumes(name),
            Rule::DeviceClaims => claims::measures_devices(name),
            Rule::Number => self.group.is_empty() && self.plural == name && LEGACY.contains(&name),
        }
    }

    /// Whether objects are only counted, whatever is in them.
    pub fn is_number(self) -> bool {
        self.rule == Rule::Number
    }

    /// What an object uses. `now` tells whether a pod that is being deleted is overdue.
    pub fn usage(self, object: &dyn View, now: Timestamp) -> ResourceList {
        let mut usage = ResourceList::default();
        match self.rule {
            Rule::Pods => pods::add_usage(&mut usage, object, now),
            Rule::Services => services::add_usage(&mut usage, object),
            Rule::VolumeClaims => claims::add_volumes(&mut usage, object),
            Rule::DeviceClaims => claims::add_devices(&mut usage, object),
            Rule::Number if self.measures(self.plural) => usage.set(self.plural, one()),
            Rule::Number => {}
        }
        let mut name = format!("{COUNT}{}", self.plural);
        if !self.group.is_empty() {
            name.push('.');
            name.push_str(self.group);
        }
        usage.set(name, one());
        usage
    }

    /// Whether an object is in a scope. Only pods and claims of volumes can be in any.
    pub fn is_in(self, scope: &Scope, object: &dyn View) -> bool {
        match self.rule {
            Rule::Pods => scope.has_pod(object),
            Rule::VolumeClaims => scope.has_claim(object),
            Rule::Services | Rule::DeviceClaims | Rule::Number => false,
        }
    }

    /// The resources among `required` that an object must specify and does not, as upstream says it; `None` if it
    /// specifies all. Only pods must.
    pub fn unspecified(self, required: &[&str], object: &dyn View) -> Option<String> {
        if self.rule == Rule::Pods { pods::unspecified(required, object) } else { None }
    }
}

fn one() -> Quantity {
    number(1)
}

fn number(number: i64) -> Quantity {
    Quantity::new(number, QuantityFormat::DecimalSi)
}
