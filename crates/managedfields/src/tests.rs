//! Writes to objects of built-in kinds.

use async_trait::async_trait;
use object::{Value, json, value};
use proptest::prelude::*;
use schema::TypeRef;

use crate::{
    ApplyError, Comparison, FieldPath, FieldSet, Managers, Scope, Versions, Write, apply, fields_of, update,
};

/// Kinds with one version.
struct One;

#[async_trait]
impl Versions for One {
    fn type_of(&self, api_version: &str) -> Option<TypeRef> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = if group == "apps" { "Deployment" } else { "Pod" };
        schema::type_by_gvk(group, version, kind)
    }

    async fn convert(&self, _object: &Value, api_version: &str) -> Result<Value, String> {
        Err(format!("there is no other version, and no {api_version}"))
    }
}

fn write<'a>(manager: &'a str, scope: &'a Scope) -> Write<'a> {
    Write { manager, api_version: "v1", subresource: "", now: "2026-01-01T00:00:00Z", scope }
}

/// An object under several managers.
#[derive(Clone, Debug, Default)]
struct State {
    object: Value,
    managers: Managers,
}

impl State {
    fn finish<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn try_apply(&mut self, manager: &str, config: &Value, force: bool) -> Result<(), ApplyError> {
        let scope = Scope::Whole;
        let live = if self.object.is_null() { Value::map() } else { self.object.clone() };
        let (mut object, managers) =
            State::finish(apply(&One, &live, config, self.managers.clone(), &write(manager, &scope), force))?;
        object.set_path(&["metadata", "uid"], "u".into());
        *self = State { object, managers };
        Ok(())
    }

    fn apply(&mut self, manager: &str, config: &Value) {
        self.try_apply(manager, config, false).unwrap();
    }

    fn update(&mut self, manager: &str, mut object: Value) {
        let scope = Scope::Whole;
        let live = if self.object.is_null() { Value::map() } else { self.object.clone() };
        object.set_path(&["metadata", "uid"], "u".into());
        let write = write(manager, &scope);
        let managers = update(&One, &live, &object, self.managers.clone(), &write);
        self.managers = State::finish(managers).unwrap();
        self.object = object;
    }

    /// The fields of a manager, as messages show them.
    fn fields(&self, manager: &str) -> Vec<String> {
        let of = self.managers.entries().iter().filter(|entry| entry.manager == manager);
        of.flat_map(|entry| entry.fields.paths()).map(|path| path.to_string()).collect()
    }
}

fn pod(containers: Value) -> Value {
    let mut pod = value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}});
    pod.set_path(&["spec", "containers"], containers);
    pod
}

#[test]
fn the_fields_of_a_pod_are_its_values_keys_and_items() {
    let mut pod = pod(value!([{
        "name": "c", "image": "i", "args": ["a"], "resources": {},
        "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
    }]));
    pod.set_path(&["metadata", "labels"], value!({"app": "web"}));
    pod.set_path(&["spec", "nodeSelector"], value!({"disk": "ssd"}));
    let def = &*schema::type_by_gvk("", "v1", "Pod").unwrap();
    let paths: Vec<String> = fields_of(&pod, def).paths().iter().map(FieldPath::to_string).collect();
    let container = r#".spec.containers[name="c"]"#;
    let port = format!("{container}.ports[containerPort=80,protocol=");
    for expected in [
        ".metadata.labels.app".to_owned(),
        container.to_owned(),
        format!("{container}.args"),
        format!("{container}.resources"),
        format!("{port}\"TCP\"].containerPort"),
        format!("{port}\"UDP\"].protocol"),
        // Its type is atomic: a selector is one value.
        ".spec.nodeSelector".to_owned(),
    ] {
        assert!(paths.contains(&expected), "{expected} is not among {paths:#?}");
    }
    for other in [".spec", ".metadata.labels", ".spec.containers", ".spec.nodeSelector.disk"] {
        assert!(!paths.contains(&other.to_owned()), "{other} is among {paths:#?}");
    }
}

#[test]
fn a_comparison_tells_what_came_went_and_changed() {
    let def = &*schema::type_by_gvk("", "v1", "Pod").unwrap();
    let old = pod(value!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]));
    let new = pod(value!([{"name": "c", "image": "1"}, {"name": "a", "image": "2"}]));
    let Comparison { removed, modified, added } = Comparison::new(&old, &new, def);
    let text = |set: FieldSet| set.paths().iter().map(FieldPath::to_string).collect::<Vec<_>>();
    assert_eq!(text(modified), [r#".spec.containers[name="a"].image"#]);
    let item = |name: &str| {
        let item = format!(".spec.containers[name={name:?}]");
        [item.clone(), format!("{item}.image"), format!("{item}.name")]
    };
    assert_eq!(text(removed), item("b"));
    assert_eq!(text(added), item("c"));
}

#[test]
fn appliers_share_an_object() {
    let mut state = State::default();
    state.apply("one", &pod(value!([{"name": "a", "image": "1"}])));
    state.apply("two", &pod(value!([{"name": "b", "image": "1"}])));
    let names = |state: &State| -> Vec<String> {
        let containers = state.object.at("spec.containers").items();
        containers.map(|container| container.str_at("name").to_owned()).collect()
    };
    assert_eq!(names(&state), ["a", "b"]);
    // What a manager no longer sets goes, and nothing else.
    state.apply("one", &value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}));
    assert_eq!(names(&state), ["b"]);
    assert_eq!(state.fields("one"), Vec::<String>::new());
}

#[test]
fn a_field_of_another_is_a_conflict() {
    let mut state = State::default();
    state.apply("one", &pod(value!([{"name": "a", "image": "1", "workingDir": "/"}])));
    state.update("two", pod(value!([{"name": "a", "image": "2", "workingDir": "/"}])));
    let image = r#".spec.containers[name="a"].image"#;
    assert_eq!(state.fields("two"), [image]);
    assert!(!state.fields("one").contains(&image.to_owned()));
    let wanted = pod(value!([{"name": "a", "image": "3", "workingDir": "/"}]));
    let error = state.try_apply("one", &wanted, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Apply failed with 1 conflict: conflict with \"two\" using v1: {image}")
    );
    state.try_apply("one", &wanted, true).unwrap();
    assert_eq!(state.fields("two"), Vec::<String>::new());
    assert!(state.fields("one").contains(&image.to_owned()));
    let error =
        state.try_apply("three", &pod(value!([{"name": "a", "image": "4", "workingDir": "/tmp"}])), false);
    assert_eq!(
        error.unwrap_err().to_string(),
        format!(
            "Apply failed with 2 conflicts: conflicts with \"one\":\n- {image}\n- .spec.containers[name=\"a\"].workingDir"
        )
    );
    // The same value is no conflict, and both manage it.
    state.apply("three", &pod(value!([{"name": "a", "image": "3"}])));
    state.apply("one", &pod(value!([{"name": "a", "workingDir": "/"}])));
    assert_eq!(state.object.at("spec.containers").items().next().unwrap().str_at("image"), "3");
}

#[test]
fn what_was_there_before_the_first_apply_stays() {
    let mut state = State { object: pod(value!([{"name": "a", "image": "1"}])), ..State::default() };
    state.object.set_path(&["metadata", "uid"], "u".into());
    let error = state.try_apply("one", &pod(value!([{"name": "a", "image": "2"}])), false).unwrap_err();
    assert!(error.to_string().contains("before-first-apply"), "{error}");
    state.apply("one", &pod(value!([{"name": "b", "image": "2"}])));
    assert_eq!(state.object.at("spec.containers").items().count(), 2);
}

#[test]
fn unknown_fields_and_doubled_items_are_refused() {
    let mut state = State::default();
    for (config, expected) in [
        (value!({"spec": {"nodename": "a"}}), ".spec.nodename: field not declared in schema"),
        (
            value!({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}),
            ".spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            value!({"spec": {"containers": [{"image": "a"}]}}),
            ".spec.containers: element 0: associative list with keys has an element that omits all key fields \
             [\"name\"] (and doesn't have default values for any key fields)",
        ),
    ] {
        assert_eq!(state.try_apply("one", &config, false).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_oldest_of_many_managers_are_put_together() {
    let mut state = State::default();
    for index in 0..15 {
        let mut object = if state.object.is_null() { pod(value!([])) } else { state.object.clone() };
        object.set_path(&["metadata", "labels"], Value::map());
        let labels = (0..=index).map(|index| (format!("l{index}"), Value::from("")));
        object.set_path(&["metadata", "labels"], Value::Map(labels.collect()));
        state.update(&format!("m{index:02}"), object);
    }
    assert_eq!(state.managers.entries().len(), 10);
    assert!(state.fields("ancient-changes").contains(&".metadata.labels.l0".to_owned()));
    let mut object = state.object.clone();
    state.managers.write(&mut object);
    assert_eq!(Managers::of(&object).unwrap(), state.managers);
}

/// Configurations of pods: some labels, and containers with images and arguments.
fn config() -> impl Strategy<Value = Value> {
    let label = (0..3_u8, 0..2_u8);
    let container = (0..3_u8, prop::option::of(0..2_u8), prop::option::of(0..2_u8));
    (prop::collection::vec(label, 0..3), prop::collection::vec(container, 0..3)).prop_map(
        |(labels, containers)| {
            let labels =
                labels.iter().map(|(key, value)| (format!("l{key}"), Value::from(value.to_string())));
            let mut seen = std::collections::BTreeSet::new();
            let containers =
                containers.iter().filter(|(name, ..)| seen.insert(*name)).map(|(name, image, dir)| {
                    let mut container = value!({"name": (name.to_string())});
                    if let Some(image) = image {
                        container.set("image", image.to_string());
                    }
                    if let Some(dir) = dir {
                        container.set("workingDir", format!("/{dir}"));
                    }
                    container
                });
            let mut pod = value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
            for (path, value) in [
                (["spec", "containers"], Value::List(containers.collect())),
                (["metadata", "labels"], Value::Map(labels.collect())),
            ] {
                if !value.is_empty() {
                    pod.set_path(&path, value);
                }
            }
            pod
        },
    )
}

fn text(value: &Value) -> String {
    String::from_utf8(json::to_vec(value)).unwrap()
}

/// Names of fields can be long, and conflicts many: what is told of them is bounded, the number is not.
#[test]
fn many_conflicts_are_told_in_part() {
    let labels = |value: &str| {
        let mut labels = Value::map();
        for index in 0..3_000 {
            labels.set(format!("{index}{}", "x".repeat(2_000)), value);
        }
        let mut pod = value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
        pod.set_path(&["metadata", "labels"], labels);
        pod
    };
    let mut state = State::default();
    state.apply("one", &labels("1"));
    let Err(ApplyError::Conflicts(conflicts)) = state.try_apply("two", &labels("2"), false) else {
        panic!("a conflict in every label")
    };
    let text = conflicts.to_string();
    assert!(
        text.starts_with("Apply failed with 3000 conflicts: conflicts with \"one\":\n- .metadata.labels.")
    );
    assert!(text.len() < 256 << 10, "{} bytes", text.len());
    let (_, more) = text.rsplit_once("\nand ").unwrap();
    let more: usize = more.strip_suffix(" more").unwrap().parse().unwrap();
    assert_eq!(conflicts.listed().len() + more, 3_000);
}

#[test]
fn an_object_has_so_many_managers() {
    let mut state = State::default();
    for index in 0..1_000 {
        state.apply(&format!("m{index}"), &pod(value!([{"name": "c", "image": "i"}])));
    }
    let refused = state.try_apply("one more", &pod(value!([{"name": "c"}])), false);
    assert!(matches!(refused, Err(ApplyError::Invalid(_))), "{refused:?}");
    let mut object = state.object.clone();
    state.managers.write(&mut object);
    assert_eq!(Managers::of(&object).unwrap().entries().len(), 1_000);
    object.entry("metadata").entry("managedFields").as_list_mut().unwrap().push(value!({}));
    assert!(Managers::of(&object).unwrap_err().contains("more than 1000"));
}

/// A list that was managed by its items, and is managed as one now, is whole in the hands of who managed parts of it.
#[test]
fn sets_follow_the_schema() {
    let fields = json::parse(
        br#"{"f:spec":{"f:nodeSelector":{"f:disk":{}},"f:containers":{"k:{\"name\":\"c\"}":{"f:args":{"i:0":{}}}}}}"#,
    );
    let mut object = pod(value!([{"name": "c", "image": "i", "args": ["a"]}]));
    object.set_path(&["spec", "nodeSelector"], value!({"disk": "ssd"}));
    let entry = value!({"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": fields.unwrap()});
    object.set_path(&["metadata", "managedFields"], Value::List(vec![entry]));
    let managers = Managers::of(&object).unwrap();
    let mut state = State { object, managers };
    let mut changed = state.object.clone();
    changed.set_path(&["spec", "hostname"], "h".into());
    state.update("u", changed);
    assert_eq!(state.fields("m"), [".spec.nodeSelector", ".spec.containers[name=\"c\"].args"]);
}

#[test]
fn a_path_writes_the_fields_of_its_scope() {
    let fields = |text: &str| FieldSet::from_value(&json::parse(text.as_bytes()).unwrap()).unwrap();
    let all = fields(
        r#"{"f:spec":{".":{},"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:resources":{"f:limits":{}}}}},"f:status":{"f:phase":{}}}"#,
    );
    let status = Scope::without(&[&["status"]]).of(all.clone());
    assert_eq!(
        status,
        fields(
            r#"{"f:spec":{".":{},"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:resources":{"f:limits":{}}}}}}"#
        )
    );
    let within = Scope::Within(&[&["spec", "containers", "*", "resources"]]).of(all.clone());
    assert_eq!(
        within,
        fields(
            r#"{"f:spec":{".":{},"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:resources":{"f:limits":{}}}}}}"#
        )
    );
    assert_eq!(Scope::Whole.of(all.clone()), all);
}

proptest! {
    #[test]
    fn to_apply_twice_is_to_apply_once(first in config(), second in config()) {
        let mut state = State::default();
        state.apply("other", &first);
        state.try_apply("one", &second, true).unwrap();
        let mut again = state.clone();
        again.apply("one", &second);
        prop_assert_eq!(&again.object, &state.object);
        prop_assert_eq!(again.managers, state.managers);
    }

    #[test]
    fn what_nobody_else_wants_goes(first in config(), second in config()) {
        let mut state = State::default();
        state.apply("one", &first);
        state.apply("one", &second);
        let mut only = State::default();
        only.apply("one", &second);
        let def = &*schema::type_by_gvk("", "v1", "Pod").unwrap();
        prop_assert_eq!(fields_of(&state.object, def).paths(), fields_of(&only.object, def).paths());
        prop_assert_eq!(state.managers, only.managers);
    }

    #[test]
    fn two_managers_converge_or_conflict(first in config(), second in config()) {
        let both = |a: (&str, &Value), b: (&str, &Value)| {
            let mut state = State::default();
            state.apply(a.0, a.1);
            state.try_apply(b.0, b.1, false).map(|()| state)
        };
        let (one, other) = (both(("one", &first), ("two", &second)), both(("two", &second), ("one", &first)));
        match (one, other) {
            (Ok(one), Ok(other)) => {
                let def = &*schema::type_by_gvk("", "v1", "Pod").unwrap();
                let change = Comparison::new(&one.object, &other.object, def);
                prop_assert_eq!(change, Comparison::default(), "{} {}", text(&one.object), text(&other.object));
                prop_assert_eq!(one.managers, other.managers);
            }
            (Err(ApplyError::Conflicts(one)), Err(ApplyError::Conflicts(other))) => {
                let fields = |conflicts: crate::Conflicts| {
                    conflicts.listed().into_iter().map(|conflict| conflict.field).collect::<Vec<_>>()
                };
                prop_assert_eq!(fields(one), fields(other));
            }
            (one, other) => prop_assert!(false, "{one:?} {other:?}"),
        }
    }
}
