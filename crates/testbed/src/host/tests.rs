use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::*;

fn shell(host: &Host, script: &str) -> String {
    output(host.command("sh").args(["-ec", script])).unwrap()
}

#[test]
fn hosts_are_apart_and_reach_outside() {
    let (first, second) = (Host::new().unwrap(), Host::new().unwrap());
    assert_ne!(first.name(), second.name());
    assert_eq!(shell(&first, "hostname").trim(), first.name());
    assert_eq!(shell(&first, "cat /etc/resolv.conf"), RESOLV_CONF);
    let namespaces = |host: &Host| fs::metadata(host.network_namespace()).unwrap().ino();
    assert_ne!(namespaces(&first), namespaces(&second));
    assert!(shell(&first, "ip -br addr show dev uplink").contains(&HOST_ADDRESS.to_string()));
    // Mounts propagate within a host, as they do on a machine.
    assert!(
        shell(&first, "cut -d' ' -f5,7 /proc/self/mountinfo")
            .lines()
            .any(|line| line.starts_with("/ shared:"))
    );
    // The end of a host does not wait until this machine's disk has all that anybody has written.
    let overlays = shell(&first, "grep ' overlay ' /proc/self/mounts");
    let own = overlays.lines().filter(|line| line.contains(first.directory().to_str().unwrap()));
    let own: Vec<&str> = own.collect();
    assert!(own.len() == 4 && own.iter().all(|line| line.contains("volatile")), "{overlays}");
    // A mount, a file and a server on one host are not seen on the other.
    shell(&first, "mount -t tmpfs here /mnt && touch /mnt/file");
    shell(&second, "test ! -e /mnt/file");
    assert!(!Path::new("/mnt/file").exists());
    assert_eq!(first.changed_files().unwrap(), "");
    shell(&first, "echo x > /var/lib/of-the-test; mkdir /run/directory");
    let changes = first.directory().join("changes/var/lib/of-the-test");
    assert_eq!(first.changed_files().unwrap().trim(), changes.to_str().unwrap());
    assert!(!Path::new("/var/lib/of-the-test").exists());
    let mut page = first.command_outside("busybox");
    fs::write(first.directory().join("index.html"), "from outside").unwrap();
    page.args(["httpd", "-f", "-p", &format!("{}:80", crate::OUTSIDE_ADDRESS), "-h"]).arg(first.directory());
    let _page = first.network().start("page", page).unwrap();
    let url = format!("http://{}/index.html", crate::OUTSIDE_ADDRESS);
    let seen = crate::until("the page", Duration::from_secs(20), || {
        output(first.command("curl").args(["-sSf", &url])).map_err(|error| error.to_string())
    });
    assert_eq!(seen.unwrap(), "from outside");
    output(second.command("curl").args(["-sSf", "-m", "2", &url])).unwrap_err();
}

#[test]
fn a_dropped_host_leaves_nothing() {
    let host = Host::new().unwrap();
    let (directory, cgroups) = (host.directory().to_owned(), host.cgroups());
    let mut sleeper = host.command("sh");
    let script =
        "for mount in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do mkdir -p $mount/pod; done
        (sleep 1000 & echo $! > \"$0\")
        exec sleep 1001";
    sleeper.args(["-c", script]);
    sleeper.arg(directory.join("orphan"));
    let sleeper = host.start("sleeper", sleeper).unwrap();
    crate::until("the orphan", Duration::from_secs(20), || {
        let orphan = fs::read_to_string(directory.join("orphan")).unwrap_or_default();
        if orphan.ends_with('\n') { Ok(()) } else { Err(orphan) }
    })
    .unwrap();
    // Another orphan ends: it is reaped, and the host lives on.
    shell(&host, "(true & echo $! > /run/ended); until [ ! -e /proc/$(cat /run/ended) ]; do :; done");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", host.init())).unwrap();
    assert_eq!(children.split_whitespace().count(), 1, "the orphan is with process 1");
    let all: Vec<String> =
        children.split_whitespace().map(str::to_owned).chain([sleeper.pid().to_string()]).collect();
    assert!(cgroups.iter().any(|directory| directory.join("pod").exists()) && !cgroups.is_empty());
    std::mem::forget(sleeper);
    drop(host);
    for pid in all {
        assert!(!Path::new("/proc").join(&pid).exists() || is_dead(&pid), "process {pid}");
    }
    for path in cgroups.iter().chain([&directory]) {
        assert!(!path.exists(), "{}", path.display());
    }
}

fn is_dead(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}
