//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl Mac {
    /// The address of a node's tunnel endpoint. It comes from the node's name, so that it survives the device and
    /// needs no record; the second-lowest bit of the first byte says that it was assigned locally.
    pub(crate) fn of_node(name: &str) -> Mac {
        let digest = Sha256::digest(format!("ironhull vtep {name}").as_bytes());
        Mac([0x06, digest[0], digest[1], digest[2], digest[3], digest[4]])
    }

    /// From the kernel's form; `None` if it is not an Ethernet address.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Mac> {
        bytes.try_into().ok().map(Mac)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a unicast Ethernet address.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a unicast hardware address")]
pub(crate) struct InvalidMac(String);

impl FromStr for Mac {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Mac, InvalidMac> {
        let bytes: Option<Vec<u8>> = text
            .split(':')
            .map(|byte| (byte.len() == 2).then(|| u8::from_str_radix(byte, 16).ok()).flatten())
            .collect();
        let mac = bytes.and_then(|bytes| Mac::from_bytes(&bytes));
        // A group's address and the zero address do not name a machine.
        mac.filter(|mac| mac.0[0] & 1 == 0 && mac.0 != [0; 6]).ok_or_else(|| InvalidMac(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_addresses() {
        let mac = Mac::of_node("node-1");
        assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
        assert_ne!(mac, Mac::of_node("node-2"));
        for wrong in
            ["", "06:00:00:00:00", "06:00:00:00:00:00:00", "6:0:0:0:0:1", "01:00:5e:00:00:01", "+6:0"]
        {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
        assert!("00:00:00:00:00:00".parse::<Mac>().is_err());
    }
}
