//! NetworkPolicies (`pkg/apis/networking/validation/validation.go`).

use std::collections::HashSet;
use std::net::IpAddr;

use object::field::Errors;
use object::{Value, names};

use super::field::Field;

const POLICY: &str = "io.k8s.api.networking.v1.NetworkPolicy";
const TYPES: [&str; 2] = ["Ingress", "Egress"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Values that an existing policy may keep although new ones may not have them.
#[derive(Default)]
struct Lenience<'v> {
    label_values: bool,
    cidrs: HashSet<&'v str>,
}

impl Lenience<'_> {
    fn check(&self, cidr: &Field<'_, '_>) -> Errors {
        names::is_valid_cidr_for_legacy_field(&cidr.path, cidr.text(), &self.cidrs)
    }
}

/// Checks a new NetworkPolicy, except its metadata.
pub fn validate_network_policy(policy: &Value) -> Errors {
    validate(policy, &Lenience::default())
}

/// Checks a change of a NetworkPolicy, except its metadata. Networks from the old one are accepted.
pub fn validate_network_policy_update(policy: &Value, old: &Value) -> Errors {
    let root = Field::root(old, POLICY);
    let spec = root.child("spec");
    let pods = spec.child("podSelector");
    let mut cidrs = HashSet::new();
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = old.get("spec").get(rules).items();
        for block in rules.flat_map(|rule| rule.get(peers).items()).map(|peer| peer.get("ipBlock")) {
            cidrs.extend(block.get("cidr").as_str());
            cidrs.extend(block.get("except").items().filter_map(Value::as_str));
        }
    }
    let label_values = !pods.selector().validate(&pods.path, false).is_empty();
    validate(policy, &Lenience { label_values, cidrs })
}

fn validate(policy: &Value, lenience: &Lenience<'_>) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(policy, POLICY);
    let spec = root.child("spec");
    let pods = spec.child("podSelector");
    errors.append(pods.selector().validate(&pods.path, lenience.label_values));
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.child(rules).items() {
            rule.child("ports").items().for_each(|port| validate_port(&mut errors, &port));
            rule.child(peers).items().for_each(|peer| validate_peer(&mut errors, &peer, lenience));
        }
    }
    let types = spec.child("policyTypes");
    if types.len() > TYPES.len() {
        types.invalid(&mut errors, "may not specify more than two policyTypes");
        return errors;
    }
    for kind in types.items().filter(|kind| !TYPES.contains(&kind.text())) {
        kind.not_supported(&mut errors, &TYPES);
    }
    errors
}

fn validate_port(errors: &mut Errors, port: &Field<'_, '_>) {
    port.child("protocol").check_known(errors, &PROTOCOLS);
    let (first, last) = (port.child("port"), port.child("endPort"));
    match first.value {
        Value::Int(number) => {
            first.check_number(errors, names::is_valid_port_num);
            if last.is_set() && last.number() < *number {
                // Upstream shows the first port here.
                errors.invalid(&last.path, *number, "must be greater than or equal to `port`");
            }
            last.check_number(errors, names::is_valid_port_num);
        }
        Value::Null if last.is_set() => {
            last.invalid(errors, "may not be specified when `port` is not specified");
        }
        Value::Null => {}
        _ => {
            if last.is_set() {
                last.invalid(errors, "may not be specified when `port` is non-numeric");
            }
            first.check(errors, names::is_valid_port_name);
        }
    }
}

fn validate_peer(errors: &mut Errors, peer: &Field<'_, '_>, lenience: &Lenience<'_>) {
    let mut peers = 0;
    for name in ["podSelector", "namespaceSelector"] {
        let selector = peer.child(name);
        if selector.is_set() {
            peers += 1;
            errors.append(selector.selector().validate(&selector.path, lenience.label_values));
        }
    }
    let block = peer.child("ipBlock");
    if block.is_set() {
        validate_block(errors, &block, lenience);
        if peers > 0 {
            peer.forbidden(errors, "may not specify both ipBlock and another peer");
        }
    } else if peers == 0 {
        peer.required(errors, "must specify a peer");
    }
}

fn validate_block(errors: &mut Errors, block: &Field<'_, '_>, lenience: &Lenience<'_>) {
    let cidr = block.child("cidr");
    if cidr.is_empty() {
        return cidr.required(errors, "");
    }
    errors.append(lenience.check(&cidr));
    let Some((network, length)) = names::parse_cidr_sloppy(cidr.text()) else { return };
    for except in block.child("except").items() {
        errors.append(lenience.check(&except));
        let Some((inner, inner_length)) = names::parse_cidr_sloppy(except.text()) else { continue };
        if !contains(network, length, inner) || length >= inner_length {
            except.invalid(errors, "must be a strict subset of `cidr`");
        }
    }
}

/// Whether an address is in the network of this one with this prefix length.
fn contains(network: IpAddr, length: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(32 - u32::from(length)).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(128 - u32::from(length)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::defaults::default_network_policy;
    use crate::validation::tests::lines;

    fn wrong(spec: Value) -> Vec<String> {
        let mut policy = value!({"spec": (spec)});
        default_network_policy(&mut policy);
        lines(validate_network_policy(&policy))
    }

    fn port(port: Value) -> Vec<String> {
        wrong(value!({"ingress": [{"ports": [(port)]}]}))
    }

    fn peer(peer: Value) -> Vec<String> {
        wrong(value!({"egress": [{"to": [(peer)]}]}))
    }

    #[test]
    fn what_people_write_is_good() {
        let spec = value!({
            "podSelector": {"matchLabels": {"a": "b"}},
            "ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {}}], "ports": [{"port": "http"}, {}]}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 1, "endPort": 1}]}],
        });
        assert!(wrong(spec).is_empty());
        assert!(wrong(value!({})).is_empty());
        assert!(peer(value!({"ipBlock": {"cidr": "fd00::/8", "except": ["fd01::/64"]}})).is_empty());
    }

    #[test]
    fn ports() {
        let at = "spec.ingress[0].ports[0]";
        assert_eq!(
            port(value!({"port": 90, "endPort": 80})),
            [format!("{at}.endPort: Invalid value: 90: must be greater than or equal to `port`")]
        );
        assert_eq!(
            port(value!({"endPort": 80})),
            [format!("{at}.endPort: Invalid value: 80: may not be specified when `port` is not specified")]
        );
        assert_eq!(
            port(value!({"port": "web", "endPort": 80})),
            [format!("{at}.endPort: Invalid value: 80: may not be specified when `port` is non-numeric")]
        );
        assert_eq!(
            port(value!({"port": 0})),
            [format!("{at}.port: Invalid value: 0: must be between 1 and 65535, inclusive")]
        );
        assert_eq!(
            port(value!({"port": 80, "protocol": "ICMP"})),
            [format!(
                "{at}.protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \"SCTP\""
            )]
        );
    }

    #[test]
    fn peers_and_types() {
        let at = "spec.egress[0].to[0]";
        assert_eq!(peer(value!({})), [format!("{at}: Required value: must specify a peer")]);
        let block = value!({"cidr": "10.0.0.0/8"});
        assert_eq!(
            peer(value!({"ipBlock": (block), "podSelector": {}})),
            [format!("{at}: Forbidden: may not specify both ipBlock and another peer")]
        );
        assert_eq!(peer(value!({"ipBlock": {"cidr": ""}})), [format!("{at}.ipBlock.cidr: Required value")]);
        for except in ["192.168.0.0/16", "10.0.0.0/8", "fd00::/64"] {
            assert_eq!(
                peer(value!({"ipBlock": {"cidr": "10.0.0.0/8", "except": [(except)]}})),
                [format!(
                    "{at}.ipBlock.except[0]: Invalid value: \"{except}\": must be a strict subset of `cidr`"
                )]
            );
        }
        assert_eq!(peer(value!({"ipBlock": {"cidr": "10.0.0.0"}})).len(), 1);
        assert_eq!(
            wrong(value!({"policyTypes": ["ingress"]})),
            [
                "spec.policyTypes[0]: Unsupported value: \"ingress\": supported values: \"Ingress\", \"Egress\""
            ]
        );
        assert_eq!(wrong(value!({"policyTypes": ["Ingress", "Egress", "Egress"]})).len(), 1);
        assert_eq!(wrong(value!({"podSelector": {"matchLabels": {"a": "b c"}}})).len(), 1);
    }

    #[test]
    fn networks_of_the_old_policy_may_stay() {
        let old = value!({"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "010.0.0.0/8"}}]}]}});
        assert_eq!(lines(validate_network_policy(&old)).len(), 1);
        assert!(lines(validate_network_policy_update(&old, &old)).is_empty());
    }
}
