//! A controller in one file: every namespace gets a ConfigMap `contact` with the person to ask.
//!
//! It has the shape of all controllers: informers wake keys, a key is processed by one worker at a time, and a decision
//! is made from the whole state, never from the change that woke it. Controllers of this repository use the framework
//! in `crates/controllers`, which does the waking, waiting and writing (`docs/add-a-controller.md`).
//!
//! ```console
//! $ cargo run -p client --example controller -- ~/.kube/config
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use client::{Client, ClientError, HttpConnection, Informer, Informers, WorkQueue, key_of};
use clock::Clock;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use object::ObjectKey;

const NAME: &str = "contact";
/// The default contact, unless the namespace's annotation `contact` names another.
const NOBODY: &str = "nobody";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let kubeconfig = std::env::args().nth(1).ok_or("usage: controller KUBECONFIG")?;
    let connection = HttpConnection::from_kubeconfig(Path::new(&kubeconfig), "controller-example").await?;
    Controller::new(Client::new(Arc::new(connection), Clock::system())).await.run().await;
    Ok(())
}

struct Controller {
    client: Client,
    namespaces: Arc<Informer<Namespace>>,
    maps: Arc<Informer<ConfigMap>>,
    queue: WorkQueue<ObjectKey>,
}

impl Controller {
    async fn new(client: Client) -> Controller {
        let informers = Informers::new(client.clone());
        let (namespaces, maps) = (informers.get::<Namespace>(), informers.get::<ConfigMap>());
        let queue = WorkQueue::new();
        let wake = queue.clone();
        namespaces.subscribe(move |change| wake.add(change.key.clone())).forever();
        let wake = queue.clone();
        maps.subscribe(move |change| {
            if &*change.key.name == NAME {
                wake.add(ObjectKey::cluster(change.key.namespace()));
            }
        })
        .forever();
        namespaces.synced().await;
        maps.synced().await;
        Controller { client, namespaces, maps, queue }
    }

    /// Works on keys until the queue is closed. What fails is tried again, later each time.
    async fn run(&self) {
        while let Some(key) = self.queue.next().await {
            match self.reconcile(&key).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    eprintln!("{}: {error}", *key);
                    self.queue.add_rate_limited(key.clone());
                }
            }
        }
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<(), ClientError> {
        let Some(namespace) = self.namespaces.get(key) else { return Ok(()) };
        let map = self.maps.get(&ObjectKey::namespaced(&*key.name, NAME));
        match plan(&namespace, map.as_deref()) {
            Plan::Nothing => Ok(()),
            Plan::Create(map) => self.client.create(&map).await.map(drop),
            // With the resource version that the plan was made from: another's change in between is a conflict.
            Plan::Update(map) => self.client.update(&map).await.map(drop),
        }
    }
}

/// The action for a namespace.
#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    Create(ConfigMap),
    Update(ConfigMap),
}

/// Decides, and does nothing: a pure function can be tested as a table.
fn plan(namespace: &Namespace, map: Option<&ConfigMap>) -> Plan {
    if namespace.metadata.deletion_timestamp.is_some() {
        return Plan::Nothing;
    }
    let annotations = namespace.metadata.annotations.as_ref();
    let contact = annotations.and_then(|all| all.get(NAME)).map_or(NOBODY, String::as_str);
    let data = [(NAME.to_owned(), contact.to_owned())].into();
    match map {
        None => {
            let mut map = ConfigMap { data: Some(data), ..ConfigMap::default() };
            map.metadata.name = Some(NAME.to_owned());
            map.metadata.namespace = Some(key_of(namespace).name.to_string());
            Plan::Create(map)
        }
        Some(map) if map.data.as_ref() == Some(&data) => Plan::Nothing,
        Some(map) => Plan::Update(ConfigMap { data: Some(data), ..map.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use simulation::{Server, admin};

    use super::*;

    fn namespace(contact: Option<&str>) -> Namespace {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some("shop".to_owned());
        namespace.metadata.annotations = contact.map(|who| [(NAME.to_owned(), who.to_owned())].into());
        namespace
    }

    #[test]
    fn a_second_plan_does_nothing() {
        let Plan::Create(map) = plan(&namespace(None), None) else { panic!("nothing is created") };
        assert_eq!(plan(&namespace(None), Some(&map)), Plan::Nothing);
        assert!(matches!(plan(&namespace(Some("ada")), Some(&map)), Plan::Update(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_gets_its_contact() {
        let server = Server::start(1).await;
        server.put(&namespace(Some("ada"))).await;
        let controller = Controller::new(server.client(admin())).await;
        let key = ObjectKey::namespaced("shop", NAME);
        let (queue, wanted) = (controller.queue.clone(), key.clone());
        let _until_then = controller.maps.subscribe(move |change| {
            // The test is over once the map exists.
            if change.key == wanted && change.new.is_some() {
                queue.close();
            }
        });
        controller.run().await;
        assert_eq!(server.find::<ConfigMap>(&key).await.unwrap().data.unwrap()[NAME], "ada");
    }
}
