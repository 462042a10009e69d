//! Capture of the packets between a host and the network.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hostnet::NetNs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket};

use crate::{TestbedError, until};

/// How many packets are kept. Those after them are not.
const FRAMES_MAX: usize = 100_000;
/// The longest packet that is kept whole; segmentation that is left to hardware makes long ones.
const FRAME_BYTES_MAX: usize = 1 << 16;

/// Packets that leave an interface of the network, and so go to the host (`linux/if_packet.h`).
const PACKET_OUTGOING: u8 = 4;

/// A packet on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether the host sent it.
    pub is_sent: bool,
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
}

/// The packets of a host's link since [`Host::capture`](crate::Host::capture), until this is dropped.
#[derive(Debug)]
pub struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
    /// Closing this pipe ends the thread.
    stop: Option<std::io::PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Sees the packets of the interface `port` in `namespace`.
    pub(super) fn start(namespace: &NetNs, port: &str) -> Result<Capture, TestbedError> {
        let open = || async {
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                SockProtocol::EthAll,
            )?;
            Ok((socket, nix::net::if_::if_nametoindex(port)? as usize))
        };
        let opened: nix::Result<(OwnedFd, usize)> = namespace.block_on(open)?;
        let (socket, index) = opened
            .map_err(|error| TestbedError::Io { task: "see packets".to_owned(), source: error.into() })?;
        let (stopped, stop) = std::io::pipe().map_err(crate::error::cannot("make a pipe"))?;
        let frames = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&frames);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; FRAME_BYTES_MAX];
            while is_ready(&socket, &stopped) {
                while let Ok((length, Some(from))) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
                    let mut frames = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if from.ifindex() == index && frames.len() < FRAMES_MAX {
                        let is_sent = from.pkttype() != PACKET_OUTGOING;
                        frames.push(Frame { is_sent, bytes: buffer[..length].to_vec() });
                    }
                }
            }
        });
        Ok(Capture { frames, stop: Some(stop), thread: Some(thread) })
    }

    /// The packets so far.
    pub fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a packet.
    ///
    /// # Errors
    /// [`TestbedError::Late`] if there is none within `limit`.
    pub fn until(
        &self,
        what: &str,
        limit: Duration,
        is_it: impl Fn(&Frame) -> bool,
    ) -> Result<Frame, TestbedError> {
        until(what, limit, || {
            let frames = self.frames();
            let found = frames.iter().find(|frame| is_it(frame)).cloned();
            found.ok_or_else(|| format!("{} other packets", frames.len()))
        })
    }
}

/// Waits for packets; returns false when the receiver is gone.
fn is_ready(socket: &OwnedFd, stopped: &std::io::PipeReader) -> bool {
    let mut both =
        [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
    match poll(&mut both, PollTimeout::NONE) {
        Err(nix::errno::Errno::EINTR) => true,
        Err(_) => false,
        Ok(_) => both[1].revents().is_none_or(|events| events.is_empty()),
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
