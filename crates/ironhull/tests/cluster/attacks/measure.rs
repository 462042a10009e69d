//! The effect of an attack on others: the response times of a Service, and the memory of our processes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hostnet::NetNs;
use testbed::{Host, until};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, PROGRAM, get};

/// The pause between two requests.
const PACE: Duration = Duration::from_millis(50);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Requests to a Service, twenty a second however long the responses take.
pub struct Questions {
    answered: Arc<AtomicUsize>,
    stop: CancellationToken,
    thread: JoinHandle<Answers>,
}

/// Their results.
#[derive(Debug, Default)]
pub struct Answers {
    pub failures: Vec<String>,
    took: Vec<Duration>,
}

impl Questions {
    /// Sends requests to `address` (with port) from a host, each over a new connection.
    pub fn start(host: &Host, address: &str) -> Questions {
        let namespace = NetNs::open(&host.network_namespace()).unwrap();
        let stop = CancellationToken::new();
        let (stopped, address) = (stop.clone(), Arc::<str>::from(address));
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        let work = move || async move {
            let mut tasks = tokio::task::JoinSet::new();
            let mut pace = tokio::time::interval(PACE);
            loop {
                tokio::select! {
                    _ = pace.tick() => {}
                    () = stopped.cancelled() => break,
                }
                let (address, count) = (Arc::clone(&address), Arc::clone(&count));
                tasks.spawn(async move {
                    let start = Instant::now();
                    let answer = tokio::time::timeout(ANSWER_WITHIN, get(&address)).await;
                    count.fetch_add(1, Ordering::Relaxed);
                    match answer {
                        Ok(Ok(_)) => Ok(start.elapsed()),
                        Ok(Err(error)) => Err(error.to_string()),
                        Err(_) => Err("no answer".to_owned()),
                    }
                });
            }
            let mut answers = Answers::default();
            for answer in tasks.join_all().await {
                match answer {
                    Ok(took) => answers.took.push(took),
                    Err(error) => answers.failures.push(error),
                }
            }
            answers.took.sort_unstable();
            answers
        };
        Questions { answered, stop, thread: std::thread::spawn(move || namespace.block_on(work).unwrap()) }
    }

    /// Waits for the answers to a number of requests.
    pub fn wait_for(&self, answers: usize) {
        until("answers", PATIENCE, || {
            let now = self.answered.load(Ordering::Relaxed);
            if now >= answers { Ok(()) } else { Err(now.to_string()) }
        })
        .unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Ends, and waits for the last answers.
    pub fn stop(self) -> Answers {
        self.stop.cancel();
        self.thread.join().unwrap()
    }
}

impl Answers {
    /// The percentile of the response times.
    pub fn percentile(&self, of_hundred: usize) -> Duration {
        let place = (self.took.len() * of_hundred / 100).min(self.took.len().saturating_sub(1));
        self.took.get(place).copied().unwrap_or(Duration::MAX)
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most] = [50, 99].map(|of_hundred| self.percentile(of_hundred));
        write!(f, "{} answers, p50 {half:?}, p99 {most:?}, {} failed", self.took.len(), self.failures.len())
    }
}

/// Memory that a process has for itself alone, and with the pages of its files, in KiB.
#[derive(Clone, Copy)]
pub struct Memory {
    pub own: u64,
    pub all: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB of its own, {} in all", self.own, self.all)
    }
}

/// Our processes on hosts, by ID, with their role.
pub fn memory(hosts: &[&Host], servers: &[i32]) -> BTreeMap<i32, (String, Memory)> {
    let mount = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let namespaces: Vec<_> = servers.iter().filter_map(|pid| mount(*pid)).collect();
    assert_eq!(namespaces.len(), hosts.len(), "a process on each host");
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = pids.filter(|pid| {
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        program.is_ok_and(|program| program.as_os_str() == PROGRAM)
            && mount(*pid).is_some_and(|namespace| namespaces.contains(&namespace))
    });
    ours.filter_map(|pid| Some((pid, (role(pid)?, memory_of(pid)?)))).collect()
}

fn role(pid: i32) -> Option<String> {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    words.nth(1)
}

fn memory_of(pid: i32) -> Option<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Memory { own: field("RssAnon:")?, all: field("VmRSS:")? })
}
