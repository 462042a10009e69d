//! The overlay as a task: Node objects and notifications in, steps out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Client, Informer, Informers, Patch};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::backend::{self, DEVICES, Own};
use super::mac::Mac;
use super::peer::{self, Peer};
use super::plan::{Plan, steps};
use super::record::Record;
use super::udp::Tunnel;
use super::watch::Interest;
use super::{OverlayError, kernel, mtu, record};
use crate::backend_type::BackendType;
use crate::link::Netlink;
use crate::local::LocalNetwork;

/// How long to wait after a failure; doubled for each further one, up to the last value.
const RETRY_AFTER: Duration = Duration::from_millis(500);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// How long notifications are collected before the kernel is checked, so that a program that fights us costs little.
const GATHER: Duration = Duration::from_millis(20);

/// The configuration of a node's overlay.
#[derive(Debug, Clone)]
pub struct OverlayConfig {
    /// The node's name.
    pub node_name: String,
    /// The node's addresses, at most one of each family and one at least. The first one's family carries tunnels. They may
    /// change at any time.
    pub node_ips: watch::Receiver<Vec<IpAddr>>,
    /// The MTU of pods' links, in bytes; `None` uses what the uplink leaves.
    pub mtu: Option<u32>,
}

/// Maintains the connections to other nodes' pods according to the Node objects, until it is dropped; the entries stay,
/// so that pods can reach each other while the agent restarts.
///
/// `backend` may change at any time: the former one's device, routes and entries are removed, and pods' links get the
/// new MTU. `network` is the node's own part; `client` writes the own Node object. Must be called in the host's network
/// namespace.
pub async fn run(
    config: OverlayConfig,
    mut backend: watch::Receiver<BackendType>,
    network: Arc<LocalNetwork>,
    client: Client,
    informers: &Informers,
) {
    let nodes = informers.get::<Node>();
    let changed = Arc::new(Notify::new());
    let told = Arc::clone(&changed);
    let _woken = nodes.subscribe(move |_| told.notify_one());
    nodes.synced().await;
    let mut node_ips = config.node_ips.clone();
    let mut overlay = Overlay::new(config, network, client, nodes);
    let tampered = Arc::clone(&overlay.tampered);
    let interest = Arc::clone(&overlay.interest);
    let listen = keep_watching(interest, tampered, Arc::clone(&changed));
    let follow = async {
        let mut retry_after = RETRY_AFTER;
        loop {
            let wanted = *backend.borrow_and_update();
            overlay.move_to(node_ips.borrow_and_update().clone());
            let wait = match overlay.converge(wanted).await {
                Ok(()) => {
                    retry_after = RETRY_AFTER;
                    None
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, backend = %wanted, "cannot set up the connection to other nodes' pods");
                    overlay.forget();
                    let wait = retry_after;
                    retry_after = (retry_after * 2).min(RETRY_AFTER_MAX);
                    Some(wait)
                }
            };
            tokio::select! {
                () = changed.notified() => {}
                Ok(()) = backend.changed() => {}
                Ok(()) = node_ips.changed() => {}
                () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
            }
        }
    };
    tokio::select! {
        () = listen => {}
        () = follow => {}
    }
}

/// Receives the kernel's notifications forever, over a new connection after one that broke.
async fn keep_watching(interest: Arc<Mutex<Interest>>, tampered: Arc<AtomicBool>, changed: Arc<Notify>) {
    loop {
        let heard = Arc::new(Notify::new());
        let pass_on = async {
            loop {
                heard.notified().await;
                tokio::time::sleep(GATHER).await;
                tampered.store(true, Ordering::Release);
                changed.notify_one();
            }
        };
        tokio::select! {
            ended = super::watch::watch(Arc::clone(&interest), Arc::clone(&heard)) => if let Err(error) = ended {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot listen to the kernel's notifications");
            },
            () = pass_on => {}
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// The inputs of the last round.
#[derive(PartialEq)]
struct Round {
    backend: BackendType,
    node_ips: Vec<IpAddr>,
    peers: Vec<Peer>,
}

struct Overlay {
    config: OverlayConfig,
    /// The node's current addresses.
    node_ips: Vec<IpAddr>,
    network: Arc<LocalNetwork>,
    client: Client,
    nodes: Arc<Informer<Node>>,
    netlink: Option<Netlink>,
    tunnel: Option<Tunnel>,
    last: Option<Round>,
    problems: Vec<String>,
    interest: Arc<Mutex<Interest>>,
    tampered: Arc<AtomicBool>,
}

impl Overlay {
    fn new(
        config: OverlayConfig,
        network: Arc<LocalNetwork>,
        client: Client,
        nodes: Arc<Informer<Node>>,
    ) -> Overlay {
        let node_ips = config.node_ips.borrow().clone();
        let interest = Interest {
            device: None,
            node_ips: node_ips.clone(),
            cluster_subnets: network.config().cluster_subnets.clone(),
        };
        Overlay {
            config,
            node_ips,
            network,
            client,
            nodes,
            netlink: None,
            tunnel: None,
            last: None,
            problems: Vec::new(),
            interest: Arc::new(Mutex::new(interest)),
            tampered: Arc::default(),
        }
    }

    /// Sets the node's own addresses.
    fn move_to(&mut self, node_ips: Vec<IpAddr>) {
        if self.node_ips != node_ips {
            self.interest.lock().node_ips.clone_from(&node_ips);
            self.node_ips = node_ips;
        }
    }

    /// Makes the next round check everything.
    fn forget(&mut self) {
        self.last = None;
    }

    /// Brings the kernel, pods' links and the node's annotations to the desired state.
    async fn converge(&mut self, wanted: BackendType) -> Result<(), OverlayError> {
        let nodes = self.nodes.list();
        let peers = peer::peers_of(&self.config.node_name, nodes.iter().map(AsRef::as_ref));
        let round = Round { backend: wanted, node_ips: self.node_ips.clone(), peers };
        let tampered = self.tampered.swap(false, Ordering::AcqRel);
        if tampered || self.last.as_ref() != Some(&round) {
            self.last = None;
            self.apply(&round).await?;
            self.last = Some(round);
        }
        self.annotate(wanted).await
    }

    async fn apply(&mut self, round: &Round) -> Result<(), OverlayError> {
        let netlink = match &self.netlink {
            Some(netlink) => netlink.clone(),
            None => self.netlink.insert(Netlink::open()?).clone(),
        };
        let own = self.own(&netlink, round.backend).await?;
        let mut plan = backend::of(round.backend).plan(&own, &round.peers);
        let local = |error| OverlayError::Local(Box::new(error));
        let tunnel = crate::guard::Tunnel {
            ways_known: round.backend != BackendType::None,
            port: round.backend.port(),
            senders: std::mem::take(&mut plan.senders),
        };
        // Before this node sends to a new one, which answers at once.
        self.network.expect(tunnel).await.map_err(local)?;
        let device = self.ensure_device(&netlink, &plan).await?;
        self.interest.lock().device = device;
        let found = kernel::found(&netlink, device).await?;
        let mut failed = None;
        for step in steps(&found, &plan) {
            tracing::debug!(?step, "overlay");
            // One peer that the kernel refuses must not cut off the others.
            if let Err(error) = kernel::carry_out(&netlink, &step, device).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot change the overlay");
                failed = Some(error);
            }
        }
        if plan.tunnel.is_none() {
            self.close_tunnel().await;
        }
        self.remove_former_devices(&netlink, &plan).await?;
        self.network.set_mtu(own.mtu).await.map_err(local)?;
        self.network.keep_source_towards(plan.nodes).await.map_err(local)?;
        if plan.problems != self.problems {
            plan.problems.iter().for_each(|problem| tracing::warn!("cannot reach a node's pods: {problem}"));
            self.problems = plan.problems;
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Waits until the former tunnel has released its socket.
    async fn close_tunnel(&mut self) {
        if let Some(tunnel) = self.tunnel.take() {
            tunnel.close().await;
        }
    }

    async fn own(&self, netlink: &Netlink, backend: BackendType) -> Result<Own, OverlayError> {
        let config = &self.config;
        let subnets = self.network.config().pod_subnets.clone();
        let mtu = mtu::pod_mtu(backend, self.node_ips[0], &subnets, config.mtu).await?;
        let links = netlink.addresses().await?;
        let is_link = |net: &IpNet| net.prefix_len() < net.max_prefix_len() && !net.addr().is_loopback();
        Ok(Own {
            addresses: self.node_ips.clone(),
            subnets,
            cluster_subnets: self.network.config().cluster_subnets.clone(),
            mac: Mac::of_node(&config.node_name),
            mtu,
            links: links.into_iter().map(|(_, net)| net).filter(is_link).collect(),
        })
    }

    async fn ensure_device(&mut self, netlink: &Netlink, plan: &Plan) -> Result<Option<u32>, OverlayError> {
        let state_dir = &self.network.config().state_dir;
        let former = record::load(state_dir)?;
        if former.is_none() && *plan != Plan::default() {
            // Routes are identified by their protocol number, but `reset` looks for them only if there is a record.
            record::save(state_dir, &Record::default())?;
        }
        let Some(device) = &plan.device else { return Ok(None) };
        let mut record = former.unwrap_or_default();
        let recorded = !record.devices.insert(device.name.to_owned());
        if !recorded {
            record::save(state_dir, &record)?;
        }
        let alias = record::alias(state_dir);
        if let Some(tunnel) = &plan.tunnel {
            let is_there = kernel::is_there(netlink, device, &alias, recorded).await?;
            if !is_there || !self.tunnel.as_mut().is_some_and(|current| current.follow(tunnel)) {
                self.close_tunnel().await;
                self.tunnel = Some(Tunnel::open(device.name, tunnel).await?);
                netlink.set_alias(device.name, &alias).await?;
            }
        }
        Ok(Some(kernel::ensure_device(netlink, device, &alias, recorded).await?))
    }

    async fn remove_former_devices(&self, netlink: &Netlink, plan: &Plan) -> Result<(), OverlayError> {
        let state_dir = &self.network.config().state_dir;
        let mut record = record::load(state_dir)?.unwrap_or_default();
        let current = plan.device.as_ref().map(|device| device.name);
        let former = DEVICES.into_iter().filter(|name| Some(*name) != current);
        let mut gone = false;
        for name in former.filter(|name| record.devices.contains(*name)).collect::<Vec<_>>() {
            record::remove_device(netlink, name, &record::alias(state_dir)).await?;
            gone |= record.devices.remove(name);
        }
        if gone {
            record::save(state_dir, &record)?;
        }
        Ok(())
    }

    /// Writes what peers need to know to the own Node object, once it exists.
    async fn annotate(&self, wanted: BackendType) -> Result<(), OverlayError> {
        let key = ObjectKey::cluster(self.config.node_name.as_str());
        let Some(node) = self.nodes.get(&key) else { return Ok(()) };
        let data = backend::of(wanted).data(&Mac::of_node(&self.config.node_name));
        let annotations = peer::annotations(wanted, &data, &self.node_ips);
        let missing: BTreeMap<_, _> = peer::missing(&node, &annotations);
        if missing.is_empty() {
            return Ok(());
        }
        let patch = Patch::Merge(json!({"metadata": {"annotations": missing}}));
        self.client.patch::<Node>(&key, "", &patch).await?;
        Ok(())
    }
}
