//! Claims that one pod alone may use (`ReadWriteOncePod`). See KEP-2485.
//!
//! Upstream's plugin also keeps pods apart that name the same disk of some clouds in their specs; pods here name no such
//! disks: their volumes are not kept in the scheduler's view of a pod.

use object::ObjectKey;

use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Subject, Supposition, Verdict,
};
use crate::state::{NodeInfo, PodInfo, Snapshot, VolumeChange};

/// Rejects all nodes for a pod with a `ReadWriteOncePod` claim that another pod uses.
#[derive(Debug)]
pub struct VolumeRestrictions;

/// The pod's claims that it may not share.
#[derive(Clone, Debug)]
pub struct Exclusive {
    claims: Vec<ObjectKey>,
    /// How often other pods use one of them.
    uses: i64,
}

impl Plugin for VolumeRestrictions {
    const NAME: &'static str = "VolumeRestrictions";
    const WAKES_ON: EventKinds = EventKinds::POD_REMOVED.or(EventKinds::STORAGE);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Pod(Some(gone), _) => pod.claims.iter().any(|claim| uses(gone, &claim.key(pod)) > 0),
            Subject::Storage(VolumeChange::Claim(Some(claim))) => pod.names_claim(claim),
            Subject::Storage(_) => false,
            _ => true,
        }
    }
}

impl Filter for VolumeRestrictions {
    type State = Exclusive;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Exclusive> {
        let volumes = snapshot.volumes();
        let claims = pod.claims.iter().map(|claim| claim.key(pod));
        let claims: Vec<ObjectKey> = claims.filter(|claim| volumes.is_exclusive(claim)).collect();
        if claims.is_empty() {
            return PreFilter::Skip;
        }
        let uses = claims.iter().map(|claim| snapshot.claim_users(claim) as i64).sum();
        PreFilter::Check(Exclusive { claims, uses })
    }

    fn filter(&self, exclusive: &Exclusive, _pod: &PodInfo, _node: &NodeInfo) -> Verdict {
        if exclusive.uses > 0 {
            let reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
            return Err(Rejection::unschedulable(reason));
        }
        Ok(())
    }

    fn suppose(&self, exclusive: &mut Exclusive, _pod: &PodInfo, what: &Supposition<'_>) {
        let uses: i64 = exclusive.claims.iter().map(|claim| uses(what.other, claim)).sum();
        exclusive.uses += uses * what.amount();
    }
}

/// How often a pod uses a claim.
fn uses(pod: &PodInfo, claim: &ObjectKey) -> i64 {
    pod.claims.iter().filter(|other| other.key(pod) == *claim).count() as i64
}
