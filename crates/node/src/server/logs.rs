//! Containers' logs over HTTP.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cri::ContainerState;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1 as api;
use object::Status;
use tokio::sync::mpsc;

use super::query::Query;
use super::{Body, Server, text};
use crate::logs::{self, LogOptions, Stream};
use crate::pod::PodInfo;

/// How many pieces of a log may wait for the client.
const QUEUE_MAX: usize = 64;

/// How long a log's file may take to be opened.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// Reads the options of a request.
fn options(query: &Query, now: Timestamp) -> Result<LogOptions, Status> {
    let number = |name: &str| match query.get(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| Status::bad_request(format!("invalid {name}: {text:?}"))),
    };
    let seconds = number("sinceSeconds")?.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
    let since_seconds = seconds.and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok());
    let since_time = query.get("sinceTime").filter(|text| !text.is_empty());
    let since_time = since_time
        .map(|text| {
            text.parse::<Timestamp>()
                .map_err(|error| Status::bad_request(format!("invalid sinceTime: {error}")))
        })
        .transpose()?;
    Ok(LogOptions {
        follow: query.flag("follow"),
        tail_lines: number("tailLines")?,
        since: since_time.or(since_seconds),
        timestamps: query.flag("timestamps"),
        bytes_max: number("limitBytes")?,
        stream: match query.get("stream") {
            Some("Stdout") => Some(Stream::Stdout),
            Some("Stderr") => Some(Stream::Stderr),
            _ => None,
        },
    })
}

impl Server {
    pub(super) async fn container_logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &Query,
    ) -> Result<Response<Body>, Status> {
        let pod = PodInfo::new(self.pod(namespace, pod)?);
        let options = options(query, self.shared.clock.now())?;
        if pod.container(container).is_none() {
            let message = format!("container {container:?} not found in pod {:?}", pod.key.name);
            return Err(Status::bad_request(message));
        }
        let observed = self.observe(&pod.uid).await?;
        let statuses = observed.containers.get(container).map(Vec::as_slice).unwrap_or_default();
        let chosen = match query.flag("previous") {
            // The API's last state: for a container that waits for its restart, the newest one.
            true => last_terminated(&pod, container)
                .and_then(|id| statuses.iter().find(|status| observed.engine.container_id(&status.id) == id)),
            false => statuses.iter().find(|status| status.state != ContainerState::Created),
        };
        let Some(status) = chosen else { return Err(no_log(&pod, container, query.flag("previous"))) };
        let path = PathBuf::from(&status.log_path);
        let log = path.clone();
        if self.shared.files.run_within(OPEN_WITHIN, move || logs::open(&log)).await.flatten().is_err() {
            let message =
                format!("unable to retrieve container logs for {}", observed.engine.container_id(&status.id));
            return Ok(text(StatusCode::OK, message));
        }
        Ok(self.stream_log(path, options, &pod.uid, &status.id))
    }

    fn stream_log(&self, path: PathBuf, options: LogOptions, pod_uid: &str, id: &str) -> Response<Body> {
        let (to, from) = mpsc::channel(QUEUE_MAX);
        let shared = Arc::clone(&self.shared);
        let (pod_uid, id) = (pod_uid.to_owned(), id.to_owned());
        tokio::spawn(async move {
            let ended = shared.engine.ended(&pod_uid, &id);
            if let Err(error) = logs::read(&path, options, to, ended).await {
                tracing::debug!(log = %path.display(), %error, "cannot read the whole log");
            }
        });
        let pieces = futures::stream::unfold(from, |mut from: mpsc::Receiver<Bytes>| async move {
            from.recv().await.map(|piece| (Ok::<_, Infallible>(Frame::data(piece)), from))
        });
        let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    }
}

/// The ID, as the API shows it, of the previous container.
fn last_terminated<'a>(pod: &'a PodInfo, container: &str) -> Option<&'a str> {
    let status = api_container_status(pod, container)?;
    status.last_state.as_ref()?.terminated.as_ref()?.container_id.as_deref()
}

fn api_container_status<'a>(pod: &'a PodInfo, container: &str) -> Option<&'a api::ContainerStatus> {
    let status = pod.api_status();
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == container)
}

/// Why there is no log: the container is waiting, or there was none before it.
fn no_log(pod: &PodInfo, container: &str, previous: bool) -> Status {
    let name = &pod.key.name;
    if previous {
        return Status::bad_request(format!(
            "previous terminated container {container:?} in pod {name:?} not found"
        ));
    }
    let status = api_container_status(pod, container);
    let waiting = status.and_then(|status| status.state.as_ref()?.waiting.as_ref());
    let Some(waiting) = waiting else {
        return Status::bad_request(format!("container {container:?} in pod {name:?} is not available"));
    };
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = waiting.message.as_deref().unwrap_or_default();
    let why = match reason {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        _ if message.is_empty() => reason,
        _ => message,
    };
    Status::bad_request(format!("container {container:?} in pod {name:?} is waiting to start: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let read = |query: &str| options(&Query::parse(query), now);
        let all = read("follow=true&tailLines=5&sinceSeconds=60&timestamps=true&limitBytes=9&stream=Stderr")
            .unwrap();
        let expected = LogOptions {
            follow: true,
            tail_lines: Some(5),
            since: Some(Timestamp::from_second(1_800_000_000 - 60).unwrap()),
            timestamps: true,
            bytes_max: Some(9),
            stream: Some(Stream::Stderr),
        };
        assert_eq!(all, expected);
        assert_eq!(read("").unwrap(), LogOptions::default());
        assert!(read("tailLines=x").is_err() && read("sinceTime=yesterday").is_err());
    }
}
