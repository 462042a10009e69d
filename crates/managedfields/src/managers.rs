//! The managers of an object (`metadata.managedFields`).

use std::fmt;

use object::{Value, value};

use crate::FieldSet;

/// The most managers that update and are kept apart; what the oldest of more have managed is put together.
const UPDATERS_MAX: usize = 10;
/// How many managers an object may have: apply with few names. Upstream has no limit of its own.
pub(crate) const MANAGERS_MAX: usize = 1_000;
/// Who manages what the oldest of them did.
const ANCIENT: &str = "ancient-changes";

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// A manager and its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub manager: String,
    /// How it writes.
    pub operation: Operation,
    /// The version of the API in which its fields are named.
    pub api_version: String,
    /// When it last took a field, in RFC 3339; empty if that is not known.
    pub time: String,
    /// The subresource through which it writes; empty for the object itself.
    pub subresource: String,
    /// Its fields.
    pub fields: FieldSet,
}

impl Entry {
    /// Whether both are the same manager: appliers are, whatever version they use.
    pub(crate) fn is_same_manager(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn read(entry: &Value) -> Result<Entry, String> {
        let operation = match entry.str_at("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Update` or `Apply`".to_owned()),
        };
        let api_version = entry.str_at("apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match entry.str_at("fieldsType") {
            "FieldsV1" => {}
            "" => return Err("missing fieldsType in managed fields entry".to_owned()),
            other => return Err(format!("invalid fieldsType {other:?} in managed fields entry")),
        }
        let fields = FieldSet::from_value(entry.get("fieldsV1")).map_err(|error| error.to_string())?;
        Ok(Entry {
            manager: entry.str_at("manager").to_owned(),
            operation,
            api_version: api_version.to_owned(),
            time: entry.str_at("time").to_owned(),
            subresource: entry.str_at("subresource").to_owned(),
            fields,
        })
    }

    fn to_value(&self) -> Value {
        let mut entry = value!({
            "manager": self.manager.as_str(), "operation": self.operation.as_str(),
            "apiVersion": self.api_version.as_str(),
        });
        if !self.time.is_empty() {
            entry.set("time", self.time.as_str());
        }
        entry.set("fieldsType", "FieldsV1");
        entry.set("fieldsV1", self.fields.to_value());
        if !self.subresource.is_empty() {
            entry.set("subresource", self.subresource.as_str());
        }
        entry
    }
}

/// As messages about conflicts show it: `"kubectl" with subresource "scale" using apps/v1`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.manager)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        match self.operation {
            Operation::Apply => Ok(()),
            Operation::Update => write!(f, " using {}", self.api_version),
        }
    }
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers(pub(crate) Vec<Entry>);

impl Managers {
    /// Reads them from an object.
    ///
    /// # Errors
    /// What is wrong with an entry.
    pub fn of(object: &Value) -> Result<Managers, String> {
        let mut managers = Managers::default();
        let entries = object.at("metadata.managedFields").as_list().unwrap_or_default();
        if entries.len() > MANAGERS_MAX {
            return Err(format!("{} managers are more than {MANAGERS_MAX}", entries.len()));
        }
        for entry in entries {
            let entry = Entry::read(entry)?;
            match managers.0.iter_mut().find(|other| other.is_same_manager(&entry)) {
                Some(same) => *same = entry,
                None => managers.0.push(entry),
            }
        }
        Ok(managers)
    }

    /// Whether nobody manages a field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The managers, appliers first, and the longest unchanged before the others.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Sets `metadata.managedFields`.
    pub fn write(&self, object: &mut Value) {
        if self.0.is_empty() {
            if let Some(metadata) = object.get_mut("metadata") {
                metadata.remove("managedFields");
            }
            return;
        }
        let entries: Vec<Value> = self.0.iter().map(Entry::to_value).collect();
        object.entry("metadata").set("managedFields", Value::List(entries));
    }

    /// Drops those without fields, limits those that update, and sorts them.
    pub(crate) fn settle(&mut self) {
        self.0.retain(|entry| !entry.fields.is_empty());
        self.limit_updaters();
        fn rank(entry: &Entry) -> (Operation, [&str; 4]) {
            let Entry { manager, operation, api_version, time, subresource, .. } = entry;
            (*operation, [time, manager, api_version, subresource])
        }
        self.0.sort_by(|a, b| rank(a).cmp(&rank(b)));
    }

    /// Puts together the fields of the oldest managers that update.
    fn limit_updaters(&mut self) {
        let is_updater = |entry: &&Entry| entry.operation == Operation::Update;
        let excess = self.0.iter().filter(is_updater).count().saturating_sub(UPDATERS_MAX);
        if excess == 0 {
            return;
        }
        self.0.sort_by(|a, b| (a.operation, &a.time).cmp(&(b.operation, &b.time)));
        let first = self.0.partition_point(|entry| entry.operation == Operation::Apply);
        // Those of one version become one, which counts too.
        let mut count = self.0.len() - first;
        let mut at = first;
        while count > UPDATERS_MAX && at < self.0.len() {
            let mut entry = self.0.remove(at);
            ANCIENT.clone_into(&mut entry.manager);
            entry.subresource.clear();
            match self.0[..at].iter_mut().find(|other| other.is_same_manager(&entry)) {
                Some(ancient) => {
                    ancient.fields = std::mem::take(&mut ancient.fields).union(entry.fields);
                    ancient.time = entry.time;
                    count -= 1;
                }
                None => {
                    self.0.insert(at, entry);
                    at += 1;
                }
            }
        }
    }
}
