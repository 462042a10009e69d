//! Resources and kinds in their versions.

/// A resource of one version of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupVersionResource<'a> {
    /// The group; empty for the core group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The plural name.
    pub plural: &'a str,
}

/// A kind of one version of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupVersionKind<'a> {
    /// The group; empty for the core group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
}

/// A resource in one version, with the kind of its objects, or of the objects of one of its subresources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    resource: [Box<str>; 3],
    kind: [Box<str>; 3],
}

impl Shape {
    /// A resource and a kind.
    pub fn of(resource: GroupVersionResource<'_>, kind: GroupVersionKind<'_>) -> Shape {
        Shape {
            resource: [resource.group, resource.version, resource.plural].map(Box::from),
            kind: [kind.group, kind.version, kind.kind].map(Box::from),
        }
    }

    /// The resource.
    pub fn resource(&self) -> GroupVersionResource<'_> {
        let [group, version, plural] = &self.resource;
        GroupVersionResource { group, version, plural }
    }

    /// The kind.
    pub fn kind(&self) -> GroupVersionKind<'_> {
        let [group, version, kind] = &self.kind;
        GroupVersionKind { group, version, kind }
    }
}
