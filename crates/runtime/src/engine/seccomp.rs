//! Seccomp: profiles, and their translation into the kernel's classic BPF.
//!
//! Profiles have the format of the OCI runtime specification (`config-linux.md#seccomp`); pods can refer to files in
//! this format. A filter is compiled here, in the agent, and sent to the shim as instructions.

mod default;
mod filter;

use std::path::Path;

use serde::Deserialize;

use cri::CriError;

pub(super) use default::default_profile;
pub(super) use filter::compile;

/// A profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    default_action: Action,
    default_errno_ret: Option<u32>,
    /// The architectures that programs may use; only the machine's own if empty.
    #[serde(default)]
    architectures: Vec<Architecture>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

/// The action for some system calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<String>,
    action: Action,
    errno_ret: Option<u32>,
    /// All must be true, but conditions on the same argument are alternatives.
    #[serde(default)]
    args: Vec<Condition>,
}

/// A condition on an argument.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    /// The argument under the mask `value` is `value_two`.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Action {
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Architecture {
    #[serde(rename = "SCMP_ARCH_X86_64")]
    X8664,
    #[serde(rename = "SCMP_ARCH_X86")]
    X86,
    #[serde(rename = "SCMP_ARCH_AARCH64")]
    Aarch64,
    #[serde(rename = "SCMP_ARCH_ARM")]
    Arm,
    /// Some other machine's, or an ABI that is refused (`SCMP_ARCH_X32`).
    #[serde(other)]
    Other,
}

/// Loads a profile that a pod names (`Localhost`).
pub(super) fn load_profile(path: &Path) -> Result<Profile, CriError> {
    let invalid = |error: &dyn std::fmt::Display| {
        CriError::InvalidArgument(format!("cannot load seccomp profile {:?}: {error}", path.display()))
    };
    let text = std::fs::read(path).map_err(|error| invalid(&error))?;
    serde_json::from_slice(&text).map_err(|error| invalid(&error))
}
