//! Services (`pkg/api/service/warnings.go`).

use object::{Value, quote};

use super::addresses::{of_cidr, of_ip};
use crate::validation::field::Field;

/// The annotation that `service.kubernetes.io/topology-mode` replaces.
const OLD_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// Warns about the fields of a Service that are deprecated or have no effect.
pub(crate) fn of_service(service: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let root = Field::root(service, "io.k8s.api.core.v1.Service");
    let spec = root.child("spec");
    let [kind, cluster_ip, balancer, name] =
        ["type", "clusterIP", "loadBalancerIP", "externalName"].map(|member| spec.value.str_at(member));
    let external = spec.child("externalIPs");
    let (is_headless, is_name) = (kind == "ClusterIP" && cluster_ip == "None", kind == "ExternalName");
    let mut warn = |is_true: bool, warning: String| {
        if is_true {
            warnings.push(warning);
        }
    };
    let has_hints = !service.at_path(&["metadata", "annotations", OLD_HINTS]).is_null();
    let mode = "service.kubernetes.io/topology-mode";
    warn(has_hints, format!("annotation {OLD_HINTS} is deprecated, please use {mode} instead"));
    let mut forms = Vec::new();
    if !is_name && !matches!(cluster_ip, "" | "None") {
        spec.child("clusterIPs").items().for_each(|ip| of_ip(&mut forms, &ip.path, ip.text()));
    }
    forms.drain(..).for_each(|warning| warn(true, warning));
    let ignored = |member: &str| format!("spec.{member} is ignored for headless services");
    warn(is_headless && !balancer.is_empty(), ignored("loadBalancerIP"));
    warn(is_headless && !external.is_empty(), ignored("externalIPs"));
    let affinity = spec.value.str_at("sessionAffinity");
    warn(is_headless && affinity != "None", ignored("SessionAffinity"));
    external.items().for_each(|ip| of_ip(&mut forms, &ip.path, ip.text()));
    forms.drain(..).for_each(|warning| warn(true, warning));
    let is_used = !external.is_empty() && !is_headless && !is_name;
    warn(
        is_used,
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
    );
    let address = spec.child("loadBalancerIP");
    of_ip(&mut forms, &address.path, address.text());
    let ranges = spec.child("loadBalancerSourceRanges");
    ranges.items().for_each(|range| of_cidr(&mut forms, &range.path, range.text()));
    forms.drain(..).for_each(|warning| warn(true, warning));
    let kind = quote("ExternalName");
    warn(is_name && !external.is_empty(), format!("spec.externalIPs is ignored when spec.type is {kind}"));
    warn(!is_name && !name.is_empty(), format!("spec.externalName is ignored when spec.type is not {kind}"));
    warn(
        spec.value.str_at("trafficDistribution") == "PreferClose",
        r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#.to_owned(),
    );
    warnings
}
