use super::*;
use crate::engine::seccomp::default_profile;

const ALLOW: u32 = 0x7fff_0000;
const DENY: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const X8664: u32 = 0xc000_003e;

/// Runs a filter as the kernel would.
fn run(program: &[u64], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let load = |offset: u32| match offset {
        NUMBER_OFFSET => number,
        ARCHITECTURE_OFFSET => architecture,
        _ => {
            let argument = arguments[(offset - ARGUMENTS_OFFSET) as usize / 8];
            if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
        }
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let [code_low, code_high, if_true, if_false, v0, v1, v2, v3] = program[at].to_ne_bytes();
        let value = u32::from_ne_bytes([v0, v1, v2, v3]);
        at += 1;
        let holds = match u16::from_ne_bytes([code_low, code_high]) {
            LOAD => {
                accumulator = load(value);
                continue;
            }
            AND => {
                accumulator &= value;
                continue;
            }
            JUMP => {
                at += value as usize;
                continue;
            }
            RETURN => return value,
            JUMP_IF_EQUAL => accumulator == value,
            JUMP_IF_GREATER => accumulator > value,
            JUMP_IF_GREATER_OR_EQUAL => accumulator >= value,
            code => panic!("unexpected code {code:#x}"),
        };
        at += usize::from(if holds { if_true } else { if_false });
    }
}

fn call(program: &[u64], name: &str, arguments: &[u64]) -> u32 {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    run(program, X8664, number(Architecture::X8664, name).unwrap(), all)
}

#[test]
fn the_default_profile_decides() {
    let none = compile(&default_profile(0)).unwrap();
    for name in ["read", "write", "execve", "openat2", "clock_gettime", "ptrace", "statx", "close_range"] {
        assert_eq!(call(&none, name, &[]), ALLOW, "{name}");
    }
    for name in
        ["mount", "unshare", "setns", "keyctl", "bpf", "reboot", "init_module", "chroot", "io_uring_setup"]
    {
        assert_eq!(call(&none, name, &[]), DENY, "{name}");
    }
    assert_eq!(call(&none, "clone", &[0x11]), ALLOW);
    assert_eq!(call(&none, "clone", &[0x1000_0000]), DENY, "a new user namespace");
    assert_eq!(call(&none, "clone3", &[]), ENOSYS);
    assert_eq!(call(&none, "personality", &[0]), ALLOW);
    assert_eq!(call(&none, "personality", &[1]), DENY);
    assert_eq!(call(&none, "personality", &[0xffff_ffff]), ALLOW);
    assert_eq!(call(&none, "socket", &[40]), DENY, "AF_VSOCK");
    assert_eq!(call(&none, "socket", &[2]), ALLOW);

    let admin = compile(&default_profile(1 << 21)).unwrap();
    for name in ["mount", "unshare", "setns", "clone3", "bpf"] {
        assert_eq!(call(&admin, name, &[u64::MAX]), ALLOW, "{name}");
    }
    assert_eq!(call(&admin, "reboot", &[]), DENY);
}

#[test]
fn architectures_are_told_apart() {
    let program = compile(&default_profile(0)).unwrap();
    // Number 21 is `access` on x86_64 and `mount` on x86.
    assert_eq!(run(&program, X8664, 21, [0; 6]), ALLOW);
    assert_eq!(run(&program, 0x4000_0003, 21, [0; 6]), DENY);
    assert_eq!(run(&program, 0xc000_00b7, 63, [0; 6]), RETURN_KILL_PROCESS);
    // x32 numbers are of no listed call.
    assert_eq!(run(&program, X8664, 0x4000_0000, [0; 6]), DENY);
}

#[test]
fn every_operator_compares_64_bits() {
    use Operator::*;
    let value = 0x2_0000_0005;
    let below = [0x1_ffff_ffff, 0x2_0000_0004, 5];
    let above = [0x2_0000_0006, 0x3_0000_0000];
    let cases: [(Operator, bool, bool, bool); 6] = [
        (Equal, false, true, false),
        (NotEqual, true, false, true),
        (Less, true, false, false),
        (LessOrEqual, true, true, false),
        (Greater, false, false, true),
        (GreaterOrEqual, false, true, true),
    ];
    for (operator, if_below, if_equal, if_above) in cases {
        let comparison = Comparison { index: 1, operator, value, mask: u64::MAX };
        let mut code = vec![];
        code.extend(alternative(&[comparison], ALLOW));
        code.push(Instruction::new(RETURN, DENY));
        let code: Vec<_> = code.into_iter().map(Instruction::encode).collect();
        let holds = |argument| run(&code, X8664, 0, [0, argument, 0, 0, 0, 0]) == ALLOW;
        assert!(below.iter().all(|argument| holds(*argument) == if_below), "{operator:?} below");
        assert!(holds(value) == if_equal, "{operator:?} equal");
        assert!(above.iter().all(|argument| holds(*argument) == if_above), "{operator:?} above");
    }
}

#[test]
fn a_profile_file_is_understood() {
    let text = r#"{
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["mkdir", "nosuchcall"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"names": ["kill"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 15, "op": "SCMP_CMP_EQ"}]}
        ]}"#;
    let program = compile(&serde_json::from_str(text).unwrap()).unwrap();
    assert_eq!(call(&program, "mkdir", &[]), 0x0005_000d);
    assert_eq!(call(&program, "rmdir", &[]), ALLOW);
    assert_eq!(call(&program, "kill", &[1, 9]), DENY);
    assert_eq!(call(&program, "kill", &[1, 15]), DENY);
    assert_eq!(call(&program, "kill", &[1, 1]), ALLOW);
    assert!(serde_json::from_str::<Profile>(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#).is_err());
}
