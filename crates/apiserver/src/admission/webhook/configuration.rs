//! The webhooks of all configurations of a kind, as the plugins use them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object::{Status, Value};
use parking_lot::Mutex;
use schema::GroupResource;

use super::client::Client;
use super::version::Version;
use crate::admission::conditions::Conditions;
use crate::admission::decisions::Decisions;
use crate::admission::expression::{Seen, request};
use crate::admission::manifest::{Manifests, Owner, Source};
use crate::admission::matching::{Asked, Criteria, View};
use crate::admission::{Attributes, ManifestError, Objects, Reader, is_question};

/// The group of all configurations of admission.
pub(super) const GROUP: &str = "admissionregistration.k8s.io";
/// The time of a webhook whose configuration, against its defaults, says nothing.
const TIMEOUT_SECONDS: i64 = 10;

/// A webhook.
pub(super) struct Hook {
    /// Configuration, name and place: two webhooks may have one name.
    pub(super) id: Arc<str>,
    pub(super) name: String,
    pub(super) criteria: Criteria,
    /// Its `matchConditions`.
    conditions: Conditions,
    /// Whether failures are ignored.
    pub(super) ignores_failures: bool,
    /// Whether it may be asked about dry runs; `None` if the configuration says nothing.
    pub(super) is_without_effects: Option<bool>,
    /// The first version of reviews that it understands and this server as well.
    pub(super) review: Option<Version>,
    pub(super) timeout: Duration,
    /// Whether it wants to see the object again after changes.
    pub(super) wants_reinvocation: bool,
    pub(super) client: Client,
}

impl Hook {
    /// Reads a webhook of a configuration with this name.
    pub(super) fn read(configuration: &str, index: usize, hook: &Value) -> Hook {
        let name = hook.str_at("name").to_owned();
        let timeout = hook.get("timeoutSeconds").as_i64().unwrap_or(TIMEOUT_SECONDS);
        let effects = hook.get("sideEffects").as_str();
        Hook {
            id: format!("{configuration}/{name}/{index}").into(),
            criteria: Criteria::of_webhook(hook),
            conditions: Conditions::read(hook.get("matchConditions"), false),
            ignores_failures: hook.str_at("failurePolicy") == "Ignore",
            is_without_effects: effects.map(|effects| matches!(effects, "None" | "NoneOnDryRun")),
            review: hook.get("admissionReviewVersions").items().find_map(Version::read),
            timeout: Duration::from_secs(u64::try_from(timeout).unwrap_or(1).max(1)),
            wants_reinvocation: hook.str_at("reinvocationPolicy") == "IfNeeded",
            client: Client::new(hook.get("clientConfig")),
            name,
        }
    }

    /// Whether a request meets the webhook's conditions, in the version that it wants to see.
    ///
    /// # Errors
    /// 403 if they cannot be evaluated and the webhook must not be missed.
    pub(super) async fn meets_conditions(
        &self,
        asked: &Asked<'_>,
        view: &View,
        decisions: &Decisions<'_>,
    ) -> Result<bool, Status> {
        if self.conditions.is_empty() {
            return Ok(true);
        }
        let request = request(asked.what, &asked.own, &view.shape);
        let (object, old, none) = (&view.object, &view.old, &Value::Null);
        let seen = Seen { object, old, request: &request, namespace: none, params: none };
        match self.conditions.are_met(seen, decisions).await {
            Ok(met) => Ok(met),
            Err(_) if self.ignores_failures => Ok(false),
            Err(why) => Err(asked.what.forbidden(&why)),
        }
    }
}

/// The webhooks for a request, in their order: those from files come first.
pub(super) struct Hooks {
    manifests: Option<Arc<Vec<Arc<Hook>>>>,
    installed: Option<Arc<Vec<Arc<Hook>>>>,
}

impl Hooks {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Hook>> + Clone {
        self.manifests.iter().chain(&self.installed).flat_map(|hooks| hooks.iter())
    }

    /// `None` if there are none.
    fn some(self) -> Option<Hooks> {
        Some(self).filter(|hooks| hooks.manifests.is_some() || hooks.installed.is_some())
    }
}

/// The configurations of a kind, read again where they have changed.
pub(super) struct Configurations {
    resource: GroupResource<'static>,
    manifests: Option<Arc<Source<Vec<Arc<Hook>>>>>,
    read: Mutex<Read>,
    /// Whether webhooks were read that may be gone now.
    has_read: AtomicBool,
}

#[derive(Default)]
struct Read {
    /// The objects that were read.
    objects: Objects,
    /// Their webhooks, in the order of the configurations' names and within each.
    hooks: Arc<Vec<Arc<Hook>>>,
    /// The webhooks of each version of a configuration, with their connections.
    by_version: HashMap<(String, u64), Vec<Arc<Hook>>>,
}

impl Configurations {
    /// # Errors
    /// The manifests of the plugin cannot be used.
    pub(super) fn new(
        plural: &'static str,
        manifests: &Manifests,
        owner: Owner,
    ) -> Result<Configurations, ManifestError> {
        let manifests = Source::start(manifests, owner, |loaded| {
            loaded.objects.iter().flat_map(|object| read_all("manifest/", object)).collect()
        })?;
        let (resource, has_read) = (GroupResource::new(GROUP, plural), AtomicBool::new(false));
        Ok(Configurations { resource, manifests, read: Mutex::default(), has_read })
    }

    /// The current webhooks for a request; `None` if there are none. `installed` says whether those of the API are for it,
    /// and `changed` is called with them and those from files when they have changed.
    pub(super) fn hooks(
        &self,
        what: &Attributes<'_>,
        installed: bool,
        changed: impl FnOnce(&Hooks),
    ) -> Option<Hooks> {
        if is_question(what) {
            return None;
        }
        let manifests =
            self.manifests.as_ref().map(|source| source.current()).filter(|hooks| !hooks.is_empty());
        let mut hooks = Hooks { manifests, installed: None };
        if installed && let Some((installed, is_new)) = self.installed(what.reader) {
            hooks.installed = Some(installed);
            if is_new {
                changed(&hooks);
            }
        }
        hooks.installed = hooks.installed.filter(|hooks| !hooks.is_empty());
        hooks.some()
    }

    /// The webhooks of the API, and whether they have changed.
    fn installed(&self, reader: &dyn Reader) -> Option<(Arc<Vec<Arc<Hook>>>, bool)> {
        let objects = reader.all(self.resource);
        // The way of almost every request: nothing is locked.
        if objects.is_empty() && !self.has_read.load(Ordering::Acquire) {
            return None;
        }
        let mut read = self.read.lock();
        let is_new = !read.objects.ptr_eq(&objects);
        if is_new {
            *read = Read::of(objects, &mut read.by_version);
            self.has_read.store(!read.hooks.is_empty(), Ordering::Release);
        }
        Some((Arc::clone(&read.hooks), is_new))
    }
}

impl Read {
    /// Webhooks of configurations that have not changed stay, with their connections.
    fn of(objects: Objects, before: &mut HashMap<(String, u64), Vec<Arc<Hook>>>) -> Read {
        let mut by_version = HashMap::new();
        let mut all = Vec::new();
        for configuration in objects.values() {
            let version = (configuration.uid().as_str().to_owned(), configuration.resource_version());
            let hooks = before.remove(&version).unwrap_or_else(|| read_all("", &configuration.value()));
            all.extend(hooks.iter().cloned());
            by_version.insert(version, hooks);
        }
        Read { objects, hooks: Arc::new(all), by_version }
    }
}

/// The webhooks of a configuration; `origin` tells those of the API and of files apart.
fn read_all(origin: &str, configuration: &Value) -> Vec<Arc<Hook>> {
    let name = format!("{origin}{}", configuration.str_at("metadata.name"));
    let hooks = configuration.get("webhooks").items().enumerate();
    hooks.map(|(index, hook)| Arc::new(Hook::read(&name, index, hook))).collect()
}
