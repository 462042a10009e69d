//! What a request is charged, or why it is refused.

use std::sync::Arc;

use jiff::Timestamp;
use object::Value;
use semantics::quota::{Measure, ResourceList};

use super::Quota;
use super::limited::{self, Limited};

/// A request that may need a share of quotas.
pub(super) struct Request {
    /// The API group and the plural name of the object's resource.
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) object: Value,
    /// The state before; null if the object is new.
    pub(super) old: Value,
    /// It writes the object's status: that is charged and never refused, because it says what is so already.
    pub(super) is_status: bool,
    /// What only quotas allow.
    pub(super) limited: Arc<[Limited]>,
    pub(super) now: Timestamp,
}

/// A share of a quota: the quota's index, and the amounts.
pub(super) type Share = (usize, ResourceList);

/// The shares of the quotas that a request needs, without those of quotas in `paid`, which it has already.
///
/// # Errors
/// The reason for the refusal, in upstream's words.
pub(super) fn decide(
    quotas: &[Quota],
    request: &Request,
    paid: impl Fn(&Quota) -> bool,
) -> Result<Vec<Share>, String> {
    let Some(measure) = Measure::of(&request.group, &request.plural) else { return Ok(Vec::new()) };
    let mut concerned = Vec::new();
    for (index, quota) in quotas.iter().enumerate() {
        if paid(quota) || !quota.covers(measure, &request.object) {
            continue;
        }
        let limited: Vec<&str> = quota.hard.names().filter(|name| measure.measures(name)).collect();
        let name = &quota.name;
        if let Some(missing) = measure.unspecified(&limited, &request.object) {
            return Err(format!("failed quota: {name}: {missing}"));
        }
        if limited.iter().any(|name| quota.used.get(name).is_none()) {
            return Err(format!("status unknown for quota: {name}, resources: {}", limited.join(",")));
        }
        concerned.push(index);
    }
    if concerned.is_empty() && request.limited.is_empty() {
        return Ok(Vec::new());
    }
    let usage = measure.usage(&request.object, request.now);
    let negative: Vec<&str> =
        usage.iter().filter(|(_, amount)| amount.sign() < 0).map(|(name, _)| name).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let mut more = usage.clone();
    if !request.old.is_null() {
        more.take_all(&measure.usage(&request.old, request.now));
    }
    let grown = |index: &usize| {
        let was_counted = !request.old.is_null() && quotas[*index].covers(measure, &request.old);
        if was_counted { &more } else { &usage }
    };
    let grows = |list: &ResourceList| list.iter().any(|(_, amount)| !amount.is_zero());
    if concerned.iter().map(grown).any(grows) || (concerned.is_empty() && grows(&more)) {
        limited::check(&request.limited, quotas, measure, &request.object, &usage)?;
    }
    let mut shares = Vec::new();
    for index in concerned {
        let quota = &quotas[index];
        let mut share = grown(&index).only(|name| quota.hard.get(name).is_some());
        share.drop_zeros();
        if share.is_empty() {
            continue;
        }
        if !request.is_status {
            check(quota, &share)?;
        }
        shares.push((index, share));
    }
    Ok(shares)
}

fn check(quota: &Quota, share: &ResourceList) -> Result<(), String> {
    let exceeds = |name: &str| {
        let mut sum = quota.used.get(name).cloned().unwrap_or_default();
        sum += share.get(name).unwrap_or(&object::Quantity::ZERO);
        quota.hard.get(name).is_some_and(|hard| sum > *hard)
    };
    let exceeded = share.only(exceeds);
    if exceeded.is_empty() {
        return Ok(());
    }
    let of = |list: &ResourceList| list.only(|name| exceeded.get(name).is_some());
    let (used, hard, name) = (of(&quota.used), of(&quota.hard), &quota.name);
    Err(format!("exceeded quota: {name}, requested: {exceeded}, used: {used}, limited: {hard}"))
}
