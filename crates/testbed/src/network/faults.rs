//! Faults between a host and the network, as rules of the bridge.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The packets that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Packets from the host and to it.
    Both,
    /// Packets from the host: it receives, but cannot send.
    Sent,
    /// Packets to the host: it can send, but does not receive.
    Received,
}

/// The faults of one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// The directions in which everything is lost.
    pub(crate) cut: Option<Cut>,
    /// How much of the rest is lost, of either direction.
    pub(crate) loss_percent: u8,
}

/// A transaction for nft that leaves exactly these faults, by the names of ports.
pub(super) fn rules(faults: &BTreeMap<String, Faults>) -> String {
    let (mut sent, mut received) = (String::new(), String::new());
    for (port, Faults { cut, loss_percent }) in faults {
        let loss = format!("numgen random mod 100 < {loss_percent} ");
        let chance = |is_cut: bool| match (is_cut, *loss_percent) {
            (true, _) | (false, 100..) => Some(""),
            (false, 0) => None,
            (false, _) => Some(loss.as_str()),
        };
        if let Some(chance) = chance(matches!(cut, Some(Cut::Both | Cut::Sent))) {
            let _ = writeln!(sent, "    iifname {port} {chance}drop");
        }
        if let Some(chance) = chance(matches!(cut, Some(Cut::Both | Cut::Received))) {
            let _ = writeln!(received, "    oifname {port} {chance}drop");
        }
    }
    // Adding first makes the deletion succeed if there is no such table.
    format!(
        "add table bridge faults\ndelete table bridge faults\ntable bridge faults {{\n  \
         chain sent {{\n    type filter hook prerouting priority -300;\n{sent}  }}\n  \
         chain received {{\n    type filter hook postrouting priority 300;\n{received}  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_has_its_rule() {
        let faults = |cut, loss_percent| Faults { cut, loss_percent };
        let all = [
            ("a", faults(Some(Cut::Both), 5)),
            ("b", faults(Some(Cut::Sent), 0)),
            ("c", faults(Some(Cut::Received), 9)),
            ("d", faults(None, 7)),
            ("e", faults(None, 0)),
            ("f", faults(None, 100)),
        ];
        let text = rules(&all.map(|(port, faults)| (port.to_owned(), faults)).into());
        let found: Vec<&str> = text.lines().map(str::trim).filter(|line| line.ends_with(" drop")).collect();
        let expected = [
            "iifname a drop",
            "iifname b drop",
            "iifname c numgen random mod 100 < 9 drop",
            "iifname d numgen random mod 100 < 7 drop",
            "iifname f drop",
            "oifname a drop",
            "oifname c drop",
            "oifname d numgen random mod 100 < 7 drop",
            "oifname f drop",
        ];
        assert_eq!(found, expected);
    }
}
