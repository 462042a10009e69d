//! The mapping from names to servers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::Name;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a server that failed is asked only after all others; it is doubled with each further failure.
const AVOID: Duration = Duration::from_secs(5);
/// The longest such time.
const AVOID_MAX: Duration = Duration::from_secs(60);

/// An upstream server, and how it did.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    health: Mutex<Health>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Health {
    failures: u32,
    avoid_until: Option<Instant>,
}

impl Upstream {
    fn new(address: SocketAddr) -> Upstream {
        Upstream { address, health: Mutex::default() }
    }

    /// It answered.
    pub(super) fn succeeded(&self) {
        *self.health.lock() = Health::default();
    }

    /// It did not answer, or said that it cannot.
    pub(super) fn failed(&self) {
        let mut health = self.health.lock();
        let avoid = AVOID.saturating_mul(1 << health.failures.min(8)).min(AVOID_MAX);
        *health =
            Health { failures: health.failures.saturating_add(1), avoid_until: Some(Instant::now() + avoid) };
    }

    fn is_avoided(&self) -> bool {
        self.health.lock().avoid_until.is_some_and(|until| Instant::now() < until)
    }
}

/// Servers that know the same names.
#[derive(Debug, Default)]
pub(super) struct Group(Vec<Upstream>);

impl Group {
    /// The servers in the order in which they are asked: as they are configured, those that failed a short while ago
    /// last.
    pub(super) fn in_order(&self) -> Vec<&Upstream> {
        let mut all: Vec<&Upstream> = self.0.iter().collect();
        all.sort_by_key(|server| server.is_avoided());
        all
    }
}

/// The servers of stub domains, and those of all other names.
#[derive(Debug, Default)]
pub(super) struct Routes {
    stubs: HashMap<Name, Arc<Group>>,
    others: Arc<Group>,
}

impl Routes {
    /// Routes to these servers. Our own addresses are left out: such a query would loop.
    pub(super) fn new(
        stubs: &[(Name, Vec<SocketAddr>)],
        others: &[SocketAddr],
        own_addresses: &[IpAddr],
    ) -> Routes {
        let group = |servers: &[SocketAddr]| {
            let foreign = servers.iter().filter(|server| !own_addresses.contains(&server.ip()));
            Arc::new(Group(foreign.map(|server| Upstream::new(*server)).collect()))
        };
        let stubs = stubs.iter().map(|(domain, servers)| (domain.to_lowercase(), group(servers))).collect();
        Routes { stubs, others: group(others) }
    }

    /// The servers for a name in lower case: those of the longest stub domain that it is in.
    pub(super) fn of(&self, name: &Name) -> Arc<Group> {
        let mut domain = name.clone();
        while !self.stubs.is_empty() && !domain.is_root() {
            if let Some(group) = self.stubs.get(&domain) {
                return Arc::clone(group);
            }
            domain = domain.base_name();
        }
        Arc::clone(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(routes: &Routes, name: &str) -> Vec<String> {
        let group = routes.of(&Name::from_ascii(name).unwrap());
        group.in_order().iter().map(|server| server.address.to_string()).collect()
    }

    #[test]
    fn the_longest_stub_domain_decides() {
        let stub =
            |name: &str, server: &str| (Name::from_ascii(name).unwrap(), vec![server.parse().unwrap()]);
        let stubs = [stub("Corp.example.", "192.0.2.1:53"), stub("lab.corp.example.", "192.0.2.2:5353")];
        let others = ["192.0.2.9:53".parse().unwrap(), "10.43.0.10:53".parse().unwrap()];
        let routes = Routes::new(&stubs, &others, &["10.43.0.10".parse().unwrap()]);
        for (name, server) in [
            ("corp.example.", "192.0.2.1:53"),
            ("a.b.corp.example.", "192.0.2.1:53"),
            ("x.lab.corp.example.", "192.0.2.2:5353"),
            ("acorp.example.", "192.0.2.9:53"),
            ("example.", "192.0.2.9:53"),
            (".", "192.0.2.9:53"),
        ] {
            assert_eq!(asked(&routes, name), [server], "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn servers_that_fail_come_last_for_a_while() {
        let servers: Vec<SocketAddr> =
            ["192.0.2.1:53", "192.0.2.2:53"].map(|text| text.parse().unwrap()).into();
        let routes = Routes::new(&[], &servers, &[]);
        let group = routes.of(&Name::root());
        let first = || group.in_order()[0].address.to_string();
        assert_eq!(first(), "192.0.2.1:53");
        group.in_order()[0].failed();
        assert_eq!(first(), "192.0.2.2:53");
        tokio::time::advance(AVOID).await;
        assert_eq!(first(), "192.0.2.1:53", "it is tried again");
        group.in_order()[0].failed();
        tokio::time::advance(AVOID).await;
        assert_eq!(first(), "192.0.2.2:53", "a second failure counts longer");
        tokio::time::advance(AVOID).await;
        group.in_order()[0].succeeded();
        assert_eq!(first(), "192.0.2.1:53");
    }
}
