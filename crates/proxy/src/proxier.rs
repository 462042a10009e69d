//! The state of the proxy, and its transactions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hostnet::elements::{Delta, Elements};
use hostnet::nft::{self, NftError};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use semantics::ServiceKey;

use crate::config::ProxyConfig;
use crate::conntrack;
use crate::endpoints::Place;
use crate::health::Check;
use crate::plan::{Memory, Numbers, Plan, is_foreign, plan};
use crate::rules::{self, Family, Front, Networks, NodePorts, Pick, Slot, Target, Value};
use crate::settings;

/// The label of an EndpointSlice that names its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The label of a Node that names its zone.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

#[derive(Debug, Default)]
struct Entry {
    id: u32,
    service: Option<Arc<Service>>,
    /// By name.
    slices: BTreeMap<String, Arc<EndpointSlice>>,
    memory: Memory,
    plan: Plan,
}

/// Names of chains and sets, by family.
type Names = HashSet<(Family, String)>;

/// The kernel's state, except elements.
#[derive(Debug, Default)]
struct Kernel {
    chains: Names,
    sets: Names,
    picks: BTreeSet<(Family, Pick)>,
}

/// The changes since the last transaction, except elements. `None` means removed.
#[derive(Debug, Default)]
struct Pending {
    chains: BTreeMap<(Family, String), Option<Vec<String>>>,
    sets: BTreeMap<(Family, String), Option<i32>>,
    picks: BTreeSet<(Family, Pick)>,
    /// UDP fronts whose flows may lead elsewhere, with the endpoints that are right.
    stale: BTreeMap<Front, BTreeSet<Target>>,
}

/// Keeps the kernel's rules in sync with the given Services and EndpointSlices.
#[derive(Debug)]
pub struct Proxier {
    table: String,
    networks: Networks,
    place: Place,
    services: HashMap<ServiceKey, Entry>,
    /// The service of each slice.
    slices: HashMap<ServiceKey, ServiceKey>,
    dirty: HashSet<ServiceKey>,
    numbers: Numbers,
    elements: Elements<Slot, Value>,
    pending: Pending,
    /// Health checks that are new, different or gone since they were last taken.
    checks: BTreeMap<ServiceKey, Option<Check>>,
    kernel: Kernel,
    /// The kernel's state is unknown: write everything.
    rebuild: bool,
}

impl Proxier {
    /// A proxy without services. The first [`Proxier::sync`] replaces tables that a former one left.
    pub fn new(config: &ProxyConfig) -> Proxier {
        Proxier {
            table: config.table.clone(),
            networks: Networks {
                pods: config.cluster_subnets.clone(),
                services: config.service_subnets.clone(),
                node_ports: NodePorts::new(&config.node_port_addresses.borrow()),
            },
            place: Place { node: config.node_name.clone(), zone: None, families: config.families() },
            services: HashMap::new(),
            slices: HashMap::new(),
            dirty: HashSet::new(),
            numbers: Numbers::default(),
            elements: Elements::default(),
            pending: Pending::default(),
            checks: BTreeMap::new(),
            kernel: Kernel::default(),
            rebuild: true,
        }
    }

    /// Records the new state of a Service; `None` if it is gone.
    pub fn service_changed(&mut self, key: &ServiceKey, service: Option<Arc<Service>>) {
        self.entry(key).service = service;
        self.dirty.insert(key.clone());
    }

    /// Records the new state of an EndpointSlice; `None` if it is gone.
    pub fn endpoint_slice_changed(&mut self, key: &ServiceKey, slice: Option<Arc<EndpointSlice>>) {
        let slice = slice.filter(|slice| !is_foreign(&slice.metadata));
        let labels = slice.as_ref().and_then(|slice| slice.metadata.labels.as_ref());
        let service = labels.and_then(|labels| labels.get(SERVICE_NAME_LABEL));
        let now = service.map(|name| ServiceKey::new(&key.namespace, name));
        let before = match &now {
            Some(service) => self.slices.insert(key.clone(), service.clone()),
            None => self.slices.remove(key),
        };
        if let Some(before) = before.filter(|before| now.as_ref() != Some(before)) {
            self.entry(&before).slices.remove(&*key.name);
            self.dirty.insert(before);
        }
        if let (Some(service), Some(slice)) = (now, slice) {
            self.entry(&service).slices.insert(key.name.to_string(), slice);
            self.dirty.insert(service);
        }
    }

    /// Records the new state of this node, whose zone decides which topology hints apply.
    pub fn node_changed(&mut self, node: Option<&Node>) {
        let labels = node.and_then(|node| node.metadata.labels.as_ref());
        let zone = labels.and_then(|labels| labels.get(ZONE_LABEL)).cloned();
        if self.place.zone != zone {
            self.place.zone = zone;
            self.dirty.extend(self.services.keys().cloned());
        }
    }

    /// Sets the networks that answer node ports from now on; all rules are rewritten for it.
    pub(crate) fn node_ports_changed(&mut self, networks: &[IpNet]) {
        self.networks.node_ports = NodePorts::new(networks);
        self.invalidate();
    }

    /// The health checks of Services that changed since the last call; `None` for a Service without one.
    pub(crate) fn take_checks(&mut self) -> Vec<(ServiceKey, Option<Check>)> {
        std::mem::take(&mut self.checks).into_iter().collect()
    }

    /// Records that the kernel's rules may differ from the written ones: the next [`Proxier::sync`] rewrites
    /// everything.
    pub fn invalidate(&mut self) {
        self.rebuild = true;
    }

    /// Whether the kernel's rules since the last [`Proxier::sync`] refer to one of these endpoints.
    pub(crate) fn leads_to(&self, endpoints: &BTreeSet<SocketAddr>) -> bool {
        let served = self.services.values().filter(|entry| entry.service.is_some());
        let mut targets = served.flat_map(|entry| entry.memory.positions.values()).flatten();
        targets.any(|target| endpoints.contains(&SocketAddr::new(target.address, target.port)))
    }

    /// The tables that it keeps, each family and name in nft's words.
    pub fn tables(&self) -> Vec<(&'static str, &str)> {
        self.place.families.iter().map(|family| (family.nft(), self.table.as_str())).collect()
    }

    /// Brings the kernel up to date in one transaction, and deletes UDP flows to endpoints that are gone.
    ///
    /// # Errors
    /// If the transaction was refused; the kernel then has the previous rules, and the next call rewrites everything.
    pub async fn sync(&mut self) -> Result<(), NftError> {
        self.replan();
        let transaction = self.transaction();
        if !transaction.is_empty()
            && let Err(error) = nft::apply(&transaction).await
        {
            self.rebuild = true;
            return Err(error);
        }
        let stale = self.commit();
        if !stale.is_empty() {
            // The rules are in place; a remaining flow ends at the latest when it has been idle for its timeout.
            let done = tokio::task::spawn_blocking(move || conntrack::end_stale(&stale)).await;
            match done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
                Ok(0) => {}
                Ok(flows) => tracing::debug!(flows, "deleted stale UDP flows"),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot delete stale UDP flows")
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, key: &ServiceKey) -> &mut Entry {
        let numbers = &mut self.numbers;
        self.services.entry(key.clone()).or_insert_with(|| Entry { id: numbers.next(), ..Entry::default() })
    }

    fn replan(&mut self) {
        for key in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.services.get_mut(&key) else { continue };
            let after = match &entry.service {
                Some(service) => {
                    plan(service, &entry.slices, &self.place, &mut entry.memory, &mut self.numbers)
                }
                None => Plan::default(),
            };
            self.elements.replace(entry.id, &entry.plan.elements, &after.elements);
            self.pending.note(&entry.plan, &after);
            if entry.plan.check != after.check {
                self.checks.insert(key.clone(), after.check);
            }
            entry.plan = after;
            if entry.service.is_none() && entry.slices.is_empty() {
                self.services.remove(&key);
            }
        }
    }

    /// The text that brings the kernel to the planned state; empty if it is there.
    fn transaction(&self) -> String {
        let mut text = String::new();
        if self.rebuild {
            self.write_everything(&mut text);
        } else {
            self.write_delta(&mut text);
        }
        text
    }

    fn write_everything(&self, text: &mut String) {
        for family in &self.place.families {
            rules::write_table(text, &self.table, *family, &self.networks);
        }
        let plans = || self.services.values().map(|entry| &entry.plan);
        let sets = plans().flat_map(|plan| plan.sets.iter().map(|(name, seconds)| (name, *seconds)));
        let chains =
            || plans().flat_map(|plan| plan.chains.iter().map(|(name, rules)| (name, rules.as_slice())));
        self.write_sets(text, sets);
        self.write_chains(text, chains);
        let picks = plans().flat_map(|plan| plan.picks.iter().copied()).collect();
        rules::write_picks(text, &self.table, &picks);
        rules::write_elements(text, "add", &self.table, &self.elements.all());
    }

    fn write_delta(&self, text: &mut String) {
        let Pending { chains, sets, picks, .. } = &self.pending;
        self.write_sets(text, sets.iter().filter_map(|(name, seconds)| Some((name, (*seconds)?))));
        self.write_chains(text, || chains.iter().filter_map(|(name, rules)| Some((name, rules.as_deref()?))));
        rules::write_picks(text, &self.table, &(picks - &self.kernel.picks));
        let Delta { delete, add } = self.elements.delta();
        rules::write_elements(text, "delete", &self.table, &delete);
        rules::write_elements(text, "add", &self.table, &add);
        // Nothing refers to these any more; they may still refer to each other.
        let gone =
            chains.iter().filter(|(name, rules)| rules.is_none() && self.kernel.chains.contains(*name));
        for verb in ["flush", "delete"] {
            for ((family, name), _) in gone.clone() {
                let _ = writeln!(text, "{verb} chain {} {} {name}", family.nft(), self.table);
            }
        }
        let gone =
            sets.iter().filter(|(name, seconds)| seconds.is_none() && self.kernel.sets.contains(*name));
        for ((family, name), _) in gone {
            let _ = writeln!(text, "delete set {} {} {name}", family.nft(), self.table);
        }
    }

    fn write_sets<'a>(&self, text: &mut String, sets: impl Iterator<Item = (&'a (Family, String), i32)>) {
        for ((family, name), seconds) in sets {
            let (ip, table) = (family.nft(), &self.table);
            let kind = if *family == Family::V4 { "ipv4_addr" } else { "ipv6_addr" };
            let options = format!("flags dynamic,timeout; timeout {seconds}s;");
            let _ = writeln!(text, "add set {ip} {table} {name} {{ type {kind}; {options} }}");
        }
    }

    fn write_chains<'a, I>(&self, text: &mut String, chains: impl Fn() -> I)
    where
        I: Iterator<Item = (&'a (Family, String), &'a [String])>,
    {
        // All are created first, because they refer to each other.
        for ((family, name), _) in chains() {
            let _ = writeln!(text, "add chain {} {} {name}", family.nft(), self.table);
        }
        for ((family, name), rules) in chains() {
            rules::write_chain(text, &self.table, *family, name, rules);
        }
    }

    /// Records that the kernel has the planned state; returns the UDP fronts that may have stale flows.
    fn commit(&mut self) -> BTreeMap<Front, BTreeSet<Target>> {
        let pending = std::mem::take(&mut self.pending);
        if std::mem::take(&mut self.rebuild) {
            self.kernel = Kernel::default();
            let mut stale = BTreeMap::new();
            for plan in self.services.values().map(|entry| &entry.plan) {
                // While rules missed, or before the first, flows began that nothing translated.
                stale.extend(plan.udp.iter().map(|(front, targets)| (*front, targets.clone())));
                self.kernel.chains.extend(plan.chains.keys().cloned());
                self.kernel.sets.extend(plan.sets.keys().cloned());
                self.kernel.picks.extend(plan.picks.iter().copied());
            }
            stale.extend(pending.stale);
            self.elements.commit();
            return stale;
        } else {
            mark(&mut self.kernel.chains, pending.chains);
            mark(&mut self.kernel.sets, pending.sets);
            self.kernel.picks.extend(pending.picks);
        }
        self.elements.commit();
        pending.stale
    }
}

fn mark<T>(names: &mut Names, changes: BTreeMap<(Family, String), Option<T>>) {
    for (name, state) in changes {
        match state {
            Some(_) => names.insert(name),
            None => names.remove(&name),
        };
    }
}

impl Pending {
    fn note(&mut self, before: &Plan, after: &Plan) {
        difference(&mut self.chains, &before.chains, &after.chains);
        difference(&mut self.sets, &before.sets, &after.sets);
        self.picks.extend(after.picks.iter().copied());
        for (front, targets) in &after.udp {
            let grew = before.udp.get(front).is_some_and(|old| !old.is_empty() && old.is_subset(targets));
            // Flows of a new front date from a time when nothing translated them.
            if !grew {
                self.stale.insert(*front, targets.clone());
            } else if let Some(right) = self.stale.get_mut(front) {
                right.clone_from(targets);
            }
        }
        for front in before.udp.keys().filter(|front| !after.udp.contains_key(front)) {
            self.stale.insert(*front, BTreeSet::new());
        }
    }
}

/// Records in `changes` everything that is new, different or gone.
fn difference<T: Clone + PartialEq>(
    changes: &mut BTreeMap<(Family, String), Option<T>>,
    before: &BTreeMap<(Family, String), T>,
    after: &BTreeMap<(Family, String), T>,
) {
    for (name, state) in after.iter().filter(|(name, state)| before.get(*name) != Some(state)) {
        changes.insert(name.clone(), Some(state.clone()));
    }
    for name in before.keys().filter(|name| !after.contains_key(name)) {
        changes.insert(name.clone(), None);
    }
}

/// Why what a proxy made could not be taken back.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The tables are still there.
    #[error("cannot remove the rules of Services")]
    Rules(#[from] NftError),
    /// The kernel keeps flows as the proxy wanted.
    #[error("cannot put the settings of connection tracking back")]
    Settings(#[source] io::Error),
}

/// Removes the tables of a proxy with this table name, and puts the settings back that it recorded.
///
/// # Errors
/// [`ResetError`]; it can be called again.
pub async fn reset(table: &str, settings_journal: &Path) -> Result<(), ResetError> {
    nft::delete_tables(&[("ip", table), ("ip6", table)]).await?;
    settings::restore(settings_journal).map_err(ResetError::Settings)
}

#[cfg(test)]
mod tests;
