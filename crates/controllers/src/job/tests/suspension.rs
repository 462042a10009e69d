//! Jobs that are suspended and resumed.

use super::*;

fn suspend(world: &mut World, is_suspended: bool) {
    world.job.spec.as_mut().unwrap().suspend = Some(is_suspended);
}

#[test]
fn a_suspended_job_has_no_pods_and_starts_anew_when_it_resumes() {
    let mut world = World::new(job(json!({"completions": 2, "activeDeadlineSeconds": 100})));
    suspend(&mut world, true);
    let plans = world.settle();
    assert_eq!((world.pods.len(), world.status().start_time), (0, None));
    assert_eq!(world.conditions(), ["Suspended JobSuspended"]);
    assert_eq!(notes(&plans), ["Normal Suspended: Job suspended"]);
    suspend(&mut world, false);
    world.now = at(500);
    let plans = world.settle();
    assert_eq!((world.active().len(), world.status().start_time), (1, Some(Time(at(500)))));
    assert_eq!(notes(&plans), ["Normal Resumed: Job resumed"]);
    let suspended = world.status().conditions.unwrap().remove(0);
    assert_eq!((suspended.status.as_str(), suspended.message.as_deref()), ("False", Some("Job resumed")));
    suspend(&mut world, true);
    world.now = at(1000);
    world.settle();
    assert_eq!(
        (world.active().len(), world.status().failed),
        (0, None),
        "those that are stopped have not failed"
    );
    assert_eq!(world.conditions(), ["Suspended JobSuspended"], "the deadline is not running");
}

#[test]
fn a_job_that_was_never_suspended_says_nothing_about_it() {
    let mut world = World::new(job(json!({"completions": 1})));
    world.settle();
    assert_eq!(world.status().conditions, None);
}
