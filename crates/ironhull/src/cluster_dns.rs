//! The Service by which pods reach cluster DNS.
//!
//! The Service has no selector: each node's own server is an endpoint of it, in a slice of the node's, and the
//! Service's internal traffic policy leads pods to the server of their own node.

use std::net::{IpAddr, SocketAddr};

use client::{Client, ClientError};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::ObjectKey;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";
/// The ports of the Service: name and protocol.
const PORTS: [(&str, &str); 2] = [("dns", "UDP"), ("dns-tcp", "TCP")];

/// Makes the Service where it is missing, and this node's slice of its endpoints.
///
/// # Errors
/// What the API server says.
pub async fn publish(
    client: &Client,
    cluster_ip: IpAddr,
    node: &str,
    addresses: &[SocketAddr],
) -> Result<(), ClientError> {
    // Looked for first: making it again would fail for its address, which is taken by itself.
    if client.find::<Service>(&ObjectKey::namespaced(NAMESPACE, NAME)).await?.is_none() {
        client.create(&service(cluster_ip)).await?;
    }
    let slice = slice(node, addresses);
    match client.create(&slice).await {
        Err(error) if error.is_already_exists() => {
            let key = ObjectKey::namespaced(NAMESPACE, slice.metadata.name.as_deref().unwrap_or_default());
            let mut current: EndpointSlice = client.get(&key).await?;
            current.endpoints = slice.endpoints;
            current.ports = slice.ports;
            client.update(&current).await.map(|_| ())
        }
        result => result.map(|_| ()),
    }
}

fn service(cluster_ip: IpAddr) -> Service {
    let labels = [("k8s-app", "kube-dns"), ("kubernetes.io/name", "CoreDNS")];
    let port = |(name, protocol): (&str, &str)| ServicePort {
        name: Some(name.to_owned()),
        port: 53,
        protocol: Some(protocol.to_owned()),
        ..ServicePort::default()
    };
    Service {
        metadata: ObjectMeta {
            namespace: Some(NAMESPACE.to_owned()),
            name: Some(NAME.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some(cluster_ip.to_string()),
            internal_traffic_policy: Some("Local".to_owned()),
            ports: Some(PORTS.map(port).into()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn slice(node: &str, addresses: &[SocketAddr]) -> EndpointSlice {
    let port = addresses.first().map(|address| i32::from(address.port()));
    EndpointSlice {
        metadata: ObjectMeta {
            namespace: Some(NAMESPACE.to_owned()),
            name: Some(format!("{NAME}-{node}")),
            labels: Some(
                [
                    ("kubernetes.io/service-name".to_owned(), NAME.to_owned()),
                    ("endpointslice.kubernetes.io/managed-by".to_owned(), "dns.ironhull".to_owned()),
                ]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints: Some(vec![Endpoint {
            addresses: addresses.iter().map(|address| address.ip().to_string()).collect(),
            conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
            node_name: Some(node.to_owned()),
            ..Endpoint::default()
        }]),
        ports: Some(
            PORTS
                .map(|(name, protocol)| EndpointPort {
                    name: Some(name.to_owned()),
                    protocol: Some(protocol.to_owned()),
                    port,
                    ..EndpointPort::default()
                })
                .into(),
        ),
    }
}
