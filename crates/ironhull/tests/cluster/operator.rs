//! An operator with thirty resources, webhooks and a leader, as people install it: by a chart. This test program is the
//! operator too, under the name that the image gives it.

#[path = "operator/certificates.rs"]
mod certificates;
#[path = "operator/election.rs"]
mod election;
#[path = "operator/injection.rs"]
mod injection;
#[path = "operator/inspectors.rs"]
mod inspectors;
#[path = "operator/program.rs"]
pub mod program;
#[path = "operator/server.rs"]
mod server;
#[path = "operator/ships.rs"]
mod ships;
#[path = "operator/webhooks.rs"]
mod webhooks;

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::helm::helm;
use crate::images::{self, BUSYBOX, NGINX_1, NGINX_2};
use crate::support::{LIMIT, Namespace, SharedCluster, trial};

/// The operator's name, and that of its chart, its image and its release.
const NAME: &str = "dockyard";
const IMAGE: &str = "127.0.0.1:5000/dockyard:1";

pub fn trials(shared: &Arc<SharedCluster>, hosts: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![
        trial(shared, "operator", "its_chart_lives", its_chart_lives),
        trial(hosts, "operator", "it_serves_from_another_host", it_serves_from_another_host),
    ]
}

/// Whether this program was started as the operator.
pub fn is_program() -> bool {
    std::env::args_os().next().is_some_and(|program| Path::new(&program).file_name() == Some(NAME.as_ref()))
}

/// A chart that is installed. The definitions that helm leaves behind are deleted at the end.
struct Installed<'a> {
    namespace: &'a Namespace,
    chart: String,
}

impl<'a> Installed<'a> {
    fn new(namespace: &'a Namespace, settings: &[&str]) -> Installed<'a> {
        let host = namespace.cluster.host();
        images::push(host, &[(IMAGE, images::of_this_program(NAME, host.directory()))]);
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts").join(NAME);
        let installed = Installed { namespace, chart: chart.to_str().unwrap().to_owned() };
        let said = installed.helm("install", settings);
        assert!(said.contains("STATUS: deployed"), "{said}");
        installed
    }

    fn helm(&self, command: &str, settings: &[&str]) -> String {
        let images = format!("image={IMAGE},tool={BUSYBOX}");
        let mut arguments = vec![command, NAME, &self.chart, "--wait", "--timeout", "90s", "--set", &images];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        helm(self.namespace, &arguments)
    }

    /// The pod that leads, once there is one.
    fn leader(&self) -> String {
        let lease = "lease/dockyard";
        self.namespace.run(&["wait", "--for=create", lease, LIMIT]);
        self.namespace.until("a leader", || {
            let holder = self.namespace.field(lease, ".spec.holderIdentity");
            if holder.is_empty() { Err("none".to_owned()) } else { Ok(holder) }
        })
    }

    /// Waits until a ship has all its sailors.
    fn afloat(&self, ship: &str, crew: u32) {
        let ship = format!("ship/{ship}");
        self.namespace.wait(&ship, &format!("jsonpath={{.status.crew}}={crew}"));
        self.namespace.wait(&ship, "condition=Ready");
    }

    /// Uninstalls; definitions and their objects stay.
    fn uninstall(&self) {
        helm(self.namespace, &["uninstall", NAME, "--wait", "--timeout", "90s"]);
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for which in ["--previous=true", "--previous=false"] {
                let logs = ["logs", "-l", "app.kubernetes.io/name=dockyard", "--prefix", "--tail=40", which];
                let said = self.namespace.kubectl(&logs).output().unwrap();
                println!("--- {logs:?}\n{}", String::from_utf8_lossy(&said.stdout));
            }
            return;
        }
        self.namespace.run(&["delete", "crd", "-l", injection::OURS, LIMIT]);
    }
}

fn ship(name: &str, spec: &str) -> String {
    format!("apiVersion: {}/v1\nkind: Ship\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n", program::GROUP)
}

fn old_ship(name: &str, spec: &str) -> String {
    ship(name, spec).replace("/v1\n", "/v1beta1\n")
}

fn its_chart_lives(namespace: &Namespace) {
    let installed = Installed::new(namespace, &[&format!("settings.image={NGINX_1}")]);
    let said = helm(namespace, &["test", NAME, "--timeout", "90s"]);
    assert!(said.contains("Succeeded"), "{said}");
    everything_is_in_place(namespace);
    installed.leader();
    ships_sail(&installed);
    users_have_rights(namespace);
    others_are_inspected(namespace);
    the_release_changes(&installed);
    the_end(&installed);
}

fn everything_is_in_place(namespace: &Namespace) {
    let definitions = namespace.run(&["get", "crd", "-l", injection::OURS, "-o", "name"]);
    assert_eq!(definitions.lines().count(), 30, "{definitions}");
    namespace.run(&["wait", "--for=condition=Established", "crd", "-l", injection::OURS, LIMIT]);
    assert_eq!(namespace.field("secret/dockyard-tls", ".type"), "kubernetes.io/tls");
    // The hooks have run and gone.
    let left = ["get", "pod,serviceaccount,role,rolebinding", "-o", "name"];
    assert!(!namespace.run(&left).contains("certify"));
    for (object, path) in [
        ("crd/ships.dockyard.example.com", ".spec.conversion.webhook.clientConfig.caBundle"),
        ("crd/moorings.dockyard.example.com", ".spec.conversion.webhook.clientConfig.caBundle"),
        ("validatingwebhookconfiguration/dockyard", ".webhooks[0].clientConfig.caBundle"),
        ("mutatingwebhookconfiguration/dockyard", ".webhooks[0].clientConfig.caBundle"),
    ] {
        let bundle = namespace.field("secret/dockyard-tls", r".data.ca\.crt");
        assert_eq!(namespace.field(object, path), bundle, "{object}");
    }
    assert_eq!(namespace.field("deployment/dockyard", ".status.readyReplicas"), "2");
    let resources = namespace.run(&["api-resources", "--categories=dockyard", "-o", "name"]);
    assert_eq!(resources.lines().count(), 30, "{resources}");
}

/// Ships of both versions, what the webhooks and rules say about them, and their sailors.
fn ships_sail(installed: &Installed) {
    let namespace = installed.namespace;
    namespace.apply(&ship("beagle", "crew: 2, cargo: {finches: '13'}"));
    let said =
        namespace.try_apply(&old_ship("argo", "sailors: 1, port: 8080, cargo: [FLEECE=golden]")).unwrap();
    assert!(said.contains("created"), "{said}");
    installed.afloat("beagle", 2);
    installed.afloat("argo", 1);
    // A default from the webhook, one from the schema, and one of a nested field.
    assert_eq!(namespace.field("ship/beagle", ".spec['image', 'home']"), format!("{NGINX_1} harbour"));
    assert_eq!(namespace.field("ship/beagle", ".spec.ports[0].protocol"), "TCP");
    assert_eq!(namespace.field("ship/beagle", r".metadata.labels.dockyard\.example\.com/checked"), "yes");
    // The other version of each.
    assert_eq!(namespace.field("ship/argo", ".spec.ports[*]['name', 'port']"), "main 8080");
    assert_eq!(namespace.field("ship/argo", ".spec.cargo"), r#"{"FLEECE":"golden"}"#);
    let old = "ships.v1beta1.dockyard.example.com/beagle";
    assert_eq!(namespace.field(old, ".spec['sailors', 'port', 'cargo']"), r#"2 80 ["finches=13"]"#);
    let path = ".metadata.managedFields[?(@.subresource==\"status\")]['manager', 'operation']";
    assert_eq!(namespace.field("ship/beagle", path), "dockyard Apply");

    let refusals = [
        (ship("beagle", "crew: 11"), "there is room for 10 sailors, not for 11"),
        (ship("beagle", "home: elsewhere"), "a ship keeps its home"),
        (
            ship("twins", "ports: [{name: a, port: 1}, {name: b, port: 1}]"),
            "each port can have one name only",
        ),
        (
            ship("wreck", "image: example.com/x"),
            "denied the request: example.com/x is not from 127.0.0.1:5000/",
        ),
        (old_ship("wreck", "image: example.com/x"), "denied the request: example.com/x is not from"),
        (old_ship("wreck", "sailors: 51"), "should be less than or equal to 50"),
    ];
    for (wrong, why) in refusals {
        let said = namespace.try_apply(&wrong).unwrap_err().to_string();
        assert!(said.contains(why), "{said}\n{wrong}");
    }
    let warned = namespace.kubectl(&["scale", "ship/argo", "--replicas=0"]).output().unwrap();
    let said = String::from_utf8_lossy(&warned.stderr);
    assert!(warned.status.success(), "{said}");
    installed.afloat("argo", 0);
    namespace.run(&["scale", "ship/beagle", "--replicas=3", "--current-replicas=2"]);
    installed.afloat("beagle", 3);
    let table = namespace.run(&["get", "shp", "--field-selector=spec.home=harbour"]);
    assert!(table.lines().next().unwrap().split_whitespace().eq(["NAME", "CREW", "READY", "AGE"]), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    namespace.until_output(&["get", "events", "--field-selector=reason=Afloat", "-o", "name"], "event/");
    // Owned objects are repaired.
    namespace.run(&["delete", "service", "beagle"]);
    namespace.run(&["wait", "--for=create", "service/beagle", LIMIT]);
}

fn users_have_rights(namespace: &Namespace) {
    for role in ["edit", "view"] {
        let (role, user) = (format!("--clusterrole={role}"), format!("--user={role}"));
        namespace.run(&["create", "rolebinding", user.trim_start_matches("--user="), &role, &user]);
    }
    let may = |user: &str, verb: &str| {
        let user = format!("--as={user}");
        let asked = namespace.kubectl(&["auth", "can-i", verb, "ships", &user]).output().unwrap();
        asked.status.success()
    };
    namespace.until("aggregated roles", || {
        if may("edit", "create") && may("view", "list") { Ok(()) } else { Err("not yet".to_owned()) }
    });
    assert!(!may("view", "create") && !may("nobody", "list"));
}

/// An object of each of three other resources.
fn others_are_inspected(namespace: &Namespace) {
    let group = program::GROUP;
    namespace.apply(&format!(
        "apiVersion: {group}/v1\nkind: Fleet\nmetadata: {{name: grand}}\nspec: {{ships: [beagle]}}\n---\n\
         apiVersion: {group}/v1\nkind: Lighthouse\nmetadata: {{name: pharos}}\nspec: {{}}\n---\n\
         apiVersion: {group}/v1beta1\nkind: Mooring\nmetadata: {{name: quay}}\nspec: {{}}\n"
    ));
    for object in ["fleet/grand", "lighthouse/pharos", "mooring/quay"] {
        namespace.wait(object, "condition=Accepted");
    }
    namespace.run(&["patch", "fleet/grand", "--type=merge", "-p", r#"{"spec": {"ships": ["argo"]}}"#]);
    namespace.wait("fleet/grand", "jsonpath={.status.observedGeneration}=2");
    namespace.run(&["delete", "lighthouse/pharos"]);
}

/// An upgrade changes the settings and the stored version of a definition; a rollback takes both back.
fn the_release_changes(installed: &Installed) {
    let namespace = installed.namespace;
    let said = installed
        .helm("upgrade", &["replicas=1", "moorings.storage=v1", &format!("settings.image={NGINX_2}")]);
    assert!(said.contains("REVISION: 2"), "{said}");
    let definition = "crd/moorings.dockyard.example.com";
    let stored = || namespace.field(definition, ".status.storedVersions[*]");
    namespace.until("both versions are stored", || match stored().as_str() {
        "v1beta1 v1" => Ok(()),
        other => Err(other.to_owned()),
    });
    // What helm does not apply stays the operator's.
    assert!(!namespace.field(definition, ".spec.conversion.webhook.clientConfig.caBundle").is_empty());
    namespace.apply(&ship("fram", "crew: 1"));
    assert_eq!(namespace.field("ship/fram", ".spec.image"), NGINX_2);
    installed.leader();
    installed.afloat("fram", 1);
    // Every object is written once, then the old version can go.
    let all: Value = serde_json::from_str(&namespace.run(&["get", "moorings", "-o", "json"])).unwrap();
    let replace = ["--namespace", &namespace.name, "replace", "-f", "-"];
    namespace.cluster.server.kubectl_with_input(&replace, &all.to_string()).unwrap();
    let only = r#"{"status": {"storedVersions": ["v1"]}}"#;
    namespace.run(&["patch", definition, "--subresource=status", "--type=merge", "-p", only]);
    assert_eq!(stored(), "v1");

    helm(namespace, &["rollback", NAME, "1", "--wait", "--timeout", "90s"]);
    namespace.until("the older version is stored again", || match stored().as_str() {
        "v1 v1beta1" => Ok(()),
        other => Err(other.to_owned()),
    });
    assert_eq!(namespace.field("deployment/dockyard", ".spec.replicas"), "2");
    assert_eq!(namespace.field("mooring/quay", ".spec.ropes"), "4");
    namespace.apply(&ship("vega", "crew: 0"));
    assert_eq!(namespace.field("ship/vega", ".spec.image"), NGINX_1);
}

/// Finalizers, owners, and what is left.
fn the_end(installed: &Installed) {
    let namespace = installed.namespace;
    installed.leader();
    namespace.run(&["annotate", "ship/beagle", "dockyard.example.com/protected=yes"]);
    let said = namespace.fails(&["delete", "ship", "beagle"]);
    assert!(said.contains("denied the request: it is protected"), "{said}");
    namespace.run(&["annotate", "ship/beagle", "dockyard.example.com/protected-"]);
    let register = || namespace.field("configmap/dockyard-register", ".data");
    assert!(register().contains("beagle"), "{}", register());
    namespace.run(&["delete", "ships", "--all", LIMIT]);
    assert_eq!(register(), "");
    namespace.until("the owned objects are collected", || {
        let chosen = ["get", "deployment,service,configmap", "-l", "dockyard.example.com/ship", "-o", "name"];
        let left = namespace.run(&chosen);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    namespace.until_output(&["get", "events", "--field-selector=reason=Scrapped", "-o", "name"], "event/");
    // Their conversion needs the webhook, also for the deletion with their definition.
    namespace.run(&["delete", "moorings", "--all", LIMIT]);
    installed.uninstall();
    // Definitions and objects outlive the release.
    assert_eq!(namespace.run(&["get", "fleets", "-o", "name"]), "fleet.dockyard.example.com/grand\n");
    let definitions = namespace.run(&["get", "crd", "-l", injection::OURS, "-o", "name"]);
    assert_eq!(definitions.lines().count(), 30, "{definitions}");
    for kind in ["clusterrole", "validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        assert_eq!(namespace.run(&["get", kind, NAME, "--ignore-not-found", "-o", "name"]), "", "{kind}");
    }
}

/// The API server on the first host asks webhooks on the second. When the leader dies, the other replica takes over.
fn it_serves_from_another_host(namespace: &Namespace) {
    let far = format!("settings.image={NGINX_1},nodeSelector.kubernetes\\.io/hostname=node-2");
    let installed = Installed::new(namespace, &[&far]);
    let nodes =
        ["get", "pods", "-l", "app.kubernetes.io/name=dockyard", "-o", "jsonpath={.items[*].spec.nodeName}"];
    assert_eq!(namespace.run(&nodes), "node-2 node-2");
    namespace.apply(&old_ship("argo", "sailors: 2, port: 8080"));
    installed.afloat("argo", 2);
    assert_eq!(namespace.field("ship/argo", ".spec['image', 'crew']"), format!("{NGINX_1} 2"));
    let said = namespace.try_apply(&ship("wreck", "image: example.com/x")).unwrap_err().to_string();
    assert!(said.contains("is not from 127.0.0.1:5000/"), "{said}");

    let (leader, lease) = (installed.leader(), "lease/dockyard");
    let transitions = namespace.field(lease, ".spec.leaseTransitions");
    namespace.run(&["delete", "pod", &leader, "--grace-period=0", "--force"]);
    // The other replica answers in the meantime.
    namespace.apply(&ship("beagle", "crew: 1"));
    installed.afloat("beagle", 1);
    assert_ne!(installed.leader(), leader);
    assert_ne!(namespace.field(lease, ".spec.leaseTransitions"), transitions);
    namespace.run(&["rollout", "status", "deployment/dockyard", LIMIT]);
    namespace.run(&["delete", "ships", "--all", LIMIT]);
    assert_eq!(namespace.field("configmap/dockyard-register", ".data"), "");
    installed.uninstall();
}
