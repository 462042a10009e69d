//! PriorityLevelConfigurations (`pkg/apis/flowcontrol/validation`).

use object::Value;
use object::field::Errors;
use object::value;

use super::field::{Field, same};
use super::flow_schema::validate_conditions;

const LEVEL: &str = "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration";
/// The level of the system's masters, which nothing limits.
const EXEMPT: &str = "exempt";
const QUEUES_MAX: i64 = 10_000_000;
/// How many bits of a hash there are to deal queues from.
const HASH_BITS_MAX: i64 = 60;
const NOT_NEGATIVE: &str = "must be a non-negative integer";

/// Checks a PriorityLevelConfiguration, except its metadata.
pub fn validate_priority_level_configuration(level: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(level, LEVEL);
    let (spec, name) = (root.child("spec"), level.str_at("metadata.name"));
    let kind = spec.child("type");
    if (name == EXEMPT) != (kind.text() == "Exempt") {
        errors.invalid(&kind.path, kind.text(), "type must be 'Exempt' if and only if name is 'exempt'");
    }
    let (exempt, limited) = (spec.child("exempt"), spec.child("limited"));
    match kind.text() {
        "Exempt" if exempt.is_set() => validate_exempt(&mut errors, &exempt),
        "Limited" if limited.is_set() => validate_limited(&mut errors, &limited),
        "Exempt" | "Limited" => {}
        _ => kind.not_supported(&mut errors, &["Exempt", "Limited"]),
    }
    validate_mandatory(&mut errors, &spec, name);
    validate_conditions(&mut errors, &root.child("status"));
    validate_union(&mut errors, &kind, &[("Exempt", &exempt, false), ("Limited", &limited, true)]);
    errors
}

/// A member belongs to one type: with that it may be required, with others it is forbidden.
fn validate_union(errors: &mut Errors, kind: &Field<'_, '_>, members: &[(&str, &Field<'_, '_>, bool)]) {
    if kind.is_empty() {
        kind.required(errors, "");
    }
    for (of, member, is_required) in members {
        match (kind.text() == *of, member.is_set()) {
            (true, false) if *is_required => member.required(errors, ""),
            (false, true) => member.forbidden(errors, ""),
            _ => {}
        }
    }
}

/// The levels that every cluster has do not change, but for the seats of the one without a limit.
fn validate_mandatory(errors: &mut Errors, spec: &Field<'_, '_>, name: &str) {
    match name {
        EXEMPT => {
            let mut rest = spec.value.clone();
            rest.remove("exempt");
            if !same(&rest, &value!({"type": "Exempt"})) {
                let why = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value";
                spec.invalid(errors, why);
            }
        }
        "catch-all" => {
            let fixed = value!({"type": "Limited", "limited": {
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}
            }});
            if !same(spec.value, &fixed) {
                spec.invalid(errors, "spec of 'catch-all' must equal the fixed value");
            }
        }
        _ => {}
    }
}

fn validate_exempt(errors: &mut Errors, exempt: &Field<'_, '_>) {
    let shares = exempt.child("nominalConcurrencyShares");
    if shares.number() < 0 {
        shares.invalid(errors, NOT_NEGATIVE);
    }
    validate_lendable(errors, exempt);
}

fn validate_lendable(errors: &mut Errors, level: &Field<'_, '_>) {
    let percent = level.child("lendablePercent");
    if !(0..=100).contains(&percent.number()) {
        percent.invalid(errors, "must be between 0 and 100, inclusive");
    }
}

fn validate_limited(errors: &mut Errors, limited: &Field<'_, '_>) {
    let shares = limited.child("nominalConcurrencyShares");
    if shares.number() < 0 {
        shares.invalid(errors, NOT_NEGATIVE);
    }
    let response = limited.child("limitResponse");
    let (kind, queuing) = (response.child("type"), response.child("queuing"));
    match kind.text() {
        "Queue" if queuing.is_set() => validate_queuing(errors, &queuing),
        "Queue" | "Reject" => {}
        _ => kind.not_supported(errors, &["Queue", "Reject"]),
    }
    validate_union(errors, &kind, &[("Queue", &queuing, true)]);
    validate_lendable(errors, limited);
    let borrowed = limited.child("borrowingLimitPercent");
    if borrowed.number() < 0 {
        borrowed.invalid(errors, "if specified, must be a non-negative integer");
    }
}

fn validate_queuing(errors: &mut Errors, queuing: &Field<'_, '_>) {
    const POSITIVE: &str = "must be positive";
    let length = queuing.child("queueLengthLimit");
    if length.number() <= 0 {
        errors.invalid(&length.path, length.number(), POSITIVE);
    }
    let (queues, hand) = (queuing.child("queues"), queuing.child("handSize"));
    let (deck, size) = (queues.number(), hand.number());
    if deck <= 0 {
        errors.invalid(&queues.path, deck, POSITIVE);
    } else if deck > QUEUES_MAX {
        errors.invalid(&queues.path, deck, format!("must not be greater than {QUEUES_MAX}"));
    }
    if size <= 0 {
        errors.invalid(&hand.path, size, POSITIVE);
    } else if size > deck {
        errors.invalid(&hand.path, size, format!("should not be greater than queues ({deck})"));
    } else if entropy_bits(deck, size) > HASH_BITS_MAX as f64 {
        let why = format!(
            "required entropy bits of deckSize {deck} and handSize {size} should not be greater than {HASH_BITS_MAX}"
        );
        errors.invalid(&hand.path, size, why);
    }
}

/// How many bits of a hash it takes to deal a hand from a deck, rounded up.
fn entropy_bits(deck: i64, hand: i64) -> f64 {
    ((deck as f64).log2() * hand as f64).ceil()
}

/// Checks a change of a PriorityLevelConfiguration's status, except its metadata.
pub fn validate_priority_level_configuration_status_update(level: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_conditions(&mut errors, &Field::root(level, LEVEL).child("status"));
    errors
}
