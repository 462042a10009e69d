//! Evaluation of a pod against a level.

use super::checks::{BASELINE, Check, RESTRICTED};
use super::level::{Level, LevelVersion};
use super::pod::{Finding, Pod};

/// All violations.
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// The violations of a level by a pod.
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

    /// The violations, without details.
    pub(super) fn reasons(&self) -> String {
        self.0.iter().map(|finding| finding.reason).collect::<Vec<_>>().join(", ")
    }

    /// The full message.
    pub(super) fn text(&self, verb: &str, level: LevelVersion) -> String {
        let text = |finding: &Finding| match finding.detail.as_str() {
            "" => finding.reason.to_owned(),
            detail => format!("{} ({detail})", finding.reason),
        };
        let details: Vec<String> = self.0.iter().map(text).collect();
        format!("{verb} PodSecurity \"{level}\": {}", details.join(", "))
    }
}
