//! A program that may hang: at a limit it is ended, with everything that it started.
//!
//! The program gets a process group, so that nothing of it is left. A terminal sends its signals to another group then,
//! so they are passed on. What the program prints is passed on line by line, and the end of it is kept.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::now;

/// The number of lines that are shown of a program that did not end.
const LINES_KEPT: usize = 50;
/// How long a program has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How long the output is still read after the program has ended: something that it left behind may keep it open.
const OUTPUT_GRACE: Duration = Duration::from_secs(5);

/// The process group of the program that runs; 0 if none does.
static GROUP: AtomicI32 = AtomicI32::new(0);

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Whether it ended by itself, with success.
    pub(super) passed: bool,
    /// If it did not end by itself: the last lines that it printed.
    pub(super) hung: Option<Vec<String>>,
}

enum News {
    /// A line, and whether it goes to the standard output.
    Line(Vec<u8>, bool),
    /// One of the two outputs is closed.
    Closed,
    Exited(std::io::Result<ExitStatus>),
}

/// Runs a program for as long as `limit` allows. `shows` sees each line of its standard output and says whether to pass it on;
/// the standard error is passed on whole.
pub(super) fn run(
    command: &mut Command,
    limit: Duration,
    mut shows: impl FnMut(&[u8]) -> bool,
) -> Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    pass_signals_on();
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let group = i32::try_from(child.id()).context("process ids are positive numbers of 31 bits")?;
    GROUP.store(group, Ordering::SeqCst);
    let (sender, news) = mpsc::channel();
    let outputs: [(Option<Box<dyn Read + Send>>, bool); 2] = [
        (child.stdout.take().map(|out| Box::new(out) as _), true),
        (child.stderr.take().map(|err| Box::new(err) as _), false),
    ];
    for (output, is_standard) in outputs {
        let (sender, output) = (sender.clone(), output.context("the outputs were just asked for")?);
        std::thread::spawn(move || read(output, is_standard, &sender));
    }
    std::thread::spawn(move || sender.send(News::Exited(child.wait())));

    let (mut last, mut closed, mut status) = (VecDeque::new(), 0, None);
    let (mut until, mut signals) = (now() + limit, [libc::SIGTERM, libc::SIGKILL].into_iter());
    let mut hung = false;
    while closed < 2 || status.is_none() {
        match news.recv_timeout(until.saturating_duration_since(now())) {
            Ok(News::Line(line, is_standard)) => {
                last.truncate(LINES_KEPT - 1);
                last.push_front(String::from_utf8_lossy(&line).trim_end().to_owned());
                if !is_standard {
                    std::io::stderr().write_all(&line)?;
                } else if shows(&line) {
                    std::io::stdout().write_all(&line)?;
                }
            }
            Ok(News::Closed) => closed += 1,
            Ok(News::Exited(ended)) => {
                status = Some(ended.with_context(|| format!("cannot wait for {command:?}"))?);
                until = now() + OUTPUT_GRACE;
            }
            Err(RecvTimeoutError::Timeout) if status.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {
                hung = true;
                let Some(signal) = signals.next() else { bail!("{command:?} cannot be killed") };
                send(group, signal);
                until = now() + GRACE;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    GROUP.store(0, Ordering::SeqCst);
    if hung {
        // What did not end with the program.
        send(group, libc::SIGKILL);
    }
    let passed = !hung && status.is_some_and(|status| status.success());
    Ok(Ended { passed, hung: hung.then(|| last.into_iter().rev().collect()) })
}

fn read(output: Box<dyn Read + Send>, is_standard: bool, news: &Sender<News>) {
    let (mut lines, mut line) = (BufReader::new(output), Vec::new());
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        if news.send(News::Line(std::mem::take(&mut line), is_standard)).is_err() {
            return;
        }
    }
    let _ = news.send(News::Closed);
}

fn send(group: i32, signal: i32) {
    // SAFETY: the call takes two numbers; that the group may be gone is not an error of ours.
    unsafe { libc::killpg(group, signal) };
}

/// Passes the signals that end this program on to the one that runs.
fn pass_signals_on() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only does what a handler may do (signal-safety(7)).
        unsafe { libc::signal(signal, end as extern "C" fn(i32) as libc::sighandler_t) };
    }
}

extern "C" fn end(signal: i32) {
    let group = GROUP.load(Ordering::SeqCst);
    // SAFETY: both calls are allowed in a signal handler; the second one does not return.
    unsafe {
        if group != 0 {
            libc::killpg(group, signal);
        }
        libc::_exit(128 + signal)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// Whether a process runs; one that has ended may still wait for its parent.
    fn runs(pid: &str) -> bool {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    }

    /// Whether a process stops, within a minute and a half.
    fn stops(pid: &str) -> bool {
        (0..900).any(|_| {
            let stopped = !runs(pid);
            if !stopped {
                std::thread::sleep(Duration::from_millis(100));
            }
            stopped
        })
    }

    #[test]
    fn what_a_program_prints_is_passed_on_and_its_end_is_its_result() {
        for (script, passes) in
            [("echo one; echo two >&2; echo three", true), ("echo one; echo three; exit 3", false)]
        {
            let mut shown = Vec::new();
            let ended = run(&mut shell(script), Duration::from_secs(90), |line| {
                shown.push(String::from_utf8_lossy(line).into_owned());
                false
            });
            let ended = ended.unwrap();
            assert_eq!((ended.passed, ended.hung), (passes, None), "{script}");
            assert_eq!(shown, ["one\n", "three\n"]);
        }
    }

    /// A program that sleeps is ended with what it started, though that ignores being asked.
    #[test]
    fn a_program_that_hangs_is_ended_with_what_it_started() {
        let script =
            "echo begun; sh -c 'trap \"\" TERM; echo $$; while true; do sleep 1; done' & wait; sleep 1000";
        // On a busy machine the program may not get to print anything at first.
        let lines = [1, 8, 64].into_iter().find_map(|seconds| {
            let ended = run(&mut shell(script), Duration::from_secs(seconds), |_| false).unwrap();
            assert!(!ended.passed);
            ended.hung.filter(|lines| lines.len() == 2)
        });
        let lines = lines.expect("the program prints two lines");
        assert_eq!(lines[0], "begun");
        assert!(stops(&lines[1]), "process {} still runs", lines[1]);
    }

    /// Set in the process that is sent a signal.
    const SIGNALLED: &str = "IRONHULL_XTASK_TEST_SIGNALLED";

    /// Ctrl-C ends the program that runs, too. It ends this process, so another one does it: this test again.
    #[test]
    fn a_signal_is_passed_on() {
        if std::env::var_os(SIGNALLED).is_some() {
            // Without a trap a shell may miss a signal that comes while it starts a program.
            let script = "trap 'exit 0' INT; echo pid $$; while true; do sleep 1; done";
            let _ = run(&mut shell(script), Duration::from_secs(900), |_| true);
            return;
        }
        let mut other = Command::new(std::env::current_exe().unwrap());
        other.args(["--exact", "test::limit::tests::a_signal_is_passed_on", "--nocapture"]);
        let mut other = other.env(SIGNALLED, "1").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(other.stdout.take().unwrap()).lines();
        let pid = lines.map_while(Result::ok).find_map(|line| Some(line.split_once("pid ")?.1.to_owned()));
        let pid = pid.expect("the program prints its number");
        assert!(runs(&pid));
        assert!(Command::new("kill").args(["-INT", &other.id().to_string()]).status().unwrap().success());
        assert_eq!(other.wait().unwrap().code(), Some(130));
        assert!(stops(&pid), "process {pid} still runs");
    }

    /// The output may be held open by something that goes on without its program, as a container does.
    #[test]
    fn a_program_ends_though_something_keeps_its_output_open() {
        let mut left = String::new();
        let ended = run(&mut shell("sleep 1000 & echo $!"), Duration::from_secs(90), |line| {
            left = String::from_utf8_lossy(line).trim().to_owned();
            false
        });
        let ran_on = runs(&left);
        let killed = Command::new("kill").arg(&left).status().unwrap();
        let ended = ended.unwrap();
        assert!(ended.passed && ended.hung.is_none());
        assert!(ran_on && killed.success(), "what a program leaves behind is not ours");
    }
}
