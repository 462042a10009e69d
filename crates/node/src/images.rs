//! Images for containers: whether to pull, with which credentials, and how long to wait after a failure
//! (`pkg/kubelet/images/image_manager.go`).

use std::collections::HashMap;
use std::sync::Arc;

use client::{EventType, Recorder};
use clock::Clock;
use cri::{AuthConfig, Code, CriError, Image, ImageService, ImageSpec, PodSandboxConfig, PullErrorKind};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use parking_lot::Mutex;
use volumes::ObjectCache;

use crate::backoff::Backoff;
use crate::pod::PodInfo;
use crate::text::go_duration;
use crate::waiting::Waiting;

mod credentials;

use credentials::Keyring;

/// An image that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// The store's information about it.
    pub(crate) image: Image,
    /// The reference to run it by.
    pub(crate) reference: String,
}

/// Why an image is not available.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The reference in the container's status.
    pub(crate) waiting: Waiting,
    /// When to try again; `None` for the usual time.
    pub(crate) retry_at: Option<Timestamp>,
}

/// The required image, and its user.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) pod: &'a PodInfo,
    /// The image as the pod names it.
    pub(crate) image: &'a str,
    /// `Always`, `IfNotPresent`, `Never`, or empty for the default.
    pub(crate) policy: &'a str,
    /// The object of events.
    pub(crate) about: &'a ObjectReference,
    pub(crate) sandbox: &'a PodSandboxConfig,
}

#[derive(Clone, Debug)]
struct LastFailure {
    at: Timestamp,
    message: String,
}

/// Gets images for the node's containers.
pub(crate) struct Images {
    service: Arc<dyn ImageService>,
    objects: Arc<ObjectCache>,
    recorder: Recorder,
    clock: Clock,
    backoff: Mutex<Backoff>,
    /// By pod and image.
    failures: Mutex<HashMap<String, LastFailure>>,
}

impl Images {
    pub(crate) fn new(
        service: Arc<dyn ImageService>,
        objects: Arc<ObjectCache>,
        recorder: Recorder,
        clock: Clock,
    ) -> Images {
        Images { service, objects, recorder, clock, backoff: Mutex::default(), failures: Mutex::default() }
    }

    pub(crate) fn service(&self) -> &Arc<dyn ImageService> {
        &self.service
    }

    /// Forgets the failures of a pod that is gone.
    pub(crate) fn forget_pod(&self, uid: &str) {
        let prefix = format!("{uid}_");
        let mut backoff = self.backoff.lock();
        self.failures.lock().retain(|key, _| {
            let keep = !key.starts_with(&prefix);
            if !keep {
                backoff.forget(key);
            }
            keep
        });
    }

    /// Makes sure that an image is present, pulling it if the policy says so.
    pub(crate) async fn ensure(&self, wanted: Wanted<'_>) -> Result<Ready, Failure> {
        let spec = ImageSpec::from(wanted.image);
        let present =
            self.service.image_status(&spec).await.map_err(|error| self.inspect_failed(wanted, &error))?;
        match (present, policy(wanted)) {
            (Some(image), Policy::IfNotPresent | Policy::Never) => {
                let message = format!(
                    "Container image {:?} already present on machine and can be accessed by the pod",
                    wanted.image
                );
                self.event(wanted, EventType::Normal, "Pulled", message);
                Ok(Ready { reference: image.id.clone(), image })
            }
            (None, Policy::Never) => {
                let message =
                    format!("Container image {:?} is not present with pull policy of Never", wanted.image);
                self.event(wanted, EventType::Warning, "ErrImageNeverPull", message.clone());
                Err(Failure { waiting: Waiting::new("ErrImageNeverPull", message), retry_at: None })
            }
            (_, Policy::Always | Policy::IfNotPresent) => self.pull(wanted, &spec).await,
        }
    }

    fn inspect_failed(&self, wanted: Wanted<'_>, error: &CriError) -> Failure {
        let invalid = error.code() == Code::InvalidArgument
            || matches!(error, CriError::ImagePull { kind: PullErrorKind::InvalidName, .. });
        let (reason, message) = if invalid {
            let image = wanted.image;
            let message = format!("Failed to apply default image tag {image:?}: {error}");
            ("InvalidImageName", message)
        } else {
            (
                "ImageInspectError",
                format!("Failed to inspect image {:?}: {}", wanted.image, error.full_message()),
            )
        };
        self.event(wanted, EventType::Warning, "InspectFailed", message.clone());
        Failure { waiting: Waiting::new(reason, message), retry_at: None }
    }

    async fn pull(&self, wanted: Wanted<'_>, spec: &ImageSpec) -> Result<Ready, Failure> {
        let key = format!("{}_{}", wanted.pod.uid, wanted.image);
        if let Some(failure) = self.in_backoff(wanted, &key) {
            return Err(failure);
        }
        self.event(wanted, EventType::Normal, "Pulling", format!("Pulling image {:?}", wanted.image));
        let began = tokio::time::Instant::now();
        let result = match self.keyring(wanted.pod).await {
            Ok(keyring) => self.pull_with(wanted, spec, &keyring).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(ready) => {
                self.backoff.lock().forget(&key);
                self.failures.lock().remove(&key);
                let took = go_duration(rounded(began.elapsed()));
                let message = format!(
                    "Successfully pulled image {:?} in {took} ({took} including waiting). Image size: {} bytes.",
                    wanted.image, ready.image.size
                );
                self.event(wanted, EventType::Normal, "Pulled", message);
                Ok(ready)
            }
            Err(error) => Err(self.pull_failed(wanted, key, &error)),
        }
    }

    fn in_backoff(&self, wanted: Wanted<'_>, key: &str) -> Option<Failure> {
        let last = self.failures.lock().get(key).cloned()?;
        let (until, _) = self.backoff.lock().waits_until(key, last.at, self.clock.now())?;
        let message = format!("Back-off pulling image {:?}", wanted.image);
        self.event(wanted, EventType::Normal, "BackOff", message.clone());
        let message = format!("{message}: {}", last.message);
        Some(Failure { waiting: Waiting::new("ImagePullBackOff", message), retry_at: Some(until) })
    }

    fn pull_failed(&self, wanted: Wanted<'_>, key: String, error: &CriError) -> Failure {
        let message = error.full_message();
        self.event(
            wanted,
            EventType::Warning,
            "Failed",
            format!("Failed to pull image {:?}: {message}", wanted.image),
        );
        let now = self.clock.now();
        self.backoff.lock().fail(&key, now, now);
        // Common engines do not distinguish an unreachable registry from a missing image.
        let reason = match error {
            CriError::ImagePull { kind: PullErrorKind::InvalidName, .. } => "InvalidImageName",
            _ => "ErrImagePull",
        };
        self.failures.lock().insert(key, LastFailure { at: now, message: format!("{reason}: {message}") });
        // The next check finds the back-off, and reports it.
        let retry_at = now + jiff::SignedDuration::from_secs(5);
        Failure { waiting: Waiting::new(reason, message), retry_at: Some(retry_at) }
    }

    /// Tries the credentials that fit, one after the other.
    async fn pull_with(
        &self,
        wanted: Wanted<'_>,
        spec: &ImageSpec,
        keyring: &Keyring,
    ) -> Result<Ready, CriError> {
        let matching = keyring.matching(wanted.image);
        let mut tries: Vec<Option<&AuthConfig>> = matching.into_iter().map(Some).collect();
        if tries.is_empty() {
            tries.push(None);
        }
        let mut last = None;
        for auth in tries {
            match self.service.pull_image(spec, auth, Some(wanted.sandbox)).await {
                Ok(reference) => {
                    let pulled = ImageSpec::from(reference.as_str());
                    let image = self.service.image_status(&pulled).await?;
                    let image =
                        image.ok_or_else(|| CriError::NotFound { kind: "image", id: reference.clone() })?;
                    return Ok(Ready { image, reference });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| CriError::Unavailable("no credentials to pull with".to_owned())))
    }

    /// The credentials of a pod's pull secrets. Missing Secrets are skipped.
    async fn keyring(&self, pod: &PodInfo) -> Result<Keyring, CriError> {
        let mut keyring = Keyring::default();
        for reference in pod.spec().image_pull_secrets.iter().flatten() {
            match self.objects.secret(pod.key.namespace(), &reference.name).await {
                Ok(secret) => keyring.add(&secret),
                Err(error) => {
                    let message = format!(
                        "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                        reference.name
                    );
                    tracing::debug!(pod = %pod.key, %error, "no image pull secret");
                    self.recorder.record(
                        &pod.reference(),
                        EventType::Warning,
                        "FailedToRetrieveImagePullSecret",
                        message,
                    );
                }
            }
        }
        Ok(keyring)
    }

    fn event(&self, wanted: Wanted<'_>, kind: EventType, reason: &str, message: String) {
        self.recorder.record(wanted.about, kind, reason, message);
    }
}

fn rounded(duration: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    IfNotPresent,
    Never,
}

fn policy(wanted: Wanted<'_>) -> Policy {
    match wanted.policy {
        "Always" => Policy::Always,
        "Never" => Policy::Never,
        "" if !wanted.image.contains('@') && has_latest_tag(wanted.image) => Policy::Always,
        _ => Policy::IfNotPresent,
    }
}

fn has_latest_tag(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}
