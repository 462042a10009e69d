//! TUN devices: the system calls that no crate offers in a safe form. All unsafe code of the crate is here.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;
use tokio::io::unix::AsyncFd;

nix::ioctl_write_ptr_bad!(
    /// Attaches the file to a device, which is created if it does not exist.
    set_interface,
    nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
    libc::ifreq
);
nix::ioctl_write_int_bad!(
    /// Whether the device outlives the file.
    set_persistent,
    nix::request_code_write!(b'T', 203, size_of::<libc::c_int>())
);

/// Opens a TUN device for whole IP packets without additional headers. It outlives the process, so that routes over it
/// stay, and packets are dropped rather than sent elsewhere until the next run takes it over.
pub(super) fn open_tun(name: &str) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = open("/dev/net/tun", flags, Mode::empty())?;
    // SAFETY: all bytes zero is a value of this structure of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let longest = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..longest].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open, and the kernel reads the structure, which lives as long as the call, and writes
    // the device's name into it, for which it has room.
    unsafe { set_interface(file.as_raw_fd(), &raw const request) }?;
    // SAFETY: the argument is a plain number.
    unsafe { set_persistent(file.as_raw_fd(), 1) }?;
    // SAFETY: the value owns the descriptor, which stays open and the same as long as the value lives.
    Ok(unsafe { AsyncFd::register(file)? })
}
