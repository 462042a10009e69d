//! The initial objects of every cluster: namespaces, default roles, the `kubernetes` Service.
//!
//! Missing objects are created; existing roles and bindings are brought up to date, unless an annotation disables that,
//! as upstream does.

use std::sync::Arc;
use std::time::Duration;

use object::{Status, Value, value};

use crate::options::WriteOptions;
use crate::registry::{Call, Own, first_service_address};
use crate::{ApiServer, Config};

mod policy;

pub use policy::node_rules;

/// Marks objects that the server keeps up to date.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Gave every node all rights that nodes need, before there was a node authorizer; older clusters have it.
const OUTDATED_BINDING: &str = "ironhull:nodes";

/// Creates missing objects. Afterwards the roles are in force.
///
/// # Errors
/// The registry's errors.
pub async fn run(server: &ApiServer, config: &Config) -> Result<(), Status> {
    let bootstrap = Bootstrap::new(server);
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace = value!({"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}});
        bootstrap.ensure("", "namespaces", "", namespace).await?;
    }
    // All at once, so that the store syncs them in few batches.
    let roles = policy::objects().into_iter().map(|(plural, role)| bootstrap.reconcile(plural, role));
    futures::future::try_join_all(roles).await?;
    futures::future::try_join_all(policy::controller_bindings().map(|binding| bootstrap.narrow(binding)))
        .await?;
    bootstrap.remove("rbac.authorization.k8s.io", "clusterrolebindings", OUTDATED_BINDING).await?;
    for (name, number, description) in PRIORITY_CLASSES {
        let class = value!({
            "metadata": {"name": name}, "value": number, "description": description,
            "preemptionPolicy": "PreemptLowerPriority"
        });
        bootstrap.ensure("scheduling.k8s.io", "priorityclasses", "", class).await?;
    }
    bootstrap.service_cidr(config).await?;
    bootstrap.kubernetes_service(config).await?;
    // Components may ask for something at once, which their roles must allow by then.
    if let Err(error) = server.registry.hub.catch_up().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the default roles may take effect after the first requests"
        );
    }
    Ok(())
}

/// How long to wait between attempts on a full disk.
const RETRY: Duration = Duration::from_secs(10);

/// Creates missing objects once the disk has space again: until then, the server starts without them, for reads and
/// deletions.
pub fn run_later(server: &Arc<ApiServer>, config: &Config, why: &Status) {
    tracing::error!(%why, "the cluster's initial objects will be created when there is space");
    let (server, config) = (Arc::downgrade(server), config.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(RETRY).await;
            let Some(server) = server.upgrade() else { return };
            match run(&server, &config).await {
                Err(status) if status.code == crate::FULL => {}
                Err(status) => return tracing::error!(%status, "cannot create the cluster's initial objects"),
                Ok(()) => return,
            }
        }
    });
}

/// The priority classes of critical pods.
const PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];

/// Publishes the server's address after it has changed.
///
/// # Errors
/// What the server itself answers.
pub async fn publish_addresses(server: &ApiServer, config: &Config) -> Result<(), Status> {
    let bootstrap = Bootstrap::new(server);
    bootstrap.kubernetes_service(config).await
}

struct Bootstrap<'a> {
    server: &'a ApiServer,
    own: Own,
}

impl<'s> Bootstrap<'s> {
    fn new(server: &'s ApiServer) -> Bootstrap<'s> {
        Bootstrap { server, own: Own::new(&server.clock, WriteOptions::default()) }
    }

    fn call<'a>(&'a self, namespace: &'a str, name: &'a str) -> Call<'a> {
        self.own.call(namespace, name, "")
    }

    /// Creates an object unless it exists.
    async fn ensure(&self, group: &str, plural: &str, namespace: &str, object: Value) -> Result<(), Status> {
        let registry = &self.server.registry;
        let catalogue = registry.catalogue.present();
        let endpoint = catalogue
            .endpoints()
            .find(|endpoint| endpoint.def.group == group && endpoint.def.plural == plural)
            .ok_or_else(|| Status::not_found(group, plural, ""))?;
        let collection = endpoint.stored("create")?;
        if collection.get(namespace, object.str_at("metadata.name")).is_some() {
            return Ok(());
        }
        match registry.create(endpoint, &self.call(namespace, ""), object).await {
            Err(status) if status.code != 409 => Err(status),
            _ => Ok(()),
        }
    }

    /// Removes a cluster-scoped object, if it exists.
    async fn remove(&self, group: &str, plural: &str, name: &str) -> Result<(), Status> {
        let registry = &self.server.registry;
        let endpoint =
            registry.endpoint(group, "v1", plural).ok_or_else(|| Status::not_found(group, plural, name))?;
        if endpoint.stored("delete")?.get("", name).is_none() {
            return Ok(());
        }
        let options = crate::options::DeleteOptions::default();
        registry.delete(&endpoint, &self.call("", name), &options).await.map(drop)
    }

    /// Creates a role or binding, or adds the missing parts to it.
    async fn reconcile(&self, plural: &'static str, mut wanted: Value) -> Result<(), Status> {
        let registry = &self.server.registry;
        let group = "rbac.authorization.k8s.io";
        let endpoint =
            registry.endpoint(group, "v1", plural).ok_or_else(|| Status::not_found(group, plural, ""))?;
        let metadata = wanted.entry("metadata");
        metadata.entry("annotations").set(AUTOUPDATE, "true");
        metadata.entry("labels").set("kubernetes.io/bootstrapping", "rbac-defaults");
        let namespace = wanted.str_at("metadata.namespace").to_owned();
        let name = wanted.str_at("metadata.name").to_owned();
        let existing = endpoint.stored("get")?.get(&namespace, &name);
        let Some(existing) = existing.map(|existing| existing.value()) else {
            return self.ensure(group, plural, &namespace, wanted).await;
        };
        let annotation = existing.at_path(&["metadata", "annotations", AUTOUPDATE]);
        if annotation.as_str() == Some("false") {
            return Ok(());
        }
        let mut updated = existing.clone();
        // An aggregating role gets its rules from its controller.
        let member = if plural.ends_with("bindings") { "subjects" } else { "rules" };
        if !wanted.get("aggregationRule").is_null() {
            return Ok(());
        }
        let missing: Vec<Value> = wanted
            .get(member)
            .items()
            .filter(|item| !existing.get(member).items().any(|have| have == *item))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut items: Vec<Value> = existing.get(member).items().cloned().collect();
        items.extend(missing);
        updated.set(member, items);
        registry.update(&endpoint, &self.call(&namespace, &name), updated).await.map(|_| ())
    }

    /// Removes controllers' rights from their former common identity: in older clusters all controllers acted as one
    /// user.
    async fn narrow(&self, (plural, namespace, name): (&str, &str, String)) -> Result<(), Status> {
        let registry = &self.server.registry;
        let group = "rbac.authorization.k8s.io";
        let endpoint =
            registry.endpoint(group, "v1", plural).ok_or_else(|| Status::not_found(group, plural, ""))?;
        let Some(present) = endpoint.stored("get")?.get(namespace, &name).map(|present| present.value())
        else {
            return Ok(());
        };
        let is_all = |subject: &Value| subject.str_at("name") == policy::CONTROLLER_MANAGER_NAME;
        let is_kept = present.at_path(&["metadata", "annotations", AUTOUPDATE]).as_str() == Some("false");
        if is_kept || !present.get("subjects").items().any(is_all) {
            return Ok(());
        }
        let subjects: Vec<Value> =
            present.get("subjects").items().filter(|subject| !is_all(subject)).cloned().collect();
        let mut narrowed = present.clone();
        narrowed.set("subjects", subjects);
        registry.update(&endpoint, &self.call(namespace, &name), narrowed).await.map(|_| ())
    }

    /// The networks of Services, as an object. A second family is added there; a change of the first one must not go
    /// unnoticed, because Services have addresses in it.
    async fn service_cidr(&self, config: &Config) -> Result<(), Status> {
        let (group, plural, name) = ("networking.k8s.io", "servicecidrs", "kubernetes");
        let texts: Vec<String> = config.service_cidrs.iter().map(ToString::to_string).collect();
        let items: Vec<Value> = texts.iter().map(|text| Value::from(text.as_str())).collect();
        let object = value!({"metadata": {"name": name}, "spec": {"cidrs": items}});
        let registry = &self.server.registry;
        let endpoint =
            registry.endpoint(group, "v1", plural).ok_or_else(|| Status::not_found(group, plural, ""))?;
        let Some(present) = endpoint.stored("get")?.get("", name).map(|present| present.value()) else {
            return self.ensure(group, plural, "", object).await;
        };
        let before: Vec<&str> = present.at("spec.cidrs").items().filter_map(Value::as_str).collect();
        if before == texts {
            return Ok(());
        }
        let mut changed = present.clone();
        changed.entry("spec").set("cidrs", object.at("spec.cidrs").clone());
        if let Err(status) = registry.update(&endpoint, &self.call("", name), changed).await {
            tracing::warn!(
                before = before.join(","), now = texts.join(","), %status,
                "cannot update the ServiceCIDR kubernetes to match --service-cidr"
            );
        }
        Ok(())
    }

    /// The Service through which pods reach this server, and its endpoints. It has only the primary family, as
    /// upstream's.
    async fn kubernetes_service(&self, config: &Config) -> Result<(), Status> {
        let Some(primary) = config.service_cidrs.first().copied() else { return Ok(()) };
        let address = first_service_address(primary).to_string();
        let service = value!({
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "clusterIP": address.as_str(),
                "ports": [{"name": "https", "port": 443i64, "protocol": "TCP", "targetPort": i64::from(config.port)}],
                "sessionAffinity": "None", "type": "ClusterIP"
            }
        });
        self.ensure("", "services", "default", service).await?;
        let addresses: Vec<String> = config
            .addresses
            .iter()
            .filter(|ip| ip.is_ipv4() == primary.addr().is_ipv4() && !ip.is_loopback())
            .map(ToString::to_string)
            .collect();
        let family = if primary.addr().is_ipv4() { "IPv4" } else { "IPv6" };
        self.publish_endpoints(family, &addresses, config.port).await
    }

    /// Sets the addresses at which the server is reached, in both forms.
    async fn publish_endpoints(&self, family: &str, addresses: &[String], port: u16) -> Result<(), Status> {
        let registry = &self.server.registry;
        let subset_addresses: Vec<Value> = addresses.iter().map(|ip| value!({"ip": ip.as_str()})).collect();
        let mut endpoints = value!({
            "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}
        });
        // Pods cannot reach a server that listens only on the loopback.
        if !addresses.is_empty() {
            let ports = value!([{"name": "https", "port": i64::from(port), "protocol": "TCP"}]);
            endpoints.set("subsets", value!([{"addresses": subset_addresses, "ports": ports}]));
        }
        let slice_endpoints: Vec<Value> = addresses
            .iter()
            .map(|ip| value!({"addresses": [ip.as_str()], "conditions": {"ready": true}}))
            .collect();
        let slice = value!({
            "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": family,
            "endpoints": slice_endpoints,
            "ports": [{"name": "https", "port": i64::from(port), "protocol": "TCP"}]
        });
        for (group, plural, object) in
            [("", "endpoints", endpoints), ("discovery.k8s.io", "endpointslices", slice)]
        {
            let endpoint =
                registry.endpoint(group, "v1", plural).ok_or_else(|| Status::not_found(group, plural, ""))?;
            let exists = endpoint.stored("get")?.get("default", "kubernetes").is_some();
            if exists {
                registry.update(&endpoint, &self.call("default", "kubernetes"), object).await?;
            } else {
                self.ensure(group, plural, "default", object).await?;
            }
        }
        Ok(())
    }
}
