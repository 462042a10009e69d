//! Resource limits of containers' processes.
//!
//! They do not depend on how the program was started: every process begins with the same limits, which are those of a
//! service on a common system, with the number of open files that container engines usually set.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const OPEN_FILES: u64 = 1 << 20;
const STACK_BYTES: u64 = 8 << 20;
const LOCKED_BYTES: u64 = 8 << 20;
const QUEUE_BYTES: u64 = 819_200;

/// Each limit: soft and hard; `None` is unlimited. The number of pending signals depends on the machine's memory and is
/// not changed.
const LIMITS: [(Resource, Option<u64>, Option<u64>); 15] = [
    (Resource::As, None, None),
    (Resource::Core, None, None),
    (Resource::Cpu, None, None),
    (Resource::Data, None, None),
    (Resource::Fsize, None, None),
    (Resource::Locks, None, None),
    (Resource::Memlock, Some(LOCKED_BYTES), Some(LOCKED_BYTES)),
    (Resource::Msgqueue, Some(QUEUE_BYTES), Some(QUEUE_BYTES)),
    (Resource::Nice, Some(0), Some(0)),
    (Resource::Nofile, Some(OPEN_FILES), Some(OPEN_FILES)),
    (Resource::Nproc, None, None),
    (Resource::Rss, None, None),
    (Resource::Rtprio, Some(0), Some(0)),
    (Resource::Rttime, None, None),
    (Resource::Stack, Some(STACK_BYTES), None),
];

/// Sets the limits of the calling process.
pub(super) fn apply() -> rustix::io::Result<()> {
    for (resource, soft, hard) in LIMITS {
        let wanted = Rlimit { current: soft, maximum: hard };
        match setrlimit(resource, wanted) {
            // Without CAP_SYS_RESOURCE a hard limit cannot be raised: then it is as near as may be.
            Err(Errno::PERM) => setrlimit(resource, within(wanted, getrlimit(resource).maximum))?,
            result => result?,
        }
    }
    Ok(())
}

/// The limit under another hard limit.
fn within(wanted: Rlimit, maximum: Option<u64>) -> Rlimit {
    let least = |one: Option<u64>| match (one, maximum) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    Rlimit { current: least(wanted.current), maximum: least(wanted.maximum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_stay_under_the_hard_limit_that_there_is() {
        let wanted = Rlimit { current: Some(8), maximum: None };
        for (maximum, current, hard) in
            [(None, Some(8), None), (Some(4), Some(4), Some(4)), (Some(9), Some(8), Some(9))]
        {
            let limit = within(wanted, maximum);
            assert_eq!((limit.current, limit.maximum), (current, hard));
        }
    }
}
