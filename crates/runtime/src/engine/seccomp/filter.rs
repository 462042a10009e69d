//! Compiles a profile.
//!
//! A filter first distinguishes the architectures, then finds the system call's number in a binary tree of ranges, and
//! compares relevant arguments in halves of 32 bits, the only width that classic BPF has. The input is `struct
//! seccomp_data` (`linux/seccomp.h`); architectures that the profile does not list are killed, as libseccomp does.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Action, Architecture, Condition, Operator, Profile, Rule};
use cri::CriError;

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;

const RETURN_KILL_PROCESS: u32 = 0x8000_0000;
const EPERM: u32 = 1;

/// One instruction of classic BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

impl Instruction {
    fn new(code: u16, value: u32) -> Instruction {
        Instruction { code, if_true: 0, if_false: 0, value }
    }

    /// A jump that skips a number of instructions.
    fn branch(code: u16, value: u32, if_true: usize, if_false: usize) -> Instruction {
        let skip = |count: usize| u8::try_from(count).expect("branches stay within one short block");
        Instruction { code, if_true: skip(if_true), if_false: skip(if_false), value }
    }

    /// Its layout in memory.
    fn encode(self) -> u64 {
        let [code_low, code_high] = self.code.to_ne_bytes();
        let [v0, v1, v2, v3] = self.value.to_ne_bytes();
        u64::from_ne_bytes([code_low, code_high, self.if_true, self.if_false, v0, v1, v2, v3])
    }
}

/// Translates a profile into the instructions of a filter.
pub(in super::super) fn compile(profile: &Profile) -> Result<Vec<u64>, CriError> {
    let default = return_value(profile.default_action, profile.default_errno_ret);
    let own = [native()];
    let wanted: Vec<_> = match profile.architectures.is_empty() {
        true => own.into_iter().flatten().collect(),
        false => profile.architectures.iter().copied().filter(|one| *one != Architecture::Other).collect(),
    };
    let mut program = vec![Instruction::new(LOAD, ARCHITECTURE_OFFSET)];
    for architecture in wanted {
        let mut block = vec![Instruction::new(LOAD, NUMBER_OFFSET)];
        block.extend(tree(&ranges(&decisions(profile, architecture)?), default));
        program.push(Instruction::branch(JUMP_IF_EQUAL, audit_number(architecture), 1, 0));
        program.push(Instruction::new(JUMP, block.len() as u32));
        program.extend(block);
    }
    program.push(Instruction::new(RETURN, RETURN_KILL_PROCESS));
    if program.len() > INSTRUCTIONS_MAX {
        return Err(CriError::InvalidArgument("the seccomp profile is too long".to_owned()));
    }
    Ok(program.into_iter().map(Instruction::encode).collect())
}

fn native() -> Option<Architecture> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Architecture::X8664),
        "aarch64" => Some(Architecture::Aarch64),
        _ => None,
    }
}

/// `AUDIT_ARCH_*` of `linux/audit.h`.
fn audit_number(architecture: Architecture) -> u32 {
    match architecture {
        Architecture::X8664 => 0xc000_003e,
        Architecture::X86 => 0x4000_0003,
        Architecture::Aarch64 => 0xc000_00b7,
        Architecture::Arm => 0x4000_0028,
        Architecture::Other => 0,
    }
}

fn number(architecture: Architecture, name: &str) -> Option<u32> {
    let number = match architecture {
        Architecture::X8664 => syscalls::x86_64::Sysno::from_str(name).ok()?.id(),
        Architecture::X86 => syscalls::x86::Sysno::from_str(name).ok()?.id(),
        Architecture::Aarch64 => syscalls::aarch64::Sysno::from_str(name).ok()?.id(),
        Architecture::Arm => syscalls::arm::Sysno::from_str(name).ok()?.id(),
        Architecture::Other => return None,
    };
    u32::try_from(number).ok()
}

fn return_value(action: Action, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(EPERM) & 0xffff;
    match action {
        Action::KillThread => 0,
        Action::KillProcess => RETURN_KILL_PROCESS,
        Action::Trap => 0x0003_0000,
        Action::Errno => 0x0005_0000 | data,
        Action::Trace => 0x7ff0_0000 | data,
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
    }
}

/// The action for one system call: the first alternative whose conditions are true, otherwise the default.
#[derive(Clone, Debug, Default, PartialEq)]
struct Decision {
    alternatives: Vec<(Vec<Comparison>, u32)>,
    otherwise: Option<u32>,
}

/// A condition in the compiler's form.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Comparison {
    index: u32,
    operator: Operator,
    value: u64,
    mask: u64,
}

fn decisions(profile: &Profile, architecture: Architecture) -> Result<BTreeMap<u32, Decision>, CriError> {
    let mut decisions: BTreeMap<u32, Decision> = BTreeMap::new();
    for rule in &profile.syscalls {
        let value = return_value(rule.action, rule.errno_ret);
        let alternatives = alternatives(rule)?;
        // Names that this architecture lacks cannot be called either.
        for number in rule.names.iter().filter_map(|name| number(architecture, name)) {
            let decision = decisions.entry(number).or_default();
            match alternatives.is_empty() {
                true => decision.otherwise = decision.otherwise.or(Some(value)),
                false => {
                    decision.alternatives.extend(alternatives.iter().map(|one| (one.clone(), value)));
                }
            }
        }
    }
    Ok(decisions)
}

/// The ways in which a rule's conditions can be satisfied. Conditions on one argument are alternatives, as in runc.
fn alternatives(rule: &Rule) -> Result<Vec<Vec<Comparison>>, CriError> {
    let comparisons = rule.args.iter().map(comparison).collect::<Result<Vec<_>, _>>()?;
    let mut indexes: Vec<_> = comparisons.iter().map(|one| one.index).collect();
    indexes.sort_unstable();
    let repeated = indexes.windows(2).any(|pair| pair[0] == pair[1]);
    Ok(match (comparisons.is_empty(), repeated) {
        (true, _) => Vec::new(),
        (false, true) => comparisons.into_iter().map(|one| vec![one]).collect(),
        (false, false) => vec![comparisons],
    })
}

fn comparison(condition: &Condition) -> Result<Comparison, CriError> {
    if condition.index > 5 {
        return Err(CriError::InvalidArgument(format!(
            "seccomp profile: system calls have no argument {}",
            condition.index
        )));
    }
    let (value, mask) = match condition.op {
        Operator::MaskedEqual => (condition.value_two, condition.value),
        _ => (condition.value, u64::MAX),
    };
    Ok(Comparison { index: condition.index, operator: condition.op, value, mask })
}

/// Consecutive numbers with the same decision.
struct Range {
    first: u32,
    last: u32,
    decision: Decision,
}

fn ranges(decisions: &BTreeMap<u32, Decision>) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for (number, decision) in decisions {
        match ranges.last_mut() {
            Some(range) if range.last + 1 == *number && range.decision == *decision => range.last = *number,
            _ => ranges.push(Range { first: *number, last: *number, decision: decision.clone() }),
        }
    }
    ranges
}

/// Code that decides by the number in the accumulator. Every path through it ends with a return.
fn tree(ranges: &[Range], default: u32) -> Vec<Instruction> {
    match ranges {
        [] => vec![Instruction::new(RETURN, default)],
        [range] => leaf(range, default),
        _ => {
            let (left, right) = ranges.split_at(ranges.len() / 2);
            let below = tree(left, default);
            // A conditional jump reaches 255 instructions, a plain one any number.
            let mut code = vec![
                Instruction::branch(JUMP_IF_GREATER_OR_EQUAL, right[0].first, 0, 1),
                Instruction::new(JUMP, below.len() as u32),
            ];
            code.extend(below);
            code.extend(tree(right, default));
            code
        }
    }
}

fn leaf(range: &Range, default: u32) -> Vec<Instruction> {
    let mut code = vec![
        Instruction::branch(JUMP_IF_GREATER_OR_EQUAL, range.first, 0, 1),
        Instruction::branch(JUMP_IF_GREATER, range.last, 0, 1),
        Instruction::new(RETURN, default),
    ];
    for (comparisons, value) in &range.decision.alternatives {
        code.extend(alternative(comparisons, *value));
    }
    code.push(Instruction::new(RETURN, range.decision.otherwise.unwrap_or(default)));
    code
}

/// The target of a comparison's jump.
#[derive(Clone, Copy)]
enum Goal {
    Next,
    Holds,
    Fails,
}

/// Code that returns `value` if all comparisons are true, and otherwise continues after itself.
fn alternative(comparisons: &[Comparison], value: u32) -> Vec<Instruction> {
    let blocks: Vec<_> = comparisons.iter().map(steps).collect();
    let total = blocks.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(total);
    for block in blocks {
        let end = code.len() + block.len();
        for (instruction, goals) in block {
            let next = code.len() + 1;
            let skip = |goal| match goal {
                Goal::Next => 0,
                Goal::Holds => end - next,
                Goal::Fails => total - next,
            };
            code.push(match goals {
                Some((if_true, if_false)) => {
                    Instruction::branch(instruction.code, instruction.value, skip(if_true), skip(if_false))
                }
                None => instruction,
            });
        }
    }
    code.push(Instruction::new(RETURN, value));
    code
}

type Step = (Instruction, Option<(Goal, Goal)>);

/// Compares one argument, its high half first.
fn steps(comparison: &Comparison) -> Vec<Step> {
    use Goal::{Fails, Holds, Next};
    let offset = ARGUMENTS_OFFSET + 8 * comparison.index;
    let (high_offset, low_offset) = if cfg!(target_endian = "big") { (0, 4) } else { (4, 0) };
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    let (high, low) = halves(comparison.value);
    let (high_mask, low_mask) = halves(comparison.mask);
    let load = |part: u32, mask: u32| -> Vec<Step> {
        let mut steps = vec![(Instruction::new(LOAD, offset + part), None)];
        if mask != u32::MAX {
            steps.push((Instruction::new(AND, mask), None));
        }
        steps
    };
    let jump = |code, value, if_true, if_false| (Instruction::new(code, value), Some((if_true, if_false)));
    let mut steps = load(high_offset, high_mask);
    match comparison.operator {
        Operator::Equal | Operator::MaskedEqual => steps.push(jump(JUMP_IF_EQUAL, high, Next, Fails)),
        Operator::NotEqual => steps.push(jump(JUMP_IF_EQUAL, high, Next, Holds)),
        Operator::Greater | Operator::GreaterOrEqual => {
            steps.push(jump(JUMP_IF_GREATER, high, Holds, Next));
            steps.push(jump(JUMP_IF_EQUAL, high, Next, Fails));
        }
        Operator::Less | Operator::LessOrEqual => {
            steps.push(jump(JUMP_IF_GREATER, high, Fails, Next));
            steps.push(jump(JUMP_IF_EQUAL, high, Next, Holds));
        }
    }
    steps.extend(load(low_offset, low_mask));
    steps.push(match comparison.operator {
        Operator::Equal | Operator::MaskedEqual => jump(JUMP_IF_EQUAL, low, Next, Fails),
        Operator::NotEqual => jump(JUMP_IF_EQUAL, low, Fails, Next),
        Operator::Greater => jump(JUMP_IF_GREATER, low, Next, Fails),
        Operator::GreaterOrEqual => jump(JUMP_IF_GREATER_OR_EQUAL, low, Next, Fails),
        Operator::Less => jump(JUMP_IF_GREATER_OR_EQUAL, low, Fails, Next),
        Operator::LessOrEqual => jump(JUMP_IF_GREATER, low, Fails, Next),
    });
    steps
}

#[cfg(test)]
mod tests;
