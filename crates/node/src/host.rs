//! Facts about the machine.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The mode of directories that are only for root, as upstream's.
const PRIVATE_MODE: u32 = 0o750;

/// Facts about the machine that the node reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) cpus: usize,
    pub(crate) memory_bytes: i64,
    /// Of the file system of the agent's directory.
    pub(crate) storage_bytes: i64,
    pub(crate) hugepages: Vec<(String, i64)>,
    pub(crate) hostname: String,
    pub(crate) kernel_version: String,
    pub(crate) os_image: String,
    pub(crate) architecture: &'static str,
    pub(crate) machine_id: String,
    pub(crate) system_uuid: String,
    pub(crate) boot_id: String,
    /// The host has only cgroup v2.
    pub(crate) unified_cgroups: bool,
    /// The kernel's enabled security modules.
    pub(crate) security: HostSecurity,
}

/// Which of the kernel's access control systems are enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostSecurity {
    pub(crate) apparmor: bool,
    pub(crate) selinux: bool,
}

impl HostSecurity {
    fn gather() -> HostSecurity {
        HostSecurity {
            apparmor: first_line("/sys/module/apparmor/parameters/enabled") == "Y",
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        }
    }
}

impl Facts {
    /// Examines the machine. `directory` is on the file system of pods' data; it must exist.
    pub(crate) fn gather(directory: &Path) -> io::Result<Facts> {
        let uname = rustix::system::uname();
        let storage = rustix::fs::statvfs(directory)?;
        let memory = parse_memory(&fs::read_to_string("/proc/meminfo")?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal"))?;
        Ok(Facts {
            cpus: std::thread::available_parallelism()?.get(),
            memory_bytes: memory,
            storage_bytes: i64::try_from(storage.f_blocks * storage.f_frsize).unwrap_or(i64::MAX),
            hugepages: hugepages(),
            hostname: uname.nodename().to_string_lossy().to_lowercase(),
            kernel_version: uname.release().to_string_lossy().into_owned(),
            os_image: os_image(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
            architecture: architecture(),
            machine_id: first_line("/etc/machine-id"),
            system_uuid: first_line("/sys/class/dmi/id/product_uuid"),
            boot_id: first_line("/proc/sys/kernel/random/boot_id"),
            unified_cgroups: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            security: HostSecurity::gather(),
        })
    }
}

/// Creates a directory that other users of the host cannot enter, or closes an existing one to them. Pods' volumes
/// contain tokens that every user of the pod may read, and set-user-ID programs.
pub(crate) fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(PRIVATE_MODE))
}

/// The architecture by Go's name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().trim().to_owned()
}

fn parse_memory(text: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<i64>().ok().map(|kib| kib * 1024)
}

fn os_image(text: &str) -> String {
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

/// Sizes of huge pages (`hugepages-2Mi`), and the number of bytes of each.
fn hugepages() -> Vec<(String, i64)> {
    let entries = fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let mut sizes: Vec<(String, i64)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let kib: i64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let count: i64 =
                fs::read_to_string(entry.path().join("nr_hugepages")).ok()?.trim().parse().ok()?;
            let size = match kib {
                kib if kib % (1 << 20) == 0 => format!("{}Gi", kib >> 20),
                kib if kib % (1 << 10) == 0 => format!("{}Mi", kib >> 10),
                kib => format!("{kib}Ki"),
            };
            Some((format!("hugepages-{size}"), count * kib * 1024))
        })
        .collect();
    sizes.sort();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_out_of_reach_for_users_of_the_host() {
        let directory = tempfile::tempdir().unwrap();
        let pods = directory.path().join("state/pods");
        fs::create_dir_all(&pods).unwrap();
        fs::set_permissions(&pods, fs::Permissions::from_mode(0o755)).unwrap();
        make_private(&pods).unwrap();
        assert_eq!(fs::metadata(&pods).unwrap().permissions().mode() & 0o777, 0o750);
    }

    #[test]
    fn files_of_the_kernel_are_read() {
        assert_eq!(parse_memory("MemTotal:       16309012 kB\nMemFree: 1 kB\n"), Some(16_309_012 * 1024));
        assert_eq!(parse_memory(""), None);
        assert_eq!(
            os_image("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n"),
            "Debian GNU/Linux 13 (trixie)"
        );
        let facts = Facts::gather(Path::new("/tmp")).unwrap();
        assert!(facts.cpus > 0 && facts.memory_bytes > 0 && facts.storage_bytes > 0);
    }
}
