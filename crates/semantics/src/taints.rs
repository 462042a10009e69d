//! Taints of nodes and the tolerations of pods for them.
//!
//! ```
//! use semantics::{Toleration, taints, tolerations};
//! let node = object::value!({"spec": {"taints": [{"key": "gpu", "value": "a100", "effect": "NoSchedule"}]}});
//! let pod = object::value!({"spec": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}});
//! let (taints, tolerations) = (taints(&node), tolerations(&pod));
//! assert!(taints.iter().all(|taint| Toleration::any_tolerates(&tolerations, taint)));
//! ```

use std::fmt;

use crate::{Field, View};

/// The effect of a taint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// New pods stay away.
    NoSchedule,
    /// New pods stay away if they can.
    PreferNoSchedule,
    /// New pods stay away, and running ones leave.
    NoExecute,
    /// One that this version does not know; it does nothing.
    Other(Box<str>),
}

impl Effect {
    /// The name in the API.
    pub fn as_str(&self) -> &str {
        match self {
            Effect::NoSchedule => "NoSchedule",
            Effect::PreferNoSchedule => "PreferNoSchedule",
            Effect::NoExecute => "NoExecute",
            Effect::Other(name) => name,
        }
    }

    /// Whether new pods must stay away.
    pub fn forbids_scheduling(&self) -> bool {
        matches!(self, Effect::NoSchedule | Effect::NoExecute)
    }
}

impl From<&str> for Effect {
    fn from(name: &str) -> Effect {
        match name {
            "NoSchedule" => Effect::NoSchedule,
            "PreferNoSchedule" => Effect::PreferNoSchedule,
            "NoExecute" => Effect::NoExecute,
            other => Effect::Other(other.into()),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A taint. Its time is left out: two taints that differ in nothing else are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: Box<str>,
    /// Its value, perhaps empty.
    pub value: Box<str>,
    /// Its effect.
    pub effect: Effect,
}

impl Taint {
    /// A taint without a value.
    pub fn new(key: &str, effect: Effect) -> Taint {
        Taint { key: key.into(), value: "".into(), effect }
    }

    /// Reads one.
    pub fn read(of: &dyn View) -> Taint {
        Taint {
            key: of.field("key").text().into(),
            value: of.field("value").text().into(),
            effect: of.field("effect").text().into(),
        }
    }
}

/// The taints of a node.
pub fn taints(node: &dyn View) -> Vec<Taint> {
    node.field("spec").field("taints").items().map(|taint| Taint::read(&taint)).collect()
}

/// How a toleration compares values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Exists,
    /// Numbers, see KEP-5471.
    Less,
    /// Numbers, see KEP-5471.
    Greater,
    /// An operator that this version does not know: nothing is tolerated.
    Never,
}

/// A toleration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    /// Empty: of taints with any key.
    key: Box<str>,
    comparison: Comparison,
    value: Box<str>,
    /// `None`: of taints with any effect.
    effect: Option<Effect>,
    seconds: Option<i64>,
}

impl Toleration {
    /// Reads one.
    pub fn read(of: &dyn View) -> Toleration {
        Toleration {
            key: of.field("key").text().into(),
            comparison: match of.field("operator").text() {
                "" | "Equal" => Comparison::Equal,
                "Exists" => Comparison::Exists,
                "Lt" => Comparison::Less,
                "Gt" => Comparison::Greater,
                _ => Comparison::Never,
            },
            value: of.field("value").text().into(),
            effect: of.field("effect").as_text().filter(|effect| !effect.is_empty()).map(Effect::from),
            seconds: of.field("tolerationSeconds").as_integer(),
        }
    }

    /// One of a taint with this key, whatever its value.
    pub fn of_key(key: &str, effect: Effect) -> Toleration {
        Toleration {
            key: key.into(),
            comparison: Comparison::Exists,
            value: "".into(),
            effect: Some(effect),
            seconds: None,
        }
    }

    /// For how long a pod may stay, in seconds, where the taint is `NoExecute`; `None` for an unlimited time.
    pub fn seconds(&self) -> Option<i64> {
        self.seconds
    }

    /// Whether it covers a taint. An empty key or effect covers all.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        let compare = |holds: fn(i64, i64) -> bool| match (taint.value.parse(), self.value.parse()) {
            (Ok(found), Ok(wanted)) => holds(found, wanted),
            _ => false,
        };
        self.covers(&taint.key, &taint.effect)
            && match self.comparison {
                Comparison::Equal => self.value == taint.value,
                Comparison::Exists => true,
                Comparison::Less => compare(|found, wanted| found < wanted),
                Comparison::Greater => compare(|found, wanted| found > wanted),
                Comparison::Never => false,
            }
    }

    /// Whether it applies to taints of this key and effect, whatever their value.
    pub fn covers(&self, key: &str, effect: &Effect) -> bool {
        (self.key.is_empty() || &*self.key == key) && self.effect.as_ref().is_none_or(|own| own == effect)
    }

    /// Whether one of these covers a taint.
    pub fn any_tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
        tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }
}

/// The tolerations of a pod.
pub fn tolerations(pod: &dyn View) -> Vec<Toleration> {
    let listed: Field<'_> = pod.field("spec").field("tolerations");
    listed.items().map(|toleration| Toleration::read(&toleration)).collect()
}
