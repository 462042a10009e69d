use super::*;

/// The key that is available without waiting, if any.
async fn now(queue: &WorkQueue<u32>) -> Option<Job<u32>> {
    tokio::time::timeout(Duration::ZERO, queue.next()).await.ok().flatten()
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_once() {
    let queue = WorkQueue::new();
    for key in [1, 2, 1] {
        queue.add(key);
    }
    assert_eq!(queue.len(), 2);
    assert_eq!(*now(&queue).await.unwrap(), 1);
    assert_eq!(*now(&queue).await.unwrap(), 2);
    assert!(now(&queue).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_key_in_work_comes_again_when_it_is_done() {
    let queue = WorkQueue::new();
    queue.add(1);
    let job = now(&queue).await.unwrap();
    queue.add(1);
    assert!(now(&queue).await.is_none(), "never with two workers");
    drop(job);
    assert_eq!(*now(&queue).await.unwrap(), 1);
    assert!(now(&queue).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn delayed_keys_come_in_the_order_of_their_times() {
    let queue = WorkQueue::new();
    queue.add_after(1, Duration::from_secs(9));
    queue.add_after(2, Duration::from_secs(3));
    queue.add_after(1, Duration::from_secs(5));
    queue.add_after(2, Duration::from_secs(7));
    let start = Instant::now();
    assert_eq!(*queue.next().await.unwrap(), 2);
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(*queue.next().await.unwrap(), 1);
    assert_eq!(start.elapsed().as_secs(), 5);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert!(now(&queue).await.is_none(), "the later times were dropped");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_worker_hears_of_an_earlier_time() {
    let queue = WorkQueue::new();
    queue.add_after(1, Duration::from_secs(60));
    let worker = tokio::spawn({
        let queue = queue.clone();
        async move { *queue.next().await.unwrap() }
    });
    tokio::task::yield_now().await;
    queue.add_after(2, Duration::from_secs(1));
    assert_eq!(worker.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn failures_wait_exponentially_longer() {
    let queue = WorkQueue::new();
    let mut waited = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        queue.add_rate_limited(1);
        drop(queue.next().await.unwrap());
        waited.push(start.elapsed().as_millis());
    }
    assert_eq!(waited[..4], [5, 10, 20, 40]);
    assert_eq!(waited[17..], [655_360, 1_000_000, 1_000_000]);
    assert_eq!(queue.failures(&1), 20);
    queue.forget(&1);
    let start = Instant::now();
    queue.add_rate_limited(1);
    drop(queue.next().await.unwrap());
    assert_eq!(start.elapsed().as_millis(), 5);
}

#[tokio::test(start_paused = true)]
async fn every_worker_sees_the_end_after_the_last_key() {
    let queue = WorkQueue::new();
    queue.add(1);
    queue.add_after(2, Duration::from_secs(1));
    queue.close();
    queue.add(3);
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut keys = Vec::new();
                while let Some(job) = queue.next().await {
                    keys.push(*job);
                }
                keys
            })
        })
        .collect();
    let keys = futures::future::join_all(workers).await;
    assert_eq!(keys.into_iter().flat_map(Result::unwrap).collect::<Vec<_>>(), [1]);
}

#[tokio::test(start_paused = true)]
async fn many_workers_share_many_keys() {
    let queue = WorkQueue::new();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut keys = Vec::new();
                while let Some(job) = queue.next().await {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    keys.push(*job);
                }
                keys
            })
        })
        .collect();
    for key in 0..100 {
        queue.add(key);
        queue.add_after(key + 100, Duration::from_millis(10));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    queue.close();
    let per_worker: Vec<Vec<u32>> =
        futures::future::join_all(workers).await.into_iter().map(Result::unwrap).collect();
    assert!(per_worker.iter().all(|keys| keys.len() > 20), "no worker starves");
    let mut keys: Vec<u32> = per_worker.into_iter().flatten().collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_measured_queue_tells_what_it_did() {
    let exposition = ::metrics::Exposition::default();
    let queues = exposition.with(QueueMetrics::register);
    let queue = WorkQueue::measured("deployment", &queues, RETRY_MAX);
    queue.add(1);
    queue.add(1);
    queue.add(2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let job = queue.next().await.unwrap();
    queue.add(1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    queue.add_rate_limited(*job);
    drop(job);
    let text = exposition.text();
    for line in [
        r#"workqueue_depth{name="deployment"} 2"#,
        r#"workqueue_adds_total{name="deployment"} 3"#,
        r#"workqueue_retries_total{name="deployment"} 1"#,
        r#"workqueue_queue_duration_seconds_count{name="deployment"} 1"#,
        r#"workqueue_queue_duration_seconds_bucket{le="1.0",name="deployment"} 0"#,
        r#"workqueue_queue_duration_seconds_bucket{le="10.0",name="deployment"} 1"#,
        r#"workqueue_work_duration_seconds_count{name="deployment"} 1"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in:\n{text}");
    }
}

/// A namespace that could not be emptied for a while was tried again only after a quarter of an hour.
#[tokio::test(start_paused = true)]
async fn a_queue_has_its_own_longest_delay() {
    let queue = WorkQueue::measured("namespace", &QueueMetrics::default(), Duration::from_secs(60));
    let mut longest = Duration::ZERO;
    for _ in 0..30 {
        let start = Instant::now();
        queue.add_rate_limited(1);
        drop(queue.next().await);
        longest = longest.max(start.elapsed());
    }
    assert_eq!(longest.as_secs(), 60);
}
