use super::*;

const MEMINFO: &str = "MemTotal:  1000 kB\nMemFree:  300 kB\nMemAvailable: 1 kB\nInactive(file): 200 kB\n\
                       SwapTotal: 50 kB\nSwapFree: 20 kB\n";

#[test]
fn memory_is_counted_by_either_cgroup_version() {
    let kib = |usage: u64, working_set: u64| {
        Some(Memory { capacity: 1000 * 1024, usage: usage * 1024, working_set: working_set * 1024 })
    };
    assert_eq!(Memory::parse(MEMINFO, None), kib(700, 500));
    let usage = (600 * 1024).to_string();
    let stat = format!("inactive_file 1\ntotal_inactive_file {}\n", 100 * 1024);
    assert_eq!(Memory::parse(MEMINFO, Some((&usage, &stat))), kib(600, 500));
    assert_eq!(Memory::parse(MEMINFO, Some((&usage, ""))), kib(600, 600));
    let huge = (2000 * 1024).to_string();
    assert_eq!(Memory::parse(MEMINFO, Some((&huge, ""))).map(|memory| memory.available()), Some(0));
    assert_eq!(Memory::parse("", None), None);
}

#[test]
fn processes_are_counted() {
    let maximum = ["4194304\n".to_owned(), "1000\n".to_owned()];
    let expected = Some(Processes { maximum: 1000, current: 100 });
    assert_eq!(Processes::parse(&maximum, "0.1 0.2 0.3 2/100 4711\n"), expected);
    assert_eq!(Processes::parse(&maximum, ""), None);
}

#[test]
fn what_the_kernel_does_not_tell_is_unknown() {
    assert_eq!(cpu_nanos("cpu  100 0 50 900 0 1 2 3\ncpu0 1\n"), Some(1_560_000_000));
    assert_eq!((cpu_nanos("cpu 1 2"), cpu_nanos("")), (None, None));
    assert_eq!(swap(MEMINFO), Some(Swap { available: 20 * 1024, usage: 30 * 1024 }));
    assert_eq!(swap("MemTotal: 1 kB\n"), None);
    assert_eq!(keyed("pgfault_x 1\npgfault 7\npgmajfault 2\n", "pgfault"), Some(7));
    let now = Timestamp::from_second(1_800_003_600).unwrap();
    assert_eq!(started("3600.25 1.0\n", now).unwrap().to_string(), "2027-01-15T07:59:59.75Z");
    assert_eq!(started("", now), None);
}

#[test]
fn the_default_interface_is_that_of_the_best_default_route() {
    let route = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                 wlan0 00000000 010200C0 0003 0 0 600 00000000 0 0 0\n\
                 eth0 00000000 010200C0 0003 0 0 100 00000000 0 0 0\n\
                 eth1 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
    assert_eq!(default_interface(route, "").as_deref(), Some("eth0"));
    let zeros = "0".repeat(32);
    let line = |flags: &str, name: &str| {
        format!("{zeros} 00 {zeros} 00 {zeros} 00000400 00000001 00000000 {flags} {name}\n")
    };
    let ipv6 = line("00200200", "lo") + &line("00000003", "eth2");
    assert_eq!(default_interface("", &ipv6).as_deref(), Some("eth2"));
    assert_eq!(default_interface("", &line("00200200", "lo")), None);
}

#[test]
fn links_to_pods_are_not_the_machines() {
    let line = |name: &str| format!("{name}: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n");
    let text = ["a\nb\n".to_owned(), line("lo"), line("eth0"), line("ihv1a2b"), line("veth7")].concat();
    let own = own_interfaces(&text);
    assert_eq!(own.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["eth0"]);
}

#[test]
fn this_machine_can_be_read() {
    let machine = Machine::read(clock::Clock::system().now());
    assert!(machine.cpu_nanos > Some(0) && machine.page_faults > Some(0), "{machine:?}");
    assert!(machine.memory.is_some_and(|memory| memory.working_set <= memory.usage), "{machine:?}");
    assert!(machine.processes.is_some_and(|processes| processes.current > 0), "{machine:?}");
}
