//! Reports when another program changes our tables.
//!
//! The kernel notifies every listener of the group `NFNLGRP_NFTABLES` of what each transaction changed, and at its end
//! of the process that made it. A transaction is ours if [`super::apply`] of this process ran it. It is recognized by
//! the netlink port of nft's socket, which is nft's process ID as this process sees it, or by the process ID that the
//! kernel reports, which is that of the initial PID namespace. Either one is enough: the first differs if that port was
//! taken, the second if this process runs in a PID namespace.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::time::Instant;

use crate::netlink::{self, Message};

/// `NFNLGRP_NFTABLES` as a bit of a netlink address.
const GROUP_NFTABLES: u32 = 1 << 6;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u8 = 10;
/// `NFT_MSG_NEWGEN`: the end of a transaction.
const NEW_GENERATION: u8 = 15;
/// `NFTA_GEN_PROC_PID` and `NFTA_GEN_PROC_NAME`.
const GENERATION_PROCESS: u16 = 2;
const GENERATION_PROGRAM: u16 = 3;
/// The attribute that names the table in messages about tables, chains, rules, sets, elements, objects and
/// flow tables: the same number in all of them.
const TABLE_NAME: u16 = 1;
/// Room for notifications that have not been read: those of a transaction with some hundred thousand elements,
/// which the kernel sends all at once. It is a limit, not an allocation.
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;
/// The number of our own transactions that are remembered, and for how long: a listener is never that late, and process
/// IDs are reused only after several thousand others.
const OWN_MAX: usize = 256;
const OWN_FOR: Duration = Duration::from_secs(120);

/// How long the report of a change is delayed after another one: this long after the first, doubled for each further
/// one up to the maximum, until there are no changes for a while. So two programs that undo each other's work do it
/// slowly.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const PEACE: Duration = Duration::from_secs(60);

/// The nft processes that this process started, the youngest last, with their start times.
static OWN: parking_lot::Mutex<VecDeque<(u32, Instant)>> = parking_lot::Mutex::new(VecDeque::new());

/// Records the nft process that `spawn` starts as ours.
///
/// The lock is held during the start, so that no transaction is classified between the start and the record.
pub(super) fn note_own(spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    let mut own = OWN.lock();
    let child = spawn()?;
    own.extend(child.id().map(|id| (id, Instant::now())));
    let excess = own.len().saturating_sub(OWN_MAX);
    own.drain(..excess);
    Ok(child)
}

fn is_own(processes: [u32; 2]) -> bool {
    let mut own = OWN.lock();
    own.retain(|(_, started)| started.elapsed() < OWN_FOR);
    own.iter().any(|(id, _)| processes.contains(id))
}

/// A listener for changes that others make to some tables of the network namespace in which it was opened.
///
/// ```no_run
/// # async fn heal() {}
/// # async fn example() -> std::io::Result<()> {
/// let mut watch = hostnet::nft::Watch::open(&[("ip", "mine"), ("ip6", "mine")])?;
/// loop {
///     let change = watch.changed().await?;
///     tracing::warn!("{change} changed the table `mine`; rewriting it");
///     heal().await; // by nft::apply, which does not wake the watch
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    socket: AsyncFd<OwnedFd>,
    reader: Reader,
}

#[derive(Debug)]
struct Reader {
    /// Families, as numbers, and names.
    tables: Vec<(u8, String)>,
    buffer: Vec<u8>,
    state: State,
    pacing: Pacing,
}

/// The part of an unfinished transaction that was read.
#[derive(Debug, Default)]
struct State {
    /// The socket port of a transaction that changed our tables and whose end has not been received yet.
    touched: Option<u32>,
    /// Notifications were lost.
    lost: bool,
}

/// When the next change may be reported.
#[derive(Debug, Default)]
struct Pacing {
    /// A change that was read but not reported yet.
    waiting: Option<Change>,
    last: Option<Instant>,
    pause: Duration,
}

/// Who changed a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name of the program and its process id in the initial PID namespace; `None` if the notification was lost.
    pub by: Option<(String, u32)>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some((program, process)) => write!(f, "the program {program:?} (process {process})"),
            None => f.write_str("an unknown program"),
        }
    }
}

impl Watch {
    /// Listens, from now on, for changes of `tables`, each `(family, name)` in nft's words. They need not exist.
    ///
    /// # Errors
    /// The kernel's refusal: this needs CAP_NET_ADMIN. A family that nft does not know is `InvalidInput`.
    pub fn open(tables: &[(&str, &str)]) -> io::Result<Watch> {
        let numbered = |(family, name): &(&str, &str)| Ok((family_number(family)?, (*name).to_owned()));
        let tables = tables.iter().map(numbered).collect::<io::Result<_>>()?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUP_NFTABLES))?;
        // SAFETY: the `OwnedFd` owns its descriptor, which stays open and the same while the `AsyncFd` holds it.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? };
        let (buffer, state, pacing) = (vec![0; 1 << 16], State::default(), Pacing::default());
        Ok(Watch { socket, reader: Reader { tables, buffer, state, pacing } })
    }

    /// Waits until another program has changed one of the tables in any way: deleted it, flushed it, added a rule or
    /// removed an element. Several changes before the call are reported as one, and one that comes soon after another
    /// is reported later, up to half a minute. Nothing is lost if the future is dropped.
    ///
    /// If notifications overflow their buffer after one of our own transactions, that transaction is considered the
    /// cause, so that writing a very large table does not look like a reason to write it again.
    ///
    /// # Errors
    /// If the socket fails, which a new watch may cure.
    pub async fn changed(&mut self) -> io::Result<Change> {
        while self.reader.pacing.waiting.is_none() {
            let mut ready = self.socket.readable().await?;
            self.reader.read(self.socket.get_ref())?;
            ready.clear_ready();
        }
        tokio::time::sleep_until(self.reader.pacing.next()).await;
        // Changes during the pause are repaired with the rest.
        self.reader.read(self.socket.get_ref())?;
        let change = self.reader.pacing.waiting.take().unwrap_or(Change { by: None });
        self.reader.pacing.told();
        Ok(change)
    }
}

impl Reader {
    /// Reads everything that is available, without waiting.
    fn read(&mut self, socket: &OwnedFd) -> io::Result<()> {
        loop {
            match recv(socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => {
                    let change = self.state.take(&self.buffer[..length], &self.tables, is_own);
                    self.pacing.waiting = change.or(self.pacing.waiting.take());
                }
                Err(Errno::ENOBUFS) => self.state.lost = true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if std::mem::take(&mut self.state.lost) && OWN.lock().is_empty() {
            self.pacing.waiting.get_or_insert(Change { by: None });
        }
        Ok(())
    }
}

impl Pacing {
    /// The time from which a change may be reported.
    fn next(&self) -> Instant {
        self.last.map_or_else(Instant::now, |last| last + self.pause)
    }

    fn told(&mut self) {
        let at_peace = self.last.is_none_or(|last| last.elapsed() > PEACE + self.pause);
        self.pause = if at_peace { PAUSE } else { (self.pause * 2).min(PAUSE_MAX) };
        self.last = Some(Instant::now());
    }
}

impl State {
    /// Processes the messages of one `recv`. A change in them is reported on behalf of all that follow there, because
    /// the reaction is the same.
    fn take(
        &mut self,
        received: &[u8],
        tables: &[(u8, String)],
        is_own: impl Fn([u32; 2]) -> bool,
    ) -> Option<Change> {
        let mut change = None;
        for message in netlink::messages(received) {
            let [subsystem, kind] = message.kind().to_be_bytes();
            if subsystem != SUBSYSTEM {
                continue;
            }
            if kind != NEW_GENERATION {
                if concerns(message, tables) {
                    self.touched = Some(message.port());
                }
            } else if let Some(port) = self.touched.take() {
                let (process, program) = process_of(message);
                if !is_own([port, process]) {
                    change = Some(Change { by: Some((program, process)) });
                }
            }
        }
        change
    }
}

/// Whether a message is about one of the tables.
fn concerns(message: Message<'_>, tables: &[(u8, String)]) -> bool {
    let mut attributes = netlink::attributes(message.netfilter_attributes());
    let table = attributes.find(|(kind, ..)| *kind == TABLE_NAME).map(|(.., name)| name);
    let Some(table) = table.and_then(|name| name.strip_suffix(b"\0")) else { return false };
    tables.iter().any(|(family, name)| *family == message.netfilter_family() && name.as_bytes() == table)
}

/// The process and program behind a transaction, from the message about its end.
fn process_of(message: Message<'_>) -> (u32, String) {
    let (mut process, mut program) = (0, String::new());
    for (kind, _, body) in netlink::attributes(message.netfilter_attributes()) {
        match kind {
            GENERATION_PROCESS => process = body.try_into().map_or(0, u32::from_be_bytes),
            GENERATION_PROGRAM => {
                program = String::from_utf8_lossy(body).trim_end_matches('\0').to_owned();
            }
            _ => {}
        }
    }
    (process, program)
}

/// nft's word for a family as the kernel's number (`linux/netfilter.h`).
fn family_number(family: &str) -> io::Result<u8> {
    match family {
        "inet" => Ok(1),
        "ip" => Ok(2),
        "arp" => Ok(3),
        "netdev" => Ok(5),
        "bridge" => Ok(7),
        "ip6" => Ok(10),
        other => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("nftables has no family {other:?}")))
        }
    }
}

#[cfg(test)]
mod tests;
