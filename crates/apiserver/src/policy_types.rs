//! Types of ValidatingAdmissionPolicies: their expressions are checked against the kinds that they are for, and what does
//! not fit is told in their status, without effect on requests (upstream: the validatingadmissionpolicy-status
//! controller).

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cel::Type;
use object::field::Path;
use object::{Status, Value, value};
use rules::admission::{Compiler, Scope};
use schema::{GroupResource, TypeRef};

use crate::cache::{CacheError, Collection, Watcher};
use crate::registry::{Endpoint, Registry};

const GROUP: &str = "admissionregistration.k8s.io";
const PLURAL: &str = "validatingadmissionpolicies";
/// How many kinds a policy is checked against.
const KINDS_MAX: usize = 10;
/// How long a failure is waited for before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the policies in a separate task, for as long as the registry lives and the store is open.
pub(crate) fn run(registry: &Arc<Registry>) {
    let endpoint = registry.endpoint(GROUP, "v1", PLURAL);
    let Some(collection) = endpoint.and_then(|endpoint| endpoint.collection.clone()) else { return };
    let registry = Arc::downgrade(registry);
    tokio::spawn(async move {
        while let Some(hub) = registry.upgrade().map(|registry| Arc::clone(&registry.hub)) {
            let (snapshot, watcher) = Watcher::with_snapshot(&collection, &hub);
            drop(hub);
            let pending = snapshot.objects.values().map(|policy| policy.name().to_owned()).collect();
            match follow(&registry, &collection, watcher, pending).await {
                CacheError::TooOld { .. } => {}
                _ => return,
            }
        }
    });
}

async fn follow(
    registry: &Weak<Registry>,
    collection: &Collection,
    mut watcher: Watcher,
    mut pending: BTreeSet<String>,
) -> CacheError {
    let mut failed = BTreeSet::new();
    loop {
        while let Some(name) = pending.pop_first() {
            let Some(registry) = registry.upgrade() else { return CacheError::Ended };
            match sync(&registry, collection, &name).await {
                // The next event shows what has changed, or that it is gone.
                Err(status) if !matches!(status.code, 404 | 409) => {
                    tracing::warn!(name, error = status.message, "cannot write the status of a policy");
                    failed.insert(name);
                }
                _ => {}
            }
        }
        tokio::select! {
            changes = watcher.next() => match changes {
                Ok(changes) => pending.extend(changes.iter().map(|change| change.object.name().to_owned())),
                Err(error) => return error,
            },
            () = tokio::time::sleep(RETRY), if !failed.is_empty() => pending.append(&mut failed),
        }
    }
}

/// Checks a policy that was not checked since it changed.
async fn sync(registry: &Arc<Registry>, collection: &Collection, name: &str) -> Result<(), Status> {
    let Some(version) = collection.get("", name) else { return Ok(()) };
    let mut policy = version.value();
    let generation = policy.at("metadata.generation").clone();
    if version.is_deleting() || policy.at("status.observedGeneration") == &generation {
        return Ok(());
    }
    // As many expressions as fit into a policy, each for several kinds: apart from the threads that serve requests.
    let (own, spec) = (Arc::clone(registry), policy.get("spec").clone());
    let warnings = tokio::task::spawn_blocking(move || warnings(&own, &spec)).await;
    let warnings = warnings.map_err(|_| Status::internal_error("cannot check the types of a policy"))?;
    let mut checked = value!({});
    if !warnings.is_empty() {
        checked.set("expressionWarnings", warnings);
    }
    policy.set_path(&["status", "observedGeneration"], generation);
    policy.set_path(&["status", "typeChecking"], checked);
    registry.write_status(GroupResource::new(GROUP, PLURAL), name, policy, "kube-controller-manager").await
}

/// A kind that a policy is for.
struct Kind {
    /// As messages show it: `apps/v1, Kind=Deployment`.
    shown: String,
    compiler: Compiler,
}

/// What does not fit, as `expressionWarnings` of the status.
fn warnings(registry: &Registry, spec: &Value) -> Vec<Value> {
    let kinds = kinds(registry, spec);
    let root = Path::root("spec");
    let validations = root.child("validations");
    let mut found = Vec::new();
    for (index, validation) in spec.get("validations").items().enumerate() {
        let at = validations.index(index);
        for member in ["expression", "messageExpression"] {
            let text = validation.str_at(member);
            let told = |kind: &Kind| {
                let why = kind.compiler.check(text).err()?;
                Some(format!("{}: {why}\n", kind.shown))
            };
            let warning: Vec<String> = match text.is_empty() {
                true => Vec::new(),
                false => kinds.iter().filter_map(told).collect(),
            };
            if !warning.is_empty() {
                let place = at.child(member).to_string();
                found.push(value!({"fieldRef": place, "warning": (warning.join("\n"))}));
            }
        }
    }
    found
}

/// The kinds that the rules of a policy name without wildcards, in the order of their names.
fn kinds(registry: &Registry, spec: &Value) -> Vec<Kind> {
    let catalogue = registry.catalogue.load();
    let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
    for rule in spec.at("matchConstraints.resourceRules").items() {
        let names =
            |member: &str| -> Vec<&str> { rule.get(member).items().filter_map(Value::as_str).collect() };
        let (groups, versions, plurals) = (names("apiGroups"), names("apiVersions"), names("resources"));
        if groups.iter().chain(&versions).any(|name| name.contains('*')) {
            continue;
        }
        for group in &groups {
            for version in &versions {
                for plural in plurals.iter().filter(|name| !name.contains(['*', '/'])) {
                    endpoints.extend(catalogue.endpoint(group, version, plural).cloned());
                }
            }
        }
    }
    let key = |endpoint: &Arc<Endpoint>| {
        let def = &endpoint.def;
        (def.group.to_string(), def.version.to_string(), def.kind.to_string())
    };
    endpoints.sort_by_key(key);
    endpoints.dedup_by_key(|endpoint| key(endpoint));
    endpoints.truncate(KINDS_MAX);
    let params = params_type(registry, spec.get("paramKind"));
    endpoints.iter().map(|endpoint| kind(endpoint, params.as_ref(), spec)).collect()
}

/// The type of a policy's parameters, if it has some of a kind that is served.
fn params_type(registry: &Registry, kind: &Value) -> Option<TypeRef> {
    let catalogue = registry.catalogue.load();
    let of_kind = |endpoint: &&Arc<Endpoint>| {
        endpoint.api_version() == kind.str_at("apiVersion") && endpoint.def.kind == kind.str_at("kind")
    };
    catalogue.endpoints().find(of_kind).map(|endpoint| endpoint.def.ty.clone())
}

fn kind(endpoint: &Endpoint, params: Option<&TypeRef>, spec: &Value) -> Kind {
    let def = &endpoint.def;
    let object = rules::shape_of_type(&def.ty, &def.kind);
    let dynamic = || Arc::new(cel::Shape::dynamic());
    let of_params = params.map_or_else(dynamic, |ty| rules::shape_of_type(ty, "params"));
    let has_params = !spec.get("paramKind").is_null();
    let scope = Scope { params: has_params, authorizer: true, variables: true, patches: false };
    let mut compiler = Compiler::typed(scope, &object, &of_params);
    for variable in spec.get("variables").items() {
        let kind = compiler.check(variable.str_at("expression")).unwrap_or(Type::Dyn);
        compiler.add_variable(variable.str_at("name"), kind);
    }
    Kind { shown: format!("{}, Kind={}", endpoint.api_version(), def.kind), compiler }
}
