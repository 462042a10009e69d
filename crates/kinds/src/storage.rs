//! The kinds of `storage.k8s.io`.

use object::Value;

use crate::simple::Simple;
use crate::table::{AGE, Column, NAME, Table, age, cells, count, flag, join, joined, name, or};
use crate::{defaults, validation, warnings};

/// Marks the class that claims without a class get.
const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// StorageClass
pub(crate) static STORAGE_CLASSES: Simple = Simple {
    returns_deleted: true,
    default: defaults::default_storage_class,
    validate: validation::validate_storage_class,
    validate_update: Some(validation::validate_storage_class_update),
    warnings: warnings::of_storage_class,
    table: Table {
        columns: &[
            NAME,
            Column::text("Provisioner", "Who makes the volumes."),
            Column::text("ReclaimPolicy", "What becomes of a volume when its claim is gone."),
            Column::text("VolumeBindingMode", "When claims are bound."),
            Column::text("AllowVolumeExpansion", "Whether volumes can grow."),
            AGE,
        ],
        row: |object, clock| {
            let annotation =
                |key: &&str| object.at_path(&["metadata", "annotations", key]).as_str() == Some("true");
            let mark = if IS_DEFAULT.iter().any(annotation) { " (default)" } else { "" };
            cells![
                format!("{}{mark}", object.str_at("metadata.name")),
                object.str_at("provisioner"),
                or(object.str_at("reclaimPolicy"), "Delete"),
                or(object.str_at("volumeBindingMode"), "Immediate"),
                flag(object, "allowVolumeExpansion"),
                age(object, clock),
            ]
        },
    },
    ..Simple::PLAIN
};

/// VolumeAttributesClass
pub(crate) static VOLUME_ATTRIBUTES_CLASSES: Simple = Simple {
    returns_deleted: true,
    validate: validation::validate_volume_attributes_class,
    validate_update: Some(validation::validate_volume_attributes_class_update),
    table: Table {
        columns: &[NAME, Column::text("DriverName", "The driver that knows the attributes."), AGE],
        row: |object, clock| cells![name(object), object.str_at("driverName"), age(object, clock)],
    },
    ..Simple::PLAIN
};

/// VolumeAttachment
pub(crate) static VOLUME_ATTACHMENTS: Simple = Simple {
    has_status: true,
    status_keeps_metadata: true,
    updates_unconditionally: false,
    returns_deleted: true,
    validate: validation::validate_volume_attachment,
    validate_update: Some(validation::validate_volume_attachment_update),
    validate_status_update: validation::validate_volume_attachment_status_update,
    table: Table {
        columns: &[
            NAME,
            Column { format: "name", ..Column::text("Attacher", "The driver that attaches.") },
            Column::text("PV", "The volume that is attached."),
            Column::text("Node", "The node that it is attached to."),
            Column::boolean("Attached", "Whether it is attached."),
            AGE,
        ],
        row: |object, clock| {
            cells![
                name(object),
                object.str_at("spec.attacher"),
                object.str_at("spec.source.persistentVolumeName"),
                object.str_at("spec.nodeName"),
                flag(object, "status.attached"),
                age(object, clock),
            ]
        },
    },
    ..Simple::PLAIN
};

/// CSINode
pub(crate) static CSI_NODES: Simple = Simple {
    updates_unconditionally: false,
    returns_deleted: true,
    validate: validation::validate_csi_node,
    validate_update: Some(validation::validate_csi_node_update),
    table: Table {
        columns: &[NAME, Column::integer("Drivers", "How many drivers the node has."), AGE],
        row: |object, clock| cells![name(object), count(object, "spec.drivers"), age(object, clock)],
    },
    ..Simple::PLAIN
};

/// CSIDriver
pub(crate) static CSI_DRIVERS: Simple = Simple {
    updates_unconditionally: false,
    returns_deleted: true,
    default: defaults::default_csi_driver,
    validate: validation::validate_csi_driver,
    validate_update: Some(validation::validate_csi_driver_update),
    table: Table {
        columns: &[
            NAME,
            Column::boolean("AttachRequired", "Whether volumes are attached before they are mounted."),
            Column::boolean("PodInfoOnMount", "Whether the driver is told about the pod."),
            Column::boolean("StorageCapacity", "Whether the driver tells how much room it has."),
            Column::text("TokenRequests", "The audiences of the tokens that the driver gets."),
            Column::boolean("RequiresRepublish", "Whether mounts are renewed from time to time."),
            Column::text("Modes", "Which lifecycles volumes can have."),
            AGE,
        ],
        row: |object, clock| {
            let audiences = object.at("spec.tokenRequests");
            let audiences = match audiences {
                Value::Null => "<unset>".to_owned(),
                requests => join(requests.items().map(|request| request.str_at("audience")), ","),
            };
            cells![
                name(object),
                object.at("spec.attachRequired").as_bool().unwrap_or(true),
                flag(object, "spec.podInfoOnMount"),
                flag(object, "spec.storageCapacity"),
                audiences,
                flag(object, "spec.requiresRepublish"),
                or(&joined(object.at("spec.volumeLifecycleModes")), "<none>"),
                age(object, clock),
            ]
        },
    },
    ..Simple::COUNTED
};

/// CSIStorageCapacity
pub(crate) static CSI_STORAGE_CAPACITIES: Simple = Simple {
    updates_unconditionally: false,
    validate: validation::validate_csi_storage_capacity,
    validate_update: Some(validation::validate_csi_storage_capacity_update),
    warnings: warnings::of_csi_storage_capacity,
    table: Table {
        columns: &[
            NAME,
            Column::text("StorageClassName", "The class that has the room."),
            Column::text("Capacity", "How much room it has."),
        ],
        row: |object, _| {
            let capacity = or(object.str_at("capacity"), "<unset>");
            cells![name(object), object.str_at("storageClassName"), capacity]
        },
    },
    ..Simple::PLAIN
};

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn classes() {
        let class = value!({"provisioner": "p"});
        check_row(&STORAGE_CLASSES, &named("s", class), "s | p | Delete | Immediate | false | 3h");
        let class = value!({
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "p", "reclaimPolicy": "Retain",
            "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true
        });
        let row = "s (default) | p | Retain | WaitForFirstConsumer | true | 3h";
        check_row(&STORAGE_CLASSES, &named("s", class), row);
        check_row(&VOLUME_ATTRIBUTES_CLASSES, &named("v", value!({"driverName": "d"})), "v | d | 3h");
    }

    #[test]
    fn drivers_and_attachments() {
        check_row(
            &CSI_DRIVERS,
            &named("d", value!({})),
            "d | true | false | false | <unset> | false | <none> | 3h",
        );
        let driver = value!({"spec": {
            "attachRequired": false, "podInfoOnMount": true, "storageCapacity": true, "requiresRepublish": true,
            "tokenRequests": [{"audience": "a"}, {}], "volumeLifecycleModes": ["Persistent", "Ephemeral"]
        }});
        check_row(
            &CSI_DRIVERS,
            &named("d", driver),
            "d | false | true | true | a, | true | Persistent,Ephemeral | 3h",
        );
        let attachment = value!({
            "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "pv"}},
            "status": {"attached": true}
        });
        check_row(&VOLUME_ATTACHMENTS, &named("a", attachment), "a | d | pv | n | true | 3h");
        check_row(&CSI_NODES, &named("n", value!({"spec": {"drivers": [{}]}})), "n | 1 | 3h");
        let capacity = value!({"storageClassName": "s", "capacity": "1Gi"});
        check_row(&CSI_STORAGE_CAPACITIES, &named("c", capacity), "c | s | 1Gi");
    }
}
