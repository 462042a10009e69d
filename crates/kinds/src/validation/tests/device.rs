use super::*;
use crate::defaults::default_resource_claim;
use crate::validation::*;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
const NO_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

#[track_caller]
fn check(wrong: Errors, expected: &[&str]) {
    assert_eq!(lines(wrong), expected);
}

#[test]
fn device_classes() {
    let class = |spec: Value| value!({"spec": spec});
    let selector = |text: &str| value!([{"cel": {"expression": text}}]);
    let good = class(value!({
        "selectors": (selector("device.driver == 'd.example.com'")), "extendedResourceName": "example.com/gpu",
        "config": [{"opaque": {"driver": "d.example.com", "parameters": {"kind": "Any"}}}]
    }));
    check(validate_device_class(&good), &[]);
    check(
        validate_device_class(&class(value!({"selectors": [{}]}))),
        &["spec.selectors[0].cel: Required value"],
    );
    check(
        validate_device_class(&class(value!({"selectors": (selector("device.driver"))}))),
        &[
            r#"spec.selectors[0].cel.expression: Invalid value: "device.driver": must evaluate to bool or the unknown type, not string"#,
        ],
    );
    let undeclared = lines(validate_device_class(&class(value!({"selectors": (selector("name == 'a'"))}))));
    assert!(
        undeclared[0].contains("compilation failed: ERROR: <input>:1:1: undeclared reference to 'name'"),
        "{undeclared:?}"
    );
    let slow = "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all(d, device.attributes[a].all(e, device.attributes[b].all(f, e == f))))))";
    let slow = class(value!({"selectors": (selector(slow))}));
    check(
        validate_device_class(&slow),
        &["spec.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit"],
    );
    let long = class(value!({"selectors": (selector(&format!("true{}", " ".repeat(10_240))))}));
    check(
        validate_device_class(&long),
        &["spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes"],
    );
    let many: Vec<Value> = (0..33).map(|_| value!({"cel": {"expression": "true"}})).collect();
    check(
        validate_device_class(&class(value!({"selectors": many}))),
        &["spec.selectors: Too many: 33: must have at most 32 items"],
    );
    check(
        validate_device_class(&class(value!({
            "config": [{}, {"opaque": {"driver": ""}}, {"opaque": {"driver": "a b", "parameters": "x"}}],
            "extendedResourceName": "cpu"
        }))),
        &[
            "spec.config[0].opaque: Required value",
            "spec.config[1].opaque.driver: Required value",
            "spec.config[1].opaque.parameters: Required value",
            &format!(r#"spec.config[2].opaque.driver: Invalid value: "a b": {SUBDOMAIN}"#),
            r#"spec.config[2].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object"#,
            r#"spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name"#,
        ],
    );
    // Expressions and large parameters that are there may stay.
    check(validate_device_class_update(&slow, &slow), &[]);
    check(
        validate_device_class_update(&slow, &good),
        &["spec.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit"],
    );
    let large =
        class(value!({"config": [{"opaque": {"driver": "d", "parameters": {"a": ("x".repeat(10_240))}}}]}));
    check(
        validate_device_class(&large),
        &["spec.config[0].opaque.parameters: Too long: may not be more than 10240 bytes"],
    );
    check(validate_device_class_update(&large, &large), &[]);
}

fn claim(devices: Value) -> Value {
    let mut claim = value!({"metadata": {"name": "c", "namespace": "default"}, "spec": {"devices": devices}});
    default_resource_claim(&mut claim);
    claim
}

#[track_caller]
fn check_claim(devices: Value, expected: &[&str]) {
    check(validate_resource_claim(&claim(devices)), expected);
}

#[test]
fn resource_claims_get_their_defaults() {
    let claim = claim(value!({"requests": [
        {"name": "a", "exactly": {"deviceClassName": "c"}},
        {"name": "b", "firstAvailable": [{"name": "x", "allocationMode": "All"}, {"name": "y", "count": 2}]}
    ]}));
    let requests = claim.at("spec.devices.requests");
    assert_eq!(
        requests,
        &value!([
            {"name": "a", "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}},
            {"name": "b", "firstAvailable": [
                {"name": "x", "allocationMode": "All"}, {"name": "y", "count": 2, "allocationMode": "ExactCount"}
            ]}
        ])
    );
    let mut template = value!({"spec": {"spec": {"devices": {"requests": [{"name": "a", "exactly": {}}]}}}});
    crate::registry::strategy("resource.k8s.io", "resourceclaimtemplates").default(&mut template);
    let count = template.at("spec.spec.devices.requests").items().next().unwrap().at("exactly.count").clone();
    assert_eq!(count, Value::from(1));
}

#[test]
fn resource_claims_ask_for_devices() {
    let exactly = |exactly: Value| value!({"requests": [{"name": "r", "exactly": exactly}]});
    check_claim(value!({}), &[]);
    check_claim(exactly(value!({"deviceClassName": "c"})), &[]);
    check_claim(
        value!({"requests": [{"name": "", "exactly": {}}, {"name": "r"}, {"name": "r", "exactly": {"deviceClassName": "c"}, "firstAvailable": [{}]}]}),
        &[
            &format!(r#"spec.devices.requests[0].name: Invalid value: "": {LABEL}"#),
            "spec.devices.requests[0].exactly.deviceClassName: Required value",
            "spec.devices.requests[1]: Required value: exactly one of `exactly` or `firstAvailable` is required",
            "spec.devices.requests[2]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
            r#"spec.devices.requests[2]: Duplicate value: {"name":"r","exactly":{"deviceClassName":"c","allocationMode":"ExactCount","count":1},"firstAvailable":[{"allocationMode":"ExactCount","count":1}]}"#,
        ],
    );
    let path = "spec.devices.requests[0].exactly";
    check_claim(
        exactly(value!({"deviceClassName": "C", "allocationMode": "All", "count": 1})),
        &[
            &format!(r#"{path}.deviceClassName: Invalid value: "C": {SUBDOMAIN}"#),
            &format!("{path}.count: Invalid value: 1: must not be specified when allocationMode is 'All'"),
        ],
    );
    check_claim(
        exactly(value!({"deviceClassName": "c", "allocationMode": "ExactCount", "count": (-1)})),
        &[&format!("{path}.count: Invalid value: -1: must be greater than zero")],
    );
    check_claim(
        exactly(value!({"deviceClassName": "c", "allocationMode": "Some"})),
        &[&format!(
            r#"{path}.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount""#
        )],
    );
    check_claim(
        exactly(value!({"deviceClassName": "c", "tolerations": [
            {"operator": "Exists", "value": "v"}, {"key": "a b", "operator": "Equal", "value": "-"}, {},
            {"operator": "Odd", "effect": "Odd"}
        ]})),
        &[
            &format!(
                r#"{path}.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`"#
            ),
            &format!(r#"{path}.tolerations[1].key: Invalid value: "a b": {QUALIFIED}"#),
            &format!(
                r#"{path}.tolerations[1].value: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#
            ),
            &format!("{path}.tolerations[2].operator: Required value"),
            &format!(
                r#"{path}.tolerations[3].operator: Unsupported value: "Odd": supported values: "Equal", "Exists""#
            ),
            &format!(
                r#"{path}.tolerations[3].effect: Unsupported value: "Odd": supported values: "NoExecute", "NoSchedule", "None""#
            ),
        ],
    );
}

#[test]
fn resource_claims_relate_their_requests() {
    let devices = |constraints: Value, config: Value| {
        value!({
            "requests": [
                {"name": "r", "exactly": {"deviceClassName": "c"}},
                {"name": "s", "firstAvailable": [{"name": "a", "deviceClassName": "c"}]}
            ],
            "constraints": constraints, "config": config
        })
    };
    let opaque = || value!({"driver": "d", "parameters": {}});
    check_claim(
        devices(
            value!([{"requests": ["r", "s/a"], "matchAttribute": "d/a"}, {"distinctAttribute": "d/b"}]),
            value!([{"requests": ["s"], "opaque": (opaque())}]),
        ),
        &[],
    );
    check_claim(
        devices(
            value!([{"requests": ["x", "r/a", "s/a/b", "r", "r"], "matchAttribute": "1a"}, {}]),
            value!([{"requests": ["R"], "opaque": (opaque())}]),
        ),
        &[
            &format!(r#"spec.devices.constraints[0].requests[0]: Invalid value: "x": {NO_REQUEST}"#),
            &format!(r#"spec.devices.constraints[0].requests[1]: Invalid value: "r/a": {NO_REQUEST}"#),
            &format!(r#"spec.devices.constraints[0].requests[2]: Invalid value: "s/a/b": {NO_REQUEST}"#),
            r#"spec.devices.constraints[0].requests[4]: Duplicate value: "r""#,
            &format!(r#"spec.devices.constraints[0].matchAttribute: Invalid value: "1a": {IDENTIFIER}"#),
            r#"spec.devices.constraints[0].matchAttribute: Invalid value: "1a": a fully qualified name must be a domain and a name separated by a slash"#,
            r#"spec.devices.constraints[1]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set"#,
            &format!(r#"spec.devices.config[0].requests[0]: Invalid value: "R": {LABEL}"#),
            &format!(r#"spec.devices.config[0].requests[0]: Invalid value: "R": {NO_REQUEST}"#),
        ],
    );
    let claim = claim(devices(value!([]), value!([])));
    let mut other = claim.clone();
    other.set_path(&["spec", "devices", "config"], value!([{}]));
    check(validate_resource_claim_update(&claim, &claim), &[]);
    // What cannot change is not checked again.
    check(validate_resource_claim_update(&other, &claim), &["spec: Invalid value: null: field is immutable"]);
}

#[test]
fn resource_claim_templates() {
    let template = |labels: Value, request: Value| value!({"spec": {"metadata": {"labels": labels}, "spec": {"devices": {"requests": [request]}}}});
    let good = template(
        value!({"a": "b"}),
        value!({"name": "r", "exactly": {"deviceClassName": "c", "allocationMode": "All"}}),
    );
    check(validate_resource_claim_template(&good), &[]);
    let bad = template(value!({"a b": "c"}), value!({"name": "r"}));
    check(
        validate_resource_claim_template(&bad),
        &[
            &format!(r#"spec.metadata.labels: Invalid value: "a b": {QUALIFIED}"#),
            "spec.spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
        ],
    );
    check(validate_resource_claim_template_update(&good, &good), &[]);
    let wrong = lines(validate_resource_claim_template_update(&bad, &good));
    assert!(wrong.len() == 1 && wrong[0].ends_with(": field is immutable"), "{wrong:?}");
}

fn allocated(status: Value) -> Value {
    let mut claim = claim(value!({"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}));
    claim.set("status", status);
    claim
}

fn result() -> Value {
    value!({"request": "r", "driver": "d", "pool": "p", "device": "x"})
}

fn allocation(result: Value) -> Value {
    value!({"devices": {"results": [result]}})
}

#[test]
fn allocations_of_resource_claims() {
    let none = || allocated(value!({}));
    let check = |status: Value, old: Value, expected: &[&str]| {
        check(validate_resource_claim_status_update(&allocated(status), &old), expected);
    };
    let given = || value!({"allocation": (allocation(result()))});
    check(given(), none(), &[]);
    check(value!({}), allocated(given()), &[]);
    let mut other = result();
    other.set("device", "y");
    check(
        value!({"allocation": (allocation(other))}),
        allocated(given()),
        &["status.allocation: Invalid value: null: field cannot be modified once set"],
    );
    let path = "status.allocation.devices.results[0]";
    check(
        value!({"allocation": (allocation(value!({
            "request": "s", "driver": "", "pool": "a//b", "device": "X", "shareID": "A", "bindingConditions": ["a", "a"],
            "skipNodeOperations": ["NodePrepareResources"]
        })))}),
        none(),
        &[
            &format!(r#"{path}.request: Invalid value: "s": {NO_REQUEST}"#),
            &format!("{path}.driver: Required value"),
            &format!(r#"{path}.pool: Invalid value: "": {SUBDOMAIN}"#),
            &format!(r#"{path}.device: Invalid value: "X": {LABEL}"#),
            &format!(r#"{path}.bindingConditions[1]: Duplicate value: "a""#),
            &format!(
                "{path}.bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions"
            ),
            &format!(r#"{path}.shareID: Invalid value: "A": must be a lowercase UUID in 8-4-4-4-12 format"#),
            &format!(
                r#"{path}.skipNodeOperations: Invalid value: ["NodePrepareResources"]: NodePrepareResources cannot be skipped unless NodeUnprepareResources is also skipped"#
            ),
        ],
    );
    check(
        value!({"allocation": {"devices": {"config": [{"source": "Odd", "opaque": {"driver": "d", "parameters": {}}}]}, "nodeSelector": {}}}),
        none(),
        &[
            r#"status.allocation.devices.config[0].source: Unsupported value: "Odd": supported values: "FromClaim", "FromClass""#,
            "status.allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term",
        ],
    );
}

#[test]
fn consumers_of_resource_claims() {
    let check = |claim: Value, old: Value, expected: &[&str]| {
        check(validate_resource_claim_status_update(&claim, &old), expected);
    };
    let reserved = |uids: &[&str]| {
        let consumers: Vec<Value> =
            uids.iter().map(|uid| value!({"resource": "pods", "name": "p", "uid": (*uid)})).collect();
        allocated(value!({"allocation": (allocation(result())), "reservedFor": consumers}))
    };
    check(reserved(&["a"]), reserved(&[]), &[]);
    check(
        reserved(&["a", "a"]),
        reserved(&[]),
        &[r#"status.reservedFor[1]: Duplicate value: {"resource":"pods","name":"p","uid":"a"}"#],
    );
    check(
        allocated(value!({"reservedFor": [{}]})),
        reserved(&[]),
        &[
            "status.reservedFor[0].resource: Required value",
            "status.reservedFor[0].name: Required value",
            "status.reservedFor[0].uid: Required value",
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
        ],
    );
    let mut deleted = reserved(&["a", "b"]);
    deleted.entry("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
    check(deleted.clone(), reserved(&["b", "a"]), &[]);
    check(
        deleted,
        reserved(&["a"]),
        &[
            "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
        ],
    );
}

#[test]
fn devices_of_resource_claims() {
    let told = |device: Value| {
        let claim = allocated(value!({"allocation": (allocation(result())), "devices": [device]}));
        lines(validate_resource_claim_status_update(&claim, &claim))
    };
    let own =
        |members: Value| merge_patch(value!({"driver": "d", "pool": "p", "device": "x"}), members).unwrap();
    assert!(told(own(value!({"data": {"a": 1}, "networkData": {"ips": ["10.0.0.1/8"]}}))).is_empty());
    assert_eq!(
        told(own(value!({"device": "y", "data": "text"}))),
        [
            r#"status.devices[0]: Invalid value: "d/p/y": must be an allocated device in the claim"#,
            r#"status.devices[0].data: Invalid value: "<value omitted>": must be a valid JSON object"#,
        ]
    );
    let network = "status.devices[0].networkData";
    let network_data = value!({"interfaceName": ("i".repeat(257)), "ips": ["10.0.0.1", "10.0.0.1/08", "10.0.0.1/8", "10.0.0.1/8"]});
    assert_eq!(
        told(own(value!({"networkData": network_data}))),
        [
            format!("{network}.interfaceName: Too long: may not be more than 256 bytes"),
            format!(
                r#"{network}.ips[0]: Invalid value: "10.0.0.1": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"#
            ),
            format!(
                r#"{network}.ips[1]: Invalid value: "10.0.0.1/08": must be in canonical form ("10.0.0.1/8")"#
            ),
            format!(r#"{network}.ips[3]: Duplicate value: "10.0.0.1/8""#),
        ]
    );
    let conditions: Vec<Value> = (0..9)
        .map(|index| {
            value!({
                "type": (format!("C{index}")), "status": "True", "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"
            })
        })
        .collect();
    assert_eq!(
        told(own(value!({"conditions": conditions}))),
        ["status.devices[0].conditions: Too many: 9: must have at most 8 items"]
    );
}

fn slice(members: Value) -> Value {
    let base = value!({"driver": "d", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}});
    value!({"spec": (merge_patch(base, members).unwrap())})
}

#[track_caller]
fn check_slice(members: Value, expected: &[&str]) {
    check(validate_resource_slice(&slice(members)), expected);
}

#[test]
fn resource_slices() {
    check_slice(value!({}), &[]);
    check_slice(
        value!({"driver": "", "pool": {"name": "", "generation": (-1), "resourceSliceCount": 0}, "nodeName": ""}),
        &[
            "spec.driver: Required value",
            "spec.pool.name: Required value",
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
            "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
            r#"spec.nodeName: Invalid value: "": must be either unset or set to a non-empty string"#,
            "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
        ],
    );
    check_slice(
        value!({"allNodes": true, "perDeviceNodeSelection": false}),
        &[
            "spec.perDeviceNodeSelection: Invalid value: false: must be either unset or set to true",
            r#"spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set"#,
        ],
    );
    check_slice(
        value!({"nodeName": null, "nodeSelector": {"nodeSelectorTerms": [{}, {}]}}),
        &[
            "spec.nodeSelector.nodeSelectorTerms: Invalid value: [{},{}]: must have exactly one node selector term",
        ],
    );
    let counters = || value!({"c": {"value": "1"}});
    check_slice(
        value!({"sharedCounters": [{"name": "", "counters": {"A": {"value": "1"}}}, {"name": "a", "counters": (counters())}, {"name": "a"}]}),
        &[
            "spec.sharedCounters[0].name: Required value",
            &format!(r#"spec.sharedCounters[0].counters: Invalid value: "A": {LABEL}"#),
            "spec.sharedCounters[2].counters: Required value",
            r#"spec.sharedCounters[2]: Duplicate value: {"name":"a"}"#,
        ],
    );
    let many = |count: usize, members: Value| {
        let device =
            |index: usize| merge_patch(value!({"name": (format!("d{index}"))}), members.clone()).unwrap();
        value!({"devices": ((0..count).map(device).collect::<Vec<_>>())})
    };
    check_slice(many(128, value!({})), &[]);
    check_slice(many(129, value!({})), &["spec.devices: Too many: 129: must have at most 128 items"]);
    let taint = value!({"taints": [{"key": "a", "effect": "NoSchedule"}]});
    check_slice(many(65, taint), &["spec.devices: Too many: 65: must have at most 64 items"]);
    let changed = slice(value!({"driver": "e", "nodeName": "m", "pool": {"name": "q"}}));
    check(
        validate_resource_slice_update(&changed, &slice(value!({}))),
        &[
            r#"spec.pool.name: Invalid value: "q": field is immutable"#,
            r#"spec.driver: Invalid value: "e": field is immutable"#,
            r#"spec.nodeName: Invalid value: "m": field is immutable"#,
        ],
    );
    check(validate_resource_slice_update(&changed, &changed), &[]);
}

#[track_caller]
fn check_device(members: Value, expected: &[&str]) {
    let device = merge_patch(value!({"name": "x"}), members).unwrap();
    check_slice(value!({"devices": [device]}), expected);
}

#[test]
fn devices_of_resource_slices() {
    let device = "spec.devices[0]";
    check_device(
        value!({"attributes": {"a": {"string": "x"}, "d.example.com/b": {"version": "1.2.3"}, "c": {"ints": [1]}}}),
        &[],
    );
    check_device(
        value!({"attributes": {
            "1": {"bool": true}, "/a": {"int": 1}, "a/b/c": {"int": 1}, "e": {}, "f": {"int": 1, "string": ("x".repeat(65))},
            "v": {"version": "1"}, "w": {"strings": []}
        }}),
        &[
            &format!(r#"{device}.attributes: Invalid value: "1": {IDENTIFIER}"#),
            &format!(r#"{device}.attributes: Invalid value: "": the domain must not be empty"#),
            &format!(r#"{device}.attributes: Invalid value: "a/b/c": must not contain more than one slash"#),
            &format!(
                r#"{device}.attributes[e]: Invalid value: "": must specify one of: `int`, `bool`, `string`, `version`, `ints`, `bools`, `strings`, `versions`"#
            ),
            &format!("{device}.attributes[f].string: Too long: may not be more than 64 bytes"),
            &format!(
                r#"{device}.attributes[f]: Invalid value: "{{int, string}}": must specify exactly one of: `int`, `bool`, `string`, `version`, `ints`, `bools`, `strings`, `versions`"#
            ),
            &format!(
                r#"{device}.attributes[v].version: Invalid value: "1": must be a string compatible with semver.org spec 2.0.0"#
            ),
            &format!("{device}.attributes[w].strings: Invalid value: []: must not be empty if specified"),
        ],
    );
    check_device(
        value!({"nodeName": "m", "bindingConditions": ["a"], "bindingFailureConditions": ["a"], "taints": [{"key": "", "effect": ""}]}),
        &[
            &format!("{device}.taints[0].key: Invalid value: \"\": name part must be non-empty"),
            &format!(r#"{device}.taints[0].key: Invalid value: "": {QUALIFIED}"#),
            &format!("{device}.taints[0].effect: Required value"),
            &format!(
                "{device}: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
            ),
            &format!(
                r#"{device}.bindingFailureConditions[0]: Invalid value: "a": bindingFailureConditions must not overlap with bindingConditions"#
            ),
        ],
    );
    let place = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    check_slice(
        value!({"nodeName": null, "perDeviceNodeSelection": true, "devices": [
            {"name": "a", "allNodes": true}, {"name": "a"}, {"name": "b", "nodeName": "n", "allNodes": true}
        ]}),
        &[
            &format!("spec.devices[1]: Required value: {place}"),
            &format!(r#"spec.devices[2]: Invalid value: "{{`nodeName`, `allNodes`}}": {place}"#),
            r#"spec.devices[1]: Duplicate value: "a""#,
        ],
    );
    // Taints that are there may be of later versions.
    let tainted = slice(value!({"devices": [{"name": "x", "taints": [{"key": "a", "effect": "Later"}]}]}));
    assert_eq!(lines(validate_resource_slice(&tainted)).len(), 1);
    check(validate_resource_slice_update(&tainted, &tainted), &[]);
}

#[test]
fn capacities_of_devices() {
    let shared = |policy: Value| value!({"allowMultipleAllocations": true, "capacity": {"m": {"value": "10", "requestPolicy": policy}}});
    let path = "spec.devices[0].capacity[m].requestPolicy";
    check_device(value!({"capacity": {"m": {"value": "1Gi"}}}), &[]);
    check_device(shared(value!({"default": "2", "validValues": ["1", "2"]})), &[]);
    check_device(shared(value!({"default": "2", "validRange": {"min": "1", "max": "9", "step": "1"}})), &[]);
    check_device(shared(value!({"default": "0.5", "validRange": {"min": "0.5", "step": "0.5"}})), &[]);
    check_device(
        value!({"capacity": {"m": {"value": "1", "requestPolicy": {}}}}),
        &[&format!("{path}: Forbidden: allowMultipleAllocations must be true")],
    );
    check_device(
        shared(value!({"validValues": ["1"], "validRange": {}})),
        &[&format!(
            r#"{path}: Forbidden: exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time"#
        )],
    );
    check_device(
        shared(value!({"validValues": ["1"]})),
        &[&format!("{path}.default: Required value: required when validValues is defined")],
    );
    check_device(
        shared(value!({"default": "3", "validValues": ["2", "1", "1", "11"]})),
        &[
            &format!(
                r#"{path}.validValues[1]: Invalid value: "1": values must be sorted in ascending order"#
            ),
            &format!(r#"{path}.validValues[2]: Duplicate value: "1""#),
            &format!(
                r#"{path}.validValues[3]: Invalid value: "11": option is larger than capacity value: 10"#
            ),
            &format!(
                r#"{path}.validValues: Invalid value: "3": default value is not valid according to the requestPolicy"#
            ),
        ],
    );
    let range = format!("{path}.validRange");
    check_device(
        shared(value!({"default": "1", "validRange": {"min": "2", "max": "11", "step": "0"}})),
        &[
            &format!(r#"{range}.default: Invalid value: "1": default is less than min: 2"#),
            &format!(r#"{range}.max: Invalid value: "11": max is larger than capacity value: 10"#),
            &format!(r#"{range}.step: Invalid value: "0": must be greater than zero"#),
        ],
    );
    check_device(
        shared(value!({"default": "4", "validRange": {"min": "1", "max": "7", "step": "2"}})),
        &[&format!(
            r#"{range}.step: Invalid value: "4": value is not a multiple of a given step (2) from (1)"#
        )],
    );
    let resources = "spec.devices[0].nodeAllocatableResources";
    check_device(
        value!({"capacity": {"m": {"value": "1"}}, "nodeAllocatableResources": {
            "cpu": {"mapping": {"capacityKey": "m", "capacityMultiplier": "1"}},
            "example.com/a": {}, "memory": {"mapping": {"capacityKey": "n", "deviceMultiplier": "0"}, "overhead": {}}
        }}),
        &[
            &format!(
                r#"{resources}[example.com/a]: Invalid value: "example.com/a": must be a node allocatable resource name"#
            ),
            &format!(
                "{resources}[example.com/a]: Required value: at least one of mapping or overhead must be set"
            ),
            &format!(r#"{resources}[memory].mapping.capacityKey: Not found: "n""#),
            &format!(
                "{resources}[memory].mapping.capacityMultiplier: Required value: capacityMultiplier is required when capacityKey is set"
            ),
            &format!(r#"{resources}[memory].mapping.deviceMultiplier: Invalid value: "0": must be positive"#),
            &format!(
                r#"{resources}[memory].mapping: Invalid value: "{{capacityKey, deviceMultiplier}}": must specify exactly one of: `capacityKey`, `deviceMultiplier`"#
            ),
            &format!(
                r#"{resources}[memory].overhead: Invalid value: "": at least one of perPod or perContainer must be set"#
            ),
        ],
    );
}

#[test]
fn partitions_of_devices() {
    let with = |attribute: Value, consumes: Value| {
        value!({"partitionTypeAttribute": "d/kind", "devices": [
            {"name": "a", "consumesCounters": consumes, "attributes": {"kind": attribute}}, {"name": "b"}
        ]})
    };
    let consumes = || value!([{"counterSet": "s", "counters": {"c": {"value": "1"}}}]);
    check_slice(with(value!({"string": "x"}), consumes()), &[]);
    check_slice(
        with(value!({"string": "x"}), value!([])),
        &[
            r#"spec.partitionTypeAttribute: Invalid value: "d/kind": may only be set on a slice which declares devices that consume counters"#,
        ],
    );
    check_slice(
        with(value!({"int": 1}), consumes()),
        &[
            r#"spec.devices[0].attributes[d/kind]: Invalid value: {"int":1}: must be a string value because `partitionTypeAttribute` names this attribute"#,
        ],
    );
}

#[test]
fn device_taint_rules() {
    let rule = |selector: Value, effect: &str| value!({"spec": {"deviceSelector": selector, "taint": {"key": "example.com/k", "value": "v", "effect": effect}}});
    let selector = || value!({"driver": "d", "pool": "p", "device": "x"});
    check(validate_device_taint_rule(&rule(selector(), "NoExecute")), &[]);
    check(
        validate_device_taint_rule(&rule(value!({"driver": "", "pool": "", "device": ""}), "Odd")),
        &[
            "spec.deviceSelector.driver: Required value",
            "spec.deviceSelector.pool: Required value",
            &format!(r#"spec.deviceSelector.device: Invalid value: "": {LABEL}"#),
            r#"spec.taint.effect: Unsupported value: "Odd": supported values: "NoExecute", "NoSchedule", "None""#,
        ],
    );
    let odd = rule(selector(), "Odd");
    check(validate_device_taint_rule_update(&odd, &odd), &[]);
    assert_eq!(lines(validate_device_taint_rule_update(&odd, &rule(selector(), "None"))).len(), 1);
    let status = value!({"status": {"conditions": [{"type": "A", "status": "Odd"}]}});
    let wrong = lines(validate_device_taint_rule_status_update(&status, &status));
    assert!(wrong[0].starts_with(r#"status.conditions[0].status: Unsupported value: "Odd""#), "{wrong:?}");
}
