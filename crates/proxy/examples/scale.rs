//! Measures the proxy with many services, in a separate network namespace (needs root).
//!
//! `cargo run --release -p proxy --example scale -- [SERVICES]...`: 100, 1,000 and 10,000 services with three endpoints
//! each if no numbers are given. Prints the time to load them all, to rewrite them, and for single endpoint changes,
//! which must not grow with the number, and the memory of the process.

use std::sync::Arc;

use hostnet::NetNs;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proxy::{Proxier, ProxyConfig, ServiceKey};
use serde_json::json;
use tokio::time::Instant;

fn service(number: usize) -> Arc<Service> {
    let address = format!("10.{}.{}.{}", 96 + number / 65_536, number / 256 % 256, number % 256);
    let service = json!({
        "metadata": {"name": format!("s{number}"), "namespace": "default"},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]},
    });
    Arc::new(serde_json::from_value(service).expect("a Service"))
}

fn slice(number: usize, endpoints: usize) -> Arc<EndpointSlice> {
    let addresses = (0..endpoints).map(|e| format!("10.{}.{}.{}", 40 + e, number / 256 % 256, number % 256));
    let endpoints: Vec<_> =
        addresses.map(|a| json!({"addresses": [a], "conditions": {"ready": true}})).collect();
    let labels = json!({"kubernetes.io/service-name": format!("s{number}")});
    let slice = json!({
        "metadata": {"name": format!("s{number}-1"), "namespace": "default", "labels": labels},
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080}], "endpoints": endpoints,
    });
    Arc::new(serde_json::from_value(slice).expect("an EndpointSlice"))
}

fn set_slice(proxier: &mut Proxier, number: usize, endpoints: usize) {
    let key = ServiceKey::new("default", &format!("s{number}-1"));
    proxier.endpoint_slice_changed(&key, Some(slice(number, endpoints)));
}

async fn measure(services: usize) -> Result<(), hostnet::nft::NftError> {
    let mut proxier = Proxier::new(&ProxyConfig::new("node", Vec::new()));
    for number in 0..services {
        let key = ServiceKey::new("default", &format!("s{number}"));
        proxier.service_changed(&key, Some(service(number)));
        set_slice(&mut proxier, number, 3);
    }
    let start = Instant::now();
    proxier.sync().await?;
    println!("{services} services: loaded in {:.0?}", start.elapsed());
    proxier.invalidate();
    let start = Instant::now();
    proxier.sync().await?;
    println!("  written afresh in {:.0?}; resident memory {}", start.elapsed(), resident());
    for (name, endpoints) in [("add", 4), ("remove", 3), ("remove all", 0), ("add all", 3)] {
        let mut times = Vec::new();
        for round in 0..10 {
            set_slice(&mut proxier, round * services / 10, endpoints);
            let start = Instant::now();
            proxier.sync().await?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        println!("  endpoint change, {name}: median {:.1?}, worst {:.1?}", times[5], times[9]);
    }
    Ok(())
}

/// The resident memory of this process, as the kernel writes it.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or("unknown".to_owned(), |line| line.trim().to_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers = std::env::args().skip(1).map(|text| text.parse());
    let mut services = numbers.collect::<Result<Vec<usize>, _>>()?;
    if services.is_empty() {
        services = vec![100, 1_000, 10_000];
    }
    for services in services {
        NetNs::create()?.block_on(|| measure(services))??;
    }
    Ok(())
}
