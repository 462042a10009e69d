//! The kinds of `networking.k8s.io`.

use std::collections::BTreeSet;

use object::Value;

use crate::simple::Simple;
use crate::strategy::NameRule;
use crate::table::{AGE, Column, NAME, Table, age, cells, join, joined, name, or, selector};
use crate::{defaults, validation, warnings};

/// NetworkPolicy
pub(crate) static NETWORK_POLICIES: Simple = Simple {
    default: defaults::default_network_policy,
    validate: validation::validate_network_policy,
    validate_update: Some(validation::validate_network_policy_update),
    warnings: warnings::of_network_policy,
    table: Table {
        columns: &[NAME, Column::text("Pod-Selector", "The pods that the policy is for."), AGE],
        row: |object, clock| {
            cells![name(object), selector(object.at("spec.podSelector")), age(object, clock)]
        },
    },
    ..Simple::COUNTED
};

/// Ingress
pub(crate) static INGRESSES: Simple = Simple {
    validate: validation::validate_ingress,
    validate_update: Some(validation::validate_ingress_update),
    validate_status_update: validation::validate_ingress_status_update,
    warnings: warnings::of_ingress,
    table: Table {
        columns: &[
            NAME,
            Column::text("Class", "The class whose controller serves the ingress."),
            Column::text("Hosts", "The hosts that the rules are for."),
            Column::text("Address", "Where the load balancer takes requests."),
            Column::text("Ports", "The ports on which it takes them."),
            AGE,
        ],
        row: |object, clock| {
            cells![
                name(object),
                object.at("spec.ingressClassName").as_str().unwrap_or("<none>"),
                hosts(object.at("spec.rules")),
                addresses(object),
                if object.at("spec.tls").is_empty() { "80" } else { "80, 443" },
                age(object, clock),
            ]
        },
    },
    ..Simple::WITH_STATUS
};

/// IngressClass
pub(crate) static INGRESS_CLASSES: Simple = Simple {
    default: defaults::default_ingress_class,
    validate: validation::validate_ingress_class,
    validate_update: Some(validation::validate_ingress_class_update),
    table: Table {
        columns: &[
            NAME,
            Column::text("Controller", "Who serves ingresses of the class."),
            Column::text("Parameters", "An object with further parameters."),
            AGE,
        ],
        row: |object, clock| {
            let controller = object.str_at("spec.controller");
            cells![name(object), controller, parameters(object.at("spec.parameters")), age(object, clock)]
        },
    },
    ..Simple::COUNTED
};

/// IPAddress
pub(crate) static IP_ADDRESSES: Simple = Simple {
    name_rule: NameRule::Ip,
    selectable: &["spec.parentRef.group", "spec.parentRef.resource"],
    validate: validation::validate_ip_address,
    validate_update: Some(validation::validate_ip_address_update),
    table: Table {
        columns: &[NAME, Column::text("ParentRef", "The object that uses the address.")],
        row: |object, _| cells![name(object), parent(object.at("spec.parentRef"))],
    },
    ..Simple::PLAIN
};

/// ServiceCIDR
pub(crate) static SERVICE_CIDRS: Simple = Simple {
    has_status: true,
    status_keeps_metadata: true,
    validate: validation::validate_service_cidr,
    validate_update: Some(validation::validate_service_cidr_update),
    table: Table {
        columns: &[NAME, Column::text("CIDRs", "The networks that Services get their addresses from."), AGE],
        row: |object, clock| cells![name(object), joined(object.at("spec.cidrs")), age(object, clock)],
    },
    ..Simple::PLAIN
};

/// The first three hosts; `*` where no rule names one.
fn hosts(rules: &Value) -> String {
    let hosts: Vec<&str> = rules.items().map(|rule| rule.str_at("host")).collect();
    let named = hosts.iter().enumerate().filter(|(_, host)| !host.is_empty());
    let first: Vec<(usize, &&str)> = named.take(3).collect();
    let text = join(first.iter().map(|(_, host)| **host), ",");
    match first.as_slice() {
        [] => "*".to_owned(),
        // Rules without a host count among the omitted ones, as upstream counts them.
        [_, _, (third, _)] if third + 1 < hosts.len() => format!("{text} + {} more...", hosts.len() - 3),
        _ => text,
    }
}

/// The addresses of a load balancer, each once and sorted, joined by commas.
pub(crate) fn addresses(object: &Value) -> String {
    let ingress = object.at("status.loadBalancer.ingress");
    let points: BTreeSet<&str> = ingress
        .items()
        .map(|point| or(point.str_at("ip"), point.str_at("hostname")))
        .filter(|address| !address.is_empty())
        .collect();
    join(points.into_iter(), ",")
}

fn parameters(parameters: &Value) -> String {
    if parameters.is_null() {
        return "<none>".to_owned();
    }
    let group = parameters.get("apiGroup").as_str().map(|group| format!(".{group}")).unwrap_or_default();
    format!("{}{group}/{}", parameters.str_at("kind"), parameters.str_at("name"))
}

fn parent(parent: &Value) -> String {
    if parent.is_null() {
        return "<none>".to_owned();
    }
    let (resource, group) = (parent.str_at("resource"), parent.str_at("group"));
    let resource = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let namespace = match parent.str_at("namespace") {
        "" => String::new(),
        namespace => format!("/{namespace}"),
    };
    format!("{}{namespace}/{}", resource.to_lowercase(), parent.str_at("name"))
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn ingresses() {
        let rule = |host: &str| value!({"host": host});
        let cases = [
            (value!({}), "i | <none> | * |  | 80 | 3h"),
            (
                value!({
                    "spec": {"ingressClassName": "nginx", "rules": [(rule("a")), (rule("b"))], "tls": [{}]},
                    "status": {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "lb"}, {"ip": "1.1.1.1"}]}}
                }),
                "i | nginx | a,b | 1.1.1.1,2.2.2.2,lb | 80, 443 | 3h",
            ),
            (
                value!({"spec": {"rules": [(rule("a")), (rule("b")), (rule("c"))]}}),
                "i | <none> | a,b,c |  | 80 | 3h",
            ),
            (
                value!({"spec": {"rules": [(rule("a")), (rule("b")), (rule("c")), (rule("d")), {}]}}),
                "i | <none> | a,b,c + 2 more... |  | 80 | 3h",
            ),
        ];
        for (object, row) in cases {
            check_row(&INGRESSES, &named("i", object), row);
        }
    }

    #[test]
    fn the_others() {
        let policy = |selector: Value| named("n", value!({"spec": {"podSelector": selector}}));
        check_row(&NETWORK_POLICIES, &policy(value!({})), "n | <none> | 3h");
        check_row(
            &NETWORK_POLICIES,
            &policy(value!({"matchLabels": {"b": "2", "a": "1"}})),
            "n | a=1,b=2 | 3h",
        );
        let class =
            value!({"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K", "name": "x"}}});
        check_row(&INGRESS_CLASSES, &named("k", class), "k | c | K.g/x | 3h");
        check_row(
            &INGRESS_CLASSES,
            &named("k", value!({"spec": {"controller": "c"}})),
            "k | c | <none> | 3h",
        );
        let reference = value!({"resource": "services", "namespace": "default", "name": "kubernetes"});
        let address = value!({"spec": {"parentRef": reference}});
        check_row(&IP_ADDRESSES, &named("10.0.0.1", address), "10.0.0.1 | services/default/kubernetes");
        let cidr = value!({"spec": {"cidrs": ["10.0.0.0/16", "fd00::/112"]}});
        check_row(&SERVICE_CIDRS, &named("kubernetes", cidr), "kubernetes | 10.0.0.0/16,fd00::/112 | 3h");
    }

    #[test]
    fn addresses_are_named_in_canonical_form() {
        assert!(NameRule::Ip.check("2001:db8::1", false).is_empty());
        assert_eq!(NameRule::Ip.check("2001:DB8::1", false).len(), 1);
        assert_eq!(NameRule::Ip.check("web", false).len(), 1);
    }
}
