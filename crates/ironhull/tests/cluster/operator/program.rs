//! An operator in the manner of those that people install: two replicas serve webhooks, and the one that holds the Lease
//! reconciles. It uses kube-rs, and knows nothing of the tests.
//!
//! | command | what it does |
//! | --- | --- |
//! | `certify` | makes an authority and a certificate, in a Secret, unless they are there |
//! | `run` | is the operator |

use std::path::Path;

use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use super::{certificates, election, injection, inspectors, server, ships};

/// The group of the operator's resources.
pub const GROUP: &str = "dockyard.example.com";
/// The manager of the fields that it applies.
pub const MANAGER: &str = "dockyard";
/// Where the Secret is mounted.
pub const TLS: &str = "/tls";
/// Where the ConfigMap is mounted.
pub const SETTINGS: &str = "/settings";

/// An error that ends the operator.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a pod is told about itself.
#[derive(Clone, Debug)]
pub struct Place {
    /// The pod.
    pub pod: String,
    /// The release's namespace.
    pub namespace: String,
    /// The Service in front of the webhooks; the Lease, the Secret and the register are named after it.
    pub name: String,
}

impl Place {
    fn of_environment() -> Result<Place, Failure> {
        let read = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
        Ok(Place { pod: read("POD_NAME")?, namespace: read("POD_NAMESPACE")?, name: read("NAME")? })
    }
}

/// A file of the ConfigMap, as it is now.
pub fn setting(name: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(Path::new(SETTINGS).join(name));
    Ok(text.map_err(|error| format!("the setting {name}: {error}"))?.trim().to_owned())
}

/// Runs the command that the arguments name.
pub fn main() {
    let done = tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|runtime| {
        runtime.block_on(async {
            let (place, client) = (Place::of_environment()?, Client::try_default().await?);
            match std::env::args().nth(1).as_deref() {
                Some("certify") => certificates::certify(&client, &place).await,
                Some("run") => run(&client, &place).await,
                other => Err(format!("not a command: {other:?}").into()),
            }
        })
    });
    if let Err(error) = done {
        eprintln!("dockyard: {error}");
        std::process::exit(1);
    }
}

async fn run(client: &Client, place: &Place) -> Result<(), Failure> {
    let (mut end, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let health = server::Health::default();
    let work = async {
        let servers = server::serve(health.clone())?;
        injection::inject_all(client, place).await?;
        // Only now: whoever waits for this pod may use the webhooks.
        health.set_ready();
        println!("ready");
        let lead = async {
            let leadership = election::acquire(client, place).await?;
            println!("leading");
            let reconcile = async {
                tokio::try_join!(
                    injection::keep(client, place),
                    ships::run(client, place),
                    inspectors::run(client)
                )?;
                Ok::<(), Failure>(())
            };
            tokio::select! {
                done = reconcile => done,
                lost = leadership.renew() => lost,
            }
        };
        tokio::select! {
            done = servers => done,
            done = lead => done,
        }
    };
    tokio::select! {
        done = work => done,
        _ = end.recv() => election::release(client, place).await,
        _ = interrupt.recv() => election::release(client, place).await,
    }
}
