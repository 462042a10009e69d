//! The operations of the API: all paths and their methods.
//!
//! They are derived from the table of resources (upstream: `apiserver/pkg/endpoints/installer.go`); the writers of the
//! documents format them.

use std::borrow::Cow;

use schema::{ResourceDef, Scope, SubresourceDef, TypeRef, Verb};

use super::definitions::list_name;
use super::parameters::{self, Parameter, Place};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Group, version and kind.
pub(super) type Gvk<'a> = (&'a str, &'a str, &'a str);

/// The answer of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// An object of this type.
    Object(String),
    /// Text or a stream.
    Text,
}

/// The encodings of an operation's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Produces {
    /// Those of objects.
    Objects,
    /// Those of objects, and of streams of them.
    Streams,
    /// Text, or a Status in the encodings of objects.
    Log,
    /// Only JSON.
    Json,
    /// The keys of tokens.
    Keys,
    /// Whatever the target sends.
    Anything,
}

/// One method on one path.
#[derive(Clone, Debug)]
pub(super) struct Operation<'a> {
    pub(super) path: String,
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) tag: String,
    pub(super) action: Option<&'static str>,
    pub(super) gvk: Option<Gvk<'a>>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) produces: Produces,
    pub(super) payload: Payload,
    /// The codes of success.
    pub(super) codes: &'static [u16],
    /// Of a custom resource, which has no protobuf form and no strategic merge.
    pub(super) is_custom: bool,
}

/// The kinds whose deletion answers with the object instead of a Status.
const RETURNS_DELETED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ResourceQuota",
            "Service",
            "ServiceAccount",
        ],
    ),
    (
        "resource.k8s.io",
        &["DeviceClass", "DeviceTaintRule", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"],
    ),
    (
        "storage.k8s.io",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
    ),
];

/// `RbacAuthorization` of `rbac.authorization.k8s.io`.
fn group_words(group: &str) -> String {
    if group.is_empty() {
        return "Core".into();
    }
    group.trim_end_matches(".k8s.io").split('.').map(capitalized).collect()
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// `rbacAuthorization` of `rbac.authorization.k8s.io`.
pub(super) fn group_tag(group: &str) -> String {
    let words = group_words(group);
    let mut characters = words.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

/// The operations of one group version, in the order of the resources.
pub(super) fn of_group_version<'a>(
    group: &'a str,
    version: &'a str,
    resources: &[&'a ResourceDef],
    texts: &openapi::Descriptions,
) -> Vec<Operation<'a>> {
    let prefix =
        if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let words = format!("{}{}", group_words(group), capitalized(version));
    let tag = format!("{}_{version}", group_tag(group));
    let mut operations = vec![Operation {
        path: format!("{prefix}/"),
        method: "get",
        id: format!("get{words}APIResources"),
        tag: tag.clone(),
        action: None,
        gvk: None,
        parameters: Vec::new(),
        produces: Produces::Objects,
        payload: Payload::Object(format!("{META}.APIResourceList")),
        codes: &[200],
        is_custom: false,
    }];
    for def in resources {
        let mut writer = ResourceWriter { def, prefix: &prefix, words: &words, tag: &tag, texts, operations };
        writer.write();
        operations = writer.operations;
    }
    operations
}

/// A path without resources below it.
pub(super) fn plain(
    path: &str,
    id: String,
    tag: &str,
    produces: Produces,
    ty: Option<&str>,
) -> Operation<'static> {
    Operation {
        path: path.to_owned(),
        method: "get",
        id,
        tag: tag.to_owned(),
        action: None,
        gvk: None,
        parameters: Vec::new(),
        produces,
        payload: ty.map_or(Payload::Text, |ty| Payload::Object(format!("io.k8s.apimachinery.pkg.{ty}"))),
        codes: &[200],
        is_custom: false,
    }
}

/// The operation on `/apis/GROUP/`.
pub(super) fn of_group(group: &str) -> Operation<'static> {
    let id = format!("get{}APIGroup", group_words(group));
    let path = format!("/apis/{group}/");
    plain(&path, id, &group_tag(group), Produces::Objects, Some("apis.meta.v1.APIGroup"))
}

/// The operations on discovery of all groups, the version and the keys of tokens, each with the name of its
/// document.
pub(super) fn plain_paths() -> Vec<(&'static str, Operation<'static>)> {
    let objects = Produces::Objects;
    vec![
        (
            ".well-known/openid-configuration",
            plain(
                "/.well-known/openid-configuration/",
                "getServiceAccountIssuerOpenIDConfiguration".into(),
                "WellKnown",
                Produces::Json,
                None,
            ),
        ),
        (
            "api",
            plain("/api/", "getCoreAPIVersions".into(), "core", objects, Some("apis.meta.v1.APIVersions")),
        ),
        (
            "apis",
            plain("/apis/", "getAPIVersions".into(), "apis", objects, Some("apis.meta.v1.APIGroupList")),
        ),
        (
            "openid/v1/jwks",
            plain(
                "/openid/v1/jwks/",
                "getServiceAccountIssuerOpenIDKeyset".into(),
                "openid",
                Produces::Keys,
                None,
            ),
        ),
        (
            "version",
            plain("/version/", "getCodeVersion".into(), "version", Produces::Json, Some("version.Info")),
        ),
    ]
}

/// Writes the operations of one resource.
struct ResourceWriter<'w, 'a> {
    def: &'a ResourceDef,
    prefix: &'w str,
    words: &'w str,
    tag: &'w str,
    texts: &'w openapi::Descriptions,
    operations: Vec<Operation<'a>>,
}

impl<'a> ResourceWriter<'_, 'a> {
    fn namespaced(&self) -> bool {
        self.def.scope == Scope::Namespaced
    }

    /// The part between prefix and resource.
    fn namespace_path(&self) -> &'static str {
        if self.namespaced() { "/namespaces/{namespace}" } else { "" }
    }

    /// `CoreV1NamespacedPod`.
    fn subject(&self) -> String {
        format!("{}{}{}", self.words, if self.namespaced() { "Namespaced" } else { "" }, self.def.kind)
    }

    fn gvk(&self) -> Gvk<'a> {
        (&self.def.group, &self.def.version, &self.def.kind)
    }

    /// Adds an operation on an object or a collection; `path` starts after the prefix.
    fn push(
        &mut self,
        path: String,
        method: &'static str,
        id: String,
        action: &'static str,
    ) -> &mut Operation<'a> {
        let mut parameters = Vec::new();
        if path.contains("{name}") {
            parameters.push(Parameter::path("name", format!("The name of the {}.", self.def.kind)));
        }
        if path.contains("{namespace}") {
            parameters.push(Parameter::path("namespace", "The namespace."));
        }
        parameters.push(Parameter::query("pretty"));
        let operation = Operation {
            path: format!("{}{path}", self.prefix),
            method,
            id,
            tag: self.tag.to_owned(),
            action: Some(action),
            gvk: Some(self.gvk()),
            parameters,
            produces: Produces::Objects,
            payload: Payload::Object(self.def.ty.name.to_string()),
            codes: &[200],
            is_custom: matches!(self.def.ty, TypeRef::Shared(_)),
        };
        self.operations.push(operation);
        self.operations.last_mut().expect("an operation was pushed")
    }

    fn write(&mut self) {
        let collection = format!("{}/{}", self.namespace_path(), self.def.plural);
        let item = format!("{collection}/{{name}}");
        self.collection(&collection);
        self.item(&item);
        for subresource in self.def.subresources.iter() {
            self.subresource(&item, subresource);
        }
        self.watches(&collection, &item);
    }

    fn collection(&mut self, path: &str) {
        let def = self.def;
        let subject = self.subject();
        if def.supports(Verb::List) {
            let mut paths = vec![(path.to_owned(), format!("list{subject}"))];
            if self.namespaced() {
                let id = format!("list{}{}ForAllNamespaces", self.words, def.kind);
                paths.push((format!("/{}", def.plural), id));
            }
            for (path, id) in paths {
                let list = Payload::Object(list_name(self.def));
                let operation = self.push(path, "get", id, "list");
                operation.parameters.extend(Parameter::queries(parameters::LIST));
                operation.produces = Produces::Streams;
                operation.payload = list;
            }
        }
        if def.supports(Verb::Create) {
            let operation = self.push(path.to_owned(), "post", format!("create{subject}"), "post");
            operation.parameters.push(Parameter::body(&def.ty.name, true));
            operation.parameters.extend(Parameter::queries(parameters::WRITE));
            operation.codes = &[200, 201, 202];
        }
        if def.supports(Verb::DeleteCollection) {
            let place = if self.namespaced() { "Namespaced" } else { "" };
            let id = format!("delete{}Collection{place}{}", self.words, def.kind);
            let operation = self.push(path.to_owned(), "delete", id, "deletecollection");
            operation.parameters.push(Parameter::body(&format!("{META}.DeleteOptions"), false));
            operation.parameters.extend(Parameter::queries(parameters::SELECT));
            operation.parameters.extend(Parameter::queries(parameters::DELETE));
            operation.payload = Payload::Object(format!("{META}.Status"));
        }
    }

    fn item(&mut self, path: &str) {
        let def = self.def;
        let subject = self.subject();
        if def.supports(Verb::Get) {
            self.push(path.to_owned(), "get", format!("read{subject}"), "get");
        }
        self.writes(path, &subject, "", &def.verbs, &def.ty.name, self.gvk());
        if def.supports(Verb::Delete) {
            let operation = self.push(path.to_owned(), "delete", format!("delete{subject}"), "delete");
            operation.parameters.push(Parameter::body(&format!("{META}.DeleteOptions"), false));
            operation.parameters.extend(Parameter::queries(parameters::DELETE));
            operation.codes = &[200, 202];
            let returned = RETURNS_DELETED
                .iter()
                .any(|(group, kinds)| *group == def.group && kinds.contains(&&*def.kind));
            if !returned {
                operation.payload = Payload::Object(format!("{META}.Status"));
            }
        }
    }

    /// `put` and `patch` of an object or a part of one.
    fn writes(&mut self, path: &str, subject: &str, part: &str, verbs: &[Verb], ty: &str, gvk: Gvk<'a>) {
        if verbs.contains(&Verb::Update) {
            let operation = self.push(path.to_owned(), "put", format!("replace{subject}{part}"), "put");
            operation.parameters.push(Parameter::body(ty, true));
            operation.parameters.extend(Parameter::queries(parameters::WRITE));
            operation.codes = &[200, 201];
            operation.payload = Payload::Object(ty.to_owned());
            operation.gvk = Some(gvk);
        }
        if verbs.contains(&Verb::Patch) {
            let operation = self.push(path.to_owned(), "patch", format!("patch{subject}{part}"), "patch");
            operation.parameters.push(Parameter::body(&format!("{META}.Patch"), true));
            operation.parameters.extend(Parameter::queries(parameters::PATCH));
            operation.codes = &[200, 201];
            operation.payload = Payload::Object(ty.to_owned());
            operation.gvk = Some(gvk);
        }
    }

    fn subresource(&mut self, item: &str, subresource: &'a SubresourceDef) {
        let path = format!("{item}/{}", subresource.name);
        let subject = self.subject();
        let part = match &*subresource.name {
            "ephemeralcontainers" => "Ephemeralcontainers".to_owned(),
            name => capitalized(name),
        };
        let Some(ty) = &subresource.ty else {
            return if subresource.name == "log" {
                self.log(path)
            } else {
                self.connect(path, &part, subresource)
            };
        };
        let gvk: Gvk<'a> = (&subresource.group, &subresource.version, &subresource.kind);
        if subresource.verbs.contains(&Verb::Get) {
            let operation = self.push(path.clone(), "get", format!("read{subject}{part}"), "get");
            operation.payload = Payload::Object(ty.name.to_string());
            operation.gvk = Some(gvk);
        }
        if subresource.verbs.contains(&Verb::Create) {
            let operation = self.push(path.clone(), "post", format!("create{subject}{part}"), "post");
            operation.parameters.push(Parameter::body(&ty.name, true));
            operation.parameters.extend(Parameter::queries(parameters::WRITE));
            operation.codes = &[200, 201, 202];
            operation.payload = Payload::Object(ty.name.to_string());
            operation.gvk = Some(gvk);
        }
        self.writes(&path, &subject, &part, &subresource.verbs, &ty.name, gvk);
    }

    fn log(&mut self, path: String) {
        let id = format!("read{}Log", self.subject());
        let options = schema::type_by_gvk("", "v1", "PodLogOptions");
        let options = options.map(|ty| parameters::of_options(&ty, self.texts)).unwrap_or_default();
        let operation = self.push(path, "get", id, "get");
        operation.parameters.extend(options);
        operation.produces = Produces::Log;
        operation.payload = Payload::Text;
    }

    /// Streams: `exec`, `attach`, `portforward` and the proxies, which also have a path with a rest.
    fn connect(&mut self, path: String, part: &str, subresource: &'a SubresourceDef) {
        let subject = self.subject();
        let options = schema::type_by_gvk(&subresource.group, &subresource.version, &subresource.kind);
        let options = options.map(|ty| parameters::of_options(&ty, self.texts)).unwrap_or_default();
        let is_proxy = subresource.name == "proxy";
        let methods: &[&'static str] = if is_proxy {
            &["delete", "get", "head", "options", "patch", "post", "put"]
        } else {
            &["get", "post"]
        };
        let mut paths = vec![(path.clone(), "")];
        if is_proxy {
            paths.push((format!("{path}/{{path}}"), "WithPath"));
        }
        for (path, with) in paths {
            for method in methods {
                let id = subject.replacen(self.words, "", 1);
                let id = format!("connect{}{}{id}{part}{with}", self.words, capitalized(method));
                let operation = self.push(path.clone(), method, id, "connect");
                operation.parameters.retain(|parameter| parameter.place == Place::Path);
                if !with.is_empty() {
                    operation
                        .parameters
                        .push(Parameter::path("path", Cow::Borrowed("The path behind the proxy.")));
                }
                operation.parameters.extend(options.iter().cloned());
                operation.produces = Produces::Anything;
                operation.payload = Payload::Text;
                // Not the resource's kind, as in upstream's newest documents: kubectl uses the first `patch` of a kind
                // to find out whether the server validates fields, and this one does not.
                operation.gvk = Some((&subresource.group, &subresource.version, &subresource.kind));
            }
        }
    }

    /// The deprecated paths that start with `/watch/`.
    fn watches(&mut self, collection: &str, item: &str) {
        let def = self.def;
        if !def.supports(Verb::Watch) {
            return;
        }
        let subject = self.subject();
        let mut paths = vec![
            (format!("/watch{collection}"), format!("watch{subject}List"), "watchlist"),
            (format!("/watch{item}"), format!("watch{subject}"), "watch"),
        ];
        if self.namespaced() {
            let id = format!("watch{}{}ListForAllNamespaces", self.words, def.kind);
            paths.push((format!("/watch/{}", def.plural), id, "watchlist"));
        }
        for (path, id, action) in paths {
            let operation = self.push(path, "get", id, action);
            operation.parameters.extend(Parameter::queries(parameters::LIST));
            operation.produces = Produces::Streams;
            operation.payload = Payload::Object(format!("{META}.WatchEvent"));
        }
    }
}
