//! Levels, versions, and the policy in the labels of a namespace.

use std::fmt;

use object::Value;
use object::field::{Errors, Path};

pub(super) const LEVEL_WRONG: &str = "must be one of privileged, baseline, restricted";
pub(super) const VERSION_WRONG: &str = r#"must be "latest" or "v1.x""#;

/// How much pods may do; more restrictive levels are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything is allowed.
    #[default]
    Privileged,
    /// Known privilege escalations are forbidden.
    Baseline,
    /// Only hardened pods are allowed.
    Restricted,
}

impl Level {
    pub(super) fn parse(text: &str) -> Option<Level> {
        Some(match text {
            "privileged" => Level::Privileged,
            "baseline" => Level::Baseline,
            "restricted" => Level::Restricted,
            _ => return None,
        })
    }
}

/// The version of Kubernetes whose rules apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `v1.` and this number.
    Minor(u32),
    /// The newest version.
    #[default]
    Latest,
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Version> {
        if text == "latest" {
            return Some(Version::Latest);
        }
        let minor = text.strip_prefix("v1.")?;
        let is_number = minor.bytes().all(|byte| byte.is_ascii_digit());
        let is_canonical = minor == "0" || !minor.starts_with('0');
        (is_number && is_canonical).then(|| minor.parse().ok()).flatten().map(Version::Minor)
    }
}

/// A level in a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelVersion {
    /// The level.
    pub level: Level,
    /// The version.
    pub version: Version,
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// The policy of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The enforced level.
    pub enforce: LevelVersion,
    /// The level whose violations are logged.
    pub audit: LevelVersion,
    /// The level whose violations are reported to clients.
    pub warn: LevelVersion,
}

impl Policy {
    /// The policy in labels, and the errors in them. An invalid level counts as the strictest for `enforce`, and as
    /// none for the others; an invalid version counts as the newest.
    pub fn of_labels(labels: &Value, defaults: &Policy) -> (Policy, Errors) {
        let mut reader = Reader { labels, errors: Errors::new() };
        let mut policy = *defaults;
        let enforce = reader.level("pod-security.kubernetes.io/enforce");
        if let Some(level) = enforce {
            policy.enforce.level = level.unwrap_or(Level::Restricted);
        }
        if let Some(version) = reader.version("pod-security.kubernetes.io/enforce-version") {
            policy.enforce.version = version;
        }
        if let Some(level) = reader.level("pod-security.kubernetes.io/audit") {
            policy.audit.level = level.unwrap_or(Level::Privileged);
        }
        if let Some(version) = reader.version("pod-security.kubernetes.io/audit-version") {
            policy.audit.version = version;
        }
        let warn = reader.level("pod-security.kubernetes.io/warn");
        if let Some(level) = warn {
            policy.warn.level = level.unwrap_or(Level::Privileged);
        }
        let warn_version = reader.version("pod-security.kubernetes.io/warn-version");
        if let Some(version) = warn_version {
            policy.warn.version = version;
        }
        // Clients are warned of what is refused, unless the namespace sets a level for warnings.
        let is_stated = enforce.flatten().is_some() && warn.is_none();
        if is_stated && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if warn_version.is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, reader.errors)
    }

    /// Whether nothing is restricted.
    pub(super) fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|mode| mode.level == Level::Privileged)
    }
}

struct Reader<'a> {
    labels: &'a Value,
    errors: Errors,
}

impl Reader<'_> {
    /// The level in a label; the inner `None` for an invalid one.
    fn level(&mut self, label: &str) -> Option<Option<Level>> {
        let text = self.labels.get(label).as_str()?;
        let level = Level::parse(text);
        if level.is_none() {
            self.wrong(label, text.to_owned(), LEVEL_WRONG);
        }
        Some(level)
    }

    fn version(&mut self, label: &str) -> Option<Version> {
        let text = self.labels.get(label).as_str()?;
        let version = Version::parse(text);
        if version.is_none() {
            self.wrong(label, text.to_owned(), VERSION_WRONG);
        }
        Some(version.unwrap_or_default())
    }

    fn wrong(&mut self, label: &str, text: String, why: &str) {
        let metadata = Path::root("metadata");
        self.errors.invalid(&metadata.child("labels").key(label), text, why);
    }
}
