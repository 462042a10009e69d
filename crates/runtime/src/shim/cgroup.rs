//! The cgroup of one container, on cgroup v1 (also along with an empty v2, "hybrid") and on v2.
//!
//! A container's cgroup has one path below the root of each hierarchy. The shim creates it, and the agent reads its
//! counters and changes its limits; both use this module. Facts are from the kernel's
//! `Documentation/admin-guide/cgroup-v1` and `cgroup-v2.rst`.

mod devices;
mod v1;
mod v2;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cri::Pressures;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, Signal};

use super::protocol::Resources;

/// Which hierarchies the machine has.
enum Hierarchies {
    V1(v1::Mounts),
    V2(PathBuf),
}

/// Looked up once in a process: hierarchies are mounted when the machine boots.
fn hierarchies() -> io::Result<&'static Hierarchies> {
    static FOUND: OnceLock<Hierarchies> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found);
    }
    let found = detect(&fs::read_to_string("/proc/self/mountinfo")?)?;
    Ok(FOUND.get_or_init(|| found))
}

fn detect(mountinfo: &str) -> io::Result<Hierarchies> {
    let mounts = v1::Mounts::parse(mountinfo);
    if !mounts.is_empty() {
        return Ok(Hierarchies::V1(mounts));
    }
    mountinfo
        .lines()
        .find(|line| line.split_once(" - ").is_some_and(|(_, rest)| rest.starts_with("cgroup2 ")))
        .and_then(|line| line.split(' ').nth(4))
        .map(|mount_point| Hierarchies::V2(PathBuf::from(mount_point)))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no cgroup hierarchy is mounted"))
}

/// Mounts the hierarchies below `directory` where this mount namespace shows none. That is so under
/// `ip netns exec`, which lays a fresh `/sys` over the machine's.
pub(crate) fn mount_missing(directory: &Path) -> io::Result<()> {
    if hierarchies().is_ok() {
        return Ok(());
    }
    for (name, kind, options) in missing_mounts(&fs::read_to_string("/proc/self/cgroup")?) {
        let target = directory.join(name);
        fs::create_dir_all(&target)?;
        let options = CString::new(options)?;
        rustix::mount::mount(kind, &target, kind, MountFlags::empty(), options.as_c_str())?;
    }
    hierarchies().map(drop)
}

/// Undoes [`mount_missing`]; the process should end afterwards.
pub(crate) fn unmount(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        match rustix::mount::unmount(entry?.path(), UnmountFlags::DETACH) {
            // Mounted in the former mount namespace only.
            Err(Errno::INVAL) => {}
            result => result?,
        }
    }
    Ok(())
}

/// What to mount, from `/proc/self/cgroup`: name, file system and options of each hierarchy. The one without
/// controllers, v2's, counts only if there is no other.
fn missing_mounts(membership: &str) -> Vec<(&str, &'static str, &str)> {
    let controllers = membership.lines().filter_map(|line| line.split(':').nth(1));
    let v1 = controllers.filter(|names| !names.is_empty() && !names.starts_with("name="));
    let v1: Vec<_> = v1.map(|names| (names, "cgroup", names)).collect();
    if v1.is_empty() { vec![("unified", "cgroup2", "")] } else { v1 }
}

/// Counters of a cgroup. Bytes and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu_nanos: u64,
    pub(crate) memory: u64,
    /// Memory that the kernel can reclaim at once: file pages not used for a while.
    pub(crate) inactive_file: u64,
    pub(crate) rss: u64,
    pub(crate) page_faults: u64,
    pub(crate) major_page_faults: u64,
    /// `None` without limit.
    pub(crate) memory_limit: Option<u64>,
    /// `None` if the kernel does not account swap.
    pub(crate) swap: Option<u64>,
    pub(crate) swap_limit: Option<u64>,
}

/// One cgroup.
pub(crate) struct Cgroup {
    /// Relative to the hierarchies' roots, without leading slash.
    path: PathBuf,
    hierarchies: &'static Hierarchies,
}

impl Cgroup {
    /// The cgroup at this path below the root of each hierarchy. Nothing is made yet.
    pub(crate) fn new(path: &str) -> io::Result<Cgroup> {
        let relative = Path::new(path.trim_start_matches('/'));
        let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain || relative.as_os_str().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid cgroup path {path:?}")));
        }
        Ok(Cgroup { path: relative.to_owned(), hierarchies: hierarchies()? })
    }

    /// Makes the cgroup and sets its limits.
    pub(crate) fn create(&self, resources: &Resources) -> io::Result<()> {
        match self.hierarchies {
            Hierarchies::V1(mounts) => mounts.create(&self.path)?,
            Hierarchies::V2(root) => v2::create(root, &self.path)?,
        }
        self.apply(resources)?;
        if let Some(rules) = &resources.devices {
            match self.hierarchies {
                Hierarchies::V1(mounts) => mounts.allow_devices(&self.path, rules)?,
                Hierarchies::V2(root) => devices::attach(&root.join(&self.path), rules)?,
            }
        }
        Ok(())
    }

    /// Sets those limits that `resources` names; device rules stay as they are.
    pub(crate) fn apply(&self, resources: &Resources) -> io::Result<()> {
        match self.hierarchies {
            Hierarchies::V1(mounts) => mounts.apply(&self.path, resources),
            Hierarchies::V2(root) => v2::apply(&root.join(&self.path), resources),
        }
    }

    /// Moves the calling process, which has one thread, into the cgroup.
    pub(crate) fn enter(&self) -> io::Result<()> {
        // On v1 a thread that moves itself avoids the wait of up to 10 ms in the kernel that moving a process causes.
        // On v2 a thread cannot leave its process.
        let file = match self.hierarchies {
            Hierarchies::V1(_) => "tasks",
            Hierarchies::V2(_) => "cgroup.procs",
        };
        self.directories().iter().try_for_each(|directory| write(directory, file, "0"))
    }

    /// How many processes of the cgroup the kernel has killed for being over the memory limit.
    pub(crate) fn oom_kills(&self) -> u64 {
        let counters = match self.hierarchies {
            Hierarchies::V1(mounts) => mounts.oom_control(&self.path),
            Hierarchies::V2(root) => read(&root.join(&self.path), "memory.events"),
        };
        counters.ok().and_then(|text| keyed(&text, "oom_kill")).unwrap_or(0)
    }

    /// The cgroup's usage.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        match self.hierarchies {
            Hierarchies::V1(mounts) => mounts.usage(&self.path),
            Hierarchies::V2(root) => v2::usage(&root.join(&self.path)),
        }
    }

    /// How long its tasks wait for resources: only v2 counts that.
    pub(crate) fn pressures(&self) -> Pressures {
        match self.hierarchies {
            Hierarchies::V1(_) => Pressures::default(),
            Hierarchies::V2(root) => {
                let directory = root.join(&self.path);
                Pressures::read(|resource| read(&directory, &format!("{resource}.pressure")).ok())
            }
        }
    }

    /// How many processes the cgroup has, without those of cgroups below it.
    pub(crate) fn process_count(&self) -> usize {
        self.processes().len()
    }

    /// Kills every process in the cgroup. New ones may appear while it works.
    pub(crate) fn kill(&self) {
        for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
            // It is not an error if a process has exited in the meantime.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    fn processes(&self) -> BTreeSet<i32> {
        self.directories()
            .iter()
            .filter_map(|directory| read(directory, "cgroup.procs").ok())
            .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// Removes the cgroup, which must have no processes; it is not an error if it is already gone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for directory in self.directories() {
            match fs::remove_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the cgroup exists in any hierarchy.
    pub(crate) fn exists(&self) -> bool {
        !self.directories().is_empty()
    }

    /// The existing directories of the cgroup, one per hierarchy.
    fn directories(&self) -> Vec<PathBuf> {
        let mut directories = match self.hierarchies {
            Hierarchies::V1(mounts) => mounts.directories(&self.path),
            Hierarchies::V2(root) => vec![root.join(&self.path)],
        };
        directories.retain(|directory| directory.is_dir());
        directories
    }
}

/// Where a container sees cgroup hierarchies: their names below `/sys/fs/cgroup`, with the options that mount
/// them; a single one without name is v2.
pub(super) fn views() -> io::Result<Vec<(String, String)>> {
    Ok(match hierarchies()? {
        Hierarchies::V1(mounts) => mounts.views(),
        Hierarchies::V2(_) => vec![(String::new(), String::new())],
    })
}

fn write(directory: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = directory.join(file);
    fs::write(&path, value).map_err(|error| {
        io::Error::new(error.kind(), format!("write {value:?} to {}: {error}", path.display()))
    })
}

fn read(directory: &Path, file: &str) -> io::Result<String> {
    fs::read_to_string(directory.join(file))
}

/// The number in a file with a single value; `None` for `max`.
fn number(directory: &Path, file: &str) -> io::Result<Option<u64>> {
    Ok(read(directory, file)?.trim().parse().ok())
}

/// The number behind `key` in a file of lines `key number`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_hierarchy_is_found() {
        let v2 = "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert!(matches!(detect(v2).unwrap(), Hierarchies::V2(root) if root == Path::new("/sys/fs/cgroup")));
        let hybrid = "30 29 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      31 29 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
        assert!(matches!(detect(hybrid).unwrap(), Hierarchies::V1(_)));
        assert!(detect("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n").is_err());
    }

    #[test]
    fn hierarchies_that_are_not_mounted_are_known_from_membership() {
        let hybrid = "4:memory:/a\n3:name=systemd:/\n2:cpu,cpuacct:/\n0::/\n";
        let expected = [("memory", "cgroup", "memory"), ("cpu,cpuacct", "cgroup", "cpu,cpuacct")];
        assert_eq!(missing_mounts(hybrid), expected);
        assert_eq!(missing_mounts("0::/user.slice\n"), [("unified", "cgroup2", "")]);
    }

    /// Removed with its content, whatever happens.
    struct Guard(Cgroup, std::process::Child);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.1.kill();
            let _ = self.1.wait();
            let _ = self.0.remove();
        }
    }

    /// On a hybrid machine the v2 hierarchy has no controllers but takes processes and device rules.
    #[test]
    fn the_v2_hierarchy_works() {
        use super::super::protocol::DeviceRule;
        use std::io::{BufRead, BufReader, Write};
        use std::process::{Command, Stdio};

        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let v2: String = mountinfo.lines().filter(|line| line.contains(" - cgroup2 ")).collect();
        let hierarchies: &'static Hierarchies = Box::leak(Box::new(detect(&v2).unwrap()));
        let path = PathBuf::from(format!("ironhull-unit-{}/leaf", std::process::id()));
        let parent = Cgroup { path: path.parent().unwrap().to_owned(), hierarchies };
        let cgroup = Cgroup { path, hierarchies };
        let null = DeviceRule { block: false, major: Some(1), minor: Some(3), access: "rwm".to_owned() };
        cgroup.create(&Resources { devices: Some(vec![null]), ..Default::default() }).unwrap();

        let script =
            "read go; for device in null zero; do (: < /dev/$device) && echo $device; done; read end";
        let mut shell = Command::new("sh");
        let shell =
            shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guard = Guard(cgroup, shell.spawn().unwrap());
        let Guard(cgroup, child) = &mut guard;
        write(&cgroup.directories()[0], "cgroup.procs", &child.id().to_string()).unwrap();
        assert_eq!(cgroup.processes(), BTreeSet::from([child.id() as i32]));
        assert!(cgroup.exists() && cgroup.remove().is_err(), "a cgroup with processes stays");
        child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "null\n");
        let counts = Path::new("/proc/pressure/cpu").exists();
        assert_eq!(cgroup.pressures().cpu.is_some(), counts, "{:?}", cgroup.pressures());
        cgroup.kill();
        child.wait().unwrap();
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "", "the rules forbid /dev/zero");
        assert_eq!(cgroup.oom_kills(), 0);
        cgroup.remove().unwrap();
        parent.remove().unwrap();
        assert!(!cgroup.exists() && !parent.exists());
    }

    #[test]
    fn paths_stay_below_the_root() {
        for path in ["", "/", "../x", "/a/../../b"] {
            assert!(Cgroup::new(path).is_err(), "{path}");
        }
    }

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let text = "oom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(keyed(text, "oom_kill"), Some(2));
        assert_eq!(keyed(text, "oom"), Some(3));
        assert_eq!(keyed(text, "low"), None);
    }
}
