//! Device rules: lines for cgroup v1, an eBPF program for v2.

use std::fs::File;
use std::io;
use std::path::Path;

use super::super::protocol::DeviceRule;
use super::super::sys;

/// The rule in the format of `devices.allow`.
pub(super) fn v1_line(rule: &DeviceRule) -> String {
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let kind = if rule.block { 'b' } else { 'c' };
    format!("{kind} {}:{} {}", number(rule.major), number(rule.minor), rule.access)
}

/// Lets the processes of the v2 cgroup at `directory` use only the devices that the rules name.
pub(super) fn attach(directory: &Path, rules: &[DeviceRule]) -> io::Result<()> {
    let program = sys::bpf_load_device_program(&program(rules))?;
    sys::bpf_attach_device_program(File::open(directory)?, program)
}

// Opcodes of eBPF (the kernel's Documentation/bpf/standardization/instruction-set.rst).
const LOAD_U32: u8 = 0x61;
const AND_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const MOVE_32: u8 = 0xbc;
const SET_32: u8 = 0xb4;
const JUMP_IF_NOT: u8 = 0x55;
const JUMP_IF_NOT_SAME: u8 = 0x5d;
const EXIT: u8 = 0x95;

/// Encodes one instruction.
fn instruction(opcode: u8, target: u8, source: u8, offset: i16, value: i32) -> u64 {
    let [offset_low, offset_high] = offset.to_le_bytes();
    let value = value.to_le_bytes();
    let registers = target | source << 4;
    let bytes = [opcode, registers, offset_low, offset_high, value[0], value[1], value[2], value[3]];
    u64::from_ne_bytes(bytes)
}

/// The program: 1 (allowed) if a rule matches, else 0. It is called with `struct bpf_cgroup_dev_ctx`: the
/// type in the low and the access in the high half of the first word, then major and minor number.
fn program(rules: &[DeviceRule]) -> Vec<u64> {
    const RESULT: u8 = 0;
    const CONTEXT: u8 = 1;
    const TYPE: u8 = 2;
    const ACCESS: u8 = 3;
    const MAJOR: u8 = 4;
    const MINOR: u8 = 5;
    let mut program = vec![
        instruction(LOAD_U32, TYPE, CONTEXT, 0, 0),
        instruction(MOVE_32, ACCESS, TYPE, 0, 0),
        instruction(AND_32, TYPE, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT_32, ACCESS, 0, 0, 16),
        instruction(LOAD_U32, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_U32, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules {
        let access = access_bits(&rule.access);
        // Each test jumps to the next rule unless it is true; `left` counts the instructions up to there.
        let mut left = 6 + i16::from(rule.major.is_some()) + i16::from(rule.minor.is_some());
        let mut push = |opcode, target, source, jumps: bool, value| {
            left -= 1;
            program.push(instruction(opcode, target, source, if jumps { left } else { 0 }, value));
        };
        push(JUMP_IF_NOT, TYPE, 0, true, if rule.block { 1 } else { 2 });
        push(MOVE_32, CONTEXT, ACCESS, false, 0);
        push(AND_32, CONTEXT, 0, false, access);
        push(JUMP_IF_NOT_SAME, CONTEXT, ACCESS, true, 0);
        for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
            if let Some(number) = number {
                push(JUMP_IF_NOT, register, 0, true, number as i32);
            }
        }
        push(SET_32, RESULT, 0, false, 1);
        push(EXIT, 0, 0, false, 0);
    }
    program.extend([instruction(SET_32, RESULT, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)]);
    program
}

fn access_bits(access: &str) -> i32 {
    [('m', 1), ('r', 2), ('w', 4)]
        .iter()
        .filter(|(letter, _)| access.contains(*letter))
        .map(|(_, bit)| bit)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(block: bool, major: Option<u32>, minor: Option<u32>, access: &str) -> DeviceRule {
        DeviceRule { block, major, minor, access: access.to_owned() }
    }

    /// Runs a program as the kernel would.
    fn run(program: &[u64], context: [u32; 3]) -> u32 {
        let mut registers = [0u32; 6];
        let mut at = 0usize;
        loop {
            let [opcode, both, offset_low, offset_high, v0, v1, v2, v3] = program[at].to_ne_bytes();
            let (target, source) = (usize::from(both & 15), usize::from(both >> 4));
            let offset = i16::from_le_bytes([offset_low, offset_high]);
            let value = i32::from_le_bytes([v0, v1, v2, v3]) as u32;
            at += 1;
            match opcode {
                LOAD_U32 => registers[target] = context[offset as usize / 4],
                AND_32 => registers[target] &= value,
                SHIFT_RIGHT_32 => registers[target] >>= value,
                MOVE_32 => registers[target] = registers[source],
                SET_32 => registers[target] = value,
                JUMP_IF_NOT if registers[target] != value => at += offset as usize,
                JUMP_IF_NOT_SAME if registers[target] != registers[source] => at += offset as usize,
                JUMP_IF_NOT | JUMP_IF_NOT_SAME => {}
                EXIT => return registers[0],
                _ => panic!("unexpected opcode {opcode:#x}"),
            }
        }
    }

    #[test]
    fn the_program_decides_by_the_rules() {
        let program = program(&[
            rule(false, None, None, "m"),
            rule(false, Some(1), Some(3), "rwm"),
            rule(true, Some(8), None, "r"),
        ]);
        const BLOCK: u32 = 1;
        const CHARACTER: u32 = 2;
        let cases = [
            (CHARACTER, 1, 9, 9, 1),
            (CHARACTER, 2, 9, 9, 0),
            (CHARACTER, 6, 1, 3, 1),
            (CHARACTER, 6, 1, 4, 0),
            (BLOCK, 2, 8, 1, 1),
            (BLOCK, 4, 8, 1, 0),
            (BLOCK, 6, 8, 1, 0),
            (BLOCK, 2, 9, 1, 0),
        ];
        for (kind, access, major, minor, allowed) in cases {
            let got = run(&program, [kind | access << 16, major, minor]);
            assert_eq!(got, allowed, "type {kind}, access {access}, {major}:{minor}");
        }
    }

    #[test]
    fn the_kernel_accepts_the_program() {
        let rules = [rule(false, Some(1), Some(3), "rwm"), rule(true, None, None, "m")];
        sys::bpf_load_device_program(&program(&rules)).unwrap();
    }

    #[test]
    fn rules_become_lines() {
        assert_eq!(v1_line(&rule(false, Some(136), None, "rwm")), "c 136:* rwm");
        assert_eq!(v1_line(&rule(true, None, None, "m")), "b *:* m");
    }
}
