//! Conversion of custom objects by a webhook (`apiextensions-apiserver/pkg/apiserver/conversion`).
//!
//! All objects of a request that need conversion are in one review. A webhook may change what an object says, its labels
//! and its annotations; the rest of its metadata stays as it was, whatever the webhook answers.
//!
//! Differences from upstream: an answer has a maximum size, and redirects are not followed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clock::Clock;
use object::field::{Errors, Path};
use object::{Reason, Status, Value, json, quote, value};
use tokio::time::Instant;

use crate::admission::{Post, WebhookClient};
use crate::catalogue::Convert;
use crate::dial::Dial;
use crate::registry::{Registry, Server};

/// How long a webhook may take: as upstream's client.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a webhook's own words is shown, in characters.
const SHOWN_MAX: usize = 2048;
/// How much larger than the question an answer may be: twice as large, and this.
const ANSWER_BYTES_MORE: usize = 8 << 20;

/// How conversion webhooks are reached.
#[derive(Clone)]
pub(crate) struct Way {
    /// Finds Services. The registry holds the converter.
    pub(crate) registry: Weak<Registry>,
    /// Dials them.
    pub(crate) dialer: Arc<dyn Dial>,
    /// Makes UIDs.
    pub(crate) clock: Clock,
}

/// The webhook of a definition.
pub(super) struct ConversionWebhook {
    client: WebhookClient,
    /// The version of reviews, if it understands one that this server does.
    review: Option<Review>,
    way: Way,
}

/// A version of reviews.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Review {
    V1,
    V1Beta1,
}

impl Review {
    fn read(version: &Value) -> Option<Review> {
        match version.as_str()? {
            "v1" => Some(Review::V1),
            "v1beta1" => Some(Review::V1Beta1),
            _ => None,
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Review::V1 => "apiextensions.k8s.io/v1",
            Review::V1Beta1 => "apiextensions.k8s.io/v1beta1",
        }
    }
}

/// The converter that a definition asks for; `None` if its versions differ only in their names.
pub(super) fn converter(definition: &Value, way: &Way) -> Option<Arc<dyn Convert>> {
    let conversion = definition.at("spec.conversion");
    if conversion.str_at("strategy") != "Webhook" {
        return None;
    }
    let webhook = conversion.get("webhook");
    let mut config = webhook.get("clientConfig").clone();
    let bundle = STANDARD.decode(config.str_at("caBundle")).unwrap_or_default();
    if bundle.trim_ascii().is_empty() {
        // Unlike for webhooks of admission, white space says nothing.
        config.remove("caBundle");
    }
    Some(Arc::new(ConversionWebhook {
        client: WebhookClient::new(&config),
        review: webhook.get("conversionReviewVersions").items().find_map(Review::read),
        way: way.clone(),
    }))
}

#[async_trait]
impl Convert for ConversionWebhook {
    async fn convert(&self, objects: Vec<Value>, to: &str) -> Result<Vec<Value>, Status> {
        let Some(first) = objects.first() else { return Ok(objects) };
        let from = format!("{}, Kind={}", first.str_at("apiVersion"), first.str_at("kind"));
        // Upstream's errors here have no reason either.
        let failed =
            |why: String| Status::failure(Reason::Unknown, format!("conversion webhook for {from} {why}"));
        let converted = self.ask(&objects, to).await.map_err(|why| failed(format!("failed: {why}")))?;
        if converted.len() != objects.len() {
            let (given, expected) = (converted.len(), objects.len());
            return Err(failed(format!("returned {given} objects, expected {expected}")));
        }
        let pairs = objects.iter().zip(converted).enumerate();
        let checked = pairs.map(|(index, (original, converted))| {
            accept(original, converted, to)
                .map_err(|why| failed(format!("returned invalid converted object at index {index}: {why}")))
        });
        checked.collect()
    }
}

impl ConversionWebhook {
    /// The objects that the webhook makes of these, not checked yet.
    async fn ask(&self, objects: &[Value], to: &str) -> Result<Vec<Value>, String> {
        let review = self.review.ok_or("no supported conversion review versions")?;
        let registry = self.way.registry.upgrade().ok_or("the server is shutting down")?;
        let uid = self.way.clock.uid();
        let question = value!({
            "kind": "ConversionReview", "apiVersion": review.api_version(),
            "request": {"uid": uid.as_str(), "desiredAPIVersion": to, "objects": objects.to_vec()}
        });
        let text = json::to_bytes(&question);
        drop(question);
        let reader = Server::new(&registry, false);
        let post = Post {
            answer_bytes_max: text.len().saturating_mul(2).saturating_add(ANSWER_BYTES_MORE),
            text,
            deadline: Instant::now() + TIMEOUT,
            reader: &reader,
            dialer: self.way.dialer.as_ref(),
            random: self.way.clock.random_u64(),
        };
        let answer = self.client.post(&post).await.map_err(|error| error.why)?;
        read(review, &uid, &answer)
    }
}

/// Reads the answer to the review with this UID.
fn read(review: Review, uid: &str, text: &Bytes) -> Result<Vec<Value>, String> {
    let mut answer = json::parse(text).map_err(|error| format!("cannot read the answer: {error}"))?;
    let (api_version, kind) = (answer.str_at("apiVersion"), answer.str_at("kind"));
    if review == Review::V1 && (api_version != review.api_version() || kind != "ConversionReview") {
        let expected = review.api_version();
        return Err(format!(
            "expected webhook response of {expected}, Kind=ConversionReview, got {api_version}, Kind={kind}"
        ));
    }
    let Some(response) = answer.get_mut("response").filter(|response| response.as_map().is_some()) else {
        return Err("no response provided".to_owned());
    };
    let given = response.str_at("uid");
    if review == Review::V1 && given != uid {
        return Err(format!("expected response.uid={}, got {}", quote(uid), quote(given)));
    }
    match (response.str_at("result.status"), response.str_at("result.message")) {
        ("Success", _) => {}
        (status, "") => return Err(format!("response.result.status was '{status}', not 'Success'")),
        (_, message) => return Err(message.chars().take(SHOWN_MAX).collect()),
    }
    match response.remove("convertedObjects") {
        Some(Value::List(objects)) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

/// A converted object with the metadata of the original one, except for labels and annotations.
fn accept(original: &Value, mut converted: Value, to: &str) -> Result<Value, String> {
    let given = converted.str_at("apiVersion");
    if given != to {
        return Err(format!("invalid groupVersion (expected {to}, received {given})"));
    }
    let (expected, given) = (original.str_at("kind"), converted.str_at("kind"));
    if expected != given {
        return Err(format!("invalid kind (expected {expected}, received {given})"));
    }
    for (path, what) in
        [("metadata.name", "name"), ("metadata.namespace", "namespace"), ("metadata.uid", "UID")]
    {
        let (expected, given) = (original.str_at(path), converted.str_at(path));
        if expected != given {
            return Err(format!("must have the same {what}: {expected} != {given}"));
        }
    }
    let given = converted.remove("metadata").ok_or("missing metadata in converted object")?;
    let mut metadata = original.get("metadata").clone();
    for member in ["labels", "annotations"] {
        match given.get(member) {
            Value::Null => {
                metadata.remove(member);
            }
            texts if texts == metadata.get(member) => {}
            texts => {
                check_texts(member, texts)?;
                metadata.set(member, texts.clone());
            }
        }
    }
    converted.set("metadata", metadata);
    Ok(converted)
}

fn check_texts(member: &'static str, texts: &Value) -> Result<(), String> {
    let Some(map) = texts.as_map() else {
        return Err(format!("invalid metadata.{member} in converted object: it is not a map"));
    };
    if let Some((key, _)) = map.iter().find(|(_, value)| value.as_str().is_none()) {
        return Err(format!("metadata.{member}[{key}] must be a string"));
    }
    let (metadata, mut errors) = (Path::root("metadata"), Errors::new());
    match member {
        "labels" => kinds::validation::validate_labels(texts, &metadata.child(member), &mut errors),
        _ => kinds::validation::validate_annotations(texts, &metadata.child(member), &mut errors),
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.to_string()) }
}
