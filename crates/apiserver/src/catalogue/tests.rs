use kinds::strategy;
use object::TypeMeta;
use schema::ResourceDef;

use super::*;

/// A resource that behaves like ConfigMaps.
fn endpoint(group: &'static str, version: &'static str, plural: &'static str) -> Arc<Endpoint> {
    let model = schema::resource("", "v1", "configmaps").unwrap();
    let names = ResourceDef { group: group.into(), version: version.into(), ..model.clone() };
    Arc::new(Endpoint {
        def: Arc::new(ResourceDef { plural: plural.into(), ..names }).into(),
        strategy: strategy("", "configmaps").into(),
        type_meta: TypeMeta::new(&api_version(group, version), "Widget"),
        collection: None,
        conversion: None,
        terminating: false,
    })
}

impl Catalogue {
    /// The built-in resources, without their objects.
    pub(crate) fn of_table() -> Catalogue {
        Catalogue::default().with(schema::resources().iter().map(|def| {
            Arc::new(Endpoint {
                def: def.into(),
                strategy: strategy(&def.group, &def.plural).into(),
                type_meta: TypeMeta::new(&api_version(&def.group, &def.version), &def.kind),
                collection: None,
                conversion: None,
                terminating: false,
            })
        }))
    }
}

fn names(catalogue: &Catalogue) -> Vec<String> {
    let name = |endpoint: &Arc<Endpoint>| format!("{}/{}", endpoint.api_version(), endpoint.def.plural);
    catalogue.endpoints().map(name).collect()
}

#[test]
fn generations_share_what_did_not_change() {
    let widgets = endpoint("example.com", "v1", "widgets");
    let first = Catalogue::default().with([endpoint("apps", "v1", "deployments"), Arc::clone(&widgets)]);
    let second =
        first.with([endpoint("example.com", "v1", "gadgets"), endpoint("example.com", "v2", "widgets")]);
    assert_eq!(names(&first), ["apps/v1/deployments", "example.com/v1/widgets"]);
    assert_eq!(
        names(&second),
        ["apps/v1/deployments", "example.com/v1/gadgets", "example.com/v1/widgets", "example.com/v2/widgets"]
    );
    assert!(second.generation() > first.generation());
    let [apps, example] =
        [0, 1].map(|at| Arc::ptr_eq(&first.group_versions()[at], &second.group_versions()[at]));
    assert!(apps && !example);
    assert!(Arc::ptr_eq(second.endpoint("example.com", "v1", "widgets").unwrap(), &widgets));
    assert!(second.endpoint("example.com", "v3", "widgets").is_none());

    let of_resource = |group, plural| second.of_resource(GroupResource::new(group, plural));
    assert!(Arc::ptr_eq(of_resource("example.com", "widgets").unwrap(), &widgets), "the first version");
    assert_eq!(of_resource("example.com", "gadgets").unwrap().api_version(), "example.com/v1");
    assert!(of_resource("apps", "widgets").is_none() && of_resource("batch", "jobs").is_none());

    let third = second.without("example.com", "widgets");
    assert_eq!(names(&third), ["apps/v1/deployments", "example.com/v1/gadgets"]);
    assert_eq!(names(&second).len(), 4, "who holds a generation still sees all of it");
}

#[test]
fn an_entry_takes_the_place_of_the_one_with_its_name() {
    let first = Catalogue::default().with([endpoint("example.com", "v1", "widgets")]);
    let other = endpoint("example.com", "v1", "widgets");
    let second = first.with([Arc::clone(&other)]);
    assert_eq!(names(&second), names(&first));
    assert!(Arc::ptr_eq(second.endpoint("example.com", "v1", "widgets").unwrap(), &other));
}
