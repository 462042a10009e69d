use ::metrics::Exposition;

use super::*;

#[test]
fn names_and_labels_are_upstreams() {
    let exposition = Exposition::default();
    let metrics = exposition.with(Metrics::register);
    metrics.set_sizes([4, 3, 2, 1], [5, 6, 7]);
    metrics.decided(Duration::from_millis(1));
    metrics.attempted("default-scheduler", Attempted::Scheduled, Duration::from_millis(3));
    metrics.attempted("default-scheduler", Attempted::Unschedulable, Duration::from_millis(3));
    metrics.scheduled(1, Duration::from_millis(30));
    metrics.scheduled(20, Duration::from_secs(30));
    metrics.preempted(3);
    let text = exposition.text();
    for line in [
        "scheduler_pending_pods{queue=\"active\"} 4",
        "scheduler_pending_pods{queue=\"gated\"} 1",
        "scheduler_scheduler_cache_size{type=\"assumed_pods\"} 7",
        "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 1",
        "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"unschedulable\"} 1",
        "scheduler_scheduling_attempt_duration_seconds_count{profile=\"default-scheduler\",result=\"scheduled\"} 1",
        "scheduler_scheduling_algorithm_duration_seconds_count 1",
        "scheduler_pod_scheduling_attempts_sum 21.0",
        "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"15+\"} 1",
        "scheduler_preemption_attempts_total 1",
        "scheduler_preemption_victims_sum 3.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}
