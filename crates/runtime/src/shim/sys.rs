//! System calls that neither rustix nor nix offers in a safe form. All unsafe code of the crate is here.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;
use nix::unistd::{ForkResult, Pid};
use tokio::io::unix::AsyncFd;

/// `MOUNT_ATTR_*` and propagation values of `mount_setattr(2)`.
pub(crate) mod mount_attr {
    pub(crate) const RDONLY: u64 = 0x1;
    pub(crate) const NOSUID: u64 = 0x2;
    pub(crate) const NODEV: u64 = 0x4;
    pub(crate) const NOEXEC: u64 = 0x8;
    pub(crate) const PROPAGATE_UNBINDABLE: u64 = 1 << 17;
    pub(crate) const PROPAGATE_PRIVATE: u64 = 1 << 18;
    pub(crate) const PROPAGATE_SLAVE: u64 = 1 << 19;
}

/// Forks. The caller promises to have one thread only, as the shim does.
pub(super) fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: the shim never starts a thread, so that no lock (of the allocator or anything else) can be held
    // by a thread that the child lacks.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Ends the process at once: no destructors and no exit handlers, which belong to the parent.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Changes attributes of the mount that `mount` refers to; with `recursive` of all below it too.
pub(crate) fn mount_setattr(mount: impl AsFd, recursive: bool, set: u64, propagation: u64) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { attr_set: set, attr_clr: 0, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a valid C string, and the struct has the layout and size that the kernel is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Installs a seccomp filter, for this thread and the programs it executes.
pub(super) fn install_seccomp(program: &[u64]) -> io::Result<()> {
    let length = u16::try_from(program.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the seccomp filter is too long"))?;
    let program =
        libc::sock_fprog { len: length, filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut() };
    // SAFETY: `sock_filter` is 8 bytes without padding, so that the slice holds `len` of them; the kernel
    // copies and checks them and does not write.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Forbids `execve` to gain privileges.
pub(super) fn set_no_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Makes a descriptor survive `execve` under another number.
pub(super) fn duplicate_to(from: impl AsFd, to: i32) -> io::Result<()> {
    // SAFETY: `dup2` on a valid descriptor; the target numbers 0 to 2 belong to no owned descriptor here.
    let result = unsafe { libc::dup2(from.as_fd().as_raw_fd(), to) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets every signal to its default action and unblocks all, as a program expects them. Signals that the starter
/// ignores would stay ignored across `execve`, including real-time signals.
pub(super) fn reset_signals() -> nix::Result<()> {
    use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
    const SIGNALS: i32 = 64;
    // The kernel's own `struct sigaction`, all zero: the default action, no flags, an empty mask.
    let default = [0u64; 4];
    for signal in (1..=SIGNALS).filter(|signal| !matches!(*signal, libc::SIGKILL | libc::SIGSTOP)) {
        // SAFETY: the array is at least as large as the struct on every architecture and the mask's size is the one
        // that the kernel expects; the default action is not a handler that could run. The C library's function would
        // refuse the signals that it keeps for itself.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                size_of::<u64>(),
            )
        };
        nix::errno::Errno::result(result)?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Lets the kernel reap children without being asked.
pub(super) fn ignore_children() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: ignoring is not a handler that could run.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.map(drop)
}

/// Closes every descriptor from `first` up.
pub(super) fn close_from(first: u32) {
    // SAFETY: only for a child that uses none of its owned descriptors afterwards.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Lets `execve` close every descriptor from `first` up.
pub(super) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: no descriptor is closed as long as this program runs.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Starts an empty session keyring, because the one of the program's starter may contain keys.
pub(super) fn new_session_keyring() -> io::Result<()> {
    // SAFETY: without a name the call takes no pointer that is read.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    if result >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // A kernel without keys.
        error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        error => Err(error),
    }
}

/// Resets changes by the starter to how the kernel executes programs.
pub(super) fn reset_personality() -> io::Result<()> {
    const PER_LINUX: libc::c_ulong = 0;
    // SAFETY: it takes no pointers.
    let result = unsafe { libc::personality(PER_LINUX) };
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One of the standard streams.
pub(super) fn standard_stream(number: i32) -> BorrowedFd<'static> {
    debug_assert!((0..=2).contains(&number));
    // SAFETY: the shim opens 0 to 2 at its start and never closes them.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Lets tokio wait for a descriptor.
pub(crate) fn watch(file: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always gives the same descriptor, which stays open as long as it lives.
    unsafe { AsyncFd::register(file) }.map_err(Into::into)
}

/// Brings a network interface up, in the namespace that the socket is of.
pub(crate) fn set_interface_up(socket: i32, name: &str) -> io::Result<()> {
    // SAFETY: `ifreq` consists of integers and arrays of them, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: the kernel reads one `ifreq`, which `request` is.
    let result = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The `bpf(2)` commands that are needed for device rules.
#[derive(Clone, Copy)]
enum Bpf {
    ProgLoad = 5,
    ProgAttach = 8,
}

fn bpf(command: Bpf, attributes: &[u64]) -> io::Result<i32> {
    // SAFETY: the kernel reads as many bytes of the attribute union as it is told, and pointers in it (made by the
    // callers below from live slices) up to the lengths given next to them.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as i32, attributes.as_ptr(), size_of_val(attributes)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// Loads an eBPF program of type `CGROUP_DEVICE`.
pub(crate) fn bpf_load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    const PROG_TYPE_CGROUP_DEVICE: u64 = 15;
    let license: &CStr = c"Apache";
    // struct { u32 prog_type; u32 insn_cnt; u64 insns; u64 license; ... }
    let attributes = [
        PROG_TYPE_CGROUP_DEVICE | (instructions.len() as u64) << 32,
        instructions.as_ptr() as u64,
        license.as_ptr() as u64,
        0,
        0,
        0,
    ];
    let fd = bpf(Bpf::ProgLoad, &attributes)?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program of type `CGROUP_DEVICE` to a cgroup, in addition to those already attached.
pub(crate) fn bpf_attach_device_program(cgroup: impl AsFd, program: impl AsFd) -> io::Result<()> {
    const ATTACH_TYPE_CGROUP_DEVICE: u64 = 6;
    const FLAG_ALLOW_MULTI: u64 = 2;
    // struct { u32 target_fd; u32 attach_bpf_fd; u32 attach_type; u32 attach_flags; }
    let attributes = [
        cgroup.as_fd().as_raw_fd() as u64 | (program.as_fd().as_raw_fd() as u64) << 32,
        ATTACH_TYPE_CGROUP_DEVICE | FLAG_ALLOW_MULTI << 32,
    ];
    bpf(Bpf::ProgAttach, &attributes).map(drop)
}
