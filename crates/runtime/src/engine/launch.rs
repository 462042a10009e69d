//! From a container's configuration to the launch description for the shim.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::record::{ContainerRecord, ImageDefaults, SandboxRecord};
use super::{capabilities, namespaces, seccomp};
use crate::shim::DEFAULT_PATH;
use crate::shim::protocol::{
    Device, DeviceRule, Launch, Mount, MountSource, Namespaces, PidNamespace, Process, Propagation,
    Resources, User,
};
use cri::{
    ContainerConfig, CriError, Device as CriDevice, KeyValue, LinuxContainerResources,
    LinuxContainerSecurityContext, Mount as CriMount, MountPropagation, NamespaceMode, ProfileType,
    SupplementalGroupsPolicy, UserNamespaceMode,
};

/// The default parent cgroup of sandboxes.
pub(super) const DEFAULT_CGROUP_PARENT: &str = "/ironhull";

/// Device nodes that every container may use: major and minor number.
const ALLOWED_DEVICES: [(u32, Option<u32>); 10] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
    (10, Some(200)),
];

/// Assembles the launch description for the shim. Checks paths of the host, so it blocks.
pub(super) fn launch(
    sandbox: &SandboxRecord,
    sandbox_directory: &Path,
    container: &ContainerRecord,
    state_directory: PathBuf,
) -> Result<Launch, CriError> {
    let config = &container.config;
    let security = &config.linux.security_context;
    if security.selinux_options.is_some() && Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(CriError::InvalidArgument("SELinux labels are not supported".to_owned()));
    }
    let (devices, rules) = devices(&config.devices, security.privileged)?;
    let mut resources = resources(&container.resources);
    resources.devices = rules;
    let hidden = |paths: &[String]| if security.privileged { Vec::new() } else { paths.to_vec() };
    Ok(Launch {
        id: container.id.clone(),
        state_dir: state_directory,
        rootfs: container.rootfs.clone(),
        readonly_rootfs: security.readonly_rootfs,
        namespaces: namespaces(sandbox, sandbox_directory, security)?,
        mounts: mounts(sandbox, sandbox_directory, config)?,
        devices,
        masked_paths: hidden(&security.masked_paths),
        readonly_paths: hidden(&security.readonly_paths),
        cgroup: cgroup_path(sandbox, &container.id),
        resources,
        oom_score_adj: container.resources.oom_score_adj.clamp(-1000, 1000) as i32,
        process: process(sandbox, config, &container.image)?,
        log_path: log_path(sandbox, config),
        log_limits: Default::default(),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
    })
}

/// The cgroup of a container.
pub(super) fn cgroup_path(sandbox: &SandboxRecord, container_id: &str) -> String {
    format!("{}/{container_id}", cgroup_parent(sandbox))
}

/// The parent of the cgroups of a sandbox's containers.
pub(super) fn cgroup_parent(sandbox: &SandboxRecord) -> &str {
    match sandbox.config.linux.cgroup_parent.trim_end_matches('/') {
        "" => DEFAULT_CGROUP_PARENT,
        parent => parent,
    }
}

/// The absolute path of a container's log; `None` if it has none.
pub(super) fn log_path(sandbox: &SandboxRecord, config: &ContainerConfig) -> Option<PathBuf> {
    let set = !config.log_path.is_empty() && !sandbox.config.log_directory.is_empty();
    set.then(|| Path::new(&sandbox.config.log_directory).join(&config.log_path))
}

/// One more process of a container, with the container's own user and rights.
pub(super) fn exec_process(
    sandbox: &SandboxRecord,
    container: &ContainerRecord,
    command: &[String],
    tty: bool,
) -> Result<Process, CriError> {
    let mut process = process(sandbox, &container.config, &container.image)?;
    process.args = command.to_vec();
    process.tty = tty;
    set_term(&mut process.env, tty);
    Ok(process)
}

fn process(
    sandbox: &SandboxRecord,
    config: &ContainerConfig,
    image: &ImageDefaults,
) -> Result<Process, CriError> {
    let security = &config.linux.security_context;
    let cwd = [&config.working_dir, &image.working_dir].into_iter().find(|cwd| !cwd.is_empty());
    let capabilities = capabilities::effective(&security.capabilities, security.privileged)?;
    Ok(Process {
        args: arguments(config, image),
        env: environment(sandbox, config, image),
        cwd: cwd.map_or("/".to_owned(), |cwd| absolute(cwd)),
        tty: config.tty,
        user: user(security, image)?,
        capabilities,
        no_new_privileges: security.no_new_privs,
        seccomp: seccomp_filter(security, capabilities.bounding)?,
        apparmor: apparmor_profile(security)?,
    })
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// A command replaces the image's entry point and arguments, arguments alone replace its arguments.
fn arguments(config: &ContainerConfig, image: &ImageDefaults) -> Vec<String> {
    let (first, rest) = match (config.command.is_empty(), config.args.is_empty()) {
        (false, _) => (&config.command, &config.args),
        (true, false) => (&image.entrypoint, &config.args),
        (true, true) => (&image.entrypoint, &image.cmd),
    };
    first.iter().chain(rest).cloned().collect()
}

fn environment(sandbox: &SandboxRecord, config: &ContainerConfig, image: &ImageDefaults) -> Vec<String> {
    let mut env = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={}", hostname(sandbox))];
    set_term(&mut env, config.tty);
    for variable in &image.env {
        let (key, value) = variable.split_once('=').unwrap_or((variable, ""));
        set_variable(&mut env, key, value);
    }
    for KeyValue { key, value } in &config.envs {
        set_variable(&mut env, key, value);
    }
    env
}

/// The host name that the sandbox's containers see.
pub(super) fn hostname(sandbox: &SandboxRecord) -> String {
    match sandbox.config.hostname.as_str() {
        "" => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        name => name.to_owned(),
    }
}

fn set_term(env: &mut Vec<String>, tty: bool) {
    if tty && !env.iter().any(|variable| variable.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
}

fn set_variable(env: &mut Vec<String>, key: &str, value: &str) {
    let variable = format!("{key}={value}");
    match env.iter_mut().find(|old| old.split_once('=').is_some_and(|(old, _)| old == key)) {
        Some(old) => *old = variable,
        None => env.push(variable),
    }
}

fn user(security: &LinuxContainerSecurityContext, image: &ImageDefaults) -> Result<User, CriError> {
    let id = |id: i64| {
        u32::try_from(id)
            .map_err(|_| CriError::InvalidArgument(format!("{id} is not a valid user or group ID")))
    };
    let user = match security.run_as_user {
        Some(uid) => id(uid)?.to_string(),
        None if !security.run_as_username.is_empty() => security.run_as_username.clone(),
        None => image.user.clone(),
    };
    Ok(User {
        user,
        group: security.run_as_group.map(id).transpose()?,
        supplemental_groups: security
            .supplemental_groups
            .iter()
            .map(|group| id(*group))
            .collect::<Result<_, _>>()?,
        strict_groups: security.supplemental_groups_policy == SupplementalGroupsPolicy::Strict,
    })
}

fn seccomp_filter(
    security: &LinuxContainerSecurityContext,
    capabilities: u64,
) -> Result<Option<Vec<u64>>, CriError> {
    let Some(profile) = security.seccomp.as_ref().filter(|_| !security.privileged) else { return Ok(None) };
    let profile = match profile.profile_type {
        ProfileType::Unconfined => return Ok(None),
        ProfileType::RuntimeDefault => seccomp::default_profile(capabilities),
        ProfileType::Localhost => seccomp::load_profile(Path::new(&profile.localhost_ref))?,
    };
    seccomp::compile(&profile).map(Some)
}

/// The AppArmor profile by name. The engine has no default profile.
fn apparmor_profile(security: &LinuxContainerSecurityContext) -> Result<Option<String>, CriError> {
    let Some(profile) = security.apparmor.as_ref().filter(|_| !security.privileged) else { return Ok(None) };
    let is_enabled = || {
        let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        enabled.is_ok_and(|text| text.trim() == "Y")
    };
    // A confined process starts others under the same profile.
    let is_confined = || {
        let current = fs::read_to_string("/proc/self/attr/apparmor/current");
        current.is_ok_and(|text| text.trim() != "unconfined")
    };
    let refused = |why: &str| Err(CriError::InvalidArgument(why.to_owned()));
    match profile.profile_type {
        ProfileType::Unconfined => Ok((is_enabled() && is_confined()).then(|| "unconfined".to_owned())),
        _ if !is_enabled() => refused("apparmor is not supported by this machine"),
        ProfileType::RuntimeDefault => refused("there is no default AppArmor profile"),
        ProfileType::Localhost => Ok(Some(profile.localhost_ref.trim_start_matches("localhost/").to_owned())),
    }
}

fn namespaces(
    sandbox: &SandboxRecord,
    directory: &Path,
    security: &LinuxContainerSecurityContext,
) -> Result<Namespaces, CriError> {
    let options = &security.namespace_options;
    if options.userns.as_ref().is_some_and(|userns| userns.mode == UserNamespaceMode::Pod) {
        return Err(CriError::InvalidArgument("user namespaces are not supported".to_owned()));
    }
    let shared = &sandbox.config.linux.security_context.namespace_options;
    let host_network = shared.network == NamespaceMode::Node;
    Ok(Namespaces {
        network: (!host_network).then(|| namespaces::network_path(directory)),
        ipc: (shared.ipc != NamespaceMode::Node).then(|| namespaces::ipc_path(directory)),
        uts: (!host_network).then(|| namespaces::uts_path(directory)),
        pid: match options.pid {
            NamespaceMode::Pod => PidNamespace::Pod,
            NamespaceMode::Container => PidNamespace::Private,
            NamespaceMode::Node => PidNamespace::Host,
            NamespaceMode::Target => PidNamespace::Container(options.target_id.clone()),
        },
    })
}

/// The limits, without rules for devices.
pub(super) fn resources(config: &LinuxContainerResources) -> Resources {
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    Resources {
        cpu_shares: positive(config.cpu_shares),
        cpu_quota: config.cpu_quota,
        cpu_period: positive(config.cpu_period),
        cpuset_cpus: config.cpuset_cpus.clone(),
        cpuset_mems: config.cpuset_mems.clone(),
        memory_limit: config.memory_limit_in_bytes,
        memory_swap_limit: config.memory_swap_limit_in_bytes,
        hugepage_limits: config
            .hugepage_limits
            .iter()
            .map(|limit| (limit.page_size.clone(), limit.limit))
            .collect(),
        unified: config.unified.iter().map(|(file, value)| (file.clone(), value.clone())).collect(),
        devices: None,
    }
}

fn mounts(
    sandbox: &SandboxRecord,
    directory: &Path,
    config: &ContainerConfig,
) -> Result<Vec<Mount>, CriError> {
    let security = &config.linux.security_context;
    let taken: BTreeSet<&str> =
        config.mounts.iter().map(|mount| mount.container_path.trim_end_matches('/')).collect();
    let mut mounts = filesystems(security.privileged);
    let host_ipc = sandbox.config.linux.security_context.namespace_options.ipc == NamespaceMode::Node;
    let shm = if host_ipc { PathBuf::from("/dev/shm") } else { directory.join("shm") };
    let shared = [
        ("/dev/shm", shm, false),
        ("/etc/hostname", directory.join("hostname"), security.readonly_rootfs),
        ("/etc/resolv.conf", directory.join("resolv.conf"), security.readonly_rootfs),
    ];
    for (destination, source, readonly) in shared {
        // As with volumes: the shim follows no links.
        let source = fs::canonicalize(&source)
            .map_err(|error| CriError::internal(format!("find {}", source.display()), error))?;
        mounts.push(Mount {
            destination: destination.to_owned(),
            source: MountSource::Bind(source),
            readonly,
            recursive_readonly: false,
            propagation: Propagation::Private,
            restricted: destination == "/dev/shm",
        });
    }
    // A volume replaces the default content, and paths below the host's own /dev are the host's: mount points would be
    // created there.
    let covered = |path: &str| taken.contains(path) || (taken.contains("/dev") && path.starts_with("/dev/"));
    mounts.retain(|mount| !covered(&mount.destination));
    for mount in &config.mounts {
        mounts.push(bind(mount)?);
    }
    // Deeper paths must come later, or they would be covered. The sort is stable.
    mounts.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    Ok(mounts)
}

/// The kernel's filesystems in every container.
fn filesystems(privileged: bool) -> Vec<Mount> {
    let filesystem = |destination: &str, kind: &str, options: &[&str], restricted| Mount {
        destination: destination.to_owned(),
        source: MountSource::Filesystem {
            kind: kind.to_owned(),
            options: options.iter().map(|option| option.to_string()).collect(),
        },
        readonly: false,
        recursive_readonly: false,
        propagation: Propagation::Private,
        restricted,
    };
    let readonly = !privileged;
    vec![
        filesystem("/proc", "proc", &[], true),
        filesystem("/dev", "tmpfs", &["mode=755", "size=65536k"], false),
        Mount { readonly, ..filesystem("/sys", "sysfs", &[], true) },
        filesystem("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"], false),
        filesystem("/dev/mqueue", "mqueue", &[], true),
        Mount { readonly, source: MountSource::Cgroup, ..filesystem("/sys/fs/cgroup", "", &[], true) },
    ]
}

fn bind(mount: &CriMount) -> Result<Mount, CriError> {
    let invalid = |reason: &str| {
        CriError::InvalidArgument(format!(
            "mount {:?} to {:?}: {reason}",
            mount.host_path, mount.container_path
        ))
    };
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        return Err(invalid("idmapped mounts are not supported"));
    }
    if mount.recursive_read_only && (!mount.readonly || mount.propagation != MountPropagation::Private) {
        return Err(invalid("a recursive read-only mount must be read-only and private"));
    }
    let source = Path::new(&mount.host_path);
    if !source.is_absolute() || mount.container_path.is_empty() {
        return Err(invalid("the paths must be absolute"));
    }
    // A link at the end is followed, because its target is meant. A path that does not exist becomes a directory.
    let source = match fs::canonicalize(source) {
        Ok(source) => source,
        Err(_) => {
            fs::create_dir_all(source).map_err(|error| invalid(&error.to_string()))?;
            source.to_owned()
        }
    };
    let propagation = match mount.propagation {
        MountPropagation::Private => Propagation::Private,
        MountPropagation::HostToContainer => Propagation::HostToContainer,
        MountPropagation::Bidirectional => Propagation::Bidirectional,
    };
    if propagation != Propagation::Private {
        check_propagation(&source, propagation).map_err(|reason| invalid(&reason))?;
    }
    Ok(Mount {
        destination: absolute(mount.container_path.trim_end_matches('/')),
        source: MountSource::Bind(source),
        readonly: mount.readonly,
        recursive_readonly: mount.recursive_read_only,
        propagation,
        restricted: false,
    })
}

/// Mounts can only travel if the host's mount shares them (or receives them, for one way).
fn check_propagation(source: &Path, wanted: Propagation) -> Result<(), String> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let mount = mountinfo
        .lines()
        .filter_map(|line| {
            let (left, _) = line.split_once(" - ")?;
            let fields: Vec<_> = left.split(' ').collect();
            let point = fields.get(4)?.replace("\\040", " ");
            source.starts_with(&point).then(|| (point, fields.get(6..).unwrap_or_default().join(" ")))
        })
        .max_by_key(|(point, _)| point.len());
    let (point, options) = mount.unwrap_or_default();
    let shared = options.contains("shared:");
    let slave = options.contains("master:");
    match wanted {
        Propagation::Bidirectional if !shared => {
            Err(format!("path {source:?} is mounted on {point:?} but it is not a shared mount"))
        }
        Propagation::HostToContainer if !shared && !slave => {
            Err(format!("path {source:?} is mounted on {point:?} but it is not a shared or slave mount"))
        }
        _ => Ok(()),
    }
}

/// Device nodes and rules. A privileged container has all of the host's and no rules.
fn devices(
    wanted: &[CriDevice],
    privileged: bool,
) -> Result<(Vec<Device>, Option<Vec<DeviceRule>>), CriError> {
    let mut nodes = Vec::new();
    if privileged {
        collect_devices(Path::new("/dev"), Path::new("/dev"), &mut nodes);
        return Ok((nodes, None));
    }
    let mut rules = vec![rule(false, None, None, "m"), rule(true, None, None, "m")];
    rules.extend(ALLOWED_DEVICES.iter().map(|(major, minor)| rule(false, Some(*major), *minor, "rwm")));
    for device in wanted {
        let first = nodes.len();
        collect_devices(Path::new(&device.host_path), Path::new(&device.container_path), &mut nodes);
        if nodes.len() == first {
            return Err(CriError::InvalidArgument(format!("{:?} is not a device", device.host_path)));
        }
        rules.extend(
            nodes[first..]
                .iter()
                .map(|node| rule(node.block, Some(node.major), Some(node.minor), &device.permissions)),
        );
    }
    Ok((nodes, Some(rules)))
}

fn rule(block: bool, major: Option<u32>, minor: Option<u32>, access: &str) -> DeviceRule {
    DeviceRule { block, major, minor, access: access.to_owned() }
}

/// Adds the device at `host`, or all below it, as they appear at `inside`.
fn collect_devices(host: &Path, inside: &Path, nodes: &mut Vec<Device>) {
    /// The default content of a container's `/dev`.
    const OWN: [&str; 5] = ["pts", "shm", "fd", "mqueue", "console"];
    let Ok(metadata) = fs::metadata(host) else { return };
    let kind = metadata.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(host).into_iter().flatten().flatten() {
            let name = entry.file_name();
            // Links would lead to files that are found anyway, or in circles.
            let link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !link && !OWN.iter().any(|own| name == *own) {
                collect_devices(&entry.path(), &inside.join(&name), nodes);
            }
        }
    } else if kind.is_block_device() || kind.is_char_device() {
        nodes.push(Device {
            path: inside.to_string_lossy().into_owned(),
            block: kind.is_block_device(),
            major: rustix::fs::major(metadata.rdev()),
            minor: rustix::fs::minor(metadata.rdev()),
            mode: metadata.mode() & 0o777,
            uid: metadata.uid(),
            gid: metadata.gid(),
        });
    }
}
