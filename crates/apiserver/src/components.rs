//! The health of the control plane's other components, for `componentstatuses`.
//!
//! A component of this process is asked directly. One that is not here may run beside this server as a program of its
//! own, and is asked over the network, at the port where upstream's programs answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;

mod remote;

/// How long a component may take to answer; upstream's.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// A component that can say how it is.
#[async_trait]
pub trait Component: Send + Sync + 'static {
    /// # Errors
    /// What is wrong, for people.
    async fn health(&self) -> Result<(), String>;
}

/// The components by their names, which are upstream's.
pub struct Components([Place; 2]);

struct Place {
    name: &'static str,
    address: SocketAddr,
    /// The component in this process.
    here: OnceLock<Arc<dyn Component>>,
}

impl Place {
    fn new(name: &'static str, port: u16) -> Place {
        Place { name, address: (Ipv4Addr::LOCALHOST, port).into(), here: OnceLock::new() }
    }

    async fn health(&self) -> Result<(), String> {
        let asked = async {
            match self.here.get() {
                Some(component) => component.health().await,
                None => remote::health(self.address).await,
            }
        };
        let in_time = tokio::time::timeout(ANSWERS_WITHIN, asked).await;
        in_time.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWERS_WITHIN.as_secs())))
    }
}

impl Default for Components {
    fn default() -> Components {
        Components([Place::new("controller-manager", 10257), Place::new("scheduler", 10259)])
    }
}

impl Components {
    /// Names the controllers of this process. Later calls have no effect.
    pub fn set_controllers(&self, component: impl Component) {
        drop(self.0[0].here.set(Arc::new(component)));
    }

    /// Names the scheduler of this process. Later calls have no effect.
    pub fn set_scheduler(&self, component: impl Component) {
        drop(self.0[1].here.set(Arc::new(component)));
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|place| place.name)
    }

    /// The health of a component; `None` if there is no such component.
    pub(crate) async fn health(&self, name: &str) -> Option<Result<(), String>> {
        let place = self.0.iter().find(|place| place.name == name)?;
        Some(place.health().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    #[async_trait]
    impl Component for Silent {
        async fn health(&self) -> Result<(), String> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_component_is_not_healthy() {
        let components = Components::default();
        components.set_scheduler(Silent);
        let health = components.health("scheduler").await.unwrap();
        assert_eq!(health, Err("no answer within 20 s".to_owned()));
        assert!(components.health("none").await.is_none());
    }
}
