//! The sets that policies share: pods of a scope, and pods with a named port.

use std::net::IpAddr;

use super::{Index, PortName};
use crate::policy::compile::{Namespaces, Scope};
use crate::policy::rules::{SetId, Slot, Value};

impl Index {
    pub(super) fn acquire_scope(&mut self, scope: &Scope) {
        let (number, first) = self.scopes.acquire(&scope.to_string(), &mut self.counter);
        if !first {
            return;
        }
        self.sets.put(SetId::Peers(number), ());
        self.scope_of.insert(number, scope.clone());
        let mut members: Vec<u32> = Vec::new();
        match &scope.namespaces {
            Namespaces::One(namespace) => {
                let space = self.spaces.entry(namespace.clone()).or_default();
                space.own.insert(number);
                members.extend(&space.members);
            }
            Namespaces::Matching(selector) => {
                self.wide.insert(number);
                for space in self.spaces.values_mut() {
                    if space.labels.as_ref().is_some_and(|labels| selector.matches(labels)) {
                        space.matching.insert(number);
                        members.extend(&space.members);
                    }
                }
            }
        }
        members.into_iter().for_each(|member| self.update_membership(member, number));
    }

    pub(super) fn release_scope(&mut self, scope: &Scope) {
        let Some(number) = self.scopes.release(&scope.to_string()) else { return };
        self.sets.remove(SetId::Peers(number));
        self.wide.remove(&number);
        let mut members: Vec<u32> = Vec::new();
        for space in self.spaces.values_mut() {
            if space.own.remove(&number) || space.matching.remove(&number) {
                members.extend(&space.members);
            }
        }
        members.into_iter().for_each(|member| self.update_membership(member, number));
        self.scope_of.remove(&number);
    }

    /// Brings one pod's membership in one scope up to date.
    pub(super) fn update_membership(&mut self, id: u32, scope: u32) {
        let member = self.members.get_mut(&id).expect("namespaces hold members");
        let space = &self.spaces[member.key.namespace()];
        let in_reach = space.own.contains(&scope) || space.matching.contains(&scope);
        let belongs = in_reach && self.scope_of[&scope].pods.matches(&member.facts.labels);
        let changed = if belongs { member.scopes.insert(scope) } else { member.scopes.remove(&scope) };
        for address in member.addresses.iter().filter(|_| changed) {
            match belongs {
                true => self.elements.put(id, Slot::Peer(scope, *address), Value::Member),
                false => self.elements.take(id, Slot::Peer(scope, *address)),
            }
        }
    }

    pub(super) fn acquire_port_name(&mut self, name: &PortName) {
        let (number, first) = self.port_names.acquire(name, &mut self.counter);
        if first {
            self.sets.put(SetId::Ports(number), ());
            for (id, slot) in self.ports_named(number, name) {
                self.elements.put(id, slot, Value::Member);
            }
        }
    }

    pub(super) fn release_port_name(&mut self, name: &PortName) {
        if let Some(number) = self.port_names.release(name) {
            self.sets.remove(SetId::Ports(number));
            for (id, slot) in self.ports_named(number, name) {
                self.elements.take(id, slot);
            }
        }
    }

    fn ports_named(&self, number: u32, name: &PortName) -> Vec<(u32, Slot)> {
        let mut slots = Vec::new();
        for (id, member) in &self.members {
            for port in member.facts.ports.iter().filter(|port| port.0 == *name) {
                let of_address = |address: &IpAddr| (*id, Slot::Port(number, *address, port.1));
                slots.extend(member.addresses.iter().map(of_address));
            }
        }
        slots
    }
}
