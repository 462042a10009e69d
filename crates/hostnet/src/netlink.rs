//! The format of netlink messages (`linux/netlink.h`), as far as netfilter's subsystems need it.

/// Bytes of the header of a message.
pub const HEADER: usize = 16;
/// Bytes of netfilter's own header, which follows it (`linux/netfilter/nfnetlink.h`).
pub const NETFILTER_HEADER: usize = 4;
/// Bytes of the header of an attribute.
const ATTRIBUTE_HEADER: usize = 4;

/// One message, header included.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// The message's type: the subsystem in the upper byte, the message in the lower.
    pub fn kind(self) -> u16 {
        u16_at(self.0, 4).unwrap_or_default()
    }

    /// The port of the socket whose request led to this message; 0 is the kernel.
    pub fn port(self) -> u32 {
        self.0.get(12..16).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
    }

    /// The data after the header.
    pub fn body(self) -> &'a [u8] {
        &self.0[HEADER..]
    }

    /// The address family in netfilter's header.
    pub fn netfilter_family(self) -> u8 {
        self.body().first().copied().unwrap_or_default()
    }

    /// The attributes that follow netfilter's header.
    pub fn netfilter_attributes(self) -> &'a [u8] {
        self.body().get(NETFILTER_HEADER..).unwrap_or_default()
    }
}

/// The messages that one `recv` returned. Ends at the first damaged one.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
        let message = bytes.get(..length).filter(|_| length >= HEADER)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some(Message(message))
    })
}

/// The attributes in `bytes`: type, the whole attribute, its body. Ends at the first damaged one.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        // The upper two bits are flags (nested, byte order).
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let whole = bytes.get(..length).filter(|_| length >= ATTRIBUTE_HEADER)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, whole, &whole[ATTRIBUTE_HEADER..]))
    })
}

/// The aligned offset behind something of this length.
pub fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_messages_end_the_list() {
        let mut bytes = Vec::new();
        for (length, attribute) in [(25u32, 5u16), (24, 9)] {
            bytes.extend(length.to_ne_bytes());
            bytes.extend(7u16.to_ne_bytes());
            bytes.extend([0; 6]);
            bytes.extend(42u32.to_ne_bytes());
            bytes.extend([2, 0, 0, 0]);
            bytes.extend(attribute.to_ne_bytes());
            bytes.extend(0x8001u16.to_ne_bytes());
            bytes.extend([b'x', 0, 0, 0]);
            bytes.truncate(bytes.len().next_multiple_of(4));
        }
        let all: Vec<Message<'_>> = messages(&bytes).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(attributes(all[1].netfilter_attributes()).count(), 0, "longer than the message");
        assert_eq!((all[0].kind(), all[0].port(), all[0].netfilter_family()), (7, 42, 2));
        let found: Vec<_> = attributes(all[0].netfilter_attributes()).collect();
        assert_eq!(found, [(1, &[5, 0, 1, 0x80, b'x'][..], &b"x"[..])]);
        assert_eq!(messages(&bytes[..20]).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0, "shorter than its own header");
    }
}
