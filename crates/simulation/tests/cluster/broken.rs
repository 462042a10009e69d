//! The rules about StatefulSets, Jobs, CronJobs and budgets can break: each is shown what it allows and what it forbids.

use std::sync::Arc;

use jiff::SignedDuration;
use libtest_mimic::Failed;
use object::{Value, value};
use parking_lot::Mutex;
use simulation::{Change, Observer, Server, start_time};

use crate::invariants::{Invariants, Seen};
use crate::promises;

/// A store to which anything can be written, and its observer.
struct World {
    invariants: Invariants,
    seen: Arc<Mutex<Seen>>,
}

impl World {
    fn new(server: &Server) -> World {
        let seen = Arc::<Mutex<Seen>>::default();
        World { invariants: Invariants::new(server.journal().clone(), Arc::clone(&seen), false), seen }
    }

    /// Writes an object, or removes it if it is null; returns which rule that breaks.
    fn write(&mut self, key: &str, new: Value) -> Result<(), String> {
        let old = self.seen.lock().model.get(key).cloned().unwrap_or_default();
        let at = start_time() + SignedDuration::from_hours(1);
        self.invariants.observe(&Change { at, revision: 1, key: key.to_owned(), old, new })
    }

    fn allows(&mut self, key: &str, new: Value) {
        assert_eq!(self.write(key, new), Ok(()), "{key}");
    }

    fn forbids(&mut self, key: &str, new: Value, why: &str) {
        let found = self.write(key, new);
        assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{key}: {found:?}");
    }
}

/// An object with a controller of the kind and the name; names are UIDs.
fn owned(kind: &str, owner: &str, name: &str, rest: Value) -> Value {
    let mut object = rest;
    let meta = object.entry("metadata");
    meta.set("namespace", "default");
    meta.set("name", name);
    meta.set("uid", name);
    if !kind.is_empty() {
        let owner = value!({"kind": kind, "name": owner, "uid": owner, "controller": true});
        meta.set("ownerReferences", Value::from(vec![owner]));
    }
    object
}

fn ready() -> Value {
    value!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
}

pub(crate) fn each_rule_can_break() -> Result<(), Failed> {
    simulation::run(async {
        let server = Server::start(1).await;
        ordinals(&mut World::new(&server));
        ended_pods(&mut World::new(&server));
        starts(&mut World::new(&server));
        evictions(&mut World::new(&server));
        unkept_promises(&mut World::new(&server));
    });
    Ok(())
}

fn ordinals(world: &mut World) {
    let set = value!({
        "spec": {"podManagementPolicy": "OrderedReady", "replicas": 2i64, "ordinals": {"start": 1i64}}
    });
    let pod = |name: &str, status: Value| owned("StatefulSet", "db", name, value!({"status": status}));
    world.allows("statefulsets/default/db", owned("", "", "db", set));
    world.forbids("pods/default/db-2", pod("db-2", value!({})), "before ordinal 1 was ready");
    world.allows("pods/default/db-2", Value::Null);
    world.allows("pods/default/db-1", pod("db-1", value!({})));
    world.allows("pods/default/db-1", pod("db-1", ready()));
    world.allows("pods/default/db-2", pod("db-2", ready()));
    world.forbids("pods/default/db-3", pod("db-3", value!({})), "ordinals end before 3");
}

fn ended_pods(world: &mut World) {
    let job = |status: Value| owned("", "", "sum", value!({"spec": {"parallelism": 1i64}, "status": status}));
    let pod = |name: &str, phase: &str| owned("Job", "sum", name, value!({"status": {"phase": phase}}));
    world.allows("jobs/default/sum", job(value!({})));
    world.forbids("jobs/default/sum", job(value!({"failed": 1i64})), "counts 1 pods as failed; there were 0");
    world.allows("jobs/default/sum", Value::Null);
    world.allows("jobs/default/sum", job(value!({})));
    world.allows("pods/default/a", pod("a", "Running"));
    world.forbids("pods/default/b", pod("b", "Running"), "Job sum has 2 pods; 1 were wanted");
    world.allows("pods/default/b", Value::Null);
    world.allows("pods/default/a", pod("a", "Succeeded"));
    let uncounted = value!({"uncountedTerminatedPods": {"succeeded": ["a"]}});
    world.allows("jobs/default/sum", job(uncounted));
    world.allows("jobs/default/sum", job(value!({"succeeded": 1i64})));
    let twice = value!({"succeeded": 1i64, "uncountedTerminatedPods": {"succeeded": ["a"]}});
    world.forbids("jobs/default/sum", job(twice), "counts 2 pods as succeeded; there were 1");
    world.forbids("jobs/default/sum", job(value!({})), "has fewer now");
}

fn starts(world: &mut World) {
    let job = |name: &str, time: &str, status: Value| {
        let annotations = value!({"batch.kubernetes.io/cronjob-scheduled-timestamp": time});
        owned("CronJob", "tick", name, value!({"metadata": {"annotations": annotations}, "status": status}))
    };
    let complete = || value!({"conditions": [{"type": "Complete", "status": "True"}]});
    let tick = value!({"spec": {"concurrencyPolicy": "Forbid"}});
    world.allows("cronjobs/default/tick", owned("", "", "tick", tick));
    world.allows("jobs/default/tick-1", job("tick-1", "00:01", value!({})));
    world.forbids("jobs/default/tick-2", job("tick-2", "00:02", value!({})), "was started while tick-1 ran");
    world.allows("jobs/default/tick-2", Value::Null);
    world.allows("jobs/default/tick-1", job("tick-1", "00:01", complete()));
    world.allows("jobs/default/tick-3", job("tick-3", "00:03", complete()));
    world.allows("jobs/default/tick-1", Value::Null);
    world.forbids("jobs/default/tick-1", job("tick-1", "00:01", value!({})), "for the second time");
}

fn evictions(world: &mut World) {
    let budget = |disrupted: Value| {
        let created = start_time().to_string();
        let spec = value!({"selector": {"matchLabels": {"app": "web"}}});
        let status = value!({"disruptedPods": disrupted});
        let metadata = value!({"creationTimestamp": created.as_str()});
        owned("", "", "web", value!({"metadata": metadata, "spec": spec, "status": status}))
    };
    let pod = |name: &str, status: Value| {
        owned("", "", name, value!({"metadata": {"labels": {"app": "web"}}, "status": status}))
    };
    let evicted = || {
        let reason = "EvictionByEvictionAPI";
        value!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason}]})
    };
    world.allows("poddisruptionbudgets/default/web", budget(value!({"a": "2026-01-01T00:30:00Z"})));
    for name in ["a", "b"] {
        world.allows(&format!("pods/default/{name}"), pod(name, ready()));
    }
    world.allows("pods/default/c", pod("c", value!({"phase": "Running"})));
    world.allows("pods/default/a", pod("a", evicted()));
    world.forbids("pods/default/b", pod("b", evicted()), "was evicted for nothing from default/web");
    // It was not ready.
    world.allows("pods/default/c", pod("c", evicted()));
}

/// Objects for which nothing was done.
fn unkept_promises(world: &mut World) {
    assert_eq!(kept(world), [true; 4]);
    let set = value!({"spec": {"replicas": 1i64}});
    world.allows("statefulsets/default/db", owned("", "", "db", set));
    world.allows("jobs/default/sum", owned("", "", "sum", value!({"spec": {"completions": 1i64}})));
    let tick = value!({"status": {"active": [{"name": "tick-1"}]}});
    world.allows("cronjobs/default/tick", owned("", "", "tick", tick));
    let budget = value!({"metadata": {"generation": 1i64}, "spec": {"minAvailable": 1i64}});
    world.allows("poddisruptionbudgets/default/web", owned("", "", "web", budget));
    assert_eq!(kept(world), [false; 4]);
}

/// Which promises are kept.
fn kept(world: &World) -> [bool; 4] {
    promises::CHECKS.map(|check| check(&world.seen.lock().model).is_empty())
}
