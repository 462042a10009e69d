//! Attempts of containers to reach the host, and things of the host that they must not get by accident.

use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use cri::{ContainerConfig, ImageSpec, Mount, NamespaceMode, RuntimeService};
use libtest_mimic::Trial;
use nix::libc;

use crate::lifecycle::words;
use crate::support::{Host, command, log_lines, shell, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("only_parameters_of_the_sandbox_are_set", only_parameters_of_the_sandbox_are_set),
        trial("nothing_in_a_volume_at_dev_is_trusted", nothing_in_a_volume_at_dev_is_trusted),
        trial("a_dev_that_changes_meanwhile_is_not_trusted", a_dev_that_changes_meanwhile_is_not_trusted),
        trial("proc_cannot_be_mounted_over", proc_cannot_be_mounted_over),
        trial(
            "proc_can_be_mounted_over_where_others_allow_it",
            proc_can_be_mounted_over_where_others_allow_it,
        ),
        trial("sys_and_shm_can_be_volumes", sys_and_shm_can_be_volumes),
        trial("nothing_of_the_starter_reaches_a_container", nothing_of_the_starter_reaches_a_container),
        trial("the_holder_of_a_shared_namespace_has_nothing", the_holder_of_a_shared_namespace_has_nothing),
        trial("a_working_directory_does_not_lead_out", a_working_directory_does_not_lead_out),
        trial("a_sub_path_does_not_lead_out_of_its_image", a_sub_path_does_not_lead_out_of_its_image),
        trial("a_users_number_is_not_a_name", a_users_number_is_not_a_name),
        trial(
            "a_user_may_have_many_groups_but_not_any_number",
            a_user_may_have_many_groups_but_not_any_number,
        ),
        trial("the_shims_socket_is_for_root_alone", the_shims_socket_is_for_root_alone),
        trial("a_terminal_is_the_console", a_terminal_is_the_console),
        trial("the_output_of_a_command_is_bounded", the_output_of_a_command_is_bounded),
    ]
}

/// The name of the starter's secret key.
const KEY: &str = "secret-of-the-starter";

/// Makes this process a starter with much that must not reach containers: an open directory of the host, a key,
/// ignored signals, a wide umask. Called before there is any thread.
pub fn become_careless() {
    static OPEN: OnceLock<std::fs::File> = OnceLock::new();
    let directory = OPEN.get_or_init(|| std::fs::File::open("/").unwrap());
    // SAFETY: the descriptor stays open; the pointers are to C strings and to as many bytes as the call is told; no
    // handler is installed.
    unsafe {
        libc::fcntl(directory.as_raw_fd(), libc::F_SETFD, 0);
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>());
        let name = std::ffi::CString::new(KEY).unwrap();
        let session = libc::KEY_SPEC_SESSION_KEYRING;
        let key =
            libc::syscall(libc::SYS_add_key, c"user".as_ptr(), name.as_ptr(), c"x".as_ptr(), 1usize, session);
        // It is visible only to processes that have it in a keyring.
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, key, 0x3f00_0000_u32);
        for signal in [libc::SIGHUP, libc::SIGUSR1, 40, 64] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::umask(0);
        let limit = libc::rlimit { rlim_cur: 4096, rlim_max: libc::RLIM_INFINITY };
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
        let limit = libc::rlimit { rlim_cur: 1 << 40, rlim_max: libc::RLIM_INFINITY };
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
    }
}

/// Kernel parameters of the host are neither written nor reached by another spelling of their names.
async fn only_parameters_of_the_sandbox_are_set(host: Host) {
    let parameters =
        ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/swappiness", "/proc/sys/kernel/domainname"];
    let values = || parameters.map(|path| std::fs::read_to_string(path).unwrap());
    let before = values();
    let refused = [
        ("kernel.core_pattern", "is not in a separate kernel namespace"),
        ("kernel/core_pattern", "is not in a separate kernel namespace"),
        ("vm.swappiness", "is not in a separate kernel namespace"),
        ("net/../vm/swappiness", "is not the name of a kernel parameter"),
        ("net.core/../../vm/swappiness", "is not the name of a kernel parameter"),
    ];
    for (name, why) in refused {
        let mut pod = host.pod("greedy");
        pod.linux.sysctls.insert(name.to_owned(), before[1].trim().to_owned());
        let error = host.engine.run_pod_sandbox(&pod, "").await.unwrap_err().full_message();
        assert!(error.contains(why), "{name}: {error}");
    }
    for (name, ipc) in [("net.ipv4.ping_group_range", false), ("kernel.shm_rmid_forced", true)] {
        let mut pod = host.pod("on-host");
        let options = &mut pod.linux.security_context.namespace_options;
        if ipc {
            options.ipc = NamespaceMode::Node;
        } else {
            options.network = NamespaceMode::Node;
        }
        pod.linux.sysctls.insert(name.to_owned(), "1".to_owned());
        let error = host.engine.run_pod_sandbox(&pod, "").await.unwrap_err().full_message();
        assert!(error.contains("host"), "{name}: {error}");
    }
    let mut pod = host.pod("own");
    for (name, value) in
        [("kernel.domainname", "own"), ("net/ipv4/conf/lo/rp_filter", "2"), ("fs.mqueue.msg_max", "7")]
    {
        pod.linux.sysctls.insert(name.to_owned(), value.to_owned());
    }
    let sandbox = host.sandbox(&pod).await;
    let script =
        "cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/conf/lo/rp_filter /proc/sys/fs/mqueue/msg_max";
    let id = host.start(&sandbox, &shell("main", script)).await;
    let log = log_lines(&host.exited(&id).await);
    assert_eq!(log, ["own", "2", "7"].map(|line| format!("stdout F {line}")));
    assert_eq!(values(), before);
}

fn mount(host_path: &Path, container_path: &str) -> Mount {
    Mount {
        host_path: host_path.display().to_string(),
        container_path: container_path.to_owned(),
        ..Default::default()
    }
}

/// Prints whether the standard input is the null device.
const STDIN: &str = "/bin/busybox stat -L -c '%F %t:%T' /proc/self/fd/0";
const NULL: &str = "stdout F character special file 1:3";

/// A container whose `/dev` is a volume, with a masked file and a read-only directory.
fn with_dev(name: &str, volume: &Path, script: &str) -> ContainerConfig {
    let mut config = shell(name, script);
    config.mounts = vec![mount(volume, "/dev")];
    config.linux.security_context.masked_paths = words(&["/proc/keys"]);
    config.linux.security_context.readonly_paths = words(&["/proc/sys"]);
    config
}

/// The start of a container opens no device in a volume, whatever is there instead (CVE-2025-31133, CVE-2025-52565).
async fn nothing_in_a_volume_at_dev_is_trusted(host: Host) {
    let script = format!(
        "{STDIN}; /bin/busybox stat -L -c '%F %t:%T' /proc/keys; (echo x > /proc/sys/kernel/core_pattern) 2>/tmp/error || echo denied"
    );
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    type Trap = fn(&Path);
    let traps: [(&str, Trap); 4] = [
        ("link", |place| symlink("/proc/sys/kernel/core_pattern", place).unwrap()),
        ("file", |place| std::fs::write(place, "").unwrap()),
        ("fifo", |place| nix::unistd::mkfifo(place, nix::sys::stat::Mode::S_IRWXU).unwrap()),
        ("directory", |place| std::fs::create_dir(place).unwrap()),
    ];
    for (name, set) in traps {
        let volume = host.dir.join(format!("volume-{name}"));
        std::fs::create_dir_all(volume.join("pts")).unwrap();
        for place in ["null", "console", "ptmx", "pts/ptmx"] {
            set(&volume.join(place));
        }
        let (_, log) = host.run(&with_dev(name, &volume, &script)).await;
        assert_eq!(log, [NULL, NULL, "stdout F denied"], "{name}");

        let sandbox = host.sandbox(&host.pod(&format!("terminal-{name}"))).await;
        let mut config = with_dev("main", &volume, "[ -t 0 ] && [ -t 1 ] && echo terminal");
        config.tty = true;
        let id = host.start(&sandbox, &config).await;
        assert_eq!(log_lines(&host.exited(&id).await), ["stdout F terminal"], "{name}");
        // Nor does an added process.
        let id = host.start(&sandbox, &with_dev("other", &volume, "sleep 1000")).await;
        let output = host.engine.exec_sync(&id, &words(&["/bin/sh", "-c", STDIN]), Duration::ZERO).await;
        assert_eq!(output.unwrap().stdout, format!("{}\n", &NULL["stdout F ".len()..]), "{name}");
    }
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
}

/// A second container of the pod swaps the null device for a link as fast as it can.
async fn a_dev_that_changes_meanwhile_is_not_trusted(host: Host) {
    let volume = host.dir.join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    let sandbox = host.sandbox(&host.pod("race")).await;
    let script = "cd /volume; while :; do /bin/busybox ln -s /proc/sys/kernel/core_pattern null; /bin/busybox rm -f null; \
                  /bin/busybox mknod null c 1 3; /bin/busybox rm -f null; done 2>/dev/null";
    let mut attacker = shell("attacker", script);
    attacker.mounts = vec![mount(&volume, "/volume")];
    host.start(&sandbox, &attacker).await;
    let script = format!("{STDIN}; /bin/busybox stat -L -c '%F %t:%T' /proc/keys");
    for turn in 0..20 {
        let id = host.start(&sandbox, &with_dev(&format!("victim-{turn}"), &volume, &script)).await;
        assert_eq!(log_lines(&host.exited(&id).await), [NULL, NULL], "turn {turn}");
    }
}

/// Starts a container with volumes, in a root where links were made; gives the error, which its status shows too.
async fn start_with(
    host: &Host,
    sandbox: &str,
    mounts: &[Mount],
    links: &[(&str, &str)],
) -> Result<String, String> {
    let name = format!("main-{}", host.dir.join("roots").read_dir().map_or(0, |entries| entries.count()));
    let mut config = command(&name, &["true"]);
    config.mounts = mounts.to_vec();
    let id = host.create(sandbox, &config).await;
    for (link, to) in links {
        symlink(to, host.dir.join("roots").join(&id).join(link)).unwrap();
    }
    match host.engine.start_container(&id).await {
        Ok(()) => Ok(id),
        Err(error) => {
            let status = host.engine.container_status(&id).await.unwrap();
            assert!(error.full_message().contains(&status.message), "{} | {error:?}", status.message);
            assert!(!status.message.is_empty());
            Err(error.full_message())
        }
    }
}

/// Mounts over and below `/proc` are refused, by name and by link (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561,
/// CVE-2023-28642).
async fn proc_cannot_be_mounted_over(host: Host) {
    let volume = host.dir.join("volume");
    std::fs::create_dir_all(volume.join("inner")).unwrap();
    std::fs::write(volume.join("file"), "").unwrap();
    symlink("/proc", volume.join("to-proc")).unwrap();
    let sandbox = host.sandbox(&host.pod("proc")).await;
    let (inside, over) = ("cannot be mounted because it is inside /proc", "because it is not of type proc");
    let no_links: &[(&str, &str)] = &[];
    let cases = [
        (vec![mount(&volume, "/proc")], no_links, over),
        (vec![mount(&volume, "/proc/")], no_links, over),
        (vec![mount(&volume, "//proc/./")], no_links, over),
        (vec![mount(&volume, "/proc/sys")], no_links, inside),
        (vec![mount(&volume, "/proc/self")], no_links, inside),
        (vec![mount(&volume, "/proc/not-there")], no_links, inside),
        (vec![mount(&volume.join("file"), "/proc/sys/kernel/core_pattern")], no_links, inside),
        (vec![mount(&volume.join("file"), "/proc/sysrq-trigger")], no_links, inside),
        (vec![mount(&volume, "/alias")], &[("alias", "/proc")], over),
        (vec![mount(&volume, "/alias/sys")], &[("alias", "proc")], inside),
        (vec![mount(&volume, "/alias")], &[("alias", "/proc/self/attr")], inside),
        (vec![mount(&volume, "/a"), mount(&volume, "/a/to-proc")], no_links, over),
        (vec![mount(&volume, "/a"), mount(&volume, "/a/to-proc/sys")], no_links, inside),
        (vec![mount(Path::new("/proc/self/fd"), "/proc")], no_links, over),
        (vec![mount(&volume, "/")], no_links, "root cannot be mounted over"),
    ];
    for (mounts, links, why) in cases {
        let error = start_with(&host, &sandbox, &mounts, links).await.unwrap_err();
        assert!(error.contains(why), "{mounts:?}: {error}");
    }
    // A new /proc is not mounted on a link.
    let id = host.create(&sandbox, &command("link", &["true"])).await;
    symlink("/tmp", host.dir.join("roots").join(&id).join("sys")).unwrap();
    let error = host.engine.start_container(&id).await.unwrap_err().full_message();
    assert!(error.contains("mount sysfs to /sys"), "{error}");
}

async fn proc_can_be_mounted_over_where_others_allow_it(host: Host) {
    let volume = host.dir.join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("file"), "of the volume\n").unwrap();
    let file = volume.join("file");
    let mut config = shell("main", "cat /proc/meminfo /proc/uptime; ls -d /procedure /host/proc/self/ns");
    config.mounts = vec![
        mount(&file, "/proc/meminfo"),
        mount(&file, "/proc/uptime"),
        mount(&volume, "/procedure"),
        mount(Path::new("/proc"), "/host/proc"),
    ];
    let (_, log) = host.run(&config).await;
    let expected = ["of the volume", "of the volume", "/host/proc/self/ns", "/procedure"];
    let mut seen: Vec<_> = log.iter().map(|line| line["stdout F ".len()..].to_owned()).collect();
    seen.sort();
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(seen, expected);

    let mut config = command("whole", &["ls", "-d", "/proc/1"]);
    config.mounts = vec![mount(Path::new("/proc"), "/proc")];
    assert_eq!(host.run(&config).await.1, ["stdout F /proc/1"]);
}

/// Masked paths are identified by descriptor, not through a volume, and a volume at `/dev/shm` works as usual.
async fn sys_and_shm_can_be_volumes(host: Host) {
    let volume = host.dir.join("volume");
    std::fs::create_dir_all(volume.join("fs")).unwrap();
    symlink("/etc", volume.join("firmware")).unwrap();
    let mut config =
        shell("main", "echo x > /dev/shm/x && echo shared; echo x > /dev/null && echo null; ls /sys/fs");
    config.mounts = vec![mount(&volume, "/sys"), mount(&volume, "/dev/shm")];
    config.linux.security_context.masked_paths = words(&["/sys/firmware"]);
    let (_, log) = host.run(&config).await;
    assert_eq!(log, ["stdout F shared", "stdout F null", "stdout F cgroup"]);
    assert!(volume.join("x").exists());
    // The mount point is the volume's, and a link in its place is not followed.
    std::fs::remove_dir(volume.join("fs/cgroup")).unwrap();
    symlink("/proc", volume.join("fs/cgroup")).unwrap();
    let sandbox = host.sandbox(&host.pod("sys")).await;
    let error = start_with(&host, &sandbox, &[mount(&volume, "/sys")], &[]).await.unwrap_err();
    assert!(error.contains("/sys/fs/cgroup"), "{error}");
}

/// Descriptors, keys, signals and limits of the program's starter are not inherited (CVE-2024-21626).
async fn nothing_of_the_starter_reaches_a_container(host: Host) {
    assert!(std::fs::read_to_string("/proc/self/keys").is_err(), "keys have no directory of a process");
    let own_keys = std::fs::read_to_string("/proc/keys").unwrap();
    assert!(own_keys.contains(KEY), "{own_keys}");
    let script = "ls /proc/self/fd | grep -c .; grep -c secret-of-the-starter /proc/keys; umask; \
                  grep -e ^SigIgn -e ^SigBlk -e ^Groups /proc/self/status; cat /proc/self/personality; \
                  grep -e 'Max file size' -e 'Max stack' -e 'Max realtime priority' /proc/self/limits";
    let expected = |log: &[String]| {
        // `ls` itself has the directory open that it lists.
        assert_eq!(log[..3], ["4", "0", "0022"], "{log:?}");
        let fields: Vec<Vec<&str>> = log[3..].iter().map(|line| line.split_whitespace().collect()).collect();
        let fields: Vec<String> = fields.iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            fields,
            [
                "Groups: 0",
                "SigBlk: 0000000000000000",
                "SigIgn: 0000000000000000",
                "00000000",
                "Max file size unlimited unlimited bytes",
                "Max stack size 8388608 unlimited bytes",
                "Max realtime priority 0 0",
            ]
        );
    };
    let sandbox = host.sandbox(&host.pod("heir")).await;
    let id = host.start(&sandbox, &shell("first", script)).await;
    let log = log_lines(&host.exited(&id).await);
    expected(&log.iter().map(|line| line["stdout F ".len()..].to_owned()).collect::<Vec<_>>());

    let id = host.start(&sandbox, &command("main", &["sleep", "1000"])).await;
    let output =
        host.engine.exec_sync(&id, &words(&["/bin/sh", "-c", script]), Duration::ZERO).await.unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    expected(&output.lines().map(str::to_owned).collect::<Vec<_>>());
}

/// The process that keeps a pod's PID namespace can be inspected with CAP_SYS_PTRACE, but there is nothing to see.
async fn the_holder_of_a_shared_namespace_has_nothing(host: Host) {
    let sandbox = host.sandbox(&host.pod("holder")).await;
    let script = "ls -A /proc/1/root/ | grep -c .; grep -e ^Uid -e ^CapEff -e ^NoNewPrivs /proc/1/status; \
                  ls /proc/1/fd | grep -c .; readlink /proc/1/ns/net; readlink /proc/self/ns/net";
    let mut config = shell("main", script);
    config.linux.security_context.namespace_options.pid = NamespaceMode::Pod;
    config.linux.security_context.capabilities.add_capabilities = words(&["SYS_PTRACE"]);
    let id = host.start(&sandbox, &config).await;
    let log = log_lines(&host.exited(&id).await);
    let log: Vec<_> = log.iter().map(|line| line.replace('\t', " ")).collect();
    assert_eq!(
        log[..5],
        [
            "stdout F 0",
            "stdout F Uid: 65535 65535 65535 65535",
            "stdout F CapEff: 0000000000000000",
            "stdout F NoNewPrivs: 1",
            "stdout F 0"
        ],
        "{log:?}"
    );
    assert_eq!(log[5], log[6], "{log:?}");
}

/// No open file of the starting process is a working directory (CVE-2024-21626).
async fn a_working_directory_does_not_lead_out(host: Host) {
    let sandbox = host.sandbox(&host.pod("cwd")).await;
    for number in 3..24 {
        let mut config = command(&format!("fd-{number}"), &["pwd"]);
        config.working_dir = format!("/proc/self/fd/{number}");
        let id = host.create(&sandbox, &config).await;
        let error = host.engine.start_container(&id).await.unwrap_err().full_message();
        assert!(error.contains("/proc/self/fd/"), "{error}");
    }
    // Nor is one for a process that is added later, although the container replaces its directory in the meantime.
    for number in 3..24 {
        let script = format!(
            "cd /; /bin/busybox rmdir /work; /bin/busybox ln -s /proc/self/fd/{number} /work; sleep 1000"
        );
        let mut config = shell(&format!("link-{number}"), &script);
        config.working_dir = "/work".to_owned();
        let id = host.start(&sandbox, &config).await;
        let work = host.dir.join("roots").join(&id).join("work");
        crate::support::until("the link", || work.is_symlink().then_some(())).await;
        let error = host.engine.exec_sync(&id, &words(&["pwd"]), Duration::ZERO).await.unwrap_err();
        assert!(error.full_message().contains("working directory"), "{error}");
    }
}

/// Links in an image that is a volume lead to places in that image.
async fn a_sub_path_does_not_lead_out_of_its_image(host: Host) {
    let volume = |sub_path: &str| Mount {
        container_path: "/image".to_owned(),
        image: Some(ImageSpec { image: "other".to_owned(), ..Default::default() }),
        image_sub_path: sub_path.to_owned(),
        ..Default::default()
    };
    let mut config = command("main", &["cat", "/image/content"]);
    config.mounts = vec![volume("to-root")];
    assert_eq!(host.run(&config).await.1, ["stdout P of the image"]);
    let sandbox = host.sandbox(&host.pod("sub-path")).await;
    for sub_path in ["to-root/etc", "../x", "to-root/../.."] {
        let mut config = command("bad", &["true"]);
        config.mounts = vec![volume(sub_path)];
        let unused = Default::default();
        let error = host.engine.create_container(&sandbox, &config, &unused).await.unwrap_err();
        assert!(error.full_message().contains("sub path"), "{sub_path}: {error:?}");
    }
}

/// An image's accounts do not turn a number into another one (CVE-2016-3697).
async fn a_users_number_is_not_a_name(host: Host) {
    let sandbox = host.sandbox(&host.pod("number")).await;
    let mut config = command("main", &["id", "-u"]);
    config.linux.security_context.run_as_user = Some(1234);
    let id = host.create(&sandbox, &config).await;
    let passwd = host.dir.join("roots").join(&id).join("etc/passwd");
    std::fs::write(passwd, "1234:x:0:0::/:\nroot:x:0:0::/root:\n").unwrap();
    host.engine.start_container(&id).await.unwrap();
    assert_eq!(log_lines(&host.exited(&id).await), ["stdout F 1234"]);
}

/// Only root can reach a shim, and from no other namespace (CVE-2020-15257).
async fn the_shims_socket_is_for_root_alone(host: Host) {
    use std::os::unix::fs::MetadataExt;
    let sandbox = host.sandbox(&host.pod("socket")).await;
    let root = host.dir.join("engine");
    let socket = root.join("sandboxes").join(&sandbox).join("shim.sock");
    assert_eq!(std::fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o177, 0);
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    assert!(!sockets.lines().any(|line| line.contains('@') && line.contains(&sandbox)), "{sockets}");
}

async fn a_terminal_is_the_console(host: Host) {
    let sandbox = host.sandbox(&host.pod("console")).await;
    let mut config = shell("main", "[ -t 0 ] && [ -c /dev/console ] && echo said > /dev/console");
    config.tty = true;
    let id = host.start(&sandbox, &config).await;
    assert_eq!(log_lines(&host.exited(&id).await), ["stdout F said"]);
    // A volume in its place is unchanged.
    let file = host.dir.join("console");
    std::fs::write(&file, "of the volume\n").unwrap();
    let mut config = shell("other", "cat /dev/console");
    config.tty = true;
    config.mounts = vec![mount(&file, "/dev/console")];
    let id = host.start(&sandbox, &config).await;
    assert_eq!(log_lines(&host.exited(&id).await), ["stdout F of the volume"]);
}

/// The output of a command does not fill the agent's memory (CVE-2022-31030).
async fn the_output_of_a_command_is_bounded(host: Host) {
    /// The bound of upstream's messages; ours may be lower.
    const BOUND: usize = 16 << 20;
    let sandbox = host.sandbox(&host.pod("flood")).await;
    let id = host.start(&sandbox, &command("main", &["sleep", "1000"])).await;
    let flood = words(&["head", "-c", "20000000", "/dev/zero"]);
    let output = host.engine.exec_sync(&id, &flood, Duration::ZERO).await.unwrap();
    assert!((1..=BOUND).contains(&output.stdout.len()), "{}", output.stdout.len());
    assert_eq!(output.exit_code, 0);
}

/// Accounts of an image do not make a start long, or fail without a word (CVE-2026-47262).
async fn a_user_may_have_many_groups_but_not_any_number(host: Host) {
    let sandbox = host.sandbox(&host.pod("groups")).await;
    for (count, works) in [(4000, true), (1_000_000, false)] {
        let mut config = shell(&format!("main-{count}"), "id -G | awk '{ print NF }'");
        config.linux.security_context.run_as_username = "app".to_owned();
        let id = host.create(&sandbox, &config).await;
        let groups: String =
            (0..count).map(|number| format!("g{number}:x:{}:app\n", 100_000 + number)).collect();
        std::fs::write(host.dir.join("roots").join(&id).join("etc/group"), groups).unwrap();
        match host.engine.start_container(&id).await {
            Ok(()) => {
                assert!(works, "{count}");
                assert_eq!(log_lines(&host.exited(&id).await), [format!("stdout F {}", count + 1)]);
            }
            Err(error) => assert!(!works && error.full_message().contains("groups"), "{count}: {error:?}"),
        }
    }
}
