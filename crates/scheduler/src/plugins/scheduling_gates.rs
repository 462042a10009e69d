//! Keeps pods back until their scheduling gates are gone. See KEP-3521.

use crate::framework::{EventKinds, Plugin, PreEnqueue};
use crate::state::PodInfo;

/// Keeps pods back until their scheduling gates are gone.
#[derive(Debug)]
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    const NAME: &'static str = "SchedulingGates";
    const WAKES_ON: EventKinds = EventKinds::OWN_GATES_GONE;
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, pod: &PodInfo) -> Result<(), String> {
        let gates = pod.spec().and_then(|spec| spec.scheduling_gates.as_deref()).unwrap_or_default();
        if gates.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = gates.iter().map(|gate| gate.name.as_str()).collect();
        Err(format!("waiting for scheduling gates: [{}]", names.join(" ")))
    }
}
