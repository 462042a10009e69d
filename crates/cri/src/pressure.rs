//! How long tasks waited for resources (the kernel's `Documentation/accounting/psi.rst`).

/// Pressure on the resources of a machine or a cgroup; what the kernel does not tell is absent. CRI has these figures
/// among those of processor, memory and I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressures {
    /// Processors.
    pub cpu: Option<Pressure>,
    /// Memory.
    pub memory: Option<Pressure>,
    /// Disks and the like.
    pub io: Option<Pressure>,
}

/// Pressure on one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Some tasks waited.
    pub some: Stalls,
    /// All tasks waited.
    pub full: Stalls,
}

/// How long tasks waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// In all, in nanoseconds.
    pub total_nanos: u64,
    /// The share of the last 10 seconds, in hundredths of a percent.
    pub avg10: u32,
    /// The same of the last 60 seconds.
    pub avg60: u32,
    /// The same of the last 300 seconds.
    pub avg300: u32,
}

impl Pressures {
    /// Reads the kernel's files: `read` returns the content of that of `cpu`, `memory` or `io`, if there is one.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Pressures {
        let of = |resource: &str| read(resource).as_deref().and_then(Pressure::parse);
        Pressures { cpu: of("cpu"), memory: of("memory"), io: of("io") }
    }
}

impl Pressure {
    /// Reads one of the kernel's files, which has a line for some tasks, and one for all.
    pub fn parse(text: &str) -> Option<Pressure> {
        let line = |start: &str| text.lines().find_map(|line| Stalls::parse(line.strip_prefix(start)?));
        Some(Pressure { some: line("some ")?, full: line("full ")? })
    }
}

impl Stalls {
    /// Reads `avg10=0.12 avg60=0.00 avg300=0.00 total=1234`, with a total in microseconds.
    fn parse(line: &str) -> Option<Stalls> {
        let value =
            |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let hundredths = |key: &str| {
            let (percent, rest) = value(key)?.split_once('.')?;
            let rest = rest.parse::<u32>().ok().filter(|_| rest.len() == 2)?;
            percent.parse::<u32>().ok()?.checked_mul(100)?.checked_add(rest)
        };
        Some(Stalls {
            total_nanos: value("total")?.parse::<u64>().ok()?.saturating_mul(1000),
            avg10: hundredths("avg10")?,
            avg60: hundredths("avg60")?,
            avg300: hundredths("avg300")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_from_the_kernels_lines() {
        let some = "some avg10=98.74 avg60=96.28 avg300=0.05 total=27510389985\n";
        let full = "full avg10=0.00 avg60=0.00 avg300=100.00 total=7\n";
        let pressure = Pressure::parse(&format!("{some}{full}")).unwrap();
        let expected = Stalls { total_nanos: 27_510_389_985_000, avg10: 9874, avg60: 9628, avg300: 5 };
        assert_eq!(pressure.some, expected);
        assert_eq!((pressure.full.total_nanos, pressure.full.avg300), (7000, 10_000));
        for text in [some, full, "", "some avg10=1\nfull\n"] {
            assert_eq!(Pressure::parse(text), None, "{text}");
        }
        let only_io = Pressures::read(|name| (name == "io").then(|| format!("{some}{full}")));
        assert_eq!(only_io, Pressures { io: Some(pressure), ..Pressures::default() });
    }
}
