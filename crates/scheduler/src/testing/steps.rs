//! Plugins that record their calls between a decision and a binding, and fail where a test demands it.

use std::sync::Arc;
use std::time::Duration;

use client::Client;
use parking_lot::Mutex;

use crate::framework::{
    BindError, EventKinds, Permission, Permit, Plugin, PostBind, PreBind, Profile, Rejection, Reserve,
};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// The calls of the plugins.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// A plugin of all extension points from reserving on, named after a letter.
#[derive(Clone)]
pub(crate) struct Step<const N: char> {
    pub(crate) log: Log,
    /// The point at which it fails: `reserve`, `permit` or `pre-bind`.
    pub(crate) fails_at: &'static str,
    /// How long it keeps pods waiting.
    pub(crate) waits: Option<Duration>,
}

impl<const N: char> Step<N> {
    fn note(&self, what: &str) -> Result<(), Rejection> {
        self.log.lock().push(format!("{N} {what}"));
        if what == self.fails_at { Err(Rejection::unschedulable(format!("{N} fails"))) } else { Ok(()) }
    }
}

impl<const N: char> Plugin for Step<N> {
    const NAME: &'static str = match N {
        'a' => "A",
        'b' => "B",
        _ => "C",
    };
    const WAKES_ON: EventKinds = EventKinds::POD_REMOVED;
}

impl<const N: char> Reserve for Step<N> {
    type Reservation = String;

    fn reserve(&self, pod: &PodInfo, _: &NodeInfo, _: &Snapshot) -> Result<String, Rejection> {
        self.note("reserve").map(|()| format!("{}'s", pod.key.name))
    }

    fn unreserve(&self, reservation: &String, pod: &PodInfo, _: &str) {
        assert_eq!(*reservation, format!("{}'s", pod.key.name));
        self.log.lock().push(format!("{N} unreserve"));
    }
}

impl<const N: char> Permit for Step<N> {
    fn permit(&self, _: &PodInfo, _: &NodeInfo, _: &Snapshot) -> Permission {
        match (self.note("permit"), self.waits) {
            (Err(rejection), _) => Permission::Deny(rejection),
            (Ok(()), None) => Permission::Allow,
            (Ok(()), Some(most)) => Permission::Wait(most),
        }
    }
}

impl<const N: char> PreBind for Step<N> {
    async fn pre_bind(
        &self,
        _: &Client,
        reservation: &String,
        pod: &PodInfo,
        _: &str,
    ) -> Result<(), BindError> {
        assert_eq!(*reservation, format!("{}'s", pod.key.name));
        self.note("pre-bind").map_err(|_| BindError::Other("the disk is on fire".to_owned()))
    }
}

impl<const N: char> PostBind for Step<N> {
    fn post_bind(&self, _: &PodInfo, node: &str) {
        self.log.lock().push(format!("{N} bound to {node}"));
    }
}

/// Puts three of them into a profile; `fails` says which one fails where, `waits` which keep pods waiting.
pub(crate) fn with_steps(
    profile: Profile,
    log: &Log,
    fails: (char, &'static str),
    waits: &[(char, Duration)],
) -> Profile {
    fn step<const N: char>(log: &Log, fails: (char, &'static str), waits: &[(char, Duration)]) -> Step<N> {
        let waits = waits.iter().find(|(name, _)| *name == N).map(|(_, most)| *most);
        Step { log: Arc::clone(log), fails_at: if fails.0 == N { fails.1 } else { "" }, waits }
    }
    let (a, b, c) =
        (step::<'a'>(log, fails, waits), step::<'b'>(log, fails, waits), step::<'c'>(log, fails, waits));
    profile
        .reserve_and_pre_bind(a.clone())
        .reserve_and_pre_bind(b.clone())
        .reserve(c.clone())
        .permit(a)
        .permit(b)
        .post_bind(c)
}
