//! Hooks release their allocations if the write fails.

use super::*;

/// Refuses Services called `refused`, in the final check.
struct Refuses;

#[async_trait]
impl Plugin for Refuses {
    fn name(&self) -> &'static str {
        "Refuses"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, _old: &Value) -> Result<(), Status> {
        if what.is(GroupResource::SERVICES) && what.name == "refused" {
            // The plugin sees the allocations.
            assert!(!object.str_at("spec.clusterIP").is_empty());
            return Err(what.forbidden("not this one"));
        }
        Ok(())
    }
}

/// The names of all IPAddress objects, and the keys of all ports, as the store has them.
async fn taken(server: &TestServer) -> Vec<String> {
    let mut keys = Vec::new();
    for prefix in ["/registry/ipaddresses/", "/registry/ranges/servicenodeports/"] {
        let found = server.registry.hub.store().range(store::RangeRequest::prefix(prefix)).await.unwrap();
        keys.extend(found.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()));
    }
    keys
}

#[tokio::test]
async fn a_service_that_is_not_stored_leaves_neither_address_nor_port() {
    let server =
        TestServer::with(Extensions { plugins: vec![Arc::new(Refuses)], ..Extensions::default() }).await;
    let service = |name: &str, affinity: &str| {
        value!({"metadata": {"name": name}, "spec": {
            "type": "NodePort", "sessionAffinity": affinity, "ports": [{"port": 80i64}]
        }})
    };
    let path = "/api/v1/namespaces/default/services";
    server.json("POST", path, &service("present", "None")).await.unwrap();
    let before = taken(&server).await;
    assert_eq!(before.len(), 3, "those of `kubernetes` and of `present`: {before:?}");
    let cases = [
        // Validation.
        ("invalid", "Sometimes", "", 422),
        // Validating admission.
        ("refused", "None", "", 403),
        // The store: another write came first.
        ("present", "None", "", 409),
        // A dry run.
        ("dry", "None", "?dryRun=All", 201),
    ];
    for (name, affinity, query, code) in cases {
        let body = object::json::to_vec(&service(name, affinity));
        let answer =
            server.request(&admin(), "POST", &format!("{path}{query}"), "application/json", body).await;
        let got = match answer {
            Ok(answer) => answer.code,
            Err(status) => status.code,
        };
        assert_eq!(got, code, "{name}");
        assert_eq!(taken(&server).await, before, "{name}");
    }
    // A refused change keeps the Service's allocations, and an accepted one releases those that it gives up.
    let update = |kind: &str| value!({"spec": {"type": kind, "sessionAffinity": (if kind == "NodePort" { "Sometimes" } else { "None" })}});
    let user = admin();
    let patch = |body: Value| {
        server.request(
            &user,
            "PATCH",
            "/api/v1/namespaces/default/services/present",
            "application/merge-patch+json",
            object::json::to_vec(&body),
        )
    };
    assert_eq!(patch(update("NodePort")).await.unwrap_err().code, 422);
    assert_eq!(taken(&server).await, before);
    patch(update("ClusterIP")).await.unwrap();
    assert_eq!(taken(&server).await.len(), 2, "the port is free");
    server.delete("", "services", "default", "present").await.unwrap();
    assert_eq!(taken(&server).await.len(), 1, "the address is free");
}

/// A hook that allocates something, and a second one that fails.
struct Fails;

#[async_trait]
impl Hook for Fails {
    fn concerns(&self, resource: GroupResource<'_>) -> bool {
        resource.plural == "configmaps"
    }

    async fn begin(
        &self,
        _write: &mut WriteRequest<'_>,
        _server: &Server<'_>,
    ) -> Result<Option<Box<dyn Pending>>, Status> {
        Err(Status::internal_error("nothing is left"))
    }
}

#[tokio::test]
async fn what_began_before_a_hook_that_fails_is_undone() {
    let recorder = Recorder::default();
    let hooks: Vec<Arc<dyn Hook>> = vec![Arc::new(recorder.clone()), Arc::new(Fails)];
    let server = TestServer::with(Extensions { hooks, ..Extensions::default() }).await;
    recorder.take();
    let map = value!({"metadata": {"name": "m"}});
    assert_eq!(server.create("", "configmaps", "default", map).await.unwrap_err().code, 500);
    assert_eq!(
        recorder.take().remove("CREATE configmaps"),
        Some(vec!["hook begins".into(), "hook undoes".into()])
    );
}

/// Holds writes of ConfigMaps back in validating admission.
struct Gate {
    arrived: tokio::sync::Semaphore,
    open: tokio::sync::Semaphore,
}

#[async_trait]
impl Plugin for Gate {
    fn name(&self) -> &'static str {
        "Gate"
    }

    async fn validate(&self, what: &Attributes<'_>, _object: &Value, _old: &Value) -> Result<(), Status> {
        if what.resource.plural != "configmaps" || what.name != "gated" {
            return Ok(());
        }
        self.arrived.add_permits(1);
        let _ = self.open.acquire().await;
        Err(what.forbidden("not this one"))
    }
}

#[tokio::test]
async fn a_write_whose_client_leaves_is_undone_all_the_same() {
    let recorder = Recorder::default();
    let gate =
        Arc::new(Gate { arrived: tokio::sync::Semaphore::new(0), open: tokio::sync::Semaphore::new(0) });
    let extensions = Extensions {
        hooks: vec![Arc::new(recorder.clone())],
        plugins: vec![Arc::clone(&gate) as _],
        ..Extensions::default()
    };
    let server = TestServer::with(extensions).await;
    recorder.take();
    let map = value!({"metadata": {"name": "gated"}});
    tokio::select! {
        answer = server.create("", "configmaps", "default", map) => panic!("{answer:?}"),
        arrived = gate.arrived.acquire() => arrived.unwrap().forget(),
    }
    // The client is gone.
    gate.open.add_permits(1);
    let undone = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        let mut seen = Vec::new();
        while !seen.contains(&"hook undoes".to_owned()) {
            tokio::task::yield_now().await;
            seen.extend(recorder.take().remove("CREATE configmaps").unwrap_or_default());
        }
    });
    undone.await.expect("the hook is undone");
}

/// A server that is killed leaves a port without a Service; a backup may contain a Service whose port is not recorded.
#[tokio::test]
async fn a_server_that_starts_finds_the_ports_that_another_one_left() {
    let store: Arc<dyn store::Store> = Arc::new(store::Embedded::in_memory(Clock::system()));
    let server = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    let service = value!({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local",
        "ports": [{"port": 80i64}]}});
    server.json("POST", "/api/v1/namespaces/default/services", &service).await.unwrap();
    let before = taken(&server).await;
    assert_eq!(before.len(), 4, "two addresses, two node ports, one of which is for health: {before:?}");
    let lost = before.last().unwrap().clone();
    drop(server);
    store.write(store::Write::delete(lost, store::Expect::Any)).await.unwrap();
    for stray in ["29999", "banana"] {
        let key = format!("/registry/ranges/servicenodeports/{stray}");
        store.write(store::Write::put(key, "{}", store::Expect::Absent)).await.unwrap();
    }
    let server = TestServer::over(store, &["10.43.0.0/16"]).await;
    assert_eq!(taken(&server).await, before);
}
