//! What a pod does that a level does not allow.

use super::checks::{BASELINE, Check, RESTRICTED};
use super::level::{Level, LevelVersion};
use super::pod::{Finding, Pod};

/// All that is not allowed.
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// What a pod does against a level.
    pub(super) fn of(level: LevelVersion, pod: Pod<'_>) -> Findings {
        let LevelVersion { level, version } = level;
        let find = |check: &Check| check.at(version).and_then(|find| find(pod));
        Findings(match level {
            Level::Privileged => Vec::new(),
            Level::Baseline => BASELINE.iter().filter_map(find).collect(),
            Level::Restricted => {
                let active = || RESTRICTED.iter().filter(|check| check.at(version).is_some());
                let is_overridden = |check: &&Check| !active().any(|other| other.overrides == check.id);
                BASELINE.iter().filter(is_overridden).chain(active()).filter_map(find).collect()
            }
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong, without details.
    pub(super) fn reasons(&self) -> String {
        self.0.iter().map(|finding| finding.reason).collect::<Vec<_>>().join(", ")
    }

    /// The message for people.
    pub(super) fn text(&self, verb: &str, level: LevelVersion) -> String {
        let text = |finding: &Finding| match finding.detail.as_str() {
            "" => finding.reason.to_owned(),
            detail => format!("{} ({detail})", finding.reason),
        };
        let details: Vec<String> = self.0.iter().map(text).collect();
        format!("{verb} PodSecurity \"{level}\": {}", details.join(", "))
    }
}
