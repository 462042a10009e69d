//! Exec, attach and port-forward.

use std::time::Duration;

use cri::{AttachOptions, CriError, ExecOptions, RuntimeService, TerminalSize};
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::lifecycle::words;
use crate::support::{Host, LIMIT, command, log_lines, shell, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("exec_waits_for_the_command", exec_waits_for_the_command),
        trial("exec_ends_at_its_timeout", exec_ends_at_its_timeout),
        trial("exec_streams", exec_streams),
        trial("exec_with_a_terminal", exec_with_a_terminal),
        trial("attach_with_input", attach_with_input),
        trial("attach_ends_with_the_input", attach_ends_with_the_input),
        trial("attach_to_a_terminal", attach_to_a_terminal),
        trial("a_slow_client_loses_nothing", a_slow_client_loses_nothing),
        trial("ports_are_forwarded", ports_are_forwarded),
    ]
}

async fn sleeper(host: &Host) -> String {
    let sandbox = host.sandbox(&host.pod("sleeper")).await;
    host.start(&sandbox, &command("main", &["sleep", "1000"])).await
}

async fn exec_waits_for_the_command(host: Host) {
    let id = sleeper(&host).await;
    let run = |script: &str| {
        let (engine, id, command) = (host.engine.clone(), id.clone(), words(&["sh", "-c", script]));
        async move { engine.exec_sync(&id, &command, Duration::from_secs(20)).await }
    };
    let result = run("echo out; echo err >&2; echo $FROM_IMAGE; exit 5").await.unwrap();
    assert_eq!(
        (&result.stdout[..], &result.stderr[..], result.exit_code),
        (&b"out\nyes\n"[..], &b"err\n"[..], 5)
    );
    assert_eq!(run("kill -9 $$").await.unwrap().exit_code, 137);
    // Little is kept of much, and the command is not held up.
    let long = run("head -c 3000000 /dev/zero; exit 3").await.unwrap();
    assert_eq!((long.stdout.len(), long.exit_code), (64 << 10, 3));
    // It is in the container's cgroups, not in the agent's.
    let cgroups = run("cat /proc/self/cgroup").await.unwrap();
    let cgroups = String::from_utf8_lossy(&cgroups.stdout).into_owned();
    assert!(cgroups.lines().any(|line| line.contains("memory:/") || line.starts_with("0::/")), "{cgroups}");
    assert!(!cgroups.contains("/../"), "{cgroups}");

    let error = host.engine.exec_sync(&id, &words(&["nosuch"]), Duration::ZERO).await.unwrap_err();
    let message = error.full_message();
    assert!(message.contains("exec: \"nosuch\": executable file not found in $PATH"), "{message}");
    let error = host.engine.exec_sync("unknown", &words(&["true"]), Duration::ZERO).await.unwrap_err();
    assert!(error.is_not_found());
}

async fn exec_ends_at_its_timeout(host: Host) {
    let id = sleeper(&host).await;
    let before = Instant::now();
    let command = words(&["sleep", "1000"]);
    let error = host.engine.exec_sync(&id, &command, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, CriError::DeadlineExceeded(_)), "{error}");
    assert!(before.elapsed() < LIMIT);
}

async fn exec_streams(host: Host) {
    let id = sleeper(&host).await;
    let options = ExecOptions {
        command: words(&["sh", "-c", "cat; echo done >&2; exit 4"]),
        stdin: true,
        stdout: true,
        stderr: true,
        tty: false,
    };
    let mut session = host.engine.exec(&id, options).await.unwrap();
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    stdin.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    stdout.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");
    drop(stdin);
    let (mut rest, mut errors) = (Vec::new(), Vec::new());
    stdout.read_to_end(&mut rest).await.unwrap();
    session.stderr.take().unwrap().read_to_end(&mut errors).await.unwrap();
    assert_eq!((rest.len(), &errors[..]), (0, &b"done\n"[..]));
    assert_eq!(session.exit.await.unwrap(), 4);
}

async fn exec_with_a_terminal(host: Host) {
    let id = sleeper(&host).await;
    let options = ExecOptions {
        command: words(&["sh", "-c", "read line; stty size; tty; echo got $line; exit 6"]),
        tty: true,
        stdin: true,
        stdout: true,
        stderr: false,
    };
    let mut options = options;
    options.command[2] = options.command[2].replace("tty;", "readlink /proc/self/fd/0;");
    let mut session = host.engine.exec(&id, options).await.unwrap();
    assert!(session.stderr.is_none());
    session.resize.take().unwrap().send(TerminalSize { width: 101, height: 42 }).await.unwrap();
    let mut stdout = session.stdout.take().unwrap();
    // A separate task sets the size: let it run before the first input.
    tokio::task::yield_now().await;
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"input\n").await.unwrap();
    let mut output = Vec::new();
    stdout.read_to_end(&mut output).await.unwrap();
    let output = String::from_utf8_lossy(&output);
    assert!(output.contains("42 101\r\n") && output.contains("got input\r\n"), "{output}");
    assert!(output.contains("/dev/pts/"), "{output}");
    assert_eq!(session.exit.await.unwrap(), 6);
}

async fn attach_with_input(host: Host) {
    let sandbox = host.sandbox(&host.pod("attach")).await;
    let mut config = shell("main", "while read line; do echo got $line; echo err $line >&2; done; echo end");
    config.stdin = true;
    config.stdin_once = true;
    let id = host.start(&sandbox, &config).await;
    let all = AttachOptions { stdin: true, stdout: true, stderr: true, tty: false };
    let mut session = host.engine.attach(&id, all).await.unwrap();
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").await.unwrap();
    // The end of the only client's input is the end of the container's.
    drop(stdin);
    let (mut output, mut errors) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (session.stdout.take().unwrap(), session.stderr.take().unwrap());
    let (one, two) = tokio::join!(stdout.read_to_string(&mut output), stderr.read_to_string(&mut errors));
    one.and(two).unwrap();
    assert_eq!((output.as_str(), errors.as_str()), ("got one\ngot two\nend\n", "err one\nerr two\n"));
    assert_eq!(session.exit.await.unwrap(), 0);
    let log = log_lines(&host.exited(&id).await);
    assert_eq!(log.iter().filter(|line| line.starts_with("stdout F got")).count(), 2, "{log:?}");
}

/// Where the container's input stays open for others, the end of a client's input is the end of its session alone.
async fn attach_ends_with_the_input(host: Host) {
    let sandbox = host.sandbox(&host.pod("stays")).await;
    for tty in [false, true] {
        let name = if tty { "terminal" } else { "pipe" };
        let mut config = shell(name, "while read line; do echo got $line; done");
        (config.stdin, config.tty, config.stdin_once) = (true, tty, tty);
        let id = host.start(&sandbox, &config).await;
        let options = AttachOptions { stdin: true, stdout: true, stderr: !tty, tty };
        for input in ["one", "two"] {
            let mut session = host.engine.attach(&id, options.clone()).await.unwrap();
            session.stdin.as_mut().unwrap().write_all(format!("{input}\n").as_bytes()).await.unwrap();
            let (mut stdout, expected) = (session.stdout.take().unwrap(), format!("got {input}"));
            let mut seen = String::new();
            while !seen.contains(&expected) {
                let mut buffer = [0; 256];
                let count = stdout.read(&mut buffer).await.unwrap();
                assert!(count > 0, "the session ended: {seen}");
                seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            drop(session.stdin.take());
            let end =
                async { (stdout.read_to_string(&mut seen).await.unwrap(), session.exit.await.unwrap()) };
            let (_, code) = tokio::time::timeout(LIMIT, end).await.expect("the session ends");
            assert_eq!(code, 0);
        }
        host.engine.stop_container(&id, Duration::ZERO).await.unwrap();
        let log = log_lines(&host.exited(&id).await);
        assert!(log.iter().any(|line| line.starts_with("stdout F got two")), "{log:?}");
    }
}

async fn attach_to_a_terminal(host: Host) {
    let sandbox = host.sandbox(&host.pod("terminal")).await;
    let mut config = shell("main", "while read line; do stty size; readlink /proc/self/fd/0; done");
    config.stdin = true;
    config.tty = true;
    let id = host.start(&sandbox, &config).await;
    let options = AttachOptions { stdin: true, stdout: true, stderr: false, tty: true };
    let mut session = host.engine.attach(&id, options).await.unwrap();
    let resize = session.resize.take().unwrap();
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    resize.send(TerminalSize { width: 90, height: 30 }).await.unwrap();
    let mut seen = String::new();
    let dialogue = async {
        while !seen.contains("30 90\r\n") {
            stdin.write_all(b"\n").await.unwrap();
            let mut buffer = [0; 256];
            let count = stdout.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the terminal closed: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    tokio::time::timeout(LIMIT, dialogue).await.expect("the size arrives");
    let inside = host.engine.exec_sync(&id, &words(&["ls", "/dev/console"]), Duration::ZERO).await.unwrap();
    assert_eq!(inside.exit_code, 0);
    host.engine.stop_container(&id, Duration::ZERO).await.unwrap();
    assert_eq!(session.exit.await.unwrap(), 137);
    assert!(log_lines(&host.exited(&id).await).iter().any(|line| line.starts_with("stdout F 30 90")));
}

async fn a_slow_client_loses_nothing(host: Host) {
    let sandbox = host.sandbox(&host.pod("slow")).await;
    let mut config = shell("main", "read start; head -c 2000000 /dev/zero; echo; echo last");
    config.stdin = true;
    let id = host.start(&sandbox, &config).await;
    let options = AttachOptions { stdin: true, stdout: true, stderr: false, tty: false };
    let mut session = host.engine.attach(&id, options).await.unwrap();
    session.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    // Other requests are served while the client does not read.
    let result = host.engine.exec_sync(&id, &words(&["echo", "alive"]), LIMIT).await.unwrap();
    assert_eq!(result.stdout, "alive\n");
    let mut output = Vec::new();
    session.stdout.take().unwrap().read_to_end(&mut output).await.unwrap();
    assert_eq!(output.len(), 2_000_000 + 1 + 5);
    assert!(output.ends_with(b"last\n"));
}

async fn ports_are_forwarded(host: Host) {
    let sandbox = host.sandbox(&host.pod("ports")).await;
    host.start(&sandbox, &shell("main", "nc -l -p 9000 -e /bin/cat; sleep 1000")).await;
    let connect = async {
        loop {
            match host.engine.port_forward(&sandbox, 9000).await {
                Ok(stream) => return stream,
                Err(error) => assert!(error.full_message().contains("refused"), "{}", error.full_message()),
            }
        }
    };
    let mut stream = tokio::time::timeout(LIMIT, connect).await.expect("the server listens");
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
    let error = host.engine.port_forward(&sandbox, 9).await.map(drop).unwrap_err().full_message();
    assert!(error.contains("failed to connect to localhost:9 inside namespace"), "{error}");
}
