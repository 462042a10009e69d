//! `kubelet_volume_stats_*`: the file systems of claims, among the node's own metrics.

use std::collections::HashSet;

use futures::future::join_all;

use super::disks::claims;
use crate::pod::PodInfo;
use crate::server::Server;

impl Server {
    /// Measures the claims of the node's pods, and forgets those that no pod here uses any more.
    pub(in crate::server) async fn measure_claims(&self) {
        let pods: Vec<PodInfo> = self.pods.list().into_iter().map(PodInfo::new).collect();
        let measured = join_all(pods.iter().map(|pod| claims(&self.shared, pod))).await;
        let mut known = HashSet::new();
        for (claim, space) in measured.into_iter().flatten() {
            // Pods may share one.
            if known.insert((claim.namespace.clone(), claim.name.clone())) {
                self.shared.metrics.claims.set(&claim.namespace, &claim.name, &space);
            }
        }
        self.shared
            .metrics
            .claims
            .retain(|namespace, name| known.iter().any(|(known, claim)| known == namespace && claim == name));
    }
}
