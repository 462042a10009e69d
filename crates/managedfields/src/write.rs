//! What a write does to the managers of an object.

use std::sync::LazyLock;

use object::Value;
use schema::TypeDef;

use crate::compare::Comparison;
use crate::conflict::Conflicts;
use crate::fields::{fields_of, with_named};
use crate::last_applied;
use crate::managers::{Entry, MANAGERS_MAX, Managers, Operation};
use crate::merge::merge;
use crate::place::Place;
use crate::reconcile::reconcile;
use crate::remove::remove;
use crate::scope::Scope;
use crate::set::FieldSet;
use crate::versions::Versions;

/// Who manages what an object had before it was first applied to.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// A write.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The manager's name.
    pub manager: &'a str,
    /// The version of the API in which it writes.
    pub api_version: &'a str,
    /// The subresource through which it writes; empty for the object itself.
    pub subresource: &'a str,
    /// The time in RFC 3339.
    pub now: &'a str,
    /// The fields that a write through this path changes.
    pub scope: &'a Scope,
}

impl Write<'_> {
    fn entry(&self, manager: &str, operation: Operation, fields: FieldSet) -> Entry {
        Entry {
            manager: manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            time: self.now.to_owned(),
            subresource: self.subresource.to_owned(),
            fields,
        }
    }
}

/// Why a configuration was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others manage fields that it would change.
    #[error("{0}")]
    Conflicts(Conflicts),
    /// The configuration is not of its type, or cannot be converted.
    #[error("{0}")]
    Invalid(String),
}

/// The managers after a write other than an apply: its manager takes the fields that it changed. An object without
/// managers that exists already stays without.
///
/// # Errors
/// The text of a conversion's error.
pub async fn update(
    versions: &dyn Versions,
    live: &Value,
    new: &Value,
    managers: Managers,
    write: &Write<'_>,
) -> Result<Managers, String> {
    if managers.is_empty() && !live.str_at("metadata.uid").is_empty() {
        return Ok(managers);
    }
    let managers = reconcile(versions, managers);
    update_as(versions, live, new, managers, write, write.manager).await
}

async fn update_as(
    versions: &dyn Versions,
    live: &Value,
    new: &Value,
    managers: Managers,
    write: &Write<'_>,
    manager: &str,
) -> Result<Managers, String> {
    let change = Changed { versions, live, new, write };
    let (comparison, mut managers, _) = change.take(managers, None).await?;
    let taken = comparison.modified.union(comparison.added).difference(&UNTRACKED);
    if !taken.is_empty() {
        let mut entry = write.entry(manager, Operation::Update, taken);
        match managers.0.iter_mut().find(|other| other.is_same_manager(&entry)) {
            Some(same) => {
                entry.fields = entry.fields.union(std::mem::take(&mut same.fields));
                *same = entry;
            }
            None => managers.0.push(entry),
        }
    }
    managers.settle();
    Ok(managers)
}

/// The fields that nobody manages: what identifies an object, and what the server sets.
static UNTRACKED: LazyLock<FieldSet> = LazyLock::new(|| {
    let mut set = FieldSet::default();
    let field = |name: &'static str| crate::Element::Field(name.into());
    for name in ["apiVersion", "kind", "metadata"] {
        set.insert(&[field(name)]);
    }
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.insert(&[field("metadata"), field(name)]);
    }
    set
});

/// Two states of an object, and the write between them.
struct Changed<'a> {
    versions: &'a dyn Versions,
    live: &'a Value,
    new: &'a Value,
    write: &'a Write<'a>,
}

impl Changed<'_> {
    /// Takes from all managers, but for the one at `except`, the fields that changed or are gone. Returns the change in
    /// the write's version, and what the managers lost although their values are still wanted: the conflicts.
    async fn take(
        &self,
        managers: Managers,
        except: Option<&Entry>,
    ) -> Result<(Comparison, Managers, Conflicts), String> {
        let own = self.compare(self.write.api_version).await?.ok_or("the version is not served")?;
        let mut others: Vec<(String, Comparison)> = Vec::new();
        let (mut left, mut conflicts) = (Vec::new(), Conflicts::default());
        for mut entry in managers.0 {
            if except.is_some_and(|except| except.is_same_manager(&entry)) {
                left.push(entry);
                continue;
            }
            let version = &entry.api_version;
            if version != self.write.api_version && !others.iter().any(|(known, _)| known == version) {
                // Nothing is known of a version that is no longer served.
                let Some(comparison) = self.compare(version).await? else { continue };
                others.push((version.clone(), comparison));
            }
            let comparison =
                others.iter().find(|(known, _)| known == version).map_or(&own, |(_, other)| other);
            let taken = entry
                .fields
                .intersection(&comparison.modified)
                .union(entry.fields.intersection(&comparison.added));
            entry.fields = entry.fields.difference(&taken).difference(&comparison.removed);
            if !taken.is_empty() {
                conflicts.add(entry.to_string(), taken);
            }
            left.push(entry);
        }
        Ok((own, Managers(left), conflicts))
    }

    /// The change as a version shows it; `None` if the API has no such version.
    async fn compare(&self, api_version: &str) -> Result<Option<Comparison>, String> {
        let Some(def) = self.versions.type_of(api_version) else { return Ok(None) };
        let comparison = if api_version == self.write.api_version {
            Comparison::new(self.live, self.new, &def)
        } else {
            let live = self.versions.convert(self.live, api_version).await?;
            let new = self.versions.convert(self.new, api_version).await?;
            Comparison::new(&live, &new, &def)
        };
        Ok(Some(comparison.within(self.write.scope)))
    }
}

/// Applies a configuration to an object; to a zero object without UID if there is none yet. Returns the new object, and its
/// managers.
///
/// # Errors
/// [`ApplyError`]
pub async fn apply(
    versions: &dyn Versions,
    live: &Value,
    config: &Value,
    managers: Managers,
    write: &Write<'_>,
    force: bool,
) -> Result<(Value, Managers), ApplyError> {
    let def = versions.type_of(write.api_version);
    let def = def.ok_or_else(|| ApplyError::Invalid("the version is not served".to_owned()))?;
    let managers = if managers.is_empty() && !live.str_at("metadata.uid").is_empty() {
        let before = update_as(versions, &Value::map(), live, managers, write, BEFORE_FIRST_APPLY).await;
        before.map_err(ApplyError::Invalid)?
    } else {
        reconcile(versions, managers)
    };
    let (mut object, managers, conflicts) =
        merged(versions, live, config, &def, managers, write).await.map_err(ApplyError::Invalid)?;
    let is_kubectl = write.manager == last_applied::PROGRAM;
    if !force && !conflicts.is_empty() {
        let conflicts = if is_kubectl { last_applied::remaining(conflicts, live, &def) } else { conflicts };
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
    }
    if is_kubectl {
        last_applied::keep_up(&mut object, config);
    }
    Ok((object, managers))
}

/// The object with the configuration, its managers, and the conflicts that stand against it.
async fn merged(
    versions: &dyn Versions,
    live: &Value,
    config: &Value,
    def: &TypeDef,
    mut managers: Managers,
    write: &Write<'_>,
) -> Result<(Value, Managers, Conflicts), String> {
    let merged = merge(live, config, def)?;
    let fields = write.scope.of(fields_of(config, def));
    let entry = write.entry(write.manager, Operation::Apply, fields);
    let last = managers.0.iter().position(|other| other.is_same_manager(&entry));
    let last = last.map(|at| managers.0.remove(at));
    managers.0.push(entry.clone());
    let new = match &last {
        Some(last) if !last.fields.is_empty() => {
            prune(versions, &merged, &managers, last, write.api_version).await?
        }
        _ => merged,
    };
    let change = Changed { versions, live, new: &new, write };
    let (_, mut managers, conflicts) = change.take(managers, Some(&entry)).await?;
    for own in managers.0.iter_mut().filter(|other| other.is_same_manager(&entry)) {
        own.fields = std::mem::take(&mut own.fields).difference(&UNTRACKED);
        // A manager that repeats itself keeps its time.
        if let Some(last) = last.as_ref().filter(|last| new == *live && last.fields == own.fields) {
            own.time.clone_from(&last.time);
        }
    }
    managers.settle();
    if managers.0.len() > MANAGERS_MAX {
        return Err(format!("an object cannot have more than {MANAGERS_MAX} field managers"));
    }
    Ok((new, managers, conflicts))
}

/// Removes what the manager applied the last time but not now, and what nobody else manages.
async fn prune(
    versions: &dyn Versions,
    merged: &Value,
    managers: &Managers,
    last: &Entry,
    api_version: &str,
) -> Result<Value, String> {
    let Some(def) = versions.type_of(&last.api_version) else { return Ok(merged.clone()) };
    let place = Place::Object(&def);
    let base = convert(versions, merged, api_version, &last.api_version).await?;
    let last_fields = with_named(&last.fields, place);
    let mut pruned = remove(&base, &last_fields, &def);
    // The version of the last time comes first: what the conversion to others needs is back by then.
    let mut todo: Vec<&str> = vec![&last.api_version];
    for entry in &managers.0 {
        if !todo.contains(&&*entry.api_version) {
            todo.push(&entry.api_version);
        }
    }
    for version in todo {
        let Some(def) = versions.type_of(version) else { continue };
        let of_version = managers.0.iter().filter(|entry| entry.api_version == version);
        let managed = of_version.fold(FieldSet::default(), |set, entry| set.union(entry.fields.clone()));
        let (all, left) = (
            convert(versions, &base, &last.api_version, version).await?,
            convert(versions, &pruned, &last.api_version, version).await?,
        );
        let named = |set: &FieldSet| with_named(set, Place::Object(&def));
        let kept = named(&fields_of(&left, &def)).union(named(&managed));
        let gone = named(&fields_of(&all, &def)).difference(&kept);
        pruned = convert(versions, &remove(&all, &gone, &def), version, &last.api_version).await?;
    }
    // What goes was the manager's.
    let (all, left) = (fields_of(&base, &def), fields_of(&pruned, &def));
    let gone = with_named(&all, place).difference(&with_named(&left, place)).intersection(&last_fields);
    convert(versions, &remove(&base, &gone, &def), &last.api_version, api_version).await
}

async fn convert(versions: &dyn Versions, object: &Value, from: &str, to: &str) -> Result<Value, String> {
    if from == to { Ok(object.clone()) } else { versions.convert(object, to).await }
}
