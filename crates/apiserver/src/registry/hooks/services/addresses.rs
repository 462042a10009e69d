//! Cluster addresses: those of a Service, and the IPAddress object that represents each (upstream: the allocator of
//! KEP-1880).

use std::net::IpAddr;

use ipnet::IpNet;
use object::{Status, Value, value};

use super::families::{Family, keeps_preferred, names, set_names, settle};
use super::ranges::Range;
use super::{ADDRESSES, NETWORKS, Order, invalid, invalid_all, is_headless};
use crate::admission::Reader;

/// The ServiceCIDR with the cluster's own networks.
const DEFAULT_CIDR: &str = "kubernetes";
/// The manager of an address, in its label.
const MANAGED_BY: &str = "ipallocator.k8s.io";

impl Order<'_> {
    /// Determines families and addresses.
    ///
    /// # Errors
    /// 422 for families that the cluster does not have, and for an address that is taken; 500 if none is left.
    pub(super) async fn settle_addresses(&mut self, service: &mut Value) -> Result<(), Status> {
        let old = self.old;
        let had = old.map(addresses).unwrap_or_default();
        if service.str_at("spec.type") == "ExternalName" {
            if !had.is_empty() {
                for field in
                    ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]
                {
                    service.entry("spec").remove(field);
                }
            }
            self.allocation.freed.addresses.extend(had);
            return Ok(());
        }
        if keeps_preferred(service, old) {
            return Ok(());
        }
        settle(service, old, &self.services.families).map_err(|errors| invalid_all(service, &errors))?;
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
                    self.asked_address(service, &ip).await?;
                }
                None => ips.push(self.free_address(service, family).await?),
            }
        }
        self.allocation.freed.addresses.extend(had.into_iter().filter(|ip| !ips.contains(ip)));
        if let Some(primary) = ips.first() {
            service.entry("spec").set("clusterIP", primary.as_str());
        }
        set_names(service, "clusterIPs", &ips);
        Ok(())
    }

    /// The requested address.
    async fn asked_address(&mut self, service: &Value, ip: &str) -> Result<(), Status> {
        let address = object::names::parse_ip_sloppy(ip);
        let refused = |why: &str| {
            let why = format!("failed to allocate IP {ip}: {why}");
            Err(invalid(service, "clusterIPs", &why))
        };
        let Some(address) =
            address.filter(|address| self.ranges().iter().any(|range| range.contains(*address)))
        else {
            return refused("the provided network does not match the current range");
        };
        if !self.take_address(record(service, address)).await? {
            return refused("provided IP is already allocated");
        }
        Ok(())
    }

    /// A free address of a family.
    async fn free_address(&mut self, service: &Value, family: &str) -> Result<String, Status> {
        let ranges = self.ranges();
        for range in ranges.iter().filter(|range| range.family().name() == family) {
            let candidates = range.candidates(self.services.clock.random_below(u64::MAX));
            for address in candidates {
                // Addresses known to be taken are not tried; the store decides about all others.
                if self.server.get(ADDRESSES, "", &address.to_string()).is_some() {
                    continue;
                }
                if self.take_address(record(service, address)).await? {
                    return Ok(address.to_string());
                }
            }
        }
        Err(Status::internal_error("failed to allocate a serviceIP: range is full"))
    }

    /// The networks of all ServiceCIDRs that are ready, the cluster's own first.
    fn ranges(&self) -> Vec<Range> {
        let cidrs = self.server.all(NETWORKS);
        let mut all: Vec<(bool, IpNet)> = Vec::new();
        // Before the object exists, for example when the first Service is created.
        if !cidrs.contains_key(DEFAULT_CIDR) {
            all.extend(self.services.networks.iter().map(|network| (false, *network)));
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
}

/// The object that represents the address of a Service.
fn record(service: &Value, address: IpAddr) -> Value {
    let name = address.to_string();
    value!({
        "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
        "metadata": {
            "name": name.as_str(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": Family::of(&name).name(),
                "ipaddress.kubernetes.io/managed-by": MANAGED_BY
            }
        },
        "spec": {"parentRef": {
            "resource": "services",
            "namespace": service.str_at("metadata.namespace"), "name": service.str_at("metadata.name")
        }}
    })
}

/// A ServiceCIDR that is not marked as not ready, and is not being deleted.
fn is_ready(cidr: &Value) -> bool {
    let ready = semantics::conditions::of(cidr, "Ready");
    cidr.at("metadata.deletionTimestamp").is_null()
        && (ready.is_absent() || ready.field("status").text() == semantics::conditions::TRUE)
}

/// The addresses of a Service; a headless one has none.
pub(super) fn addresses(service: &Value) -> Vec<String> {
    let mut all = names(service, "clusterIPs");
    if all.is_empty() {
        all.extend(Some(service.str_at("spec.clusterIP").to_owned()).filter(|ip| !ip.is_empty()));
    }
    all.retain(|ip| ip != "None");
    all
}

/// The canonical form of an address, which is the name of its object and need not be that of the Service.
pub(super) fn canonical(ip: &str) -> String {
    object::names::parse_ip_sloppy(ip).map_or_else(|| ip.to_owned(), |address| address.to_string())
}
