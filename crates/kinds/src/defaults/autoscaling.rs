//! Defaults of `autoscaling`.

use object::{Value, value};

use super::within;

/// Fills in a HorizontalPodAutoscaler of `autoscaling/v1`.
pub fn default_horizontal_pod_autoscaler_v1(autoscaler: &mut Value) {
    autoscaler.entry("spec").set_default("minReplicas", 1);
}

/// Fills in a HorizontalPodAutoscaler of `autoscaling/v2`: 80 % of the requested CPU, and, where it states some
/// of its behaviour, the rest of that.
pub fn default_horizontal_pod_autoscaler(autoscaler: &mut Value) {
    let spec = autoscaler.entry("spec");
    spec.set_default("minReplicas", 1);
    if spec.get("metrics").is_empty() {
        let target = value!({"type": "Utilization", "averageUtilization": 80});
        spec.set("metrics", value!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    }
    within(spec, "behavior", |behavior| {
        let up = behavior.entry("scaleUp");
        up.set_default("stabilizationWindowSeconds", 0);
        up.set_default("selectPolicy", "Max");
        up.set_default(
            "policies",
            value!([
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]),
        );
        // The controller has a default for the time to wait before scaling down.
        let down = behavior.entry("scaleDown");
        down.set_default("selectPolicy", "Max");
        down.set_default("policies", value!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
    });
}
