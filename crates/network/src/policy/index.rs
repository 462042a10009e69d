//! The effect of the cluster's policies on the pods of this node, updated change by change.
//!
//! Only policies that select a pod of this node have chains, and only the scopes that those name have sets. A change of
//! a pod costs the policies and scopes of its namespace; a change of a policy costs the pods of this node in its
//! namespace, and the pods in the namespaces of scopes that are new. Nothing costs the product of all pods and all
//! policies.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use client::LeanPod;
use hostnet::elements::Elements;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use object::ObjectKey;

use super::compile::{Namespaces, Numbers, Policy, Scope};
use super::pods::{self, Facts, Labels};
use super::rules::{Chain, Direction, Rule, SetId, Slot, Value, Verdict};
use super::shared::{Counter, Shared};
use super::tracked::Tracked;
use crate::host_port::Protocol;

mod sets;

/// The name of a port of one protocol.
type PortName = (Protocol, String);
/// The policies of a pod in one direction.
type GroupKey = (Direction, Vec<u32>);

/// A pod with addresses: one of another node, or a sandbox of this one.
#[derive(Debug)]
struct Member {
    key: ObjectKey,
    uid: String,
    /// Whether it is on this node: policies are enforced here.
    local: bool,
    facts: Facts,
    addresses: Vec<IpAddr>,
    /// The scopes that it belongs to.
    scopes: BTreeSet<u32>,
    /// The policies that select it; none for pods of other nodes.
    policies: BTreeSet<u32>,
    /// The group that decides, by direction; `None` if the pod is not isolated.
    groups: [Option<u32>; 2],
}

/// The index's data about one namespace.
#[derive(Debug, Default)]
struct Space {
    /// `None` until the namespace is known; no selector matches it then.
    labels: Option<Labels>,
    members: BTreeSet<u32>,
    policies: BTreeSet<u32>,
    /// Scopes of this namespace only.
    own: BTreeSet<u32>,
    /// Scopes of many namespaces that match this one.
    matching: BTreeSet<u32>,
}

#[derive(Debug)]
struct Entry {
    key: ObjectKey,
    policy: Policy,
    /// The pods of this node that it selects. While there are any, it has chains.
    pods: BTreeSet<u32>,
    chains: Vec<Chain>,
}

/// The index, which includes the desired state of the kernel.
#[derive(Debug)]
pub(crate) struct Index {
    node: String,
    pods: HashMap<ObjectKey, Arc<LeanPod>>,
    spaces: HashMap<String, Space>,
    members: HashMap<u32, Member>,
    /// Members of other nodes.
    remote: HashMap<ObjectKey, u32>,
    /// Members of this node, by sandbox.
    sandboxes: BTreeMap<String, u32>,
    policies: HashMap<u32, Entry>,
    policy_numbers: HashMap<ObjectKey, u32>,
    scopes: Shared<String>,
    /// The scopes in use, by number.
    scope_of: HashMap<u32, Scope>,
    /// The scopes of many namespaces.
    wide: BTreeSet<u32>,
    port_names: Shared<PortName>,
    groups: Shared<GroupKey>,
    group_of: HashMap<u32, GroupKey>,
    counter: Counter,
    pub(crate) chains: Tracked<Chain, Vec<Rule>>,
    pub(crate) sets: Tracked<SetId, ()>,
    pub(crate) elements: Elements<Slot, Value>,
}

impl Numbers for Index {
    fn scope(&self, scope: &Scope) -> u32 {
        self.scopes.number(&scope.to_string()).expect("scopes are acquired before chains are written")
    }

    fn port_name(&self, protocol: Protocol, name: &str) -> u32 {
        let number = self.port_names.number(&(protocol, name.to_owned()));
        number.expect("names of ports are acquired before chains are written")
    }
}

impl Index {
    /// An empty index for this node.
    pub(crate) fn new(node: &str) -> Index {
        Index {
            node: node.to_owned(),
            pods: HashMap::new(),
            spaces: HashMap::new(),
            members: HashMap::new(),
            remote: HashMap::new(),
            sandboxes: BTreeMap::new(),
            policies: HashMap::new(),
            policy_numbers: HashMap::new(),
            scopes: Shared::default(),
            scope_of: HashMap::new(),
            wide: BTreeSet::new(),
            port_names: Shared::default(),
            groups: Shared::default(),
            group_of: HashMap::new(),
            counter: Counter::default(),
            chains: Tracked::default(),
            sets: Tracked::default(),
            elements: Elements::default(),
        }
    }

    /// Records the new state of a pod; `None` if it is gone. Sandboxes of a deleted pod keep its last state.
    pub(crate) fn pod_changed(&mut self, key: &ObjectKey, pod: Option<Arc<LeanPod>>) {
        let addresses = pod.as_ref().map(|pod| pods::peer_addresses(pod, &self.node)).unwrap_or_default();
        let facts = pod.as_ref().map(|pod| Facts::of(pod)).unwrap_or_default();
        let uid = pod.as_ref().map(|pod| pod.metadata.uid.to_string()).unwrap_or_default();
        match pod {
            Some(pod) => self.pods.insert(key.clone(), pod),
            None => self.pods.remove(key),
        };
        let of_pod = self.sandboxes.values().filter(|id| {
            let member = &self.members[*id];
            member.key == *key && member.uid == uid
        });
        for id in of_pod.copied().collect::<Vec<u32>>() {
            let addresses = self.members[&id].addresses.clone();
            self.place(id, key, &uid, facts.clone(), addresses);
        }
        match self.remote.get(key).copied() {
            Some(id) if addresses.is_empty() => {
                self.remote.remove(key);
                self.displace(id);
            }
            Some(id) => self.place(id, key, &uid, facts, addresses),
            None if addresses.is_empty() => {}
            None => {
                let id = self.counter.next();
                self.remote.insert(key.clone(), id);
                self.place(id, key, &uid, facts, addresses);
            }
        }
    }

    /// The labels and ports of a pod, if it is known under this UID.
    pub(crate) fn facts(&self, key: &ObjectKey, uid: &str) -> Option<Facts> {
        let pod = self.pods.get(key).filter(|pod| pod.metadata.uid.as_str() == uid);
        pod.map(|pod| Facts::of(pod))
    }

    /// The known pods, in no order.
    pub(crate) fn known_pods(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<LeanPod>)> {
        self.pods.iter()
    }

    /// Records that a sandbox of this node belongs to a pod and has these addresses.
    pub(crate) fn attach(
        &mut self,
        sandbox: &str,
        key: &ObjectKey,
        uid: &str,
        facts: Facts,
        addresses: &[IpAddr],
    ) {
        let id = match self.sandboxes.get(sandbox) {
            Some(id) => *id,
            None => self.counter.next(),
        };
        self.sandboxes.insert(sandbox.to_owned(), id);
        self.place(id, key, uid, facts, addresses.to_vec());
    }

    /// Records that a sandbox is gone.
    pub(crate) fn detach(&mut self, sandbox: &str) {
        if let Some(id) = self.sandboxes.remove(sandbox) {
            self.displace(id);
        }
    }

    /// Records the labels of a namespace; `None` if it is gone.
    pub(crate) fn namespace_changed(&mut self, name: &str, labels: Option<Labels>) {
        let space = self.spaces.entry(name.to_owned()).or_default();
        space.labels = labels;
        let matches = |id: &u32| {
            matches!((&self.scope_of[id].namespaces, &space.labels),
            (Namespaces::Matching(selector), Some(labels)) if selector.matches(labels))
        };
        let now: BTreeSet<u32> = self.wide.iter().copied().filter(matches).collect();
        let before = std::mem::replace(&mut space.matching, now.clone());
        let members: Vec<u32> = space.members.iter().copied().collect();
        for scope in before.symmetric_difference(&now) {
            for member in &members {
                self.update_membership(*member, *scope);
            }
        }
        self.forget_empty(name);
    }

    /// Records the new state of a policy; `None` if it is gone.
    pub(crate) fn policy_changed(&mut self, key: &ObjectKey, policy: Option<&NetworkPolicy>) {
        let number = self.policy_numbers.get(key).copied();
        let Some(policy) = policy.map(Policy::read) else {
            if let Some(number) = number {
                self.policy_removed(number);
            }
            return;
        };
        let number = number.unwrap_or_else(|| self.counter.next());
        let before = self.policies.remove(&number);
        if before.as_ref().is_some_and(|entry| entry.policy == policy) {
            self.policies.extend(before.map(|entry| (number, entry)));
            return;
        }
        self.policy_numbers.insert(key.clone(), number);
        let space = self.spaces.entry(key.namespace().to_owned()).or_default();
        space.policies.insert(number);
        let members = space.members.iter().copied();
        let selected = members.filter(|id| {
            let member = &self.members[id];
            member.local && policy.pods.matches(&member.facts.labels)
        });
        let pods: BTreeSet<u32> = selected.collect();
        let mut touched = pods.clone();
        let mut entry = Entry { key: key.clone(), policy, pods, chains: Vec::new() };
        // The new names first, so that shared parts are not removed and added again.
        if !entry.pods.is_empty() {
            self.open(number, &mut entry);
        }
        if let Some(before) = before {
            self.close(&before, &entry.chains);
            touched.extend(before.pods);
        }
        for id in &touched {
            let member = self.members.get_mut(id).expect("policies select members");
            if entry.pods.contains(id) {
                member.policies.insert(number);
            } else {
                member.policies.remove(&number);
            }
        }
        self.policies.insert(number, entry);
        touched.into_iter().for_each(|id| self.regroup(id));
    }

    fn policy_removed(&mut self, number: u32) {
        let Some(entry) = self.policies.remove(&number) else { return };
        self.policy_numbers.remove(&entry.key);
        self.close(&entry, &[]);
        if let Some(space) = self.spaces.get_mut(entry.key.namespace()) {
            space.policies.remove(&number);
        }
        for id in &entry.pods {
            self.members.get_mut(id).expect("policies select members").policies.remove(&number);
            self.regroup(*id);
        }
        self.forget_empty(entry.key.namespace());
    }

    /// Sets up the chains and sets of a policy that selects a pod of this node.
    fn open(&mut self, number: u32, entry: &mut Entry) {
        for scope in entry.policy.scopes() {
            self.acquire_scope(scope);
        }
        for (protocol, name) in entry.policy.port_names() {
            self.acquire_port_name(&(protocol, name.to_owned()));
        }
        for (chain, rules) in entry.policy.chains(number, self) {
            self.chains.put(chain, rules);
            entry.chains.push(chain);
        }
    }

    /// Reverts [`Index::open`], except for `kept` chains.
    fn close(&mut self, entry: &Entry, kept: &[Chain]) {
        if entry.pods.is_empty() {
            return;
        }
        for chain in entry.chains.iter().filter(|chain| !kept.contains(chain)) {
            self.chains.remove(*chain);
        }
        for scope in entry.policy.scopes() {
            self.release_scope(scope);
        }
        for (protocol, name) in entry.policy.port_names() {
            self.release_port_name(&(protocol, name.to_owned()));
        }
    }

    /// Sets a member to these arguments, whether it is new or known.
    fn place(&mut self, id: u32, key: &ObjectKey, uid: &str, facts: Facts, addresses: Vec<IpAddr>) {
        let local = self.remote.get(key) != Some(&id);
        let same = |m: &Member| m.uid == uid && m.facts == facts && m.addresses == addresses && m.key == *key;
        if self.members.get(&id).is_some_and(same) {
            return;
        }
        let former = self.members.remove(&id);
        let before = former.as_ref().map(|member| self.slots(member)).unwrap_or_default();
        let (policies, groups) = former.map_or((BTreeSet::new(), [None; 2]), |m| (m.policies, m.groups));
        let space = self.spaces.entry(key.namespace().to_owned()).or_default();
        space.members.insert(id);
        let in_reach = space.own.iter().chain(&space.matching).copied();
        let scopes = in_reach.filter(|scope| self.scope_of[scope].pods.matches(&facts.labels)).collect();
        let (key, uid) = (key.clone(), uid.to_owned());
        let member = Member { key, uid, local, facts, addresses, scopes, policies, groups };
        self.elements.replace(id, &before, &self.slots(&member));
        self.members.insert(id, member);
        if local {
            self.reselect(id);
        }
    }

    fn displace(&mut self, id: u32) {
        let Some(member) = self.members.get(&id) else { return };
        let namespace = member.key.namespace().to_owned();
        for number in member.policies.clone() {
            self.deselect(number, id);
        }
        self.regroup(id);
        if let Some(member) = self.members.remove(&id) {
            self.elements.replace(id, &self.slots(&member), &[]);
        }
        if let Some(space) = self.spaces.get_mut(&namespace) {
            space.members.remove(&id);
        }
        self.forget_empty(&namespace);
    }

    /// Everything that a member has in sets and maps.
    fn slots(&self, member: &Member) -> Vec<(Slot, Value)> {
        let mut slots = Vec::new();
        for address in &member.addresses {
            if member.local {
                slots.push((Slot::Own(*address), Value::Member));
            }
            for direction in Direction::BOTH {
                let group = member.groups[direction.index()];
                slots.extend(group.map(|group| (Slot::Isolated(direction, *address), Value::Group(group))));
            }
            slots.extend(member.scopes.iter().map(|scope| (Slot::Peer(*scope, *address), Value::Member)));
            for (name, port) in &member.facts.ports {
                let number = self.port_names.number(name);
                slots.extend(number.map(|number| (Slot::Port(number, *address, *port), Value::Member)));
            }
        }
        slots
    }

    /// Finds the policies that select a pod of this node, after its labels changed.
    fn reselect(&mut self, id: u32) {
        let member = &self.members[&id];
        let of_namespace = self.spaces[member.key.namespace()].policies.iter().copied();
        let selected = of_namespace.filter(|n| self.policies[n].policy.pods.matches(&member.facts.labels));
        let now: BTreeSet<u32> = selected.collect();
        let before = member.policies.clone();
        for number in now.difference(&before) {
            let mut entry = self.policies.remove(number).expect("the namespace's policies exist");
            if entry.pods.is_empty() {
                self.open(*number, &mut entry);
            }
            entry.pods.insert(id);
            self.policies.insert(*number, entry);
        }
        for number in before.difference(&now) {
            self.deselect(*number, id);
        }
        self.members.get_mut(&id).expect("looked up above").policies = now;
        self.regroup(id);
    }

    fn deselect(&mut self, number: u32, id: u32) {
        if let Some(member) = self.members.get_mut(&id) {
            member.policies.remove(&number);
        }
        let Some(mut entry) = self.policies.remove(&number) else { return };
        if entry.pods.len() == 1 && entry.pods.contains(&id) {
            self.close(&entry, &[]);
            entry.chains.clear();
        }
        entry.pods.remove(&id);
        self.policies.insert(number, entry);
    }

    /// Brings the groups of a pod of this node up to date with its policies.
    fn regroup(&mut self, id: u32) {
        for direction in Direction::BOTH {
            let member = &self.members[&id];
            let says = |number: &u32| self.policies[number].policy.rules[direction.index()].is_some();
            let policies: Vec<u32> = member.policies.iter().copied().filter(says).collect();
            let before = member.groups[direction.index()];
            if before.map(|group| &self.group_of[&group].1) == Some(&policies) {
                continue;
            }
            let now = (!policies.is_empty()).then(|| self.acquire_group((direction, policies)));
            if let Some(before) = before {
                self.release_group(before);
            }
            let member = self.members.get_mut(&id).expect("looked up above");
            member.groups[direction.index()] = now;
            for address in &member.addresses {
                let slot = Slot::Isolated(direction, *address);
                match now {
                    Some(group) => self.elements.put(id, slot, Value::Group(group)),
                    None => self.elements.take(id, slot),
                }
            }
        }
    }

    fn acquire_group(&mut self, key: GroupKey) -> u32 {
        let (number, first) = self.groups.acquire(&key, &mut self.counter);
        if first {
            let (direction, policies) = &key;
            let rule = |verdict| Rule { peer: None, ports: None, verdict };
            let ask = |policy: &u32| rule(Verdict::Jump(Chain::Policy(*direction, *policy)));
            let rules = policies.iter().map(ask).chain([rule(Verdict::Drop)]).collect();
            self.chains.put(Chain::Group(*direction, number), rules);
            self.group_of.insert(number, key);
        }
        number
    }

    fn release_group(&mut self, number: u32) {
        let key = &self.group_of[&number];
        if self.groups.release(key).is_some() {
            self.chains.remove(Chain::Group(key.0, number));
            self.group_of.remove(&number);
        }
    }

    fn forget_empty(&mut self, namespace: &str) {
        let empty = |space: &Space| {
            space.labels.is_none()
                && space.members.is_empty()
                && space.policies.is_empty()
                && space.own.is_empty()
        };
        if self.spaces.get(namespace).is_some_and(empty) {
            self.spaces.remove(namespace);
        }
    }
}

#[cfg(test)]
mod tests;
