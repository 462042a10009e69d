//! Cluster addresses: which a Service has, and the IPAddress object that stands for each (upstream: the allocator of
//! KEP-1880).

use std::net::IpAddr;

use ipnet::IpNet;
use object::{Status, Value, value};

use super::families::{Family, keeps_preferred, names, set_names, settle};
use super::ranges::Range;
use super::{ADDRESS_PREFIX, Allocation, Allocator, Endpoint, invalid, invalid_all, is_headless};

/// The ServiceCIDR that holds the cluster's own networks.
const DEFAULT_CIDR: &str = "kubernetes";
/// Who manages an address, as its label says.
const MANAGED_BY: &str = "ipallocator.k8s.io";

impl Allocator {
    /// Settles families and addresses.
    pub(super) async fn allocate_addresses(
        &self,
        endpoint: &Endpoint,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        allocation: &mut Allocation,
    ) -> Result<(), Status> {
        let had = old.map(addresses).unwrap_or_default();
        if service.str_at("spec.type") == "ExternalName" {
            allocation.freed.extend(had.iter().map(|ip| record_key(ip)));
            if !had.is_empty() {
                for field in
                    ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]
                {
                    service.entry("spec").remove(field);
                }
            }
            return Ok(());
        }
        if keeps_preferred(service, old) {
            return Ok(());
        }
        let cluster: Vec<Family> = self.families.clone();
        settle(service, old, &cluster).map_err(|errors| invalid_all(endpoint, service, &errors))?;
        if is_headless(service) {
            service.entry("spec").set("clusterIP", "None");
            set_names(service, "clusterIPs", &["None".to_owned()]);
            return Ok(());
        }
        let mut ips = names(service, "clusterIPs");
        for (i, family) in names(service, "ipFamilies").iter().enumerate() {
            match ips.get(i) {
                Some(ip) if had.contains(ip) => {}
                Some(ip) => {
                    let ip = ip.clone();
                    self.take_address(endpoint, service, &ip, dry_run, allocation).await?;
                }
                None => ips.push(self.free_address(service, family, dry_run, allocation).await?),
            }
        }
        allocation.freed.extend(had.iter().filter(|ip| !ips.contains(ip)).map(|ip| record_key(ip)));
        if let Some(primary) = ips.first() {
            service.entry("spec").set("clusterIP", primary.as_str());
        }
        set_names(service, "clusterIPs", &ips);
        Ok(())
    }

    /// The address that the client asks for.
    async fn take_address(
        &self,
        endpoint: &Endpoint,
        service: &Value,
        ip: &str,
        dry_run: bool,
        allocation: &mut Allocation,
    ) -> Result<(), Status> {
        let address = object::names::parse_ip_sloppy(ip);
        let refused = |why: &str| {
            let why = format!("failed to allocate IP {ip}: {why}");
            Err(invalid(endpoint, service, "clusterIPs", &why))
        };
        let Some(address) =
            address.filter(|address| self.ranges().iter().any(|range| range.contains(*address)))
        else {
            return refused("the provided network does not match the current range");
        };
        if !dry_run && !self.take(self.record(service, address), allocation).await? {
            return refused("provided IP is already allocated");
        }
        Ok(())
    }

    /// A free address of a family.
    async fn free_address(
        &self,
        service: &Value,
        family: &str,
        dry_run: bool,
        allocation: &mut Allocation,
    ) -> Result<String, Status> {
        let ranges = self.ranges();
        for range in ranges.iter().filter(|range| range.family().name() == family) {
            let candidates = range.candidates(self.clock.random_below(u64::MAX));
            for address in candidates {
                // What is known to be taken needs no attempt; the store decides about all others.
                if self.addresses.get("", &address.to_string()).is_some() {
                    continue;
                }
                if dry_run || self.take(self.record(service, address), allocation).await? {
                    return Ok(address.to_string());
                }
            }
        }
        Err(Status::internal_error("failed to allocate a serviceIP: range is full"))
    }

    /// The networks of all ServiceCIDRs that are ready, the cluster's own first.
    fn ranges(&self) -> Vec<Range> {
        let cidrs = self.cidrs.snapshot(&self.hub).objects;
        let mut all: Vec<(bool, IpNet)> = Vec::new();
        // Before the object is there, as when the first Service is made.
        if !cidrs.contains_key(DEFAULT_CIDR) {
            all.extend(self.networks.iter().map(|network| (false, *network)));
        }
        for (name, cidr) in &cidrs {
            let cidr = cidr.value();
            if is_ready(&cidr) {
                let texts = cidr.at("spec.cidrs").items().filter_map(Value::as_str);
                let networks = texts.filter_map(|text| text.parse::<IpNet>().ok());
                all.extend(networks.map(|network| (&**name != DEFAULT_CIDR, network)));
            }
        }
        all.sort();
        all.into_iter().map(|(_, network)| Range::new(network)).collect()
    }

    fn record(&self, service: &Value, address: IpAddr) -> (String, Value) {
        let name = address.to_string();
        let object = value!({
            "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
            "metadata": {
                "name": name.as_str(),
                "uid": self.clock.uid(),
                "creationTimestamp": self.clock.now_seconds().to_string(),
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": Family::of(&name).name(),
                    "ipaddress.kubernetes.io/managed-by": MANAGED_BY
                }
            },
            "spec": {"parentRef": {
                "resource": "services",
                "namespace": service.str_at("metadata.namespace"), "name": service.str_at("metadata.name")
            }}
        });
        (record_key(&name), object)
    }
}

/// A ServiceCIDR of which nobody has said that it is not ready, and that is not on its way out.
fn is_ready(cidr: &Value) -> bool {
    let mut conditions = cidr.at("status.conditions").items();
    let ready = conditions.find(|condition| condition.str_at("type") == "Ready");
    cidr.at("metadata.deletionTimestamp").is_null()
        && ready.is_none_or(|condition| condition.str_at("status") == "True")
}

/// The addresses that a Service has; none of a headless one.
pub(super) fn addresses(service: &Value) -> Vec<String> {
    let mut all = names(service, "clusterIPs");
    if all.is_empty() {
        all.extend(Some(service.str_at("spec.clusterIP").to_owned()).filter(|ip| !ip.is_empty()));
    }
    all.retain(|ip| ip != "None");
    all
}

/// Where the IPAddress object of an address is. Its name is the canonical form, which that of the Service need not be.
pub(super) fn record_key(ip: &str) -> String {
    match object::names::parse_ip_sloppy(ip) {
        Some(address) => format!("{ADDRESS_PREFIX}{address}"),
        None => format!("{ADDRESS_PREFIX}{ip}"),
    }
}
