//! `kubectl run` and `kubectl attach`, as upstream's tests of kubectl use them (`test/e2e/kubectl/kubectl.go`, "Simple pod").

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::output;

use crate::images::BUSYBOX;
use crate::support::{Namespace, SharedCluster, terminal, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "attach", name, test);
    vec![
        trial("should_support_inline_execution", should_support_inline_execution),
        trial("should_leave_stdin_open", should_leave_stdin_open),
        trial("should_print_once_and_remove", should_print_once_and_remove),
        trial("should_return_exit_codes", should_return_exit_codes),
        trial("should_attach_to_a_running_pod", should_attach_to_a_running_pod),
        trial("a_terminal_needs_none_here", a_terminal_needs_none_here),
        trial("should_run_a_shell_in_a_terminal", should_run_a_shell_in_a_terminal),
    ]
}

/// What a program said until its end.
struct Said {
    code: Option<i32>,
    output: String,
    errors: String,
}

/// Runs kubectl with this input, as `printf INPUT | kubectl ...`, to its end.
fn kubectl(namespace: &Namespace, arguments: &[&str], input: &str) -> Said {
    let mut command = namespace.kubectl(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let status = namespace.until(&format!("the end of kubectl {arguments:?}"), || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    });
    let text = |mut stream: Box<dyn Read>| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    Said {
        code: status.code(),
        output: text(Box::new(child.stdout.take().unwrap())),
        errors: text(Box::new(child.stderr.take().unwrap())),
    }
}

/// `kubectl run NAME` of a shell script, with these flags.
fn run(namespace: &Namespace, name: &str, flags: &[&str], script: &str, input: &str) -> Said {
    let image = format!("--image={BUSYBOX}");
    let mut arguments = vec!["run", name, &image, "--pod-running-timeout=2m"];
    arguments.extend(flags);
    arguments.extend(["--", "sh", "-c", script]);
    kubectl(namespace, &arguments, input)
}

/// "[sig-cli] Kubectl client Simple pod should support inline execution and attach", with and without input.
fn should_support_inline_execution(namespace: &Namespace) {
    let flags = ["--restart=Never", "--attach", "--stdin"];
    let script = "echo -n read: && cat && echo 'stdin closed'";
    let said = run(namespace, "run-test", &flags, script, "value\nabcd1234");
    assert_eq!(said.code, Some(0), "{}", said.errors);
    let logs = namespace.until_output(&["logs", "run-test"], "stdin closed");
    assert_eq!(logs, "read:value\nabcd1234stdin closed\n");
    namespace.wait("pod/run-test", "jsonpath={.status.phase}=Succeeded");

    let flags = ["--restart=Never", "--attach", "--leave-stdin-open"];
    let said = run(namespace, "run-test-2", &flags, "cat && echo 'stdin closed'", "abcd1234");
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert_eq!(namespace.until_output(&["logs", "run-test-2"], "stdin closed"), "stdin closed\n");
}

/// The same test's third part: kubectl ends with its input, the container does not.
fn should_leave_stdin_open(namespace: &Namespace) {
    let flags = ["--restart=Never", "--attach", "--stdin", "--leave-stdin-open"];
    let said = run(namespace, "open", &flags, "cat && echo 'stdin closed'", "x\n");
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert_eq!(namespace.until_output(&["logs", "open"], "x\n"), "x\n");
    // The next one attaches to the same input.
    let said = kubectl(namespace, &["attach", "open", "-i"], "y\n");
    assert_eq!(said.code, Some(0), "{}", said.errors);
    assert_eq!(namespace.until_output(&["logs", "open"], "y\n"), "x\ny\n");
    assert_eq!(namespace.field("pod/open", ".status.phase"), "Running");
    assert_eq!(namespace.field("pod/open", ".status.containerStatuses[0].ready"), "true");
}

/// `kubectl run -i --rm`: the output is printed once, not again from the log, and the pod is gone afterwards.
fn should_print_once_and_remove(namespace: &Namespace) {
    for round in ["one", "two", "three"] {
        let input = format!("{round}\n");
        let said = run(namespace, round, &["-i", "--rm", "--restart=Never"], "cat", &input);
        assert_eq!(said.code, Some(0), "{}", said.errors);
        let expected = format!("{input}pod \"{round}\" deleted from {} namespace\n", namespace.name);
        assert_eq!(said.output, expected, "{}", said.errors);
        namespace.fails(&["get", "pod", round]);
    }
}

/// "[sig-cli] Kubectl client Simple pod should return command exit codes", its parts with `kubectl run`.
fn should_return_exit_codes(namespace: &Namespace) {
    let code = |name: &str, flags: &[&str], script: &str| {
        let said = run(namespace, name, &[&["-i", "--restart=Never"], flags].concat(), script, "abcd1234");
        (said.code, said.errors)
    };
    let (done, errors) = code("success", &[], "exit 0");
    assert_eq!(done, Some(0), "{errors}");
    let (failed, errors) = code("failure-1", &[], "cat && exit 42");
    assert_eq!(failed, Some(42), "{errors}");
    let (failed, errors) = code("failure-2", &["--rm"], "cat && exit 42");
    assert_eq!(failed, Some(42), "{errors}");
    namespace.fails(&["get", "pod", "failure-2"]);
    // Whoever leaves the input open does not wait for the end.
    let (left, errors) = code("failure-3", &["--leave-stdin-open"], "cat && exit 42");
    assert_eq!(left, Some(0), "{errors}");
}

fn should_attach_to_a_running_pod(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: says}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, 'mkfifo /tmp/fifo; while read word < /tmp/fifo; do echo "said $word"; [ $word != end ] || exit 5; done']
"#,
    );
    namespace.wait("pod/says", "condition=Ready");
    // The last word ends the container, which may kill the command that has just said it.
    let say = |word: &str| {
        let script = format!("while ! [ -p /tmp/fifo ]; do sleep 0.1; done; echo {word} > /tmp/fifo");
        output(&mut namespace.kubectl(&["exec", "says", "--", "sh", "-ec", &script]))
    };
    let attached = namespace.follow(&["attach", "says"]);
    // Nothing is shown of the time before the attachment: what is said is repeated until it is seen.
    namespace.until("the pod's words", || {
        say("again").map_err(|error| error.to_string())?;
        attached.contains("said again")
    });
    let _ = say("end");
    let said = attached.end();
    assert!(said.ends_with("said end\n"), "{said}");
    namespace.wait("pod/says", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}=5");
    let said = namespace.fails(&["attach", "says"]);
    assert!(said.contains("cannot attach a container in a completed pod"), "{said}");
}

/// `kubectl run --rm -it` where kubectl has no terminal: the container has one all the same. kubectl leaves at the end of
/// its input, but waits for the container's end.
fn a_terminal_needs_none_here(namespace: &Namespace) {
    let flags = ["--rm", "-it", "--restart=Never"];
    let script = "test -t 0 && test -t 1 && read word && test $word = hello && exit 3";
    let said = run(namespace, "terminal", &flags, script, "hello\n");
    assert!(said.errors.contains("Unable to use a TTY - input is not a terminal"), "{}", said.errors);
    assert_eq!(said.code, Some(3), "{:?} {}", said.output, said.errors);
    namespace.fails(&["get", "pod", "terminal"]);
}

/// `kubectl run --rm -it` under a terminal: a shell that echoes, and ends when told to.
fn should_run_a_shell_in_a_terminal(namespace: &Namespace) {
    let image = format!("--image={BUSYBOX}");
    let arguments = ["run", "shell", &image, "--rm", "-it", "--restart=Never", "--pod-running-timeout=2m"];
    let mut shell = terminal(&namespace.kubectl(&arguments));
    let mut input = shell.stdin.take().unwrap();
    input.write_all(b"test -t 0 && test -t 1 && echo a term''inal\nexit 3\n").unwrap();
    let mut text = String::new();
    shell.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let status = shell.wait().unwrap();
    drop(input);
    assert!(text.contains("a terminal\r\n"), "{text:?}");
    assert_eq!(status.code(), Some(3), "{text:?}");
    namespace.fails(&["get", "pod", "shell"]);
}
