//! The order of the versions of a group (upstream: `apimachinery/pkg/version.CompareKubeAwareVersionStrings`).

use std::cmp::Ordering;

/// How finished a version is, and its numbers: `v2beta1` is `(1, 2, 1)`.
type Rank = (u8, u32, u32);

/// Stable versions before beta before alpha, and of each the newest first; other names behind them in their own order.
pub(super) fn by_preference(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

fn rank(version: &str) -> Option<Rank> {
    let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let rest = version.strip_prefix('v')?;
    for (word, stage) in [("alpha", 0), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((stage, number(major)?, number(minor)?));
        }
    }
    Some((2, number(rest)?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_upstream_s_order() {
        let expected =
            ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"];
        let mut sorted = expected;
        sorted.reverse();
        sorted.sort_by(|a, b| by_preference(a, b));
        assert_eq!(sorted, expected);
    }
}
