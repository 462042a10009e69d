//! What is measured of manifests, under upstream's names.

use std::sync::Arc;

use clock::Clock;
use metrics::{Counter, EncodeLabelSet, Exposition, Family, Gauge, Register};
use sha2::{Digest, Sha256};

use super::load::hash;
use super::owner::Owner;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    status: &'static str,
    plugin: &'static str,
    apiserver_id_hash: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Info {
    plugin: &'static str,
    apiserver_id_hash: Arc<str>,
    hash: String,
}

/// The metrics of all manifests.
#[derive(Clone)]
pub(crate) struct ManifestMetrics {
    clock: Clock,
    /// Of the host's name: it tells the servers of a cluster apart.
    id: Arc<str>,
    reloads: Family<Reload, Counter>,
    times: Family<Reload, Gauge>,
    infos: Family<Info, Gauge>,
}

impl ManifestMetrics {
    /// Metrics that are registered there.
    pub(crate) fn new(exposition: &Exposition, clock: Clock) -> ManifestMetrics {
        const PREFIX: &str = "apiserver_manifest_admission_config_controller";
        let host = rustix::system::uname();
        let id = hash(Sha256::digest(host.nodename().to_bytes()).as_slice()).into();
        exposition.with(|shown| ManifestMetrics {
            clock,
            id,
            reloads: shown.add(
                &format!("{PREFIX}_automatic_reloads"),
                "How often manifests of admission were loaded, by status",
            ),
            times: shown.add(
                &format!("{PREFIX}_automatic_reload_last_timestamp_seconds"),
                "When manifests of admission were last loaded, by status",
            ),
            infos: shown.add(
                &format!("{PREFIX}_last_config_info"),
                "The hash of the manifests of admission that are in force",
            ),
        })
    }

    /// Manifests with this hash are in force.
    pub(super) fn loaded(&self, owner: Owner, hash: &str) {
        self.note(owner, "success");
        let plugin = owner.plugin();
        self.infos.retain(|info| info.plugin != plugin);
        let info = Info { plugin, apiserver_id_hash: Arc::clone(&self.id), hash: hash.to_owned() };
        self.infos.get_or_create(&info).set(1);
    }

    /// Manifests cannot be used.
    pub(super) fn failed(&self, owner: Owner) {
        self.note(owner, "failure");
    }

    fn note(&self, owner: Owner, status: &'static str) {
        let apiserver_id_hash = Arc::clone(&self.id);
        let reload = Reload { status, plugin: owner.plugin(), apiserver_id_hash };
        self.reloads.get_or_create(&reload).inc();
        self.times.get_or_create(&reload).set(self.clock.now().as_second());
    }
}
