//! Containers keep running without the agent, and the next agent adopts them.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cri::{ContainerEventType, ContainerFilter, ContainerState, PodSandboxState, RuntimeService};
use futures::StreamExt;
use libtest_mimic::Trial;

use crate::lifecycle::words;
use crate::support::{Host, cgroup_of, command, log_lines, open_engine, shell, trial, until};

/// The first argument that makes this program act as a separate agent.
pub const AGENT_ARGUMENT: &str = "test-agent";

pub fn trials() -> Vec<Trial> {
    vec![
        trial("containers_outlive_the_agent", containers_outlive_the_agent),
        trial("a_sandbox_ends_with_its_shim", a_sandbox_ends_with_its_shim),
        trial("events_tell_of_every_change", events_tell_of_every_change),
    ]
}

/// An agent in a separate process: starts two containers, prints their IDs, and waits to be killed.
pub fn agent(mut args: impl Iterator<Item = OsString>) -> ! {
    let dir = PathBuf::from(args.next().expect("a directory"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let host = Host { engine: open_engine(&dir).await, cgroup: cgroup_of(&dir), dir };
        let sandbox = host.sandbox(&host.pod("adopted")).await;
        let script = "i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo end";
        let lives = host.start(&sandbox, &shell("lives", script)).await;
        let ends = host
            .start(&sandbox, &shell("ends", "while [ ! -e /tmp/stop ]; do sleep 0.01; done; exit 9"))
            .await;
        println!("{sandbox} {lives} {ends}");
        std::io::stdout().flush().expect("the test listens");
        std::future::pending::<()>().await;
    });
    unreachable!("the agent only ends when it is killed")
}

/// Ended with the test, whatever happens.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn containers_outlive_the_agent(host: Host) {
    let program = std::env::current_exe().unwrap();
    let child =
        Command::new(program).arg(AGENT_ARGUMENT).arg(&host.dir).stdout(Stdio::piped()).spawn().unwrap();
    let mut agent = Agent(child);
    let mut line = String::new();
    BufReader::new(agent.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let [sandbox, lives, ends] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line:?}") };
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();

    // One exits while there is no agent.
    let root = |id: &str| host.dir.join("roots").join(id);
    std::fs::write(root(ends).join("tmp/stop"), "").unwrap();
    let state = host.dir.join("engine/containers").join(ends).join("state.json");
    until("the end without agent", || {
        std::fs::read_to_string(&state).ok()?.contains("finishedAt").then_some(())
    })
    .await;

    let host = Host { engine: open_engine(&host.dir).await, ..host };
    let status = host.engine.pod_sandbox_status(sandbox).await.unwrap();
    assert_eq!(status.state, PodSandboxState::Ready);
    let status = host.engine.container_status(ends).await.unwrap();
    assert_eq!((status.state, status.exit_code), (ContainerState::Exited, 9));
    let before = host.engine.container_status(lives).await.unwrap();
    assert_eq!(before.state, ContainerState::Running);
    let running = ContainerFilter { state: Some(ContainerState::Running), ..Default::default() };
    assert_eq!(host.engine.list_containers(&running).await.unwrap().len(), 1);

    // It can be used as before, and new ones can be created.
    host.engine.exec_sync(lives, &words(&["touch", "/tmp/stop"]), Duration::ZERO).await.unwrap();
    let after = host.exited(lives).await;
    assert_eq!((after.exit_code, after.started_at), (0, before.started_at));
    let lines = log_lines(&after);
    let numbers: Vec<_> = lines[..lines.len() - 1]
        .iter()
        .map(|line| line["stdout F ".len()..].parse::<usize>().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "no line is lost");
    assert_eq!(lines.last().map(String::as_str), Some("stdout F end"));
    let new = host.start(sandbox, &command("new", &["true"])).await;
    assert_eq!(host.exited(&new).await.exit_code, 0);
}

async fn a_sandbox_ends_with_its_shim(host: Host) {
    let sandbox = host.sandbox(&host.pod("lost")).await;
    let id = host.start(&sandbox, &command("main", &["sleep", "1000"])).await;
    let shim = std::fs::read_dir("/proc").unwrap().flatten().find(|process| {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&format!("engine/sandboxes/{sandbox}"))
    });
    let pid: i32 = shim.expect("the shim runs").file_name().to_string_lossy().parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let status = host.exited(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (255, "Error"));
    let status = host.engine.pod_sandbox_status(&sandbox).await.unwrap();
    assert_eq!(status.state, PodSandboxState::NotReady);
}

async fn events_tell_of_every_change(host: Host) {
    use ContainerEventType::{Created, Deleted, Started, Stopped};
    let mut events = host.engine.events().await.unwrap();
    let sandbox = host.sandbox(&host.pod("events")).await;
    let id = host.start(&sandbox, &command("main", &["true"])).await;
    host.exited(&id).await;
    host.engine.remove_pod_sandbox(&sandbox).await.unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&(sandbox.clone(), Deleted)) {
        let event = events.next().await.unwrap().unwrap();
        if event.event_type == Started && event.container_id == id {
            assert_eq!(event.containers_statuses.len(), 1);
        }
        seen.push((event.container_id, event.event_type));
    }
    let of = |wanted: &str| -> Vec<_> {
        seen.iter().filter(|(id, _)| id == wanted).map(|(_, event_type)| *event_type).collect()
    };
    assert_eq!(of(&sandbox), [Created, Started, Stopped, Deleted]);
    let container = of(&id);
    // The exit may be reported before the answer to the start.
    assert_eq!(container[0], Created);
    assert!(container[1..3] == [Started, Stopped] || container[1..3] == [Stopped, Started], "{container:?}");
    assert_eq!(container[3..], [Deleted]);
}
