//! The last known state of the engine, pod by pod, and the pods that differ from it now.

use std::collections::{BTreeMap, BTreeSet};

use cri::{
    Container, ContainerEvent, ContainerFilter, ContainerState, CriError, PodSandbox, PodSandboxFilter,
    PodSandboxState, RuntimeService,
};

use crate::label;

/// The state of a sandbox or container of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sandbox(PodSandboxState),
    Container(ContainerState),
}

/// States by the ids of sandboxes and containers.
type States = BTreeMap<String, State>;

/// The last known state of the engine, by the pods' UIDs.
#[derive(Debug, Default)]
pub(super) struct Relist {
    pods: BTreeMap<String, States>,
}

impl Relist {
    /// Lists everything, and returns the UIDs of the pods that have changed.
    pub(super) async fn look(&mut self, runtime: &dyn RuntimeService) -> Result<BTreeSet<String>, CriError> {
        let sandboxes = runtime.list_pod_sandbox(&PodSandboxFilter::default()).await?;
        let containers = runtime.list_containers(&ContainerFilter::default()).await?;
        Ok(self.replace(picture(&sandboxes, &containers)))
    }

    fn replace(&mut self, now: BTreeMap<String, States>) -> BTreeSet<String> {
        let before = std::mem::replace(&mut self.pods, now);
        let uids = before.keys().chain(self.pods.keys());
        uids.filter(|uid| before.get(*uid) != self.pods.get(*uid)).cloned().collect()
    }

    /// Records an event, and returns the UID of its pod; `None` if neither the event nor earlier data contain it.
    pub(super) fn note(&mut self, event: &ContainerEvent) -> Option<String> {
        let Some(sandbox) = &event.pod_sandbox_status else { return self.forget(&event.container_id) };
        let uid = sandbox.labels.get(label::POD_UID)?;
        let states = self.pods.entry(uid.clone()).or_default();
        states.insert(sandbox.id.clone(), State::Sandbox(sandbox.state));
        for status in &event.containers_statuses {
            states.insert(status.id.clone(), State::Container(status.state));
        }
        Some(uid.clone())
    }

    /// Forgets a sandbox or a container that is gone.
    fn forget(&mut self, id: &str) -> Option<String> {
        let (uid, states) = self.pods.iter_mut().find(|(_, states)| states.contains_key(id))?;
        states.remove(id);
        let (uid, is_last) = (uid.clone(), states.is_empty());
        if is_last {
            self.pods.remove(&uid);
        }
        Some(uid)
    }
}

fn picture(sandboxes: &[PodSandbox], containers: &[Container]) -> BTreeMap<String, States> {
    let sandboxes = sandboxes.iter().map(|it| (&it.labels, &it.id, State::Sandbox(it.state)));
    let containers = containers.iter().map(|it| (&it.labels, &it.id, State::Container(it.state)));
    let mut pods = BTreeMap::<String, States>::new();
    for (labels, id, state) in sandboxes.chain(containers) {
        // Containers without a pod belong to others: engines may be shared.
        if let Some(uid) = labels.get(label::POD_UID) {
            pods.entry(uid.clone()).or_default().insert(id.clone(), state);
        }
    }
    pods
}

#[cfg(test)]
mod tests {
    use cri::{ContainerEventType, StringMap};

    use super::*;
    use crate::testing;

    fn pod(states: &[(&str, State)]) -> States {
        states.iter().map(|(id, state)| ((*id).to_owned(), *state)).collect()
    }

    #[test]
    fn only_pods_that_differ_are_told() {
        const READY: State = State::Sandbox(PodSandboxState::Ready);
        const RUNNING: State = State::Container(ContainerState::Running);
        const EXITED: State = State::Container(ContainerState::Exited);
        let all = |two: States| {
            BTreeMap::from([
                ("one".to_owned(), pod(&[("s1", READY), ("c1", RUNNING)])),
                ("two".to_owned(), two),
            ])
        };
        let mut relist = Relist::default();
        let mut changed = |now| relist.replace(now).into_iter().collect::<Vec<_>>();
        assert_eq!(changed(all(pod(&[("s2", READY)]))), ["one", "two"]);
        assert!(changed(all(pod(&[("s2", READY)]))).is_empty());
        assert_eq!(changed(all(pod(&[("s2", READY), ("c2", RUNNING)]))), ["two"]);
        assert_eq!(changed(all(pod(&[("s2", READY), ("c2", EXITED)]))), ["two"]);
        // A container took the place of another one between two lists.
        assert_eq!(changed(all(pod(&[("s2", READY), ("c3", EXITED)]))), ["two"]);
        assert_eq!(changed(BTreeMap::new()), ["one", "two"]);
    }

    #[test]
    fn an_event_tells_its_pod_also_when_only_what_came_before_knows_it() {
        let mut sandbox = testing::sandbox(0, true);
        sandbox.labels = StringMap::from([(label::POD_UID.to_owned(), "u".to_owned())]);
        let event = |id: &str, sandbox, containers_statuses| ContainerEvent {
            container_id: id.to_owned(),
            event_type: ContainerEventType::Created,
            created_at: testing::at(0),
            pod_sandbox_status: sandbox,
            containers_statuses,
        };
        let mut relist = Relist::default();
        let web = testing::container("web", 0, 0, ContainerState::Running, 0);
        assert_eq!(relist.note(&event("web0", Some(sandbox), vec![web])).as_deref(), Some("u"));
        assert_eq!(relist.note(&event("web0", None, Vec::new())).as_deref(), Some("u"));
        assert_eq!(relist.note(&event("s0", None, Vec::new())).as_deref(), Some("u"));
        assert_eq!(relist.note(&event("s0", None, Vec::new())), None);
        assert!(relist.replace(BTreeMap::new()).is_empty());
    }
}
