//! Decisions in which extenders take part.

use std::collections::HashMap;

use serde_json::json;

use super::*;
use crate::extender::{Answer, Ask, Extender, Filtered, Question};
use crate::framework::{Candidate, Rejection};

fn now() -> Instant {
    Instant::now()
}

/// A scheduler with an extender that has all verbs, and two nodes.
fn extended() -> Scheduler {
    let verb = || "verb".to_owned();
    let (filter, prioritize, preempt) = (verb(), verb(), verb());
    let extender = Extender { filter, prioritize, preempt, ..Extender::default() };
    let mut scheduler = scheduler().with_extenders(vec![Arc::new(extender)]);
    add_node(&mut scheduler, "a", json!({}));
    add_node(&mut scheduler, "b", json!({}));
    scheduler
}

fn asked(scheduler: &mut Scheduler) -> Question {
    match scheduler.next(now()) {
        Some(Outcome::Ask(question)) => question,
        other => panic!("{other:?} is not a question"),
    }
}

fn names(question: &Question) -> Vec<String> {
    let (Ask::Filter(nodes) | Ask::Prioritize(nodes)) = &question.ask else { panic!("{question:?}") };
    let mut names: Vec<_> = nodes.iter().filter_map(|node| node.metadata.name.clone()).collect();
    names.sort();
    names
}

fn passed(names: &[&str], rejected: Vec<(String, Rejection)>) -> Answer {
    let passed = names.iter().map(|name| (*name).to_owned()).collect();
    Answer::Filtered(Ok(Filtered { passed, rejected }))
}

fn node_of(scheduler: &mut Scheduler) -> String {
    match scheduler.next(now()) {
        Some(Outcome::Bind { placement, .. }) => placement.node.to_string(),
        other => panic!("{other:?} is not a binding"),
    }
}

#[tokio::test(start_paused = true)]
async fn they_filter_and_score() {
    let mut scheduler = extended();
    scheduler.set_pod(pod("one", json!({})), now());
    assert_eq!(names(&asked(&mut scheduler)), ["a", "b"]);
    let next = scheduler.answer(passed(&["a", "b"], Vec::new()), now());
    assert_eq!(names(&next.unwrap()), ["a", "b"]);
    assert!(
        scheduler.answer(Answer::Prioritized(HashMap::from([("b".to_owned(), 10_000)])), now()).is_none()
    );
    assert_eq!(node_of(&mut scheduler), "b");
    // With one node left, there is nothing to score.
    scheduler.set_pod(pod("two", json!({})), now());
    asked(&mut scheduler);
    assert!(scheduler.answer(passed(&["a"], Vec::new()), now()).is_none());
    assert_eq!(node_of(&mut scheduler), "a");
}

#[tokio::test(start_paused = true)]
async fn their_reasons_are_told_and_any_event_wakes_the_pod() {
    let mut scheduler = extended();
    scheduler.set_pod(pod("one", json!({})), now());
    asked(&mut scheduler);
    let rejected = vec![("a".to_owned(), Rejection::unresolvable("is taken"))];
    assert!(scheduler.answer(passed(&[], rejected), now()).is_none());
    let Some(Outcome::Unschedulable { message, .. }) = scheduler.next(now()) else {
        panic!("no node is left")
    };
    assert!(message.starts_with("0/2 nodes are available: 1 is taken."), "{message}");
    advance(Duration::from_secs(20)).await;
    assert!(scheduler.next(now()).is_none());
    scheduler.set_namespace("any", Some([("a".to_owned(), "b".to_owned())].into()), now());
    asked(&mut scheduler);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again() {
    let mut scheduler = extended();
    scheduler.set_pod(pod("one", json!({})), now());
    asked(&mut scheduler);
    assert!(scheduler.answer(Answer::Filtered(Err("no licence".to_owned())), now()).is_none());
    let Some(Outcome::Failed { message, .. }) = scheduler.next(now()) else { panic!("it failed") };
    assert_eq!(message, "no licence");
    assert!(scheduler.next(now()).is_none(), "not at once");
    advance(Duration::from_secs(2)).await;
    asked(&mut scheduler);
}

#[tokio::test(start_paused = true)]
async fn they_choose_the_victims() {
    let large = |name: &str, priority: i32| {
        let mut spec = crate::testing::containers(json!({"cpu": "3"}));
        spec["priority"] = json!(priority);
        pod(name, spec)
    };
    for answer in [Ok("a"), Err("no licence")] {
        let mut scheduler = extended();
        scheduler.set_pod(on("a", &large("low", 0)), now());
        scheduler.set_pod(on("b", &large("lower", -1)), now());
        scheduler.set_pod(large("high", 5), now());
        let Question { ask: Ask::Preempt(candidates, residents), .. } = asked(&mut scheduler) else {
            panic!("victims are asked for")
        };
        assert_eq!((candidates.len(), residents.len()), (2, 2));
        let only = |node: &str| -> Vec<Candidate> {
            candidates.iter().filter(|candidate| *candidate.node == *node).cloned().collect()
        };
        assert!(
            scheduler.answer(Answer::Preempted(answer.map(only).map_err(str::to_owned)), now()).is_none()
        );
        let Some(Outcome::Unschedulable { message, preemption, .. }) = scheduler.next(now()) else {
            panic!("no node is free")
        };
        match answer {
            Ok(node) => assert_eq!(*preemption.unwrap().nominated, *node),
            Err(why) => {
                assert!(
                    preemption.is_none() && message.ends_with(&format!(" preemption: {why}")),
                    "{message}"
                );
            }
        }
    }
}
