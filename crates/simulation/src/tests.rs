use std::time::Duration;

use client::{Informers, Verb};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use object::{ObjectKey, Status};
use serde_json::json;

use crate::{Change, Observer, Rates, Server, admin, run};

fn config(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "default"}})).unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("default", name)
}

#[test]
fn a_server_comes_back_with_what_it_acknowledged() {
    run(async {
        let server = Server::start(1).await;
        server.create(&config("a")).await;
        server.stop();
        assert!(server.admin().get::<ConfigMap>(&key("a")).await.unwrap_err().status().is_none());
        server.resume().await.unwrap();
        assert!(server.find::<ConfigMap>(&key("a")).await.is_some());
    });
}

#[test]
fn history_may_be_forgotten_when_there_is_none() {
    run(async {
        let server = Server::start(1).await;
        server.create(&config("a")).await;
        server.compact().await;
        server.compact().await;
        assert!(server.find::<ConfigMap>(&key("a")).await.is_some());
    });
}

#[test]
fn informers_get_over_whatever_goes_wrong() {
    run(async {
        let server = Server::start(2).await;
        server.faults().set(Rates {
            refused: 50,
            broken_watch: 200,
            expired_watch: 50,
            latency: Duration::from_millis(50),
            ..Rates::default()
        });
        let informers = Informers::new(server.client(admin()));
        let configs = informers.get::<ConfigMap>();
        for index in 0..50 {
            server.create(&config(&format!("c{index}"))).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if index % 10 == 0 {
                server.faults().break_watches();
                server.compact().await;
            }
        }
        configs.caught_up(server.revision().await - 1).await;
        tokio::time::timeout(Duration::from_secs(600), async {
            while configs.list().len() < 50 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
        .await
        .expect("the informer shows everything after a while");
        assert_eq!(server.journal().violation(), None);
    });
}

#[test]
fn lost_answers_are_noted_and_their_writes_are_there() {
    run(async {
        let server = Server::start(3).await;
        let client = server.client(admin());
        server.faults().set(Rates { lost_answer: 1000, ..Rates::default() });
        assert!(client.create(&config("a")).await.unwrap_err().status().is_none());
        assert!(server.find::<ConfigMap>(&key("a")).await.is_some());
        let lost = server.journal().lost_writes();
        assert_eq!(lost[0].what, "create /api/v1/namespaces/default/configmaps");
        assert_eq!(lost[0].body.str_at("metadata.name"), "a");
    });
}

#[test]
fn planned_failures_come_once() {
    run(async {
        let server = Server::start(4).await;
        let client = server.client(admin());
        server.faults().fail_next(Verb::Create, "configmaps", Status::forbidden("", "configmaps", "a", "no"));
        assert!(client.create(&config("a")).await.unwrap_err().is_forbidden());
        client.create(&config("a")).await.unwrap();
        assert_eq!(server.faults().take_requests().len(), 2);
    });
}

struct NoNamedBad;

impl Observer for NoNamedBad {
    fn observe(&mut self, change: &Change) -> Result<(), String> {
        match change.object().str_at("metadata.name") {
            "bad" => Err("a bad one".to_owned()),
            _ => Ok(()),
        }
    }
}

#[test]
fn observers_see_every_change() {
    run(async {
        let server = Server::start(5).await;
        server.journal().observe(NoNamedBad);
        server.create(&config("good")).await;
        server.revision().await;
        assert_eq!(server.journal().violation(), None);
        server.create(&config("bad")).await;
        assert!(server.journal().violated().await.ends_with("a bad one"));
        assert!(server.journal().tail().contains("create configmaps/default/bad"));
    });
}

#[test]
fn one_seed_is_one_run() {
    let hash = |seed| {
        run(async move {
            let server = Server::start(seed).await;
            for index in 0..5 {
                server.create(&config(&format!("c{index}"))).await;
            }
            server.revision().await;
            server.journal().hash()
        })
    };
    assert_eq!(hash(6), hash(6));
    assert_ne!(hash(6), hash(7));
}

/// It may reach the server again before it has noticed that it did not.
#[test]
fn a_hollow_machine_tells_of_every_boot() {
    run(async {
        let server = Server::start(4).await;
        server.open("default").await;
        let spec = hollow::Spec {
            name: "n".to_owned(),
            labels: std::collections::BTreeMap::new(),
            address: [10, 42, 1, 0].into(),
            cpu_milli: 1000,
            memory_mib: 1000,
            pods_max: 10,
        };
        let node = hollow::Node::new(server.client(crate::node("n")), spec, hollow::Timing::default());
        let cancel = tokio_util::sync::CancellationToken::new();
        let (runs, stop) = (node.clone(), cancel.clone());
        let running = tokio::spawn(async move { runs.run(stop).await });
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"nodeName": "n", "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]},
        }))
        .unwrap();
        server.create(&pod).await;
        let restarts = async || {
            let pod = server.find::<Pod>(&key("p")).await.unwrap();
            let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
            statuses.iter().find(|status| status.ready).map(|status| status.restart_count)
        };
        for expected in [0, 1] {
            tokio::time::timeout(Duration::from_secs(60), async {
                while restarts().await != Some(expected) {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            })
            .await
            .expect("the node tells of its containers");
            node.reboot();
            node.set_connected(true);
        }
        cancel.cancel();
        running.await.unwrap();
    });
}
