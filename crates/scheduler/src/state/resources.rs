//! Amounts of resources as integers.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use semantics::{Amounts, Field, View};

/// Amounts of resources. All arithmetic saturates: amounts come from users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU, in thousandths of a core.
    pub cpu_milli: i64,
    /// Memory, in bytes.
    pub memory: i64,
    /// Local storage, in bytes.
    pub ephemeral_storage: i64,
    /// Everything else (extended resources, huge pages), sorted by name.
    pub scalar: Vec<(Arc<str>, i64)>,
}

impl Resources {
    /// The amounts of a resource list. An amount that cannot be read, which validation refuses, counts as zero.
    pub fn from_list(list: Option<&BTreeMap<String, Quantity>>) -> Resources {
        Resources::from_amounts(&Amounts::read(list.map_or(Field::Absent, View::as_field)))
    }

    /// Exact amounts in whole units. `pods` is not requested and is left out.
    pub fn from_amounts(amounts: &Amounts<'_>) -> Resources {
        let mut resources = Resources::default();
        for (name, quantity) in amounts.iter() {
            match name {
                "cpu" => resources.cpu_milli = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity.value(),
                "pods" => {}
                // The list is sorted already.
                name => resources.scalar.push((name.into(), quantity.value())),
            }
        }
        resources
    }

    /// The amount of a resource without its own field; 0 if there is none.
    pub fn scalar(&self, name: &str) -> i64 {
        self.scalar.iter().find(|(found, _)| &**found == name).map_or(0, |(_, amount)| *amount)
    }

    /// The amount of any resource; CPU in thousandths of a core.
    pub fn amount(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu_milli,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            other => self.scalar(other),
        }
    }

    /// Whether every node has the resource: it has its own field here.
    pub fn is_basic(name: &str) -> bool {
        matches!(name, "cpu" | "memory" | "ephemeral-storage")
    }

    /// Adds amounts.
    pub fn add(&mut self, other: &Resources) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes amounts away.
    pub fn subtract(&mut self, other: &Resources) {
        self.combine(other, i64::saturating_sub);
        self.scalar.retain(|(_, amount)| *amount != 0);
    }

    /// Raises each amount to that of `other`.
    pub fn raise_to(&mut self, other: &Resources) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Resources, with: fn(i64, i64) -> i64) {
        self.cpu_milli = with(self.cpu_milli, other.cpu_milli);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalar {
            match self.scalar.binary_search_by(|(found, _)| found.cmp(name)) {
                Ok(at) => self.scalar[at].1 = with(self.scalar[at].1, *amount),
                Err(at) => self.scalar.insert(at, (Arc::clone(name), with(0, *amount))),
            }
        }
    }

    /// Whether the amounts are the same; one that is not listed is 0.
    pub fn same_as(&self, other: &Resources) -> bool {
        let scalar = |of: &Resources| -> Vec<(Arc<str>, i64)> {
            of.scalar.iter().filter(|(_, amount)| *amount != 0).cloned().collect()
        };
        self.cpu_milli == other.cpu_milli
            && self.memory == other.memory
            && self.ephemeral_storage == other.ephemeral_storage
            && scalar(self) == scalar(other)
    }

    /// Whether an amount is saturated, so that a subtraction would be wrong.
    pub fn is_saturated(&self) -> bool {
        let fixed = [self.cpu_milli, self.memory, self.ephemeral_storage];
        fixed
            .into_iter()
            .chain(self.scalar.iter().map(|(_, amount)| *amount))
            .any(|amount| amount == i64::MAX)
    }

    /// Whether nothing at all is asked for.
    pub fn is_zero(&self) -> bool {
        *self == Resources::default() || {
            let Resources { cpu_milli, memory, ephemeral_storage, scalar } = self;
            *cpu_milli == 0
                && *memory == 0
                && *ephemeral_storage == 0
                && scalar.iter().all(|(_, amount)| *amount == 0)
        }
    }
}
