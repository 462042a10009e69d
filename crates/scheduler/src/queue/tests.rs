use serde_json::{Value, json};
use tokio::time::advance;

use super::*;
use crate::plugins::default_profile;
use crate::testing::{cluster, node, pod};

const SECOND: Duration = Duration::from_secs(1);

/// A queue under the paused clock of tokio.
struct Tried {
    queue: Queue,
    profile: Arc<Profile>,
}

impl Tried {
    fn new() -> Tried {
        Tried { queue: Queue::default(), profile: Arc::new(default_profile()) }
    }

    fn set(&mut self, name: &str, spec: Value) -> Option<String> {
        self.queue.set(pod(name, spec), &self.profile, Instant::now())
    }

    fn pop(&mut self) -> Option<QueuedPod> {
        self.queue.pop(Instant::now())
    }

    fn next(&mut self) -> Option<String> {
        self.pop().map(|pod| pod.info.key.name.to_string())
    }

    /// Pops a pod and puts it back as rejected for its taints.
    fn reject(&mut self) {
        let pod = self.pop().expect("a pod waits");
        let mut cache =
            cluster(&[node("a", json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}))], &[]);
        let mut decider = crate::decide::Decider::new(crate::testing::clock(), 0);
        let unfit =
            decider.decide(&self.profile, &pod.info, cache.snapshot()).expect_err("the taint is in the way");
        self.queue.rejected(pod, unfit.rejected_by, Instant::now());
    }

    fn node_event(&mut self, extra: Value) {
        let mut cache = cluster(&[node("a", extra)], &[]);
        let subject = Subject::Node(cache.snapshot().node_named("a").expect("it is there"));
        let event = Event { kinds: EventKinds::NODE_TAINTS, subject };
        self.queue.happened(&event, Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn priority_comes_before_age() {
    let mut tried = Tried::new();
    for (name, priority) in [("old", 0), ("urgent", 10), ("young", 0)] {
        tried.set(name, json!({"priority": priority}));
        advance(SECOND).await;
    }
    assert_eq!([tried.next(), tried.next(), tried.next()].map(Option::unwrap), ["urgent", "old", "young"]);
    assert_eq!(tried.next(), None);
}

#[tokio::test(start_paused = true)]
async fn pods_of_one_moment_keep_their_order() {
    let mut tried = Tried::new();
    for name in ["c", "a", "b"] {
        tried.set(name, json!({}));
    }
    tried.queue.remove(&"a".into());
    assert_eq!([tried.next(), tried.next()].map(Option::unwrap), ["c", "b"]);
}

#[tokio::test(start_paused = true)]
async fn only_what_may_help_moves_a_rejected_pod() {
    let mut tried = Tried::new();
    tried.set("p", json!({}));
    tried.reject();
    assert_eq!(tried.queue.counts(), [0, 0, 1, 0]);
    advance(20 * SECOND).await;
    tried.node_event(json!({"spec": {"taints": [{"key": "other", "effect": "NoSchedule"}]}}));
    assert_eq!(tried.queue.counts(), [0, 0, 1, 0], "the node is still tainted");
    tried.node_event(json!({}));
    assert_eq!(tried.queue.counts(), [1, 0, 0, 0], "its backoff is over");
}

#[tokio::test(start_paused = true)]
async fn a_backoff_lasts_while_others_are_active() {
    let mut tried = Tried::new();
    tried.set("p", json!({}));
    tried.reject();
    tried.node_event(json!({}));
    assert_eq!(tried.queue.counts(), [0, 1, 0, 0]);
    assert_eq!(tried.queue.next_wake(), Some(Instant::now() + Backoff::default().min));
    tried.set("other", json!({}));
    assert_eq!(tried.next().as_deref(), Some("other"));
    assert_eq!(tried.next().as_deref(), Some("p"), "an idle scheduler does not wait");
}

#[tokio::test(start_paused = true)]
async fn backoffs_double_up_to_their_limit() {
    let mut tried = Tried::new();
    tried.set("p", json!({}));
    let mut pod = tried.pop().unwrap();
    for seconds in [1, 2, 4, 8, 10, 10] {
        tried.queue.failed(pod, Instant::now());
        let due = Duration::from_secs(seconds);
        assert_eq!(tried.queue.next_wake(), Some(Instant::now() + due));
        advance(due - Duration::from_millis(1)).await;
        assert_eq!(tried.next(), None, "an error makes it wait even if nothing else is to be done");
        advance(Duration::from_millis(1)).await;
        pod = tried.pop().unwrap();
    }
    assert_eq!(pod.attempts, 7);
}

#[tokio::test(start_paused = true)]
async fn missed_events_cost_five_minutes_at_most() {
    let mut tried = Tried::new();
    tried.set("p", json!({}));
    tried.reject();
    assert_eq!(tried.queue.next_wake(), Some(Instant::now() + UNSCHEDULABLE_MAX));
    advance(UNSCHEDULABLE_MAX - SECOND).await;
    assert_eq!(tried.next(), None);
    advance(SECOND).await;
    assert_eq!(tried.next().as_deref(), Some("p"));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_pod_itself_may_help() {
    let mut tried = Tried::new();
    tried.set("p", json!({}));
    tried.reject();
    advance(20 * SECOND).await;
    tried.set("p", json!({"nodeSelector": {"a": "b"}}));
    assert_eq!(tried.next(), None, "taints were in the way");
    tried.set("p", json!({"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}]}));
    let popped = tried.pop().unwrap();
    assert_eq!(popped.info.tolerations.len(), 1, "the newest version is tried");
}

#[tokio::test(start_paused = true)]
async fn gated_pods_wait_for_their_gates() {
    let mut tried = Tried::new();
    let gates = json!({"schedulingGates": [{"name": "a"}]});
    assert_eq!(tried.set("p", gates.clone()).as_deref(), Some("waiting for scheduling gates: [a]"));
    assert_eq!(tried.set("p", gates), None, "it is told once");
    advance(2 * UNSCHEDULABLE_MAX).await;
    tried.node_event(json!({}));
    assert_eq!(tried.next(), None);
    assert_eq!((tried.queue.counts(), tried.queue.next_wake()), ([0, 0, 0, 1], None));
    tried.set("p", json!({}));
    assert_eq!(tried.next().as_deref(), Some("p"));
}
