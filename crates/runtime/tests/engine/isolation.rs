//! What a container can see and do.

use std::time::Duration;

use cri::{
    Capability, ContainerConfig, ImageSpec, Mount, MountPropagation, NamespaceMode, ProfileType,
    RuntimeService, SecurityProfile, SupplementalGroupsPolicy,
};
use libtest_mimic::Trial;

use crate::lifecycle::words;
use crate::support::{Host, command, shell, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("capabilities_are_limited", capabilities_are_limited),
        trial("seccomp_denies", seccomp_denies),
        trial("users_and_groups", users_and_groups),
        trial("the_root_can_be_read_only", the_root_can_be_read_only),
        trial("paths_are_masked", paths_are_masked),
        trial("devices_are_few", devices_are_few),
        trial("the_hosts_devices_can_be_mounted", the_hosts_devices_can_be_mounted),
        trial("volumes_are_mounted", volumes_are_mounted),
        trial("links_do_not_lead_out", links_do_not_lead_out),
        trial("a_pod_shares_namespaces", a_pod_shares_namespaces),
        trial("process_ids_can_be_shared", process_ids_can_be_shared),
        trial("names_and_parameters_are_set", names_and_parameters_are_set),
        trial("the_host_can_be_shared", the_host_can_be_shared),
        trial("the_agents_program_cannot_be_written", the_agents_program_cannot_be_written),
    ]
}

/// The value of a line of `/proc/self/status`.
fn field<'a>(log: &'a [String], name: &str) -> &'a str {
    let line =
        log.iter().find_map(|line| line.strip_prefix("stdout F ")?.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {log:?}")).trim()
}

fn status_of_self(name: &str) -> ContainerConfig {
    command(name, &["cat", "/proc/self/status"])
}

async fn capabilities_are_limited(host: Host) {
    let (_, log) = host.run(&status_of_self("default")).await;
    for set in ["CapBnd", "CapPrm", "CapEff"] {
        assert_eq!(field(&log, set), "00000000a80425fb");
    }
    assert_eq!((field(&log, "CapInh"), field(&log, "CapAmb")), ("0000000000000000", "0000000000000000"));
    assert_eq!((field(&log, "NoNewPrivs"), field(&log, "Seccomp")), ("0", "0"));

    let mut config = status_of_self("few");
    config.linux.security_context.capabilities = Capability {
        drop_capabilities: vec!["ALL".to_owned()],
        add_capabilities: vec!["NET_BIND_SERVICE".to_owned()],
        ..Default::default()
    };
    config.linux.security_context.no_new_privs = true;
    let (_, log) = host.run(&config).await;
    assert_eq!((field(&log, "CapBnd"), field(&log, "NoNewPrivs")), ("0000000000000400", "1"));

    let mut config = status_of_self("user");
    config.linux.security_context.run_as_user = Some(1000);
    let (_, log) = host.run(&config).await;
    assert_eq!((field(&log, "CapBnd"), field(&log, "CapEff")), ("00000000a80425fb", "0000000000000000"));

    let mut config = status_of_self("ambient");
    config.linux.security_context.run_as_user = Some(1000);
    config.linux.security_context.capabilities.add_ambient_capabilities = vec!["NET_RAW".to_owned()];
    let (_, log) = host.run(&config).await;
    assert_eq!((field(&log, "CapAmb"), field(&log, "CapEff")), ("0000000000002000", "0000000000002000"));
}

async fn seccomp_denies(host: Host) {
    // An administrator without seccomp may unshare; with the default profile only CAP_SYS_ADMIN lets through.
    let script = "grep Seccomp: /proc/self/status; unshare -m true && echo unshared; mount -t tmpfs x /tmp && echo mounted";
    for no_new_privs in [false, true] {
        let mut config = shell(if no_new_privs { "strict" } else { "default" }, script);
        config.linux.security_context.no_new_privs = no_new_privs;
        config.linux.security_context.seccomp =
            Some(SecurityProfile { profile_type: ProfileType::RuntimeDefault, localhost_ref: String::new() });
        let (_, log) = host.run(&config).await;
        assert_eq!(field(&log, "Seccomp"), "2");
        assert!(!log.iter().any(|line| line.ends_with("unshared") || line.ends_with("mounted")), "{log:?}");
    }

    let profile = host.dir.join("profile.json");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;
    std::fs::write(&profile, text).unwrap();
    let mut config = shell("localhost", "mkdir /tmp/a; touch /tmp/b && echo made");
    config.linux.security_context.seccomp = Some(SecurityProfile {
        profile_type: ProfileType::Localhost,
        localhost_ref: profile.display().to_string(),
    });
    let mut log = host.run(&config).await.1;
    log.sort();
    assert_eq!(
        log,
        ["stderr F mkdir: can't create directory '/tmp/a': Function not implemented", "stdout F made"]
    );

    // The filter also holds for processes that are added later.
    let sandbox = host.sandbox(&host.pod("exec")).await;
    let mut config = command("main", &["sleep", "1000"]);
    config.linux.security_context.seccomp =
        Some(SecurityProfile { profile_type: ProfileType::RuntimeDefault, localhost_ref: String::new() });
    let id = host.start(&sandbox, &config).await;
    let show = words(&["grep", "Seccomp:", "/proc/self/status"]);
    let output = host.engine.exec_sync(&id, &show, Duration::ZERO).await.unwrap();
    assert_eq!(output.stdout, "Seccomp:\t2\n");
}

async fn users_and_groups(host: Host) {
    let identity = |name: &str| shell(name, "id -u; id -g; id -G; echo $HOME; echo ok > /dev/stderr");
    let mut config = identity("name");
    config.linux.security_context.run_as_username = "app".to_owned();
    config.linux.security_context.supplemental_groups = vec![3000];
    let (status, log) = host.run(&config).await;
    assert_eq!(
        log,
        ["stdout F 1000", "stdout F 1001", "stdout F 1001 20 3000", "stdout F /home/app", "stderr F ok"]
    );
    let user = status.user.unwrap().linux;
    assert_eq!((user.uid, user.gid, user.supplemental_groups), (1000, 1001, vec![1001, 20, 3000]));

    let mut config = identity("numbers");
    let security = &mut config.linux.security_context;
    security.run_as_user = Some(1000);
    security.run_as_group = Some(5);
    security.supplemental_groups_policy = SupplementalGroupsPolicy::Strict;
    assert_eq!(host.run(&config).await.1[..3], ["stdout F 1000", "stdout F 5", "stdout F 5"]);

    let mut config = identity("unknown");
    config.linux.security_context.run_as_username = "nobody-here".to_owned();
    let sandbox = host.sandbox(&host.pod("unknown")).await;
    let id = host.create(&sandbox, &config).await;
    let error = host.engine.start_container(&id).await.unwrap_err().full_message();
    assert!(error.contains("unable to find user nobody-here: no matching entries in passwd file"), "{error}");
}

async fn the_root_can_be_read_only(host: Host) {
    let mut config = shell("main", "touch /tmp/x || echo denied; touch /dev/shm/x && echo shared");
    config.linux.security_context.readonly_rootfs = true;
    let (_, log) = host.run(&config).await;
    assert!(
        log.contains(&"stdout F denied".to_owned()) && log.contains(&"stdout F shared".to_owned()),
        "{log:?}"
    );
}

async fn paths_are_masked(host: Host) {
    let script = "cat /proc/keys | head -c 1; ls /proc/acpi /sys/firmware; (echo 1 > /proc/sys/vm/drop_caches) || echo denied";
    let mut config = shell("main", &format!("{script} 2>&1"));
    config.linux.security_context.masked_paths =
        words(&["/proc/keys", "/proc/acpi", "/sys/firmware", "/proc/nothing"]);
    config.linux.security_context.readonly_paths = words(&["/proc/sys", "/proc/none"]);
    let (status, log) = host.run(&config).await;
    assert_eq!(status.exit_code, 0, "{log:?}");
    assert!(log.contains(&"stdout F denied".to_owned()), "{log:?}");
    let entries =
        log.iter().filter(|line| !line.contains("denied") && !line.ends_with(':') && line.contains("/proc"));
    assert!(
        entries.clone().all(|line| line.contains("Read-only") || line.contains("No such file")),
        "{log:?}"
    );
}

async fn devices_are_few(host: Host) {
    let script = "ls /dev; cat /dev/null && echo null; head -c 3 /dev/zero | wc -c; \
                  mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg || echo denied";
    let script = script.replace("wc -c", "grep -c .").replace("mknod", "/bin/busybox mknod");
    let (_, log) = host.run(&shell("main", &script)).await;
    let text = log.join("\n");
    for name in
        ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue", "fd", "stdout"]
    {
        assert!(log.contains(&format!("stdout F {name}")), "{name} is missing: {text}");
    }
    assert!(
        !log.contains(&"stdout F kmsg".to_owned()) && log.contains(&"stdout F denied".to_owned()),
        "{text}"
    );
}

async fn the_hosts_devices_can_be_mounted(host: Host) {
    let before = std::fs::read_dir("/dev").unwrap().count();
    let mut config = shell("main", "echo x > /dev/null && ls /dev/null");
    config.mounts = vec![mount(std::path::Path::new("/dev"), "/dev")];
    let (status, log) = host.run(&config).await;
    assert_eq!((status.exit_code, log), (0, words(&["stdout F /dev/null"])));
    assert_eq!(std::fs::read_dir("/dev").unwrap().count(), before);

    // A privileged container gets the nodes of all of the host's devices.
    let mut config = shell("privileged", "ls /dev; grep CapEff /proc/self/status; touch /sys/fs/cgroup 2>&1");
    config.linux.security_context.privileged = true;
    let (_, log) = host.run(&config).await;
    assert_eq!(field(&log, "CapEff"), own_capabilities());
    for entry in std::fs::read_dir("/dev").unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        let device = std::os::unix::fs::FileTypeExt::is_block_device(&kind);
        let line = format!("stdout F {}", entry.file_name().to_string_lossy());
        assert!(!device || log.contains(&line), "{line} is missing in {log:?}");
    }
}

/// The capabilities of this process, which nothing that it starts exceeds.
fn own_capabilities() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim().to_owned()
}

fn mount(host_path: &std::path::Path, container_path: &str) -> Mount {
    Mount {
        host_path: host_path.display().to_string(),
        container_path: container_path.to_owned(),
        ..Default::default()
    }
}

async fn volumes_are_mounted(host: Host) {
    let volume = host.dir.join("volume");
    std::fs::create_dir_all(volume.join("sub")).unwrap();
    std::fs::write(volume.join("file"), "content").unwrap();
    let script = "cat /data/file; cat /etc/one; echo > /data/new && echo written; (echo > /ro/new) 2>/dev/null || echo denied; \
                  ls -d /made; cat /image/content";
    let mut config = shell("main", script);
    config.mounts = vec![
        mount(&volume, "/data"),
        mount(&volume.join("file"), "/etc/one"),
        Mount { readonly: true, recursive_read_only: true, ..mount(&volume, "/ro") },
        mount(&host.dir.join("not-there-yet"), "/made"),
        Mount {
            container_path: "/image".to_owned(),
            image: Some(ImageSpec { image: "other".to_owned(), ..Default::default() }),
            ..Default::default()
        },
    ];
    let (_, log) = host.run(&config).await;
    let text: String = log.iter().map(|line| &line["stdout F ".len()..]).collect::<Vec<_>>().join("|");
    assert_eq!(text, "contentcontentwritten|denied|/made|of the image");
    assert!(volume.join("new").exists() && host.dir.join("not-there-yet").is_dir());

    // A mount that is not on a shared mount does not propagate.
    let mut config = command("main", &["true"]);
    config.mounts = vec![Mount { propagation: MountPropagation::Bidirectional, ..mount(&volume, "/data") }];
    let sandbox = host.sandbox(&host.pod("propagation")).await;
    let id = host.create(&sandbox, &config).await;
    match host.engine.start_container(&id).await {
        Ok(()) => assert!(std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains("shared:")),
        Err(error) => assert!(error.full_message().contains("not a shared mount"), "{error}"),
    }
}

async fn links_do_not_lead_out(host: Host) {
    let outside = host.dir.join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    let sandbox = host.sandbox(&host.pod("links")).await;
    let mut config = shell("main", "cat /escape/file");
    let volume = host.dir.join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("file"), "inside\n").unwrap();
    config.mounts = vec![mount(&volume, "/escape/")];
    let id = host.create(&sandbox, &config).await;
    let root = host.dir.join("roots").join(&id);
    std::os::unix::fs::symlink(&outside, root.join("escape")).unwrap();
    host.engine.start_container(&id).await.unwrap();
    assert_eq!(host.exited(&id).await.exit_code, 0);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);

    // A new filesystem is never mounted on a link.
    let id = host.create(&sandbox, &command("proc", &["true"])).await;
    std::os::unix::fs::symlink("/tmp", host.dir.join("roots").join(&id).join("proc")).unwrap();
    let error = host.engine.start_container(&id).await.unwrap_err().full_message();
    assert!(error.contains("mount proc to /proc"), "{error}");
}

async fn a_pod_shares_namespaces(host: Host) {
    let sandbox = host.sandbox(&host.pod("shared")).await;
    let server = shell("server", "echo hello > /dev/shm/greeting; nc -l -p 8080 -e /bin/echo from-server");
    let server = host.start(&sandbox, &server).await;
    let script = "until nc -w 5 127.0.0.1 8080; do sleep 0.02; done; cat /dev/shm/greeting; ps | grep -c '[n]c -l'; ip link | grep -c mtu";
    let client = host.start(&sandbox, &shell("client", script)).await;
    let status = host.exited(&client).await;
    let log = crate::support::log_lines(&status);
    assert_eq!(log[..2], ["stdout F from-server", "stdout F hello"], "{log:?}");
    // Its own processes only, and the loopback device only.
    assert_eq!(log[2..], ["stdout F 0", "stdout F 1"], "{log:?}");
    host.exited(&server).await;
}

async fn process_ids_can_be_shared(host: Host) {
    let sandbox = host.sandbox(&host.pod("pids")).await;
    let mut first = command("first", &["sleep", "1234"]);
    first.linux.security_context.namespace_options.pid = NamespaceMode::Pod;
    let first = host.start(&sandbox, &first).await;
    let mut second = shell("second", "ps -o pid,args");
    second.linux.security_context.namespace_options.pid = NamespaceMode::Pod;
    let second = host.start(&sandbox, &second).await;
    let log = crate::support::log_lines(&host.exited(&second).await);
    assert!(log.iter().any(|line| line.contains("sleep 1234")), "{log:?}");

    // A debug container joins one container's namespace.
    let private = host.start(&sandbox, &command("private", &["sleep", "4321"])).await;
    let mut debug = shell("debug", "ps -o pid,args");
    debug.linux.security_context.namespace_options.pid = NamespaceMode::Target;
    debug.linux.security_context.namespace_options.target_id = private;
    let debug = host.start(&sandbox, &debug).await;
    let log = crate::support::log_lines(&host.exited(&debug).await);
    assert!(log.iter().any(|line| line.contains("sleep 4321")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("sleep 1234")), "{log:?}");

    // When the first process exits, its remaining children are killed.
    let mut forks = shell("forks", "sleep 777 & exec sleep 0.01");
    forks.linux.security_context.namespace_options.pid = NamespaceMode::Pod;
    let forks = host.start(&sandbox, &forks).await;
    host.exited(&forks).await;
    host.engine.remove_container(&forks).await.unwrap();
    let ps = host.engine.exec_sync(&first, &words(&["ps", "-o", "args"]), Duration::ZERO).await.unwrap();
    assert!(!String::from_utf8_lossy(&ps.stdout).contains("sleep 777"), "{ps:?}");
}

async fn names_and_parameters_are_set(host: Host) {
    let mut pod = host.pod("named");
    pod.linux.sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "77".to_owned());
    pod.linux.sysctls.insert("kernel.shm_rmid_forced".to_owned(), "1".to_owned());
    pod.dns_config = Some(cri::DnsConfig {
        servers: words(&["10.43.0.10"]),
        searches: words(&["default.svc.cluster.local", "svc.cluster.local"]),
        options: words(&["ndots:5"]),
    });
    let sandbox = host.sandbox(&pod).await;
    let script = "hostname; cat /etc/hostname /proc/sys/net/ipv4/ip_unprivileged_port_start \
                  /proc/sys/kernel/shm_rmid_forced /etc/resolv.conf; df -m /dev/shm | tail -n 1 | awk '{ print $2 }'";
    let id = host.start(&sandbox, &shell("main", script)).await;
    let log = crate::support::log_lines(&host.exited(&id).await);
    let expected = [
        "named",
        "named",
        "77",
        "1",
        "search default.svc.cluster.local svc.cluster.local",
        "nameserver 10.43.0.10",
        "options ndots:5",
        "64",
    ];
    assert_eq!(log, expected.map(|line| format!("stdout F {line}")));
}

async fn the_host_can_be_shared(host: Host) {
    let mut pod = host.pod("on-host");
    pod.hostname = String::new();
    let options = &mut pod.linux.security_context.namespace_options;
    options.network = NamespaceMode::Node;
    options.ipc = NamespaceMode::Node;
    options.pid = NamespaceMode::Node;
    let sandbox = host.sandbox(&pod).await;
    let mut config =
        shell("main", "for n in net ipc pid uts; do readlink /proc/self/ns/$n; done; sleep 555 &");
    config.linux.security_context.namespace_options = pod.linux.security_context.namespace_options.clone();
    config.linux.security_context.privileged = true;
    let id = host.start(&sandbox, &config).await;
    let log = crate::support::log_lines(&host.exited(&id).await);
    let own = ["net", "ipc", "pid", "uts"].map(|name| {
        format!("stdout F {}", std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display())
    });
    assert_eq!(log, own);
    assert_eq!(host.engine.pod_sandbox_status(&sandbox).await.unwrap().network.ip, "");
}

/// A container that executes `/proc/self/exe` gets its own program, and while a process enters the container, the
/// agent's program can be neither seen nor written (CVE-2019-5736).
async fn the_agents_program_cannot_be_written(host: Host) {
    let sandbox = host.sandbox(&host.pod("exe")).await;
    let id = host.start(&sandbox, &command("main", &["sleep", "1000"])).await;
    let script = "#!/proc/self/exe\n";
    std::fs::write(host.dir.join("roots").join(&id).join("bin/trap"), script).unwrap();
    std::fs::set_permissions(
        host.dir.join("roots").join(&id).join("bin/trap"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let before = std::fs::metadata(std::env::current_exe().unwrap()).unwrap().modified().unwrap();
    let result = host.engine.exec_sync(&id, &words(&["/bin/trap"]), Duration::from_secs(10)).await;
    // Whatever the interpreter does, it got no way to write.
    drop(result);
    let shim = std::fs::read_dir("/proc").unwrap().flatten().find(|process| {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&format!("engine/sandboxes/{sandbox}"))
    });
    let exe = shim.expect("the shim runs").path().join("exe");
    let error = std::fs::File::options().write(true).open(exe).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::ExecutableFileBusy
        ),
        "{error}"
    );
    assert_eq!(std::fs::metadata(std::env::current_exe().unwrap()).unwrap().modified().unwrap(), before);
}
