//! schemathesis, as it comes from PyPI, makes requests from the OpenAPI documents, right ones and wrong ones. Whatever it asks,
//! no answer is an internal error, and no handler panics.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apiserver::testing::{Listening, TestServer};
use object::Value;

use crate::support::{call, get};

/// Names another duration, in seconds, of the requests for one document.
const SECONDS: &str = "IRONHULL_SCHEMATHESIS_SECONDS";
/// The default.
const SECONDS_DEFAULT: u64 = 60;
/// How many requests it makes up for one operation before it goes on to the next.
const CASES_MAX: &str = "20";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes long, and needs a program that only `cargo xtask test-long schemathesis` installs"]
async fn made_up_requests_find_no_internal_error() {
    let panics = Arc::new(AtomicUsize::new(0));
    let (counted, hook) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        counted.fetch_add(1, Ordering::SeqCst);
        hook(panic);
    }));
    let server = TestServer::start().await;
    define(&server).await;
    let listening = server.listen().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let phases = ["coverage", "fuzzing,stateful"];
    for (path, phases) in [
        ("/openapi/v3/apis/dockyard.example.com/v1", phases[0]),
        ("/openapi/v3/apis/dockyard.example.com/v1", phases[1]),
        ("/openapi/v2", phases[0]),
        ("/openapi/v2", phases[1]),
    ] {
        let document = get(&server, path).await.success();
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, object::json::to_vec(&document)).unwrap();
        let mut command = schemathesis(folder.path(), &listening);
        command.arg(&file).args(["--phases", phases]);
        let done = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
        assert!(done.success(), "{path} {phases}");
    }
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}

/// The program with everything but the document and what to do with it.
fn schemathesis(folder: &Path, listening: &Listening) -> Command {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let clients = std::env::var_os("IRONHULL_CLIENTS").expect("`cargo xtask test-long schemathesis` sets it");
    let seconds = std::env::var(SECONDS).map_or(SECONDS_DEFAULT, |text| text.parse().unwrap());
    let mut command = Command::new("python3");
    command
        .args(["-B", "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"])
        .args(["--url", &format!("https://{}", listening.address), "--tls-verify"])
        .arg(file("ca.crt", &listening.authority))
        .arg("--request-cert")
        .arg(file("admin.crt", &listening.admin.certificate))
        .arg("--request-cert-key")
        .arg(file("admin.key", &listening.admin.key))
        .args(["--checks", "not_a_server_error,answers_are_those_of_the_api", "--continue-on-failure"])
        .args(["--max-time", &seconds.to_string(), "--max-examples", CASES_MAX, "--request-timeout", "30"])
        .args(["--suppress-health-check", "all", "--warnings", "off", "--no-shrink"])
        .current_dir(folder)
        .env("PYTHONPATH", Path::new(&clients).with_file_name("schemathesis"))
        .env("SCHEMATHESIS_HOOKS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/schemathesis.py"))
        // They would be trusted instead.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE");
    command
}

/// Defines the resources of an operator, whose schemas use everything that schemas can.
async fn define(server: &TestServer) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ironhull/tests/charts/dockyard/crds");
    let mut plurals = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for document in text.split("\n---\n") {
            let definition: Value = object::yaml::parse(document.as_bytes()).unwrap();
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            call(server, "POST", path, &definition).await.success();
            plurals.push(definition.str_at("spec.names.plural").to_owned());
        }
    }
    let are_served = async {
        loop {
            let document = get(server, "/openapi/v3/apis/dockyard.example.com/v1").await.bytes;
            let document = String::from_utf8_lossy(&document);
            if plurals.iter().all(|plural| document.contains(&format!("/{plural}/"))) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::WITHIN, are_served).await.unwrap();
}
