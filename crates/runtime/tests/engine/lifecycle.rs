//! Starting, ending, updating and removing containers.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use cri::{
    ContainerState, KeyValue, LinuxContainerResources, PodSandboxState, PodSandboxStatsFilter, RuntimeService,
};
use libtest_mimic::Trial;
use runtime::engine::{Engine, EngineOptions, LoopbackOnly};
use runtime::images::build::ImageBuilder;
use runtime::images::{ImageStore, ImageStoreConfig};
use tokio::time::Instant;

use crate::support::{Host, command, log_lines, shell, trial, until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("runs_and_logs", runs_and_logs),
        trial("long_lines_are_split", long_lines_are_split),
        trial("the_image_gives_defaults", the_image_gives_defaults),
        trial("a_missing_command_fails_the_start", a_missing_command_fails_the_start),
        trial("stops_by_signal_then_by_force", stops_by_signal_then_by_force),
        trial("too_much_memory_is_reported", too_much_memory_is_reported),
        trial("resources_change_while_it_runs", resources_change_while_it_runs),
        trial("logs_can_be_rotated", logs_can_be_rotated),
        trial("removal_is_idempotent", removal_is_idempotent),
        trial("removals_do_not_meet", removals_do_not_meet),
        trial("images_run", images_run),
        trial("starts_fast", starts_fast),
    ]
}

async fn runs_and_logs(host: Host) {
    let script = "echo out; echo err >&2; printf tail; exit 3";
    let (status, mut log) = host.run(&shell("main", script)).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    assert!(status.started_at.is_some() && status.finished_at >= status.started_at);
    log.sort();
    assert_eq!(log, ["stderr F err", "stdout F out", "stdout P tail"]);

    let (status, _) = host.run(&command("fine", &["true"])).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (0, "Completed"));
}

async fn long_lines_are_split(host: Host) {
    let script = "awk 'BEGIN { for (i = 0; i < 40000; i++) printf \"x\"; print \"\" }'";
    let (_, log) = host.run(&shell("long", script)).await;
    let parts: Vec<_> = log.iter().map(|line| (&line[..8], line.len() - 9)).collect();
    assert_eq!(parts, [("stdout P", 16384), ("stdout P", 16384), ("stdout F", 7232)]);
}

async fn the_image_gives_defaults(host: Host) {
    let (_, log) = host.run(&command("default", &[])).await;
    assert_eq!(log, ["stdout F default"]);

    let mut config = command("args", &[]);
    config.args = vec!["other".to_owned()];
    assert_eq!(host.run(&config).await.1, ["stdout F other"]);

    let mut config = shell("env", "echo $FROM_IMAGE $OWN $HOSTNAME $HOME $(pwd)");
    config.envs = vec![KeyValue { key: "OWN".to_owned(), value: "a b".to_owned() }];
    config.working_dir = "/made/here".to_owned();
    assert_eq!(host.run(&config).await.1, ["stdout F yes a b pod-of-env /root /made/here"]);
}

async fn a_missing_command_fails_the_start(host: Host) {
    let sandbox = host.sandbox(&host.pod("missing")).await;
    let cases = [
        (vec!["nosuch"], "exec: \"nosuch\": executable file not found in $PATH"),
        (vec!["/bin/nosuch"], "exec: \"/bin/nosuch\": stat /bin/nosuch: no such file or directory"),
        (vec!["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
    ];
    for (index, (words, message)) in cases.into_iter().enumerate() {
        let id = host.create(&sandbox, &command(&format!("c{index}"), &words)).await;
        let error = host.engine.start_container(&id).await.expect_err("the start fails").full_message();
        assert!(error.contains(message), "{error}");
        let status = host.engine.container_status(&id).await.unwrap();
        assert_eq!(status.state, ContainerState::Exited);
        assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));
        assert_eq!(status.message, error);
    }
}

async fn stops_by_signal_then_by_force(host: Host) {
    let sandbox = host.sandbox(&host.pod("stop")).await;
    let polite = shell("polite", "trap 'echo bye; exit 7' TERM; echo up; while true; do sleep 0.05; done");
    let polite = host.start(&sandbox, &polite).await;
    let status = host.engine.container_status(&polite).await.unwrap();
    until("the trap", || log_lines(&status).contains(&"stdout F up".to_owned()).then_some(())).await;
    host.engine.stop_container(&polite, Duration::from_secs(20)).await.unwrap();
    let status = host.engine.container_status(&polite).await.unwrap();
    assert_eq!(status.exit_code, 7);
    assert_eq!(log_lines(&status), ["stdout F up", "stdout F bye"]);

    // The first process of a namespace has no default action for SIGTERM.
    let stubborn = host.start(&sandbox, &command("stubborn", &["sleep", "1000"])).await;
    let before = Instant::now();
    host.engine.stop_container(&stubborn, Duration::from_secs(1)).await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
    let status = host.engine.container_status(&stubborn).await.unwrap();
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "Error"));
    host.engine.stop_container(&stubborn, Duration::ZERO).await.unwrap();
}

async fn too_much_memory_is_reported(host: Host) {
    let mut config = command("oom", &["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]);
    config.linux.resources.memory_limit_in_bytes = 32 << 20;
    config.linux.resources.memory_swap_limit_in_bytes = 32 << 20;
    let (status, _) = host.run(&config).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
}

async fn resources_change_while_it_runs(host: Host) {
    let sandbox = host.sandbox(&host.pod("resources")).await;
    let mut config = command("main", &["sleep", "1000"]);
    config.linux.resources.memory_limit_in_bytes = 64 << 20;
    config.linux.resources.cpu_shares = 128;
    let id = host.start(&sandbox, &config).await;
    let stats = host.engine.container_stats(&id).await.unwrap();
    let memory = stats.memory.expect("memory is counted");
    assert!(memory.usage_bytes > 0 && memory.available_bytes.is_some_and(|bytes| bytes <= 64 << 20));
    assert!(stats.cpu.expect("time is counted").usage_core_nano_seconds > 0);
    let filter = PodSandboxStatsFilter { id: Some(sandbox.clone()), ..PodSandboxStatsFilter::default() };
    let [of_sandbox] = &host.engine.list_pod_sandbox_stats(&filter).await.unwrap()[..] else { panic!() };
    assert_eq!(of_sandbox.process_count, Some(1));
    assert!(of_sandbox.cpu.as_ref().is_some_and(|cpu| cpu.usage_core_nano_seconds > 0), "{of_sandbox:?}");
    assert!(of_sandbox.memory.as_ref().is_some_and(|memory| memory.usage_bytes > 0), "{of_sandbox:?}");

    let update = LinuxContainerResources {
        memory_limit_in_bytes: 128 << 20,
        cpu_quota: 20_000,
        cpu_period: 100_000,
        cpuset_cpus: "0".to_owned(),
        ..Default::default()
    };
    host.engine.update_container_resources(&id, &update).await.unwrap();
    let memory = host.engine.container_stats(&id).await.unwrap().memory.unwrap();
    assert!(memory.available_bytes.is_some_and(|bytes| bytes > 64 << 20), "{memory:?}");
    let resources = host.engine.container_status(&id).await.unwrap().resources.linux;
    assert_eq!((resources.cpu_shares, resources.cpu_quota), (128, 20_000));
    let show = words(&["grep", "Cpus_allowed_list", "/proc/1/status"]);
    let allowed = host.engine.exec_sync(&id, &show, Duration::ZERO).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&allowed.stdout).split_whitespace().last(), Some("0"));
}

async fn logs_can_be_rotated(host: Host) {
    let sandbox = host.sandbox(&host.pod("rotate")).await;
    let script = "echo one; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo two";
    let id = host.start(&sandbox, &shell("main", script)).await;
    let status = host.engine.container_status(&id).await.unwrap();
    until("the first line", || (!log_lines(&status).is_empty()).then_some(())).await;
    let rotated = format!("{}.1", status.log_path);
    std::fs::rename(&status.log_path, &rotated).unwrap();
    host.engine.reopen_container_log(&id).await.unwrap();
    host.engine.exec_sync(&id, &words(&["touch", "/tmp/go"]), Duration::ZERO).await.unwrap();
    let status = host.exited(&id).await;
    assert_eq!(log_lines(&status), ["stdout F two"]);
    assert!(std::fs::read_to_string(rotated).unwrap().ends_with("stdout F one\n"));
}

async fn removal_is_idempotent(host: Host) {
    let sandbox = host.sandbox(&host.pod("remove")).await;
    let id = host.start(&sandbox, &command("main", &["sleep", "1000"])).await;
    host.engine.remove_container(&id).await.unwrap();
    host.engine.remove_container(&id).await.unwrap();
    assert!(host.engine.container_status(&id).await.unwrap_err().is_not_found());

    let id = host.start(&sandbox, &command("main", &["sleep", "1000"])).await;
    host.engine.stop_pod_sandbox(&sandbox).await.unwrap();
    host.engine.stop_pod_sandbox(&sandbox).await.unwrap();
    let status = host.engine.pod_sandbox_status(&sandbox).await.unwrap();
    assert_eq!(status.state, PodSandboxState::NotReady);
    let status = host.engine.container_status(&id).await.unwrap();
    assert_eq!((status.state, status.exit_code), (ContainerState::Exited, 137));
    host.engine.remove_pod_sandbox(&sandbox).await.unwrap();
    host.engine.remove_pod_sandbox(&sandbox).await.unwrap();
    assert!(host.engine.container_status(&id).await.unwrap_err().is_not_found());
}

/// As when a node is reset while its agent ends a pod.
async fn removals_do_not_meet(host: Host) {
    for round in 0..5 {
        let sandbox = host.sandbox(&host.pod(&format!("remove-{round}"))).await;
        let id = host.start(&sandbox, &command("main", &["sleep", "1000"])).await;
        let engine = &host.engine;
        let results = tokio::join!(
            engine.remove_pod_sandbox(&sandbox),
            engine.stop_pod_sandbox(&sandbox),
            engine.remove_container(&id),
            engine.remove_pod_sandbox(&sandbox),
        );
        assert!(matches!(results, (Ok(()), Ok(()), Ok(()), Ok(()))), "{results:?}");
        assert!(engine.pod_sandbox_status(&sandbox).await.unwrap_err().is_not_found());
    }
}

async fn images_run(host: Host) {
    let mut builder = ImageBuilder::new();
    builder.add_host_file("/bin/busybox", "/bin/busybox", 0o755).unwrap();
    builder.symlink("/bin/sh", "busybox").add_file("/etc/passwd", "web:x:1000:1000::/srv:\n", 0o644);
    let config = builder.config();
    config.entrypoint =
        words(&["/bin/sh", "-c", "busybox id -u; busybox pwd; echo $GREETING > /tmp/x; busybox cat /tmp/x"]);
    config.env = words(&["GREETING=hello", "PATH=/bin"]);
    config.user = "web".to_owned();
    config.working_dir = "/srv".to_owned();
    builder.add_dir("/tmp", 0o1777);
    let archive = host.dir.join("image.tar");
    builder.build().write_docker_archive(&archive, &["example.org/web:1"]).unwrap();

    let store = ImageStoreConfig { data_dir: host.dir.join("images"), ..Default::default() };
    let store = ImageStore::open(&store, Clock::system()).unwrap();
    store.import(&archive, None).await.unwrap();
    let options = EngineOptions::new(host.dir.join("engine-of-images"));
    let roots = Arc::new(store.clone());
    let engine = Engine::open(options, roots, Arc::new(LoopbackOnly), Clock::system()).await.unwrap();
    let host = Host { engine, ..host };
    let mut config = command("web", &[]);
    config.image.image = "example.org/web:1".to_owned();
    let (status, log) = host.run(&config).await;
    assert_eq!(log, ["stdout F 1000", "stdout F /srv", "stdout F hello"]);
    assert!(status.image_id.starts_with("sha256:"), "{status:?}");
    let stats = host.engine.container_stats(&status.id).await.unwrap();
    assert!(stats.writable_layer.is_some_and(|layer| layer.inodes_used > 0));
    host.engine.destroy_all().await.unwrap();
    assert!(store.rootfs_ids().unwrap().is_empty());
}

/// A budget far above the usual time (the whole pod has 250 ms), which an unnecessary wait would exceed.
async fn starts_fast(host: Host) {
    let before = Instant::now();
    let sandbox = host.sandbox(&host.pod("fast")).await;
    let in_sandbox = before.elapsed();
    host.start(&sandbox, &command("main", &["sleep", "1000"])).await;
    let total = before.elapsed();
    println!("sandbox {in_sandbox:?}, with container {total:?}");
    assert!(total < Duration::from_secs(2), "{total:?}");
}

pub fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| word.to_string()).collect()
}
