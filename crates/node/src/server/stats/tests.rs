use super::*;
use crate::machine::{Memory, Processes, Swap};
use crate::testing::at;
use cri::{
    ContainerMetadata, NetworkInterfaceUsage, NetworkUsage, PodSandboxMetadata, Pressure, Stalls, Transfer,
};

fn labels() -> StringMap {
    let labels = [(label::POD_NAMESPACE, "default"), (label::POD_NAME, "web"), (label::POD_UID, "u")];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A running container that has used so much time.
pub(super) fn container(name: &str, nanos: u64) -> ContainerStats {
    ContainerStats {
        id: name.into(),
        pod_sandbox_id: "s".into(),
        metadata: ContainerMetadata { name: name.into(), attempt: 0 },
        labels: labels(),
        annotations: StringMap::new(),
        cpu: Some(CpuUsage { timestamp: at(0), usage_core_nano_seconds: nanos }),
        memory: Some(MemoryUsage {
            timestamp: at(0),
            working_set_bytes: 1,
            available_bytes: (name == "a").then_some(5),
            usage_bytes: 2,
            rss_bytes: 3,
            page_faults: 4,
            major_page_faults: 5,
        }),
        swap: None,
        writable_layer: None,
        pressures: Pressures::default(),
    }
}

fn sandbox() -> PodSandboxStats {
    let transfer = |bytes, packets, errors, dropped| Transfer {
        bytes,
        errors,
        packets: Some(packets),
        dropped: Some(dropped),
    };
    let eth0 = NetworkInterfaceUsage {
        name: "eth0".into(),
        received: transfer(10, 2, 3, 4),
        sent: transfer(20, 6, 7, 8),
    };
    PodSandboxStats {
        id: "s".into(),
        metadata: PodSandboxMetadata {
            name: "web".into(),
            uid: "u".into(),
            namespace: "default".into(),
            attempt: 0,
        },
        labels: labels(),
        annotations: StringMap::new(),
        network: Some(NetworkUsage {
            timestamp: at(0),
            default_interface: Some(eth0),
            interfaces: vec![NetworkInterfaceUsage { name: "net1".into(), ..Default::default() }],
        }),
        cpu: None,
        memory: None,
        swap: None,
        pressures: Pressures {
            io: Some(Pressure {
                some: Stalls { total_nanos: 9000, avg10: 1234, ..Stalls::default() },
                full: Stalls::default(),
            }),
            ..Pressures::default()
        },
        process_count: Some(2),
    }
}

/// A node with one pod, whose engine does not know the pod's own cgroup.
pub(super) fn seen() -> Seen {
    let created = |stats: &ContainerStats| cri::Container {
        id: stats.id.clone(),
        pod_sandbox_id: "s".into(),
        metadata: stats.metadata.clone(),
        image: cri::ImageSpec { image: "nginx".into(), ..Default::default() },
        image_ref: String::new(),
        image_id: String::new(),
        state: cri::ContainerState::Running,
        created_at: at(-5),
        labels: StringMap::new(),
        annotations: StringMap::new(),
    };
    let containers = vec![container("a", 1_000_000_000), container("b", 500_000_000)];
    let created = containers.iter().take(1).map(created).collect();
    let ready = PodSandbox {
        id: "s".into(),
        metadata: sandbox().metadata,
        state: cri::PodSandboxState::Ready,
        created_at: at(-10),
        labels: labels(),
        annotations: StringMap::new(),
        runtime_handler: String::new(),
    };
    Seen {
        at: at(0),
        machine: Machine {
            started: Some(at(-3600)),
            cpu_nanos: Some(2_500_000_000),
            memory: Some(Memory { capacity: 1000, usage: 600, working_set: 400 }),
            rss_bytes: None,
            page_faults: Some(7),
            swap: Some(Swap { available: 2, usage: 3 }),
            processes: Some(Processes { maximum: 100, current: 10 }),
            ..Machine::default()
        },
        pods: by_pod(containers, vec![sandbox()], created, &[ready]),
    }
}

#[test]
fn pods_are_summed_where_the_engine_does_not_count_them() {
    let mut seen = seen();
    let pod = &mut seen.pods[0];
    assert_eq!((pod.namespace.as_str(), pod.started), ("default", Some(at(-10))));
    assert_eq!((pod.containers[0].image.as_str(), pod.containers[1].started), ("nginx", None));
    assert_eq!(pod.cpu(at(0)).map(|cpu| cpu.usage_core_nano_seconds), Some(1_500_000_000));
    let memory = pod.memory(at(0)).unwrap();
    assert_eq!((memory.rss_bytes, memory.available_bytes), (6, None), "one has no limit");
    assert_eq!(pod.swap(at(0)), None);
    let own = CpuUsage { timestamp: at(0), usage_core_nano_seconds: 9 };
    pod.sandbox.as_mut().unwrap().cpu = Some(own.clone());
    assert_eq!(pod.cpu(at(0)), Some(own));
    pod.sandbox = None;
    pod.containers.clear();
    assert_eq!((pod.cpu(at(0)), pod.memory(at(0))), (None, None));
}
